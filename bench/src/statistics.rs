//! Medians and spreads.

use serde::Serialize;

/// What is told of several measurements of the same thing.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Spread {
    /// How many measurements.
    pub(crate) n: usize,
    pub(crate) min: f64,
    pub(crate) median: f64,
    /// By nearest rank: below 100 measurements it is the largest.
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// `None` of nothing.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        Some(Self { n: sorted.len(), min, median: median(&sorted), p99: rank(&sorted, 0.99), max })
    }
}

fn median(sorted: &[f64]) -> f64 {
    let (low, high) = (sorted.get((sorted.len().saturating_sub(1)) / 2), sorted.get(sorted.len() / 2));
    match (low, high) {
        (Some(low), Some(high)) => f64::midpoint(*low, *high),
        _ => f64::NAN,
    }
}

/// The smallest value that at least this share of all values does not exceed.
fn rank(sorted: &[f64], share: f64) -> f64 {
    let at = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(at.clamp(1, sorted.len().max(1)) - 1).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle_and_p99_by_nearest_rank() {
        let one_to = |n: u32| Spread::of((1..=n).rev().map(f64::from));
        assert_eq!(one_to(0), None);
        assert_eq!(one_to(1), Some(Spread { n: 1, min: 1.0, median: 1.0, p99: 1.0, max: 1.0 }));
        assert_eq!(one_to(4), Some(Spread { n: 4, min: 1.0, median: 2.5, p99: 4.0, max: 4.0 }));
        assert_eq!(one_to(200), Some(Spread { n: 200, min: 1.0, median: 100.5, p99: 198.0, max: 200.0 }));
    }

    #[test]
    fn what_is_no_number_is_left_out() {
        assert_eq!(Spread::of([f64::NAN, f64::INFINITY, 2.0]).map(|spread| spread.n), Some(1));
    }
}
