//! A table that fits its place: columns and rows that have no room are left out, the last column is cut.

use ratatui::style::Modifier;
use ratatui::text::{Line, Span};

use super::paint::{span, style};
use crate::render::{Tone, clean_to};

/// Characters of a cell, before it is cut to its column.
const CELL_MAX: usize = 300;

/// Cells of each row, and its tone.
pub(super) type Rows = Vec<(Vec<String>, Tone)>;

/// An empty line, a title, a heading and as many rows as there is room for, `chosen` among them.
pub(super) fn table(
    title: Line<'static>,
    titles: &[&str],
    rows: Rows,
    (width, room): (usize, usize),
    chosen: Option<usize>,
    last_is_cut: bool,
) -> Vec<Line<'static>> {
    let Some(room) = room.checked_sub(2).filter(|room| *room > 0) else { return Vec::new() };
    let rows: Rows = rows
        .into_iter()
        .map(|(cells, tone)| (cells.iter().map(|cell| clean_to(cell, CELL_MAX).into_owned()).collect(), tone))
        .collect();
    let widths: Vec<usize> = titles
        .iter()
        .enumerate()
        .map(|(at, title)| {
            let cells =
                rows.iter().filter_map(|(row, _)| row.get(at)).map(|cell| Span::raw(cell.as_str()).width());
            cells.chain([title.len()]).max().unwrap_or(0)
        })
        .collect();
    // Columns that do not fit are left out, the last one is cut.
    let mut shown = 0;
    let mut used = 2;
    for (at, column) in widths.iter().enumerate() {
        let is_last = at + 1 == widths.len() && last_is_cut;
        if used + column > width && !is_last {
            break;
        }
        used += column + 2;
        shown += 1;
    }
    let line = |mark: &str, cells: &[String]| -> String {
        let padded = cells.iter().zip(&widths).take(shown).map(|(cell, width)| {
            let missing = width.saturating_sub(Span::raw(cell.as_str()).width());
            format!("{cell}{}  ", " ".repeat(missing))
        });
        let text = format!("{mark}{}", padded.collect::<String>());
        clipped(text.trim_end(), width)
    };
    let heading: Vec<String> = titles.iter().map(|title| (*title).to_owned()).collect();
    let mut lines = vec![Line::default(), title];
    if room > 1 {
        lines.push(Line::from(span(Tone::Soft, line("  ", &heading))));
    }
    let room = room.saturating_sub(1).max(1);
    let first = chosen.map_or(0, |chosen| (chosen + 1).saturating_sub(room));
    let hidden = rows.len().saturating_sub(first + room);
    let visible = if hidden > 0 && chosen.is_none() && room > 1 { room - 1 } else { room };
    for (at, (cells, tone)) in rows.iter().enumerate().skip(first).take(visible) {
        let is_chosen = chosen == Some(at);
        let text = line(if is_chosen { "> " } else { "  " }, cells);
        let span = span(*tone, text);
        lines.push(Line::from(if is_chosen {
            span.style(style(*tone).add_modifier(Modifier::BOLD))
        } else {
            span
        }));
    }
    if visible < room {
        lines.push(Line::from(span(Tone::Soft, format!("  … {} more", rows.len() - visible))));
    }
    lines
}

/// What does not fit ends in `…`.
fn clipped(text: &str, width: usize) -> String {
    let mut short = String::new();
    let mut used = 0;
    for c in text.chars() {
        let columns = Span::raw(c.encode_utf8(&mut [0; 4]) as &str).width();
        if used + columns > width.saturating_sub(1) && Span::raw(text).width() > width {
            short.push('…');
            return short;
        }
        used += columns;
        short.push(c);
    }
    short
}
