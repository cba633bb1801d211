//! The project's own chores, as `cargo xtask CHORE`.
//!
//! `tidy` checks what neither rustc nor clippy can know: which crate may import which, what every file must begin with, where
//! `unsafe` may stand. `gate` runs everything that must hold before a change lands, cheapest first; `fuzz` runs the fuzz targets
//! for a while; `testssl` has testssl.sh look at the gate; `dist` builds the program that is installed. Nothing here changes a file that is
//! tracked.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a chore talks to the person who runs it")]

mod dist;
mod fuzz;
mod gate;
mod testssl;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

const USAGE: &str = "\
usage: cargo xtask CHORE

chores:
  tidy     import directions, file headers and lengths, unsafe, forbidden words, decisions, dependencies
  gate     format, clippy, tidy and tests, in this order; stops at the first that fails
  fuzz     builds the fuzz targets and runs each: fuzz [--seconds N] [TARGET…]
  testssl  has testssl.sh look at the gate's TLS; takes some minutes
  dist     builds the program that is installed, optimised by what it is seen doing; takes two builds from scratch";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
    match words.as_slice() {
        ["tidy"] => tidy::run(root),
        ["gate"] => gate::run(root),
        ["fuzz", words @ ..] => fuzz::run(root, words),
        ["testssl"] => testssl::run(root),
        ["dist"] => dist::run(root),
        ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

/// The cargo that runs this chore.
fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Where cargo puts what it builds, as an absolute path: chores run programs elsewhere.
fn target(root: &Path) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    std::path::absolute(&target).unwrap_or(target)
}
