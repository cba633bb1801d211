//! `freezeframe run`: the daemon in the foreground.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::config::{Config, Flags};
use crate::daemon::{self, DaemonError};
use crate::error::{CommandError, Kind};
use crate::reload::{self, Load};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Configuration file [default: freezeframe.toml, where there is one].
    #[arg(long, env = "FREEZEFRAME_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Data directory: incidents, instances, token.
    #[arg(long, env = "FREEZEFRAME_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Address of the gate [default: 127.0.0.1:8080].
    #[arg(long, env = "FREEZEFRAME_LISTEN", value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Address of the page and the API [default: 127.0.0.1:9800].
    #[arg(long, env = "FREEZEFRAME_ADMIN", value_name = "ADDRESS")]
    admin: Option<SocketAddr>,
    /// Instances that serve [default: 2].
    #[arg(long, env = "FREEZEFRAME_INSTANCES", value_name = "N")]
    instances: Option<u32>,
    /// Instances that are ready to take a held one's place [default: 1].
    #[arg(long, env = "FREEZEFRAME_SPARES", value_name = "N")]
    spares: Option<u32>,
    /// The service: program and arguments. `{port}` and the variable PORT give each instance its port.
    #[arg(last = true, value_name = "CMD")]
    command: Vec<String>,
}

pub(crate) fn run(arguments: Arguments) -> Result<i32, CommandError> {
    super::log_to_stderr("info");
    let flags = Flags {
        data_dir: arguments.data_dir,
        listen: arguments.listen,
        admin: arguments.admin,
        instances: arguments.instances,
        spares: arguments.spares,
        command: arguments.command,
        ..Flags::default()
    };
    let load = move || Config::load(arguments.config.as_deref(), flags.clone());
    let config = load().map_err(|error| CommandError::caused(Kind::Usage, &error))?;
    if config.service.command.is_empty() {
        return Err(CommandError::new(Kind::Usage, "there is nothing to run")
            .hint("freezeframe run -- ./my-service --port {port}")
            .hint("or `command` under [service] in freezeframe.toml"));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let code = runtime.block_on(serve(config, Box::new(load)));
    // Tasks that wait for a disk or a terminal must not keep us.
    runtime.shutdown_background();
    code
}

async fn serve(config: Config, load: Load) -> Result<i32, CommandError> {
    use tokio::signal::unix::{SignalKind, signal};
    let running = daemon::start(config, load, false).await.map_err(|error| explain(&error))?;
    tracing::info!("gate on http://{}, page on http://{}", running.gate, running.admin);
    if let Some(link) = running.entrance.first_login("/") {
        super::say(&format!("Sign in, once and within a quarter of an hour: {link}"));
    }
    let mailbox = running.mailbox.clone();
    let mut stop = super::StopSignals::listen()?;
    let mut hangup = signal(SignalKind::hangup())?;
    let reloader = running.reloader.clone();
    tokio::spawn(async move {
        loop {
            tokio::select! {
                () = stop.next() => {}
                _ = hangup.recv() => {
                    reload::on_signal(&reloader).await;
                    continue;
                }
            }
            mailbox.send(daemon::Message::Stop).await;
        }
    });
    Ok(running.run().await)
}

pub(crate) fn explain(error: &DaemonError) -> CommandError {
    let command = CommandError::caused(Kind::Failed, error);
    match error {
        DaemonError::Store(freezeframe_store::StoreError::InUse(_)) => command
            .hint("another `freezeframe run` uses this data directory; give this one its own by --data-dir"),
        DaemonError::Admin { .. } => {
            command.hint("choose another address by --admin, for example 127.0.0.1:0")
        }
        DaemonError::Gate(_) => command.hint("choose another address by --listen, for example 127.0.0.1:0"),
        _ => command,
    }
}
