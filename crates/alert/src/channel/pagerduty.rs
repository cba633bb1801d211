//! PagerDuty, Events API v2: `trigger` and `resolve`, held together by the fingerprint as `dedup_key`.
//!
//! One open PagerDuty incident per fingerprint: further triggers are added to it and page nobody again.

use serde_json::json;

use super::{SendError, judge};
use crate::{Alert, NoticeEvent};
use freezeframe_http::Endpoint;

#[derive(Clone)]
pub(crate) struct Pagerduty {
    endpoint: Endpoint,
    routing_key: String,
}

impl Pagerduty {
    pub(crate) fn new(endpoint: Endpoint, routing_key: String) -> Self {
        Self { endpoint, routing_key }
    }

    pub(crate) async fn send(&self, alert: &Alert) -> Result<(), SendError> {
        let body = self.body(alert).to_string();
        judge(self.endpoint.post(&[], body.into_bytes()).await)
    }

    fn body(&self, alert: &Alert) -> serde_json::Value {
        let notice = &alert.notice;
        let action = if notice.event == NoticeEvent::Resolved { "resolve" } else { "trigger" };
        json!({
            "routing_key": self.routing_key,
            "event_action": action,
            "dedup_key": notice.fingerprint,
            "client": "Freezeframe",
            "client_url": notice.link,
            "payload": {
                // The API cuts off at 1024 characters; ours is shorter.
                "summary": alert.headline(),
                "source": notice.service,
                "severity": "critical",
                "timestamp": alert.time(),
                "component": notice.service,
                "custom_details": {
                    "incident": notice.incident,
                    "state": notice.state,
                    "count": notice.count,
                },
            },
            "links": [{ "href": notice.link, "text": format!("{} in Freezeframe", notice.incident) }],
        })
    }
}
