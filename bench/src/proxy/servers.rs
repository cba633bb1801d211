//! The proxies: how each is told to do the same thing, and how much processor time it used.

use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::load::{self, Tool};
use super::{Case, write};
use crate::error::BenchError;
use crate::{binary, process, scratch};

const START_LIMIT: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A program that is a proxy.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Server {
    Gate,
    /// The gate with bounds that are never reached.
    Shedding,
    HaProxy,
    Nginx,
}

/// One that runs; it ends when this is dropped.
pub(super) struct Running {
    child: Child,
    port: u16,
    tls: bool,
}

impl Server {
    pub(super) const ALL: [Self; 4] = [Self::Gate, Self::Shedding, Self::HaProxy, Self::Nginx];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Gate => "gate",
            Self::Shedding => "shedding gate",
            Self::HaProxy => "HAProxy",
            Self::Nginx => "nginx",
        }
    }

    pub(super) fn is_there(self) -> bool {
        match self {
            // Ours must be there: that it is missing is an error where it is started.
            Self::Gate | Self::Shedding => true,
            Self::HaProxy => load::is_there("haproxy"),
            Self::Nginx => load::is_there("nginx"),
        }
    }

    /// Starts it in front of `upstream`, and waits until it takes connections. With `counted_in` it has one thread and runs under
    /// valgrind, which writes to that file what it counted when the program ends.
    pub(super) fn start(
        self,
        scratch: &Path,
        upstream: SocketAddr,
        case: &Case,
        counted_in: Option<&Path>,
    ) -> Result<Running, BenchError> {
        let port = scratch::free_port()?;
        let certificate = if case.tls { Some(certificate(scratch)?) } else { None };
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = if counted_in.is_some() { 1 } else { cores };
        let mut command = match self {
            Self::Gate => gate(upstream, port, certificate.as_deref(), threads)?,
            Self::Shedding => {
                let mut gate = gate(upstream, port, certificate.as_deref(), threads)?;
                gate.args(["--in-flight-max", "1000", "--queue-max", "1000", "--deadline-ms", "30000"]);
                gate
            }
            Self::HaProxy => {
                haproxy(scratch, upstream, port, &bind(certificate.as_deref(), case.tool), threads)?
            }
            Self::Nginx => nginx(scratch, upstream, port, certificate.as_deref(), case.tool, threads)?,
        };
        if let Some(file) = counted_in {
            command = counted(&command, file);
        }
        command.current_dir(scratch).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = process::spawn_apart(&mut command).map_err(BenchError::io(self.name()))?;
        let mut running = Running { child, port, tls: case.tls };
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        process::wait_for(&format!("{} on {address}", self.name()), START_LIMIT, LOOK_EVERY, || {
            if let Ok(Some(status)) = running.child.try_wait() {
                return Err(BenchError::NotAsExpected(format!("{} ended: {status}", self.name())));
            }
            Ok(TcpStream::connect(address).ok().map(drop))
        })?;
        Ok(running)
    }
}

impl Running {
    pub(super) fn url(&self, path: &str) -> String {
        format!("{}://127.0.0.1:{}{path}", if self.tls { "https" } else { "http" }, self.port)
    }

    /// Of the process and its children.
    pub(super) fn processor_time(&self) -> Result<Duration, BenchError> {
        let pid = self.child.id();
        let children =
            std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        let children = children.split_whitespace().filter_map(|pid| pid.parse::<i32>().ok());
        let all = i32::try_from(pid).into_iter().chain(children);
        let times: Option<Vec<Duration>> = all.map(process::processor_time).collect();
        times
            .map(|times| times.into_iter().sum())
            .ok_or_else(|| BenchError::NotAsExpected("a proxy ended while it was measured".to_owned()))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Asked to end, not killed: nginx's workers would outlive it.
        process::signal(&self.child, libc::SIGTERM);
        let ended = process::wait_for("the end of a proxy", START_LIMIT, LOOK_EVERY, || {
            Ok(self.child.try_wait().ok().flatten())
        });
        if ended.is_err() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// A certificate of our own and its key, in one file.
fn certificate(scratch: &Path) -> Result<PathBuf, BenchError> {
    let both = scratch.join("both.pem");
    if both.is_file() {
        return Ok(both);
    }
    let (key, cert) = (scratch.join("key.pem"), scratch.join("cert.pem"));
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]);
    command.args(["-days", "2", "-subj", "/CN=localhost", "-keyout"]).arg(&key).arg("-out").arg(&cert);
    let output = command.output().map_err(BenchError::io("openssl"))?;
    let read = |path: &Path| std::fs::read_to_string(path);
    match (read(&key), read(&cert)) {
        (Ok(key), Ok(cert)) if output.status.success() => write(&both, &format!("{cert}{key}"))?,
        _ => {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(BenchError::NotAsExpected(format!("openssl made no certificate: {said}")));
        }
    }
    Ok(both)
}

