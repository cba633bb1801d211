//! Results: a table for people, JSON for comparisons. Knows nothing of how they were measured.

use std::fmt::Write;
use std::path::Path;

use serde::Serialize;

use crate::error::BenchError;
use crate::statistics::Spread;

/// All results of one run: `freezeframe-bench/1`.
#[derive(Serialize)]
pub(crate) struct Report {
    schema: &'static str,
    bench: String,
    /// Too few rounds to mean anything.
    quick: bool,
    machine: String,
    sections: Vec<Section>,
}

/// Results that belong together.
#[derive(Serialize)]
pub(crate) struct Section {
    title: String,
    rows: Vec<Row>,
    /// What one must know to read them.
    notes: Vec<String>,
}

/// One thing that was measured several times.
#[derive(Serialize)]
struct Row {
    what: String,
    unit: &'static str,
    #[serde(flatten)]
    spread: Spread,
    goal: Option<Goal>,
    met: Option<bool>,
}

/// What was promised.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Goal {
    /// The median is at least this.
    MedianAtLeast(f64),
    /// The median is at most this.
    MedianAtMost(f64),
    /// The 99th percentile is at most this.
    P99AtMost(f64),
    /// No measurement is above this.
    AllAtMost(f64),
}

impl Goal {
    fn met_by(self, spread: &Spread) -> bool {
        match self {
            Self::MedianAtLeast(goal) => spread.median >= goal,
            Self::MedianAtMost(goal) => spread.median <= goal,
            Self::P99AtMost(goal) => spread.p99 <= goal,
            Self::AllAtMost(goal) => spread.max <= goal,
        }
    }

    fn text(self) -> String {
        match self {
            Self::MedianAtLeast(goal) => format!("median ≥ {goal}"),
            Self::MedianAtMost(goal) => format!("median ≤ {goal}"),
            Self::P99AtMost(goal) => format!("p99 ≤ {goal}"),
            Self::AllAtMost(goal) => format!("all ≤ {goal}"),
        }
    }
}

impl Report {
    pub(crate) fn new(bench: &str, quick: bool) -> Self {
        let machine = machine();
        Self { schema: "freezeframe-bench/1", bench: bench.to_owned(), quick, machine, sections: Vec::new() }
    }

    /// Begins a section; what follows is said while it is being measured.
    pub(crate) fn section(&mut self, title: &str) -> &mut Section {
        eprintln!("measuring: {title}");
        self.sections.push(Section { title: title.to_owned(), rows: Vec::new(), notes: Vec::new() });
        self.last()
    }

    /// The section that was begun last.
    pub(crate) fn last(&mut self) -> &mut Section {
        let last = self.sections.len() - 1;
        &mut self.sections[last]
    }

    /// For people.
    pub(crate) fn table(&self) -> String {
        let mut out = format!(
            "{}{}\n",
            self.machine,
            if self.quick { "; QUICK: too few rounds to mean anything" } else { "" }
        );
        for section in &self.sections {
            let _ = writeln!(out, "\n{}", section.title);
            let _ = writeln!(
                out,
                "  {:<58}{:<8}{:>6}{:>11}{:>11}{:>11}{:>11}  goal",
                "", "", "n", "median", "min", "p99", "max"
            );
            for row in &section.rows {
                let Spread { n, min, median, p99, max } = row.spread;
                let goal = match (row.goal, row.met) {
                    (Some(goal), Some(true)) => format!("{}: met", goal.text()),
                    (Some(goal), _) => format!("{}: MISSED", goal.text()),
                    (None, _) => String::new(),
                };
                let [min, median, p99, max] = [min, median, p99, max].map(figure);
                let line = format!(
                    "  {:<58}{:<8}{n:>6}{median:>11}{min:>11}{p99:>11}{max:>11}  {goal}",
                    row.what, row.unit
                );
                let _ = writeln!(out, "{}", line.trim_end());
            }
            for note in &section.notes {
                let _ = writeln!(out, "  {note}");
            }
        }
        out
    }

