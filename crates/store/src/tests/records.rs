//! Incidents, counters, occurrences, audit: what is written can be read again.

use std::os::unix::fs::PermissionsExt;

use expect_test::expect;
use freezeframe_model::{
    Capture, Fingerprint, Frame, IncidentId, IncidentState, Thread, Timestamp, Variable,
};

use super::{capture, incident, open, record, record_as};
use crate::{AuditEntry, Quota, Store, StoreError};

#[test]
fn an_incident_and_its_capture_survive_a_restart() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("nested/data");
    let store = open(&path);
    let stored = record(&store, 1000);
    drop(store);
    let store = open(&path);
    assert_eq!(store.incident(stored.id).expect("readable"), Some(stored.clone()));
    assert_eq!(store.capture(stored.id).expect("readable"), Some(capture(stored.id, 1000)));
    assert_eq!(store.incident(IncidentId(99)).expect("readable"), None);
    assert_eq!(store.incident(IncidentId(u64::MAX)).expect("readable"), None);
    assert_eq!(store.capture(IncidentId(99)).expect("readable"), None);
    for name in ["", "capsules", "incidents.db", "capsules/INC-1", "capsules/INC-1/incident.json"] {
        let mode = path.join(name).metadata().expect(name).permissions().mode();
        assert_eq!(mode & 0o077, 0, "{name} is open to others: {mode:o}");
    }
}

#[test]
fn numbers_are_never_given_twice() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(dir.path());
    assert_eq!(store.next_id().expect("an id"), IncidentId(1));
    assert_eq!(store.next_instance_id().expect("an id").0, 1);
    drop(store);
    let store = open(dir.path());
    assert_eq!(store.next_id().expect("an id"), IncidentId(2));
    assert_eq!(store.next_instance_id().expect("an id").0, 2);
    let sql = "UPDATE counters SET value = 4294967295";
    store.lock().db.execute(sql, []).expect("a counter");
    assert!(matches!(store.next_instance_id(), Err(StoreError::Exhausted("instance"))));
}

#[test]
fn updates_and_late_captures_are_kept_in_the_row_and_the_copy() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(dir.path());
    let id = store.next_id().expect("an id");
    let mut held = incident(id);
    held.state = IncidentState::Held;
    store.insert(&mut held, None).expect("stored");
    assert_eq!(held.not_captured, []);
    assert_eq!(store.live().expect("readable"), [held.clone()]);
    store.set_capture(&mut held, &capture(id, 10)).expect("stored");
    held.state = IncidentState::Released;
    held.updated_at = Timestamp(5);
    store.update(&held).expect("stored");
    assert_eq!(store.live().expect("readable"), []);
    assert_eq!(store.incident(id).expect("readable"), Some(held.clone()));
    assert_eq!(store.capture(id).expect("readable"), Some(capture(id, 10)));
    let copy = std::fs::read(dir.path().join("capsules/INC-1/incident.json")).expect("a copy");
    assert_eq!(crate::format::decode_incident(&copy, "it").expect("readable"), held);

    held.id = IncidentId(77);
    assert!(matches!(store.update(&held), Err(StoreError::NoIncident(IncidentId(77)))));
    assert!(matches!(
        store.set_capture(&mut held, &capture(id, 1)),
        Err(StoreError::NoIncident(IncidentId(77)))
    ));
    assert!(matches!(store.insert(&mut incident(id), None), Err(StoreError::Exists(_))));
    assert_eq!(super::capsule_names(&store), ["INC-1"]);
}

#[test]
fn lists_are_newest_first_and_counts_go_to_the_newest() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(dir.path());
    let other = Fingerprint([9; 16]);
    for fingerprint in [Fingerprint([7; 16]), Fingerprint([7; 16]), other] {
        record_as(&store, 1, |incident| incident.fingerprint = fingerprint);
    }
    let numbers = |limit| -> Vec<u64> {
        store.list(limit).expect("readable").iter().map(|incident| incident.id.0).collect()
    };
    assert_eq!(numbers(2), [3, 2]);
    assert_eq!(numbers(usize::MAX), [3, 2, 1]);

    let fingerprint = Fingerprint([7; 16]);
    store.count(fingerprint, 40, Timestamp(1)).expect("counted");
    store.count(fingerprint, 2, Timestamp(2)).expect("counted");
    store.count(Fingerprint([1; 16]), u64::MAX, Timestamp(2)).expect("counted");
    store.count(Fingerprint([1; 16]), u64::MAX, Timestamp(2)).expect("counted");
    let newest = store.newest_of(fingerprint).expect("readable").expect("an incident");
    assert_eq!((newest.id, newest.count), (IncidentId(2), 43));
    assert_eq!(store.counted(fingerprint).expect("readable"), 42);
    assert_eq!(store.counted(Fingerprint([1; 16])).expect("readable"), i64::MAX as u64);
    // A caller that does not know of the counted ones does not undo them.
    let mut stale = newest;
    stale.count = 1;
    store.update(&stale).expect("stored");
    assert_eq!(store.incident(stale.id).expect("readable").expect("an incident").count, 43);
}