/// The same under valgrind.
fn counted(program: &Command, file: &Path) -> Command {
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", &format!("--callgrind-out-file={}", file.display())]);
    command.arg(program.get_program()).args(program.get_args());
    command.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command
}

fn gate(
    upstream: SocketAddr,
    port: u16,
    certificate: Option<&Path>,
    threads: usize,
) -> Result<Command, BenchError> {
    let mut command = Command::new(binary::freezeframe()?);
    command.args(["gate", "--listen", &format!("127.0.0.1:{port}"), "--upstream", &upstream.to_string()]);
    command.env("FREEZEFRAME_GATE_WORKERS", threads.to_string());
    if let Some(both) = certificate {
        command.arg("--tls-cert").arg(both).arg("--tls-key").arg(both);
    }
    Ok(command)
}

/// What HAProxy speaks with its clients.
fn bind(certificate: Option<&Path>, tool: Tool) -> String {
    match certificate {
        Some(both) => format!(" ssl crt {} alpn h2,http/1.1", both.display()),
        None if tool == Tool::H2load => " proto h2".to_owned(),
        None => String::new(),
    }
}

fn haproxy(
    scratch: &Path,
    upstream: SocketAddr,
    port: u16,
    bind: &str,
    threads: usize,
) -> Result<Command, BenchError> {
    let text = format!(
        "global\n  nbthread {threads}\n  maxconn 4096\n\
         defaults\n  mode http\n  timeout connect 1s\n  timeout client 30s\n  timeout server 60s\n  http-reuse always\n\
         frontend f\n  bind 127.0.0.1:{port}{bind}\n  option forwardfor\n  default_backend b\n\
         backend b\n  server s {upstream}\n"
    );
    let file = scratch.join("haproxy.cfg");
    write(&file, &text)?;
    let mut command = Command::new("haproxy");
    command.arg("-f").arg(file);
    Ok(command)
}

fn nginx(
    scratch: &Path,
    upstream: SocketAddr,
    port: u16,
    certificate: Option<&Path>,
    tool: Tool,
    threads: usize,
) -> Result<Command, BenchError> {
    let (listen, tls) = match certificate {
        Some(both) => {
            let both = both.display();
            (" ssl http2", format!("ssl_certificate {both}; ssl_certificate_key {both};"))
        }
        None if tool == Tool::H2load => (" http2", String::new()),
        None => ("", String::new()),
    };
    let (pid, temp) = (scratch.join("nginx.pid"), scratch.join("nginx-temp"));
    let (pid, temp) = (pid.display(), temp.display());
    let text = format!(
        "daemon off; worker_processes {threads}; pid {pid}; error_log stderr error;\n\
         events {{ worker_connections 4096; }}\n\
         http {{\n  access_log off; keepalive_requests 1000000000;\n\
         \x20 client_body_temp_path {temp}-body; proxy_temp_path {temp}-proxy; fastcgi_temp_path {temp}-fastcgi;\n\
         \x20 uwsgi_temp_path {temp}-uwsgi; scgi_temp_path {temp}-scgi;\n\
         \x20 upstream u {{ server {upstream}; keepalive 128; keepalive_requests 1000000000; }}\n\
         \x20 server {{\n    listen 127.0.0.1:{port}{listen}; {tls}\n\
         \x20   location / {{\n      proxy_pass http://u; proxy_http_version 1.1;\n\
         \x20     proxy_set_header Connection \"\"; proxy_set_header Host $host;\n\
         \x20     proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;\n    }}\n  }}\n}}\n"
    );
    let file = scratch.join("nginx.conf");
    write(&file, &text)?;
    let mut command = Command::new("nginx");
    command.arg("-p").arg(scratch).arg("-c").arg(file);
    Ok(command)
}
