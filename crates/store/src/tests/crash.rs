//! Crashes: acknowledged means durable, and what was not acknowledged leaves nothing broken behind.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use freezeframe_model::{IncidentId, IncidentState};

use super::{capsule_names, capture, losses, open, record};

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        fs::copy(entry.path(), to.join(entry.file_name())).expect("a copy");
    }
}

#[test]
fn half_written_and_half_removed_things_are_swept_away() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(dir.path());
    let stored = record(&store, 10);
    drop(store);
    let capsules = dir.path().join("capsules");
    for name in [".tmp-INC-2", ".tmp-gone-INC-3"] {
        copy_tree(&capsules.join("INC-1"), &capsules.join(name));
    }
    fs::write(capsules.join(".tmp-import-0"), "half a core").expect("a file");
    fs::write(capsules.join("INC-1/.tmp-core.zst"), "half a core").expect("a file");
    fs::write(capsules.join("notes.txt"), "somebody else's").expect("a file");
    fs::write(capsules.join("INC-5"), "not even a directory").expect("a file");
    let store = open(dir.path());
    assert_eq!(capsule_names(&store), ["INC-1", "INC-5", "notes.txt"]);
    assert!(!capsules.join("INC-1/.tmp-core.zst").exists());
    assert_eq!(store.list(9).expect("readable"), [stored]);
    assert_eq!(store.next_id().expect("an id"), IncidentId(2));
}

#[test]
fn a_capsule_without_a_row_is_adopted() {
    let elsewhere = tempfile::tempdir().expect("a directory");
    let source = open(elsewhere.path());
    record(&source, 10);
    let stored = record(&source, 10);
    let dir = tempfile::tempdir().expect("a directory");
    drop(open(dir.path()));
    let capsules = dir.path().join("capsules");
    copy_tree(&elsewhere.path().join("capsules/INC-2"), &capsules.join("INC-2"));
    // Lies about its number; has no incident; has one that is cut off; spells its name in another way.
    copy_tree(&elsewhere.path().join("capsules/INC-2"), &capsules.join("INC-7"));
    fs::create_dir(capsules.join("INC-8")).expect("a directory");
    fs::create_dir(capsules.join("INC-9")).expect("a directory");
    fs::write(capsules.join("INC-9/incident.json"), r#"{"format":"freezeframe-incident/1","#)
        .expect("a file");
    copy_tree(&elsewhere.path().join("capsules/INC-2"), &capsules.join("inc-10"));
    let store = open(dir.path());
    assert_eq!(store.list(9).expect("readable"), [stored]);
    assert_eq!(store.capture(IncidentId(2)).expect("readable"), Some(capture(IncidentId(2), 10)));
    assert_eq!(
        store.next_id().expect("an id"),
        IncidentId(10),
        "numbers of damaged capsules are not given again"
    );
    assert!(capsules.join("INC-9").is_dir(), "what cannot be read is left for a person");
}

#[test]
fn a_row_without_its_capsule_says_so() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(dir.path());
    let stored = record(&store, 10);
    drop(store);
    fs::remove_dir_all(dir.path().join("capsules/INC-1")).expect("removed");
    let store = open(dir.path());
    let read = store.incident(stored.id).expect("readable").expect("an incident");
    assert_eq!(losses(&read), ["capture (threads, frames, variables)"]);
    assert_eq!(store.capture(stored.id).expect("readable"), None);
    assert_eq!(store.usage().expect("readable").files, 0);
}

#[test]
fn a_lost_database_is_rebuilt_from_the_capsules() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(dir.path());
    let stored = [record(&store, 10), record(&store, 10)];
    drop(store);
    for name in ["incidents.db", "incidents.db-wal", "incidents.db-shm"] {
        let _ = fs::remove_file(dir.path().join(name));
    }
    let store = open(dir.path());
    let mut found = store.list(9).expect("readable");
    found.reverse();
    assert_eq!(found, stored);
    assert_eq!(store.next_id().expect("an id"), IncidentId(3));
}

const CHILD: &str = "FREEZEFRAME_STORE_TEST_CHILD";

/// The child's side of the test below: writes until it is killed, and says what was acknowledged.
#[test]
fn child_that_writes_until_it_is_killed() {
    let Some(dir) = std::env::var_os(CHILD) else { return };
    let store = open(Path::new(&dir));
    let mut out = std::io::stdout();
    loop {
        let mut stored = record(&store, 20_000);
        writeln!(out, "acknowledged {}", stored.id.0).expect("a parent");
        stored.state = IncidentState::Released;
        store.update(&stored).expect("stored");
        let mut core = store.core_writer(stored.id, 1 << 20).expect("a core");
        core.write_all(&[1; 5000]).expect("room");
        core.commit().expect("stored");
        writeln!(out, "core {}", stored.id.0).expect("a parent");
    }
}

#[test]
fn what_was_acknowledged_survives_kill_9() {
    let dir = tempfile::tempdir().expect("a directory");
    let (mut acknowledged, mut cores) = (Vec::new(), Vec::new());
    for round in 0..8 {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "tests::crash::child_that_writes_until_it_is_killed", "--nocapture"])
            .env(CHILD, dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("a child");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines().map_while(Result::ok);
        let mut take = |line: &str| {
            // The test harness writes to the same pipe, without a line end of its own.
            let number = |word: &str| line.split(word).nth(1).and_then(|number| number.trim().parse().ok());
            number("acknowledged ").into_iter().for_each(|id| acknowledged.push(IncidentId(id)));
            number("core ").into_iter().for_each(|id| cores.push(IncidentId(id)));
        };
        for line in lines.by_ref().take(4 + 3 * round) {
            take(&line);
        }
        child.kill().expect("a running child");
        child.wait().expect("a dead child");
        // What was in the pipe already was acknowledged as well.
        lines.for_each(|line| take(&line));

        let store = open(dir.path());
        let left: Vec<_> =
            capsule_names(&store).into_iter().filter(|name| !name.starts_with("INC-")).collect();
        assert_eq!(left, [""; 0]);
        for id in &acknowledged {
            let incident = store.incident(*id).expect("readable").expect("acknowledged");
            assert_eq!(incident.message, format!("attempt to divide {id} by zero"));
            assert_eq!(incident.not_captured, []);
            assert_eq!(store.capture(*id).expect("readable"), Some(capture(*id, 20_000)));
        }
        for id in &cores {
            let mut core = Vec::new();
            assert!(store.copy_core(*id, 1 << 20, &mut core).expect("readable"));
            assert_eq!(core, [1; 5000]);
        }
        let known = store.list(usize::MAX).expect("readable");
        assert!(known.iter().all(|incident| store.capture(incident.id).expect("readable").is_some()));
    }
    assert!(acknowledged.len() > 20 && cores.len() > 10, "{} and {}", acknowledged.len(), cores.len());
}
