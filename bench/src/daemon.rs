//! `freezeframe run` in front of a service, as a person would start it: started, asked through its API, ended with everything
//! that it started.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::error::BenchError;
use crate::http::{self, Connection};
use crate::process;
use crate::scratch::Scratch;
use crate::values::Threads;
use crate::{binary, report};

const START_LIMIT: Duration = Duration::from_secs(30);
const STOP_LIMIT: Duration = Duration::from_secs(15);
const ANSWER_LIMIT: Duration = Duration::from_secs(60);
const WORDS_KEPT: usize = 30;

/// What to run, and how.
pub(crate) struct Setup {
    pub(crate) command: Vec<String>,
    pub(crate) environment: Vec<(&'static str, String)>,
    pub(crate) ready_path: &'static str,
    pub(crate) instances: u32,
    pub(crate) spares: u32,
    pub(crate) held_max: u32,
    pub(crate) drain_ms: u64,
    /// Whether indexes of debug information are kept.
    pub(crate) index: bool,
}

impl Setup {
    /// The server that breaks on demand.
    pub(crate) fn service(threads: usize) -> Result<Self, BenchError> {
        let own = binary::own()?.display().to_string();
        let command = vec![own, "service".to_owned(), "--threads".to_owned(), threads.to_string()];
        Ok(Self {
            command,
            environment: Vec::new(),
            ready_path: "/",
            instances: 2,
            spares: 1,
            held_max: 2,
            drain_ms: 2000,
            index: true,
        })
    }

    /// The sample shop. All its instances share one database.
    pub(crate) fn shop(scratch: &Scratch) -> Result<Self, BenchError> {
        let command = vec![binary::freezeframe()?.display().to_string(), "shop".to_owned()];
        let database = scratch.path().join("supervised.db").display().to_string();
        let environment = vec![("SHOP_DB", database)];
        Ok(Self { command, environment, ready_path: "/health", ..Self::service(1)? })
    }

    fn toml(&self) -> Result<String, BenchError> {
        let quoted = |text: &str| {
            serde_json::to_string(text).map_err(|source| BenchError::Answer { path: text.to_owned(), source })
        };
        let command = self.command.iter().map(|word| quoted(word)).collect::<Result<Vec<_>, _>>()?.join(", ");
        let mut environment = String::new();
        for (name, value) in &self.environment {
            environment += &format!("{name} = {}\n", quoted(value)?);
        }
        let Self { ready_path, instances, spares, held_max, drain_ms, .. } = self;
        let store = if self.index { "" } else { "\n[store]\nindex_bytes = \"0B\"\n" };
        Ok(format!(
            "[service]\nname = \"bench\"\ncommand = [{command}]\nlisten = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n\
             instances = {instances}\nspares = {spares}\nstop_ms = 2000\n\n[service.env]\n{environment}\n\
             [service.ready]\npath = \"{ready_path}\"\n\n[hold]\nheld_max = {held_max}\ndrain_ms = {drain_ms}\n{store}"
        ))
    }
}

/// An instance as the API tells of it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Instance {
    pub(crate) role: String,
    pub(crate) pid: Option<i32>,
    pub(crate) port: u16,
    pub(crate) armed: bool,
}

impl Instance {
    pub(crate) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }
}

/// An incident as the API tells of it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Incident {
    pub(crate) id: String,
    pub(crate) state: String,
    pub(crate) message: String,
    pub(crate) count: u64,
    pub(crate) requests_lost: u32,
    #[serde(default)]
    pub(crate) timings_ms: Timings,
}

impl Incident {
    pub(crate) fn is_live(&self) -> bool {
        matches!(self.state.as_str(), "draining" | "held")
    }
}

/// Milestones after the trap, in milliseconds.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Timings {
    pub(crate) stopped: Option<f64>,
    pub(crate) fingerprinted: Option<f64>,
    pub(crate) unrouted: Option<f64>,
    pub(crate) replaced: Option<f64>,
    pub(crate) resumed: Option<f64>,
    pub(crate) captured: Option<f64>,
    pub(crate) held: Option<f64>,
    pub(crate) stored: Option<f64>,
}

#[derive(Deserialize)]
struct Instances {
    instances: Vec<Instance>,
}

#[derive(Deserialize)]
struct Incidents {
    incidents: Vec<Incident>,
}

#[derive(Default, Deserialize)]
struct Outcome {
    pid: Option<i32>,
}

/// A daemon with its instances; all end when it is dropped.
pub(crate) struct Daemon {
    child: Child,
    data: PathBuf,
    gate: SocketAddr,
    words: Arc<Mutex<VecDeque<String>>>,
    instances: usize,
    spares: usize,
    _scratch: Scratch,
}

