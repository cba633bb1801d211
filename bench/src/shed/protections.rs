//! What stands before the server: nothing, HAProxy with its queue, nginx with its leaky bucket, the gate.

use std::fmt::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::error::BenchError;
use crate::proxy::is_there;
use crate::simulate::scenes::Experiment;
use crate::{binary, process, report, scratch};

const START_LIMIT: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A proxy that runs; it ends when this is dropped.
pub(super) struct Proxy {
    child: Child,
    pub(super) address: SocketAddr,
}

/// What can stand there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Protection {
    Nothing,
    HaProxy,
    Nginx,
    Gate,
}

impl Protection {
    /// Ours last.
    pub(super) const ALL: [Self; 4] = [Self::Nothing, Self::HaProxy, Self::Nginx, Self::Gate];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Nothing => "no protection",
            Self::HaProxy => "HAProxy",
            Self::Nginx => "nginx",
            Self::Gate => "gate",
        }
    }

    /// Whether another's program is installed; says so where it is not.
    pub(super) fn is_there(self) -> bool {
        let is_there = is_there(&self.name().to_lowercase());
        if !is_there {
            report::warn(&format!("SKIPPED: {} is not installed", self.name()));
        }
        is_there
    }

    /// Starts it in front of `upstream`; nothing needs no start.
    pub(super) fn start(
        self,
        scratch: &Path,
        upstream: SocketAddr,
        experiment: &Experiment,
        scale: f64,
    ) -> Result<Option<Proxy>, BenchError> {
        let proxy = match self {
            Self::Nothing => return Ok(None),
            Self::HaProxy => haproxy(scratch, upstream, experiment, scale),
            Self::Nginx => nginx(scratch, upstream, experiment, scale),
            Self::Gate => gate(scratch, upstream, experiment, scale),
        };
        proxy.map(Some)
    }
}

/// The gate, with a route per stream.
fn gate(
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

/// HAProxy: as many at a time as the server has workers, and as many in its queue as in the gate's; less important streams wait
/// behind the others, and only they are refused where the queue is full.
fn haproxy(
    scratch: &Path,
    upstream: SocketAddr,
    experiment: &Experiment,
    scale: f64,
) -> Result<Proxy, BenchError> {
    let port = scratch::free_port()?;
    // It has one such time for all; a request that was forwarded late may take as long again.
    let wait_ms = deadline(experiment, 0, scale).as_millis();
    let (max, queue_max) = (experiment.in_flight_max, experiment.config.queue_max);
    let mut rules = String::new();
    let lowest = experiment.scene.streams.iter().map(|stream| stream.tier).max().unwrap_or(0);
    for stream in &experiment.scene.streams {
        let (tier, name) = (stream.tier, stream.name);
        let _ = writeln!(rules, "  http-request set-priority-class int({tier}) if {{ path_beg /{name} }}");
        if tier == lowest {
            let _ = writeln!(
                rules,
                "  http-request deny deny_status 429 if {{ path_beg /{name} }} {{ queue(b) ge {queue_max} }}"
            );
        }
    }
    let text = format!(
        "global\n  maxconn 8000\n\
         defaults\n  mode http\n  timeout connect 1s\n  timeout client 600s\n  timeout server {wait_ms}ms\n  timeout queue {wait_ms}ms\n\
         frontend f\n  bind 127.0.0.1:{port} backlog 16384\n{rules}  default_backend b\n\
         backend b\n  server s {upstream} maxconn {max}\n"
    );
    write(&scratch.join("haproxy.cfg"), &text)?;
    let mut command = Command::new("haproxy");
    command.arg("-f").arg(scratch.join("haproxy.cfg"));
    start("HAProxy", command, scratch, port)
}

/// nginx: without its commercial queue it can hold back by rate only. Per route, as many per minute as the server can do at the
/// beginning, and as many waiting as in the gate's queue.
fn nginx(
    scratch: &Path,
    upstream: SocketAddr,
    experiment: &Experiment,
    scale: f64,
) -> Result<Proxy, BenchError> {
    let port = scratch::free_port()?;
    let queue_max = experiment.config.queue_max;
    let (mut zones, mut locations) = (String::new(), String::new());
    for (index, stream) in experiment.scene.streams.iter().enumerate() {
        let (name, route) = (stream.name, stream.route);
        let wait_ms = deadline(experiment, route, scale).as_millis();
        if experiment.scene.streams.iter().position(|other| other.route == route) == Some(index) {
            let per_s = f64::from(experiment.in_flight_max) / (stream.work)(0.0) / scale;
            let _ = writeln!(
                zones,
                "  limit_req_zone $server_name zone=route{route}:1m rate={}r/m;",
                (per_s * 60.0).round()
            );
        }
        let _ = writeln!(
            locations,
            "    location /{name} {{\n      limit_req zone=route{route} burst={queue_max};\n      \
             proxy_read_timeout {wait_ms}ms; proxy_pass http://u; proxy_http_version 1.1; \
             proxy_set_header Connection \"\";\n    }}"
        );
    }
    let temp = scratch.join("nginx-temp");
    let temp = temp.display();
    let text = format!(
        "daemon off; master_process off; pid {temp}.pid; error_log stderr crit;\n\
         events {{ worker_connections 8000; }}\n\
         http {{\n  access_log off; limit_req_status 429; keepalive_requests 1000000000;\n{zones}\
         \x20 client_body_temp_path {temp}-body; proxy_temp_path {temp}-proxy; fastcgi_temp_path {temp}-fastcgi;\n\
         \x20 uwsgi_temp_path {temp}-uwsgi; scgi_temp_path {temp}-scgi;\n\
         \x20 upstream u {{ server {upstream}; keepalive 128; keepalive_requests 1000000000; }}\n\
         \x20 server {{\n    listen 127.0.0.1:{port} backlog=16384; server_name bench;\n{locations}  }}\n}}\n"
    );
    let file = scratch.join("nginx.conf");
    write(&file, &text)?;
    let mut command = Command::new("nginx");
    command.arg("-p").arg(scratch).arg("-c").arg(file);
    start("nginx", command, scratch, port)
}

/// A route's deadline in real time.
fn deadline(experiment: &Experiment, route: u16, scale: f64) -> Duration {
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
