//! `bench shed`: the experiments of `simulate` over real sockets, against the server alone, HAProxy with its queue, and the gate.
//!
//! The scenes and what is judged are those of `simulate`; a second of a scene is `scale` real ones, for the work, the deadlines
//! and the times between requests alike. What the machine adds (timers, sockets, other work on its cores) is therefore the larger
//! a part of everything the smaller the scale is. [`SLACK`] of it is allowed for where deadlines are judged.

mod arrivals;
mod load;
mod protections;
mod upstream;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::error::BenchError;
use crate::proxy::is_there;
use crate::scratch::Scratch;
use crate::simulate::figures::{Figure, Goal, Slice};
use crate::simulate::scenes::{self, Experiment};
use crate::simulate::world::{Record, Server};
use crate::simulate::{Outcome, judge, plot, table};
use crate::{process, report};
use arrivals::Arrival;
use upstream::Upstream;

/// Real time that an answer may take beyond its deadline: timers tick in milliseconds, and the generator shares the cores.
const SLACK: Duration = Duration::from_millis(25);
/// Scenes with hundreds of requests per second are played so much more slowly than the others, but not slower than they are.
const HEAVY: f64 = 5.0;
/// More open files than this are never needed.
const FILES: u64 = 65_536;

#[derive(Args)]
pub(crate) struct Arguments {
    /// Real seconds per second of a scene.
    #[arg(long, default_value_t = 0.1, value_name = "FACTOR")]
    scale: f64,
    /// The scenes as they are: three quarters of an hour.
    #[arg(long, conflicts_with = "scale")]
    full: bool,
    /// Write a plot of each experiment into this directory.
    #[arg(long, value_name = "DIRECTORY")]
    plots: Option<PathBuf>,
    /// Another seed is another day.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only these, separated by commas.
    #[arg(long, value_delimiter = ',', value_name = "EXPERIMENT")]
    only: Vec<String>,
}

type Judge = fn(&Outcome) -> Result<Vec<Figure>, BenchError>;

/// Plays, prints, plots.
pub(crate) fn run(arguments: &Arguments) -> Result<(), BenchError> {
    process::catch_interrupts();
    process::allow_files(FILES);
    let scale = if arguments.full { 1.0 } else { arguments.scale };
    if !(0.01..=10.0).contains(&scale) {
        return Err(BenchError::NotAsExpected("the scale must be between 0.01 and 10".to_owned()));
    }
    let heavy = (scale * HEAVY).min(1.0).max(scale);
    let seed = arguments.seed;
    // Without protection, the heavy ones would need a connection for each of a hundred thousand clients.
    let experiments: [(Experiment, Judge, f64, bool); 4] = [
        (scenes::burst(seed), judge::burst, scale, true),
        (scenes::degraded(seed), judge::degraded, scale, true),
        (scenes::surge(seed), judge::surge, heavy, false),
        (scenes::overload(seed), overload, heavy, false),
    ];
    let mut missed = 0;
    for (experiment, judge, scale, alone) in experiments {
        if !arguments.only.is_empty() && !arguments.only.iter().any(|name| name == experiment.name) {
            continue;
        }
        println!("{}  (a second is {scale} s)", experiment.title);
        let outcome = compare(experiment, scale, alone)?;
        table(&outcome);
        for figure in judge(&outcome)? {
            println!("{figure}");
            missed += u32::from(!figure.is_met());
        }
        println!();
        if let Some(directory) = &arguments.plots {
            plot::write(directory, &format!("real-{}", outcome.experiment.name), &outcome)?;
        }
    }
    println!("{missed} figures were missed");
    Ok(())
}

fn compare(experiment: Experiment, scale: f64, alone: bool) -> Result<Outcome, BenchError> {
    let Server::Workers(workers) = experiment.scene.server else {
        return Err(BenchError::NotAsExpected("only servers with workers can be played".to_owned()));
    };
    let scratch = Scratch::new()?;
    let arrivals = arrivals::of(&experiment.scene);
    // A server of its own for each: what one leaves behind is not the next one's trouble.
    let upstream = || Upstream::start(workers as usize);
    let mut outcome = Outcome {
        names: ["no protection", "HAProxy", "gate"],
        nothing: Vec::new(),
        fifo: Vec::new(),
        ours: Vec::new(),
        experiment,
    };
    let experiment = &outcome.experiment;
    let play = |target, arrivals: &[Arrival]| load::play(target, &experiment.scene, arrivals, scale);
    if alone {
        let upstream = upstream()?;
        outcome.nothing = play(upstream.address, &arrivals)?;
    } else {
        println!("  not played without protection: it would need more connections than a host has");
    }
    if is_there("haproxy") {
        let upstream = upstream()?;
        let haproxy = protections::haproxy(scratch.path(), upstream.address, experiment, scale)?;
        outcome.fifo = play(haproxy.address, &arrivals)?;
    } else {
        report::warn("SKIPPED: haproxy is not installed");
        println!("  SKIPPED: HAProxy is not installed");
    }
    let upstream = upstream()?;
    let gate = protections::gate(scratch.path(), upstream.address, experiment, scale)?;
    outcome.ours = play(gate.address, &arrivals)?;
    let slack_us = (SLACK.as_secs_f64() / scale * 1e6) as u64;
    outcome.experiment.config.routes.iter_mut().for_each(|route| route.deadline_us += slack_us);
    Ok(outcome)
}

/// Against what the server's workers can do; the simulation compares with the best that admission does at any load.
fn overload(outcome: &Outcome) -> Result<Vec<Figure>, BenchError> {
    let deadline_us = outcome.experiment.config.routes.first().map_or(0, |route| route.deadline_us);
    let goodput = |records: &[Record]| {
        Slice::of(records).good(deadline_us).answered_between(10.0, 120.0) as f64 / 110.0
    };
    let capacity = f64::from(outcome.experiment.in_flight_max) / 0.1;
    let mut figures = judge::overruns(outcome);
    for (name, records) in outcome.variants() {
        if !records.is_empty() {
            let goal = if name == outcome.names[2] { Goal::AtLeast(95.0) } else { Goal::None };
            let what = format!("{name}: goodput at ten times the capacity, of the capacity");
            figures.push(Figure::new(what, goodput(records) / capacity * 100.0, "%", goal));
        }
    }
    Ok(figures)
}
