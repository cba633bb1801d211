//! How channels are written in the configuration file.

use std::fmt;

use serde::Deserialize;

/// Reads a variable of the environment; given by the caller, because this crate reads nothing by itself.
pub type Lookup<'l> = &'l dyn Fn(&str) -> Option<String>;

/// One `[[alert]]`-like table. Any text may be `env:NAME`: it is then taken from that variable.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum ChannelConfig {
    /// Any HTTP endpoint: JSON, signed.
    Webhook {
        /// `https://` or `http://`.
        url: String,
        /// Shared secret that signs every request.
        secret: String,
    },
    /// PagerDuty, Events API v2.
    Pagerduty {
        /// Integration key of the service.
        routing_key: String,
        /// Another region, or a proxy.
        #[serde(default = "pagerduty_url")]
        url: String,
    },
    /// A Slack incoming webhook, or anything that takes the same.
    Slack {
        /// The webhook's address; whoever has it can post.
        url: String,
    },
    /// Mail.
    Smtp {
        /// `smtps://user:password@host:465`, `smtp://host:25`, or `smtp://host:587?tls=required` for STARTTLS.
        url: String,
        /// Sender, for example `Freezeframe <alerts@example.com>`.
        from: String,
        /// Receivers.
        to: Vec<String>,
    },
}

fn pagerduty_url() -> String {
    "https://events.pagerduty.com/v2/enqueue".to_owned()
}

/// Why a channel cannot be set up. Never contains the value itself, which may be a secret.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// `env:NAME` names a variable that is not set.
    #[error("{field}: the environment variable {name} is not set")]
    NotInEnvironment {
        /// The field.
        field: &'static str,
        /// The variable.
        name: String,
    },
    /// The value is not usable.
    #[error("{field}: {why}")]
    Invalid {
        /// The field.
        field: &'static str,
        /// What is wrong.
        why: String,
    },
    /// The certificates for TLS cannot be set up.
    #[error("cannot set up tls")]
    Tls(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl ConfigError {
    pub(crate) fn invalid(field: &'static str, why: impl Into<String>) -> Self {
        Self::Invalid { field, why: why.into() }
    }
}

/// Resolves `env:NAME`, and refuses an empty value.
pub(crate) fn resolve(field: &'static str, value: &str, lookup: Lookup<'_>) -> Result<String, ConfigError> {
    let resolved = match value.strip_prefix("env:") {
        Some(name) => lookup(name)
            .ok_or_else(|| ConfigError::NotInEnvironment { field, name: name.to_owned() })?
            .trim()
            .to_owned(),
        None => value.to_owned(),
    };
    if resolved.is_empty() { Err(ConfigError::invalid(field, "is empty")) } else { Ok(resolved) }
}

impl fmt::Debug for ChannelConfig {
    /// The kind alone: everything else may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Webhook { .. } => "Webhook(..)",
            Self::Pagerduty { .. } => "Pagerduty(..)",
            Self::Slack { .. } => "Slack(..)",
            Self::Smtp { .. } => "Smtp(..)",
        })
    }
}
