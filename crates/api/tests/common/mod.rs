//! A daemon that only remembers what it was asked for, over one incident.

#![allow(dead_code, reason = "each test uses a part of it")]
#![allow(unreachable_pub, reason = "a module of several tests")]

use std::io::Write;
use std::sync::{Arc, Mutex};

use freezeframe_api::dto::{FleetAnswer, HistoryAnswer, HistoryColumn};
use freezeframe_api::words::rfc3339;
use freezeframe_api::{
    Act, ActOutcome, BoxFuture, Change, Control, ControlError, Events, FoundSource, IncidentFile, Inspected,
    Known, SourceOrigin,
};
use freezeframe_histogram::{Histogram, Series};
use freezeframe_model::{
    Capture, Incident, IncidentId, InstanceId, InstanceRole, InstanceView, Note, Owner, Question, Record,
    Sightings, SourceLine, Timestamp,
};

mod sample;
pub mod wire;
pub use sample::{AT, record, sample};

/// A daemon with one incident.
pub struct Fake {
    /// Who did what.
    pub acts: Mutex<Vec<(String, IncidentId, Act)>>,
    /// Who asked what, and why.
    pub questions: Mutex<Vec<(String, Question, String)>>,
    /// What the next question comes to.
    pub inspected: Mutex<Result<Inspected, ControlError>>,
    /// What the next action leads to.
    pub answer: Mutex<Result<ActOutcome, ControlError>>,
    /// Who had the configuration read again, and whether it was a dry run.
    pub reloads: Mutex<Vec<(String, bool)>>,
    /// What that comes to.
    pub changes: Mutex<Result<Vec<Change>, ControlError>>,
    incident: Incident,
    capture: Arc<Capture>,
    record: Mutex<Record>,
    /// Who watches is told.
    pub events: Events,
}

impl Fake {
    /// A daemon with this incident.
    pub fn new((incident, capture): (Incident, Capture)) -> Self {
        let answer = Ok(ActOutcome { pid: Some(4121), message: "done".to_owned() });
        Self {
            acts: Mutex::default(),
            questions: Mutex::default(),
            inspected: Mutex::new(Err(ControlError::NotFound)),
            answer: Mutex::new(answer),
            record: Mutex::new(record(&incident.service)),
            reloads: Mutex::default(),
            changes: Mutex::new(Ok(Vec::new())),
            events: Events::default(),
            incident,
            capture: Arc::new(capture),
        }
    }
}

impl Control for Fake {
    fn incidents(&self, limit: usize) -> Result<Vec<Incident>, ControlError> {
        Ok(std::iter::repeat_n(self.incident.clone(), 2).take(limit).collect())
    }

    fn incident(&self, id: IncidentId) -> Result<Option<Known>, ControlError> {
        Ok((id == self.incident.id).then(|| (self.incident.clone(), Some(Arc::clone(&self.capture)))))
    }

    fn record(&self, _: IncidentId) -> Result<Record, ControlError> {
        Ok(self.record.lock().unwrap().clone())
    }

    fn sightings(&self, incident: &Incident) -> Result<Sightings, ControlError> {
        Ok(Sightings {
            first_seen: incident.captured_at,
            seen_before: 0,
            build_since: Some(Timestamp(incident.captured_at.0 - 38 * 60_000_000)),
            revision: None,
        })
    }

    fn file(
        &self,
        who: &str,
        id: IncidentId,
        file: IncidentFile,
        to: &mut dyn Write,
    ) -> Result<(), ControlError> {
        if id != self.incident.id {
            return Err(ControlError::NotFound);
        }
        // More than fits into what waits for a client.
        let text = format!("{who} {file:?}\n");
        let written = (0..100_000).try_for_each(|_| to.write_all(text.as_bytes()));
        written.map_err(|error| ControlError::Failed(error.to_string()))
    }

