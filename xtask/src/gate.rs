//! Everything that must hold before a change lands, cheapest first.

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

const CLIPPY: &[&str] = &["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"];

/// Runs the steps one after the other; stops at the first that fails.
pub(crate) fn run(root: &Path) -> ExitCode {
    let cargo_steps: [(&str, &[&str]); 2] = [("format", &["fmt", "--all", "--check"]), ("clippy", CLIPPY)];
    let began = Instant::now();
    for (name, words) in cargo_steps {
        if !cargo(root, name, words) {
            return ExitCode::FAILURE;
        }
    }
    println!("== tidy");
    if crate::tidy::run(root) != ExitCode::SUCCESS {
        return ExitCode::FAILURE;
    }
    if !cargo(root, "tests", &["test", "--workspace", "--locked"]) {
        return ExitCode::FAILURE;
    }
    println!("== all passed in {} s", began.elapsed().as_secs());
    ExitCode::SUCCESS
}

fn cargo(root: &Path, name: &str, words: &[&str]) -> bool {
    println!("== {name}: cargo {}", words.join(" "));
    match crate::cargo().args(words).current_dir(root).status() {
        Ok(status) if status.success() => true,
        Ok(status) => {
            eprintln!("{name} failed: {status}");
            false
        }
        Err(error) => {
            eprintln!("{name} failed: cargo could not be started: {error}");
            false
        }
    }
}
