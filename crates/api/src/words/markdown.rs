//! An incident as Markdown, for a ticket, a chat or a mail: the same text behind the page's button, `show --markdown` and alerts.
//!
//! Nearly every text in it comes from outside. Words stand with their markup taken away, names and values in code spans, lines
//! in code blocks whose fences are longer than any in them: nothing can add structure, a link, an image or a mention, and no
//! terminal obeys it.

use std::fmt::Write;

use freezeframe_model::{Capture, Incident, Record, Sightings, Timestamp, Value, Variable};

use super::{
    StackPart, date_and_time, duration_ms, is_deceptive, lease, place, quarantine, recognised, replaced,
    requests_lost, rfc3339, seen, site_frame, stack_parts, state_icon,
};
use crate::section::{self, Known};

/// Characters of one text.
const MAX_TEXT: usize = 400;
/// Lines of the message.
const MAX_MESSAGE_LINES: usize = 20;
/// Moments of the timeline: the last before the error and everything after it, as far as there is room.
const MAX_MOMENTS: usize = 60;
/// Source lines before and after the failing one.
const AROUND: u32 = 2;
/// Values beside them.
const MAX_VALUES: usize = 24;
/// Frames of the stack.
const MAX_FRAMES: usize = 40;
/// Notes and actions.
const MAX_RECORDS: usize = 50;

/// What is written down of an incident.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    /// The incident.
    pub incident: &'a Incident,
    /// What was captured of it.
    pub capture: Option<&'a Capture>,
    /// What people wrote and did.
    pub record: &'a Record,
    /// What is known from before it.
    pub sightings: &'a Sightings,
    /// Its page.
    pub link: Option<&'a str>,
    /// With values, source and log lines; without them it carries nothing from the process but names of functions and paths.
    pub with_values: bool,
}

