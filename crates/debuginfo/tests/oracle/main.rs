//! Compares our reading of stopped processes with gdb's and lldb's, on a corpus of programs that break.
//!
//! A source file in `corpus/` makes its cases (see `corpus`); each is built, run to its error, read by us under ptrace, let
//! go of without running on, and read by both debuggers. Whatever they disagree about fails the test, unless
//! `corpus/differences.toml` explains it; an explanation that nothing needs any more fails it, too.
//!
//! `FREEZEFRAME_ORACLE=text` restricts the run to cases whose name contains the text.

#[path = "../common/mod.rs"]
mod common;
mod compare;
mod corpus;
mod differences;
mod names;
mod readers;
#[path = "../common/threads.rs"]
mod threads;

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use compare::{Comparison, Counts};
use corpus::Case;
use differences::Difference;
use freezeframe_debuginfo::{Options, UserCode, capture};
use freezeframe_redact::Redactor;
use readers::Tool;

/// What came of one case.
struct Outcome {
    name: String,
    /// By debugger.
    compared: Vec<(Tool, Counts)>,
    differences: Vec<Difference>,
    failure: Option<String>,
    time: Duration,
}

#[test]
fn every_case_reads_as_gdb_and_lldb_read_it() {
    let Some(tools) = tools() else { return };
    let cases = corpus::cases(&std::env::var("FREEZEFRAME_ORACLE").unwrap_or_default());
    assert!(!cases.is_empty(), "no case has such a name");
    let begun = Instant::now();
    let outcomes = run_all(&cases, &tools);
    report(&outcomes, begun.elapsed());
    verdict(&outcomes);
}

/// The debuggers that are here; none where not all are, which is said aloud.
fn tools() -> Option<Vec<Tool>> {
    let tools = vec![Tool::Gdb, Tool::Lldb];
    let compilers = ["gcc", "g++", "clang", "clang++", "rustc"].into_iter().filter_map(|compiler| {
        let found = std::process::Command::new(compiler).arg("--version").output();
        found.is_err().then(|| format!("no {compiler}: get it by `apt-get install gcc g++ clang`"))
    });
    let missing: Vec<String> = tools.iter().filter_map(|tool| tool.missing()).chain(compilers).collect();
    if missing.is_empty() {
        return Some(tools);
    }
    let missing = missing.join("; ");
    let required = std::env::var_os("FREEZEFRAME_REQUIRE_ALL").is_some_and(|value| value == "1");
    assert!(!required, "FREEZEFRAME_REQUIRE_ALL=1, but {missing}");
    // Not through the macros that the test harness captures: a skipped test must be seen.
    let _ = writeln!(std::io::stderr(), "SKIPPED: the comparison with other debuggers: {missing}");
    None
}

fn run_all(cases: &[Case], tools: &[Tool]) -> Vec<Outcome> {
    let next = AtomicUsize::new(0);
    let outcomes: Mutex<Vec<(usize, Outcome)>> = Mutex::default();
    let workers = std::thread::available_parallelism().map_or(2, usize::from).min(4);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let at = next.fetch_add(1, Ordering::Relaxed)
                    && let Some(case) = cases.get(at)
                {
                    let outcome = run_one(case, tools);
                    outcomes.lock().unwrap_or_else(PoisonError::into_inner).push((at, outcome));
                }
            });
        }
    });
    let mut outcomes = outcomes.into_inner().unwrap_or_else(PoisonError::into_inner);
    outcomes.sort_by_key(|(at, _)| *at);
    outcomes.into_iter().map(|(_, outcome)| outcome).collect()
}

fn run_one(case: &Case, tools: &[Tool]) -> Outcome {
    let begun = Instant::now();
    let mut outcome = Outcome {
        name: case.name(),
        compared: Vec::new(),
        differences: Vec::new(),
        failure: None,
        time: Duration::ZERO,
    };
    outcome.failure = read_and_compare(case, tools, &mut outcome).err();
    outcome.time = begun.elapsed();
    outcome
}

