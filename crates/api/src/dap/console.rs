//! What a person types into the editor's console: an expression, `help`, or `reveal PATH because REASON`.

/// A line of the console.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'l> {
    /// To be evaluated.
    Expression(&'l str),
    /// A look behind a redaction, and why.
    Reveal {
        /// What is looked at.
        path: &'l str,
        /// For the audit log.
        reason: &'l str,
    },
    /// A look without a reason.
    RevealWithout,
    /// What can be typed.
    Help,
}

pub(super) const HELP: &str = "\
An expression is evaluated in the selected frame; nothing of the process is run: order.items[3].price * 2
reveal PATH because REASON    shows a redacted value; who looked, at what and why is written into the audit log";

pub(super) const REVEAL_USAGE: &str = "a look behind a redaction needs its reason, which is written into the audit log: \
    reveal PATH because REASON";

impl<'l> Line<'l> {
    pub(super) fn parse(text: &'l str) -> Self {
        let text = text.trim();
        if text == "help" {
            return Self::Help;
        }
        let Some(rest) = text.strip_prefix("reveal").filter(|rest| rest.starts_with(char::is_whitespace))
        else {
            return Self::Expression(text);
        };
        match rest.split_once(" because ").map(|(path, reason)| (path.trim(), reason.trim())) {
            Some((path, reason)) if !path.is_empty() && !reason.is_empty() => Self::Reveal { path, reason },
            _ => Self::RevealWithout,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_needs_a_reason() {
        assert_eq!(Line::parse(" order.id "), Line::Expression("order.id"));
        assert_eq!(Line::parse("revealed + 1"), Line::Expression("revealed + 1"));
        let reveal = Line::Reveal { path: "user.token", reason: "it is mine" };
        assert_eq!(Line::parse("reveal  user.token  because it is mine "), reveal);
        for line in ["reveal x", "reveal x because", "reveal x because  ", "reveal  because y"] {
            assert_eq!(Line::parse(line), Line::RevealWithout, "{line}");
        }
        assert_eq!(Line::parse("help"), Line::Help);
    }
}
