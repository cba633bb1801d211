//! No room: the quota, a disk that fills up (a fake one and a real one), a database that cannot grow.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use freezeframe_model::{Fingerprint, IncidentId, IncidentState};

use super::{capsule_names, capture, incident, losses, open, record, record_as};
use crate::medium::{Disk, Medium, Sink};
use crate::{Quota, Store};

const NOTHING: &str = "capture (threads, frames, variables)";

fn with_quota(dir: &Path, bytes: u64, fingerprint_share: f64) -> Store {
    Store::open(dir, Quota { bytes, fingerprint_share, ..Quota::default() }).expect("a store")
}

#[test]
fn the_oldest_capsules_make_room_and_their_rows_say_so() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = with_quota(dir.path(), 200_000, 1.0);
    let held = record_as(&store, 50_000, |incident| incident.state = IncidentState::Held);
    for _ in 0..10 {
        let stored = record(&store, 50_000);
        assert_eq!(losses(&stored), [""; 0]);
        assert!(store.usage().expect("readable").bytes <= 200_000);
    }
    let gone = store.incident(IncidentId(2)).expect("readable").expect("its row");
    assert_eq!(losses(&gone), [NOTHING]);
    assert!(gone.not_captured[0].why.contains("the quota of 200000 bytes"), "{}", gone.not_captured[0].why);
    assert_eq!(store.capture(IncidentId(2)).expect("readable"), None);
    assert!(store.capture(held.id).expect("readable").is_some(), "what is held is never given up");
    assert!(store.capture(IncidentId(11)).expect("readable").is_some());
    assert_eq!(store.list(99).expect("readable").len(), 11);
    drop(store);
    let again = open(dir.path()).incident(IncidentId(2)).expect("readable").expect("its row");
    assert_eq!(losses(&again), [NOTHING]);
}

#[test]
fn one_fingerprint_cannot_push_out_the_others() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = with_quota(dir.path(), 400_000, 0.5);
    let rare = record_as(&store, 50_000, |incident| incident.fingerprint = Fingerprint([1; 16]));
    for _ in 0..20 {
        record(&store, 50_000);
    }
    assert!(store.capture(rare.id).expect("readable").is_some());
    let of_storm = capsule_names(&store).len() - 1;
    assert!((2..=5).contains(&of_storm), "{of_storm}");
}

#[test]
fn what_does_not_fit_gets_smaller_step_by_step() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = with_quota(dir.path(), 20_000, 1.0);
    let stored = record(&store, 50_000);
    assert_eq!(losses(&stored), ["variables of all frames"]);
    let kept = store.capture(stored.id).expect("readable").expect("a smaller capture");
    assert_eq!(kept.threads.len(), 2);
    assert!(kept.threads.iter().flat_map(|thread| &thread.frames).all(|frame| frame.variables.is_empty()));
    assert_eq!(store.incident(stored.id).expect("readable"), Some(stored));

    // So many other threads that only the failing one fits.
    let id = store.next_id().expect("an id");
    let mut many = capture(id, 50_000);
    let mut random = fastrand::Rng::with_seed(1);
    for other in 3..4000 {
        let mut thread = many.threads[1].clone();
        thread.id = other;
        thread.name = std::iter::repeat_with(|| random.alphanumeric()).take(15).collect();
        many.threads.push(thread);
    }
    let mut crowded = incident(id);
    store.insert(&mut crowded, Some(&many)).expect("stored");
    assert_eq!(losses(&crowded), ["variables of all frames", "stacks of the other threads and of tasks"]);
    assert_eq!(store.capture(id).expect("readable").expect("a stack").threads.len(), 1);

    drop(store);
    let store = with_quota(dir.path(), 1, 1.0);
    let stored = record(&store, 50_000);
    assert_eq!(losses(&stored), [NOTHING, "capsule directory"]);
    assert_eq!(store.incident(stored.id).expect("readable"), Some(stored));
}

#[test]
fn rows_are_bounded_too_and_removals_are_in_the_audit_log() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = Store::open(dir.path(), Quota { files: 8, ..Quota::default() }).expect("a store");
    let held = record_as(&store, 10, |incident| incident.state = IncidentState::Held);
    for _ in 0..20 {
        record(&store, 10);
    }
    let known = store.list(99).expect("readable");
    assert_eq!(known.len(), 8);
    assert_eq!(known.last().map(|incident| incident.id), Some(held.id));
    let usage = store.usage().expect("readable");
    assert!(usage.files <= 8, "{usage:?}");
    let log = store.audit_log(99).expect("readable");
    assert_eq!(log.len(), 13);
    assert_eq!((log[12].what.as_str(), log[12].incident), ("remove incident", Some(IncidentId(2))));
}

