//! Drawing. Rows are given out in the order of need: what users feel, what is held, then what runs, then how the last hour went. All
//! text from outside is cleaned on its way here, whatever the backend does with it.

use std::time::Duration;

use freezeframe_api::dto::{FleetInstance, GateService, IncidentSummary};
use freezeframe_api::words::{bytes, duration_ms, duration_us, parse_rfc3339};
use freezeframe_model::Timestamp;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Color;
use ratatui::text::{Line, Span};

use super::heat;
use super::paint::{span, title_line, toned};
use super::screen::{Mode, Screen};
use super::source::{Fleet, is_open};
use super::table::table;
use crate::render::{Tone, clean, clean_to};

/// Characters of an error message in a table.
const MESSAGE_MAX: usize = 300;
/// Rows that a heat map needs besides its own: an empty one, title, bars, marks.
const AROUND_HEAT: usize = 5;
/// The head has at most a fourth of the rows, and two.
const HEAD_PART: usize = 4;
const HEAD_MIN: usize = 2;
/// Rows of instances and incidents that come before a heat map.
const TABLES_FIRST: usize = 12;
/// Services of the gate that are told of.
const GATES_MAX: usize = 3;

const HELP: &[(&str, &str)] = &[
    ("j k ↓ ↑", "choose an incident; scroll its page"),
    ("g G", "the first, the last"),
    ("Enter", "show the incident: what broke, where, with which values"),
    ("Space PgDn PgUp", "scroll by a page"),
    ("Esc q", "back; from the fleet, quit"),
    ("e", "hold four hours longer, after a question"),
    ("?", "this help"),
];

/// The screen as it is now.
pub(super) fn draw(screen: &Screen, area: Rect, buffer: &mut Buffer, now: Timestamp) {
    let height = usize::from(area.height);
    let Some(room) = height.checked_sub(1) else { return };
    let lines = match &screen.mode {
        Mode::Fleet => fleet(screen, usize::from(area.width), room, Some(screen.row()), now),
        Mode::Help => help(),
        Mode::Incident { lines, top, .. } => {
            lines.iter().skip(*top).take(room).map(|line| toned(line)).collect()
        }
    };
    put(&lines, Rect { height: area.height - 1, ..area }, buffer, screen.color);
    let foot = Rect { y: area.y + area.height - 1, height: 1, ..area };
    put(&[footer(screen)], foot, buffer, screen.color);
}

/// The fleet alone, without what belongs to keys.
pub(super) fn fleet_on_paper(screen: &Screen, area: Rect, buffer: &mut Buffer, now: Timestamp) {
    let lines = fleet(screen, usize::from(area.width), usize::from(area.height), None, now);
    put(&lines, area, buffer, false);
}

fn put(lines: &[Line<'_>], area: Rect, buffer: &mut Buffer, color: bool) {
    for (line, y) in lines.iter().zip(area.y..area.y.saturating_add(area.height)) {
        buffer.set_line(area.x, y, line, area.width);
    }
    if !color {
        for cell in &mut buffer.content {
            cell.set_fg(Color::Reset).set_bg(Color::Reset);
        }
    }
}

fn fleet(
    screen: &Screen,
    width: usize,
    room: usize,
    chosen: Option<usize>,
    now: Timestamp,
) -> Vec<Line<'static>> {
    let Some(fleet) = &screen.fleet else { return vec![Line::from("asking the daemon …")] };
    let mut lines = flow(headline(fleet), width);
    lines.extend(
        fleet.answer.gate.iter().take(GATES_MAX).flat_map(|gate| flow(gate_facts(gate, fleet), width)),
    );
    // What is held must be seen, however narrow the screen is.
    lines.truncate((room / HEAD_PART).max(HEAD_MIN));
    let left = room.saturating_sub(lines.len());
    // An empty line, a title and a heading each.
    let (wanted, open) = (fleet.answer.instances.len() + 3, fleet.incidents.len().max(1) + 3);
    let spare = left.saturating_sub((wanted + open).min(TABLES_FIRST));
    let fitting = [heat::ROWS, heat::FEW_ROWS].into_iter().find(|rows| rows.len() + AROUND_HEAT <= spare);
    let heat = fitting.map(|rows| heat_map(fleet, width, rows)).unwrap_or_default();
    let left = left.saturating_sub(heat.len());
    let incidents_rows = open.min((left / 2).max(left.saturating_sub(wanted)));
    let instances_rows = wanted.min(left.saturating_sub(incidents_rows));
    lines.extend(incidents(screen.incidents(), (width, incidents_rows), chosen, now));
    lines.extend(instances(&fleet.answer.instances, width, instances_rows, now));
    lines.extend(heat);
    lines
}

