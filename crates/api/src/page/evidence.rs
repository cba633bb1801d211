//! What happened around the error: request, journey, logs, what is missing, how the time went.

use freezeframe_model::{Capture, FailingRequest, Incident, LogLine, Stream};

use super::html::Html;
use crate::words;

/// Rows of each kind on the page.
const MAX_ROWS: usize = 200;
/// Longest text in a row, in characters.
const MAX_TEXT: usize = 2000;

/// The failing request, and what the same user did before.
pub(super) fn request(h: &mut Html, failing: &FailingRequest) {
    h.raw("<section class=\"card\"><h2>Request</h2><p><code class=\"strong\">")
        .text_up_to(&failing.describe(), MAX_TEXT);
    h.raw("</code></p>");
    if let Some(request) = &failing.request {
        h.raw("<p class=\"hint\">").raw(words::recognised(failing.matched_by)).raw(" · traceparent <code>");
        h.text_up_to(&request.traceparent, 128).raw("</code></p>");
    }
    if !failing.journey.is_empty() {
        h.raw("<h3>Journey of the same user</h3><div class=\"scroll\"><table><thead><tr><th>Time<th>Request<th>Status<th>Took<th>How it ended</tr></thead><tbody>");
        let skip = failing.journey.len().saturating_sub(MAX_ROWS);
        for exchange in failing.journey.iter().skip(skip) {
            h.raw("<tr><td class=\"nowrap mono\">").text(words::clock(exchange.request.started_at));
            h.raw("</td><td class=\"mono\">").text_up_to(&exchange.request.method, 32).raw(" ");
            h.text_up_to(&exchange.request.path, MAX_TEXT)
                .raw("</td><td class=\"number\">")
                .text(exchange.status);
            h.raw("</td><td class=\"number nowrap\">").text(words::duration_us(exchange.duration_us));
            h.raw("</td><td>").text_up_to(&words::outcome(exchange), MAX_TEXT).raw("</td></tr>");
        }
        h.raw("</tbody></table></div>");
    }
    h.raw("</section>");
}

/// The last lines that the instance wrote.
pub(super) fn logs(h: &mut Html, logs: &[LogLine]) {
    if logs.is_empty() {
        return;
    }
    let skip = logs.len().saturating_sub(MAX_ROWS);
    h.raw("<section class=\"card\"><h2>Log <span class=\"hint\">last ")
        .text(words::counted(logs.len() - skip, "line"));
    h.raw("</span></h2><div class=\"scroll\"><table class=\"log\"><caption>Log lines</caption><thead><tr><th>Time<th>Stream<th>Text</tr></thead><tbody>");
    for line in logs.iter().skip(skip) {
        h.raw("<tr><td>").text(words::clock(line.at));
        h.raw(match line.stream {
            Stream::Stdout => "</td><td>out</td><td>",
            Stream::Stderr => "</td><td class=\"err\">err</td><td>",
        });
        h.text_up_to(&line.text, MAX_TEXT).raw("</td></tr>");
    }
    h.raw("</tbody></table></div></section>");
}

/// What is missing and why.
pub(super) fn not_captured(h: &mut Html, incident: &Incident, capture: Option<&Capture>) {
    h.raw("<section class=\"card\"><h2>Not captured</h2>");
    let mut losses = words::losses(incident, capture).peekable();
    if losses.peek().is_none() {
        h.raw(if capture.is_some() {
            "<p class=\"good\">Nothing is missing.</p>"
        } else {
            "<p>Stacks and values: nothing was captured of this incident.</p>"
        });
    } else {
        h.raw("<table class=\"losses\"><thead><tr><th>What<th>Why</tr></thead><tbody>");
        for loss in losses.take(MAX_ROWS) {
            h.raw("<tr><th scope=\"row\">").text_up_to(&loss.what, MAX_TEXT).raw("</th><td>");
            h.text_up_to(&loss.why, MAX_TEXT).raw("</td></tr>");
        }
        h.raw("</tbody></table>");
    }
    h.raw("</section>");
}

/// How the time went, and what identifies the error.
pub(super) fn identity(h: &mut Html, incident: &Incident) {
    h.raw("<section class=\"card\"><h2>After the trap</h2><table class=\"facts\"><tbody>");
    for (_, what, us) in words::milestones(&incident.timings) {
        h.raw("<tr><th scope=\"row\">")
            .raw(what)
            .raw("</th><td class=\"number\">")
            .text(words::duration_us(us));
        h.raw("</td></tr>");
    }
    h.raw("</tbody></table><h3>Fingerprint</h3><p><code class=\"wrap\">").text(incident.fingerprint);
    h.raw("</code></p><h3>Build</h3><p><code class=\"wrap\">").text(&incident.build_id).raw("</code></p>");
    h.raw("<p><a href=\"/api/v1/incidents/").text(incident.id).raw("\">Everything as JSON</a></p></section>");
}
