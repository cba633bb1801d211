//! Asking a stopped process again, as data: the question, its answer, and why there is none.

use std::fmt::{self, Write as _};
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::Variable;

/// A question about one frame.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Question {
    /// The kernel's id of the thread.
    pub thread: i32,
    /// Number of the frame, counted from the innermost.
    pub frame: usize,
    /// What is asked for, for example `order.items[3].price`.
    pub expression: String,
    /// Pointers and structures that are followed inwards.
    pub depth: usize,
    /// Elements and fields of one value.
    pub limit: usize,
    /// The first element or field of the outermost value.
    pub offset: usize,
    /// Bytes of one text.
    pub text_bytes: usize,
    /// With what is redacted, too. Whoever sets it has written the audit log.
    pub reveal: bool,
}

/// What a question came to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Answer {
    /// The value, called like the expression.
    pub value: Variable,
    /// Function of the frame in which it was read.
    pub function: String,
}

/// What kind of obstacle it was, for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Obstacle {
    /// The expression is not well-formed, or too long.
    Syntax,
    /// There is no such thread, frame, variable, field or element.
    NotFound,
    /// It may well exist, but a stored capture does not hold it: the live process or a core is needed.
    NotCaptured,
    /// It leads through a secret.
    Redacted,
    /// The program has it nowhere any more, or it cannot be read.
    Unavailable,
    /// The operation does not fit the values.
    Unfit,
    /// Overflow, or division by zero.
    Arithmetic,
    /// It would take longer, or more, than allowed.
    Limit,
}

impl Obstacle {
    /// Its name in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Syntax => "syntax",
            Self::NotFound => "not_found",
            Self::NotCaptured => "not_captured",
            Self::Redacted => "redacted",
            Self::Unavailable => "unavailable",
            Self::Unfit => "unfit",
            Self::Arithmetic => "arithmetic",
            Self::Limit => "limit",
        }
    }
}

/// An expression that has no value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvaluateError {
    /// The obstacle's kind.
    pub obstacle: Obstacle,
    /// The part of the expression that is meant, in bytes.
    pub span: Range<usize>,
    /// What is wrong, for example `no field "prize" in shop::Item`.
    pub what: String,
    /// Why, or what to do about it; may be empty.
    pub why: String,
    /// What is there instead, nearest names first; may be empty.
    pub instead: Vec<String>,
}

impl fmt::Display for EvaluateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for EvaluateError {}

impl EvaluateError {
    /// One that has no more to say than what is wrong.
    pub fn new(obstacle: Obstacle, span: Range<usize>, what: impl Into<String>) -> Self {
        Self { obstacle, span, what: what.into(), why: String::new(), instead: Vec::new() }
    }

    /// What and why, in one sentence.
    pub fn sentence(&self) -> String {
        if self.why.is_empty() { self.what.clone() } else { format!("{}: {}", self.what, self.why) }
    }

    /// The error for people: what and why, then the expression with marks below the place that is meant.
    pub fn explain(&self, expression: &str) -> String {
        let mut text = self.sentence();
        // One column per character; a tab or line end in the expression would shift the marks.
        let line: String = expression.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let width = |bytes: usize| {
            expression.char_indices().take_while(|(at, _)| *at < bytes.min(expression.len())).count()
        };
        let (from, to) = (width(self.span.start), width(self.span.end));
        let marks = "^".repeat(to.saturating_sub(from).max(1));
        let _infallible = write!(text, "\n  {line}\n  {}{marks}", " ".repeat(from));
        if !self.instead.is_empty() {
            let _infallible = write!(text, "\nthere is: {}", self.instead.join(", "));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_marks_stand_below_what_is_meant() {
        let instead = vec!["price".to_owned(), "prices".to_owned()];
        let error = EvaluateError::new(Obstacle::NotFound, 3..8, "no field \"prize\" in Item");
        let error = EvaluateError { why: "it is spelt otherwise".to_owned(), instead, ..error };
        assert_eq!(
            error.explain("ü.prize + 1"),
            "no field \"prize\" in Item: it is spelt otherwise\n  ü.prize + 1\n    ^^^^^\nthere is: price, prices"
        );
        let past_the_end = EvaluateError::new(Obstacle::Syntax, 90..95, "x");
        assert!(past_the_end.explain("a\tb").ends_with('^'));
    }

    #[test]
    fn the_names_of_obstacles_are_those_of_json() {
        for obstacle in [Obstacle::Syntax, Obstacle::NotCaptured, Obstacle::Limit] {
            assert_eq!(serde_json::to_value(obstacle).expect("serialises"), obstacle.as_str());
        }
    }
}