fn headline(fleet: &Fleet) -> Vec<Span<'static>> {
    let answer = &fleet.answer;
    let well = answer.serving >= answer.wanted;
    let (mark, tone) = if well { ("●", Tone::Good) } else { ("!", Tone::Bad) };
    let ms = |ms: Option<f64>| ms.map_or_else(|| "–".to_owned(), |ms| duration_us((ms * 1000.0) as u64));
    vec![
        span(Tone::Strong, clean_to(&answer.service, 20).into_owned()),
        span(tone, format!("{mark} {}/{} serving", answer.serving, answer.wanted)),
        span(if answer.held > 0 { Tone::Blue } else { Tone::Plain }, format!("{} held", answer.held)),
        span(Tone::Plain, format!("{}/{} spare", answer.spares, answer.spares_wanted)),
        span(Tone::Plain, rate(answer.rate_per_s)),
        share("shed", answer.shed_share),
        share("5xx", answer.error_share),
        span(Tone::Plain, format!("p50 {}", ms(answer.p50_ms))),
        span(Tone::Plain, format!("p99 {}", ms(answer.p99_ms))),
    ]
}

/// Facts one after the other, on as many lines as they need.
fn flow(facts: Vec<Span<'static>>, width: usize) -> Vec<Line<'static>> {
    let mut lines = vec![Line::default()];
    for fact in facts.into_iter().filter(|fact| !fact.content.is_empty()) {
        let used = lines.last().map_or(0, Line::width);
        if used > 0 && used + 2 + fact.width() > width {
            lines.push(Line::from("  "));
        } else if used > 0 {
            lines.last_mut().into_iter().for_each(|line| line.push_span("  "));
        }
        lines.last_mut().into_iter().for_each(|line| line.push_span(fact.clone()));
    }
    lines
}

fn share(name: &str, part: f64) -> Span<'static> {
    let tone = if part > 0.0 { Tone::Warn } else { Tone::Soft };
    span(tone, format!("{name} {}", percent(part)))
}

/// Something is never shown as nothing.
fn percent(part: f64) -> String {
    match part * 100.0 {
        percent if percent <= 0.0 => "0 %".to_owned(),
        percent if percent < 0.1 => "< 0.1 %".to_owned(),
        percent => format!("{percent:.1} %"),
    }
}

fn rate(per_s: f64) -> String {
    match per_s {
        rate if rate >= 1000.0 => format!("{:.1}k/s", rate / 1000.0),
        rate if rate >= 10.0 => format!("{rate:.0}/s"),
        rate => format!("{rate:.1}/s"),
    }
}

fn gate_facts(gate: &GateService, fleet: &Fleet) -> Vec<Span<'static>> {
    let mut facts = vec![format!("gate {}: {} in flight", clean_to(&gate.name, 20), gate.in_flight)];
    match gate.in_flight_max {
        Some(max) => {
            facts.push(format!("≤ {max} each"));
            facts.push(format!("{}/{} waiting", gate.queued, gate.queue_max));
        }
        None => facts.push("no limit".to_owned()),
    }
    if fleet.answer.held > 0 {
        facts.push(format!(
            "held {} of {}",
            bytes(fleet.answer.held_bytes),
            bytes(fleet.answer.held_bytes_max)
        ));
    }
    facts.into_iter().map(|fact| span(Tone::Soft, fact)).collect()
}

fn heat_map(fleet: &Fleet, width: usize, rows: &[heat::Row]) -> Vec<Line<'static>> {
    let label = 10;
    let columns = heat::columns(&fleet.history, width.saturating_sub(label + 1).max(1));
    if columns.is_empty() {
        return Vec::new();
    }
    let each = columns.first().map_or(0, Vec::len).max(columns.last().map_or(0, Vec::len));
    let covers = u64::from(fleet.history.column_s) * 1000 * fleet.history.columns.len() as u64;
    let title = format!(
        "the last {}, {} a column; ! incident, ^ deploy",
        duration_ms(covers),
        duration_ms(u64::from(fleet.history.column_s) * 1000 * each as u64)
    );
    let mut lines = vec![Line::default(), title_line("Latency", &title)];
    let row = |name: &str, tone, cells: String| {
        Line::from(vec![span(Tone::Soft, format!("{name:>label$} ")), span(tone, cells)])
    };
    let mut to = f64::INFINITY;
    for (name, from) in rows {
        let tone = if *from >= 1e6 { Tone::Warn } else { Tone::Plain };
        lines.push(row(name, tone, heat::row(&columns, *from, to)));
        to = *from;
    }
    lines.push(row("requests", Tone::Plain, heat::bars(&columns, |column| column.requests)));
    let bad = heat::bars(&columns, |column| column.shed.saturating_add(column.errors));
    lines.push(row("shed, 5xx", Tone::Warn, bad));
    let marks = heat::marks(&fleet.history, &columns);
    if !marks.trim().is_empty() {
        lines.push(row("", Tone::Bad, marks));
    }
    lines
}

