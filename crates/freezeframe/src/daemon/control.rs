//! The daemon as the API sees it.

use std::sync::Arc;

use freezeframe_api::dto::{FleetAnswer, HistoryAnswer, HistoryMarker};
use freezeframe_api::words::rfc3339;
use freezeframe_api::{
    Act, ActOutcome, BoxFuture, Change, Control, ControlError, Events, FoundSource, IncidentFile, Inspected,
    Known, SourceOrigin,
};
use freezeframe_evidence::SourcePlaces;
use freezeframe_histogram::Series;
use freezeframe_model::{
    Incident, IncidentId, InstanceView, Note, Owner, Question, Record, Sightings, Timestamp, chain,
};
use freezeframe_store::{Store, StoreError};
use tokio::sync::oneshot;

use super::actor::{Mailbox, Message};
use super::captures::Captures;
use super::pulse::{COLUMN_S, KEPT_S, Pulse};

/// A core of many gigabytes takes minutes.
const ACT_LIMIT: std::time::Duration = std::time::Duration::from_secs(600);

/// Incidents that are marked in the history.
const MARKERS_MAX: usize = 200;

/// Reads go to the store first, everything else to the actor.
pub(crate) struct Desk {
    pub(crate) store: Store,
    pub(crate) mailbox: Mailbox,
    /// Captures that were looked at lately.
    pub(crate) captures: Arc<Captures>,
    /// The fleet as of the last look.
    pub(crate) pulse: Arc<Pulse>,
    /// Where sources may be.
    pub(crate) places: SourcePlaces,
    /// Those who watch.
    pub(crate) events: Events,
    /// Addresses of pages.
    pub(crate) link: Box<dyn Fn(IncidentId) -> String + Send + Sync>,
    /// How long requests took, as the gate has it.
    pub(crate) durations: Box<dyn Fn() -> Vec<Series> + Send + Sync>,
    /// Reads the configuration again for somebody, or only looks what that would change.
    pub(crate) reload: Reload,
}

type Reload = Box<dyn Fn(&str, bool) -> Result<Vec<Change>, ControlError> + Send + Sync>;

fn failed(error: StoreError) -> ControlError {
    ControlError::Failed(chain(error))
}

/// What was to be written, or to be read out, was not.
fn written(error: StoreError) -> ControlError {
    match error {
        StoreError::NoIncident(_) => ControlError::NotFound,
        StoreError::Full { .. } => ControlError::Conflict(error.to_string()),
        other => failed(other),
    }
}

impl Desk {
    fn stored(&self, id: IncidentId) -> Result<Option<Known>, ControlError> {
        let Some(incident) = self.store.incident(id).map_err(failed)? else { return Ok(None) };
        Ok(Some((incident, self.captures.get(&self.store, id).map_err(failed)?)))
    }
}

impl Control for Desk {
    fn incidents(&self, limit: usize) -> Result<Vec<Incident>, ControlError> {
        self.store.list(limit).map_err(failed)
    }

    fn incident(&self, id: IncidentId) -> Result<Option<Known>, ControlError> {
        if let Some(stored) = self.stored(id)? {
            return Ok(Some(stored));
        }
        // A client is told of its incident before the disk has it, and where the disk is full much before.
        let (answer, answered) = oneshot::channel();
        self.mailbox.post(Message::Accepted(id, answer));
        let accepted = answered.blocking_recv().ok().flatten();
        Ok(self.stored(id)?.or(accepted.map(|incident| (*incident, None))))
    }

    fn record(&self, id: IncidentId) -> Result<Record, ControlError> {
        self.store.record(id).map_err(failed)
    }

    fn sightings(&self, incident: &Incident) -> Result<Sightings, ControlError> {
        self.store.sightings(incident).map_err(failed)
    }

    fn file(
        &self,
        who: &str,
        id: IncidentId,
        file: IncidentFile,
        to: &mut dyn std::io::Write,
    ) -> Result<(), ControlError> {
        match file {
            IncidentFile::Capsule => match self.store.export(id, false, to) {
                Err(StoreError::NoIncident(_)) => Err(ControlError::NotFound),
                other => other.map_err(failed),
            },
            IncidentFile::Core => {
                let path = self.store.core_path(id).ok_or(ControlError::NotFound)?;
                let mut core =
                    std::fs::File::open(path).map_err(|error| ControlError::Failed(chain(error)))?;
                self.store.audit(who, "core taken", Some(id), "").map_err(failed)?;
                let copied = std::io::copy(&mut core, to);
                copied.map(drop).map_err(|error| ControlError::Failed(chain(error)))
            }
        }
    }

