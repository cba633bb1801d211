//! Tones as a terminal has them.

use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};

use crate::render::{self, Tone};

pub(super) fn title_line(title: &str, more: &str) -> Line<'static> {
    Line::from(vec![span(Tone::Strong, title.to_owned()), span(Tone::Soft, format!("  {more}"))])
}

pub(super) fn toned(line: &render::Line) -> Line<'static> {
    Line::from(line.iter().map(|(tone, text)| span(*tone, text.clone())).collect::<Vec<_>>())
}

pub(super) fn span(tone: Tone, text: String) -> Span<'static> {
    Span::styled(text, style(tone))
}

/// The eight basic colours alone, which every theme adapts.
pub(super) fn style(tone: Tone) -> Style {
    let style = Style::new();
    match tone {
        Tone::Plain => style,
        Tone::Strong => style.add_modifier(Modifier::BOLD),
        Tone::Soft => style.add_modifier(Modifier::DIM),
        Tone::Good => style.fg(Color::Green),
        Tone::Bad => style.fg(Color::Red).add_modifier(Modifier::BOLD),
        Tone::Warn => style.fg(Color::Yellow),
        Tone::Blue => style.fg(Color::Cyan).add_modifier(Modifier::BOLD),
    }
}
