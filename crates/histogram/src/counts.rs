//! A histogram: counts, and what can be asked of them.

use crate::bucket::{self, BUCKETS};

/// Durations by bucket. Merging loses nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    counts: Box<[u64; BUCKETS]>,
    count: u64,
    sum_ns: u128,
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

impl Histogram {
    /// Without any duration.
    pub fn new() -> Self {
        Self { counts: Box::new([0; BUCKETS]), count: 0, sum_ns: 0 }
    }

    /// Adds a duration.
    pub fn record_ns(&mut self, ns: u64) {
        self.add(bucket::index_ns(ns), 1);
        self.sum_ns = self.sum_ns.saturating_add(u128::from(ns));
    }

    pub(crate) fn add(&mut self, index: usize, count: u64) {
        if let Some(cell) = self.counts.get_mut(index) {
            *cell = cell.saturating_add(count);
            self.count = self.count.saturating_add(count);
        }
    }

    pub(crate) fn add_sum_ns(&mut self, ns: u128) {
        self.sum_ns = self.sum_ns.saturating_add(ns);
    }

    /// Adds everything that is in another one.
    pub fn merge(&mut self, other: &Self) {
        for (index, count) in other.filled() {
            self.add(index, count);
        }
        self.add_sum_ns(other.sum_ns);
    }

    /// What was added since an earlier state of the same histogram. What an earlier state had more of is taken for nothing.
    pub fn since(&self, earlier: &Self) -> Self {
        let mut new = Self::new();
        for (index, count) in self.filled() {
            new.add(index, count.saturating_sub(earlier.in_bucket(index)));
        }
        new.add_sum_ns(self.sum_ns.saturating_sub(earlier.sum_ns));
        new
    }

    /// How many durations there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// All durations together, in nanoseconds; exact.
    pub fn sum_ns(&self) -> u128 {
        self.sum_ns
    }

    /// All durations together, in seconds.
    pub fn sum_s(&self) -> f64 {
        self.sum_ns as f64 / 1e9
    }

    /// How many are in a bucket.
    pub fn in_bucket(&self, index: usize) -> u64 {
        self.counts.get(index).copied().unwrap_or(0)
    }

    /// Buckets with anything in them, in ascending order, with their counts.
    pub fn filled(&self) -> impl Iterator<Item = (usize, u64)> + '_ {
        self.counts.iter().copied().enumerate().filter(|&(_, count)| count > 0)
    }

    /// The duration in microseconds that a part (0 to 1) of all do not exceed, at most 1.1 % wrong for those from 1 µs to an
    /// hour; `None` where there are none.
    pub fn percentile_us(&self, part: f64) -> Option<f64> {
        let rank = (part.clamp(0.0, 1.0) * self.count as f64).ceil().max(1.0) as u64;
        let mut seen = 0_u64;
        let reached = self.filled().find(|&(_, count)| {
            seen = seen.saturating_add(count);
            seen >= rank
        });
        let last = || self.filled().last();
        reached.or_else(last).map(|(index, _)| bucket::middle_us(index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_since_is_told_from_what_was_there() {
        let mut histogram = Histogram::new();
        histogram.record_ns(1_000_000);
        let earlier = histogram.clone();
        histogram.record_ns(1_000_000);
        histogram.record_ns(9_000_000);
        let new = histogram.since(&earlier);
        assert_eq!((new.count(), new.sum_ns()), (2, 10_000_000));
        assert_eq!(new.filled().map(|(_, count)| count).collect::<Vec<_>>(), [1, 1]);
        assert_eq!(earlier.since(&histogram), Histogram::new());
        let mut merged = earlier;
        merged.merge(&new);
        assert_eq!(merged, histogram);
    }
}
