//! Why an expression has no value, in words that lead on; the place in the expression that is meant is added on the way up.

use std::ops::Range;

pub use freezeframe_model::{EvaluateError, Obstacle};

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
    fn near_names_are_offered_alone() {
        let failure = Failure::new(Obstacle::NotFound, "none")
            .instead("prize", ["count", "price", "prices"].into_iter());
        assert_eq!(failure.instead, ["price", "prices"]);
    }

    #[test]
    fn distances_count_edits() {
        assert_eq!(distance("price", "prize"), 1);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", ""), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
