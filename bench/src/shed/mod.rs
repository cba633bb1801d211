//! `bench shed`: the experiments of `simulate` over real sockets, against the server alone, HAProxy and nginx as they can be
//! configured for it, and the gate.
//!
//! The scenes and what is judged are those of `simulate`; a second of a scene is `scale` real ones, for the work, the deadlines
//! and the times between requests alike. What the machine adds (timers, sockets, other work on its cores) is therefore the larger
//! a part of everything the smaller the scale is. [`SLACK`] of it is allowed for where deadlines are judged.

mod arrivals;
mod load;
mod protections;
mod upstream;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::error::BenchError;
use crate::process;
use crate::scratch::Scratch;
use crate::simulate::figures::{Figure, Goal, Slice};
use crate::simulate::scenes::{self, Experiment};
use crate::simulate::world::{Record, Server};
use crate::simulate::{Outcome, Variant, judge, plot, table};
use protections::{Protection, Proxy};
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
    /// The scenes as they are: half an hour.
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

/// How one experiment is played.
struct Play {
    experiment: Experiment,
    judge: Judge,
    /// Real seconds per second of the scene.
    scale: f64,
    /// Against the server alone, too.
    alone: bool,
    /// All protections at the same time: where requests are so few that they do not compete for the cores.
    together: bool,
}

/// Plays, prints, plots.
pub(crate) fn run(arguments: &Arguments) -> Result<(), BenchError> {
    process::catch_interrupts();
    process::allow_files(FILES);
    let scale = if arguments.full { 1.0 } else { arguments.scale };
    if !(0.01..=10.0).contains(&scale) {
        return Err(BenchError::NotAsExpected("the scale must be between 0.01 and 10".to_owned()));
    }
    let mut missed = 0;
    for play in plays(arguments.seed, scale) {
        let name = play.experiment.name;
        if !arguments.only.is_empty() && !arguments.only.iter().any(|only| only == name) {
            continue;
        }
        let title = format!("{} ({} s for each second)", play.experiment.title, play.scale);
        println!("{title}");
        let judge = play.judge;
        let outcome = compare(play)?;
        table(&outcome);
        for figure in judge(&outcome)? {
            println!("{figure}");
            missed += u32::from(!figure.is_met());
        }
        println!();
        if let Some(directory) = &arguments.plots {
            let suffix = if arguments.full { "-full" } else { "" };
            plot::write(directory, &format!("real-{name}{suffix}"), &title, &outcome)?;
        }
    }
    println!("{missed} figures were missed");
    Ok(())
}

fn plays(seed: u64, scale: f64) -> [Play; 5] {
    let light = |experiment, judge| Play { experiment, judge, scale, alone: true, together: true };
    // Without protection, these would need a connection for each of tens of thousands of clients.
    let heavy = |experiment, judge, scale| Play { experiment, judge, scale, alone: false, together: false };
    let busy = (scale * HEAVY).min(1.0).max(scale);
    [
        light(scenes::burst(seed), judge::burst),
        light(scenes::degraded(seed), judge::degraded),
        heavy(scenes::surge(seed), judge::surge, busy),
        heavy(scenes::overload(seed), overload, busy),
        // Its goal is in real milliseconds.
        heavy(scenes::small_step(seed), judge::step, 1.0),
    ]
}

/// A protection that is ready for its clients.
struct Ready {
    name: &'static str,
    target: SocketAddr,
    // What one leaves behind is not the next one's trouble.
    _upstream: Upstream,
    _proxy: Option<Proxy>,
}

fn compare(play: Play) -> Result<Outcome, BenchError> {
    let Play { mut experiment, scale, alone, together, .. } = play;
    let Server::Workers(workers) = experiment.scene.server else {
        return Err(BenchError::NotAsExpected("only servers with workers can be played".to_owned()));
    };
    let scratch = Scratch::new()?;
    let arrivals = arrivals::of(&experiment.scene);
    if !alone {
        println!("  not played without protection: it would need more connections than a host has");
    }
    let ready = |protection: Protection| {
        let upstream = Upstream::start(workers as usize)?;
        let proxy = protection.start(scratch.path(), upstream.address, &experiment, scale)?;
        let target = proxy.as_ref().map_or(upstream.address, |proxy| proxy.address);
        Ok(Ready { name: protection.name(), target, _upstream: upstream, _proxy: proxy })
    };
    let played = |ready: Ready| {
        let records = load::play(ready.target, &experiment.scene, &arrivals, scale)?;
        Ok(Variant { name: ready.name, records })
    };
    let protections = Protection::ALL.into_iter().filter(|one| match one {
        Protection::Nothing => alone,
        Protection::HaProxy | Protection::Nginx => one.is_there(),
        Protection::Gate => true,
    });
    let variants: Result<Vec<Variant>, BenchError> = if together {
        let all = protections.map(ready).collect::<Result<Vec<Ready>, BenchError>>()?;
        std::thread::scope(|scope| {
            let played = &played;
            let threads: Vec<_> = all.into_iter().map(|one| scope.spawn(move || played(one))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| Err(panicked()))).collect()
        })
    } else {
        protections.map(|protection| played(ready(protection)?)).collect()
    };
    let mut variants = variants?;
    let slack_us = (SLACK.as_secs_f64() / scale * 1e6) as u64;
    experiment.config.routes.iter_mut().for_each(|route| route.deadline_us += slack_us);
    let ours = variants.pop().ok_or_else(panicked)?;
    Ok(Outcome { experiment, others: variants, ours })
}

fn panicked() -> BenchError {
    BenchError::NotAsExpected("a load generator panicked".to_owned())
}

/// Against what the server's workers can do; the simulation compares with the best that admission does at any load.
fn overload(outcome: &Outcome) -> Result<Vec<Figure>, BenchError> {
    let deadline_us = outcome.experiment.config.routes.first().map_or(0, |route| route.deadline_us);
    let goodput = |records: &[Record]| {
        Slice::of(records).good(deadline_us).answered_between(10.0, 120.0) as f64 / 110.0
    };
    let capacity = f64::from(outcome.experiment.in_flight_max) / 0.1;
    let mut figures = judge::overruns(outcome);
    for variant in outcome.variants() {
        let goal = outcome.promised(variant, Goal::AtLeast(95.0));
        let what = format!("{}: goodput at ten times the capacity, of the capacity", variant.name);
        figures.push(Figure::new(what, goodput(&variant.records) / capacity * 100.0, "%", goal));
    }
    Ok(figures)
}
