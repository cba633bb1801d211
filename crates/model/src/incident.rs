//! One occurrence of an error that was captured, and what became of the process.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{BuildId, FailingRequest, Fingerprint, IncidentId, InstanceId, LogLine, Loss, Timestamp};

/// How the error was noticed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IncidentKind {
    /// A Rust panic, at the runtime's panic entry.
    Panic,
    /// A fatal signal: its name, for example `SIGSEGV`.
    Signal(String),
    /// The service called `hold!`.
    Hold,
    /// `ensure!` found its condition false.
    Assertion,
    /// A `tracing` event of level ERROR.
    ErrorEvent,
    /// No answer to health checks, or no progress on any request.
    Stall,
    /// An answer with status 5xx passed the gate.
    ServerError(u16),
    /// The instance closed the connection instead of answering.
    ConnectionClosed,
    /// The process ended by itself with this description.
    Exit(String),
}

/// What became of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IncidentState {
    /// The failing thread stands still; other requests may finish.
    Draining,
    /// Held at its site.
    Held,
    /// A person let it go on.
    Released,
    /// A person ended it.
    Killed,
    /// The lease ran out: an ELF core was kept, the process ended.
    Expired,
    /// The process ended without us: killed from outside, or its shim died before the freeze.
    Lost,
    /// Never held: nothing was at its site any more, or holding was over budget.
    Recorded,
}

/// Where the error is attributed to: the first frame of the user's own code.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Site {
    /// Demangled function name.
    pub function: String,
    /// Source file; empty where unknown.
    pub file: String,
    /// Counted from 1; 0 where unknown.
    pub line: u32,
}

/// How firmly the process is held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldStrength {
    /// Not held.
    #[default]
    None,
    /// By the cgroup v2 freezer: the whole process tree, unnoticed by it, whatever dies around it.
    Frozen,
    /// By SIGSTOP: visible to the process, and anybody with its uid can send SIGCONT.
    Stopped,
}

/// Whether the held process is cut off from its backends.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NetworkCut {
    /// Not held, or not yet.
    #[default]
    No,
    /// By a cgroup BPF program in both directions.
    Cut,
    /// Wanted, but impossible: what is missing.
    Missing(String),
}

/// What is needed to find and handle the held process again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HoldFacts {
    /// How firmly it is held.
    pub strength: HoldStrength,
    /// Whether its network is cut.
    pub network: NetworkCut,
    /// Process id of the held process; 0 where nothing is held.
    pub pid: i32,
    /// Start time of that process (field 22 of `/proc/PID/stat`): with the pid an identity that survives pid reuse.
    pub pid_start: u64,
    /// Thread that hit the trap.
    pub failing_tid: i32,
    /// Signal that was taken away from the failing thread and is given back at release; 0 for none.
    pub pending_signal: i32,
    /// Signal that the failing thread was held at, given back or not; 0 where the trap was none.
    pub signal: i32,
    /// Absolute path of its cgroup v2 directory, where it has one.
    pub cgroup: Option<String>,
    /// Resident memory in bytes when it was held.
    pub resident_bytes: u64,
    /// When the lease ends.
    pub lease_until: Timestamp,
}

/// Milestones after the trap, in microseconds; `None` where a step did not happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Timings {
    /// All threads stopped.
    pub stopped_us: Option<u64>,
    /// Fingerprint known.
    pub fingerprinted_us: Option<u64>,
    /// The gate sends it nothing any more.
    pub unrouted_us: Option<u64>,
    /// A spare serves in its place.
    pub replaced_us: Option<u64>,
    /// Memory copied, the other threads run on.
    pub resumed_us: Option<u64>,
    /// Frames and values decoded.
    pub captured_us: Option<u64>,
    /// Drained, frozen, cut off.
    pub held_us: Option<u64>,
    /// Capsule durable.
    pub stored_us: Option<u64>,
}