    fn note(&self, who: &str, id: IncidentId, text: &str) -> Result<Note, ControlError> {
        let note = self.store.note(id, who, text).map_err(written)?;
        self.events.note(id, &note);
        Ok(note)
    }

    fn acknowledge(&self, who: &str, id: IncidentId) -> Result<Owner, ControlError> {
        let owner = self.store.acknowledge(id, who).map_err(written)?;
        let entry = self.store.audit(who, "acknowledge", Some(id), "").map_err(failed)?;
        self.events.audit(&entry);
        if let Some(incident) = self.store.incident(id).map_err(failed)? {
            self.events.incident(&incident, Some(&owner));
        }
        Ok(owner)
    }

    fn source(&self, incident: &Incident, file: &str, line: u32) -> Result<FoundSource, String> {
        let sightings = self.store.sightings(incident).map_err(chain)?;
        let found = self.places.find(file, line, sightings.revision.as_deref(), incident.captured_at)?;
        let origin = if found.is_git { SourceOrigin::Git } else { SourceOrigin::Directory };
        Ok(FoundSource { origin, from: found.from, lines: found.lines, doubt: found.doubt })
    }

    fn link(&self, id: IncidentId) -> String {
        (self.link)(id)
    }

    fn fleet(&self) -> BoxFuture<'_, FleetAnswer> {
        Box::pin(async { self.pulse.fleet() })
    }

    fn history(&self, from: Timestamp, to: Timestamp) -> Result<HistoryAnswer, ControlError> {
        let columns = self.pulse.columns(from, to);
        let mut markers = Vec::new();
        let oldest = Timestamp::now().0.saturating_sub(KEPT_S.saturating_mul(1_000_000));
        let since = from.max(Timestamp(oldest));
        for incident in self.store.list(MARKERS_MAX).map_err(failed)? {
            if (since..=to).contains(&incident.captured_at) {
                let text = incident.sentence();
                markers.push((incident.captured_at, "incident", Some(incident.id.to_string()), text));
            }
        }
        for (build, at) in self.store.builds(since, to).map_err(failed)? {
            let short: String = build.chars().take(7).collect();
            markers.push((at, "deploy", None, format!("build {short} serves for the first time")));
        }
        markers.sort_by_key(|(at, ..)| *at);
        let marker = |(at, kind, incident, text): (Timestamp, &str, _, _)| HistoryMarker {
            at: rfc3339(at),
            kind: kind.to_owned(),
            incident,
            text,
        };
        Ok(HistoryAnswer {
            schema: "freezeframe-fleet-history/1".to_owned(),
            column_s: COLUMN_S,
            columns,
            markers: markers.into_iter().map(marker).collect(),
        })
    }

    fn events(&self) -> &Events {
        &self.events
    }

    fn durations(&self) -> Vec<Series> {
        (self.durations)()
    }

    fn reload(&self, who: &str, dry_run: bool) -> Result<Vec<Change>, ControlError> {
        (self.reload)(who, dry_run)
    }

    fn instances(&self) -> BoxFuture<'_, Vec<InstanceView>> {
        Box::pin(async {
            let (answer, answered) = oneshot::channel();
            self.mailbox.send(Message::Instances(answer)).await;
            answered.await.unwrap_or_default()
        })
    }

    fn inspect(
        &self,
        who: &str,
        id: IncidentId,
        question: Question,
        reason: &str,
    ) -> BoxFuture<'_, Result<Inspected, ControlError>> {
        Box::pin(self.ask(who.to_owned(), id, question, reason.to_owned()))
    }

    fn act(
        &self,
        who: &str,
        incident: IncidentId,
        action: Act,
    ) -> BoxFuture<'_, Result<ActOutcome, ControlError>> {
        let who = who.to_owned();
        Box::pin(async move {
            let (answer, answered) = oneshot::channel();
            self.mailbox.send(Message::Act { who, incident, action, answer }).await;
            match tokio::time::timeout(ACT_LIMIT, answered).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(_)) => Err(ControlError::Failed("the daemon is stopping".to_owned())),
                Err(_) => Err(ControlError::TimedOut("the instance's shim does not answer".to_owned())),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use freezeframe_model::{ExitReason, InstanceId};

    fn incident(id: IncidentId) -> Incident {
        let fingerprint = freezeframe_model::Fingerprint([1; 16]);
        let kind = freezeframe_model::IncidentKind::Exit(ExitReason::Code(3).to_string());
        Incident {
            id,
            kind,
            state: freezeframe_model::IncidentState::Recorded,
            message: "it broke".to_owned(),
            fingerprint,
            site: freezeframe_model::Site::default(),
            service: "shop".to_owned(),
            instance: InstanceId(3),
            build_id: freezeframe_model::BuildId::default(),
            captured_at: freezeframe_model::Timestamp(1),
            updated_at: freezeframe_model::Timestamp(1),
            count: 1,
            timings: freezeframe_model::Timings::default(),
            hold: freezeframe_model::HoldFacts::default(),
            request: freezeframe_model::FailingRequest::default(),
            logs: Vec::new(),
            requests_lost: 0,
            not_captured: Vec::new(),
        }
    }

    /// What is found of the incident that an actor answers for as `actor` says.
    fn found(
        actor: impl FnOnce(&Store, IncidentId) -> Option<Box<Incident>> + Send + 'static,
    ) -> Option<String> {
        let data = tempfile::tempdir().expect("a temporary directory");
        let store = Store::open(data.path(), freezeframe_store::Quota::default()).expect("a store");
        let (mailbox, mut messages) = Mailbox::new();
        let (of_actor, id) = (store.clone(), IncidentId(1));
        let acting = std::thread::spawn(move || {
            if let Some(Message::Accepted(asked, answer)) = messages.blocking_recv() {
                let _ = answer.send(actor(&of_actor, asked));
            }
        });
        let desk = Desk {
            store,
            mailbox,
            captures: Arc::default(),
            pulse: Arc::default(),
            places: SourcePlaces::default(),
            events: Events::default(),
            link: Box::new(|id| id.to_string()),
            durations: Box::new(Vec::new),
            reload: Box::new(|_: &str, _: bool| Ok(Vec::new())),
        };
        let found = desk.incident(id).expect("readable").map(|(incident, _)| incident.message);
        drop(desk);
        acting.join().expect("no panic");
        found
    }

    #[test]
    fn an_incident_that_is_not_stored_yet_is_found() {
        let accepted = |_: &Store, id| Some(Box::new(incident(id)));
        assert_eq!(found(accepted).as_deref(), Some("it broke"));
        assert_eq!(found(|_, _| None), None);
    }

    #[test]
    fn an_incident_that_was_stored_meanwhile_is_found_in_the_store() {
        let stored = |store: &Store, id, told| {
            let mut stored = Incident { message: "as stored".to_owned(), ..incident(id) };
            store.insert(&mut stored, None).expect("stored");
            told
        };
        let still_open = move |store: &Store, id| stored(store, id, Some(Box::new(incident(id))));
        assert_eq!(found(still_open).as_deref(), Some("as stored"));
        // Its story was over before the actor was asked.
        assert_eq!(found(move |store, id| stored(store, id, None)).as_deref(), Some("as stored"));
    }

    #[test]
    fn a_capture_is_decoded_once_and_again_when_it_changes() {
        let data = tempfile::tempdir().expect("a temporary directory");
        let store = Store::open(data.path(), freezeframe_store::Quota::default()).expect("a store");
        let captures = Captures::default();
        let get = |number| captures.get(&store, IncidentId(number)).expect("readable");
        assert!(get(1).is_none());
        let capture = |all_stop_us| freezeframe_model::Capture { all_stop_us, ..Default::default() };
        for number in 1..=5 {
            store.insert(&mut incident(IncidentId(number)), Some(&capture(number))).expect("stored");
        }
        let first = get(1).expect("captured");
        assert!(Arc::ptr_eq(&first, &get(1).expect("captured")));
        store.set_capture(&mut incident(IncidentId(1)), &capture(99)).expect("stored");
        assert_eq!(get(1).expect("captured").all_stop_us, 99);
        // Only some are kept.
        let second = get(2).expect("captured");
        (3..=5).for_each(|number| drop(get(number)));
        assert!(!Arc::ptr_eq(&second, &get(2).expect("captured")));
    }
}
