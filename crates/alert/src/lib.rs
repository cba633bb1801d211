//! Telling people: channels, and a durable outbox in front of them.
//!
//! ```text
//! enqueue(Notice) -> outbox.db -> one worker per channel -> webhook | PagerDuty | Slack | SMTP
//!    durable          one alert per fingerprint    back-off, Retry-After,
//!                     and window, with a count     given up after 24 h
//! ```
//! **Nothing lost**: a notice is on disk before `enqueue` returns, and stays there until a channel accepted it or it was
//! given up (logged at ERROR, kept as failed). Delivery is *at least once*: a crash between a channel's answer and the
//! note of it repeats the alert, under the same delivery id.
//!
//! **Never a storm**: ten thousand occurrences of one fingerprint are one alert with a count, and at most one more per
//! window while it lasts.
//!
//! **Nothing leaks**: an alert carries one sentence, a link and counts; values of the process stay behind the link.
//! This crate knows no incident database and no configuration file; its caller hands it notices and channels.

mod channel;
mod config;
mod delivery;
mod notice;
mod outbox;
mod timing;

pub use channel::webhook::{SIGNATURE_HEADER, sign};
pub use channel::{Channel, SendError};
pub use config::{ChannelConfig, ConfigError, Lookup};
pub use freezeframe_http::Trust;
pub use notice::{Alert, Notice, NoticeEvent};
pub use outbox::{OnDelivery, Outbox, OutboxError, Queued};
pub use timing::Timing;
