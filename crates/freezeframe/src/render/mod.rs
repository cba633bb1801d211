//! What a person sees in the terminal: the page of one incident, and the list of all.
//!
//! The order is that of need at 3 am: are users still hurt, what broke, where, with which values, for how long it stays held, and what can
//! be done. Nothing here prints or asks the terminal for anything; the caller says how wide it is and whether it shows colour.

mod evidence;
mod json;
mod list;
mod page;
mod stack;
mod tasks;
#[cfg(test)]
pub(crate) mod tests;
mod values;

use freezeframe_api::words;
use freezeframe_model::{Capture, Incident, IncidentId, Question, Timestamp, Variable};

use page::Page;
use page::Tone::{Bad, Blue, Good, Plain, Soft, Strong, Warn};

pub(crate) use json::json;
pub(crate) use list::{incidents, tokens, users};
pub(crate) use page::{Line, Tone, clean, clean_but_colours, clean_lines, clean_to};
pub(crate) use values::base;

/// Lines of a message on the page.
const MAX_MESSAGE_LINES: usize = 20;

/// How the page is to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Style {
    /// Whether to use ANSI colours.
    pub(crate) color: bool,
    /// Columns of the terminal; below 40 is taken for 40.
    pub(crate) width: usize,
    /// Whether asynchronous tasks are shown with their stacks.
    pub(crate) tasks: bool,
}

/// Stands for a core that was never an incident here; incidents count from 1.
pub(crate) const CORE_ID: IncidentId = IncidentId(0);

/// How an incident is called.
pub(crate) fn label(incident: &Incident) -> String {
    if incident.id == CORE_ID { "core".to_owned() } else { incident.id.to_string() }
}

/// One value with what is below it. With a question, what is cut off says how it is asked for.
pub(crate) fn variable(variable: &Variable, question: Option<&Question>, style: Style) -> String {
    let mut page = Page::new(style);
    values::value(&mut page, variable, question);
    page.finish()
}

/// The page of an incident, as of now.
pub(crate) fn incident(incident: &Incident, capture: Option<&Capture>, style: Style) -> String {
    incident_page(incident, capture, style, Timestamp::now()).finish()
}

/// The same as lines in tones.
pub(crate) fn incident_lines(incident: &Incident, capture: Option<&Capture>, style: Style) -> Vec<Line> {
    incident_page(incident, capture, style, Timestamp::now()).into_lines()
}

/// The page of an incident as of `now`.
#[cfg(test)]
fn incident_at(incident: &Incident, capture: Option<&Capture>, style: Style, now: Timestamp) -> String {
    incident_page(incident, capture, style, now).finish()
}

fn incident_page(incident: &Incident, capture: Option<&Capture>, style: Style, now: Timestamp) -> Page {
    let mut page = Page::new(style);
    head(&mut page, incident, now);
    let is_core = incident.id == CORE_ID;
    if !is_core {
        impact(&mut page, incident, now);
    }
    stack::site(&mut page, incident, capture);
    if let Some(capture) = capture {
        stack::failing(&mut page, incident, capture);
        stack::others(&mut page, capture);
        tasks::tasks(&mut page, &capture.tasks, style.tasks);
    }
    if !is_core {
        evidence::request(&mut page, &incident.request);
        evidence::logs(&mut page, &incident.logs);
    }
    evidence::not_captured(&mut page, incident, capture);
    if is_core {
        return page;
    }
    page.heading("Next", "");
    for (command, meaning) in words::next_commands(incident) {
        page.line(2, &[(Strong, &format!("{command:<30}")), (Soft, " "), (Soft, meaning)]);
    }
    page
}

fn head(page: &mut Page, incident: &Incident, now: Timestamp) {
    let state = format!("{} {}", words::state_icon(incident.state), incident.state);
    let tone = if incident.state.is_live() { Blue } else { Plain };
    let mut facts = format!("{}/{}", incident.service, incident.instance);
    if incident.state.is_live() && incident.hold.pid > 0 {
        facts += &format!("  pid {}", incident.hold.pid);
    }
    let build = words::short_build(incident);
    if !build.is_empty() {
        facts += &format!("  build {build}");
    }
    let ago = words::duration_ms(now.since_ms(incident.captured_at));
    facts += &format!("  {} ({ago} ago)", words::date_and_time(incident.captured_at));
    page.line(0, &[(Strong, &label(incident)), (Plain, "  "), (tone, &state), (Plain, "  "), (Soft, &facts)]);
    page.blank();
    let message = incident.message.trim();
    for line in message.lines().take(MAX_MESSAGE_LINES) {
        page.line(0, &[(Bad, line)]);
    }
    if message.lines().count() > MAX_MESSAGE_LINES {
        page.line(0, &[(Soft, "… the message goes on")]);
    }
    page.line(0, &[(Plain, &incident.sentence())]);
    page.blank();
}

/// What it did to users, how it is held, for how long, and how often it was seen.
fn impact(page: &mut Page, incident: &Incident, now: Timestamp) {
    let mut fact = |name: &str, well: Option<bool>, text: &str| {
        let (mark, tone) = match well {
            Some(true) => ((Good, "✓ "), Plain),
            Some(false) => ((Warn, "! "), Warn),
            None => ((Plain, "  "), Plain),
        };
        page.line(2, &[mark, (Soft, &format!("{name:<15}")), (tone, text)]);
    };
    let (well, replaced) = words::replaced(incident);
    fact("Users", well, &replaced);
    fact("Requests lost", Some(incident.requests_lost == 0), &words::requests_lost(incident));
    let (firm, hold) = words::quarantine(incident);
    fact("Quarantine", firm, &hold);
    if let Some(lease) = words::lease(incident, now) {
        let until = words::date_and_time(incident.hold.lease_until);
        fact("Lease", None, &format!("{lease} ({})", until.get(11..).unwrap_or_default()));
    }
    fact("Seen", None, &words::seen(incident));
    let fingerprint = incident.fingerprint.to_string();
    fact("Fingerprint", None, &fingerprint);
}
