//! The promises, one function per experiment.

use super::figures::{Figure, Goal, Slice};
use super::scenes::{self, BURST, DEGRADED, SECOND, STEP, SURGE};
use super::world::Record;
use super::{Outcome, Variant, compare, with_admission};
use crate::error::BenchError;

/// Answers, of whatever kind, that came after the deadline of their route, in seconds at the worst; and how many.
pub(crate) fn overruns(outcome: &Outcome) -> Vec<Figure> {
    let deadline_us = |record: &Record| {
        let route = outcome.experiment.scene.streams[usize::from(record.stream)].route;
        outcome.experiment.config.routes[usize::from(route)].deadline_us
    };
    let beyond = |record: &Record| record.response_us().saturating_sub(deadline_us(record));
    let count = outcome.ours.records.iter().filter(|record| beyond(record) > 0).count();
    let worst = outcome.ours.records.iter().map(Record::response_us).max().unwrap_or(0);
    let mut figures = vec![
        Figure::new("answers after the deadline", count as f64, "", Goal::AtMost(0.0)),
        Figure::new("longest response", worst as f64 / 1e6, "s", Goal::None),
    ];
    for Variant { name, records } in &outcome.others {
        let worst = records.iter().map(Record::response_us).max().unwrap_or(0);
        figures.push(Figure::new(format!("{name}: longest response"), worst as f64 / 1e6, "s", Goal::None));
    }
    figures
}

pub(crate) fn burst(outcome: &Outcome) -> Result<Vec<Figure>, BenchError> {
    let capacity = f64::from(outcome.experiment.in_flight_max) / 3.0;
    let deadline_us = outcome.experiment.config.routes[0].deadline_us;
    let all = Slice::of(&outcome.ours.records);
    let after = all.between(BURST.1 + 1.0, BURST.1 + 61.0);
    let served = after.good(deadline_us).len() as f64 / after.len() as f64;
    // While what the burst left in the server is finished, goodput can be measured against capacity.
    let during = all.good(deadline_us).answered_between(BURST.0 + 6.0, BURST.1) as f64;
    let during = during / (BURST.1 - BURST.0 - 6.0) / capacity;
    let mut figures = overruns(outcome);
    figures.push(Figure::new(
        "served of what arrives from 1 s after the burst, for a minute",
        served * 100.0,
        "%",
        Goal::AtLeast(95.0),
    ));
    figures.push(Figure::new("goodput in the burst, of capacity", during * 100.0, "%", Goal::AtLeast(95.0)));
    for Variant { name, records } in outcome.variants() {
        figures.push(recovery(name, records));
    }
    Ok(figures)
}

/// From the end of the burst to the first time from which on, for 10 s, nobody who arrives is refused or waits above 1 s.
fn recovery(name: &str, records: &[Record]) -> Figure {
    let is_fine = |record: &&Record| record.status == 200 && record.response_us() <= 4 * SECOND;
    let after = Slice::of(records);
    let step_s = 0.5;
    let from = (0..400).map(|step| f64::from(step) * step_s).find(|&from_s| {
        let window = after.between(BURST.1 + from_s, BURST.1 + from_s + 10.0);
        window.records().filter(is_fine).count() as f64 >= 0.99 * window.len() as f64
    });
    let what = format!("{name}: from the end of the burst until 99 % are served within 4 s");
    Figure::new(what, from.unwrap_or(f64::INFINITY), "s", Goal::None)
}