#[test]
fn the_audit_log_is_kept_in_order_and_bounded() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(dir.path());
    store.audit("ann", "release", Some(IncidentId(1)), "went on").expect("written");
    store.audit(&"x".repeat(1000), "login", None, &"y".repeat(10_000)).expect("written");
    let log = store.audit_log(10).expect("readable");
    let [second, first] = log.as_slice() else { panic!("two entries expected, not {}", log.len()) };
    let AuditEntry { who, what, incident, detail, .. } = first;
    assert_eq!((who.as_str(), what.as_str(), detail.as_str()), ("ann", "release", "went on"));
    assert_eq!(*incident, Some(IncidentId(1)));
    assert_eq!((second.who.len(), second.detail.len()), (256, 4096));
    store.lock().db.execute("UPDATE audit SET id = 1000000 WHERE id = 2", []).expect("moved");
    store.audit("ann", "logout", None, "").expect("written");
    assert_eq!(store.audit_log(10).expect("readable").len(), 2, "the oldest entry is beyond the limit");
}

#[test]
fn readers_see_what_a_writer_writes_and_change_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    assert!(matches!(Store::open_read_only(dir.path()), Err(StoreError::NotFound(_))));
    let writer = open(dir.path());
    let reader = Store::open_read_only(dir.path()).expect("a reader beside the writer");
    let stored = record(&writer, 10);
    assert_eq!(reader.incident(stored.id).expect("readable"), Some(stored.clone()));
    assert!(matches!(reader.next_id(), Err(StoreError::ReadOnly)));
    assert!(matches!(reader.audit("a", "b", None, ""), Err(StoreError::ReadOnly)));
    assert!(matches!(Store::open(dir.path(), Quota::default()), Err(StoreError::InUse(_))));
    drop(writer);
    assert_eq!(reader.list(9).expect("readable"), [stored]);
}

#[test]
fn newer_formats_are_refused_by_name() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(dir.path());
    let stored = record(&store, 10);
    let newer = r#"{"format":"freezeframe-incident/9","something":"else"}"#;
    store.lock().db.execute("UPDATE incidents SET body = ?1", [newer]).expect("changed");
    let error = store.incident(stored.id).expect_err("a newer row");
    expect!["INC-1 has format version 9, but only versions up to 1 are understood: upgrade freezeframe"]
        .assert_eq(&error.to_string());
    assert_eq!(store.list(10).expect("the others"), []);
    store.lock().db.pragma_update(None, "user_version", 9).expect("a version");
    drop(store);
    let expected =
        "incidents.db has format version 9, but only versions up to 3 are understood: upgrade freezeframe";
    assert_eq!(Store::open(dir.path(), Quota::default()).expect_err("newer").to_string(), expected);
    assert_eq!(Store::open_read_only(dir.path()).expect_err("newer").to_string(), expected);
}

#[test]
fn deeply_nested_variables_are_cut_where_they_could_not_be_read_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(dir.path());
    let mut list = Variable::default();
    for _ in 0..500 {
        list = Variable { children: vec![list], ..Variable::default() };
    }
    let frame = Frame { variables: vec![list], ..Frame::default() };
    let deep =
        Capture { threads: vec![Thread { frames: vec![frame], ..Thread::default() }], ..Capture::default() };
    let id = store.next_id().expect("an id");
    store.insert(&mut incident(id), Some(&deep)).expect("stored");
    let read = store.capture(id).expect("readable").expect("a capture");
    assert_eq!(read.not_captured.len(), 1);
    let mut depth = 0;
    let mut variable = &read.threads[0].frames[0].variables[0];
    while let Some(child) = variable.children.first() {
        (variable, depth) = (child, depth + 1);
    }
    assert_eq!(depth, 48);
}

#[test]
fn an_incident_that_is_too_large_loses_its_logs_and_says_so() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(dir.path());
    let stored = record_as(&store, 10, |incident| incident.logs[0].text = "x".repeat(17 << 20));
    assert_eq!(super::losses(&stored), ["log lines", "journey"]);
    assert_eq!(store.incident(stored.id).expect("readable"), Some(stored));
}

#[test]
fn the_shape_on_disk_does_not_change_by_accident() {
    let text = crate::format::encode_incident(&incident(IncidentId(42))).expect("encoded");
    let value: serde_json::Value = serde_json::from_slice(&text).expect("json");
    expect![[r#"
        {
          "format": "freezeframe-incident/1",
          "incident": {
            "build_id": "010203",
            "captured_at": 1700000000000000,
            "count": 1,
            "fingerprint": "07070707070707070707070707070707",
            "hold": {
              "cgroup": null,
              "failing_tid": 0,
              "lease_until": 0,
              "network": "no",
              "pending_signal": 0,
              "pid": 0,
              "pid_start": 0,
              "resident_bytes": 0,
              "signal": 0,
              "strength": "none"
            },
            "id": "INC-42",
            "instance": 3,
            "kind": "panic",
            "logs": [
              {
                "at": 1,
                "stream": "stderr",
                "text": "log of INC-42"
              }
            ],
            "message": "attempt to divide INC-42 by zero",
            "not_captured": [],
            "request": {
              "in_flight": 0,
              "journey": [],
              "matched_by": "unknown",
              "others": [],
              "request": null
            },
            "requests_lost": 0,
            "service": "shop",
            "site": {
              "file": "src/cart.rs",
              "function": "cart::total",
              "line": 41
            },
            "state": "recorded",
            "timings": {
              "captured_us": null,
              "fingerprinted_us": null,
              "held_us": null,
              "replaced_us": null,
              "resumed_us": null,
              "stopped_us": null,
              "stored_us": null,
              "unrouted_us": null
            },
            "updated_at": 1700000000000000
          }
        }"#]]
    .assert_eq(&format!("{value:#}"));
}
