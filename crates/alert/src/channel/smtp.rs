//! Mail: a text and an HTML part, threaded by fingerprint.
//!
//! Every mail about one fingerprint refers to the same (never sent) root message, so that mail programs show them as one
//! conversation (RFC 5322, section 3.6.4).

use std::time::Duration;

use freezeframe_model::chain;
use http::Uri;
use lettre::message::header::ContentType;
use lettre::message::{Mailbox, MultiPart, SinglePart};
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};

use super::SendError;
use crate::{Alert, ConfigError, Trust};

/// For each command of the dialogue; the whole is limited by the caller.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Clone)]
pub(crate) struct Smtp {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    to: Vec<Mailbox>,
}

impl Smtp {
    pub(crate) fn new(url: &str, from: &str, to: &[String], trust: &Trust) -> Result<Self, ConfigError> {
        let invalid = |why: &str| ConfigError::invalid("url", why);
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::from_url(url)
            .map_err(|_| invalid("is not like smtps://user:password@host:465 or smtp://host:25"))?
            .timeout(Some(COMMAND_TIMEOUT));
        if let Some(tls) = extra_tls(url, trust)? {
            builder = builder.tls(tls);
        }
        let address = |field, text: &str| {
            text.parse::<Mailbox>().map_err(|error| ConfigError::invalid(field, error.to_string()))
        };
        if to.is_empty() {
            return Err(ConfigError::invalid("to", "names nobody"));
        }
        let to: Result<Vec<_>, _> = to.iter().map(|to| address("to", to)).collect();
        Ok(Self { transport: builder.build(), from: address("from", from)?, to: to? })
    }

    pub(crate) async fn send(&self, alert: &Alert) -> Result<(), SendError> {
        let message = self.message(alert).map_err(|error| SendError::Rejected(chain(&error)))?;
        match self.transport.send(message).await {
            Ok(_) => Ok(()),
            // 530, 534 and 535 are about credentials, which may be corrected while the alert waits (RFC 4954, section 6).
            Err(error) if error.is_permanent() && !is_about_credentials(&error) => {
                Err(SendError::Rejected(chain(&error)))
            }
            Err(error) => Err(SendError::Retry { why: chain(&error), after: None }),
        }
    }

    fn message(&self, alert: &Alert) -> Result<Message, lettre::error::Error> {
        let (notice, domain) = (&alert.notice, self.from.email.domain());
        let root = format!("<{}@{domain}>", notice.fingerprint);
        let mut builder = Message::builder()
            .from(self.from.clone())
            .subject(format!("[Freezeframe] {}", alert.headline()))
            .message_id(Some(format!("<{}.{}@{domain}>", notice.fingerprint, alert.delivery)))
            .in_reply_to(root.clone())
            .references(root);
        for to in &self.to {
            builder = builder.to(to.clone());
        }
        let part = |content_type, body| SinglePart::builder().header(content_type).body(body);
        builder.multipart(
            MultiPart::alternative()
                .singlepart(part(ContentType::TEXT_PLAIN, text(alert)))
                .singlepart(part(ContentType::TEXT_HTML, html(alert))),
        )
    }
}

fn text(alert: &Alert) -> String {
    let notice = &alert.notice;
    let (headline, time) = (alert.headline(), alert.time());
    let report = if notice.report.is_empty() { String::new() } else { format!("\n{}", notice.report) };
    format!("{headline}\n\n{}\n\n{} ({}), {time}\n{report}", notice.link, notice.incident, notice.state)
}

fn html(alert: &Alert) -> String {
    let notice = &alert.notice;
    format!(
        "<p>{}</p>\n<p><a href=\"{}\">{}</a> ({}), {}</p>\n",
        escape(&alert.headline()),
        escape(&notice.link),
        notice.incident,
        escape(&notice.state),
        alert.time()
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn is_about_credentials(error: &lettre::transport::smtp::Error) -> bool {
    error.status().is_some_and(|code| matches!(u16::from(code), 530 | 534 | 535))
}

/// The URL decides on TLS; with an extra certificate authority the same decision is made again with it.
fn extra_tls(url: &str, trust: &Trust) -> Result<Option<Tls>, ConfigError> {
    let Some(pem) = trust.extra_pem() else { return Ok(None) };
    let uri: Uri = url.parse().map_err(|_| ConfigError::invalid("url", "is not a url"))?;
    let required = uri.query().is_some_and(|query| query.split('&').any(|pair| pair == "tls=required"));
    let wrap: fn(TlsParameters) -> Tls = match (uri.scheme_str(), required) {
        (Some("smtps"), _) => Tls::Wrapper,
        (_, true) => Tls::Required,
        (_, false) => return Ok(None),
    };
    let failed = |error: lettre::transport::smtp::Error| ConfigError::Tls(Box::new(error));
    let certificate = Certificate::from_pem(pem).map_err(failed)?;
    let host = uri.host().unwrap_or_default().to_owned();
    let parameters =
        TlsParameters::builder(host).add_root_certificate(certificate).build().map_err(failed)?;
    Ok(Some(wrap(parameters)))
}
