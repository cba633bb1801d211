//! One picture per experiment: response times above, response codes below, the protections side by side.

use std::path::Path;

use super::svg::{Panel, Picture};
use super::world::Record;
use super::{Outcome, Variant};
use crate::error::BenchError;

const WIDTH: f64 = 900.0;
const LEFT: f64 = 64.0;
const PLOT: f64 = WIDTH - LEFT - 24.0;
/// Points of a line.
const POINTS: usize = 240;
const COLOURS: [&str; 3] = ["#c0392b", "#d59a1b", "#7a8a2e"];
const OURS: &str = "#1f6fb2";
/// 200 in time, 200 too late, 429, 503, and what had not been answered by then is not there.
const CODES: [(&str, &str); 4] = [
    ("200 within the deadline", "#4c9f70"),
    ("200 after the deadline", "#b9d8a8"),
    ("429", "#e8b04a"),
    ("503", "#c65b4e"),
];

/// Writes `DIRECTORY/NAME.svg`.
pub(crate) fn write(directory: &Path, name: &str, title: &str, outcome: &Outcome) -> Result<(), BenchError> {
    let path = directory.join(format!("{name}.svg"));
    std::fs::create_dir_all(directory)
        .map_err(BenchError::io(format!("could not create {}", directory.display())))?;
    std::fs::write(&path, draw(title, outcome))
        .map_err(BenchError::io(format!("could not write {}", path.display())))
}

fn draw(title: &str, outcome: &Outcome) -> String {
    let seconds = outcome.experiment.scene.seconds;
    let height = 350.0 + 150.0 * outcome.variants().count() as f64;
    let mut picture = Picture::new(WIDTH, height);
    picture.text(LEFT, 24.0, 15.0, "#111", "start", title);
    let longest = outcome.variants().flat_map(|variant| &variant.records).map(Record::response_us).max();
    let y_max = (longest.unwrap_or(1) as f64 / 1e6).max(0.1) * 1.2;
    let panel = Panel {
        left: LEFT,
        top: 62.0,
        width: PLOT,
        height: 230.0,
        x_max: seconds,
        y_min: outcome.experiment.config.routes[0].deadline_us as f64 / 1e6 / 100.0,
        y_max,
        logarithmic: true,
    };
    picture.frame(&panel, "longest response time of those that arrived at a time, in seconds", true);
    // Ours is always blue.
    let colours = || COLOURS.iter().take(outcome.others.len()).chain([&OURS]);
    for (index, (variant, colour)) in outcome.variants().zip(colours()).enumerate() {
        picture.line(&panel, &longest_by_arrival(&variant.records, seconds), colour);
        picture.text(LEFT + 420.0 + 115.0 * index as f64, 56.0, 12.0, colour, "start", variant.name);
    }
    let deadline_s = outcome.experiment.config.routes[0].deadline_us as f64 / 1e6;
    picture.bound(&panel, deadline_s, "deadline");
    let codes: Vec<_> =
        outcome.variants().map(|variant| codes_by_time(outcome, &variant.records, seconds)).collect();
    let most = codes.iter().flatten().map(|(_, counts)| counts.iter().sum::<f64>()).fold(1.0, f64::max);
    for (index, Variant { name, .. }) in outcome.variants().enumerate() {
        let top = 350.0 + 150.0 * index as f64;
        let panel = Panel { top, height: 105.0, y_min: 0.0, y_max: most * 1.05, logarithmic: false, ..panel };
        picture.frame(&panel, &format!("{name}: answers per second"), true);
        for code in 0..CODES.len() {
            let stack = codes[index].iter().map(|(at_s, counts)| {
                let below: f64 = counts[..code].iter().sum();
                (*at_s, below, below + counts[code])
            });
            picture.area(&panel, &stack.collect::<Vec<_>>(), CODES[code].1);
        }
    }
    for (index, (name, colour)) in CODES.iter().enumerate() {
        picture.text(LEFT + 210.0 * index as f64, height - 8.0, 12.0, colour, "start", &format!("■ {name}"));
    }
    picture.finish()
}

fn bucket(at_us: u64, seconds: f64) -> usize {
    (at_us as f64 / 1e6 / seconds * POINTS as f64) as usize
}

fn at_s(bucket: usize, seconds: f64) -> f64 {
    (bucket as f64 + 0.5) / POINTS as f64 * seconds
}

fn longest_by_arrival(records: &[Record], seconds: f64) -> Vec<(f64, Option<f64>)> {
    let mut longest = vec![None; POINTS];
    for record in records {
        if let Some(slot) = longest.get_mut(bucket(record.arrived_us, seconds)) {
            let response_s = record.response_us() as f64 / 1e6;
            *slot = Some(slot.map_or(response_s, |so_far: f64| so_far.max(response_s)));
        }
    }
    longest.into_iter().enumerate().map(|(index, value)| (at_s(index, seconds), value)).collect()
}

fn codes_by_time(outcome: &Outcome, records: &[Record], seconds: f64) -> Vec<(f64, [f64; 4])> {
    let mut counts = vec![[0.0; 4]; POINTS];
    for record in records {
        let route = outcome.experiment.scene.streams[usize::from(record.stream)].route;
        let deadline_us = outcome.experiment.config.routes[usize::from(route)].deadline_us;
        let code = match record.status {
            200 if record.response_us() <= deadline_us => 0,
            200 => 1,
            429 => 2,
            _ => 3,
        };
        if let Some(slot) = counts.get_mut(bucket(record.answered_us, seconds)) {
            slot[code] += POINTS as f64 / seconds;
        }
    }
    counts.into_iter().enumerate().map(|(index, counts)| (at_s(index, seconds), counts)).collect()
}
