//! `freezeframe gate`: the gate alone, in front of fixed upstreams.
//!
//! SIGHUP reads the configuration again; SIGTERM and SIGINT let requests under way finish. It supervises nothing and stores nothing.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use freezeframe_gate::{Gate, GateError, Observer};
use freezeframe_model::{Exchange, Outcome};
use tokio::signal::unix::{SignalKind, signal};

use super::{StopSignals, gate_admin};
use crate::config::{Config, ConfigError, Flags};
use crate::error::{CommandError, Kind};
use crate::export;
use crate::reload::{self, Reloader};

#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Option<Action>,
    /// Configuration file [default: freezeframe.toml, where there is one].
    #[arg(long, env = "FREEZEFRAME_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where clients connect [default: 127.0.0.1:8080].
    #[arg(long, env = "FREEZEFRAME_LISTEN", value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Where requests go: addresses, or unix:/path.
    #[arg(long = "upstream", value_name = "ADDRESS", value_delimiter = ',')]
    upstreams: Vec<String>,
    /// Requests under way per upstream; further ones wait [default: no limit].
    #[arg(long, value_name = "N")]
    in_flight_max: Option<u64>,
    /// Requests that wait; further ones are answered 429 [default: 128].
    #[arg(long, value_name = "N")]
    queue_max: Option<u32>,
    /// Time to the head of a response; then the client is answered 503 [default: 60000; 0: no limit].
    #[arg(long, value_name = "MS")]
    deadline_ms: Option<u64>,
    /// Loopback address for metrics, status and reload [default: none].
    #[arg(long, env = "FREEZEFRAME_GATE_ADMIN", value_name = "ADDRESS")]
    admin: Option<SocketAddr>,
    /// PEM file with a certificate and its chain; with it, TLS is spoken.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// PEM file with its private key.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
}

#[derive(clap::Subcommand)]
enum Action {
    /// What a gate that has an admin port is doing.
    Status(gate_admin::StatusArguments),
    /// Have it read its configuration again.
    Reload(gate_admin::ReloadArguments),
}

/// Nobody keeps exchanges here.
struct Nobody;

impl Observer for Nobody {
    fn exchange(&self, _: &Exchange) {}

    fn is_of_interest(&self, _: u16, _: &Outcome) -> bool {
        false
    }
}

pub(crate) fn run(arguments: Arguments) -> Result<i32, CommandError> {
    match &arguments.action {
        Some(Action::Status(arguments)) => return gate_admin::status(arguments),
        Some(Action::Reload(arguments)) => return gate_admin::reload(arguments),
        None => {}
    }
    super::log_to_stderr("info");
    let flags = Flags {
        listen: arguments.listen,
        upstreams: arguments.upstreams,
        in_flight_max: arguments.in_flight_max,
        queue_max: arguments.queue_max,
        deadline_ms: arguments.deadline_ms,
        tls_cert: arguments.tls_cert,
        tls_key: arguments.tls_key,
        ..Flags::default()
    };
    let usage = |error: ConfigError| CommandError::caused(Kind::Usage, &error);
    let load = move || Config::load(arguments.config.as_deref(), flags.clone());
    let config = load().map_err(usage)?;
    let routes = config.gate.fixed_routes().map_err(usage)?;
    if routes.routes.is_empty() {
        return Err(CommandError::new(Kind::Usage, "there is nowhere to send requests")
            .hint("freezeframe gate --upstream 127.0.0.1:9000,127.0.0.1:9001")
            .hint("or [[gate.service]] and [[gate.route]] in freezeframe.toml"));
    }
    let settings = freezeframe_gate::Config {
        drain_ms: config.service.stop_ms,
        routes,
        ..freezeframe_gate::Config::new(config.service.listen)
    };
    let settings = config.gate.config(settings).map_err(usage)?;
    let scheme = if settings.tls.is_some() { "https" } else { "http" };
    let gate = Gate::start(settings, Arc::new(Nobody)).map_err(|error| explain(&error))?;
    tracing::info!("gate on {scheme}://{}, {} upstreams", gate.local_addr(), gate.upstreams().len());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        export::start(&config, &gate).map_err(usage)?;
        let drain = Duration::from_millis(config.service.stop_ms);
        let routes = |config: &Config| config.gate.fixed_routes();
        let reloader = Arc::new(Reloader::new(gate.clone(), config, routes, Box::new(load)));
        gate_admin::listen(&gate, &reloader, arguments.admin).await?;
        steer(&gate, drain, &reloader).await
    })
}

/// Does what signals say, until one says to stop.
async fn steer(gate: &Gate, drain: Duration, reloader: &Arc<Reloader>) -> Result<i32, CommandError> {
    let mut stop = StopSignals::listen()?;
    let mut hangup = signal(SignalKind::hangup())?;
    loop {
        tokio::select! {
            _ = hangup.recv() => reload::on_signal(reloader).await,
            () = stop.next() => break,
        }
    }
    tracing::info!("no new connections; those that are open may finish what they are doing");
    let stopping = {
        let gate = gate.clone();
        tokio::task::spawn_blocking(move || gate.stop(drain))
    };
    tokio::select! {
        _ = stopping => Ok(0),
        () = stop.next() => Ok(1),
    }
}

fn explain(error: &GateError) -> CommandError {
    let command = CommandError::caused(Kind::Failed, error);
    match error {
        GateError::AddressInUse { .. } | GateError::Bind { .. } => {
            command.hint("choose another address by --listen, for example 127.0.0.1:0")
        }
        _ => command,
    }
}
