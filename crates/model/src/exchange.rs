//! What the gate sees of requests: those under way, and those that are over.

use serde::{Deserialize, Serialize};

use crate::{IncidentId, InstanceId, Timestamp};

/// A request that an instance is working on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InFlight {
    /// The W3C `traceparent` that the gate sent with it: unique per attempt.
    pub traceparent: String,
    /// HTTP method.
    pub method: String,
    /// Path without query.
    pub path: String,
    /// When the gate passed it on.
    pub started_at: Timestamp,
    /// Key of the user's session (a hash; never the cookie itself), where there is one.
    pub session: Option<u64>,
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The instance answered, and the body was passed on whole.
    Answered,
    /// The instance closed the connection or broke the protocol.
    UpstreamFailed(String),
    /// The client went away first.
    ClientGone,
    /// Answered by the gate itself: no instance, or the instance was quarantined.
    Refused(Option<IncidentId>),
}

/// A request that is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exchange {
    /// What it was.
    pub request: InFlight,
    /// Where it went last; `None` where no instance got it.
    pub instance: Option<InstanceId>,
    /// Status that the client saw.
    pub status: u16,
    /// Time to the last byte, in microseconds.
    pub duration_us: u64,
    /// Whether it went to a second instance.
    pub retried: bool,
    /// How it ended.
    pub outcome: Outcome,
}

/// How the failing request was recognised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestMatch {
    /// The SDK's span named it.
    Span,
    /// It was the only one in flight.
    OnlyOne,
    /// Its `traceparent` was found in memory reachable from the failing thread's frames.
    Memory,
    /// It was the only one left after the drain.
    LastAfterDrain,
    /// Not recognised.
    #[default]
    Unknown,
}

/// The request that failed, or that it is one of several.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FailingRequest {
    /// The request, where it was recognised.
    pub request: Option<InFlight>,
    /// How.
    pub matched_by: RequestMatch,
    /// How many were in flight on the instance at the trap.
    pub in_flight: u32,
    /// Last exchanges of the same user session, oldest first.
    pub journey: Vec<Exchange>,
    /// What else was in flight on the instance at the trap, in part where there was much; while the failing request is not recognised it
    /// is among these.
    pub others: Vec<InFlight>,
}

impl FailingRequest {
    /// `POST /checkout`, `one of 3 in flight`, `none in flight`.
    pub fn describe(&self) -> String {
        match (&self.request, self.in_flight) {
            (Some(request), _) => format!("{} {}", request.method, request.path),
            (None, 0) => "none in flight".to_owned(),
            (None, n) => format!("one of {n} in flight"),
        }
    }
}
