//! Text of the held process for an editor: consoles of editors obey control sequences, and a name may not read as another one.

use std::borrow::Cow;

use crate::words::is_deceptive;

/// One line that is shown and not obeyed.
pub(super) fn line(text: &str) -> Cow<'_, str> {
    escaped(text, is_deceptive)
}

/// The same for a text of several lines.
pub(super) fn lines(text: &str) -> Cow<'_, str> {
    escaped(text, |c| is_deceptive(c) && !matches!(c, '\n' | '\t'))
}

/// At most `most` characters of a line, the last one `…` where something is missing.
pub(super) fn short(text: &str, most: usize) -> String {
    let mut short: String = text.chars().take(most).collect();
    if short.len() < text.len() {
        short.pop();
        short.push('…');
    }
    line(&short).into_owned()
}

fn escaped(text: &str, is_unwanted: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.chars().any(&is_unwanted) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match is_unwanted(c) {
            true => escaped.extend(c.escape_unicode()),
            false => escaped.push(c),
        }
    }
    Cow::Owned(escaped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_sequences_are_shown_and_long_lines_cut() {
        assert_eq!(line("a\u{1b}[2Jb\n\u{202e}c"), "a\\u{1b}[2Jb\\u{a}\\u{202e}c");
        assert_eq!(lines("a\u{7}\n\tb"), "a\\u{7}\n\tb");
        assert_eq!((short("abcd", 3), short("abc", 3)), ("ab…".to_owned(), "abc".to_owned()));
    }
}
