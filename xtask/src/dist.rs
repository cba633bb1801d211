//! Builds the program that is installed, laid out by the compiler after what it was seen doing: `rustup component add llvm-tools`.
//!
//! It is built with counters, answers traffic of every kind and holds the demo's incident, and is built again with what was
//! counted (docs/decisions/0006). The result takes the place of the `dist` profile's program, beside the bench that measured it.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

/// Load generators of the training, and how to get them.
const GENERATORS: [(&str, &str); 2] =
    [("wrk", "apt-get install wrk"), ("h2load", "apt-get install nghttp2-client")];
/// Names another `llvm-profdata` than the compiler's own.
const TOOL: &str = "LLVM_PROFDATA";

pub(crate) fn run(root: &Path) -> ExitCode {
    match build(root) {
        Ok(program) => {
            println!("== {}", program.display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("dist: {error}");
            ExitCode::from(2)
        }
    }
}

fn build(root: &Path) -> Result<PathBuf, String> {
    let compiler = Compiler::ask()?;
    for (generator, remedy) in GENERATORS {
        if !starts(Command::new(generator).arg("--version")) {
            return Err(format!("there is no {generator}, which makes the traffic to learn from; {remedy}"));
        }
    }
    let target = crate::target(root);
    let learning = target.join("learning");
    let (raw, profile) = (learning.join("raw"), learning.join("merged.profdata"));
    if learning.exists() {
        // What another program counted, and what was built with it: cargo does not see that a profile has changed.
        fs::remove_dir_all(&learning).map_err(|error| format!("{}: {error}", learning.display()))?;
    }

    println!("== 1 of 3: with counters");
    let dist = target.join("dist");
    cargo(root, &target, &["build", "--profile", "dist", "--package", "bench"], None)?;
    let counting = compiler.build(root, &learning, &format!("-Cprofile-generate={}", raw.display()))?;

    println!("== 2 of 3: what it does");
    let bench = counting.join("bench");
    fs::copy(dist.join("bench"), &bench).map_err(|error| format!("{}: {error}", bench.display()))?;
    quietly(Command::new(&bench).args(["proxy", "--quick"]))?;
    quietly(Command::new(counting.join("freezeframe")).args(["demo", "--once", "--json"]))?;
    compiler.merge(&raw, &profile)?;

    println!("== 3 of 3: with what was counted");
    let learnt = compiler.build(root, &learning, &format!("-Cprofile-use={}", profile.display()))?;
    let program = dist.join("freezeframe");
    fs::copy(learnt.join("freezeframe"), &program)
        .map_err(|error| format!("{}: {error}", program.display()))?;
    Ok(program)
}

/// What is known of the compiler.
struct Compiler {
    /// The platform that it runs on.
    host: String,
    profdata: PathBuf,
}

impl Compiler {
    fn ask() -> Result<Self, String> {
        let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| OsString::from("rustc"));
        let said = |arguments: &[&str]| {
            let output = Command::new(&rustc).args(arguments).output();
            let output = output.map_err(|error| format!("rustc cannot be started: {error}"))?;
            String::from_utf8(output.stdout).map_err(|error| format!("rustc {arguments:?}: {error}"))
        };
        let version = said(&["-vV"])?;
        let host = version.lines().find_map(|line| line.strip_prefix("host: "));
        let host = host.ok_or("rustc -vV names no host")?.to_owned();
        let own = Path::new(said(&["--print", "sysroot"])?.trim())
            .join(format!("lib/rustlib/{host}/bin/llvm-profdata"));
        let profdata = std::env::var_os(TOOL).map_or(own, PathBuf::from);
        if !starts(Command::new(&profdata).arg("--version")) {
            return Err(format!(
                "there is no {}; rustup component add llvm-tools, or name another LLVM's with {TOOL}",
                profdata.display()
            ));
        }
        Ok(Self { host, profdata })
    }

    /// Builds the program with `flag`; the directory that it is in. What runs while building is not meant: hence `--target`.
    fn build(&self, root: &Path, directory: &Path, flag: &str) -> Result<PathBuf, String> {
        let arguments = ["build", "--profile", "dist", "--package", "freezeframe", "--target", &self.host];
        cargo(root, directory, &arguments, Some(flag))?;
        Ok(directory.join(&self.host).join("dist"))
    }

    fn merge(&self, raw: &Path, profile: &Path) -> Result<(), String> {
        let mut command = Command::new(&self.profdata);
        command.arg("merge").arg("--output").arg(profile).arg(raw);
        let output = command.output().map_err(|error| format!("{}: {error}", self.profdata.display()))?;
        if output.status.success() {
            return Ok(());
        }
        Err(format!(
            "{} does not understand what the program counted; rustup's llvm-tools always do\n{}",
            self.profdata.display(),
            String::from_utf8_lossy(&output.stderr)
        ))
    }
}

fn cargo(root: &Path, directory: &Path, arguments: &[&str], flag: Option<&str>) -> Result<(), String> {
    let mut command = crate::cargo();
    command.args(arguments).arg("--target-dir").arg(directory).current_dir(root);
    if let Some(flag) = flag {
        // One flag as it is, with whatever its path has in it.
        command.env("CARGO_ENCODED_RUSTFLAGS", flag);
    }
    finished(&mut command)
}

fn quietly(command: &mut Command) -> Result<(), String> {
    finished(command.stdout(Stdio::null()))
}

fn finished(command: &mut Command) -> Result<(), String> {
    let program = command.get_program().to_string_lossy().into_owned();
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{program} failed: {status}")),
        Err(error) => Err(format!("{program} cannot be started: {error}")),
    }
}

/// Whether there is such a program. What it says of its version is not of interest, nor how it ends.
fn starts(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}
