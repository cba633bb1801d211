//! Everything that is known to have happened, in one list in the order of time: what the user did, what the service wrote, what the
//! error led to, and what people did about it.

use std::borrow::Cow;

use freezeframe_model::{LogLine, Outcome, Stream, Timestamp};

use super::{Known, Section, Wanted};
use crate::dto::{MomentShape, SectionItems};
use crate::words;

pub(super) const SECTION: Section =
    Section { name: "timeline", title: "Timeline", count: |known| moments(known, false).len(), page };

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Moment<'a> {
    pub(crate) at: Timestamp,
    /// As in [`MomentShape`].
    pub(crate) kind: &'static str,
    pub(crate) text: Cow<'a, str>,
    pub(crate) who: Option<&'a str>,
    pub(crate) is_bad: bool,
}

impl<'a> Moment<'a> {
    fn new(at: Timestamp, kind: &'static str, text: impl Into<Cow<'a, str>>) -> Self {
        Self { at, kind, text: text.into(), who: None, is_bad: false }
    }
}

/// Who changes states and sends alerts, in the audit log.
const OURSELVES: &str = "freezeframe";

/// All moments, the oldest first; with every log line or only with those that say that something is wrong.
pub(crate) fn moments<'a>(known: &Known<'a>, all_lines: bool) -> Vec<Moment<'a>> {
    let incident = known.incident;
    let mut moments: Vec<Moment<'_>> = Vec::new();
    for exchange in &incident.request.journey {
        let text = format!(
            "{} {} {} in {}, {}",
            exchange.request.method,
            exchange.request.path,
            exchange.status,
            words::duration_us(exchange.duration_us),
            words::outcome(exchange)
        );
        let is_bad = exchange.status >= 500 || matches!(exchange.outcome, Outcome::UpstreamFailed(_));
        moments.push(Moment { is_bad, ..Moment::new(exchange.request.started_at, "journey", text) });
    }
    if let Some(request) = &incident.request.request {
        let text = format!("{} {} arrived: the request that failed", request.method, request.path);
        moments.push(Moment::new(request.started_at, "request", text));
    }
    for line in incident.logs.iter().filter(|line| all_lines || is_of_note(line)) {
        let is_bad = is_of_note(line);
        moments.push(Moment { is_bad, ..Moment::new(line.at, "log", line.text.as_str()) });
    }
    let trap = Moment::new(incident.captured_at, "trap", incident.sentence());
    moments.push(Moment { is_bad: true, ..trap });
    // That the fingerprint is known means nothing to a reader; it is among the timings.
    let milestones = words::milestones(&incident.timings).filter(|(name, ..)| *name != "fingerprinted");
    for (name, title, us) in milestones {
        let at = Timestamp(incident.captured_at.0.saturating_add(i64::try_from(us).unwrap_or(i64::MAX)));
        moments.push(Moment::new(at, name, format!("{title}, {} after the trap", words::duration_us(us))));
    }
    for entry in &known.record.audit {
        let detail = if entry.detail.is_empty() { String::new() } else { format!(" ({})", entry.detail) };
        let text = format!("{}{detail}", entry.what);
        moments.push(match entry.who.as_str() {
            OURSELVES if entry.what == "alert" => Moment::new(entry.at, "alert", entry.detail.as_str()),
            OURSELVES => Moment::new(entry.at, "state", text),
            who => Moment { who: Some(who), ..Moment::new(entry.at, "action", text) },
        });
    }
    for note in &known.record.notes {
        let who = Some(note.who.as_str());
        moments.push(Moment { who, ..Moment::new(note.at, "note", note.text.as_str()) });
    }
    // Stable: what has the same time stays in the order above.
    moments.sort_by_key(|moment| moment.at);
    moments
}

/// Whether a line says that something is wrong.
fn is_of_note(line: &LogLine) -> bool {
    const WORDS: [&str; 8] = ["error", "warn", "panic", "fatal", "critical", "exception", "fail", "timeout"];
    if line.stream == Stream::Stderr {
        return true;
    }
    // Levels stand at the beginning; a long line is not read to its end.
    let head: String = line.text.chars().take(256).flat_map(char::to_lowercase).collect();
    WORDS.iter().any(|word| head.contains(word))
}

/// A filter looks through all log lines; `kind:log` shows them all.
fn page(known: &Known<'_>, wanted: &Wanted) -> (usize, SectionItems) {
    let is_kind = |word: &String| word.starts_with("kind:");
    let (kinds, words): (Vec<String>, Vec<String>) = wanted.words.iter().cloned().partition(is_kind);
    let text = Wanted { words, ..wanted.clone() };
    let fits = |moment: &Moment<'_>| {
        let of_kind =
            kinds.is_empty() || kinds.iter().any(|kind| kind.strip_prefix("kind:") == Some(moment.kind));
        of_kind && text.fits(&[&moment.text, moment.who.unwrap_or_default()])
    };
    let moments = moments(known, !wanted.is_everything());
    let (total, moments) = wanted.page(moments, fits, |moment| MomentShape {
        at: words::rfc3339(moment.at),
        kind: moment.kind.to_owned(),
        text: moment.text.into_owned(),
        who: moment.who.map(str::to_owned),
        is_bad: moment.is_bad,
    });
    (total, SectionItems::Timeline(moments))
}
