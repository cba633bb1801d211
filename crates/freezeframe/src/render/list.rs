//! All incidents as a table that fits the width: what broke gets the room that is left.

use freezeframe_api::words;
use freezeframe_model::{Incident, Timestamp};

use super::Style;
use super::page::Tone::{Blue, Plain, Soft, Strong};
use super::page::{Page, cut};

/// The list, as of now.
pub(crate) fn incidents(incidents: &[Incident], style: Style) -> String {
    incidents_at(incidents, style, Timestamp::now())
}

/// The list as of `now`.
pub(super) fn incidents_at(incidents: &[Incident], style: Style, now: Timestamp) -> String {
    let mut page = Page::new(style);
    if incidents.is_empty() {
        page.line(0, &[(Soft, "Nothing has broken.")]);
        return page.finish();
    }
    let rows: Vec<[String; 4]> = incidents
        .iter()
        .map(|incident| {
            [
                incident.id.to_string(),
                format!("{} {}", words::state_icon(incident.state), incident.state),
                format!("{}×", incident.count),
                format!("{} ago", words::duration_ms(now.since_ms(incident.captured_at))),
            ]
        })
        .collect();
    let titles = ["INCIDENT", "STATE", "SEEN", "WHEN"];
    let widths: Vec<usize> = titles
        .iter()
        .enumerate()
        .map(|(column, title)| {
            let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
            cells.chain([title.len()]).max().unwrap_or(0) + 2
        })
        .collect();
    let pad = |cells: [&str; 4]| -> Vec<String> {
        cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect()
    };
    let room = page.width().saturating_sub(widths.iter().sum()).max(12);
    let heading = pad(titles).concat();
    page.line(0, &[(Soft, &heading), (Soft, &cut("WHAT BROKE", room))]);
    for (incident, [id, state, seen, when]) in incidents.iter().zip(&rows) {
        let cells = pad([id, state, seen, when]);
        let [id, state, seen, when] = cells.as_slice() else { continue };
        let what = match incident.message.lines().map(str::trim).find(|line| !line.is_empty()) {
            Some(message) => format!("{message} · {}", incident.sentence()),
            None => incident.sentence(),
        };
        let tone = if incident.state.is_live() { Blue } else { Plain };
        page.line(0, &[(Strong, id), (tone, state), (Plain, seen), (Soft, when), (Plain, &cut(&what, room))]);
    }
    page.finish()
}
