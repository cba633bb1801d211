//! Builds the fuzz targets and runs each for a while: a smoke test that every change can afford.
//!
//! Works with a stable compiler and without cargo-fuzz: the targets are ordinary programs with LLVM's coverage counters, which the
//! compiler adds on request. Knows no target by name, and nothing of what they check.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// Those of `cargo fuzz build --sanitizer none`. The allocator of the targets bounds memory, their own checks do the rest.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares";
const PLATFORM: &str = "x86_64-unknown-linux-gnu";
/// Time for each target, in seconds.
const SECONDS: u64 = 20;
/// An input that takes longer hangs, in seconds: what is bounded by time is bounded far below, but the machine may be busy.
const INPUT_SECONDS: u64 = 25;
/// Lines of a failed target's output that are shown.
const SHOWN_MAX: usize = 30;

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
struct Order<'w> {
    seconds: u64,
    /// As many inputs, always the same ones.
    runs: Option<u64>,
    targets: Vec<&'w str>,
}

/// How a target fared.
#[derive(Debug, Default, PartialEq, Eq)]
struct Run {
    target: String,
    executions: u64,
    per_second: u64,
    corpus: u64,
    /// The last lines and the input, where it failed.
    failure: Option<(String, Option<String>)>,
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outcome = if self.failure.is_some() { "FAILED" } else { "ok" };
        write!(
            f,
            "{:<12} {:>10} executions {:>8}/s  corpus {:>5}  {outcome}",
            self.target, self.executions, self.per_second, self.corpus
        )
    }
}

/// `[--seconds N] [--runs N] [TARGET…]`; without targets all. With `--runs`, each run is like the last one: a change can be judged by it.
pub(crate) fn run(root: &Path, words: &[&str]) -> ExitCode {
    match order(words).and_then(|order| all(root, &order)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("fuzz: {error}");
            ExitCode::from(2)
        }
    }
}

fn order<'w>(words: &[&'w str]) -> Result<Order<'w>, String> {
    let mut order = Order { seconds: SECONDS, runs: None, targets: Vec::new() };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match *word {
            "--seconds" => {
                let seconds =
                    words.next().and_then(|seconds| seconds.parse().ok()).filter(|seconds| *seconds > 0);
                order.seconds = seconds.ok_or("--seconds wants a number of seconds, at least 1")?;
            }
            "--runs" => {
                let runs = words.next().and_then(|runs| runs.parse().ok()).filter(|runs| *runs > 0);
                order.runs = Some(runs.ok_or("--runs wants a number of inputs, at least 1")?);
            }
            flag if flag.starts_with('-') => return Err(format!("there is no option {flag}")),
            target => order.targets.push(target),
        }
    }
    Ok(order)
}

fn all(root: &Path, order: &Order<'_>) -> Result<bool, String> {
    let fuzz = root.join("fuzz");
    let known = known(&fuzz).map_err(|error| format!("the targets cannot be listed: {error}"))?;
    if let Some(unknown) = order.targets.iter().find(|target| !known.iter().any(|name| name == *target)) {
        return Err(format!("there is no target {unknown}; there are {}", known.join(", ")));
    }
    let targets: Vec<&str> = match order.targets.as_slice() {
        [] => known.iter().map(String::as_str).collect(),
        given => given.to_vec(),
    };
    let programs = build(&fuzz, root, &targets)?;
    let began = Instant::now();
    let next = AtomicUsize::new(0);
    let runs = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from).min(targets.len()) {
            scope.spawn(|| {
                while let Some(target) = targets.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let run = one(&fuzz, &programs.join(target), target, order);
                    if let Ok(run) = &run {
                        println!("{run}");
                    }
                    if let Ok(mut runs) = runs.lock() {
                        runs.push(run);
                    }
                }
            });
        }
    });
    let mut good = true;
    for run in runs.into_inner().unwrap_or_default() {
        let run = run.map_err(|error| format!("a target could not be run: {error}"))?;
        let Some((lines, input)) = &run.failure else { continue };
        good = false;
        eprintln!("\n== {} failed\n{lines}", run.target);
        if let Some(input) = input {
            eprintln!("to see it again: {} {input}", programs.join(&run.target).display());
        }
    }
    println!("== {} targets in {} s", targets.len(), began.elapsed().as_secs());
    Ok(good)
}

fn known(fuzz: &Path) -> io::Result<Vec<String>> {
    let mut names: Vec<String> = fs::read_dir(fuzz.join("fuzz_targets"))?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_suffix(".rs").map(str::to_owned))
        .collect();
    names.sort();
    Ok(names)
}

