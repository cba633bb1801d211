//! The first screen of an incident, put together from what is known: bounded, whatever was captured.

use freezeframe_model::{Capture, Incident, Owner, Sightings, SourceLine};

use crate::dto::{ImpactShape, Overview, Room, SourceLineShape, StatusShape, ThreadShape};
use crate::section::{self, Known};
use crate::words::{self, rfc3339};

/// What goes into the first screen.
const FIRST: Room = Room { frames: 128, values: 600, parts: 20, depth: 8, text: 1000 };
/// What goes into an answer about one thread.
pub(crate) const ONE_THREAD: Room =
    Room { frames: 1024, values: 20_000, parts: 1000, depth: 16, text: 16 << 10 };
/// Source lines, and the longest of them in characters.
const MAX_SOURCE: (usize, usize) = (60, 1000);
/// Longest message, in characters.
const MAX_MESSAGE: usize = 4000;

/// What a person needs first.
pub(crate) fn overview(known: &Known<'_>, sightings: &Sightings) -> Overview {
    let Known { incident, capture, record } = *known;
    let site = capture.and_then(words::site_frame).map(|(number, _)| number);
    let failing = capture.and_then(Capture::failing_thread);
    let executable = capture.and_then(|capture| {
        let of_build = |module: &&freezeframe_model::Module| module.build_id == incident.build_id;
        capture.modules.iter().find(of_build).filter(|module| !module.build_id.0.is_empty())
    });
    let age = |since| incident.captured_at.since_ms(since);
    Overview {
        schema: "freezeframe-overview/1".to_owned(),
        status: status(incident, record.owner.as_ref()),
        first_seen: rfc3339(sightings.first_seen),
        seen_before: sightings.seen_before,
        executable: executable.map(|module| module.path.clone()),
        debug_info: executable.map(|module| module.debug_info.clone()),
        build_since: sightings.build_since.map(rfc3339),
        build_age_ms: sightings.build_since.map(age),
        revision: sightings.revision.clone(),
        request: (&incident.request).into(),
        source: capture.map(|capture| source_around(&capture.source, capture.site.line)).unwrap_or_default(),
        failing: failing.map(|thread| ThreadShape::within(thread, site, FIRST)),
        site_frame: site,
        sections: section::heads(known),
        notes: record.notes.len(),
    }
}

/// The part of it that changes.
pub(crate) fn status(incident: &Incident, owner: Option<&Owner>) -> StatusShape {
    let impact = |(well, text)| ImpactShape { well, text };
    let mut summary = crate::dto::IncidentSummary::from(incident);
    if let Some((cut, _)) = summary.message.char_indices().nth(MAX_MESSAGE) {
        summary.message.truncate(cut);
        summary.message.push('…');
    }
    let held = incident.state.is_live().then_some(incident.hold.resident_bytes);
    StatusShape {
        summary,
        owner: owner.map(|owner| owner.who.clone()),
        acknowledged_at: owner.map(|owner| rfc3339(owner.at)),
        timings_ms: (&incident.timings).into(),
        replaced: impact(words::replaced(incident)),
        lost: impact((Some(incident.requests_lost == 0), words::requests_lost(incident))),
        quarantine: impact(words::quarantine(incident)),
        held_bytes: held.filter(|bytes| *bytes > 0),
    }
}

/// Source around a line; where there is more than fits, what is nearest to it.
pub(crate) fn source_around(source: &[SourceLine], line: u32) -> Vec<SourceLineShape> {
    let (max_lines, max_text) = MAX_SOURCE;
    let at = source.iter().position(|known| known.number == line).unwrap_or(0);
    let first = at.saturating_sub(max_lines / 2).min(source.len().saturating_sub(max_lines));
    let shape = |line: &SourceLine| SourceLineShape {
        line: line.number,
        text: line.text.chars().take(max_text).collect(),
    };
    source.iter().skip(first).take(max_lines).map(shape).collect()
}
