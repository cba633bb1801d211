//! Slack incoming webhooks: one message of text with a link.
//!
//! Slack's text has a markup of its own; `&`, `<` and `>` are its only special characters, and escaping them also
//! disarms mentions such as `<!channel>` (Slack's documentation on formatting text).

use serde_json::json;

use super::{SendError, judge};
use crate::{Alert, NoticeEvent};
use freezeframe_http::Endpoint;

#[derive(Clone)]
pub(crate) struct Slack {
    endpoint: Endpoint,
}

impl Slack {
    pub(crate) fn new(endpoint: Endpoint) -> Self {
        Self { endpoint }
    }

    pub(crate) async fn send(&self, alert: &Alert) -> Result<(), SendError> {
        let body = json!({ "text": text(alert) }).to_string();
        judge(self.endpoint.post(&[], body.into_bytes()).await)
    }
}

fn text(alert: &Alert) -> String {
    let notice = &alert.notice;
    let sign = if notice.event == NoticeEvent::Resolved { ":white_check_mark:" } else { ":snowflake:" };
    // A bar would end the link's address.
    let link = escape(&notice.link).replace('|', "%7C");
    let (headline, state) = (escape(&alert.headline()), escape(&notice.state));
    format!("{sign} {headline}\n<{link}|{}> ({state})", notice.incident)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use freezeframe_model::{Fingerprint, IncidentId, Timestamp};

    use super::*;
    use crate::Notice;

    #[test]
    fn markup_in_names_is_text() {
        let notice = Notice {
            event: NoticeEvent::Opened,
            incident: IncidentId(42),
            service: "shop".to_owned(),
            sentence: "shop/3 panicked in Vec<&T>::<!channel> (a.rs:1)".to_owned(),
            state: "held".to_owned(),
            fingerprint: Fingerprint([0; 16]),
            count: 3,
            link: "http://127.0.0.1/i/INC-42?a=1&b=|".to_owned(),
            report: String::new(),
            at: Timestamp(0),
        };
        expect![[r#"
            :snowflake: shop/3 panicked in Vec&lt;&amp;T&gt;::&lt;!channel&gt; (a.rs:1) (3 times)
            <http://127.0.0.1/i/INC-42?a=1&amp;b=%7C|INC-42> (held)"#]]
        .assert_eq(&text(&Alert { delivery: "1".to_owned(), notice }));
    }
}
