//! Programs that break on purpose, compiled once per version of their source and shared by all test binaries.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::repository;

/// The server of `examples/c-server`.
pub(crate) fn c_server() -> PathBuf {
    let source = c_source();
    compile(&source, "cc", &["-std=gnu17", "-g", "-O1", "-fno-omit-frame-pointer", "-pthread"])
}

/// Its source.
pub(crate) fn c_source() -> PathBuf {
    repository().join("examples/c-server/server.c")
}

/// The server of `examples/cpp-server`.
pub(crate) fn cpp_server() -> PathBuf {
    compile(&cpp_source(), "c++", &["-std=c++17", "-g", "-O1", "-pthread"])
}

/// Its source.
pub(crate) fn cpp_source() -> PathBuf {
    repository().join("examples/cpp-server/server.cpp")
}

/// Source of one of our own programs.
pub(crate) fn source(name: &str) -> PathBuf {
    repository().join("crates/freezeframe/tests/programs").join(name)
}

/// Slow, stuck and crashing requests: `tests/programs/stuck.c`.
pub(crate) fn stuck() -> PathBuf {
    compile(&source("stuck.c"), "cc", &["-std=gnu17", "-g", "-O1", "-fno-omit-frame-pointer", "-pthread"])
}

/// Ends by itself, unsupervised: `tests/programs/crash.c`.
pub(crate) fn crash() -> PathBuf {
    compile(&source("crash.c"), "cc", &["-std=gnu17", "-g", "-O0"])
}

/// Panics in many ways: `tests/programs/panics.rs`.
pub(crate) fn panics(options: &[&str]) -> PathBuf {
    let mut all = vec!["--edition=2024", "-g", "-O"];
    all.extend(options);
    compile(&source("panics.rs"), "rustc", &all)
}

/// Panics in the midst of long and deep values: `tests/programs/ledger.rs`.
pub(crate) fn ledger() -> PathBuf {
    compile(&source("ledger.rs"), "rustc", &["--edition=2024", "-g", "-Copt-level=0"])
}

/// Logs and fails in control sequences: `tests/programs/hostile.rs`.
pub(crate) fn hostile() -> PathBuf {
    compile(&source("hostile.rs"), "rustc", &["--edition=2024", "-g", "-Copt-level=0"])
}

/// Writes down what it works on: `tests/programs/journal.rs`.
pub(crate) fn journal() -> PathBuf {
    compile(&source("journal.rs"), "rustc", &["--edition=2024", "-g", "-O"])
}

fn compile(source: &Path, compiler: &str, options: &[&str]) -> PathBuf {
    let text = std::fs::read(source).unwrap_or_else(|error| panic!("{}: {error}", source.display()));
    let mut hasher = DefaultHasher::new();
    (text, compiler, options).hash(&mut hasher);
    let name = source.file_stem().expect("a file name").to_string_lossy();
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{:016x}", hasher.finish()));
    let program = directory.join(&*name);
    if program.exists() {
        return program;
    }
    std::fs::create_dir_all(&directory).expect("a directory for programs");
    // In a place of its own, then renamed: another test may be doing the same, and compilers leave files beside their output.
    let workshop = tempfile::tempdir_in(&directory).expect("a temporary directory");
    let unfinished = workshop.path().join(&*name);
    let output = Command::new(compiler).args(options).arg(source).arg("-o").arg(&unfinished).output();
    let output = output.unwrap_or_else(|error| panic!("{compiler}: {error}"));
    assert!(output.status.success(), "{compiler}: {}", String::from_utf8_lossy(&output.stderr));
    std::fs::rename(&unfinished, &program).expect("moved into place");
    program
}
