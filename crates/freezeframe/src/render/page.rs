//! Lines of toned text that fit a width. All text that comes from outside passes through [`clean`]: an error message or a log line must
//! not be able to move the cursor, change the title or answer for the person.

use std::borrow::Cow;

use freezeframe_api::words::is_deceptive;

use super::Style;

/// Narrower terminals are treated as if they had so many columns.
const MIN_WIDTH: usize = 40;
/// Longest piece of text, in characters.
const MAX_TEXT: usize = 2_000;
/// Columns of a tab.
const TAB: &str = "    ";

/// What a piece of text is, which decides on its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    Plain,
    Strong,
    Soft,
    Good,
    Bad,
    Warn,
    Blue,
}

impl Tone {
    /// Parameter of the SGR control sequence (ECMA-48 section 8.3.117); only the eight basic colours, which every theme adapts.
    fn code(self) -> &'static str {
        match self {
            Self::Plain => "0",
            Self::Strong => "1",
            Self::Soft => "2",
            Self::Good => "32",
            Self::Bad => "1;31",
            Self::Warn => "33",
            Self::Blue => "1;36",
        }
    }
}

/// Pieces of text, each in its tone.
pub(crate) type Line = Vec<(Tone, String)>;

/// Text under construction.
pub(super) struct Page {
    style: Style,
    lines: Vec<Line>,
}

impl Page {
    pub(super) fn new(style: Style) -> Self {
        Self { style: Style { width: style.width.max(MIN_WIDTH), ..style }, lines: Vec::new() }
    }

    /// Columns that a line has.
    pub(super) fn width(&self) -> usize {
        self.style.width
    }

    /// A section's title after an empty line.
    pub(super) fn heading(&mut self, title: &str, more: &str) {
        self.blank();
        self.line(0, &[(Tone::Strong, title), (Tone::Plain, "  "), (Tone::Soft, more)]);
    }

    /// An empty line, but never two.
    pub(super) fn blank(&mut self) {
        if self.lines.last().is_some_and(|line| line.iter().any(|(_, piece)| !piece.is_empty())) {
            self.lines.push(Line::new());
        }
    }

    /// A line that starts at column `indent`, continued further to the right where it does not fit.
    pub(super) fn line(&mut self, indent: usize, pieces: &[(Tone, &str)]) {
        let indent = indent.min(self.style.width / 2);
        let hang = (indent + 4).min(self.style.width / 2);
        let mut line = vec![(Tone::Plain, " ".repeat(indent))];
        let mut column = indent;
        let last = pieces.iter().rposition(|(_, text)| !text.trim_end().is_empty());
        for (tone, text) in pieces.get(..=last.unwrap_or(0)).unwrap_or_default() {
            let mut piece = String::new();
            for c in clean(text).chars() {
                if column == self.style.width {
                    line.push((*tone, std::mem::take(&mut piece)));
                    self.lines.push(std::mem::replace(&mut line, vec![(Tone::Plain, " ".repeat(hang))]));
                    column = hang;
                }
                piece.push(c);
                column += 1;
            }
            line.push((*tone, piece));
        }
        self.lines.push(line);
    }

    /// The finished text, in colour by control sequences where that is wanted.
    pub(super) fn finish(self) -> String {
        let mut text = String::new();
        for line in &self.lines {
            for (tone, piece) in line {
                match self.style.color && *tone != Tone::Plain {
                    true => text.extend(["\u{1b}[", tone.code(), "m", piece, "\u{1b}[0m"]),
                    false => text.push_str(piece),
                }
            }
            if !self.style.color {
                text.truncate(text.trim_end_matches(' ').len());
            }
            text.push('\n');
        }
        text
    }

    /// The finished lines, for who draws them in another way.
    pub(super) fn into_lines(self) -> Vec<Line> {
        self.lines
    }
}

/// Text that a terminal shows and does not obey; shortened where it is very long.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    clean_to(text, MAX_TEXT)
}

/// Several lines, each of them cleaned.
pub(crate) fn clean_lines(text: &str) -> String {
    text.lines().map(clean).collect::<Vec<_>>().join("\n")
}

/// The same as [`clean`] with `max` characters at most.
pub(crate) fn clean_to(text: &str, max: usize) -> Cow<'_, str> {
    if text.len() <= max && !text.chars().any(is_deceptive) {
        return Cow::Borrowed(text);
    }
    let mut cleaned = String::with_capacity(text.len().min(4 * max));
    let mut left = text.chars();
    for c in left.by_ref().take(max) {
        match c {
            '\t' => cleaned.push_str(TAB),
            c if is_deceptive(c) => cleaned.extend(c.escape_unicode()),
            c => cleaned.push(c),
        }
    }
    let rest = left.count();
    if rest > 0 {
        cleaned.push_str(&format!(" … {rest} more characters"));
    }
    Cow::Owned(cleaned)
}

/// A line that a program wrote for its terminal: its colours are kept (SGR, ECMA-48 section 8.3.117), nothing else in it is obeyed.
pub(crate) fn clean_but_colours(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_deceptive) {
        return Cow::Borrowed(text);
    }
    let mut pieces = text.split("\u{1b}[");
    let mut cleaned = clean_to(pieces.next().unwrap_or_default(), text.len()).into_owned();
    for piece in pieces {
        let is_colour =
            |(code, _): &(&str, &str)| code.chars().all(|c| c.is_ascii_digit() || c == ';' || c == ':');
        let rest = match piece.split_once('m').filter(is_colour) {
            Some((code, rest)) => {
                cleaned.extend(["\u{1b}[", code, "m"]);
                rest
            }
            None => {
                cleaned.push_str("\\u{1b}[");
                piece
            }
        };
        cleaned.push_str(&clean_to(rest, text.len()));
    }
    Cow::Owned(cleaned)
}

/// At most `width` characters, the last one `…` where something is missing.
pub(super) fn cut(text: &str, width: usize) -> String {
    let text = clean(text);
    if text.chars().count() <= width {
        return text.into_owned();
    }
    let mut short: String = text.chars().take(width.saturating_sub(1)).collect();
    short.push('…');
    short
}
