//! What is told to those who watch. Every event is written out once, whoever takes it; where nobody watches, none is.
//!
//! The queue is bounded: a watcher that does not take its events is told how many it missed, and reads everything again.

use std::sync::Arc;

use freezeframe_model::{AuditEntry, Incident, IncidentId, Note, Owner};
use tokio::sync::broadcast;

use crate::dto::{AuditShape, FleetAnswer, LiveEvent, NoteShape};
use crate::overview;

/// Events that wait for the slowest watcher.
const WAITING: usize = 256;

/// Where events come from. Clones tell the same watchers.
#[derive(Clone, Debug)]
pub struct Events {
    told: broadcast::Sender<Arc<Told>>,
}

/// An event, written out.
#[derive(Debug)]
pub(crate) struct Told {
    /// Which incident it is about; one about none concerns everybody.
    pub(crate) incident: Option<IncidentId>,
    pub(crate) name: &'static str,
    pub(crate) data: String,
}

impl Default for Events {
    fn default() -> Self {
        Self { told: broadcast::Sender::new(WAITING) }
    }
}

impl Events {
    /// Whether anybody watches.
    pub fn is_watched(&self) -> bool {
        self.told.receiver_count() > 0
    }

    /// An incident is new or has changed.
    pub fn incident(&self, incident: &Incident, owner: Option<&Owner>) {
        self.tell(Some(incident.id), || LiveEvent::Incident(Box::new(overview::status(incident, owner))));
    }

    /// A note was written.
    pub fn note(&self, incident: IncidentId, note: &Note) {
        self.tell(Some(incident), || LiveEvent::Note(NoteShape::new(incident, note)));
    }

    /// Somebody did something.
    pub fn audit(&self, entry: &AuditEntry) {
        self.tell(entry.incident, || LiveEvent::Audit(AuditShape::from(entry)));
    }

    /// What runs.
    pub fn fleet(&self, fleet: &FleetAnswer) {
        self.tell(None, || LiveEvent::Fleet(Box::new(fleet.clone())));
    }

    pub(crate) fn watch(&self) -> broadcast::Receiver<Arc<Told>> {
        self.told.subscribe()
    }

    fn tell(&self, incident: Option<IncidentId>, event: impl FnOnce() -> LiveEvent) {
        if self.is_watched() {
            let (name, data) = event().written();
            // Whoever watched may have gone meanwhile.
            let _ = self.told.send(Arc::new(Told { incident, name, data }));
        }
    }
}
