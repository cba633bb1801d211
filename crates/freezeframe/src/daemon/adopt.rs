//! What an earlier life left behind: instances that run on, processes that are held, captures that were not stored yet.

use freezeframe_lifecycle::Event;
use freezeframe_model::{HoldFacts, Incident, IncidentId, IncidentState, InstanceId, Timestamp, Timings};
use freezeframe_runtime::Held;
use freezeframe_shim::files::Directory;
use freezeframe_shim::protocol::HeldRecord;

use super::actor::{Daemon, Instance, Open};
use super::shims;

/// Whether the process of a hold is still there, and really stands still or is in the hands of a debugger.
pub(super) fn still_stands(facts: &HoldFacts) -> bool {
    let held = Held::new(facts.clone());
    held.is_alive() && (held.stands_still() || held.has_debugger())
}

impl Daemon {
    /// Takes over everything that is left. Nothing restarts, and what is held stays held.
    pub(super) fn adopt_all(&mut self) {
        for (instance, directory) in Directory::all(&self.data) {
            let state = directory.state().unwrap_or_default();
            let lives = directory.has_shim();
            let held = state.held.clone().filter(|record| lives || still_stands(&record.facts));
            if !lives && held.is_none() {
                self.clear_remains(instance, &directory);
                continue;
            }
            let port = directory.spec().map_or(0, |spec| spec.port);
            let (shim, commands) = shims::channel();
            let connect = if lives { shims::adopt } else { shims::spawn };
            connect(commands, directory.clone(), instance, self.mailbox.clone());
            self.instances.insert(instance, Instance::new(shim, directory, port));
            match held {
                Some(record) => self.adopt_held(instance, &record),
                None => self.feed(Event::Adopted { instance, ready: false }),
            }
        }
        self.lose_the_rest();
    }

    /// The hold of an earlier life, as its shim wrote it down or, where that came too late to be read, as it tells it.
    pub(super) fn adopt_held(&mut self, instance: InstanceId, record: &HeldRecord) {
        let id = record.incident;
        let known = self.store.incident(id).ok().flatten();
        let lease_left = match &known {
            Some(incident) if incident.hold.lease_until > Timestamp::default() => {
                incident.hold.lease_until.since_ms(Timestamp::now())
            }
            _ => self.config.hold.lease_ms,
        };
        tracing::info!(incident = %id, %instance, "held by an earlier life; it stays held");
        if let Some(known) = self.instances.get_mut(&instance) {
            known.incident = Some(id);
        }
        if let Some(mut incident) = known {
            if record.firm {
                let lease_until = Timestamp::now().plus_ms(lease_left);
                incident.hold = HoldFacts { lease_until, ..record.facts.clone() };
            }
            self.open_again(incident);
            if record.firm {
                self.set_state(id, IncidentState::Held);
            }
            self.tell_if_untold(id);
        }
        self.feed(Event::AdoptedHeld {
            instance,
            incident: id,
            fingerprint: record.fingerprint,
            resident_bytes: record.facts.resident_bytes,
            lease_until_ms: self.now_ms().saturating_add(lease_left),
        });
    }

    /// A hold that its shim made firm while no daemon was connected.
    pub(super) fn catch_up(&mut self, instance: InstanceId, record: HeldRecord) {
        let draining = self
            .open
            .get(&record.incident)
            .is_some_and(|open| open.incident.state == IncidentState::Draining);
        if draining {
            self.on_held(instance, record.incident, record.facts, Timings::default());
        }
    }

    /// Nothing of it lives. A capture that it left is kept, the rest is removed.
    fn clear_remains(&mut self, instance: InstanceId, directory: &Directory) {
        if let Some(captured) = directory.captured() {
            self.on_captured(instance, captured);
        }
        tracing::info!(%instance, "removing what an earlier life left behind");
        self.clear(directory.clone());
    }

    /// Incidents that claim to be live although no process stands for them any more.
    fn lose_the_rest(&mut self) {
        let live = match self.store.live() {
            Ok(live) => live,
            Err(error) => return tracing::error!(%error, "live incidents cannot be read"),
        };
        for incident in live {
            let id: IncidentId = incident.id;
            let known = self.open.contains_key(&id);
            if known || self.instances.values().any(|known| known.incident == Some(id)) {
                continue;
            }
            let shim = self.instances.get_mut(&incident.instance).filter(|known| known.incident.is_none());
            match shim {
                // Its shim lives, and knows better than what was on disk: it is heard in a moment.
                Some(known) => {
                    known.incident = Some(id);
                    self.open_again(incident);
                }
                None => {
                    tracing::warn!(incident = %id, "its process is gone");
                    self.open_again(incident);
                    self.set_state(id, IncidentState::Lost);
                }
            }
            self.tell_if_untold(id);
        }
    }

    /// One that is in the store, as far as the store knows it.
    fn open_again(&mut self, incident: Incident) {
        let captured = self.store.capture(incident.id).ok().flatten().is_some();
        let notified = incident.timings.stored_us.is_some();
        self.open.insert(incident.id, Open { captured, notified, ..Open::new(incident) });
    }

    /// The earlier life stored its capture, and ended before people were told.
    fn tell_if_untold(&mut self, id: IncidentId) {
        if self.open.get(&id).is_some_and(|open| open.captured && !open.notified) {
            self.announce(id);
        }
    }
}
