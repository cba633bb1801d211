//! What recording one duration costs, and merging and reading many.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use freezeframe_histogram::{Histogram, Recorder};

fn record(c: &mut Criterion) {
    // Durations from a few microseconds to seconds, in no order.
    let durations: Vec<u64> = (0..4096_u64).map(|i| 2_000 + (i * 2_654_435_761 % 4_294_967_296)).collect();
    let mut at = 0;
    let mut next = || {
        at = (at + 1) % 4096;
        durations[at]
    };
    let mut plain = Histogram::new();
    c.bench_function("record, plain", |b| b.iter(|| plain.record_ns(black_box(next()))));
    let recorder = Recorder::new();
    c.bench_function("record, one writer with relaxed atomics", |b| {
        b.iter(|| recorder.record_ns(black_box(next())))
    });
    let mut total = Histogram::new();
    c.bench_function("merge", |b| b.iter(|| total.merge(black_box(&plain))));
    c.bench_function("percentile", |b| b.iter(|| black_box(&plain).percentile_us(black_box(0.99))));
}

criterion_group!(benches, record);
criterion_main!(benches);
