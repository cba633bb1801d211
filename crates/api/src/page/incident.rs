//! The page of one incident, in the order of need at 3 am: are users still hurt, what broke, where, with which values, for how
//! long it stays held, and what can be done.

use freezeframe_model::{Capture, Incident, IncidentState, Timestamp};

use super::ask::Place;
use super::html::Html;
use super::list::headline;
use super::{Viewer, evidence, frame, stack, tasks, variables};
use crate::words;

/// Longest message, in characters.
const MAX_MESSAGE: usize = 2000;
/// Source lines on the page, and the longest of them in characters.
const MAX_SOURCE: (usize, usize) = (60, 400);

/// What was just done from this page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Notice(pub(crate) &'static str);

/// The page.
pub(crate) fn incident(
    incident: &Incident,
    capture: Option<&Capture>,
    notice: Option<Notice>,
    now: Timestamp,
    viewer: Viewer,
) -> String {
    frame(&format!("{} {}", incident.id, incident.state), viewer, |h| {
        if let Some(Notice(done)) = notice {
            h.raw("<p class=\"card notice\" role=\"status\">").raw(done).raw("</p>");
        }
        head(h, incident, now);
        h.raw("<div class=\"columns\"><div>");
        site(h, incident, capture);
        if let Some(capture) = capture {
            if let Some(thread) = capture.failing_thread() {
                let site = words::site_frame(capture).map(|(number, _)| number);
                stack::failing_stack(h, incident, thread, site);
            }
            stack::other_threads(h, incident, capture);
            tasks::tasks(h, &capture.tasks);
        }
        evidence::request(h, &incident.request);
        evidence::logs(h, &incident.logs);
        h.raw("</div><div>");
        what_next(h, incident);
        evidence::not_captured(h, incident, capture);
        evidence::identity(h, incident);
        h.raw("</div></div>");
    })
}

/// State as icon and word.
pub(super) fn state_badge(h: &mut Html, state: IncidentState) {
    h.raw("<span class=\"state ").raw(state.as_str()).raw("\"><span aria-hidden=\"true\">");
    h.raw(words::state_icon(state)).raw("</span> ").raw(state.as_str()).raw("</span>");
}

fn head(h: &mut Html, incident: &Incident, now: Timestamp) {
    h.raw("<section class=\"card head\"><p class=\"meta\"><strong class=\"id\">")
        .text(incident.id)
        .raw("</strong>");
    state_badge(h, incident.state);
    h.raw("<span>").text(&incident.service).raw("/").text(incident.instance).raw("</span>");
    if incident.state.is_live() && incident.hold.pid > 0 {
        h.raw("<span>pid ").text(incident.hold.pid).raw("</span>");
    }
    let build = words::short_build(incident);
    if !build.is_empty() {
        h.raw("<span>build <code>").text(build).raw("</code></span>");
    }
    h.raw("<span>").text(words::date_and_time(incident.captured_at)).raw(" (");
    h.text(words::duration_ms(now.since_ms(incident.captured_at))).raw(" ago)</span></p><h1>");
    h.text_up_to(headline(incident), MAX_MESSAGE)
        .raw("</h1><p class=\"sentence\">")
        .text(incident.sentence());
    h.raw("</p><dl class=\"tiles\">");
    let (well, replaced) = words::replaced(incident);
    tile(h, "Users", well, &replaced);
    tile(h, "Requests lost", Some(incident.requests_lost == 0), &words::requests_lost(incident));
    let (firm, hold) = words::quarantine(incident);
    tile(h, "Quarantine", firm, &hold);
    if let Some(lease) = words::lease(incident, now) {
        let until = words::date_and_time(incident.hold.lease_until);
        tile(h, "Lease", None, &format!("{lease} ({})", until.get(11..).unwrap_or_default()));
    }
    tile(h, "Seen", None, &words::seen(incident));
    h.raw("</dl></section>");
}

