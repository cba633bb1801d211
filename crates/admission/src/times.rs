//! How long a route takes, learnt by watching it: never by holding traffic back to see how fast it would be.
//!
//! Two views of the same samples: *recent* percentiles (which requests can still make it, how long a queue may stand) and a
//! *baseline* (what this route takes when nothing is wrong), which falls quickly and rises slowly.

/// Buckets per octave; 16 are 4.4 % wide, which is enough for decisions (people are shown the `histogram` crate).
const PER_OCTAVE_LOG2: u32 = 4;
const PER_OCTAVE: u32 = 1 << PER_OCTAVE_LOG2;
const BUCKETS: usize = 512;
/// Recent percentiles are computed anew after this many samples, or after this time if there was any.
const SAMPLES: u32 = 32;
const REFRESH_US: u64 = 5_000_000;
/// A window of the baseline has so many samples at least (with fewer, the smallest of many windows is mostly luck), and ends
/// when it has so many or is so old.
const WINDOW_SAMPLES: u32 = 400;
const WINDOW_ENOUGH: u32 = 4_000;
const WINDOW_US: u64 = 10_000_000;
/// What a baseline rises by in [`WINDOW_US`], towards a window that was slower.
const RISE: f64 = 0.02;

#[derive(Debug)]
pub(crate) struct Times {
    recent: Counts,
    refreshed_us: u64,
    low_us: u64,
    high_us: u64,
    window: Counts,
    window_us: u64,
    baseline_us: f64,
    slowness: f64,
}

impl Times {
    pub(crate) fn new() -> Self {
        Self {
            recent: Counts::new(),
            refreshed_us: 0,
            low_us: 0,
            high_us: 0,
            window: Counts::new(),
            window_us: 0,
            baseline_us: 0.0,
            slowness: 1.0,
        }
    }

    /// 10th percentile of late, rounded up, in microseconds; 0 as long as nothing is known.
    pub(crate) fn low_us(&self) -> u64 {
        self.low_us
    }

    /// 95th percentile of late, in microseconds.
    pub(crate) fn high_us(&self) -> u64 {
        self.high_us
    }

    /// How much slower than usual the route is; 1.0 as long as nothing is known. Like is compared with like, the quickest
    /// tenth of late with the quickest tenth of usual: of a route that takes a second now and then, a second is no news.
    pub(crate) fn slowness(&self) -> f64 {
        self.slowness
    }

    pub(crate) fn record(&mut self, now_us: u64, service_us: u64) {
        let bucket = bucket(service_us);
        self.recent.add(bucket);
        self.window.add(bucket);
        let is_due = now_us.saturating_sub(self.refreshed_us) >= REFRESH_US;
        if self.recent.fresh >= SAMPLES || is_due || self.low_us == 0 {
            self.low_us = self.recent.percentile(0.10);
            self.high_us = self.recent.percentile(0.95);
            // Old samples fade, so that the percentiles follow within a few refreshes.
            self.recent.fade(2);
            self.refreshed_us = now_us;
        }
        let age_us = now_us.saturating_sub(self.window_us);
        let samples = self.window.fresh;
        if samples >= WINDOW_ENOUGH || (age_us >= WINDOW_US && samples >= WINDOW_SAMPLES) {
            self.end_window(now_us, age_us);
        }
    }

    fn end_window(&mut self, now_us: u64, age_us: u64) {
        let low_us = self.window.percentile(0.10) as f64;
        if self.baseline_us == 0.0 || low_us < self.baseline_us {
            self.baseline_us = low_us;
        } else {
            let part = (age_us as f64 / WINDOW_US as f64).min(1.0);
            self.baseline_us += (low_us - self.baseline_us) * RISE * part;
        }
        self.slowness = low_us / self.baseline_us.max(1.0);
        self.window.fade(u16::MAX);
        self.window_us = now_us;
    }
}

/// Samples by their size: how long requests took, or how many there were.
#[derive(Debug)]
pub(crate) struct Counts {
    counts: [u16; BUCKETS],
    fresh: u32,
}

impl Counts {
    pub(crate) fn new() -> Self {
        Self { counts: [0; BUCKETS], fresh: 0 }
    }

    pub(crate) fn add(&mut self, bucket: usize) {
        let count = &mut self.counts[bucket];
        *count = count.saturating_add(1);
        self.fresh += 1;
    }

    /// Samples since they last faded.
    pub(crate) fn fresh(&self) -> u32 {
        self.fresh
    }

    pub(crate) fn fade(&mut self, divisor: u16) {
        self.counts.iter_mut().for_each(|count| *count /= divisor);
        self.fresh = 0;
    }

    /// The upper bound of the bucket in which this part of the samples is reached.
    pub(crate) fn percentile(&self, part: f64) -> u64 {
        let total: u32 = self.counts.iter().map(|&count| u32::from(count)).sum();
        let rank = (f64::from(total) * part).ceil().max(1.0) as u32;
        let mut seen = 0;
        for (index, &count) in self.counts.iter().enumerate() {
            seen += u32::from(count);
            if seen >= rank {
                return lower_bound(index + 1);
            }
        }
        0
    }
}

/// From 1 (µs) on; the last bucket (above an hour) takes the rest.
pub(crate) fn bucket(us: u64) -> usize {
    let us = us.max(1);
    let octave = us.ilog2();
    let shifted = if octave >= PER_OCTAVE_LOG2 {
        us >> (octave - PER_OCTAVE_LOG2)
    } else {
        us << (PER_OCTAVE_LOG2 - octave)
    };
    let step = shifted & u64::from(PER_OCTAVE - 1);
    ((octave * PER_OCTAVE) as usize + step as usize).min(BUCKETS - 1)
}

fn lower_bound(index: usize) -> u64 {
    let (octave, step) = (index as u32 / PER_OCTAVE, index as u64 % u64::from(PER_OCTAVE));
    ((u64::from(PER_OCTAVE) + step) << octave) >> PER_OCTAVE_LOG2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_enclose_their_values() {
        for us in (1..4096).chain([3_000_000, 3_600_000_000]) {
            let at = bucket(us);
            assert!(lower_bound(at) <= us && us < lower_bound(at + 1).max(us + 1), "{us}");
            assert!(lower_bound(at) as f64 >= us as f64 / 1.07 - 1.0, "{us}: {}", lower_bound(at));
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn recent_percentiles_follow_and_the_baseline_hesitates() {
        let mut times = Times::new();
        for i in 0..1_000 {
            times.record(i * 30_000, 3_000_000);
        }
        assert!((3_000_000..=3_200_000).contains(&times.low_us()));
        assert!((3_000_000..=3_200_000).contains(&times.high_us()));
        assert!((0.99..1.01).contains(&times.slowness()));
        for i in 0..2_000 {
            times.record(30_000_000 + i * 30_000, 9_000_000);
        }
        assert!(times.low_us() > 7_000_000, "{}", times.low_us());
        assert!(times.slowness() > 2.4, "a minute does not make slow usual");
        for i in 0..8_000 {
            times.record(100_000_000 + i, 1_000);
        }
        assert!(times.slowness() < 1.5, "being fast is believed at once");
    }
}