pub(crate) fn degraded(outcome: &Outcome) -> Result<Vec<Figure>, BenchError> {
    let all = Slice::of(&outcome.ours.records);
    let fast = all.stream(1);
    let before = fast.between(20.0, DEGRADED.0).with_status(200).response_s(0.99);
    let during = fast.between(DEGRADED.0, DEGRADED.1).with_status(200).response_s(0.99);
    let served = |slice: &Slice<'_>, deadline_us| slice.good(deadline_us).len() as f64 / slice.len() as f64;
    let fast_served = served(&fast.between(DEGRADED.0, DEGRADED.1), SECOND);
    let slow = all.stream(0);
    let goodput = slow.good(6 * SECOND).answered_between(DEGRADED.0 + 10.0, DEGRADED.1) as f64;
    let possible = f64::from(outcome.experiment.in_flight_max) / 4.0 * (DEGRADED.1 - DEGRADED.0 - 10.0);
    let mut figures = overruns(outcome);
    figures.push(Figure::new("fast route: p99 before", before * 1e3, "ms", Goal::None));
    figures.push(Figure::new(
        "fast route: p99 while degraded",
        during * 1e3,
        "ms",
        Goal::AtMost((before * 1.1e3).round()),
    ));
    figures.push(Figure::new(
        "fast route: served while degraded",
        fast_served * 100.0,
        "%",
        Goal::AtLeast(99.5),
    ));
    figures.push(Figure::new(
        "slow route: goodput while degraded, of what all workers could do",
        goodput / possible * 100.0,
        "%",
        Goal::AtLeast(65.0),
    ));
    for Variant { name, records } in &outcome.others {
        let fast = Slice::of(records).stream(1).between(DEGRADED.0, DEGRADED.1).with_status(200);
        let what = format!("{name}: fast route: p99 while degraded");
        figures.push(Figure::new(what, fast.response_s(0.99) * 1e3, "ms", Goal::None));
    }
    Ok(figures)
}

pub(crate) fn surge(outcome: &Outcome) -> Result<Vec<Figure>, BenchError> {
    let deadline_us = outcome.experiment.config.routes[0].deadline_us;
    let mut figures = overruns(outcome);
    for variant in outcome.variants() {
        let Variant { name, records } = variant;
        let critical = Slice::of(records).stream(0).between(SURGE.0, SURGE.1);
        let served = critical.good(deadline_us).len() as f64 / critical.len() as f64;
        let goal = outcome.promised(variant, Goal::AtLeast(99.9));
        let what = format!("{name}: critical requests served in the surge");
        figures.push(Figure::new(what, served * 100.0, "%", goal));
    }
    let sheddable = Slice::of(&outcome.ours.records).stream(1).between(SURGE.0 + 5.0, SURGE.1);
    let rate = sheddable.good(deadline_us).len() as f64 / (SURGE.1 - SURGE.0 - 5.0);
    figures.push(Figure::new("sheddable requests served in the surge", rate, "/s", Goal::AtLeast(100.0)));
    figures.push(Figure::new(
        "sheddable users for whom 9 of 10 requests have the same fate",
        sheddable.same_fate(deadline_us) * 100.0,
        "%",
        Goal::AtLeast(80.0),
    ));
    Ok(figures)
}

pub(crate) fn overload(outcome: &Outcome) -> Result<Vec<Figure>, BenchError> {
    let (deadline_us, seed) =
        (outcome.experiment.config.routes[0].deadline_us, outcome.experiment.scene.seed);
    let goodput = |records: &[Record]| {
        Slice::of(records).good(deadline_us).answered_between(10.0, 120.0) as f64 / 110.0
    };
    let mut peak = 0.0_f64;
    let rates: [fn(f64) -> f64; 5] = [|_| 160.0, |_| 200.0, |_| 240.0, |_| 300.0, |_| 400.0];
    for rate in rates {
        peak = peak.max(goodput(&with_admission(&scenes::steady(rate, seed))?));
    }
    let mut figures = overruns(outcome);
    figures.push(Figure::new("goodput at its peak", peak, "/s", Goal::None));
    for variant in outcome.variants() {
        let Variant { name, records } = variant;
        let goal = outcome.promised(variant, Goal::AtLeast(95.0));
        let what = format!("{name}: goodput at ten times the capacity, of the peak");
        figures.push(Figure::new(what, goodput(records) / peak * 100.0, "%", goal));
    }
    let fate = Slice::of(&outcome.ours.records).between(10.0, 120.0).same_fate(deadline_us);
    let what = "users for whom 9 of 10 requests have the same fate";
    figures.push(Figure::new(what, fate * 100.0, "%", Goal::AtLeast(90.0)));
    Ok(figures)
}

