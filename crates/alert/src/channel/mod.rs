//! Ways to reach people.
//!
//! To add one: a variant in [`ChannelConfig`](crate::ChannelConfig), a module here that builds its message from an
//! [`Alert`] and sends it, a variant in [`Channel`] with one line in `new` and `send`, and one line in the list of the
//! conformance test (`tests/channels/conformance.rs`), which then holds it to what every channel promises: one sentence, the
//! link and counts, no values; an answer within the time limit or an error; an error for everything but acceptance.

pub(crate) mod pagerduty;
pub(crate) mod slack;
pub(crate) mod smtp;
pub(crate) mod webhook;

use std::time::Duration;

use freezeframe_model::chain;

use crate::config::resolve;
use crate::{Alert, ChannelConfig, ConfigError, Lookup, Trust};
use freezeframe_http::{Answer, Endpoint, HttpError};

/// A way to reach people, ready to be used.
#[derive(Clone)]
pub struct Channel {
    kind: Kind,
}

#[derive(Clone)]
enum Kind {
    Webhook(webhook::Webhook),
    Pagerduty(pagerduty::Pagerduty),
    Slack(slack::Slack),
    Smtp(smtp::Smtp),
}

/// Why an alert was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// May work later.
    #[error("not delivered: {why}")]
    Retry {
        /// What happened.
        why: String,
        /// When the receiver wants to be asked again.
        after: Option<Duration>,
    },
    /// Will not work however often it is tried.
    #[error("refused for good: {0}")]
    Rejected(String),
}

impl Channel {
    /// Checks the configuration and prepares the channel; does not connect.
    pub fn new(config: &ChannelConfig, lookup: Lookup<'_>, trust: &Trust) -> Result<Self, ConfigError> {
        let endpoint = |url: &str| {
            let url = resolve("url", url, lookup)?;
            Endpoint::parse(&url, trust).map_err(|error| ConfigError::invalid("url", error.to_string()))
        };
        let kind = match config {
            ChannelConfig::Webhook { url, secret } => {
                Kind::Webhook(webhook::Webhook::new(endpoint(url)?, resolve("secret", secret, lookup)?))
            }
            ChannelConfig::Pagerduty { routing_key, url } => {
                let key = resolve("routing_key", routing_key, lookup)?;
                Kind::Pagerduty(pagerduty::Pagerduty::new(endpoint(url)?, key))
            }
            ChannelConfig::Slack { url } => Kind::Slack(slack::Slack::new(endpoint(url)?)),
            ChannelConfig::Smtp { url, from, to } => {
                let to: Result<Vec<_>, _> = to.iter().map(|to| resolve("to", to, lookup)).collect();
                let (url, from) = (resolve("url", url, lookup)?, resolve("from", from, lookup)?);
                Kind::Smtp(smtp::Smtp::new(&url, &from, &to?, trust)?)
            }
        };
        Ok(Self { kind })
    }

    /// Sends once. The caller limits the time.
    pub async fn send(&self, alert: &Alert) -> Result<(), SendError> {
        match &self.kind {
            Kind::Webhook(webhook) => webhook.send(alert).await,
            Kind::Pagerduty(pagerduty) => pagerduty.send(alert).await,
            Kind::Slack(slack) => slack.send(alert).await,
            Kind::Smtp(smtp) => smtp.send(alert).await,
        }
    }
}

impl std::fmt::Debug for Channel {
    /// The kind alone: addresses and keys may be secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.kind {
            Kind::Webhook(_) => "Webhook",
            Kind::Pagerduty(_) => "Pagerduty",
            Kind::Slack(_) => "Slack",
            Kind::Smtp(_) => "Smtp",
        })
    }
}

/// What an HTTP answer means for an alert: 2xx is accepted; a request that the receiver cannot understand or finds too
/// large will not get better; everything else may (a wrong key can be corrected while the alert waits).
fn judge(answer: Result<Answer, HttpError>) -> Result<(), SendError> {
    match answer {
        Ok(Answer { status: 200..=299, .. }) => Ok(()),
        Ok(Answer { status: status @ (400 | 413 | 422), quote, .. }) => {
            Err(SendError::Rejected(format!("status {status}: {quote}")))
        }
        Ok(Answer { status, retry_after, quote }) => {
            Err(SendError::Retry { why: format!("status {status}: {quote}"), after: retry_after })
        }
        Err(error) => Err(SendError::Retry { why: chain(&error), after: None }),
    }
}
