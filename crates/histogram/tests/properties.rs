//! How wrong a histogram may be, and that merging adds nothing to that.

use freezeframe_histogram::{Histogram, bucket, opentelemetry, prometheus};
use proptest::prelude::*;

const HOUR_NS: u64 = 3_600_000_000_000;

fn durations() -> impl Strategy<Value = Vec<u64>> {
    // Evenly over the orders of magnitude, from a nanosecond to beyond everything.
    let duration = (0..64_u32, any::<u64>()).prop_map(|(bits, value)| value >> bits);
    prop::collection::vec(duration, 0..300)
}

fn of(durations: &[u64]) -> Histogram {
    let mut histogram = Histogram::new();
    durations.iter().for_each(|&ns| histogram.record_ns(ns));
    histogram
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn merging_is_recording_all(a in durations(), b in durations()) {
        let mut merged = of(&a);
        merged.merge(&of(&b));
        prop_assert_eq!(merged, of(&[a, b].concat()));
    }

    #[test]
    fn a_duration_is_within_its_bucket(ns in 1_001..HOUR_NS) {
        let us = ns as f64 / 1e3;
        let index = bucket::index_ns(ns);
        prop_assert!(bucket::lower_us(index) < us && us <= bucket::upper_us(index), "{us} in {index}");
        let middle = bucket::middle_us(index);
        prop_assert!((middle / us - 1.0).abs() < 0.011, "{us} shown as {middle}");
    }

    #[test]
    fn percentiles_are_at_most_half_a_bucket_wrong(
        durations in prop::collection::vec(1_001..HOUR_NS, 1..200), part in 0.0..=1.0_f64,
    ) {
        let shown = of(&durations).percentile_us(part).expect("there are some");
        let mut sorted = durations;
        sorted.sort_unstable();
        let rank = ((part * sorted.len() as f64).ceil() as usize).max(1);
        let exact = sorted[rank - 1] as f64 / 1e3;
        prop_assert!((shown / exact - 1.0).abs() < 0.011, "{exact} shown as {shown}");
    }

    #[test]
    fn exports_lose_nobody(durations in durations()) {
        let histogram = of(&durations);
        let count = durations.len() as u64;
        let data = opentelemetry::exponential(&histogram);
        prop_assert_eq!(data.bucket_counts.iter().sum::<u64>(), count);
        let native = prometheus::native(&histogram);
        let mut running = 0;
        let counts: Vec<i64> = native.positive_delta.iter().map(|delta| { running += delta; running }).collect();
        prop_assert_eq!(counts.iter().sum::<i64>(), count as i64);
        prop_assert_eq!(native.positive_span.iter().map(|span| span.length as usize).sum::<usize>(), counts.len());
        let classic = prometheus::classic("x", "", &histogram);
        let last = format!("le=\"+Inf\"}} {count}\n");
        prop_assert!(classic.contains(&last));
    }

    #[test]
    fn a_native_bucket_is_where_its_durations_are(ns in 10_000..HOUR_NS) {
        let native = prometheus::native(&of(&[ns]));
        let upper_s = prometheus::native_upper_s(native.positive_span[0].offset);
        let off = ns as f64 / 1e9 / upper_s;
        prop_assert!((0.967..=1.0112).contains(&off), "{ns} ns in the bucket up to {upper_s} s");
    }
}
