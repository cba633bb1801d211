//! An index on disk changes how long a capture takes and nothing else: with a good one, a damaged one, and that of another build.

mod common;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use common::{Stopped, build, run_until_stop};
use freezeframe_debuginfo::{IndexDirectory, Modules, Options};
use freezeframe_model::Capture;
use freezeframe_redact::Redactor;

const ROOM: u64 = 1 << 30;

fn modules(stopped: &Stopped, directory: &Path) -> Modules {
    stopped.modules().with_indexes(Some(Arc::new(IndexDirectory::new(directory, ROOM))))
}

fn capture(stopped: &Stopped, modules: &Modules) -> Capture {
    // What does not depend on how busy this machine is.
    let options = Options { time: Duration::from_secs(600), ..Options::default() };
    let threads = [stopped.thread()];
    let mut capture =
        freezeframe_debuginfo::capture(stopped, modules, &threads, &options, &Redactor::default());
    capture.decode_us = 0;
    capture
}

fn indexes(directory: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(directory).expect("the directory of indexes");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "index"));
    paths.sort();
    paths
}

#[test]
fn a_capture_is_the_same_with_and_without() {
    let scratch = tempfile::tempdir().expect("a directory");
    let directory = scratch.path().join("index");
    let flags = ["-g", "-Copt-level=1", "-Clink-arg=-Wl,--build-id=sha1"];
    let program = build("values.rs", "rustc", &flags);
    let stopped = run_until_stop(&program.path);
    let without = capture(&stopped, &stopped.modules());
    assert!(
        without.threads.iter().flat_map(|thread| &thread.frames).any(|frame| !frame.variables.is_empty())
    );

    // Nothing there yet, and nothing written by looking.
    assert_eq!(capture(&stopped, &modules(&stopped, &directory)), without);
    assert!(!directory.exists());

    assert!(modules(&stopped, &directory).write_indexes().expect("written") >= 1);
    assert_eq!(modules(&stopped, &directory).write_indexes().expect("there"), 0);
    assert_eq!(capture(&stopped, &modules(&stopped, &directory)), without);

    for path in indexes(&directory) {
        let good = fs::read(&path).expect("an index");
        // From the header over blocks to the table.
        for part in 0..6 {
            let mut damaged = good.clone();
            let at = part * (good.len() - 1) / 5;
            damaged[at] ^= 0x55;
            fs::write(&path, &damaged).expect("damaged");
            assert_eq!(capture(&stopped, &modules(&stopped, &directory)), without, "byte {at}");
        }
        fs::write(&path, &good[..good.len() / 2]).expect("torn");
        assert_eq!(capture(&stopped, &modules(&stopped, &directory)), without);
    }
    // What is damaged is written anew.
    assert!(modules(&stopped, &directory).write_indexes().expect("written") >= 1);
    assert_eq!(modules(&stopped, &directory).write_indexes().expect("there"), 0);
}

#[test]
fn another_build_under_the_same_path_has_an_index_of_its_own() {
    let scratch = tempfile::tempdir().expect("a directory");
    let directory = scratch.path().join("index");
    let flags = ["-g", "-Clink-arg=-Wl,--build-id=sha1"];
    let program = build("values.rs", "rustc", &flags);
    {
        let stopped = run_until_stop(&program.path);
        modules(&stopped, &directory).write_indexes().expect("written");
    }
    let before = indexes(&directory);
    let other = build("values.rs", "rustc", &["-g", "-Copt-level=2", "-Clink-arg=-Wl,--build-id=sha1"]);
    fs::rename(&other.path, &program.path).expect("replaced");
    let stopped = run_until_stop(&program.path);
    let without = capture(&stopped, &stopped.modules());
    assert_eq!(capture(&stopped, &modules(&stopped, &directory)), without);
    assert_eq!(modules(&stopped, &directory).write_indexes().expect("written"), 1);
    assert!(before.iter().all(|path| path.exists()));
    assert_eq!(capture(&stopped, &modules(&stopped, &directory)), without);
}
