//! What supervision costs while nothing is wrong: the sample shop bare, the same armed, asked directly in both cases.
//!
//! A second bare shop shows how far two equal things seem to differ here. Its ratio is the floor below which no difference means
//! anything. The gate is measured beside them.

use std::time::{Duration, Instant};

use crate::bare::Bare;
use crate::daemon::{Daemon, Setup};
use crate::error::BenchError;
use crate::load::{self, Request, Targets, Until};
use crate::process;
use crate::report::{Goal, Report, Section};
use crate::scratch::Scratch;

const CLIENTS: usize = 8;
/// Instances that do not answer this with a panic were not armed.
const BREAKS: &str = "/recommendations/40";

/// One of the things compared.
struct Side {
    name: &'static str,
    address: std::net::SocketAddr,
    /// Whose processor time is counted.
    pid: i32,
    per_second: Vec<f64>,
    processor_us: Vec<f64>,
    median_us: Vec<f64>,
    p99_us: Vec<f64>,
}

impl Side {
    fn new(name: &'static str, address: std::net::SocketAddr, pid: i32) -> Self {
        let none = Vec::new;
        Self {
            name,
            address,
            pid,
            per_second: none(),
            processor_us: none(),
            median_us: none(),
            p99_us: none(),
        }
    }

    fn run(&mut self, clients: usize, mix: &[Request], time: Duration) -> Result<(), BenchError> {
        let targets = Targets::new([self.address]);
        let (begun, used) = (Instant::now(), process::processor_time(self.pid));
        let mut tally = load::closed_loop(&targets, clients, mix, Until::At(begun + time));
        process::check_interrupt()?;
        if tally.lost_gets + tally.lost_posts > 0 || tally.answered == 0 {
            return Err(BenchError::NotAsExpected(format!(
                "{}: requests failed: {:?}",
                self.name, tally.losses
            )));
        }
        let (elapsed, answered) = (begun.elapsed().as_secs_f64(), tally.answered as f64);
        self.per_second.push(answered / elapsed);
        if let (Some(used), Some(now)) = (used, process::processor_time(self.pid)) {
            self.processor_us.push((now - used).as_secs_f64() * 1e6 / answered);
        }
        self.median_us.push(tally.latency_us(0.5));
        self.p99_us.push(tally.latency_us(0.99));
        Ok(())
    }
}

fn ratios<'a>(of: &'a [f64], to: &'a [f64]) -> impl Iterator<Item = f64> + 'a {
    of.iter().zip(to).map(|(of, to)| of / to)
}

pub(crate) fn measure(quick: bool, report: &mut Report) -> Result<(), BenchError> {
    let (rounds, time) =
        if quick { (2, Duration::from_millis(300)) } else { (24, Duration::from_millis(1000)) };
    let scratch = Scratch::new()?;
    let setup = Setup { instances: 1, ..Setup::shop(&scratch)? };
    let database = |name: &str| [("SHOP_DB", scratch.path().join(name).display().to_string())];
    let (first, second) = (Bare::start(&setup, &database("1.db"))?, Bare::start(&setup, &database("2.db"))?);
    let daemon = Daemon::start(&setup)?;
    let serving = daemon.serving()?;
    let armed = serving.first().ok_or_else(|| BenchError::NotAsExpected("nothing serves".to_owned()))?;
    if !armed.armed {
        return Err(BenchError::NotAsExpected(
            "the instance is not armed; see `freezeframe doctor`".to_owned(),
        ));
    }
    let mut sides = [
        Side::new("bare", first.address(), first.pid()),
        Side::new("bare again", second.address(), second.pid()),
        Side::new("armed", armed.address(), armed.pid.unwrap_or(0)),
        Side::new("through the gate", daemon.gate(), daemon.pid()),
    ];
    let mix: Vec<Request> = (1..=24).map(|product| Request::get(&format!("/products/{product}"))).collect();
    let section = report
        .section("shop: tax of supervision while nothing is wrong (requests go to the instance itself)");
    take_turns(&mut sides, rounds, CLIENTS, &mix, time)?;
    tell_throughput(&sides, section);
    for side in &mut sides {
        *side = Side::new(side.name, side.address, side.pid);
    }
    take_turns(&mut sides, rounds / 2, 1, &mix, time / 2)?;
    tell_latency(&sides, report.section("shop: added latency, one request at a time"));
    confirm_armed(&daemon, report)
}

/// Each round asks every side once, each time beginning with another one.
fn take_turns(
    sides: &mut [Side],
    rounds: usize,
    clients: usize,
    mix: &[Request],
    time: Duration,
) -> Result<(), BenchError> {
    let count = sides.len();
    for side in sides.iter_mut() {
        // Caches, pools and lazy tables are filled before anything is counted.
        side.run(clients, mix, time)?;
        *side = Side::new(side.name, side.address, side.pid);
    }
    for round in 0..rounds {
        for turn in 0..count {
            if let Some(side) = sides.get_mut((round + turn) % count) {
                side.run(clients, mix, time)?;
            }
        }
    }
    Ok(())
}

fn tell_throughput(sides: &[Side; 4], section: &mut Section) {
    let [bare, again, armed, gate] = sides;
    for side in [bare, again, armed] {
        section.row(side.name, "1/s", side.per_second.iter().copied(), None);
    }
    section.row(
        "armed ÷ bare, requests per second",
        "",
        ratios(&armed.per_second, &bare.per_second),
        Some(Goal::MedianAtLeast(0.99)),
    );
    section.row("bare again ÷ bare (the noise)", "", ratios(&again.per_second, &bare.per_second), None);
    section.row(
        "armed ÷ bare, processor time per request",
        "",
        ratios(&armed.processor_us, &bare.processor_us),
        None,
    );
    section.row(
        "bare again ÷ bare, processor time per request (the noise)",
        "",
        ratios(&again.processor_us, &bare.processor_us),
        None,
    );
    section.row("through the gate", "1/s", gate.per_second.iter().copied(), None);
    section.row(
        "through the gate ÷ armed, requests per second",
        "",
        ratios(&gate.per_second, &armed.per_second),
        None,
    );
    section.row(
        "the daemon's processor time per request through the gate",
        "µs",
        gate.processor_us.iter().copied(),
        None,
    );
    section.note(format!("{CLIENTS} connections that are kept; clients, shop and gate share the cores"));
}

fn tell_latency(sides: &[Side; 4], section: &mut Section) {
    let [bare, _, armed, gate] = sides;
    for side in [bare, armed, gate] {
        section.row(format!("{}, median", side.name), "µs", side.median_us.iter().copied(), None);
    }
    let added = gate.median_us.iter().zip(&armed.median_us).map(|(gate, armed)| gate - armed);
    section.row("added by the gate, median", "µs", added, None);
    let added = gate.p99_us.iter().zip(&armed.p99_us).map(|(gate, armed)| gate - armed);
    section.row("added by the gate, p99", "µs", added, None);
}

/// An instance that was not armed would have made a fine result: it has to be held now.
fn confirm_armed(daemon: &Daemon, report: &mut Report) -> Result<(), BenchError> {
    let answer = load::ask(daemon.gate(), "GET", BREAKS, "").map_err(BenchError::io(BREAKS))?;
    let incident = answer.incident.ok_or_else(|| {
        BenchError::NotAsExpected(format!(
            "{BREAKS} was answered {} without an incident: not armed",
            answer.status
        ))
    })?;
    daemon.wait_held(&incident)?;
    report.last().note("afterwards the armed instance was held at a panic: it had been armed");
    Ok(())
}
