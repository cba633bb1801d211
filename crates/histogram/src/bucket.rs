//! Which bucket a duration is in.
//!
//! Bucket `i` holds what is above `2^(i/32)` and at most `2^((i+1)/32)` microseconds; the offset by one against Prometheus's
//! indices is applied in its export. Bucket 0 holds 1 µs and below as well, the last one an hour and above.

use std::sync::LazyLock;

/// Buckets per octave, as a power of two: Prometheus's *schema*, OpenTelemetry's *scale*.
pub const SCALE: u8 = 5;
const PER_OCTAVE: usize = 1 << SCALE;
/// Up to the first bucket whose upper bound is an hour or more.
pub const BUCKETS: usize = 1016;

/// The lower bounds of the buckets of one octave, as the top 52 bits of a mantissa.
static STEPS: LazyLock<[u64; PER_OCTAVE]> = LazyLock::new(|| {
    let mut steps = [0; PER_OCTAVE];
    for (index, step) in steps.iter_mut().enumerate() {
        *step = (index as f64 / PER_OCTAVE as f64).exp2().to_bits() & MANTISSA;
    }
    steps
});

const MANTISSA: u64 = (1 << 52) - 1;

/// The bucket of a duration in nanoseconds.
pub fn index_ns(ns: u64) -> usize {
    index_us(ns as f64 / 1e3)
}

/// The bucket of a duration in microseconds.
pub fn index_us(us: f64) -> usize {
    // Also what is not a number, and what is negative.
    if us.is_nan() || us <= 1.0 {
        return 0;
    }
    let bits = us.to_bits();
    let octave = (bits >> 52) as usize - 1023;
    let mantissa = bits & MANTISSA;
    // A guess that is never too high and at most two too low (the logarithm is above its chord), put right by the exact bounds.
    let mut step = (mantissa >> (52 - SCALE)) as usize;
    let steps = &*STEPS;
    while step + 1 < PER_OCTAVE && steps[step + 1] < mantissa {
        step += 1;
    }
    // A bound itself belongs to the bucket below it.
    let is_bound = mantissa == steps[step];
    (octave * PER_OCTAVE + step - usize::from(is_bound)).min(BUCKETS - 1)
}

/// What a bucket's durations are above, in microseconds.
pub fn lower_us(index: usize) -> f64 {
    (index as f64 / PER_OCTAVE as f64).exp2()
}

/// What a bucket's durations are at most, in microseconds.
pub fn upper_us(index: usize) -> f64 {
    lower_us(index + 1)
}

/// The value that stands for a bucket: its geometric middle, at most 1.1 % from any duration in it.
pub fn middle_us(index: usize) -> f64 {
    ((index as f64 + 0.5) / PER_OCTAVE as f64).exp2()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reaches_an_hour_and_no_further() {
        let hour_us = 3.6e9;
        assert!(upper_us(BUCKETS - 1) >= hour_us && lower_us(BUCKETS - 1) < hour_us);
        assert_eq!([0.0, 1.0, -5.0, f64::NAN, f64::NEG_INFINITY].map(index_us), [0; 5]);
        assert_eq!([hour_us, f64::INFINITY, f64::MAX].map(index_us), [BUCKETS - 1; 3]);
        assert_eq!(index_ns(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn powers_of_two_are_the_upper_bounds_of_octaves() {
        for octave in 1..31 {
            let us = f64::from(1_u32 << octave);
            assert_eq!(index_us(us), octave as usize * PER_OCTAVE - 1);
            assert_eq!(index_us(us * 1.0001), octave as usize * PER_OCTAVE);
        }
    }
}
