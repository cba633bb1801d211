//! The words of Freezeframe as data: incident, capture, instance, exchange.
//!
//! Plain data with public fields. This crate does no I/O, knows no clock and no runtime, and decides nothing.
//! The types derive `serde` because the shim's protocol, the store and the API all carry them; what is written to disk
//! or sent to strangers is wrapped in a versioned envelope by the crate that owns that format (`store`, `shim`, `api`).

mod access;
mod capture;
mod chain;
mod exchange;
mod id;
mod incident;
mod instance;
mod log;
mod path;
mod question;
mod record;

pub use access::{Account, ParseRoleError, Role, Roles, ScriptToken, is_name};
pub use capture::{
    BlockedOn, Capture, Frame, FrameKind, Loss, Module, SourceLine, Task, TaskState, Thread, ThreadState,
    Value, Variable, VariableRole,
};
pub use chain::chain;
pub use exchange::{Exchange, FailingRequest, InFlight, Outcome, RequestMatch};
pub use id::{BuildId, Fingerprint, IncidentId, InstanceId, ParseIdError, Timestamp};
pub use incident::{
    HoldFacts, HoldStrength, Incident, IncidentKind, IncidentState, NetworkCut, Site, Timings,
};
pub use instance::{ExitReason, InstanceRole, InstanceView};
pub use log::{LogLine, Stream};
pub use path::{path_of, step};
pub use question::{Answer, EvaluateError, Obstacle, Question};
pub use record::{AuditEntry, Note, Owner, Record, Sightings};
