//! The JSON shapes. Each top-level one carries a `schema` with its version: fields are added, never changed or taken away.
//!
//! Missing fields are read as empty, so that an older client understands a newer daemon and the other way round.

mod account;
mod event;
mod fleet;
mod gate;
mod incident;
mod instance;
mod overview;
mod question;
mod record;
mod reload;
mod request;
mod section;
mod session;
mod source;
mod task;
mod thread;
#[cfg(test)]
mod typescript;

pub(crate) use account::names;
pub use account::{
    ChangeAnswer, PasswordBody, RolesBody, TokenAnswer, TokenBody, TokenList, TokenShape, UserBody, UserList,
    UserShape,
};
pub use event::{EndEvent, HelloEvent, LiveEvent, ResyncEvent};
pub use fleet::{FleetAnswer, FleetInstance, GateService, HistoryAnswer, HistoryColumn, HistoryMarker};
pub use gate::{GateStatus, ServiceShape, UpstreamShape};
pub use incident::{
    HoldShape, IncidentList, IncidentSummary, IncidentView, LossShape, SiteShape, SourceLineShape, TimingsMs,
};
pub use instance::{InstanceList, InstanceShape};
pub use overview::{ImpactShape, Overview, SectionHead, StatusShape};
pub use question::{ExpressionShape, InspectBody, ValueAnswer};
pub use record::{AuditList, AuditShape, NoteBody, NoteList, NoteShape, OwnerAnswer};
pub use reload::{ChangeShape, ReloadAnswer, ReloadQuery};
pub use request::{ExchangeShape, LogShape, RequestShape};
pub use section::{
    MilestoneShape, ModuleShape, MomentShape, RequestLine, SectionItems, SectionPage, ThreadLine,
};
pub use session::{LoginBody, SessionAnswer};
pub use source::SourceAnswer;
pub use task::TaskShape;
pub(crate) use thread::Room;
pub use thread::{BlockedOnShape, FrameShape, ThreadAnswer, ThreadShape, VariableShape};

use serde::{Deserialize, Serialize};

use crate::{Act, ActOutcome};

/// Answer to an action.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct ActionAnswer {
    /// `freezeframe-action/1`.
    pub schema: String,
    /// The action's name as in its path.
    pub action: String,
    /// Process that it was done to.
    pub pid: Option<i32>,
    /// What happened, in a sentence.
    pub message: String,
}

impl ActionAnswer {
    /// The shape of what `act` led to.
    pub fn new(act: Act, outcome: ActOutcome) -> Self {
        Self {
            schema: "freezeframe-action/1".to_owned(),
            action: act.name().to_owned(),
            pid: outcome.pid,
            message: outcome.message,
        }
    }
}

/// Body of every answer that is not 2xx.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct ErrorAnswer {
    /// What went wrong.
    pub error: ErrorShape,
    /// The same as RFC 9457 has it; only where an expression has no value (`application/problem+json`).
    #[serde(flatten)]
    #[cfg_attr(test, ts(skip))]
    pub details: Option<ProblemDetails>,
}

/// Problem details (RFC 9457, section 3.1); the type is `about:blank`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct ProblemDetails {
    /// Words of the status.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// What went wrong here.
    pub detail: String,
}

/// What went wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct ErrorShape {
    /// `not_found`, `denied`, `conflict`, `timed_out`, `failed`, `unauthorized`, `rate_limited`, `bad_request`, `misdirected`, `invalid`, `busy`.
    pub kind: String,
    /// For people.
    pub message: String,
    /// What to do next.
    pub hints: Vec<String>,
    /// Where an expression has no value: which part of it is meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional))]
    pub expression: Option<ExpressionShape>,
}

/// Body of `POST …/extend`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(deny_unknown_fields)]
pub struct ExtendBody {
    /// Milliseconds to add to the lease.
    pub by_ms: u64,
}

/// Body of `POST …/core`; there need not be any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default, deny_unknown_fields)]
pub struct CoreBody {
    /// Which kinds of memory, by the bits of `coredump_filter` (core(5)); `store.core_filter`.
    pub filter: Option<u32>,
}

/// Body of `POST …/hand-over`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(deny_unknown_fields)]
pub struct HandOverBody {
    /// Process id of the client that asks for the process.
    pub client_pid: i32,
}