impl Report<'_> {
    /// The text, as of `now`.
    pub fn markdown(&self, now: Timestamp) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = self.write(&mut text, now);
        text
    }

    fn write(&self, to: &mut String, now: Timestamp) -> std::fmt::Result {
        let incident = self.incident;
        writeln!(to, "# {}: {}\n", incident.id, words(&incident.sentence()))?;
        writeln!(
            to,
            "{} {} · {} · instance {} · {}\n",
            state_icon(incident.state),
            incident.state,
            words(&incident.service),
            incident.instance,
            date_and_time(incident.captured_at)
        )?;
        if let Some(link) = self.link {
            writeln!(to, "<{}>\n", address(link))?;
        }
        writeln!(to, "## Summary\n")?;
        if self.with_values && !incident.message.trim().is_empty() {
            let lines = incident.message.trim().lines().take(MAX_MESSAGE_LINES);
            block(to, lines.map(str::to_owned).collect())?;
        } else {
            writeln!(to, "{}\n", words(&incident.sentence()))?;
        }
        self.impact(to, now)?;
        self.timeline(to)?;
        self.error(to)?;
        self.stack(to)?;
        self.versions(to)?;
        self.request(to)?;
        self.people(to)?;
        writeln!(to, "## Root cause\n\n## Follow-ups")
    }

    fn impact(&self, to: &mut String, now: Timestamp) -> std::fmt::Result {
        let incident = self.incident;
        writeln!(to, "## Impact\n")?;
        writeln!(to, "- Users: {}", words(&replaced(incident).1))?;
        writeln!(to, "- Requests lost: {}", requests_lost(incident))?;
        writeln!(to, "- Quarantine: {}", words(&quarantine(incident).1))?;
        if let Some(lease) = lease(incident, now) {
            writeln!(to, "- Lease: {lease} ({})", date_and_time(incident.hold.lease_until))?;
        }
        let before = match self.sightings.seen_before {
            0 => "new".to_owned(),
            before => {
                format!("{before} before, first at {}", date_and_time(self.sightings.first_seen))
            }
        };
        writeln!(to, "- Seen: {}, {before}", seen(incident))?;
        if let Some(owner) = &self.record.owner {
            writeln!(to, "- Owner: {} since {}", words(&owner.who), date_and_time(owner.at))?;
        }
        writeln!(to)
    }

    fn timeline(&self, to: &mut String) -> std::fmt::Result {
        let known = Known { incident: self.incident, capture: self.capture, record: self.record };
        let mut moments = section::moments(&known, false);
        if !self.with_values {
            moments.retain(|moment| !matches!(moment.kind, "log" | "note"));
        }
        let skip = moments.len().saturating_sub(MAX_MOMENTS);
        writeln!(to, "## Timeline (UTC)\n")?;
        if skip > 0 {
            writeln!(to, "- {skip} earlier moments are left out")?;
        }
        for moment in moments.iter().skip(skip) {
            let at = rfc3339(moment.at);
            let who = moment.who.map(|who| format!("{}: ", words(who))).unwrap_or_default();
            let mark = if moment.is_bad { " ✖" } else { "" };
            let text = if moment.kind == "log" { code(&moment.text) } else { words(&moment.text) };
            writeln!(to, "- `{at}`{mark} {}: {who}{text}", moment.kind)?;
        }
        writeln!(to)
    }

    fn error(&self, to: &mut String) -> std::fmt::Result {
        let site = &self.incident.site;
        writeln!(to, "## Error\n")?;
        let at = place(&site.file, site.line);
        match (site.function.is_empty(), at.is_empty()) {
            (true, _) => writeln!(to, "At an unknown place.\n")?,
            (false, true) => writeln!(to, "In {}\n", code(&site.function))?,
            (false, false) => writeln!(to, "In {} at {}\n", code(&site.function), code(&at))?,
        }
        let Some(capture) = self.capture.filter(|_| self.with_values) else { return Ok(()) };
        let near = site.line.saturating_sub(AROUND)..=site.line.saturating_add(AROUND);
        let lines: Vec<String> = capture
            .source
            .iter()
            .filter(|line| near.contains(&line.number))
            .map(|line| {
                let mark = if line.number == site.line { "▶" } else { " " };
                format!("{mark} {:>5}  {}", line.number, line.text)
            })
            .collect();
        if !lines.is_empty() {
            block(to, lines)?;
        }
        let Some((_, frame)) = site_frame(capture) else { return Ok(()) };
        for variable in frame.variables.iter().take(MAX_VALUES) {
            writeln!(to, "- {} = {}", code(&variable.name), value(variable))?;
        }
        if frame.variables.len() > MAX_VALUES {
            writeln!(to, "- {} more", frame.variables.len() - MAX_VALUES)?;
        }
        if !frame.variables.is_empty() {
            writeln!(to)?;
        }
        Ok(())
    }

    fn stack(&self, to: &mut String) -> std::fmt::Result {
        let Some(thread) = self.capture.and_then(Capture::failing_thread) else { return Ok(()) };
        writeln!(to, "## Stack\n\nThread {} {}, without library frames:\n", thread.id, code(&thread.name))?;
        let own = stack_parts(&thread.frames).into_iter().filter_map(|part| match part {
            StackPart::Own(number, frame) => Some((number, frame)),
            StackPart::Library(..) => None,
        });
        let mut shown = 0;
        for (number, frame) in own.take(MAX_FRAMES) {
            let at = place(&frame.file, frame.line);
            let at = if at.is_empty() { String::new() } else { format!(" at {}", code(&at)) };
            writeln!(to, "- #{number} {}{at}", code(&frame.function))?;
            shown += 1;
        }
        if shown == 0 {
            writeln!(to, "- no frame is of the service's own code")?;
        }
        writeln!(to)
    }

    fn versions(&self, to: &mut String) -> std::fmt::Result {
        let (incident, sightings) = (self.incident, self.sightings);
        writeln!(to, "## Versions\n")?;
        let build = incident.build_id.to_string();
        writeln!(to, "- Build: {}", if build.is_empty() { "unknown".to_owned() } else { code(&build) })?;
        if let Some(since) = sightings.build_since {
            let age = duration_ms(incident.captured_at.since_ms(since));
            writeln!(to, "- Deployed: {}, {age} before the error", date_and_time(since))?;
        }
        if let Some(revision) = &sightings.revision {
            writeln!(to, "- Revision: {}", code(revision))?;
        }
        writeln!(to, "- Fingerprint: `{}`\n", incident.fingerprint)
    }

    fn request(&self, to: &mut String) -> std::fmt::Result {
        let failing = &self.incident.request;
        writeln!(to, "## Request\n")?;
        writeln!(to, "- {} ({})", code(&failing.describe()), recognised(failing.matched_by))?;
        if let Some(request) = &failing.request {
            let trace = request.traceparent.split('-').nth(1).unwrap_or_default();
            if !trace.is_empty() {
                writeln!(to, "- Trace: {}", code(trace))?;
            }
        }
        if !failing.journey.is_empty() {
            writeln!(to, "- Journey of the same user:")?;
        }
        for exchange in &failing.journey {
            let what = format!("{} {}", exchange.request.method, exchange.request.path);
            let at = super::clock(exchange.request.started_at);
            writeln!(to, "  - `{at}` {} {}", code(&what), exchange.status)?;
        }
        writeln!(to)
    }

    fn people(&self, to: &mut String) -> std::fmt::Result {
        writeln!(to, "## Actions taken\n")?;
        let audit = &self.record.audit;
        if audit.is_empty() {
            writeln!(to, "- none yet")?;
        }
        for entry in audit.iter().skip(audit.len().saturating_sub(MAX_RECORDS)) {
            let detail =
                if entry.detail.is_empty() { String::new() } else { format!(" ({})", words(&entry.detail)) };
            let (at, who) = (date_and_time(entry.at), words(&entry.who));
            writeln!(to, "- {at} {who}: {}{detail}", words(&entry.what))?;
        }
        writeln!(to)?;
        let notes = &self.record.notes;
        if self.with_values && !notes.is_empty() {
            writeln!(to, "## Notes\n")?;
            for note in notes.iter().skip(notes.len().saturating_sub(MAX_RECORDS)) {
                writeln!(to, "- {} {}: {}", date_and_time(note.at), words(&note.who), words(&note.text))?;
            }
            writeln!(to)?;
        }
        Ok(())
    }
}