/// Builds the targets; the directory that they are in.
fn build(fuzz: &Path, root: &Path, targets: &[&str]) -> Result<PathBuf, String> {
    // Other flags than those of everything else: a directory of its own, or each build would undo the other.
    let directory = crate::target(root).join("fuzz");
    let mut command = crate::cargo();
    // Not `--locked`: that workspace's lock follows the crates of this one, whose dependencies are locked here.
    command.args(["build", "--release", "--target", PLATFORM, "--manifest-path"]);
    command.arg(fuzz.join("Cargo.toml")).arg("--target-dir").arg(&directory).env("RUSTFLAGS", FLAGS);
    for target in targets {
        command.args(["--bin", target]);
    }
    match command.status() {
        Ok(status) if status.success() => Ok(directory.join(PLATFORM).join("release")),
        Ok(status) => Err(format!("the targets cannot be built: {status}")),
        Err(error) => Err(format!("cargo cannot be started: {error}")),
    }
}

fn one(fuzz: &Path, program: &Path, target: &str, order: &Order<'_>) -> io::Result<Run> {
    let place = |kind: &str| fuzz.join(kind).join(target);
    let (seeds, artifacts) = (place("seeds"), place("artifacts"));
    fs::create_dir_all(&artifacts)?;
    // What earlier runs found would make this one another.
    let corpus = if order.runs.is_some() { artifacts.join("passing") } else { place("corpus") };
    if order.runs.is_some() && corpus.exists() {
        fs::remove_dir_all(&corpus)?;
    }
    fs::create_dir_all(&corpus)?;
    let log = artifacts.join("log");
    let mut command = Command::new(program);
    match order.runs {
        Some(runs) => command.arg(format!("-runs={runs}")).arg("-seed=1"),
        None => command.arg(format!("-max_total_time={}", order.seconds)),
    };
    command.arg(format!("-timeout={INPUT_SECONDS}"));
    command.arg(format!("-artifact_prefix={}/", artifacts.display())).arg("-print_final_stats=1");
    command.arg(&corpus);
    if seeds.is_dir() {
        command.arg(&seeds);
    }
    let status =
        command.stdout(File::create(artifacts.join("output"))?).stderr(File::create(&log)?).status()?;
    let text = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
    Ok(read_log(target, &text, status.success()))
}

/// What libFuzzer says of itself.
fn read_log(target: &str, log: &str, succeeded: bool) -> Run {
    let number = |after: &str| {
        let rest = log.rsplit_once(after)?.1.trim_start();
        rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    };
    let failure = (!succeeded).then(|| {
        let lines: Vec<&str> = log.lines().filter(|line| !line.starts_with("stat::")).collect();
        let shown = lines.get(lines.len().saturating_sub(SHOWN_MAX)..).unwrap_or_default().join("\n");
        let input = log.rsplit_once("Test unit written to ").and_then(|(_, rest)| rest.lines().next());
        (shown, input.map(str::to_owned))
    });
    Run {
        target: target.to_owned(),
        executions: number("stat::number_of_executed_units:").unwrap_or(0),
        per_second: number("stat::average_exec_per_sec:").unwrap_or(0),
        corpus: number(" corp: ").unwrap_or(0),
        failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_read_or_refused() {
        assert_eq!(order(&[]), Ok(Order { seconds: SECONDS, runs: None, targets: vec![] }));
        assert_eq!(
            order(&["a", "--seconds", "3", "b"]),
            Ok(Order { seconds: 3, runs: None, targets: vec!["a", "b"] })
        );
        assert_eq!(order(&["--runs", "9"]), Ok(Order { seconds: SECONDS, runs: Some(9), targets: vec![] }));
        for words in
            [&["--seconds"][..], &["--runs", "-1"], &["--seconds", "0"], &["--seconds", "soon"], &["--fast"]]
        {
            order(words).expect_err("refused");
        }
    }

    #[test]
    fn logs_tell_what_was_done_and_what_failed() {
        let log = "#8\tpulse  cov: 3 ft: 4 corp: 17/40b exec/s: 0\nDone 9\nstat::number_of_executed_units: 912\n\
            stat::average_exec_per_sec:     83\n";
        let run = read_log("a", log, true);
        assert_eq!((run.executions, run.per_second, run.corpus, &run.failure), (912, 83, 17, &None));
        let run = read_log("a", "panicked\nTest unit written to /x/crash-1\n", false);
        let (lines, input) = run.failure.expect("it failed");
        assert_eq!((lines.lines().next(), input.as_deref()), (Some("panicked"), Some("/x/crash-1")));
    }
}