/// One incident, without the capture's bulk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    /// Its number.
    pub id: IncidentId,
    /// How it was noticed.
    pub kind: IncidentKind,
    /// What became of the process.
    pub state: IncidentState,
    /// The error's own words, redacted, for example `attempt to divide by zero`.
    pub message: String,
    /// The same error across instances and restarts.
    pub fingerprint: Fingerprint,
    /// Where.
    pub site: Site,
    /// Name of the service.
    pub service: String,
    /// The instance on which it happened.
    pub instance: InstanceId,
    /// Build of the executable.
    pub build_id: BuildId,
    /// When the trap was hit.
    pub captured_at: Timestamp,
    /// When the state last changed.
    pub updated_at: Timestamp,
    /// Occurrences of this fingerprint that this incident stands for, itself included.
    pub count: u64,
    /// How the time went.
    pub timings: Timings,
    /// How it is held.
    pub hold: HoldFacts,
    /// The request that failed.
    pub request: FailingRequest,
    /// Last lines that the instance wrote.
    pub logs: Vec<LogLine>,
    /// Requests lost to the hold besides the failing one.
    pub requests_lost: u32,
    /// What is missing besides what the capture lists.
    pub not_captured: Vec<Loss>,
}

impl fmt::Display for IncidentKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panic => f.write_str("panic"),
            Self::Signal(name) => f.write_str(name),
            Self::Hold => f.write_str("hold"),
            Self::Assertion => f.write_str("assertion"),
            Self::ErrorEvent => f.write_str("error_event"),
            Self::Stall => f.write_str("stall"),
            Self::ServerError(status) => write!(f, "http_{status}"),
            Self::ConnectionClosed => f.write_str("connection_closed"),
            Self::Exit(_) => f.write_str("exit"),
        }
    }
}

impl IncidentState {
    /// The word for it, as in every listing.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Draining => "draining",
            Self::Held => "held",
            Self::Released => "released",
            Self::Killed => "killed",
            Self::Expired => "expired",
            Self::Lost => "lost",
            Self::Recorded => "recorded",
        }
    }

    /// The state that is written so.
    pub fn named(text: &str) -> Option<Self> {
        let all = [
            Self::Draining,
            Self::Held,
            Self::Released,
            Self::Killed,
            Self::Expired,
            Self::Lost,
            Self::Recorded,
        ];
        all.into_iter().find(|state| state.as_str() == text)
    }

    /// Whether a process still stands at the site.
    pub fn is_live(self) -> bool {
        matches!(self, Self::Draining | Self::Held)
    }
}

impl fmt::Display for IncidentState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.file.is_empty(), self.line) {
            (true, _) => {
                f.write_str(if self.function.is_empty() { "an unknown place" } else { &self.function })
            }
            (false, 0) => write!(f, "{} ({})", self.function, self.file),
            (false, line) => write!(f, "{} ({}:{line})", self.function, self.file),
        }
    }
}

impl fmt::Display for NetworkCut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::No => f.write_str("network not cut"),
            Self::Cut => f.write_str("network cut"),
            Self::Missing(what) => write!(f, "network not cut: missing {what}"),
        }
    }
}

impl HoldFacts {
    /// How the process is held, in words: `frozen, network cut`.
    pub fn describe(&self) -> String {
        let strength = match self.strength {
            HoldStrength::None => return "not held".to_owned(),
            HoldStrength::Frozen => "frozen",
            HoldStrength::Stopped => "stopped by SIGSTOP",
        };
        format!("{strength}, {}", self.network)
    }
}

impl Incident {
    /// What broke, in one sentence without values from the process: safe to send anywhere.
    pub fn sentence(&self) -> String {
        let what = match &self.kind {
            IncidentKind::Panic => "panicked".to_owned(),
            IncidentKind::Signal(name) => format!("was stopped by {name}"),
            IncidentKind::Hold => "asked to be held".to_owned(),
            IncidentKind::Assertion => "found an assertion false".to_owned(),
            IncidentKind::ErrorEvent => "logged an error".to_owned(),
            IncidentKind::Stall => "stopped making progress".to_owned(),
            IncidentKind::ServerError(status) => format!("answered {status}"),
            IncidentKind::ConnectionClosed => "closed a connection instead of answering".to_owned(),
            IncidentKind::Exit(how) => format!("ended ({how})"),
        };
        let place = if self.site == Site::default() { String::new() } else { format!(" in {}", self.site) };
        format!("{}/{} {what}{place}", self.service, self.instance)
    }
}
