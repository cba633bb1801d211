//! What the gate says when it answers by itself: problem details (RFC 9457) for programs, a line of text for people.

use std::fmt::Write;

use bytes::Bytes;
use freezeframe_admission::{Reason, Shed};
use freezeframe_model::IncidentId;
use http::header::{CONNECTION, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, HeaderValue, Response, StatusCode};

use crate::body::ResponseBody;

const X_INCIDENT_ID: HeaderName = HeaderName::from_static("x-incident-id");
/// Says which bound was hit where the gate refused a request to protect something.
const X_SHED: HeaderName = HeaderName::from_static("x-freezeframe-shed");

/// The bound of time.
pub(crate) const DEADLINE: &str = "deadline";

/// An answer of the gate itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refusal<'a> {
    pub(crate) status: StatusCode,
    pub(crate) text: &'a str,
    pub(crate) incident: Option<IncidentId>,
    /// The bound that was hit.
    pub(crate) shed: Option<&'static str>,
    pub(crate) retry_after_s: Option<u32>,
}

impl<'a> Refusal<'a> {
    pub(crate) fn new(status: StatusCode, text: &'a str) -> Self {
        Self { status, text, incident: None, shed: None, retry_after_s: None }
    }

    /// 502 because of an incident, or because of a quarantine that has none.
    pub(crate) fn quarantined(incident: Option<IncidentId>) -> Self {
        let text = "the server that was working on this request was taken out of service";
        Self { incident, ..Self::new(StatusCode::BAD_GATEWAY, text) }
    }

    /// The admission said no.
    pub(crate) fn shed(shed: Shed) -> Self {
        let bound = match shed.reason {
            Reason::QueueFull => "queue_full",
            Reason::RouteQueueFull => "route_queue_full",
            Reason::Displaced => "displaced",
            Reason::Cohort => "cohort",
            Reason::WaitedTooLong => DEADLINE,
            Reason::Broken => "breaker",
        };
        let status = StatusCode::from_u16(shed.reason.status()).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
        let text = "too much to do at the moment, please try again later";
        Self { shed: Some(bound), retry_after_s: Some(shed.retry_after_s()), ..Self::new(status, text) }
    }

    /// There is no instance, and none came within a moment. Jittered, or all clients would come back at once.
    pub(crate) fn nobody() -> Self {
        let refusal = Self::new(StatusCode::SERVICE_UNAVAILABLE, "no server is ready at the moment");
        Self { retry_after_s: Some(fastrand::u32(1..=3)), ..refusal }
    }

    /// The time for an answer is over. Not an invitation to try again: the request may have been worked on.
    pub(crate) fn late() -> Self {
        let text = "there was no answer within the time that this request has";
        Self { shed: Some(DEADLINE), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, text) }
    }

    /// As problem details for clients that ask for JSON, else as a line of text.
    pub(crate) fn respond(&self, asks_for_json: bool) -> Response<ResponseBody> {
        let incident = self.incident.map(|incident| incident.to_string());
        let mut body = String::new();
        // Neither the texts nor an incident's id nor a bound contain anything that JSON would want escaped, and writing to a
        // string does not fail.
        let content_type = if asks_for_json {
            let title = self.status.canonical_reason().unwrap_or("Error");
            let (status, text) = (self.status.as_u16(), self.text);
            let _ = write!(
                body,
                r#"{{"type":"about:blank","title":"{title}","status":{status},"detail":"{text}""#
            );
            for (name, value) in [("bound", self.shed), ("incident", incident.as_deref())] {
                if let Some(value) = value {
                    let _ = write!(body, r#","{name}":"{value}""#);
                }
            }
            body.push_str("}\n");
            "application/problem+json"
        } else {
            let _ = match &incident {
                Some(id) => writeln!(body, "{} ({id})", self.text),
                None => writeln!(body, "{}", self.text),
            };
            "text/plain"
        };
        let mut response = Response::new(ResponseBody::Own(Some(Bytes::from(body))));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        if self.status == StatusCode::NOT_IMPLEMENTED {
            // A coding that is not understood: where its message ends is not for us to say, and what follows is not looked at.
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if let Some(value) = incident.and_then(|id| HeaderValue::try_from(id).ok()) {
            headers.insert(X_INCIDENT_ID, value);
        }
        if let Some(value) = self.shed.and_then(|bound| HeaderValue::from_str(bound).ok()) {
            headers.insert(X_SHED, value);
        }
        if let Some(seconds) = self.retry_after_s {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// Whether the client names JSON in its `Accept`.
pub(crate) fn asks_for_json(accept: Option<&HeaderValue>) -> bool {
    let accept = accept.and_then(|value| value.to_str().ok());
    accept.is_some_and(|text| text.contains("application/json") || text.contains("application/problem+json"))
}