    fn note(&self, who: &str, id: IncidentId, text: &str) -> Result<Note, ControlError> {
        let mut record = self.record.lock().unwrap();
        let number = record.notes.len() as u64 + 1;
        let note = Note { id: number, at: AT, who: who.to_owned(), text: text.to_owned() };
        record.notes.push(note.clone());
        self.events.note(id, &note);
        Ok(note)
    }

    fn acknowledge(&self, who: &str, _: IncidentId) -> Result<Owner, ControlError> {
        let owner = Owner { who: who.to_owned(), at: AT };
        self.record.lock().unwrap().owner = Some(owner.clone());
        self.events.incident(&self.incident, Some(&owner));
        Ok(owner)
    }

    fn source(&self, incident: &Incident, file: &str, line: u32) -> Result<FoundSource, String> {
        if !file.ends_with("checkout.rs") {
            return Err(format!("none of the configured directories has {file}"));
        }
        let text = incident.message.clone();
        Ok(FoundSource {
            origin: SourceOrigin::Directory,
            from: format!("/srv/{file}"),
            lines: (1..=line + 9).map(|number| SourceLine { number, text: text.clone() }).collect(),
            doubt: Some("the file as it is now".to_owned()),
        })
    }

    fn link(&self, id: IncidentId) -> String {
        format!("https://freeze.example.org/i/{id}")
    }

    fn fleet(&self) -> BoxFuture<'_, FleetAnswer> {
        Box::pin(async { FleetAnswer { schema: "freezeframe-fleet/1".to_owned(), ..FleetAnswer::default() } })
    }

    fn history(&self, from: Timestamp, to: Timestamp) -> Result<HistoryAnswer, ControlError> {
        let inside = |at: &Timestamp| (from..=to).contains(at);
        let column = |at| HistoryColumn { at: rfc3339(at), ..HistoryColumn::default() };
        let columns = [AT, AT.plus_ms(10_000)].into_iter().filter(inside).map(column).collect();
        Ok(HistoryAnswer { columns, ..HistoryAnswer::default() })
    }

    fn events(&self) -> &Events {
        &self.events
    }

    fn durations(&self) -> Vec<Series> {
        let mut histogram = Histogram::new();
        [1_000_000, 3_000_000].into_iter().for_each(|ns| histogram.record_ns(ns));
        let labels = [("route", "shop"), ("outcome", "ok"), ("part", "total")];
        vec![Series { labels: labels.map(|(name, value)| (name, value.to_owned())).to_vec(), histogram }]
    }

    fn reload(&self, who: &str, dry_run: bool) -> Result<Vec<Change>, ControlError> {
        self.reloads.lock().unwrap().push((who.to_owned(), dry_run));
        self.changes.lock().unwrap().clone()
    }

    fn instances(&self) -> BoxFuture<'_, Vec<InstanceView>> {
        let view = |id, role, pid, in_flight| InstanceView {
            id: InstanceId(id),
            role,
            pid,
            port: 40_000 + id as u16,
            since: AT,
            in_flight,
            armed: Ok(()),
            incident: None,
        };
        let why = self.incident.service.clone();
        Box::pin(async move {
            vec![
                InstanceView { incident: Some(IncidentId(42)), ..view(2, InstanceRole::Held, 4121, 1) },
                view(3, InstanceRole::Serving, 4188, 7),
                InstanceView {
                    armed: Err(format!("no symbols in {why}")),
                    ..view(4, InstanceRole::Spare, 4201, 0)
                },
            ]
        })
    }

    fn inspect(
        &self,
        who: &str,
        _: IncidentId,
        question: Question,
        reason: &str,
    ) -> BoxFuture<'_, Result<Inspected, ControlError>> {
        self.questions.lock().unwrap().push((who.to_owned(), question, reason.to_owned()));
        let inspected = self.inspected.lock().unwrap().clone();
        Box::pin(async move { inspected })
    }

    fn act(&self, who: &str, id: IncidentId, action: Act) -> BoxFuture<'_, Result<ActOutcome, ControlError>> {
        self.acts.lock().unwrap().push((who.to_owned(), id, action));
        let answer = self.answer.lock().unwrap().clone();
        Box::pin(async move { answer })
    }
}
