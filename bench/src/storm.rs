//! Thousands of panics per second: the same service and the same storm, without Freezeframe and with it.
//!
//! Ordinary clients and the storm go directly to the instances. Where one is held, its clients move on to the one that takes its place,
//! as the gate would have them do; the same through the gate is measured beside it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::bare::Bare;
use crate::daemon::{Daemon, Instance, Setup};
use crate::error::BenchError;
use crate::http;
use crate::load::{self, Client, Request, Tally, Targets, Until};
use crate::process;
use crate::report::{self, Goal, Report, Section};
use crate::service;

const PANICS_PER_SECOND: u32 = 5_000;
const STORM_CLIENTS: u32 = 32;
const CLIENTS: usize = 8;
const THREADS: usize = 16;
const HELD_MAX: u32 = 2;
/// Each side's turn.
const SLICE: Duration = Duration::from_secs(2);
/// Between two turns.
const PAUSE: Duration = Duration::from_millis(200);
/// How often is looked for instances that were replaced.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// A storm client that is further behind than this leaves panics out rather than sending them in a burst.
const BEHIND_MAX: Duration = Duration::from_millis(50);

/// What one side made of its part of a storm.
#[derive(Default)]
struct Run {
    tally: Tally,
    panics: u64,
    seconds: f64,
}

impl Run {
    fn add(&mut self, other: Self) {
        self.tally.add(other.tally);
        self.panics += other.panics;
        self.seconds += other.seconds;
    }

    fn per_second(&self) -> f64 {
        self.tally.answered as f64 / self.seconds
    }
}

/// One storm on all three sides.
struct Round {
    /// Without, with (direct), with (through the gate); the first slice of each apart from the others.
    sides: [(Run, Run); 3],
    held_most: usize,
    incidents: usize,
    counted: u64,
}

/// What is told of each side, and its unit.
type Told = (&'static str, &'static str, fn(&mut Run) -> f64);

pub(crate) fn measure(quick: bool, report: &mut Report) -> Result<(), BenchError> {
    let (rounds, slices) = if quick { (1, 2) } else { (5, 5) };
    for (silent, how) in [(false, "each printed to stderr"), (true, "not printed")] {
        let title = format!(
            "storm: {PANICS_PER_SECOND} panics per second, {how}, on one set of instances, beside ordinary requests"
        );
        let section = report.section(&title);
        let measured = (0..rounds).map(|_| round(slices, silent)).collect::<Result<Vec<_>, _>>()?;
        tell(section, measured);
    }
    Ok(())
}

/// The sides take turns. The first slice with Freezeframe is the one in which instances are held and replaced.
fn round(slices: usize, silent: bool) -> Result<Round, BenchError> {
    let mut setup = Setup { held_max: HELD_MAX, ..Setup::service(THREADS)? };
    if silent {
        setup.command.push("--silent".to_owned());
    }
    let bare = [Bare::start(&setup, &[])?, Bare::start(&setup, &[])?];
    let daemon = Daemon::start(&setup)?;
    let serving = daemon.serving()?;
    let targets = [
        Targets::new(bare.iter().map(Bare::address)),
        Targets::new(serving.iter().map(Instance::address)),
        Targets::new([daemon.gate()]),
    ];
    let mut sides: [(Run, Run); 3] = Default::default();
    let mut held_most = 0;
    for slice in 0..slices {
        for turn in 0..sides.len() {
            // The holds are to fall into a slice of requests that go to the instances themselves.
            let side = if slice == 0 { turn } else { (slice + turn) % sides.len() };
            let (Some(targets), Some((first, later))) = (targets.get(side), sides.get_mut(side)) else {
                continue;
            };
            let watched = |instances: &[Instance]| {
                let count = |role: &str| instances.iter().filter(|instance| instance.role == role).count();
                held_most = held_most.max(count("held") + count("draining"));
                if side == 1 {
                    let serving = instances.iter().filter(|instance| instance.role == "serving");
                    targets.set(serving.map(Instance::address).collect());
                }
            };
            let run = run(targets, &daemon, watched)?;
            if slice == 0 {
                first.add(run)
            } else {
                later.add(run)
            }
            // What still waits in pipes and queues is not the next side's.
            std::thread::sleep(PAUSE);
        }
    }
    let incidents = daemon.incidents()?;
    let counted = incidents.iter().map(|incident| incident.count).sum();
    Ok(Round { sides, held_most, incidents: incidents.len(), counted })
}

