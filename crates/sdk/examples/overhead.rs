//! What the SDK costs while nothing is wrong: nanoseconds per call, bare and armed.
//!
//! Run with `cargo run --release -p freezeframe-sdk --features tracing --example overhead`.

#![allow(clippy::print_stdout)] // the table is the point

use std::hint::black_box;
use std::sync::atomic::Ordering;
use std::time::Instant;

use freezeframe_sdk::{ensure, freezeframe_armed, hold};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::prelude::*;

const CALLS: u32 = 20_000_000;
const SPAN_CALLS: u32 = 500_000;
const RUNS: usize = 7;

/// Median nanoseconds per call over several runs.
fn measure(calls: u32, mut body: impl FnMut(u64)) -> f64 {
    let mut runs: Vec<f64> = (0..RUNS)
        .map(|_| {
            let start = Instant::now();
            for call in 0..calls {
                body(black_box(u64::from(call)));
            }
            start.elapsed().as_nanos() as f64 / f64::from(calls)
        })
        .collect();
    runs.sort_by(f64::total_cmp);
    runs[RUNS / 2]
}

/// One INFO event that some layer receives, and one span with two fields.
fn events(with_sdk: bool) -> (f64, f64) {
    let sdk = with_sdk.then(freezeframe_sdk::layer);
    let subscriber = tracing_subscriber::registry().with(LevelFilter::INFO).with(sdk);
    tracing::subscriber::with_default(subscriber, || {
        let event = measure(SPAN_CALLS, |call| tracing::info!(call, "ordinary event"));
        let span = measure(SPAN_CALLS, |call| {
            let _span = tracing::info_span!("request", call, path = "/products/7").entered();
        });
        (event, span)
    })
}

fn main() {
    println!("median of {RUNS} runs, ns per call while nothing is wrong\n");
    println!("{:<44}{:>10}{:>10}", "", "unarmed", "armed");

    let row = |name: &str, measure: &dyn Fn() -> f64| {
        freezeframe_armed.store(0, Ordering::Relaxed);
        let unarmed = measure();
        freezeframe_armed.store(1, Ordering::Relaxed);
        let armed = measure();
        freezeframe_armed.store(0, Ordering::Relaxed);
        println!("{name:<44}{unarmed:>10.2}{armed:>10.2}");
    };
    row("empty loop", &|| {
        measure(CALLS, |call| {
            black_box(call);
        })
    });
    row("comparison alone", &|| {
        measure(CALLS, |call| {
            black_box(call < u64::MAX);
        })
    });
    row("ensure!(true)", &|| {
        measure(CALLS, |call| {
            black_box(ensure!(call < u64::MAX, "{call}"));
        })
    });
    row("hold! in a branch not taken", &|| {
        measure(CALLS, |call| {
            if call == u64::MAX {
                hold!("{call}");
            }
        })
    });
    row("INFO event, registry alone", &|| events(false).0);
    row("INFO event, with the SDK's layer", &|| events(true).0);
    row("span with two fields, registry alone", &|| events(false).1);
    row("span with two fields, with the SDK's layer", &|| events(true).1);

    println!("\nand when something is wrong:");
    row("hold! (armed: formats, and calls the trap)", &|| measure(SPAN_CALLS, |call| hold!("{call}")));
    row("ensure!(false)", &|| {
        measure(SPAN_CALLS, |call| {
            black_box(ensure!(call == u64::MAX, "{call}"));
        })
    });
}
