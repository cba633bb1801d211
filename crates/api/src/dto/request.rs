//! The failing request, the journey that led to it, and log lines.

use freezeframe_model::{Exchange, FailingRequest, LogLine, Outcome, RequestMatch, Stream};
use serde::{Deserialize, Serialize};

use crate::words::rfc3339;

/// The request that failed; method, path and traceparent are null where it was not recognised.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct RequestShape {
    /// HTTP method.
    pub method: Option<String>,
    /// Path without query.
    pub path: Option<String>,
    /// W3C `traceparent`.
    pub traceparent: Option<String>,
    /// `span`, `only_one`, `memory`, `last_after_drain`, `unknown`.
    pub matched_by: String,
    /// How many were in flight at the trap.
    pub in_flight: u32,
    /// `POST /checkout`, `one of 3 in flight`, `none in flight`.
    pub description: String,
}

/// A request that is over.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct ExchangeShape {
    /// When the gate passed it on: RFC 3339.
    pub at: String,
    /// HTTP method.
    pub method: String,
    /// Path without query.
    pub path: String,
    /// W3C `traceparent`.
    pub traceparent: String,
    /// Number of the instance that it went to last.
    pub instance: Option<u32>,
    /// Status that the client saw.
    pub status: u16,
    /// Time to the last byte in milliseconds.
    pub duration_ms: f64,
    /// Whether it went to a second instance.
    pub retried: bool,
    /// `answered`, `upstream_failed`, `client_gone`, `refused`.
    pub outcome: String,
    /// What went wrong, where something did.
    pub detail: Option<String>,
}

/// One line that an instance wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct LogShape {
    /// When it was read: RFC 3339.
    pub at: String,
    /// `stdout`, `stderr`.
    pub stream: String,
    /// Text.
    pub text: String,
}

/// How the failing request was recognised, as in JSON.
pub(super) fn matched_by(matched: RequestMatch) -> &'static str {
    match matched {
        RequestMatch::Span => "span",
        RequestMatch::OnlyOne => "only_one",
        RequestMatch::Memory => "memory",
        RequestMatch::LastAfterDrain => "last_after_drain",
        RequestMatch::Unknown => "unknown",
    }
}

impl From<&FailingRequest> for RequestShape {
    fn from(failing: &FailingRequest) -> Self {
        let request = failing.request.as_ref();
        Self {
            method: request.map(|request| request.method.clone()),
            path: request.map(|request| request.path.clone()),
            traceparent: request.map(|request| request.traceparent.clone()),
            matched_by: matched_by(failing.matched_by).to_owned(),
            in_flight: failing.in_flight,
            description: failing.describe(),
        }
    }
}

impl From<&Exchange> for ExchangeShape {
    fn from(exchange: &Exchange) -> Self {
        let (outcome, detail) = match &exchange.outcome {
            Outcome::Answered => ("answered", None),
            Outcome::UpstreamFailed(why) => ("upstream_failed", Some(why.clone())),
            Outcome::ClientGone => ("client_gone", None),
            Outcome::Refused(None) => ("refused", None),
            Outcome::Refused(Some(incident)) => ("refused", Some(format!("held for {incident}"))),
        };
        Self {
            at: rfc3339(exchange.request.started_at),
            method: exchange.request.method.clone(),
            path: exchange.request.path.clone(),
            traceparent: exchange.request.traceparent.clone(),
            instance: exchange.instance.map(|instance| instance.0),
            status: exchange.status,
            duration_ms: exchange.duration_us as f64 / 1000.0,
            retried: exchange.retried,
            outcome: outcome.to_owned(),
            detail,
        }
    }
}

impl From<&LogLine> for LogShape {
    fn from(line: &LogLine) -> Self {
        let stream = match line.stream {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        };
        Self { at: rfc3339(line.at), stream: stream.to_owned(), text: line.text.clone() }
    }
}