/// Ordinary requests and the storm for one slice. The daemon is asked on every side, so that asking costs each the same.
fn run(targets: &Targets, daemon: &Daemon, mut watched: impl FnMut(&[Instance])) -> Result<Run, BenchError> {
    let mix = [Request::get("/")];
    let begun = Instant::now();
    let end = begun + SLICE;
    let panics = AtomicU64::new(0);
    let (tally, asked) = std::thread::scope(|scope| {
        let ordinary = scope.spawn(|| load::closed_loop(targets, CLIENTS, &mix, Until::At(end)));
        for client in 0..STORM_CLIENTS {
            let panics = &panics;
            scope.spawn(move || panics.fetch_add(storm(targets, client, end), Ordering::Relaxed));
        }
        let mut asked = Ok(());
        while asked.is_ok() && !Until::At(end).is_over() {
            asked = daemon.instances().map(|instances| watched(&instances));
            std::thread::sleep(LOOK_EVERY);
        }
        (ordinary.join(), asked)
    });
    asked?;
    process::check_interrupt()?;
    let tally: Tally = tally.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    for loss in &tally.losses {
        report::warn(&format!("  lost in the storm: {loss}"));
    }
    Ok(Run { tally, panics: panics.into_inner(), seconds: begun.elapsed().as_secs_f64() })
}

/// One client's share of the panics, evenly over time; how many it was answered.
fn storm(targets: &Targets, number: u32, end: Instant) -> u64 {
    let requests: Vec<_> =
        (0..service::SITES).map(|site| http::request("GET", &format!("/panic/{site}"), "", "")).collect();
    let mut client = Client::new(number as usize, targets);
    let every = Duration::from_secs(1) * STORM_CLIENTS / PANICS_PER_SECOND;
    let mut next = Instant::now() + every * number / STORM_CLIENTS;
    let mut answered = 0;
    for request in requests.iter().cycle() {
        if Until::At(end).is_over() {
            break;
        }
        let now = Instant::now();
        match next.checked_duration_since(now) {
            Some(early) => std::thread::sleep(early),
            None if now - next > BEHIND_MAX => next = now,
            None => {}
        }
        next += every;
        match client.ask(request) {
            Ok(Some(_)) => answered += 1,
            Ok(None) => {}
            Err(_) => std::thread::sleep(Duration::from_millis(1)),
        }
    }
    answered
}

fn tell(section: &mut Section, mut rounds: Vec<Round>) {
    let firsts = |rounds: &[Round], side: usize| -> Vec<f64> {
        rounds.iter().filter_map(|round| Some(round.sides.get(side)?.0.per_second())).collect()
    };
    let first: [Vec<f64>; 3] = std::array::from_fn(|side| firsts(&rounds, side));
    let later: [Vec<f64>; 3] = std::array::from_fn(|side| {
        rounds.iter().filter_map(|round| Some(round.sides.get(side)?.1.per_second())).collect()
    });
    // From here on the whole storm of each side is one.
    for (whole, later) in rounds.iter_mut().flat_map(|round| &mut round.sides) {
        whole.add(std::mem::take(later));
    }
    let rows: [Told; 6] = [
        ("ordinary requests", "1/s", |run| run.per_second()),
        ("ordinary requests, median latency", "ms", |run| run.tally.latency_us(0.5) / 1000.0),
        ("ordinary requests, p99 latency", "ms", |run| run.tally.latency_us(0.99) / 1000.0),
        ("panics answered", "1/s", |run| run.panics as f64 / run.seconds),
        ("ordinary requests lost", "", |run| (run.tally.lost_gets + run.tally.lost_posts) as f64),
        ("ordinary requests moved", "", |run| run.tally.interrupted as f64),
    ];
    let mut told: Vec<[Vec<f64>; 3]> = Vec::new();
    for (name, unit, of) in rows {
        let mut values: [Vec<f64>; 3] = Default::default();
        for round in &mut rounds {
            for ((run, _), values) in round.sides.iter_mut().zip(&mut values) {
                values.push(of(run));
            }
        }
        for (side, values) in ["without", "with, direct", "with, through the gate"].iter().zip(&values) {
            section.row(format!("{name}: {side}"), unit, values.iter().copied(), None);
        }
        told.push(values);
    }
    let goal = Some(Goal::MedianAtLeast(0.95));
    let ratios = |of: &[f64], to: &[f64]| -> Vec<f64> { of.iter().zip(to).map(|(of, to)| of / to).collect() };
    if let [[bare, held, _], _, [bare_p99, held_p99, _], ..] = told.as_slice() {
        section.row("throughput, with ÷ without", "", ratios(held, bare), goal);
        section.row("p99 latency, without ÷ with", "", ratios(bare_p99, held_p99), goal);
    }
    section.row("throughput while instances are held and replaced", "", ratios(&first[1], &first[0]), None);
    section.row("throughput afterwards, budgets used up", "", ratios(&later[1], &later[0]), None);
    let held_max = Some(Goal::AllAtMost(f64::from(HELD_MAX)));
    section.row(
        "processes held at the same time",
        "",
        rounds.iter().map(|round| round.held_most as f64),
        held_max,
    );
    section.row("incidents", "", rounds.iter().map(|round| round.incidents as f64), None);
    section.row("occurrences counted", "", rounds.iter().map(|round| round.counted as f64), None);
    section.note(format!(
        "2 instances of {THREADS} threads and a spare; held_max = {HELD_MAX}; the sides take turns of {} s; ratios are of with (direct) to without",
        SLICE.as_secs()
    ));
}
