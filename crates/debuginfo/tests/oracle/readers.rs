//! What gdb and lldb make of a stopped process, each by a script that runs inside it.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use crate::corpus::Case;

/// Frames at the inner end of the failing thread whose variables are compared.
pub(crate) const WITH_VARIABLES: usize = 64;

/// Seconds for one debugger on one process; each needs one or two.
const TOOL_TIME_S: &str = "60";

/// A debugger to compare with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tool {
    Gdb,
    Lldb,
}

/// Everything that a debugger says.
#[derive(Debug, Deserialize)]
pub(crate) struct Reading {
    pub(crate) threads: Vec<ReadThread>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct ReadThread {
    pub(crate) id: i32,
    /// Innermost first.
    pub(crate) frames: Vec<ReadFrame>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct ReadFrame {
    /// `normal`, `inline`, `signal`, or `tail`: a frame that a tail call replaced and that gdb infers.
    pub(crate) kind: String,
    pub(crate) pc: u64,
    pub(crate) function: Option<String>,
    pub(crate) file: String,
    pub(crate) line: u32,
    pub(crate) registers: std::collections::BTreeMap<String, Option<u64>>,
    /// Scalar ones; absent where they were not asked for.
    pub(crate) variables: Option<Vec<ReadVariable>>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct ReadVariable {
    pub(crate) name: String,
    /// Line of its declaration.
    pub(crate) line: u32,
    pub(crate) size: usize,
    /// `int`, `bool`, `char`, `float`, `enum` or `pointer`.
    pub(crate) kind: String,
    /// In decimal digits; none where the debugger has none.
    pub(crate) value: Option<String>,
    /// An enumerator's name, what a pointer to characters points to, or why there is no value.
    pub(crate) text: Option<String>,
}

impl Tool {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Gdb => "gdb",
            Self::Lldb => "lldb",
        }
    }

    /// Whether it is here and runs scripts; else what is missing.
    pub(crate) fn missing(self) -> Option<String> {
        let mut command = match self {
            Self::Gdb => script("gdb", &["-nx", "-batch", "-ex", "python print('it runs')"]),
            Self::Lldb => script("lldb", &["-b", "-x", "-o", "script print('it ' + 'runs')"]),
        };
        let output =
            command.output().map(|output| String::from_utf8_lossy(&output.stdout).contains("it runs"));
        let package = if self == Self::Gdb { "gdb" } else { "lldb python3-lldb" };
        (!output.unwrap_or(false))
            .then(|| format!("no {} with Python: get it by `apt-get install {package}`", self.name()))
    }

    /// Attaches to the stopped process `pid` and leaves it stopped.
    pub(crate) fn read(self, case: &Case, pid: u32, thread: i32, into: &Path) -> Result<Reading, String> {
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle");
        let to = into.join(format!("{}.json", self.name()));
        let process = pid.to_string();
        let program = here.join(format!("{}.py", self.name())).display().to_string();
        let import = format!("command script import {program}");
        let mut command = match self {
            Self::Gdb => script(
                "gdb",
                &["-nx", "-batch", "-iex", "set debuginfod enabled off", "-iex", "set auto-load off"],
            ),
            Self::Lldb => script("lldb", &["-b", "-x", "-o", &import]),
        };
        if self == Self::Gdb {
            command.args(["-p", &process, "-x", &program]);
        }
        command
            .env("ORACLE_TO", &to)
            .env("ORACLE_PROCESS", &process)
            .env("ORACLE_THREAD", thread.to_string())
            .env("ORACLE_FRAMES", case.frames.to_string())
            .env("ORACLE_VARIABLES", WITH_VARIABLES.to_string())
            .env("ORACLE_SOURCES", case.sources().join(","));
        let output = command.output().map_err(|error| error.to_string())?;
        let text = std::fs::read_to_string(&to).map_err(|error| {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            format!(
                "{} wrote nothing ({error}): {}{said}",
                self.name(),
                String::from_utf8_lossy(&output.stdout)
            )
        })?;
        serde_json::from_str(&text).map_err(|error| format!("{}: {error}", self.name()))
    }
}

fn script(program: &str, arguments: &[&str]) -> Command {
    // A debugger that hangs fails its case, not the whole run.
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", TOOL_TIME_S, program]).args(arguments).stdin(std::process::Stdio::null());
    // Distributions put lldb's module where its own interpreter does not look.
    if program == "lldb"
        && let Some(path) = lldb_modules()
    {
        command.env("PYTHONPATH", path);
    }
    command
}

fn lldb_modules() -> Option<PathBuf> {
    let version = Command::new("lldb").arg("--version").output().ok()?;
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    let number = version.split("version ").nth(1)?.split('.').next()?.trim().to_owned();
    let library = PathBuf::from(format!("/usr/lib/llvm-{number}/lib"));
    let found = std::fs::read_dir(library).ok()?;
    let mut found = found.filter_map(|entry| Some(entry.ok()?.path().join("dist-packages")));
    found.find(|path| path.join("lldb/__init__.py").exists())
}
