//! One running process tree of the service.

use serde::{Deserialize, Serialize};

use crate::{IncidentId, InstanceId, Timestamp};

/// What an instance is for at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InstanceRole {
    /// Started, not yet ready.
    Starting,
    /// Ready, but not routed.
    Spare,
    /// Routed.
    Serving,
    /// Its failing thread stands still, others may finish; not routed.
    Draining,
    /// Held at its site; not routed.
    Held,
    /// Told to end.
    Stopping,
}

/// Why an instance ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitReason {
    /// With an exit code.
    Code(i32),
    /// By a signal.
    Signal(i32),
    /// Its shim died, and it with it.
    ShimDied,
    /// It could not be started at all.
    Spawn(String),
}

/// An instance as listings show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceView {
    /// Its number.
    pub id: InstanceId,
    /// What it is for at the moment.
    pub role: InstanceRole,
    /// Process id of the service; 0 before it runs.
    pub pid: i32,
    /// Port it listens on.
    pub port: u16,
    /// Since when it has this role.
    pub since: Timestamp,
    /// Requests it is working on.
    pub in_flight: u32,
    /// Whether traps are planted in it, and if not why.
    pub armed: Result<(), String>,
    /// The incident it is held for.
    pub incident: Option<IncidentId>,
}

impl std::fmt::Display for ExitReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
            Self::ShimDied => f.write_str("its shim died"),
            Self::Spawn(why) => write!(f, "could not be started: {why}"),
        }
    }
}

impl InstanceRole {
    /// The word for it, as in every listing.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Spare => "spare",
            Self::Serving => "serving",
            Self::Draining => "draining",
            Self::Held => "held",
            Self::Stopping => "stopping",
        }
    }
}