    /// For machines.
    pub(crate) fn write_json(&self, path: &Path) -> Result<(), BenchError> {
        let what = path.display().to_string();
        let text = serde_json::to_string_pretty(self)
            .map_err(|source| BenchError::Answer { path: what.clone(), source })?;
        std::fs::write(path, text + "\n").map_err(BenchError::io(what))
    }
}

impl Section {
    /// Adds measurements of one thing; none at all are said to be none.
    pub(crate) fn row(
        &mut self,
        what: impl Into<String>,
        unit: &'static str,
        values: impl IntoIterator<Item = f64>,
        goal: Option<Goal>,
    ) {
        let what = what.into();
        match Spread::of(values) {
            Some(spread) => {
                let met = goal.map(|goal| goal.met_by(&spread));
                self.rows.push(Row { what, unit, spread, goal, met });
            }
            None => self.note(format!("{what}: nothing was measured")),
        }
    }

    /// Adds a sentence.
    pub(crate) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// Says, here and at once, that a program is missing without which something is left out.
    pub(crate) fn skip_without(&mut self, program: &str) {
        warn(&format!("SKIPPED: {}: {program} is not installed", self.title));
        self.note(format!("SKIPPED: {program} is not installed"));
    }
}

/// What went wrong beside the measurement.
pub(crate) fn warn(text: &str) {
    eprintln!("{text}");
}

/// Four significant digits are more than the machine is good for.
fn figure(value: f64) -> String {
    let digits = match value.abs() {
        0.0 => 0,
        size if size >= 1000.0 => 0,
        size if size >= 100.0 => 1,
        size if size >= 10.0 => 2,
        _ => 3,
    };
    format!("{value:.digits$}")
}

/// Processor architecture, cores, kernel.
fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let kernel = kernel.split('.').take(2).collect::<Vec<_>>().join(".");
    let busy = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let busy = busy.split_whitespace().next().unwrap_or("unknown").to_owned();
    format!("{cores} cores, {}, Linux {}, load {busy} at the start", std::env::consts::ARCH, kernel.trim())
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn sample() -> Report {
        let mut report = Report {
            schema: "freezeframe-bench/1",
            bench: "sample".to_owned(),
            quick: false,
            machine: "2 cores".to_owned(),
            sections: Vec::new(),
        };
        let section = report.section("holds");
        section.row("stopped", "ms", [0.1, 0.2, 1.5], Some(Goal::P99AtMost(1.0)));
        section.row("requests lost", "", [0.0, 0.0], Some(Goal::AllAtMost(0.0)));
        section.row("requests", "1/s", [12_345.6], None);
        section.row("never happened", "ms", [], Some(Goal::MedianAtLeast(1.0)));
        report
    }

    #[test]
    fn the_table_says_what_was_missed_and_what_was_not_measured() {
        expect![[r#"
            2 cores

            holds
                                                                                     n     median        min        p99        max  goal
              stopped                                                   ms           3      0.200      0.100      1.500      1.500  p99 ≤ 1: MISSED
              requests lost                                                          2          0          0          0          0  all ≤ 0: met
              requests                                                  1/s          1      12346      12346      12346      12346
              never happened: nothing was measured
        "#]]
        .assert_eq(&sample().table());
    }

    #[test]
    fn json_has_goals_and_verdicts() {
        let json = serde_json::to_value(sample()).unwrap_or_default();
        assert_eq!(json["schema"], "freezeframe-bench/1");
        let row = &json["sections"][0]["rows"][0];
        assert_eq!((&row["median"], &row["met"]), (&0.2.into(), &false.into()));
        assert_eq!(row["goal"]["p99_at_most"], 1.0);
        assert_eq!(json["sections"][0]["rows"][2]["met"], serde_json::Value::Null);
    }
}
