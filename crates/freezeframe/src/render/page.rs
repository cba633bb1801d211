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
pub(super) enum Tone {
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

/// Text under construction.
pub(super) struct Page {
    style: Style,
    text: String,
}

impl Page {
    pub(super) fn new(style: Style) -> Self {
        Self { style: Style { width: style.width.max(MIN_WIDTH), ..style }, text: String::new() }
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
        if !self.text.is_empty() && !self.text.ends_with("\n\n") {
            self.text.push('\n');
        }
    }

    /// A line that starts at column `indent`, continued further to the right where it does not fit.
    pub(super) fn line(&mut self, indent: usize, pieces: &[(Tone, &str)]) {
        let indent = indent.min(self.style.width / 2);
        let hang = (indent + 4).min(self.style.width / 2);
        self.text.extend(std::iter::repeat_n(' ', indent));
        let mut column = indent;
        let last = pieces.iter().rposition(|(_, text)| !text.trim_end().is_empty());
        for (tone, text) in pieces.get(..=last.unwrap_or(0)).unwrap_or_default() {
            let text = clean(text);
            self.begin(*tone);
            for c in text.chars() {
                if column == self.style.width {
                    self.end(*tone);
                    self.text.push('\n');
                    self.text.extend(std::iter::repeat_n(' ', hang));
                    self.begin(*tone);
                    column = hang;
                }
                self.text.push(c);
                column += 1;
            }
            self.end(*tone);
        }
        if !self.style.color {
            self.text.truncate(self.text.trim_end_matches(' ').len());
        }
        self.text.push('\n');
    }

    /// The finished text.
    pub(super) fn finish(self) -> String {
        self.text
    }

    fn begin(&mut self, tone: Tone) {
        if self.style.color && tone != Tone::Plain {
            self.text.push_str("\u{1b}[");
            self.text.push_str(tone.code());
            self.text.push('m');
        }
    }

    fn end(&mut self, tone: Tone) {
        if self.style.color && tone != Tone::Plain {
            self.text.push_str("\u{1b}[0m");
        }
    }
}

/// Text that a terminal shows and does not obey; shortened where it is very long.
pub(super) fn clean(text: &str) -> Cow<'_, str> {
    if text.len() <= MAX_TEXT && !text.chars().any(is_deceptive) {
        return Cow::Borrowed(text);
    }
    let mut cleaned = String::with_capacity(text.len().min(4 * MAX_TEXT));
    let mut left = text.chars();
    for c in left.by_ref().take(MAX_TEXT) {
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