fn value(variable: &Variable) -> String {
    match &variable.value {
        Value::Text(text) => code(text),
        Value::Redacted(why) => format!("redacted: {}", words(why)),
        Value::Unavailable(why) => words(why),
        Value::Cut(why) => format!("left out: {}", words(why)),
        Value::Composite => {
            let parts = variable.children.len();
            format!("{} with {}", code(&variable.type_name), super::counted(parts, "part"))
        }
    }
}

/// One line of plain characters, of bounded length.
fn line(text: &str, max: usize) -> String {
    let mut plain = String::new();
    let mut characters = text.chars();
    for c in characters.by_ref().take(max) {
        match c {
            '\n' | '\r' | '\t' => plain.push(' '),
            c if is_deceptive(c) => plain.push('\u{fffd}'),
            c => plain.push(c),
        }
    }
    if characters.next().is_some() {
        plain.push('…');
    }
    plain
}

/// Text whose characters mean nothing to Markdown. Entities cannot take part in structure (CommonMark 0.31, section 2.5), and unlike
/// backslashes they also keep GitHub's extensions from making links and mentions.
fn words(text: &str) -> String {
    let plain = line(text, MAX_TEXT);
    let mut safe = String::with_capacity(plain.len());
    let mut before = ' ';
    for (at, c) in plain.char_indices() {
        let after = plain[at..].chars().nth(1).unwrap_or(' ');
        let is_link = c == ':' && plain[at..].starts_with("://")
            || c == '.' && before.eq_ignore_ascii_case(&'w')
            || c == '@';
        match c {
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            // Within a word an underscore is only that.
            '_' if before.is_alphanumeric() && after.is_alphanumeric() => safe.push(c),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '#' | '!' | '$' => {
                let _ = write!(safe, "&#{};", u32::from(c));
            }
            c if is_link => {
                let _ = write!(safe, "&#{};", u32::from(c));
            }
            c => safe.push(c),
        }
        before = c;
    }
    safe
}

/// A code span: its fence is longer than any run of backticks in it.
fn code(text: &str) -> String {
    let plain = line(text, MAX_TEXT);
    if plain.trim().is_empty() {
        return "(nothing)".to_owned();
    }
    let fence = "`".repeat(longest_run(&plain) + 1);
    let space = if plain.starts_with('`') || plain.ends_with('`') { " " } else { "" };
    format!("{fence}{space}{plain}{space}{fence}")
}

/// A code block: its fence is longer than any run of backticks in it.
fn block(to: &mut String, lines: Vec<String>) -> std::fmt::Result {
    let lines: Vec<String> = lines.iter().map(|text| line(text, MAX_TEXT)).collect();
    let longest = lines.iter().map(|line| longest_run(line)).max().unwrap_or(0);
    let fence = "`".repeat((longest + 1).max(3));
    writeln!(to, "{fence}text\n{}\n{fence}\n", lines.join("\n"))
}

fn longest_run(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or(0)
}

/// A link as an autolink can carry it.
fn address(link: &str) -> String {
    let fits = |c: &char| !c.is_control() && !c.is_whitespace() && !matches!(c, '<' | '>');
    link.chars().filter(fits).take(2000).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_have_no_markup_no_links_and_nothing_for_a_terminal() {
        for (text, safe) in [
            ("plain: 3 < 4", "plain: 3 &lt; 4"),
            ("**bold** `code`", "&#42;&#42;bold&#42;&#42; &#96;code&#96;"),
            ("[a](https://evil.example)", "&#91;a&#93;(https&#58;//evil.example)"),
            ("![](x) www.evil.example @team", "&#33;&#91;&#93;(x) www&#46;evil.example &#64;team"),
            ("a\n# heading\u{1b}[2J\u{202e}", "a &#35; heading\u{fffd}&#91;2J\u{fffd}"),
            ("<script>", "&lt;script&gt;"),
            ("CAP_NET_ADMIN _x_", "CAP_NET_ADMIN &#95;x&#95;"),
        ] {
            assert_eq!(words(text), safe);
        }
        assert_eq!(words(&"x".repeat(1000)).chars().count(), MAX_TEXT + 1);
    }

    #[test]
    fn code_cannot_be_left_from_inside() {
        assert_eq!(code("a"), "`a`");
        assert_eq!(code("`a``b"), "``` `a``b ```");
        assert_eq!(code("a\n\n# b"), "`a  # b`");
        assert_eq!(code(" \n"), "(nothing)");
        let mut text = String::new();
        block(&mut text, vec!["````\n# out".to_owned(), "\u{1b}".to_owned()])
            .expect("a string takes everything");
        assert_eq!(text, "`````text\n```` # out\n\u{fffd}\n`````\n\n");
    }
}
