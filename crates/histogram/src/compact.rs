//! A column of a heat map as JSON: small, and without anything that a browser would have to know about buckets.

use std::fmt::Write;

use crate::bucket::{self, SCALE};
use crate::counts::Histogram;

/// `{"count":3,"sum_us":4250,"scale":5,"buckets":[[320,1],[352,2]]}`: bucket `i` is above `2^(i/2^scale)` microseconds and at
/// most `2^((i+1)/2^scale)`.
pub fn json(histogram: &Histogram) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write!(
        text,
        "{{\"count\":{},\"sum_us\":{},\"scale\":{SCALE},\"buckets\":[",
        histogram.count(),
        histogram.sum_ns() / 1000
    );
    for (position, (index, count)) in histogram.filled().enumerate() {
        let comma = if position == 0 { "" } else { "," };
        let _ = write!(text, "{comma}[{index},{count}]");
    }
    text.push_str("]}");
    text
}

/// Counts by coarser rows for a heat map of this many rows per octave (1, 2, 4, … 32): the upper bound of each row in
/// microseconds, and what is in it. Rows without anything in them are left out.
pub fn rows(histogram: &Histogram, per_octave: usize) -> Vec<(f64, u64)> {
    let width = ((1_usize << SCALE) / per_octave.clamp(1, 1 << SCALE)).max(1);
    let mut rows: Vec<(usize, u64)> = Vec::new();
    for (index, count) in histogram.filled() {
        match rows.last_mut() {
            Some((row, total)) if *row == index / width => *total = total.saturating_add(count),
            _ => rows.push((index / width, count)),
        }
    }
    rows.into_iter().map(|(row, count)| (bucket::upper_us((row + 1) * width - 1), count)).collect()
}
