//! What every end-to-end test needs: a daemon in a directory of its own, its command line, its gate, and a thorough end.
//!
//! Tests look from outside only: through the command line, the gate, the API's socket, `/proc` and the files of the data
//! directory. Nothing here links the code that it tests.
#![allow(dead_code, reason = "every test binary uses a part of it")]

pub(crate) mod files;
pub(crate) mod http;
pub(crate) mod load;
pub(crate) mod needs;
pub(crate) mod process;
pub(crate) mod programs;
pub(crate) mod scene;
pub(crate) mod shop;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Nothing that is waited for takes so long, also on a machine that is busy with other things.
pub(crate) const LIMIT: Duration = Duration::from_secs(40);

/// The root of the repository.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the repository")
}

/// Asks until there is an answer; fails with the last thing that was said instead.
pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let end = Instant::now() + LIMIT;
    loop {
        match look() {
            Ok(found) => return found,
            Err(instead) if Instant::now() > end => panic!("no {what} within {LIMIT:?}; instead: {instead}"),
            Err(_) => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}

/// The number of the one line of a file that contains `needle`.
pub(crate) fn line_of(file: &Path, needle: &str) -> u64 {
    let text = std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let mut lines = text.lines().zip(1..).filter(|(line, _)| line.contains(needle)).map(|(_, number)| number);
    let line = lines.next().unwrap_or_else(|| panic!("{needle:?} is not in {}", file.display()));
    assert_eq!(lines.next(), None, "{needle:?} is in {} twice", file.display());
    line
}
