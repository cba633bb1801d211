//! Text that can only grow so far: whatever a service formats, a report stays small.

use std::fmt::{self, Write};

/// Ends a text that was cut.
const ELLIPSIS: &str = "…";

/// UTF-8 of at most `max` bytes; what does not fit is dropped at a character boundary and marked with `…`.
#[derive(Debug)]
pub(crate) struct BoundedText {
    text: String,
    max: usize,
    cut: bool,
}

impl BoundedText {
    pub(crate) fn new(max: usize) -> Self {
        Self { text: String::new(), max, cut: false }
    }

    /// Like [`BoundedText::new`], with `room` bytes allocated in advance.
    #[cfg(feature = "tracing")]
    pub(crate) fn with_room(max: usize, room: usize) -> Self {
        Self { text: String::with_capacity(room.min(max)), max, cut: false }
    }

    /// Formats `arguments` into at most `max` bytes. A `Display` that fails leaves what it wrote until then.
    pub(crate) fn of(max: usize, arguments: fmt::Arguments<'_>) -> Self {
        let mut text = Self::new(max);
        let _ = text.write_fmt(arguments);
        text
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    #[cfg(feature = "tracing")]
    pub(crate) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    #[cfg(feature = "tracing")]
    pub(crate) fn into_string(self) -> String {
        self.text
    }

    /// Appends `key=value` and a line feed; line breaks inside the value are escaped, so that a value cannot pose as
    /// another field.
    pub(crate) fn push_line(&mut self, key: &str, value: fmt::Arguments<'_>) {
        let _ = write!(self, "{key}=");
        let _ = OneLine(self).write_fmt(value);
        let _ = self.write_str("\n");
    }
}

impl Write for BoundedText {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        if self.cut {
            return Err(fmt::Error); // ends the formatting early: nothing more will fit
        }
        if part.len() <= self.max.saturating_sub(self.text.len()) {
            self.text.push_str(part);
            return Ok(());
        }
        self.cut = true;
        let limit = self.max.saturating_sub(ELLIPSIS.len());
        let room = limit.saturating_sub(self.text.len());
        self.text.push_str(part.get(..part.floor_char_boundary(room)).unwrap_or_default());
        self.text.truncate(self.text.floor_char_boundary(limit));
        if self.max >= ELLIPSIS.len() {
            self.text.push_str(ELLIPSIS);
        }
        Err(fmt::Error)
    }
}

/// Escapes line breaks on their way into a text.
pub(crate) struct OneLine<'a>(pub(crate) &'a mut BoundedText);

impl Write for OneLine<'_> {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        if !part.bytes().any(|byte| matches!(byte, b'\n' | b'\r')) {
            return self.0.write_str(part);
        }
        for piece in part.split_inclusive(['\n', '\r']) {
            let escaped = match piece.as_bytes().last() {
                Some(b'\n') => "\\n",
                Some(b'\r') => "\\r",
                _ => "",
            };
            self.0.write_str(piece.trim_end_matches(['\n', '\r']))?;
            self.0.write_str(escaped)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::BoundedText;

    #[test]
    fn keeps_what_fits_and_marks_the_cut() {
        assert_eq!(BoundedText::of(8, format_args!("12345678")).as_str(), "12345678");
        assert_eq!(BoundedText::of(8, format_args!("123456789")).as_str(), "12345…");
        assert_eq!(BoundedText::of(8, format_args!("1234567{}{}", 8, 9)).as_str(), "12345…");
        assert_eq!(BoundedText::of(7, format_args!("abäöü")).as_str(), "abä…");
        assert_eq!(BoundedText::of(2, format_args!("abc")).as_str(), "");
        assert_eq!(BoundedText::of(0, format_args!("abc")).as_str(), "");
    }

    #[test]
    fn a_value_stays_on_its_line() {
        let mut text = BoundedText::new(64);
        text.push_line("a", format_args!("1\nb=2\r\n"));
        text.push_line("c", format_args!("{}", 3));
        assert_eq!(text.as_str(), "a=1\\nb=2\\r\\n\nc=3\n");
    }

    #[test]
    fn nothing_follows_a_cut() {
        let mut text = BoundedText::new(8);
        text.push_line("key", format_args!("{}", "v".repeat(100)));
        text.push_line("k", format_args!("1"));
        assert_eq!(text.as_str(), "key=v…");
    }
}