/// From the step to the first second without any stretch of 50 ms in which 1 % of those served waited for more than 20 ms
/// longer than the server alone would have taken, or in which goodput was below 95 % of the capacity by more than chance.
pub(crate) fn step(outcome: &Outcome) -> Result<Vec<Figure>, BenchError> {
    let deadline_us = outcome.experiment.config.routes[0].deadline_us;
    let stream = &outcome.experiment.scene.streams[0];
    let work_s = (stream.work)(STEP);
    // The 99th percentile of the work, and 20 ms of waiting.
    let limit_s = work_s * if stream.random { 100_f64.ln() } else { 1.0 } + 0.02;
    let capacity = f64::from(outcome.experiment.in_flight_max) / work_s;
    let window_s = 0.05;
    let mut figures = overruns(outcome);
    for variant in outcome.variants() {
        let Variant { name, records } = variant;
        let all = Slice::of(records).between(STEP - 1.0, STEP + 6.0);
        let good = all.good(deadline_us);
        let is_settled = |from_s: f64| {
            let served = all.with_status(200).answered_in(from_s, from_s + window_s);
            let rate = good.answered_between(from_s, from_s + window_s) as f64 / window_s;
            // Four standard deviations of what is counted in so short a window.
            served.response_s(0.99) <= limit_s
                && rate >= capacity * (0.95 - 4.0 / (capacity * window_s).sqrt())
        };
        let settled: Vec<bool> = (0..250).map(|i| is_settled(STEP + f64::from(i) * 0.02)).collect();
        let took_s = settled.windows(50).position(|second| second.iter().all(|&is_settled| is_settled));
        let took_s = took_s.map_or(f64::INFINITY, |step| step as f64 * 0.02);
        let goal = outcome.promised(variant, Goal::AtMost(1.0));
        figures.push(Figure::new(format!("{name}: until it has settled"), took_s * 1e3, "ms", scaled(goal)));
        let rate = good.answered_between(STEP + 1.0, STEP + 6.0) as f64 / 5.0 / capacity;
        let goal = outcome.promised(variant, Goal::AtLeast(95.0));
        figures.push(Figure::new(format!("{name}: goodput after it, of capacity"), rate * 100.0, "%", goal));
    }
    Ok(figures)
}

fn scaled(goal: Goal) -> Goal {
    match goal {
        Goal::AtMost(seconds) => Goal::AtMost(seconds * 1e3),
        other => other,
    }
}

pub(crate) fn wrong_cap(outcome: &Outcome) -> Result<Vec<Figure>, BenchError> {
    let deadline_us = outcome.experiment.config.routes[0].deadline_us;
    let mut figures = overruns(outcome);
    for variant in outcome.variants() {
        let Variant { name, records } = variant;
        let good = Slice::of(records).good(deadline_us).answered_between(40.0, 120.0) as f64 / 80.0 / 400.0;
        let goal = outcome.promised(variant, Goal::AtLeast(40.0));
        let what = format!("{name}: goodput from 30 s on, of what the cores can do");
        figures.push(Figure::new(what, good * 100.0, "%", goal));
    }
    let fixed = scenes::Experiment {
        config: freezeframe_admission::Config { adaptive: false, ..outcome.experiment.config.clone() },
        ..scenes::wrong_cap(outcome.experiment.scene.seed)
    };
    let fixed = compare(fixed)?;
    let good =
        Slice::of(&fixed.ours.records).good(deadline_us).answered_between(40.0, 120.0) as f64 / 80.0 / 400.0;
    figures.push(Figure::new("admission without adapting: the same", good * 100.0, "%", Goal::None));
    Ok(figures)
}
