//! What happened around the error: request, journey, logs, and what is missing.

use freezeframe_api::words;
use freezeframe_model::{Capture, FailingRequest, Incident, LogLine, Stream};

use super::page::Page;
use super::page::Tone::{Good, Plain, Soft, Strong, Warn};
use super::page::clean;

/// Rows of each kind; logs and journey show their end.
const MAX_JOURNEY: usize = 20;
const MAX_LOGS: usize = 20;
const MAX_LOSSES: usize = 40;

/// The failing request, and what the same user did before.
pub(super) fn request(page: &mut Page, failing: &FailingRequest) {
    page.heading("Request", "");
    page.line(2, &[(Strong, &failing.describe())]);
    if let Some(request) = &failing.request {
        page.line(2, &[(Soft, words::recognised(failing.matched_by))]);
        page.line(2, &[(Soft, "traceparent "), (Soft, &request.traceparent)]);
    }
    let skip = failing.journey.len().saturating_sub(MAX_JOURNEY);
    for exchange in failing.journey.iter().skip(skip) {
        let line = format!("{} {}", exchange.request.method, exchange.request.path);
        let tone = if exchange.status >= 500 { Warn } else { Plain };
        page.line(
            2,
            &[
                (Soft, &words::clock(exchange.request.started_at)),
                (Plain, &format!("  {:<32} ", clean(&line))),
                (tone, &exchange.status.to_string()),
                (Soft, &format!("  {:>8}  ", words::duration_us(exchange.duration_us))),
                (tone, &words::outcome(exchange)),
            ],
        );
    }
}

/// The last lines that the instance wrote.
pub(super) fn logs(page: &mut Page, logs: &[LogLine]) {
    if logs.is_empty() {
        return;
    }
    let skip = logs.len().saturating_sub(MAX_LOGS);
    page.heading("Log", &format!("last {}", words::counted(logs.len() - skip, "line")));
    for line in logs.iter().skip(skip) {
        let stream = match line.stream {
            Stream::Stdout => (Soft, "  out  "),
            Stream::Stderr => (Warn, "  err  "),
        };
        page.line(2, &[(Soft, &words::clock(line.at)), stream, (Plain, &line.text)]);
    }
}

/// What is missing and why.
pub(super) fn not_captured(page: &mut Page, incident: &Incident, capture: Option<&Capture>) {
    page.heading("Not captured", "");
    let mut losses = words::losses(incident, capture).peekable();
    if losses.peek().is_none() {
        page.line(
            2,
            &[match capture {
                Some(_) => (Good, "nothing is missing"),
                None => (Plain, "stacks and values: nothing was captured of this incident"),
            }],
        );
    }
    for loss in losses.by_ref().take(MAX_LOSSES) {
        page.line(2, &[(Plain, &loss.what), (Soft, ": "), (Soft, &loss.why)]);
    }
    let more = losses.count();
    if more > 0 {
        page.line(2, &[(Soft, &format!("… {more} more; `--json` has them all"))]);
    }
}