#[test]
fn cores_are_written_under_the_quota() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = with_quota(dir.path(), 1_000_000, 1.0);
    let old = record(&store, 300_000);
    let stored = record(&store, 10);
    let mut random = fastrand::Rng::with_seed(1);
    let noise: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(900_000).collect();

    let mut core = store.core_writer(stored.id, 1 << 30).expect("a core");
    assert!(store.core_writer(stored.id, 1).is_err(), "one at a time");
    let error = core.write_all(&noise).and_then(|()| core.write_all(&noise)).expect_err("too much");
    assert_eq!(error.kind(), io::ErrorKind::QuotaExceeded);
    drop(core);
    assert_eq!(store.core_path(stored.id), None);

    let mut core = store.core_writer(stored.id, 1000).expect("a core");
    core.write_all(&noise).and_then(|()| core.flush()).expect_err("more than was allowed");
    drop(core);

    let mut core = store.core_writer(stored.id, 950_000).expect("a core");
    core.write_all(&noise).expect("room, after the old capsule went");
    let size = core.commit().expect("kept");
    assert!((900_000..950_000).contains(&size), "{size}");
    assert!(store.core_path(stored.id).is_some());
    assert_eq!(store.capture(old.id).expect("readable"), None);
    let usage = store.usage().expect("readable");
    assert!(usage.bytes > 900_000 && usage.bytes < 1_000_000 && usage.files == 3, "{usage:?}");
    let mut copy = Vec::new();
    assert!(store.copy_core(stored.id, 900_000, &mut copy).expect("readable"));
    assert!(copy == noise);
    assert!(store.copy_core(stored.id, 899_999, &mut io::sink()).is_err());
    assert!(!store.copy_core(old.id, 1, &mut io::sink()).expect("readable"));

    // The capsule of this one is gone; its core can still be kept.
    let mut core = store.core_writer(old.id, 1000).expect("a core");
    core.write_all(b"ELF").expect("room");
    core.commit().expect("kept");
    let read = store.incident(old.id).expect("readable").expect("its row");
    assert_eq!(losses(&read), [NOTHING]);
    assert!(store.core_path(old.id).is_some());
}

/// A disk with room for a number of bytes below one directory.
struct SmallDisk {
    root: PathBuf,
    bytes: u64,
}

struct SmallFile {
    file: Box<dyn Sink>,
    root: PathBuf,
    bytes: u64,
}

fn taken(path: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(path) else { return 0 };
    let size = |entry: io::Result<std::fs::DirEntry>| {
        let Ok(entry) = entry else { return 0 };
        let Ok(metadata) = entry.metadata() else { return 0 };
        if metadata.is_dir() { taken(&entry.path()) } else { metadata.len() }
    };
    entries.map(size).sum()
}

impl Medium for SmallDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn Sink>> {
        let file = Disk.create(path)?;
        Ok(Box::new(SmallFile { file, root: self.root.clone(), bytes: self.bytes }))
    }
}

