//! Tables: all incidents, all users, all tokens. They fit the width, and what matters most gets the room that is left.

use freezeframe_api::dto::{IncidentSummary, TokenList, UserList};
use freezeframe_api::words;
use freezeframe_model::{IncidentState, Timestamp};

use super::Style;
use super::page::Tone::{Blue, Plain, Soft, Strong};
use super::page::{Page, cut};

/// The list, as of now.
pub(crate) fn incidents(incidents: &[IncidentSummary], style: Style) -> String {
    incidents_at(incidents, style, Timestamp::now())
}

/// The list as of `now`.
pub(super) fn incidents_at(incidents: &[IncidentSummary], style: Style, now: Timestamp) -> String {
    let mut page = Page::new(style);
    if incidents.is_empty() {
        page.line(0, &[(Soft, "Nothing has broken.")]);
        return page.finish();
    }
    let rows: Vec<[String; 4]> = incidents
        .iter()
        .map(|incident| {
            let icon = IncidentState::named(&incident.state).map_or("?", words::state_icon);
            let captured_at = words::parse_rfc3339(&incident.captured_at).unwrap_or(now);
            [
                incident.id.clone(),
                format!("{icon} {}", incident.state),
                format!("{}×", incident.count),
                format!("{} ago", words::duration_ms(now.since_ms(captured_at))),
            ]
        })
        .collect();
    let titles = ["INCIDENT", "STATE", "SEEN", "WHEN"];
    let widths = widths(titles, &rows);
    let room = page.width().saturating_sub(widths.iter().sum()).max(12);
    let heading = padded(titles, &widths).concat();
    page.line(0, &[(Soft, &heading), (Soft, &cut("WHAT BROKE", room))]);
    for (incident, row) in incidents.iter().zip(&rows) {
        let [id, state, seen, when] = padded(row.each_ref().map(String::as_str), &widths);
        let what = match incident.message.lines().map(str::trim).find(|line| !line.is_empty()) {
            Some(message) => format!("{message} · {}", incident.sentence),
            None => incident.sentence.clone(),
        };
        let is_live = IncidentState::named(&incident.state).is_some_and(IncidentState::is_live);
        let tone = if is_live { Blue } else { Plain };
        page.line(
            0,
            &[(Strong, &id), (tone, &state), (Plain, &seen), (Soft, &when), (Plain, &cut(&what, room))],
        );
    }
    page.finish()
}

/// Who may sign in.
pub(crate) fn users(list: &UserList, style: Style) -> String {
    let rows: Vec<[String; 3]> = list
        .users
        .iter()
        .map(|user| [user.name.clone(), user.roles.join(","), date(&user.created_at)])
        .collect();
    plain(["USER", "MAY", "SINCE"], &rows, "Nobody may sign in but with the data directory's token.", style)
}

/// Which scripts may call.
pub(crate) fn tokens(list: &TokenList, style: Style) -> String {
    let rows: Vec<[String; 4]> = list
        .tokens
        .iter()
        .map(|token| {
            let end = match &token.expires_at {
                Some(end) if token.is_expired => format!("{}, over", date(end)),
                Some(end) => date(end),
                None => "never".to_owned(),
            };
            [token.name.clone(), token.roles.join(","), date(&token.created_at), end]
        })
        .collect();
    plain(["TOKEN", "MAY", "SINCE", "ENDS"], &rows, "There are no tokens but the data directory's.", style)
}

fn date(rfc3339: &str) -> String {
    words::parse_rfc3339(rfc3339).map_or_else(String::new, words::date_and_time)
}

fn plain<const N: usize>(titles: [&str; N], rows: &[[String; N]], none: &str, style: Style) -> String {
    let mut page = Page::new(style);
    if rows.is_empty() {
        page.line(0, &[(Soft, none)]);
        return page.finish();
    }
    let widths = widths(titles, rows);
    page.line(0, &[(Soft, &padded(titles, &widths).concat())]);
    for row in rows {
        page.line(0, &[(Plain, &padded(row.each_ref().map(String::as_str), &widths).concat())]);
    }
    page.finish()
}

fn widths<const N: usize>(titles: [&str; N], rows: &[[String; N]]) -> [usize; N] {
    std::array::from_fn(|column| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([titles[column].len()]).max().unwrap_or(0) + 2
    })
}

fn padded<const N: usize>(cells: [&str; N], widths: &[usize; N]) -> [String; N] {
    std::array::from_fn(|column| format!("{:<width$}", cells[column], width = widths[column]))
}
