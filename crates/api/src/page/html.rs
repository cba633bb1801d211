//! Building HTML such that nothing can be forgotten to be escaped: what is written as it stands is a literal of this program,
//! everything else goes through [`Html::text`].

use std::fmt::{self, Display, Write};

use crate::words::is_deceptive;

/// A piece of HTML under construction.
#[derive(Debug, Default)]
pub(crate) struct Html(String);

impl Html {
    /// Markup, as it stands.
    pub(crate) fn raw(&mut self, markup: &'static str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// Text, escaped for element content and for attribute values in double quotes.
    pub(crate) fn text(&mut self, text: impl Display) -> &mut Self {
        // Writing to a string does not fail.
        let _ = write!(Escaping(&mut self.0), "{text}");
        self
    }

    /// Text of at most `max` characters; says how much was left out.
    pub(crate) fn text_up_to(&mut self, text: &str, max: usize) -> &mut Self {
        match text.char_indices().nth(max) {
            None => self.text(text),
            Some((end, _)) => {
                let rest = text.get(end..).unwrap_or_default().chars().count();
                self.text(text.get(..end).unwrap_or_default()).raw("<span class=\"cut\"> … ");
                self.text(rest).raw(" more characters</span>")
            }
        }
    }

    /// The finished text.
    pub(crate) fn finish(self) -> String {
        self.0
    }
}

struct Escaping<'a>(&'a mut String);

impl Write for Escaping<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                '\n' | '\t' => self.0.push(c),
                c if is_deceptive(c) => write!(self.0, "\\u{{{:x}}}", u32::from(c))?,
                c => self.0.push(c),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_leave_its_place() {
        let mut html = Html::default();
        html.raw("<p title=\"")
            .text("\"><script>'&")
            .raw("\">")
            .text("a\u{1b}[31m\u{202e}b\tc\nd")
            .raw("</p>");
        assert_eq!(
            html.finish(),
            "<p title=\"&quot;&gt;&lt;script&gt;&#39;&amp;\">a\\u{1b}[31m\\u{202e}b\tc\nd</p>"
        );
    }

    #[test]
    fn long_text_is_cut_between_characters() {
        let mut html = Html::default();
        html.text_up_to("äöü<>", 3).text_up_to("ok", 2);
        assert_eq!(html.finish(), "äöü<span class=\"cut\"> … 2 more characters</span>ok");
    }
}
