//! The corpus: which programs there are, how each is built, and what its header says.
//!
//! Every `*.rs`, `*.c` and `*.cc` in `corpus/` is a program; its leading comment may say
//! `builds: A B` (instead of the language's own), `flags: …` (for the compiler), `with: FILE` (one more source, in C),
//! `deliver: N` (signals that reach the program before the one it is read at), `frames: N` (per thread).
//!
//! A build of Rust is `debug`, `release` (with `debug = 2`), `lines` or `stripped`; one of C and C++ is
//! `COMPILER-LEVEL-DWARF` with `-static`, `-staticpie`, `-nopie` or `-compressed` behind it.

use std::path::{Path, PathBuf};
use std::process::Command;

const RUST_BUILDS: &str = "debug release lines stripped";
const C_BUILDS: &str = "gcc-O0-dwarf5 gcc-O2-dwarf4 clang-O0-dwarf4 clang-O2-dwarf5";
/// Deep enough for everything that does not say otherwise.
const FRAMES: usize = 300;

/// A program in one build.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    /// File name of the source.
    pub(crate) source: String,
    pub(crate) build: String,
    flags: Vec<String>,
    with: Option<String>,
    pub(crate) deliver: usize,
    pub(crate) frames: usize,
}

pub(crate) fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

/// All cases whose name contains `only`, sources in alphabetical order.
pub(crate) fn cases(only: &str) -> Vec<Case> {
    let listed = std::fs::read_dir(directory()).expect("the corpus is there");
    let mut sources: Vec<String> =
        listed.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    sources.retain(|name| [".rs", ".c", ".cc"].iter().any(|ending| name.ends_with(ending)));
    sources.sort();
    let cases = sources.iter().flat_map(|source| cases_of(source));
    cases.filter(|case| case.name().contains(only)).collect()
}

fn cases_of(source: &str) -> Vec<Case> {
    let text = std::fs::read_to_string(directory().join(source)).expect("a source is readable");
    let header: Vec<&str> = text.lines().map_while(|line| line.strip_prefix("//")).collect();
    let said = |key: &str| {
        let mut lines = header.iter().filter_map(|line| line.trim().split_once(": "));
        lines.find(|(found, _)| *found == key).map(|(_, value)| value.trim().to_owned())
    };
    let number = |key: &str, otherwise: usize| {
        said(key).map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{source}: {key}: {text}")))
    };
    let default = if source.ends_with(".rs") { RUST_BUILDS } else { C_BUILDS };
    let builds = said("builds").unwrap_or_else(|| default.to_owned());
    let case = |build: &str| Case {
        source: source.to_owned(),
        build: build.to_owned(),
        flags: said("flags").unwrap_or_default().split_whitespace().map(str::to_owned).collect(),
        with: said("with"),
        deliver: number("deliver", 0),
        frames: number("frames", FRAMES),
    };
    builds.split_whitespace().map(case).collect()
}

impl Case {
    pub(crate) fn name(&self) -> String {
        format!("{} {}", self.source, self.build)
    }

    /// File names of the sources, as debug information records them.
    pub(crate) fn sources(&self) -> Vec<String> {
        let with = self.with.iter().filter_map(|with| with.rsplit('/').next()).map(str::to_owned);
        std::iter::once(self.source.clone()).chain(with).collect()
    }

    /// Compiles the program into the directory.
    pub(crate) fn compile(&self, into: &Path) -> Result<PathBuf, String> {
        for name in self.with.iter().chain([&self.source]) {
            let target = into.join(name.rsplit('/').next().unwrap_or(name));
            std::fs::copy(directory().join(name), target).map_err(|error| format!("{name}: {error}"))?;
        }
        if self.source.ends_with(".rs") {
            self.compile_rust(into)?
        } else {
            self.compile_c(into)?
        }
        Ok(into.join("program"))
    }

    fn compile_rust(&self, into: &Path) -> Result<(), String> {
        let mut rustc = Command::new("rustc");
        rustc.args([
            "--edition",
            "2024",
            "--crate-name",
            self.source.trim_end_matches(".rs"),
            "-o",
            "program",
        ]);
        rustc.args(["-C", "codegen-units=1", &self.source]);
        rustc.args(match self.build.as_str() {
            "debug" => &["-C", "debuginfo=2"] as &[&str],
            "release" => &["-C", "opt-level=3", "-C", "debuginfo=2"],
            "lines" => &["-C", "opt-level=3", "-C", "debuginfo=line-tables-only"],
            "stripped" => &["-C", "opt-level=3", "-C", "strip=symbols"],
            other => return Err(format!("there is no build {other:?} for Rust")),
        });
        if !self.flags.iter().any(|flag| flag.starts_with("panic=")) {
            rustc.args(["-C", "panic=abort"]);
        }
        rustc.args(&self.flags);
        if let Some(with) = self.sources().get(1) {
            let debug = if self.build == "debug" { "-O0" } else { "-O2" };
            run(Command::new("cc").args(["-c", "-g", debug, with, "-o", "with.o"]), into)?;
            rustc.arg("-Clink-arg=with.o");
        }
        run(&mut rustc, into)
    }

    fn compile_c(&self, into: &Path) -> Result<(), String> {
        let mut parts = self.build.split('-');
        let is_cpp = self.source.ends_with(".cc");
        let compiler = match (parts.next(), is_cpp) {
            (Some("gcc"), false) => "gcc",
            (Some("gcc"), true) => "g++",
            (Some("clang"), false) => "clang",
            (Some("clang"), true) => "clang++",
            _ => return Err(format!("there is no build {:?} for C", self.build)),
        };
        let mut command = Command::new(compiler);
        command.args(["-g", &self.source, "-o", "program"]).args(&self.flags);
        for part in parts {
            match part {
                "static" => command.args(["-static", "-no-pie"]),
                "staticpie" => command.args(["-static-pie", "-fPIE"]),
                "nopie" => command.args(["-no-pie", "-fno-pie"]),
                "compressed" => command.arg("-gz=zlib"),
                dwarf if dwarf.starts_with("dwarf") => {
                    command.arg(format!("-g{}", dwarf.replace("dwarf", "dwarf-")))
                }
                level if level.starts_with('O') => command.arg(format!("-{level}")),
                other => return Err(format!("there is no build with {other:?}")),
            };
        }
        run(&mut command, into)
    }
}

fn run(command: &mut Command, directory: &Path) -> Result<(), String> {
    let output = command.current_dir(directory).output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)))
}