impl Write for SmallFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let free = self.bytes.saturating_sub(taken(&self.root));
        match bytes.len().min(usize::try_from(free).unwrap_or(usize::MAX)) {
            0 if !bytes.is_empty() => Err(io::ErrorKind::StorageFull.into()),
            // As on a real disk, the part that fits is written.
            length => self.file.write(&bytes[..length]),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Sink for SmallFile {
    fn sync(&mut self) -> io::Result<()> {
        self.file.sync()
    }
}

#[test]
fn on_a_full_disk_old_capsules_go_first_and_then_the_new_one_shrinks() {
    let dir = tempfile::tempdir().expect("a directory");
    let disk = SmallDisk { root: dir.path().join("capsules"), bytes: 150_000 };
    let store = Store::open_on(dir.path(), Quota::default(), Box::new(disk)).expect("a store");
    for _ in 0..5 {
        assert_eq!(losses(&record(&store, 50_000)), [""; 0]);
    }
    let first = store.incident(IncidentId(1)).expect("readable").expect("its row");
    assert_eq!(first.not_captured[0].why, "the capsule was removed to make room: the disk was full");
    let large = record(&store, 300_000);
    assert_eq!(losses(&large), ["variables of all frames"]);
    assert_eq!(large.not_captured[0].why, "the disk is full");
    assert_eq!(capsule_names(&store), [large.id.to_string()], "no half-written capsule is left");

    let mut late = record(&store, 10);
    let arrived = capture(late.id, 300_000);
    store.set_capture(&mut late, &arrived).expect("stored");
    assert_eq!(losses(&late), ["variables of all frames"]);
    assert_eq!(store.incident(late.id).expect("readable"), Some(late));
}

#[test]
fn a_disk_without_any_room_still_takes_the_row() {
    let dir = tempfile::tempdir().expect("a directory");
    let disk = SmallDisk { root: dir.path().join("capsules"), bytes: 0 };
    let store = Store::open_on(dir.path(), Quota::default(), Box::new(disk)).expect("a store");
    let stored = record(&store, 10);
    assert_eq!(losses(&stored), [NOTHING, "capsule directory"]);
    drop(store);
    assert_eq!(open(dir.path()).incident(stored.id).expect("readable"), Some(stored));
}

#[test]
fn a_database_that_cannot_grow_gives_up_its_oldest_rows_last() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(dir.path());
    let held = record_as(&store, 10, |incident| incident.state = IncidentState::Held);
    for _ in 0..5 {
        record(&store, 10);
    }
    let pages: i64 = store.lock().db.query_row("PRAGMA page_count", [], |row| row.get(0)).expect("a number");
    store.lock().db.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(())).expect("a limit");
    for _ in 0..30 {
        let stored = record_as(&store, 10, |incident| incident.logs[0].text = "x".repeat(3000));
        assert_eq!(store.incident(stored.id).expect("readable").map(|it| it.message), Some(stored.message));
    }
    let known = store.list(99).expect("readable");
    assert!(known.len() >= 2 && known.len() < 36, "{}", known.len());
    assert_eq!(known.last().map(|incident| incident.id), Some(held.id));
}

/// A real file system of one MiB; unmounted when dropped.
struct Tmpfs {
    dir: tempfile::TempDir,
}

impl Tmpfs {
    #[expect(clippy::print_stderr, reason = "a test that cannot run has to say so")]
    fn mount() -> Option<Self> {
        let dir = tempfile::tempdir().expect("a directory");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=1m", "freezeframe-test"])
            .arg(dir.path())
            .output()
            .is_ok_and(|output| output.status.success());
        if mounted {
            return Some(Self { dir });
        }
        let required = std::env::var("FREEZEFRAME_REQUIRE_ALL").is_ok_and(|value| value == "1");
        assert!(!required, "cannot mount a tmpfs, and FREEZEFRAME_REQUIRE_ALL=1");
        eprintln!("SKIPPED: cannot mount a tmpfs (needs root), so nothing was tested on a really full disk");
        None
    }

    fn remount(&self, options: &str) {
        let status = Command::new("mount").args(["-o", options]).arg(self.dir.path()).status();
        assert!(status.is_ok_and(|status| status.success()), "cannot remount with {options}");
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.dir.path()).status();
    }
}

#[test]
fn a_really_full_disk_loses_no_acknowledged_incident() {
    let Some(tmpfs) = Tmpfs::mount() else { return };
    let dir = tmpfs.dir.path().join("data");
    let store = open(&dir);
    let mut stored = Vec::new();
    for size in [100, 100_000, 400_000, 10_000, 2_000_000] {
        for _ in 0..6 {
            stored.push(record(&store, size));
        }
    }
    // Somebody else takes everything that is left.
    let _ = std::fs::write(tmpfs.dir.path().join("somebody-else"), vec![1; 2 << 20]);
    for _ in 0..20 {
        stored.push(record(&store, 50_000));
    }
    let check = |store: &Store| {
        for incident in &stored {
            let read = store.incident(incident.id).expect("readable").expect("acknowledged");
            assert_eq!(read.message, incident.message);
            let capture = store.capture(incident.id).expect("readable");
            let explained = read.not_captured.iter().any(|loss| loss.what == NOTHING);
            assert_eq!(capture.is_none(), explained, "{} is silent about its capture", incident.id);
        }
    };
    check(&store);
    store.audit("ann", "look", None, "").expect("room for the audit log");
    drop(store);
    check(&open(&dir));
}

#[test]
fn a_read_only_file_system_can_be_read() {
    let Some(tmpfs) = Tmpfs::mount() else { return };
    let dir = tmpfs.dir.path().join("data?#%");
    let store = open(&dir);
    let stored = record(&store, 100);
    drop(store);
    tmpfs.remount("remount,ro");
    let reader = Store::open_read_only(&dir).expect("a reader");
    assert_eq!(reader.incident(stored.id).expect("readable"), Some(stored));
}
