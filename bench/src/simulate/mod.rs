//! `bench simulate`: hours of load in seconds, in virtual time, over nothing, over a plain bounded queue, and over admission.
//!
//! What is promised of admission is judged here, on the very code that the gate uses. It says nothing about sockets, threads
//! or the cost of a decision: those are measured with real requests and with `cargo bench -p freezeframe-admission`.

pub(crate) mod figures;
pub(crate) mod judge;
pub(crate) mod plot;
mod protection;
pub(crate) mod scenes;
mod svg;
pub(crate) mod world;

use std::path::PathBuf;

use clap::Args;

use crate::error::BenchError;
use figures::{Figure, Goal, Slice};
use protection::{Admitted, BoundedFifo, Nothing};
use scenes::Experiment;
use world::{Record, play};

#[derive(Args)]
pub(crate) struct Arguments {
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

/// The same scene under several protections.
pub(crate) struct Outcome {
    pub(crate) experiment: Experiment,
    /// Those that others have, if any.
    pub(crate) others: Vec<Variant>,
    pub(crate) ours: Variant,
}

/// A protection, and what became of everybody under it.
pub(crate) struct Variant {
    pub(crate) name: &'static str,
    pub(crate) records: Vec<Record>,
}

impl Outcome {
    /// All, ours last.
    pub(crate) fn variants(&self) -> impl Iterator<Item = &Variant> {
        self.others.iter().chain([&self.ours])
    }

    /// What is promised of ours is promised of nobody else.
    pub(crate) fn promised(&self, variant: &Variant, goal: Goal) -> Goal {
        if variant.name == self.ours.name { goal } else { Goal::None }
    }
}

/// Plays, prints, plots.
pub(crate) fn run(arguments: &Arguments) -> Result<(), BenchError> {
    let mut missed = 0;
    for (experiment, judge) in experiments(arguments.seed) {
        if !arguments.only.is_empty() && !arguments.only.iter().any(|name| name == experiment.name) {
            continue;
        }
        let began = std::time::Instant::now();
        let outcome = compare(experiment)?;
        let (title, simulated_s) = (outcome.experiment.title, outcome.experiment.scene.seconds);
        println!("{title}  (3 times {simulated_s} s, played in {:.1} s)", began.elapsed().as_secs_f64());
        table(&outcome);
        for figure in judge(&outcome)? {
            println!("{figure}");
            missed += u32::from(!figure.is_met());
        }
        println!();
        if let Some(directory) = &arguments.plots {
            plot::write(directory, outcome.experiment.name, outcome.experiment.title, &outcome)?;
        }
    }
    if missed > 0 {
        return Err(BenchError::NotAsExpected(format!("{missed} figures were missed")));
    }
    Ok(())
}

type Judge = fn(&Outcome) -> Result<Vec<Figure>, BenchError>;

fn experiments(seed: u64) -> Vec<(Experiment, Judge)> {
    vec![
        (scenes::burst(seed), judge::burst),
        (scenes::degraded(seed), judge::degraded),
        (scenes::surge(seed), judge::surge),
        (scenes::overload(seed), judge::overload),
        (scenes::step(seed), judge::step),
        (scenes::wrong_cap(seed), judge::wrong_cap),
    ]
}

fn compare(experiment: Experiment) -> Result<Outcome, BenchError> {
    let nothing = play(&experiment.scene, &mut Nothing);
    let mut fifo = BoundedFifo::new(experiment.in_flight_max, experiment.config.queue_max);
    let fifo = play(&experiment.scene, &mut fifo);
    let ours = with_admission(&experiment)?;
    let variant = |name, records| Variant { name, records };
    let others = vec![variant("no protection", nothing), variant("bounded queue", fifo)];
    Ok(Outcome { experiment, others, ours: variant("admission", ours) })
}

fn with_admission(experiment: &Experiment) -> Result<Vec<Record>, BenchError> {
    let unusable = |error| BenchError::NotAsExpected(format!("{}: {error}", experiment.name));
    let mut admitted =
        Admitted::new(experiment.config.clone(), experiment.in_flight_max).map_err(unusable)?;
    let records = play(&experiment.scene, &mut admitted);
    if admitted.in_flight_max > experiment.in_flight_max {
        let what = format!("{}: {} were in flight at once", experiment.name, admitted.in_flight_max);
        return Err(BenchError::NotAsExpected(what));
    }
    Ok(records)
}

/// What became of the requests of each stream.
pub(crate) fn table(outcome: &Outcome) {
    println!(
        "  {:<26} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "", "requests", "200", "good", "429", "503", "p50 s", "p99 s", "max s"
    );
    for Variant { name, records } in outcome.variants() {
        for (index, stream) in outcome.experiment.scene.streams.iter().enumerate() {
            let slice = Slice::of(records).stream(index as u16);
            let route = &outcome.experiment.config.routes[usize::from(stream.route)];
            let (ok, good) = (slice.with_status(200), slice.good(route.deadline_us));
            println!(
                "  {:<26} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9.3} {:>9.3} {:>9.3}",
                format!("{name}, {}", stream.name),
                slice.len(),
                ok.len(),
                good.len(),
                slice.with_status(429).len(),
                slice.with_status(503).len(),
                ok.response_s(0.5),
                ok.response_s(0.99),
                slice.response_s(1.0),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_are_reached_on_several_days() {
        // The first day all of them, the others those that are played quickly also without optimisation.
        for (seed, how_many) in [(1, 6), (2, 3), (3, 3)] {
            for (experiment, judge) in experiments(seed).into_iter().take(how_many) {
                let outcome = compare(experiment).expect("a good configuration");
                for figure in judge(&outcome).expect("a good configuration") {
                    assert!(figure.is_met(), "seed {seed}, {}: {figure}", outcome.experiment.name);
                }
            }
        }
    }

    #[test]
    fn the_same_seed_is_the_same_day() {
        let play = |seed| with_admission(&scenes::burst(seed)).expect("a good configuration");
        let of = |records: Vec<Record>| -> Vec<(u16, u64)> {
            records.iter().map(|record| (record.status, record.answered_us)).collect()
        };
        assert_eq!(of(play(7)), of(play(7)));
        assert_ne!(of(play(7)), of(play(8)));
    }
}