fn read_and_compare(case: &Case, tools: &[Tool], outcome: &mut Outcome) -> Result<(), String> {
    let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
    let program = case.compile(directory.path())?;
    let process = threads::stop_all_at_signal(&program, case.deliver)?;
    let modules = process.modules();
    let options = Options {
        max_frames: case.frames,
        // Only scalars are compared: nothing is followed.
        depth: 0,
        variables_max: 1_000_000,
        time: Duration::from_secs(120),
        user_code: UserCode { include: case.sources(), exclude: Vec::new() },
        ..Options::default()
    };
    let ours = capture(&process, &modules, &process.threads, &options, &Redactor::default());
    let failing = process.threads.first().cloned().ok_or("no thread")?;
    let stack = modules.unwind(&process, &failing.registers, case.frames);
    let stopped = process.let_go()?;
    for tool in tools {
        let theirs = tool.read(case, stopped.pid(), failing.id, directory.path())?;
        let mut comparison = Comparison {
            case: &outcome.name,
            tool: tool.name(),
            counts: Counts::default(),
            differences: Vec::new(),
        };
        comparison.run(&ours, &stack, &theirs);
        let Comparison { counts, differences, .. } = comparison;
        outcome.compared.push((*tool, counts));
        outcome.differences.extend(differences);
    }
    Ok(())
}

fn report(outcomes: &[Outcome], time: Duration) {
    let mut text = format!(
        "\n{:40} {:5} {:>7} {:>9} {:>7} {:>9} {:>11} {:>7} {:>10} {:>8} {:>7} {:>8} {:>6}\n",
        "case",
        "",
        "frames",
        "registers",
        "scalars",
        "ours only",
        "theirs only",
        "neither",
        "undeclared",
        "not kept",
        "as text",
        "inferred",
        "s"
    );
    let mut totals = [(Tool::Gdb, Counts::default()), (Tool::Lldb, Counts::default())];
    let mut row = |name: &str, tool: Tool, counts: &Counts, time: Duration| {
        let _ = writeln!(
            text,
            "{name:40} {:5} {:>7} {:>9} {:>7} {:>9} {:>11} {:>7} {:>10} {:>8} {:>7} {:>8} {:>6.1}",
            tool.name(),
            counts.frames,
            counts.registers,
            counts.scalars,
            counts.ours_only,
            counts.theirs_only,
            counts.neither,
            counts.before_declaration,
            counts.not_kept,
            counts.as_text,
            counts.inferred,
            time.as_secs_f64()
        );
    };
    for outcome in outcomes {
        for (tool, counts) in &outcome.compared {
            row(&outcome.name, *tool, counts, outcome.time);
            for (total, sum) in &mut totals {
                if total == tool {
                    *sum += *counts;
                }
            }
        }
    }
    for (tool, counts) in &totals {
        row(&format!("all {} cases", outcomes.len()), *tool, counts, time);
    }
    // Past the test harness, which shows the output of failed tests only.
    let _ = std::io::stdout().write_all(text.as_bytes());
}

fn verdict(outcomes: &[Outcome]) {
    let known = differences::known();
    let mut used = vec![false; known.len()];
    let mut problems = String::new();
    for outcome in outcomes {
        if let Some(failure) = &outcome.failure {
            let _ = writeln!(problems, "{}: {failure}", outcome.name);
        }
        for difference in &outcome.differences {
            let mut explained = false;
            for (known, used) in known.iter().zip(&mut used) {
                if known.explains(difference) {
                    explained = true;
                    *used = true;
                }
            }
            if !explained {
                let _ = writeln!(problems, "{difference}");
            }
        }
    }
    // Most entries are of several cases: a part of them does not tell.
    let complete = std::env::var_os("FREEZEFRAME_ORACLE").is_none();
    for (known, used) in known.iter().zip(used) {
        if complete && !used {
            let _ = writeln!(problems, "this difference occurs no more; take it out of the list: {known:?}");
        }
    }
    assert!(problems.is_empty(), "{problems}");
}