/// What is as it should be carries a tick, what is not a warning sign, and what is neither nothing.
fn tile(h: &mut Html, name: &'static str, well: Option<bool>, text: &str) {
    h.raw("<div class=\"tile\"><dt>").raw(name).raw("</dt><dd>");
    match well {
        Some(true) => h.raw("<span class=\"good\" aria-hidden=\"true\">✓</span><span>"),
        Some(false) => {
            h.raw("<span class=\"warning\" aria-hidden=\"true\">⚠\u{fe0e}</span><span class=\"warning\">")
        }
        None => h.raw("<span>"),
    };
    h.text(text).raw("</span></dd></div>");
}

/// The source around the site, and the values beside it.
fn site(h: &mut Html, incident: &Incident, capture: Option<&Capture>) {
    h.raw("<section class=\"card\"><h2>Site</h2><p><code class=\"strong\">")
        .text_up_to(&incident.site.function, 400);
    h.raw("</code> <span class=\"place\">")
        .text(words::place(&incident.site.file, incident.site.line))
        .raw("</span></p>");
    let Some(capture) = capture else {
        h.raw("<p class=\"hint\">Nothing was captured of this incident.</p></section>");
        return;
    };
    let (max_lines, max_text) = MAX_SOURCE;
    if capture.source.is_empty() {
        h.raw("<p class=\"hint\">The source file could not be read when the capture was made.</p>");
    } else {
        h.raw("<pre class=\"source\" tabindex=\"0\" aria-label=\"Source around the site\"><code>");
        for line in capture.source.iter().take(max_lines) {
            let failing = line.number == incident.site.line;
            h.raw(if failing { "<mark><span class=\"gutter\">▶ " } else { "<span class=\"gutter\">  " });
            h.text(format_args!("{:>5}", line.number)).raw("</span>  ").text_up_to(&line.text, max_text);
            h.raw(if failing { "</mark>\n" } else { "\n" });
        }
        h.raw("</code></pre>");
    }
    if let Some((number, frame)) = words::site_frame(capture) {
        h.raw("<h3>Variables <span class=\"hint\">frame ").text(number).raw("</span></h3>");
        if frame.variables.is_empty() {
            h.raw("<p class=\"hint\">This frame has no variables, or its debug information has none.</p>");
        } else {
            let place = capture.failing_thread().map(|thread| Place::new(incident, thread.id, number));
            variables::frame_variables(h, "Variables of the site's frame", &frame.variables, place);
        }
    }
    h.raw("</section>");
}

/// Commands to copy, and the actions behind one more click each, with what they lead to.
fn what_next(h: &mut Html, incident: &Incident) {
    h.raw("<section class=\"card\"><h2>Next</h2><dl class=\"commands\">");
    for (command, meaning) in words::next_commands(incident) {
        h.raw("<div><dt><code class=\"copy\">")
            .text(command)
            .raw("</code></dt><dd>")
            .raw(meaning)
            .raw("</dd></div>");
    }
    h.raw("</dl>");
    if incident.state.is_live() {
        action(h, incident, "extend", "Hold it longer…", "The lease ends one hour later.", "Extend by 1 h");
        action(
            h,
            incident,
            "core",
            "Write a core file…",
            "It stays held; the core can be large.",
            "Write core",
        );
        let release = "The process goes on from where it stands, with its open connections and transactions. It gets no new \
             requests, is then ended in good order, and cannot be held again.";
        action(h, incident, "release", "Release…", release, "Release");
        let kill =
            "The process ends at once; its open transactions are rolled back. What was captured stays.";
        action(h, incident, "kill", "Kill…", kill, "Kill");
    }
    h.raw("</section>");
}

fn action(
    h: &mut Html,
    incident: &Incident,
    name: &'static str,
    title: &'static str,
    consequence: &'static str,
    button: &'static str,
) {
    h.raw("<details class=\"action\"><summary>").raw(title).raw("</summary><p>").raw(consequence);
    h.raw("</p><form method=\"post\" action=\"/i/").text(incident.id).raw("/").raw(name);
    h.raw("\"><button class=\"").raw(name).raw("\">").raw(button).raw("</button></form></details>");
}
