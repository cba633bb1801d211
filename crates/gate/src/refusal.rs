//! What the gate says when it answers by itself.

use bytes::Bytes;
use freezeframe_model::IncidentId;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, HeaderValue, Response, StatusCode};

use crate::body::ResponseBody;

const X_INCIDENT_ID: HeaderName = HeaderName::from_static("x-incident-id");

/// An answer of the gate itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refusal<'a> {
    pub(crate) status: StatusCode,
    pub(crate) text: &'a str,
    pub(crate) incident: Option<IncidentId>,
    pub(crate) retry_after_s: Option<u32>,
}

impl<'a> Refusal<'a> {
    pub(crate) fn new(status: StatusCode, text: &'a str) -> Self {
        Self { status, text, incident: None, retry_after_s: None }
    }

    /// 502 because of an incident, or because of a quarantine that has none.
    pub(crate) fn quarantined(incident: Option<IncidentId>) -> Self {
        let text = "the server that was working on this request was taken out of service";
        Self { incident, ..Self::new(StatusCode::BAD_GATEWAY, text) }
    }

    /// As JSON for clients that ask for it, else as a line of text.
    pub(crate) fn respond(&self, asks_for_json: bool) -> Response<ResponseBody> {
        let incident = self.incident.map(|incident| incident.to_string());
        // Neither the texts nor an incident's id contain anything that JSON would want escaped.
        let (content_type, body) = match (asks_for_json, &incident) {
            (true, Some(id)) => {
                ("application/json", format!("{{\"error\":\"{}\",\"incident\":\"{id}\"}}\n", self.text))
            }
            (true, None) => ("application/json", format!("{{\"error\":\"{}\"}}\n", self.text)),
            (false, Some(id)) => ("text/plain", format!("{} ({id})\n", self.text)),
            (false, None) => ("text/plain", format!("{}\n", self.text)),
        };
        let mut response = Response::new(ResponseBody::Own(Some(Bytes::from(body))));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        if let Some(value) = incident.and_then(|id| HeaderValue::try_from(id).ok()) {
            headers.insert(X_INCIDENT_ID, value);
        }
        if let Some(seconds) = self.retry_after_s {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// Whether the client names JSON in its `Accept`.
pub(crate) fn asks_for_json(accept: Option<&HeaderValue>) -> bool {
    accept.and_then(|value| value.to_str().ok()).is_some_and(|text| text.contains("application/json"))
}
