//! What is told to those who watch, as server-sent events: the name of the event is `event`, the rest its data.

use serde::{Deserialize, Serialize};

use super::{AuditShape, FleetAnswer, NoteShape, StatusShape};

/// An event of `GET /api/v1/events`. The name is sent as the event's type, `data` as its data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(tag = "event", content = "data", rename_all = "snake_case")]
pub enum LiveEvent {
    /// The first of every stream.
    Hello(HelloEvent),
    /// An incident is new or has changed.
    Incident(Box<StatusShape>),
    /// A note was written.
    Note(NoteShape),
    /// Somebody did something.
    Audit(AuditShape),
    /// What runs, every two seconds.
    Fleet(Box<FleetAnswer>),
    /// Some events were left out because they were not taken fast enough: read everything again.
    Resync(ResyncEvent),
    /// The stream ends, and why: `shutdown` (connect again). One whose session is over ends without a word: sign in again.
    End(EndEvent),
}

impl LiveEvent {
    /// Its type and its data, as they are sent.
    pub(crate) fn written(&self) -> (&'static str, String) {
        fn json(name: &'static str, data: &impl Serialize) -> (&'static str, String) {
            // The shapes have nothing that JSON has no word for.
            (name, serde_json::to_string(data).unwrap_or_default())
        }
        match self {
            Self::Hello(data) => json("hello", data),
            Self::Incident(data) => json("incident", data),
            Self::Note(data) => json("note", data),
            Self::Audit(data) => json("audit", data),
            Self::Fleet(data) => json("fleet", data),
            Self::Resync(data) => json("resync", data),
            Self::End(data) => json("end", data),
        }
    }
}

/// The beginning of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct HelloEvent {
    /// `freezeframe-events/1`.
    pub schema: String,
    /// Version of the daemon.
    pub version: String,
    /// The daemon's clock: RFC 3339.
    pub now: String,
}

/// Events were left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct ResyncEvent {
    /// How many.
    pub missed: u64,
}

/// The end of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct EndEvent {
    /// `shutdown`.
    pub why: String,
}
