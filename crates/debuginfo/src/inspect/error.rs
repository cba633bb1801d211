//! Why an expression has no value, in words that lead on, with the place in the expression that is meant.

use std::fmt::Write as _;
use std::ops::Range;

/// What kind of obstacle it was, for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

/// An expression that has no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
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

impl EvaluateError {
    pub(super) fn new(obstacle: Obstacle, span: Range<usize>, what: impl Into<String>) -> Self {
        Self { obstacle, span, what: what.into(), why: String::new(), instead: Vec::new() }
    }

    /// The error for people: what and why, then the expression with marks below the place that is meant.
    pub fn explain(&self, expression: &str) -> String {
        let mut text = self.what.clone();
        if !self.why.is_empty() {
            let _ = write!(text, ": {}", self.why);
        }
        // One column per character; a tab or line end in the expression would shift the marks.
        let line: String = expression.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let width = |bytes: usize| {
            expression.char_indices().take_while(|(at, _)| *at < bytes.min(expression.len())).count()
        };
        let (from, to) = (width(self.span.start), width(self.span.end));
        let marks = "^".repeat(to.saturating_sub(from).max(1));
        let _ = write!(text, "\n  {line}\n  {}{marks}", " ".repeat(from));
        if !self.instead.is_empty() {
            let _ = write!(text, "\nthere is: {}", self.instead.join(", "));
        }
        text
    }
}

/// An obstacle met by a step, which does not know where in the expression it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) obstacle: Obstacle,
    pub(super) what: String,
    pub(super) why: String,
    pub(super) instead: Vec<String>,
}

impl Failure {
    pub(super) fn new(obstacle: Obstacle, what: impl Into<String>) -> Self {
        Self { obstacle, what: what.into(), why: String::new(), instead: Vec::new() }
    }

    pub(super) fn why(self, why: impl Into<String>) -> Self {
        Self { why: why.into(), ..self }
    }

    /// With the names that come nearest to what was asked for.
    pub(super) fn instead<'n>(self, asked: &str, names: impl Iterator<Item = &'n str>) -> Self {
        Self { instead: nearest(asked, names), ..self }
    }

    pub(super) fn at(self, span: Range<usize>) -> EvaluateError {
        let Self { obstacle, what, why, instead } = self;
        EvaluateError { obstacle, span, what, why, instead }
    }
}

/// Names that are offered instead.
const NEAREST_MAX: usize = 8;
/// Names that are compared, and bytes of each.
const COMPARED_MAX: usize = 2_000;
const COMPARED_BYTES: usize = 64;

fn nearest<'n>(asked: &str, names: impl Iterator<Item = &'n str>) -> Vec<String> {
    let mut names: Vec<&str> =
        names.filter(|name| !name.is_empty() && *name != "…").take(COMPARED_MAX).collect();
    names.sort_by_cached_key(|name| distance(asked, name));
    names.dedup();
    // Where one is near, those that are not are no help.
    let is_near = |name: &&str| distance(asked, name) <= 1 + asked.chars().count() / 4;
    let near = names.iter().take_while(|name| is_near(name)).count();
    if near > 0 {
        names.truncate(near);
    }
    names.into_iter().take(NEAREST_MAX).map(str::to_owned).collect()
}

/// Edits between two names (Levenshtein), of their beginnings.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().take(COMPARED_BYTES).collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (at, a) in one.chars().take(COMPARED_BYTES).enumerate() {
        let mut diagonal = at;
        let mut left = at + 1;
        for (b, above) in other.iter().zip(row.iter_mut().skip(1)) {
            let best = (diagonal + usize::from(a != *b)).min(left + 1).min(*above + 1);
            diagonal = std::mem::replace(above, best);
            left = best;
        }
        if let Some(first) = row.first_mut() {
            *first = at + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_marks_stand_below_what_is_meant() {
        let failure = Failure::new(Obstacle::NotFound, "no field \"prize\" in Item")
            .instead("prize", ["count", "price", "prices"].into_iter());
        expect_test::expect![[r#"
            no field "prize" in Item
              ü.prize + 1
                ^^^^^
            there is: price, prices"#]]
        .assert_eq(&failure.at(3..8).explain("ü.prize + 1"));
        let past_the_end = EvaluateError::new(Obstacle::Syntax, 90..95, "x");
        assert!(past_the_end.explain("a\tb").ends_with("^"));
    }

    #[test]
    fn distances_count_edits() {
        assert_eq!(distance("price", "prize"), 1);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", ""), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
