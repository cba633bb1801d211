//! What stands before the server: nothing, HAProxy with its queue, the gate.

use std::fmt::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::error::BenchError;
use crate::simulate::scenes::Experiment;
use crate::{binary, process, scratch};

const START_LIMIT: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A proxy that runs; it ends when this is dropped.
pub(super) struct Proxy {
    child: Child,
    pub(super) address: SocketAddr,
}

/// The gate, with a route per stream.
pub(super) fn gate(
    scratch: &Path,
    upstream: SocketAddr,
    experiment: &Experiment,
    scale: f64,
) -> Result<Proxy, BenchError> {
    let mut text = format!(
        "[gate]\nqueue_max = {}\nin_flight_max = {}\nupstreams = [\"{upstream}\"]\n",
        experiment.config.queue_max, experiment.in_flight_max
    );
    for stream in &experiment.scene.streams {
        let deadline_ms = deadline(experiment, stream.route, scale).as_millis();
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "[[gate.route]]\nname = \"{0}\"\npath = \"/{0}\"\ndeadline_ms = {deadline_ms}\ntier = {1}\n",
            stream.name,
            // The lowest of the gate's usual three, where a stream is not the highest.
            if stream.tier == 0 { 0 } else { 2 }
        );
    }
    write(&scratch.join("freezeframe.toml"), &text)?;
    let port = scratch::free_port()?;
    let mut command = Command::new(binary::freezeframe()?);
    command.args(["gate", "--listen", &format!("127.0.0.1:{port}")]);
    command.env("RUST_LOG", "error");
    start("the gate", command, scratch, port)
}

/// HAProxy: as many at a time as the server has workers, the others wait until the deadline.
pub(super) fn haproxy(
    scratch: &Path,
    upstream: SocketAddr,
    experiment: &Experiment,
    scale: f64,
) -> Result<Proxy, BenchError> {
    let port = scratch::free_port()?;
    // It has one such time for all; a request that was forwarded late may take as long again.
    let wait_ms = deadline(experiment, 0, scale).as_millis();
    let max = experiment.in_flight_max;
    let text = format!(
        "global\n  maxconn 20000\n\
         defaults\n  mode http\n  timeout connect 1s\n  timeout client 600s\n  timeout server {wait_ms}ms\n  timeout queue {wait_ms}ms\n\
         frontend f\n  bind 127.0.0.1:{port} backlog 16384\n  default_backend b\n\
         backend b\n  server s {upstream} maxconn {max}\n"
    );
    write(&scratch.join("haproxy.cfg"), &text)?;
    let mut command = Command::new("haproxy");
    command.arg("-f").arg(scratch.join("haproxy.cfg"));
    start("HAProxy", command, scratch, port)
}

/// A route's deadline in real time.
pub(super) fn deadline(experiment: &Experiment, route: u16, scale: f64) -> Duration {
    let us = experiment.config.routes.get(usize::from(route)).map_or(0, |route| route.deadline_us);
    Duration::from_secs_f64(us as f64 / 1e6 * scale)
}

fn start(name: &str, mut command: Command, scratch: &Path, port: u16) -> Result<Proxy, BenchError> {
    command.current_dir(scratch).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let child = process::spawn_apart(&mut command).map_err(BenchError::io(name))?;
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let mut proxy = Proxy { child, address };
    process::wait_for(&format!("{name} on {address}"), START_LIMIT, LOOK_EVERY, || {
        if let Ok(Some(status)) = proxy.child.try_wait() {
            return Err(BenchError::NotAsExpected(format!("{name} ended: {status}")));
        }
        Ok(TcpStream::connect(address).ok().map(drop))
    })?;
    Ok(proxy)
}

fn write(path: &Path, text: &str) -> Result<(), BenchError> {
    std::fs::write(path, text).map_err(BenchError::io(path.display().to_string()))
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
