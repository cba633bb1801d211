//! The data of an OpenTelemetry exponential histogram (`ExponentialHistogramDataPoint` of opentelemetry-proto), in microseconds.

use crate::bucket::SCALE;
use crate::counts::Histogram;

/// What goes into a data point. OpenTelemetry's bucket `i` is ours: above `2^(i/32)`, at most `2^((i+1)/32)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Exponential {
    /// Buckets per octave as a power of two: 5.
    pub scale: i32,
    /// All durations.
    pub count: u64,
    /// In microseconds.
    pub sum: f64,
    /// Index of the first of `bucket_counts`.
    pub offset: i32,
    /// From the first bucket with anything in it to the last.
    pub bucket_counts: Vec<u64>,
}

/// The data point's numbers. Durations of 1 µs or less are in the first bucket, not in a zero count.
pub fn exponential(histogram: &Histogram) -> Exponential {
    let first = histogram.filled().next().map_or(0, |(index, _)| index);
    let end = histogram.filled().last().map_or(first, |(index, _)| index + 1);
    Exponential {
        scale: i32::from(SCALE),
        count: histogram.count(),
        sum: histogram.sum_ns() as f64 / 1e3,
        offset: first as i32,
        bucket_counts: (first..end).map(|index| histogram.in_bucket(index)).collect(),
    }
}
