//! The admin port of `freezeframe gate`, and the commands that ask it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use freezeframe_api::dto::{GateStatus, ServiceShape, UpstreamShape};
use freezeframe_api::{Change, ControlError, GateControl};
use freezeframe_gate::Gate;
use freezeframe_histogram::Series;
use freezeframe_http::{Endpoint, Outgoing};
use tokio::sync::watch;

use super::reload::How;
use crate::client::{self, Answer};
use crate::error::{CommandError, Kind};
use crate::reload::Reloader;

/// How long the gate may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// A gate has a bounded number of services and upstreams.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// A gate, and who reads its configuration again.
struct Desk {
    gate: Gate,
    reloader: Arc<Reloader>,
}

impl GateControl for Desk {
    fn durations(&self) -> Vec<Series> {
        self.gate.durations()
    }

    fn status(&self) -> GateStatus {
        let services = self.gate.services().into_iter().map(|state| ServiceShape {
            name: state.name,
            instances: state.instances,
            in_flight: state.in_flight,
            in_flight_max: state.in_flight_max,
            queued: state.queued,
            queue_max: state.queue_max,
        });
        let upstreams = self.gate.upstreams().into_iter().map(|state| UpstreamShape {
            in_flight: self.gate.in_flight_count(state.id),
            service: state.service,
            address: state.upstream.to_string(),
            up: state.up,
        });
        GateStatus {
            schema: "freezeframe-gate/1".to_owned(),
            listen: self.gate.local_addr().to_string(),
            services: services.collect(),
            upstreams: upstreams.collect(),
            log_lines_dropped: self.gate.log_lines_dropped(),
        }
    }

    fn reload(&self, dry_run: bool) -> Result<Vec<Change>, ControlError> {
        self.reloader.reload_for("the admin port", dry_run)
    }
}

/// Listens until the process ends.
pub(super) async fn listen(
    gate: &Gate,
    reloader: &Arc<Reloader>,
    admin: Option<SocketAddr>,
) -> Result<(), CommandError> {
    let Some(admin) = admin else { return Ok(()) };
    if !admin.ip().is_loopback() {
        let error = CommandError::new(Kind::Usage, format!("{admin} is not a loopback address"));
        return Err(error.hint("who asks there is not asked for a token: --admin 127.0.0.1:9801"));
    }
    let unusable = |error: std::io::Error| {
        CommandError::new(Kind::Failed, format!("the admin port {admin} cannot be listened on: {error}"))
    };
    let listener = tokio::net::TcpListener::bind(admin).await.map_err(unusable)?;
    tracing::info!("admin on http://{}", listener.local_addr().map_err(unusable)?);
    let desk = Arc::new(Desk { gate: gate.clone(), reloader: Arc::clone(reloader) });
    tokio::spawn(async move {
        let (_running, over) = watch::channel(false);
        freezeframe_api::serve_tcp(listener, freezeframe_api::gate_router(desk), over).await;
    });
    Ok(())
}

#[derive(clap::Args)]
pub(super) struct ReloadArguments {
    /// The gate's admin port.
    #[arg(long, env = "FREEZEFRAME_GATE_ADMIN", value_name = "ADDRESS")]
    admin: SocketAddr,
    #[command(flatten)]
    how: How,
}

/// `freezeframe gate reload`
pub(super) fn reload(arguments: &ReloadArguments) -> Result<i32, CommandError> {
    let answer = asked("POST", arguments.admin, &arguments.how.path())?;
    arguments.how.show(&client::understand(&answer)?)
}

#[derive(clap::Args)]
pub(super) struct StatusArguments {
    /// The gate's admin port.
    #[arg(long, env = "FREEZEFRAME_GATE_ADMIN", value_name = "ADDRESS")]
    admin: SocketAddr,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

/// `freezeframe gate status`
pub(super) fn status(arguments: &StatusArguments) -> Result<i32, CommandError> {
    let answer = asked("GET", arguments.admin, "/api/v1/gate")?;
    let status: GateStatus = client::understand(&answer)?;
    if arguments.json {
        super::print(String::from_utf8_lossy(&answer.body).trim_end())?;
        return Ok(0);
    }
    super::print(text(&status).trim_end())?;
    Ok(0)
}

fn failed(admin: SocketAddr, why: &str) -> CommandError {
    CommandError::new(Kind::Failed, format!("the gate at {admin} does not answer: {why}"))
        .hint("is it started with --admin?")
}

/// Its answer, if that does not take too long.
fn asked(method: &str, admin: SocketAddr, path: &str) -> Result<Answer, CommandError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outgoing = Outgoing { method, below: path, headers: &[], body: &[] };
    let endpoint = Endpoint::plain(admin);
    let asking = endpoint.ask(&outgoing, ANSWER_LIMIT, ANSWER_BYTES_MAX);
    let answer = runtime.block_on(async { tokio::time::timeout(ANSWER_LIMIT, asking).await });
    let answer = answer.map_err(|_| failed(admin, "it takes too long"))?;
    let (head, body) = answer.map_err(|error| failed(admin, &freezeframe_model::chain(error)))?;
    Ok(Answer { status: head.status, body })
}

fn text(status: &GateStatus) -> String {
    let mut text = format!("gate on {}\n", status.listen);
    for service in &status.services {
        let max = service.in_flight_max.map_or_else(String::new, |max| {
            format!(" (at most {max} each), {} of {} waiting", service.queued, service.queue_max)
        });
        text += &format!("{}: {} in flight{max}\n", service.name, service.in_flight);
        for upstream in status.upstreams.iter().filter(|upstream| upstream.service == service.name) {
            let up = if upstream.up { "up" } else { "down" };
            text += &format!("  {} {up}, {} in flight\n", upstream.address, upstream.in_flight);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn the_status_is_told_in_few_lines() {
        let service = |name: &str, in_flight_max| ServiceShape {
            name: name.to_owned(),
            instances: 2,
            in_flight: 3,
            in_flight_max,
            queued: 1,
            queue_max: 8,
        };
        let upstream = |address: &str, up| UpstreamShape {
            service: "shop".to_owned(),
            address: address.to_owned(),
            up,
            in_flight: 3,
        };
        let status = GateStatus {
            listen: "127.0.0.1:8080".to_owned(),
            services: vec![service("shop", Some(4)), service("pay", None)],
            upstreams: vec![upstream("127.0.0.1:9000", true), upstream("unix:/s", false)],
            ..GateStatus::default()
        };
        expect![[r#"
            gate on 127.0.0.1:8080
            shop: 3 in flight (at most 4 each), 1 of 8 waiting
              127.0.0.1:9000 up, 3 in flight
              unix:/s down, 3 in flight
            pay: 3 in flight
        "#]]
        .assert_eq(&text(&status));
    }
}