fn instances(all: &[FleetInstance], width: usize, rows: usize, now: Timestamp) -> Vec<Line<'static>> {
    // What is less needed goes first where the screen is narrow.
    let titles = ["INSTANCE", "STATE", "RATE", "P99", "IN FLIGHT", "MEMORY", "AGE", "BUILD"];
    let cells = all.iter().map(|row| {
        let ms = |ms: f64| duration_us((ms * 1000.0) as u64);
        let at = &row.instance;
        let state = match (&at.incident, &row.lease_until) {
            (Some(id), Some(until)) => format!("{} {} {}", at.role, id, countdown(until, now)),
            (Some(id), None) => format!("{} {id}", at.role),
            (None, _) => at.role.clone(),
        };
        vec![
            row.name.clone(),
            state,
            rate(row.rate_per_s),
            row.p99_ms.map_or_else(|| "–".to_owned(), ms),
            at.in_flight.to_string(),
            row.memory_bytes.map_or_else(|| "–".to_owned(), bytes),
            age(&row.started_at, now),
            row.build_id.chars().take(7).collect(),
        ]
    });
    let tones = all.iter().map(|row| match row.instance.role.as_str() {
        "held" | "draining" => Tone::Blue,
        "serving" => Tone::Plain,
        _ => Tone::Soft,
    });
    let title = title_line("Instances", &all.len().to_string());
    table(title, &titles, cells.zip(tones).collect(), (width, rows), None, false)
}

fn incidents(
    all: &[IncidentSummary],
    (width, rows): (usize, usize),
    chosen: Option<usize>,
    now: Timestamp,
) -> Vec<Line<'static>> {
    let open = all.iter().filter(|incident| is_open(incident)).count();
    let title = title_line("Incidents", &format!("{open} open, {} in all", all.len()));
    if all.is_empty() {
        let nothing = Line::from(span(Tone::Soft, "  nothing has broken".to_owned()));
        return vec![Line::default(), title, nothing].into_iter().take(rows).collect();
    }
    let titles = ["INCIDENT", "STATE", "LEASE", "SEEN", "WHAT BROKE"];
    let cells = all.iter().map(|incident| {
        let lease = incident.hold.lease_until.as_deref().map(|until| countdown(until, now));
        let cells = vec![
            incident.id.clone(),
            format!("{} {}", icon(incident), incident.state),
            lease.unwrap_or_else(|| age(&incident.captured_at, now) + " ago"),
            format!("{}×", incident.count),
            what(incident),
        ];
        (cells, if is_open(incident) { Tone::Blue } else { Tone::Soft })
    });
    table(title, &titles, cells.collect(), (width, rows), chosen, true)
}

fn icon(incident: &IncidentSummary) -> &'static str {
    match incident.state.as_str() {
        "held" => "●",
        "draining" => "◔",
        _ => "○",
    }
}

fn what(incident: &IncidentSummary) -> String {
    match incident.message.lines().map(str::trim).find(|line| !line.is_empty()) {
        Some(message) => format!("{} · {}", clean_to(message, MESSAGE_MAX), incident.sentence),
        None => incident.sentence.clone(),
    }
}

fn help() -> Vec<Line<'static>> {
    let mut lines = vec![title_line("Keys", ""), Line::default()];
    lines.extend(HELP.iter().map(|(keys, meaning)| {
        Line::from(vec![
            span(Tone::Strong, format!("  {keys:<18}")),
            span(Tone::Plain, (*meaning).to_owned()),
        ])
    }));
    lines.push(Line::default());
    let commands = "To release or to end a held process: `freezeframe release`, `freezeframe kill`.";
    lines.push(Line::from(span(Tone::Soft, commands.to_owned())));
    lines
}

/// What is asked, what happened, what is wrong; otherwise the keys.
fn footer(screen: &Screen) -> Line<'static> {
    if let Some(id) = screen.confirm {
        return Line::from(span(
            Tone::Warn,
            format!("hold {id} four hours longer? y: yes, any other key: no"),
        ));
    }
    if let Some(trouble) = &screen.trouble {
        return Line::from(span(Tone::Bad, format!("! {}", clean(trouble))));
    }
    if let Some(message) = &screen.message {
        return Line::from(span(Tone::Good, clean(message).into_owned()));
    }
    let keys = match screen.mode {
        Mode::Fleet => "j/k choose  Enter show  e extend  ? help  q quit",
        Mode::Incident { .. } => "j/k scroll  e extend  q back",
        Mode::Help => "any key: back",
    };
    Line::from(span(Tone::Soft, keys.to_owned()))
}

/// `3:47:12` until then; `over`.
fn countdown(until: &str, now: Timestamp) -> String {
    let Some(until) = parse_rfc3339(until) else { return "–".to_owned() };
    match Duration::from_millis(until.since_ms(now)).as_secs() {
        0 => "over".to_owned(),
        left => format!("{}:{:02}:{:02}", left / 3600, left / 60 % 60, left % 60),
    }
}

fn age(since: &str, now: Timestamp) -> String {
    parse_rfc3339(since).map_or_else(|| "–".to_owned(), |since| duration_ms(now.since_ms(since)))
}
