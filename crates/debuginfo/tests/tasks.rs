//! The tasks of a real program on tokio: states, async stacks, lines and variables, in a debug and in a release build.

mod common;

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::seized::Seized;
use freezeframe_model::{Capture, Task, TaskState, Value};

const PACKAGE: &str = "freezeframe-tasks-program";
const SOURCE: &str = include_str!("programs/tasks/src/main.rs");

/// Builds the program as a user would; cargo does nothing where it is up to date.
fn build(release: bool) -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("tasks");
    let mut command = Command::new(env!("CARGO"));
    command.args(["build", "--quiet", "--locked", "-p", PACKAGE]).arg("--target-dir").arg(&target);
    command.current_dir(env!("CARGO_MANIFEST_DIR")).env_remove("RUSTFLAGS");
    if release {
        command.arg("--release");
    }
    let status = command.status().expect("cargo runs");
    assert!(status.success(), "{PACKAGE} cannot be built");
    target.join(if release { "release" } else { "debug" }).join(PACKAGE)
}

#[test]
fn look() {
    for release in [false, true] {
        for mode in ["multi", "current"] {
            let program = build(release);
            let seized = Seized::start(&program, &[mode]);
            let begun = std::time::Instant::now();
            let capture = seized.capture();
            eprintln!("=== {release} {mode} {:?} decode {}us", begun.elapsed(), capture.decode_us);
            for task in &capture.tasks {
                eprintln!(
                    "{:?} {} {:?} spawned {:?} waits {:?} thread {:?}",
                    task.id, task.name, task.state, task.spawned_at, task.waits_for, task.thread
                );
                for f in &task.frames {
                    eprintln!("    {:?} {} {}:{}", f.kind, f.function, f.file, f.line);
                    for v in &f.variables {
                        eprintln!(
                            "        {:?} {}: {} = {:?} ({})",
                            v.role,
                            v.name,
                            v.type_name,
                            v.value,
                            v.children.len()
                        );
                    }
                }
            }
            for l in &capture.not_captured {
                eprintln!("LOSS {}: {}", l.what, l.why);
            }
        }
    }
}
