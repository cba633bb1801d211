//! A histogram that one thread writes and any thread reads.
//!
//! Relaxed atomics cost the writer what plain counts cost (a load, an addition and a store: with a single writer no locked
//! instruction is needed), and a reader needs no lock. A snapshot that is taken while the writer writes may lack the very
//! last durations, never others. One per core keeps the cache lines apart; merging them is the reader's work.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::bucket::{self, BUCKETS};
use crate::counts::Histogram;

/// Durations that are being recorded. Only one thread may record at a time: what two record at once may be lost.
#[derive(Debug)]
pub struct Recorder {
    counts: Box<[AtomicU64]>,
    /// Wraps after 584 years of durations.
    sum_ns: AtomicU64,
}

impl Default for Recorder {
    fn default() -> Self {
        Self::new()
    }
}

impl Recorder {
    /// Without any duration.
    pub fn new() -> Self {
        Self { counts: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect(), sum_ns: AtomicU64::new(0) }
    }

    /// Adds a duration.
    pub fn record_ns(&self, ns: u64) {
        if let Some(count) = self.counts.get(bucket::index_ns(ns)) {
            count.store(count.load(Relaxed).wrapping_add(1), Relaxed);
        }
        self.sum_ns.store(self.sum_ns.load(Relaxed).wrapping_add(ns), Relaxed);
    }

    /// What has been recorded so far.
    pub fn snapshot(&self) -> Histogram {
        let mut histogram = Histogram::new();
        for (index, count) in self.counts.iter().enumerate() {
            let count = count.load(Relaxed);
            if count > 0 {
                histogram.add(index, count);
            }
        }
        histogram.add_sum_ns(u128::from(self.sum_ns.load(Relaxed)));
        histogram
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_has_what_was_recorded() {
        let recorder = Recorder::new();
        let mut histogram = Histogram::new();
        for ns in [0, 1_500, 2_000_000, 5_000_000_000, 7_200_000_000_000] {
            recorder.record_ns(ns);
            histogram.record_ns(ns);
        }
        assert_eq!(recorder.snapshot(), histogram);
    }

    #[test]
    fn it_can_be_read_while_it_is_written() {
        let recorder = Recorder::new();
        std::thread::scope(|scope| {
            scope.spawn(|| (0..100_000).for_each(|ns| recorder.record_ns(ns * 100)));
            let mut before = 0;
            while before < 100_000 {
                let now = recorder.snapshot().count();
                assert!(now >= before, "{now} after {before}");
                before = now;
                std::thread::yield_now();
            }
        });
        assert_eq!(recorder.snapshot().count(), 100_000);
    }
}
