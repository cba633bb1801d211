//! Prometheus, in seconds: native histograms (for protobuf exposition) and classic buckets (for the text format).

use std::fmt::Write;

use crate::bucket::{self, SCALE};
use crate::counts::Histogram;

/// A stretch of neighbouring buckets: `BucketSpan` of `io.prometheus.client`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Index of its first bucket, counted from the end of the span before it; for the first span from 0.
    pub offset: i32,
    /// How many buckets it has.
    pub length: u32,
}

/// The numbers of a native histogram.
#[derive(Clone, Debug, PartialEq)]
pub struct Native {
    /// 5.
    pub schema: i32,
    /// All durations.
    pub sample_count: u64,
    /// In seconds, of durations converted as said at [`native`].
    pub sample_sum: f64,
    /// Stretches of buckets.
    pub positive_span: Vec<Span>,
    /// One per bucket of the spans: its count less that of the bucket before.
    pub positive_delta: Vec<i64>,
}

/// Microseconds and seconds have no common bucket bounds (a million is no power of `2^(1/32)`), so each bucket goes where its
/// middle is: nothing is lost in number, and no duration is moved by more than half a bucket, 1.1 %.
const MICROSECONDS_LOG2: f64 = 19.931_568_569_324_174;

/// A native histogram in seconds, as is the custom there.
pub fn native(histogram: &Histogram) -> Native {
    let mut native = Native {
        schema: i32::from(SCALE),
        sample_count: histogram.count(),
        sample_sum: histogram.sum_s(),
        positive_span: Vec::new(),
        positive_delta: Vec::new(),
    };
    let (mut next, mut before) = (0_i32, 0_i64);
    for (index, count) in histogram.filled() {
        // Prometheus's bucket i is above 2^((i-1)/32) and at most 2^(i/32).
        let per_octave = f64::from(1_u32 << SCALE);
        let own = (index as f64 + 0.5 - MICROSECONDS_LOG2 * per_octave).ceil() as i32;
        match native.positive_span.last_mut() {
            Some(span) if own == next => span.length += 1,
            _ => native.positive_span.push(Span { offset: own - next, length: 1 }),
        }
        next = own + 1;
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        native.positive_delta.push(count - before);
        before = count;
    }
    native
}

impl Native {
    /// As the protobuf message `io.prometheus.client.Histogram`, to be embedded in a `Metric`. A histogram without any
    /// bucket has an empty span, by which it is told from a classic one.
    pub fn to_protobuf(&self) -> Vec<u8> {
        let mut out = Vec::new();
        field_varint(&mut out, 1, self.sample_count);
        field_double(&mut out, 2, self.sample_sum);
        field_varint(&mut out, 5, zigzag(i64::from(self.schema)));
        // The zero threshold: nothing is counted as zero.
        field_double(&mut out, 6, 0.0);
        field_varint(&mut out, 7, 0);
        let empty = [Span { offset: 0, length: 0 }];
        let spans = if self.positive_span.is_empty() { &empty } else { self.positive_span.as_slice() };
        for span in spans {
            let mut message = Vec::new();
            field_varint(&mut message, 1, zigzag(i64::from(span.offset)));
            field_varint(&mut message, 2, u64::from(span.length));
            field_bytes(&mut out, 12, &message);
        }
        let mut deltas = Vec::new();
        self.positive_delta.iter().for_each(|&delta| varint(&mut deltas, zigzag(delta)));
        field_bytes(&mut out, 13, &deltas);
        out
    }
}

/// Upper bounds of the classic buckets, in seconds: powers of two times 1 µs near the customary ones, so that they are exact.
const CLASSIC_OCTAVES: std::ops::RangeInclusive<u32> = 8..=26;

/// The lines of a classic histogram: `NAME_bucket{LABELS,le="…"}`, `NAME_sum`, `NAME_count`. The bounds are octaves of 1 µs
/// from 256 µs to 67 s: bounds between our buckets would have to be guessed at.
///
/// `labels` are written as they are, without braces (`route="/",code="200"`, or nothing).
pub fn classic(name: &str, labels: &str, histogram: &Histogram) -> String {
    let mut text = String::new();
    let comma = if labels.is_empty() { "" } else { "," };
    let braced = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
    let mut filled = histogram.filled().peekable();
    let mut total = 0_u64;
    for octave in CLASSIC_OCTAVES {
        let end = (octave as usize) << SCALE;
        while let Some((_, count)) = filled.next_if(|&(index, _)| index < end) {
            total = total.saturating_add(count);
        }
        let le = f64::from(1_u32 << octave) / 1e6;
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name}_bucket{{{labels}{comma}le=\"{le}\"}} {total}");
    }
    let _ = writeln!(text, "{name}_bucket{{{labels}{comma}le=\"+Inf\"}} {}", histogram.count());
    let _ = writeln!(text, "{name}_sum{braced} {}", histogram.sum_s());
    let _ = writeln!(text, "{name}_count{braced} {}", histogram.count());
    text
}

/// What a bucket of a native histogram goes up to, in seconds.
pub fn native_upper_s(index: i32) -> f64 {
    (f64::from(index) / f64::from(1_u32 << SCALE)).exp2()
}

/// What a bucket of ours goes up to, in seconds.
pub fn upper_s(index: usize) -> f64 {
    bucket::upper_us(index) / 1e6
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

pub(crate) fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(crate) fn field_varint(out: &mut Vec<u8>, field: u64, value: u64) {
    varint(out, field << 3);
    varint(out, value);
}

fn field_double(out: &mut Vec<u8>, field: u64, value: f64) {
    varint(out, field << 3 | 1);
    out.extend_from_slice(&value.to_le_bytes());
}

pub(crate) fn field_bytes(out: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    varint(out, field << 3 | 2);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}
