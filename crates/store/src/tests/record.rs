//! Notes, owners, audit trails and builds: bounded, durable, and part of an exported capsule.

use freezeframe_model::{BuildId, IncidentId, Timestamp};

use super::{incident, open, record, record_as};
use crate::{Quota, Store, StoreError};

#[test]
fn what_people_write_and_do_is_kept_per_incident() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(dir.path());
    let (one, other) = (record(&store, 1).id, record(&store, 1).id);
    assert_eq!(store.record(one).expect("readable"), freezeframe_model::Record::default());
    let first = store.note(one, "ada", "rates are empty").expect("written");
    store.note(other, "bob", "not mine").expect("written");
    let second = store.note(one, "ada", &"x".repeat(5000)).expect("written");
    assert!(second.id > first.id && second.text.len() == 4000);
    store.audit("ada", "extend", Some(one), "instance 2").expect("written");
    store.audit("bob", "kill", Some(other), "").expect("written");
    store.acknowledge(one, "ada").expect("written");
    let owner = store.acknowledge(one, "bob").expect("written");
    drop(store);
    let read = Store::open_read_only(dir.path()).expect("a store").record(one).expect("readable");
    assert_eq!(read.notes, [first, second]);
    assert_eq!(read.owner, Some(owner));
    let actions: Vec<_> = read.audit.iter().map(|entry| (entry.who.as_str(), entry.what.as_str())).collect();
    assert_eq!(actions, [("ada", "extend")]);
    // A change of the incident itself takes none of it away.
    let store = open(dir.path());
    let mut changed = store.incident(one).expect("readable").expect("there");
    changed.requests_lost = 9;
    store.update(&changed).expect("written");
    assert_eq!(store.owner(one).expect("readable").map(|owner| owner.who).as_deref(), Some("bob"));
}

#[test]
fn notes_are_bounded_and_belong_to_an_incident() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(dir.path());
    let id = record(&store, 1).id;
    for n in 0..500 {
        store.note(id, "ada", &n.to_string()).expect("written");
    }
    assert!(matches!(store.note(id, "ada", "one more"), Err(StoreError::Full { .. })));
    for missing in [IncidentId(99), IncidentId(u64::MAX)] {
        assert!(matches!(store.note(missing, "ada", "x"), Err(StoreError::NoIncident(_))));
        assert!(matches!(store.acknowledge(missing, "ada"), Err(StoreError::NoIncident(_))));
    }
}

#[test]
fn notes_go_with_their_incident_and_a_later_one_does_not_inherit_them() {
    let dir = tempfile::tempdir().expect("a directory");
    let quota = Quota { files: 4, ..Quota::default() };
    let store = Store::open(dir.path(), quota).expect("a store");
    let first = record(&store, 1).id;
    store.note(first, "ada", "gone soon").expect("written");
    for _ in 0..6 {
        record(&store, 1);
    }
    assert_eq!(store.incident(first).expect("readable"), None);
    assert_eq!(store.record(first).expect("readable").notes, []);
}

#[test]
fn an_exported_capsule_carries_them_and_an_import_says_where_from() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(dir.path());
    let id = record(&store, 1).id;
    store.note(id, "ada", "<b>rates</b> are empty").expect("written");
    store.acknowledge(id, "ada").expect("written");
    store.audit("ada", "release", Some(id), "instance 2").expect("written");
    let mut file = Vec::new();
    store.export(id, false, &mut file).expect("exported");
    let elsewhere = tempfile::tempdir().expect("a directory");
    let store = open(elsewhere.path());
    let id = store.import(&mut &file[..]).expect("imported");
    let read = store.record(id).expect("readable");
    assert_eq!(read.notes[0].text, "<b>rates</b> are empty");
    assert_eq!(read.owner.map(|owner| owner.who).as_deref(), Some("ada"));
    assert_eq!(read.audit.last().map(|entry| entry.detail.as_str()), Some("recorded elsewhere: instance 2"));
}

#[test]
fn an_error_is_known_from_before_and_so_is_its_build() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(dir.path());
    let at = |seconds: i64| Timestamp(1_700_000_000_000_000 + seconds * 1_000_000);
    let first = record_as(&store, 1, |incident| incident.captured_at = at(10));
    assert_eq!(store.sightings(&first).expect("readable").seen_before, 0);
    store.count(first.fingerprint, 4, at(20)).expect("counted");
    let second = record_as(&store, 1, |incident| incident.captured_at = at(30));
    store.build_seen(&second.build_id, at(5), Some("3fa9c1e")).expect("written");
    store.build_seen(&second.build_id, at(25), None).expect("written");
    store.build_seen(&BuildId::default(), at(25), None).expect("nothing to remember");
    let known = store.sightings(&second).expect("readable");
    assert_eq!((known.first_seen, known.seen_before), (at(10), 5));
    assert_eq!((known.build_since, known.revision.as_deref()), (Some(at(5)), Some("3fa9c1e")));
    assert_eq!(store.builds(at(0), at(9)).expect("readable"), [(second.build_id.to_string(), at(5))]);
    let mut other = incident(IncidentId(99));
    other.fingerprint = freezeframe_model::Fingerprint([9; 16]);
    other.build_id = BuildId(vec![9]);
    let new = store.sightings(&other).expect("readable");
    assert_eq!((new.first_seen, new.seen_before, new.build_since), (other.captured_at, 0, None));
}

#[test]
fn a_data_directory_of_an_older_version_is_opened_and_goes_on() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(dir.path());
    let id = record(&store, 1).id;
    drop(store);
    let db = rusqlite::Connection::open(dir.path().join("incidents.db")).expect("a database");
    // As the first version left it.
    db.execute_batch(
        "DROP TABLE notes; DROP TABLE builds; DROP INDEX audit_by_incident;
         DROP TABLE accounts; DROP TABLE script_tokens;
         ALTER TABLE incidents DROP COLUMN owner; ALTER TABLE incidents DROP COLUMN acknowledged_at;",
    )
    .expect("taken away");
    db.pragma_update(None, "user_version", 1).expect("set back");
    drop(db);
    let store = open(dir.path());
    assert!(store.incident(id).expect("readable").is_some());
    store.note(id, "ada", "still works").expect("written");
    store.acknowledge(id, "ada").expect("written");
}