impl Daemon {
    /// Starts it and waits until all instances serve and all spares are ready.
    pub(crate) fn start(setup: &Setup) -> Result<Self, BenchError> {
        let scratch = Scratch::new()?;
        let (data, config) = (scratch.path().join("data"), scratch.path().join("freezeframe.toml"));
        std::fs::write(&config, setup.toml()?).map_err(BenchError::io(config.display().to_string()))?;
        let mut command = Command::new(binary::freezeframe()?);
        command.arg("run").arg("--config").arg(&config).arg("--data-dir").arg(&data);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("FREEZEFRAME_") {
                command.env_remove(name);
            }
        }
        let mut child = process::spawn_apart(&mut command).map_err(BenchError::io("freezeframe run"))?;
        let words: Arc<Mutex<VecDeque<String>>> = Arc::default();
        let told = listen(&mut child, &words);
        let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let (instances, spares) = (setup.instances as usize, setup.spares as usize);
        let mut daemon = Self { child, data, gate: nowhere, words, instances, spares, _scratch: scratch };
        daemon.gate = match told.recv_timeout(START_LIMIT) {
            Ok(gate) => gate,
            Err(RecvTimeoutError::Disconnected) => return Err(BenchError::DaemonEnded(daemon.last_words())),
            Err(RecvTimeoutError::Timeout) => {
                return Err(BenchError::TimedOut {
                    what: "the gate's address".to_owned(),
                    limit: START_LIMIT,
                });
            }
        };
        daemon.wait_ready()?;
        Ok(daemon)
    }

    /// Where the gate listens.
    pub(crate) fn gate(&self) -> SocketAddr {
        self.gate
    }

    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap_or(0)
    }

    fn last_words(&self) -> String {
        let words = self.words.lock().unwrap_or_else(PoisonError::into_inner);
        words.iter().map(|line| format!("  {line}\n")).collect()
    }

    /// Waits until it is as at the start: as many serve as should, and the spares are ready.
    pub(crate) fn wait_ready(&mut self) -> Result<(), BenchError> {
        let end = Instant::now() + START_LIMIT;
        loop {
            process::check_interrupt()?;
            if let Ok(Some(_)) = self.child.try_wait() {
                return Err(BenchError::DaemonEnded(self.last_words()));
            }
            let all = self.instances()?;
            let count = |role: &str| all.iter().filter(|instance| instance.role == role).count();
            if count("serving") >= self.instances && count("spare") >= self.spares {
                return Ok(());
            }
            if Instant::now() > end {
                let what = format!("all instances serving; its last words:\n{}", self.last_words());
                return Err(BenchError::TimedOut { what, limit: START_LIMIT });
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn instances(&self) -> Result<Vec<Instance>, BenchError> {
        self.get::<Instances>("/api/v1/instances").map(|answer| answer.instances)
    }

    /// Those in routing.
    pub(crate) fn serving(&self) -> Result<Vec<Instance>, BenchError> {
        Ok(self.instances()?.into_iter().filter(|instance| instance.role == "serving").collect())
    }

    pub(crate) fn incidents(&self) -> Result<Vec<Incident>, BenchError> {
        self.get::<Incidents>("/api/v1/incidents").map(|answer| answer.incidents)
    }

    pub(crate) fn incident(&self, id: &str) -> Result<Incident, BenchError> {
        self.get(&format!("/api/v1/incidents/{id}"))
    }

    /// Waits until an incident is held and durable.
    pub(crate) fn wait_held(&self, id: &str) -> Result<Incident, BenchError> {
        process::wait_for(&format!("{id} held and stored"), START_LIMIT, Duration::from_millis(5), || {
            let incident = match self.incident(id) {
                // Its number reaches the failing client before its row reaches the disk.
                Err(BenchError::Refused { status: 404, .. }) => return Ok(None),
                incident => incident?,
            };
            if !incident.is_live() {
                return Err(BenchError::NotAsExpected(format!("{id} is {}, not held", incident.state)));
            }
            Ok(Some(incident)
                .filter(|incident| incident.state == "held" && incident.timings_ms.stored.is_some()))
        })
    }

    /// Its threads, frames and variables.
    pub(crate) fn capture(&self, id: &str) -> Result<Threads, BenchError> {
        self.get(&format!("/api/v1/incidents/{id}"))
    }

    /// Waits until the shims have written the indexes of what they run: each holds the lock while it writes one.
    pub(crate) fn wait_indexed(&self, limit: Duration) -> Result<(), BenchError> {
        const QUIET_LOOKS: u32 = 5;
        let directory = self.data.join("index");
        let mut quiet = 0;
        process::wait_for("indexes of the debug information", limit, Duration::from_millis(200), || {
            let entries = std::fs::read_dir(&directory).into_iter().flatten().flatten();
            let written = entries.filter(|entry| entry.path().extension().is_some_and(|end| end == "index"));
            let lock = std::fs::File::open(directory.join("lock"));
            let is_free = lock.is_ok_and(|lock| lock.try_lock().is_ok());
            quiet = if written.count() > 0 && is_free { quiet + 1 } else { 0 };
            Ok((quiet >= QUIET_LOOKS).then_some(()))
        })
    }

    /// `release`, `kill`, `hand-over`, `reclaim`; the process that it was done to.
    pub(crate) fn act(&self, id: &str, action: &str, body: &str) -> Result<Option<i32>, BenchError> {
        let path = format!("/api/v1/incidents/{id}/{action}");
        self.ask::<Outcome>("POST", &path, body).map(|outcome| outcome.pid)
    }

    fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, BenchError> {
        self.ask("GET", path, "")
    }

    fn ask<T: DeserializeOwned>(&self, method: &str, path: &str, body: &str) -> Result<T, BenchError> {
        let stream = UnixStream::connect(self.data.join("daemon.sock"))
            .and_then(|stream| stream.set_read_timeout(Some(ANSWER_LIMIT)).map(|()| stream))
            .map_err(BenchError::io("the daemon's socket"))?;
        let request = http::request(method, path, "Connection: close\r\n", body);
        let answer = Connection::new(stream).exchange(&request, || false).map_err(BenchError::io(path))?;
        if !(200..300).contains(&answer.status) {
            let body = String::from_utf8_lossy(&answer.body).into_owned();
            return Err(BenchError::Refused { path: path.to_owned(), status: answer.status, body });
        }
        serde_json::from_slice(&answer.body)
            .map_err(|source| BenchError::Answer { path: path.to_owned(), source })
    }

    fn end(&mut self) {
        for incident in self.incidents().unwrap_or_default().iter().filter(|incident| incident.is_live()) {
            // One that is still draining becomes held in a moment; a second refusal is not worth waiting for.
            if self.act(&incident.id, "kill", "{}").is_err() {
                std::thread::sleep(Duration::from_millis(500));
                let _ = self.act(&incident.id, "kill", "{}");
            }
        }
        let end = Instant::now() + STOP_LIMIT;
        let mut signals = 0;
        while !matches!(self.child.try_wait(), Ok(Some(_))) {
            if signals < 2 {
                process::signal(&self.child, libc::SIGTERM);
                signals += 1;
            }
            if Instant::now() > end {
                report::warn("the daemon did not end and is killed; its instances may be left behind");
                let _ = self.child.kill();
                let _ = self.child.wait();
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.end();
    }
}

/// Reads what it says; the gate's address comes through the channel, the last lines are kept.
fn listen(child: &mut Child, words: &Arc<Mutex<VecDeque<String>>>) -> Receiver<SocketAddr> {
    let (tell, told) = channel();
    if let Some(stdout) = child.stdout.take() {
        process::drain(stdout, |_| {});
    }
    if let Some(stderr) = child.stderr.take() {
        let words = words.clone();
        process::drain(stderr, move |line| {
            if let Some(address) = gate_address(line) {
                let _ = tell.send(address);
            }
            let mut words = words.lock().unwrap_or_else(PoisonError::into_inner);
            if words.len() >= WORDS_KEPT {
                words.pop_front();
            }
            words.push_back(line.to_owned());
        });
    }
    told
}

/// From `… gate on http://127.0.0.1:8080, page on …`.
fn gate_address(line: &str) -> Option<SocketAddr> {
    line.split_once("gate on http://")?.1.split(',').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gates_address_is_found_in_its_line_only() {
        let line = "2026-01-01T00:00:00Z  INFO gate on http://127.0.0.1:4711, page on http://127.0.0.1:9800";
        assert_eq!(gate_address(line), Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 4711))));
        assert_eq!(gate_address("listening on http://127.0.0.1:3000"), None);
    }

    #[test]
    fn an_incident_is_read_with_the_milestones_that_there_are() {
        let text = r#"{"id": "INC-3", "state": "draining", "message": "m", "count": 1, "requests_lost": 0, "new": [], "timings_ms": {"stopped": 0.126}}"#;
        let incident: Incident = serde_json::from_str(text).unwrap();
        assert!(incident.is_live());
        assert_eq!((incident.timings_ms.stopped, incident.timings_ms.held), (Some(0.126), None));
    }
}
