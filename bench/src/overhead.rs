//! What the SDK's calls cost in this process while nothing is wrong, unarmed and armed.

use std::hint::black_box;
use std::sync::atomic::Ordering;
use std::time::Instant;

use freezeframe_sdk::{ensure, freezeframe_armed, hold};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::prelude::*;

use crate::report::{Report, Section};

/// One thing that is called, and how often.
struct Call<'a> {
    name: &'a str,
    calls: u32,
    body: &'a dyn Fn(u32),
}

pub(crate) fn measure(quick: bool, report: &mut Report) {
    let runs = if quick { 2 } else { 9 };
    let section = report.section("SDK: what a call costs while nothing is wrong");
    let each = |body: fn(u64)| move |calls: u32| (0..calls).for_each(|call| body(black_box(u64::from(call))));
    let compare = each(|call| {
        black_box(call < u64::MAX);
    });
    let assert = each(|call| {
        black_box(ensure!(call < u64::MAX, "{call}"));
    });
    let branch = each(|call| {
        if call == u64::MAX {
            hold!("{call}");
        }
    });
    let event = each(|call| tracing::info!(call, "ordinary event"));
    let span = each(|call| {
        let _span = tracing::info_span!("request", call, path = "/products/7").entered();
    });
    tell(section, runs, &Call { name: "a comparison alone", calls: 20_000_000, body: &compare });
    tell(section, runs, &Call { name: "ensure!(true)", calls: 20_000_000, body: &assert });
    tell(section, runs, &Call { name: "hold! in a branch not taken", calls: 20_000_000, body: &branch });
    for (with_sdk, what) in [(false, "registry alone"), (true, "with the SDK's layer")] {
        let sdk = with_sdk.then(freezeframe_sdk::layer);
        let subscriber = tracing_subscriber::registry().with(LevelFilter::INFO).with(sdk);
        tracing::subscriber::with_default(subscriber, || {
            tell(section, runs, &Call { name: &format!("INFO event, {what}"), calls: 500_000, body: &event });
            tell(
                section,
                runs,
                &Call { name: &format!("span with two fields, {what}"), calls: 500_000, body: &span },
            );
        });
    }
}

/// Unarmed and armed take turns.
fn tell(section: &mut Section, runs: usize, call: &Call<'_>) {
    let time = |armed: u32| {
        freezeframe_armed.store(armed, Ordering::Relaxed);
        let begun = Instant::now();
        (call.body)(call.calls);
        let elapsed = begun.elapsed().as_nanos() as f64 / f64::from(call.calls);
        freezeframe_armed.store(0, Ordering::Relaxed);
        elapsed
    };
    let (unarmed, armed): (Vec<f64>, Vec<f64>) = (0..runs).map(|_| (time(0), time(1))).unzip();
    section.row(format!("{}, unarmed", call.name), "ns", unarmed, None);
    section.row(format!("{}, armed", call.name), "ns", armed, None);
}
