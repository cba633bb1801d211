//! What is said: a notice comes in, an alert (one or many notices) goes out.

use freezeframe_model::{Fingerprint, IncidentId, Timestamp};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Characters that are kept of a text; far more than a sentence, and within every channel's limit.
const MAX_TEXT: usize = 1000;
/// Characters that are kept of a report.
const MAX_REPORT: usize = 32 << 10;

/// What happened to an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeEvent {
    /// The first occurrence.
    Opened,
    /// It happened again.
    Repeated,
    /// Nothing is held for it any more.
    Resolved,
}

impl NoticeEvent {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Repeated => "repeated",
            Self::Resolved => "resolved",
        }
    }
}

/// Something that people should know. Carries no values from the process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// What happened.
    pub event: NoticeEvent,
    /// To which incident.
    pub incident: IncidentId,
    /// Name of the service.
    pub service: String,
    /// What broke, as [`freezeframe_model::Incident::sentence`] says it.
    pub sentence: String,
    /// What became of the process: the state's word.
    pub state: String,
    /// The same error across instances; alerts of one fingerprint belong together.
    pub fingerprint: Fingerprint,
    /// Occurrences so far, this one included.
    pub count: u64,
    /// Where to look: the workbench page of the incident.
    pub link: String,
    /// More about it in Markdown, for channels that carry letters: nothing that was read of the process, only where and when. May be empty.
    #[serde(default)]
    pub report: String,
    /// When it happened.
    pub at: Timestamp,
}

impl Notice {
    /// The same with every text but the report on one line, and of bounded length, so that no channel has to think about it.
    pub(crate) fn tidied(&self) -> Self {
        let mut copy = self.clone();
        for text in [&mut copy.service, &mut copy.sentence, &mut copy.state, &mut copy.link] {
            *text = text.chars().take(MAX_TEXT).map(|c| if c.is_control() { ' ' } else { c }).collect();
        }
        let is_plain = |c: &char| *c == '\n' || !c.is_control();
        copy.report = copy.report.chars().filter(is_plain).take(MAX_REPORT).collect();
        copy
    }
}

/// What a channel delivers: the first notice of its kind, and for how many occurrences it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// The same for every attempt of this delivery; receivers may use it to drop repetitions.
    pub delivery: String,
    /// What to say; its `count` covers everything that was coalesced into it.
    pub notice: Notice,
}

impl Alert {
    /// One sentence, for a subject or a summary.
    pub fn headline(&self) -> String {
        let sentence = &self.notice.sentence;
        match (self.notice.event, self.notice.count) {
            (NoticeEvent::Resolved, _) => format!("Resolved: {sentence}"),
            (_, 0 | 1) => sentence.clone(),
            (_, count) => format!("{sentence} ({count} times)"),
        }
    }

    /// When it happened, as RFC 3339 in UTC.
    pub fn time(&self) -> String {
        let nanoseconds = i128::from(self.notice.at.0).saturating_mul(1000);
        let time = OffsetDateTime::from_unix_timestamp_nanos(nanoseconds).ok();
        time.and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_else(|| "1970-01-01T00:00:00Z".to_owned())
    }
}
