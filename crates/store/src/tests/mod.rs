//! The store from outside, and on a disk that fills up.

mod crash;
mod full;
mod record;
mod records;
mod transfer;

use std::path::Path;

use freezeframe_model::{
    BuildId, Capture, FailingRequest, Fingerprint, Frame, HoldFacts, Incident, IncidentId, IncidentKind,
    IncidentState, InstanceId, LogLine, Site, Stream, Thread, Timestamp, Timings, Value, Variable,
};

use crate::{Quota, Store};

/// Everything about an incident follows from its id, so that a reader can tell whether it is whole.
pub(crate) fn incident(id: IncidentId) -> Incident {
    Incident {
        id,
        kind: IncidentKind::Panic,
        state: IncidentState::Recorded,
        message: format!("attempt to divide {id} by zero"),
        fingerprint: Fingerprint([7; 16]),
        site: Site { function: "cart::total".to_owned(), file: "src/cart.rs".to_owned(), line: 41 },
        service: "shop".to_owned(),
        instance: InstanceId(3),
        build_id: BuildId(vec![1, 2, 3]),
        captured_at: Timestamp(1_700_000_000_000_000),
        updated_at: Timestamp(1_700_000_000_000_000),
        count: 1,
        timings: Timings::default(),
        hold: HoldFacts::default(),
        request: FailingRequest::default(),
        logs: vec![LogLine { at: Timestamp(1), stream: Stream::Stderr, text: format!("log of {id}") }],
        requests_lost: 0,
        not_captured: Vec::new(),
    }
}

/// Two threads, of which the failing one has a variable with `bytes` bytes that cannot be compressed away.
pub(crate) fn capture(id: IncidentId, bytes: usize) -> Capture {
    let mut random = fastrand::Rng::with_seed(id.0);
    let noise: String = std::iter::repeat_with(|| random.alphanumeric()).take(bytes).collect();
    let variable = |name: &str, text: String| Variable {
        name: name.to_owned(),
        value: Value::Text(text),
        ..Variable::default()
    };
    let frame = |variables| Frame { function: "cart::total".to_owned(), variables, ..Frame::default() };
    let failing = Thread {
        id: 1,
        failing: true,
        frames: vec![frame(vec![variable("noise", noise), variable("id", id.to_string())])],
        ..Thread::default()
    };
    let other =
        Thread { id: 2, frames: vec![frame(vec![variable("x", "1".to_owned())])], ..Thread::default() };
    Capture { threads: vec![failing, other], ..Capture::default() }
}

pub(crate) fn open(dir: &Path) -> Store {
    Store::open(dir, Quota::default()).expect("a store")
}

/// Stores a new incident and returns it as it was acknowledged.
pub(crate) fn record(store: &Store, bytes: usize) -> Incident {
    record_as(store, bytes, |_| {})
}

pub(crate) fn record_as(store: &Store, bytes: usize, change: impl FnOnce(&mut Incident)) -> Incident {
    let id = store.next_id().expect("an id");
    let mut incident = incident(id);
    change(&mut incident);
    store.insert(&mut incident, Some(&capture(id, bytes))).expect("stored");
    incident
}

pub(crate) fn losses(incident: &Incident) -> Vec<&str> {
    incident.not_captured.iter().map(|loss| loss.what.as_str()).collect()
}

/// The names of everything in the capsule directory, sorted.
pub(crate) fn capsule_names(store: &Store) -> Vec<String> {
    let entries = std::fs::read_dir(store.dir().join("capsules")).expect("a directory");
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}
