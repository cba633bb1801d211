//! What holds for the whole source tree, and is checked rather than remembered.
//!
//! To add a check: a function from plain data to [`Problem`]s in a file of its own, tested there, and one line in [`problems`].

mod code;
mod decisions;
mod dependencies;
mod directions;
mod sources;
mod words;

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use cargo_metadata::{Metadata, MetadataCommand};

/// Something that is not as it should be, and what to do about it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Problem {
    /// File or crate, with a line where there is one.
    at: String,
    what: String,
    remedy: String,
}

impl Problem {
    fn new(at: impl Into<String>, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { at: at.into(), what: what.into(), remedy: remedy.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}\n    {}", self.at, self.what, self.remedy)
    }
}

/// A text file of the project, with its path from the root.
struct Source {
    path: String,
    text: String,
}

/// Checks everything and prints what is wrong.
pub(crate) fn run(root: &Path) -> ExitCode {
    match problems(root) {
        Ok(problems) if problems.is_empty() => {
            println!("tidy");
            ExitCode::SUCCESS
        }
        Ok(mut problems) => {
            problems.sort();
            problems.iter().for_each(|problem| eprintln!("{problem}"));
            eprintln!("not tidy: {} to fix", problems.len());
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("tidy could not run: {error}");
            ExitCode::FAILURE
        }
    }
}

fn problems(root: &Path) -> Result<Vec<Problem>, String> {
    let sources = sources(root)?;
    let metadata = metadata(root)?;
    let mut problems = directions::check(&directions::imports(&metadata));
    problems.extend(dependencies::check(&dependencies::packages(&metadata)));
    problems.extend(decisions::check(&sources));
    for source in &sources {
        problems.extend(sources::check(source));
        problems.extend(words::check(source));
    }
    Ok(problems)
}

fn metadata(root: &Path) -> Result<Metadata, String> {
    // What other platforms would pull in is not what we ship.
    let platform = ["--filter-platform", "x86_64-unknown-linux-gnu", "--locked"].map(str::to_owned);
    let mut command = MetadataCommand::new();
    command.manifest_path(root.join("Cargo.toml")).other_options(platform);
    command.exec().map_err(|error| format!("cargo metadata: {error}"))
}

/// Every text file that is or is about to be tracked.
fn sources(root: &Path) -> Result<Vec<Source>, String> {
    let words = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    let listing = Command::new("git").args(words).current_dir(root).output();
    let listing = listing.map_err(|error| format!("git ls-files: {error}"))?;
    if !listing.status.success() {
        return Err(format!("git ls-files: {}", String::from_utf8_lossy(&listing.stderr).trim()));
    }
    let mut sources = Vec::new();
    for path in listing.stdout.split(|&byte| byte == 0).filter(|path| !path.is_empty()) {
        let path = String::from_utf8_lossy(path).into_owned();
        // Removed but still in the index, or a link to a directory: nothing to read.
        let Some(bytes) = read(&root.join(&path))? else { continue };
        // Images and certificates in binary form are none of these checks' business.
        if let Ok(text) = String::from_utf8(bytes) {
            sources.push(Source { path, text });
        }
    }
    Ok(sources)
}

fn read(path: &PathBuf) -> Result<Option<Vec<u8>>, String> {
    if !path.is_file() {
        return Ok(None);
    }
    std::fs::read(path).map(Some).map_err(|error| format!("{}: {error}", path.display()))
}
