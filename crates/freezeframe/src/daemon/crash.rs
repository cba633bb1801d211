//! The path of one crash through the daemon: from `Trapped` to a durable incident, an alert, and a held process.

use freezeframe_alert::{Notice, NoticeEvent};
use freezeframe_gate::Gate;
use freezeframe_lifecycle::Event;
use freezeframe_model::{
    BuildId, Exchange, ExitReason, FailingRequest, Fingerprint, HoldFacts, HoldStrength, InFlight, Incident,
    IncidentId, IncidentKind, IncidentState, InstanceId, LogLine, Loss, RequestMatch, Site, Timestamp,
    Timings,
};
use freezeframe_shim::protocol::{Captured, Command, Trapped};

use super::actor::{Daemon, Message, Open};
use super::writer::{Job, OURSELVES};

/// Traps stay out for so long after a trap for which no incident number was reserved yet, in milliseconds.
const UNNUMBERED_REARM_MS: u64 = 100;
/// Exchanges of the same session that are kept with an incident.
const JOURNEY_MAX: usize = 20;
/// Requests in flight that are kept with an incident.
const OTHERS_MAX: usize = 100;

impl Daemon {
    /// Everything stands still and waits for our word; it gives one in every case.
    pub(super) fn on_trapped(&mut self, instance: InstanceId, trapped: Trapped) {
        let Some(id) = self.next_id else {
            // Two traps within one write to the disk: the second error passes.
            tracing::info!(%instance, "no incident number is reserved yet: the error passes");
            self.tell(instance, Command::Refuse { trap: trapped.trap, rearm_ms: UNNUMBERED_REARM_MS });
            self.count(trapped.fingerprint);
            return;
        };
        let in_flight = self.gate.in_flight(instance);
        let mut incident = self.new_incident(id, instance, &trapped, in_flight.len());
        incident.request.others = in_flight.iter().take(OTHERS_MAX).cloned().collect();
        let event = Event::Trapped {
            instance,
            fingerprint: trapped.fingerprint,
            resident_bytes: trapped.resident_bytes,
        };
        let open = Open { in_flight, failing_answered: false, ..Open::new(incident) };
        self.trapped = Some((open, trapped));
        self.feed(event);
        self.trapped = None;
    }

    /// The state machine said yes: in `feed` above, so that the answer leaves before anything else is done.
    pub(super) fn confirm(&mut self, instance: InstanceId, drain_ms: u64) {
        let Some((open, trapped)) = self.trapped.take() else { return };
        let Some(id) = self.take_id() else { return };
        let in_flight: Vec<String> =
            open.in_flight.iter().map(|request| request.traceparent.clone()).collect();
        let only = match in_flight.as_slice() {
            [only] => Some((only.clone(), RequestMatch::OnlyOne)),
            _ => None,
        };
        if let Some(known) = self.instances.get_mut(&instance) {
            known.incident = Some(id);
            // Nothing to search for where there is nothing to tell apart.
            let candidates = if only.is_some() { Vec::new() } else { in_flight };
            known.shim.send(Command::Confirm {
                trap: trapped.trap,
                incident: id,
                drain_ms,
                in_flight: candidates,
            });
        }
        tracing::warn!(incident = %id, "{}", open.incident.sentence());
        self.open.insert(id, open);
        let named = trapped.traceparent.map(|text| (text, RequestMatch::Span)).filter(|(text, _)| {
            self.open.get(&id).is_some_and(|open| {
                open.in_flight.iter().any(|request| same_request(&request.traceparent, text))
            })
        });
        if let Some((traceparent, matched_by)) = named.or(only) {
            self.name_failing(id, &traceparent, matched_by);
        }
        if let Some(open) = self.open.get(&id) {
            self.writer.submit(Job::Insert(Box::new(open.incident.clone()), None));
        }
        self.watch_drain(instance, id);
    }

    fn new_incident(
        &self,
        id: IncidentId,
        instance: InstanceId,
        trapped: &Trapped,
        in_flight: usize,
    ) -> Incident {
        Incident {
            state: IncidentState::Draining,
            message: trapped.message.clone(),
            timings: trapped.timings,
            request: FailingRequest {
                in_flight: u32::try_from(in_flight).unwrap_or(u32::MAX),
                ..FailingRequest::default()
            },
            not_captured: self
                .host_limits
                .iter()
                .map(|why| Loss { what: "full hold".to_owned(), why: why.clone() })
                .collect(),
            ..self.bare_incident(id, instance, trapped.kind.clone(), trapped.fingerprint, trapped.at)
        }
    }

    /// One of which no more is known than what broke, where, and when.
    pub(super) fn bare_incident(
        &self,
        id: IncidentId,
        instance: InstanceId,
        kind: IncidentKind,
        fingerprint: Fingerprint,
        at: Timestamp,
    ) -> Incident {
        Incident {
            id,
            kind,
            state: IncidentState::Recorded,
            message: String::new(),
            fingerprint,
            site: Site::default(),
            service: self.config.service.name.clone(),
            instance,
            build_id: BuildId::default(),
            captured_at: at,
            updated_at: at,
            count: 1,
            timings: Timings::default(),
            hold: HoldFacts::default(),
            request: FailingRequest::default(),
            logs: Vec::new(),
            requests_lost: 0,
            not_captured: Vec::new(),
        }
    }

    /// This request failed: it is answered now, and never tried elsewhere, for it would break there too.
    fn name_failing(&mut self, id: IncidentId, traceparent: &str, matched_by: RequestMatch) {
        let Some(open) = self.open.get_mut(&id).filter(|open| !open.failing_answered) else { return };
        let Some(request) =
            open.in_flight.iter().find(|request| same_request(&request.traceparent, traceparent))
        else {
            return;
        };
        open.failing_answered = self.gate.fail(open.incident.instance, &request.traceparent, id);
        open.incident.request.journey = journey_of(&self.gate, request);
        open.incident.request.request = Some(request.clone());
        open.incident.request.others.retain(|other| other.traceparent != request.traceparent);
        open.incident.request.matched_by = matched_by;
    }

    pub(super) fn on_nearest(&mut self, instance: InstanceId, incident: IncidentId, nearest: &[String]) {
        if let [only] = nearest {
            self.name_failing(incident, only, RequestMatch::Memory);
            self.watch_drain(instance, incident);
        }
    }

    /// Reports when nothing is in flight but the request that cannot finish.
    fn watch_drain(&self, instance: InstanceId, incident: IncidentId) {
        let known = self.open.get(&incident).is_some_and(|open| open.incident.request.request.is_some());
        let (gate, mailbox) = (self.gate.clone(), self.mailbox.clone());
        tokio::spawn(async move {
            gate.wait_in_flight_at_most(instance, u32::from(!known)).await;
            mailbox.send(Message::Drained(instance)).await;
        });
    }

    pub(super) fn on_drained(&mut self, instance: InstanceId) {
        let Some(open) = self.open_of(instance) else { return };
        let (state, known) = (open.incident.state, open.incident.request.request.is_some());
        // Once the failing request is named and answered, a watch that was begun before counts one too many as its.
        let left = self.gate.in_flight_count(instance);
        if state == IncidentState::Draining && left <= u32::from(!known) {
            self.feed(Event::DrainDone { instance });
        }
    }

    /// The end of the drain: what is left is named where it can be, retried or answered.
    pub(super) fn finish_drain(&mut self, instance: InstanceId) {
        let Some(id) = self.instances.get(&instance).and_then(|known| known.incident) else { return };
        let left = self.gate.in_flight(instance);
        if let ([last], Some(open)) = (left.as_slice(), self.open.get(&id))
            && open.incident.request.request.is_none()
        {
            let traceparent = last.traceparent.clone();
            self.name_failing(id, &traceparent, RequestMatch::LastAfterDrain);
        }
        let Some(open) = self.open.get_mut(&id) else { return };
        // Where the failing one could not be named, any of these may be it, and would break the next instance too.
        let mut suspects = 0;
        if open.incident.request.request.is_none() {
            let was_there =
                |traceparent: &str| open.in_flight.iter().any(|request| request.traceparent == traceparent);
            for request in left.iter().filter(|request| was_there(&request.traceparent)) {
                suspects += u32::from(self.gate.fail(instance, &request.traceparent, id));
            }
        }
        let evicted = self.gate.evict(instance, Some(id));
        open.incident.requests_lost += suspects.saturating_sub(1) + evicted.failed + evicted.aborted;
    }

    pub(super) fn note_milestone(&mut self, instance: InstanceId, note: impl FnOnce(&mut Timings, u64)) {
        if let Some(open) = self.open_of(instance) {
            let at = open.since_trap_us();
            note(&mut open.incident.timings, at);
        }
    }

    pub(super) fn on_captured(&mut self, instance: InstanceId, captured: Captured) {
        let id = captured.incident;
        if !self.open.contains_key(&id) && !self.reopen(instance, &captured) {
            return;
        }
        let Some(open) = self.open.get_mut(&id) else { return };
        if std::mem::replace(&mut open.captured, true) {
            if open.notified {
                self.acknowledge(instance, id);
            }
            return;
        }
        let incident = &mut open.incident;
        incident.message = captured.trapped.message;
        incident.site = captured.capture.site.clone();
        incident.build_id = captured.build_id;
        incident.logs = captured.logs;
        incident.timings.stopped_us = captured.timings.stopped_us;
        incident.timings.resumed_us = captured.timings.resumed_us;
        incident.timings.captured_us = captured.timings.captured_us;
        incident.updated_at = Timestamp::now();
        self.writer.submit(Job::Capture(Box::new(incident.clone()), Box::new(captured.capture)));
    }

    /// A capture of an incident that an earlier daemon began: found in the store, or made from what the shim kept.
    fn reopen(&mut self, instance: InstanceId, captured: &Captured) -> bool {
        let known = self.store.incident(captured.incident).ok().flatten();
        let mut incident = match known {
            Some(incident) if incident.timings.stored_us.is_some() => {
                // Stored already: only the acknowledgement was lost.
                self.acknowledge(instance, incident.id);
                return false;
            }
            Some(incident) => incident,
            None => self.new_incident(captured.incident, instance, &captured.trapped, 0),
        };
        let known = self.instances.get(&instance);
        let record = known.and_then(|known| known.directory.state().ok()?.held);
        match record.filter(|record| record.firm && record.incident == captured.incident) {
            Some(record) => {
                incident.state = IncidentState::Held;
                let lease_until = Timestamp::now().plus_ms(self.config.hold.lease_ms);
                incident.hold = HoldFacts { lease_until, ..record.facts };
            }
            None if incident.state.is_live()
                && known.is_none_or(|known| known.incident != Some(captured.incident)) =>
            {
                incident.state = IncidentState::Lost;
            }
            None => {}
        }
        self.open.insert(captured.incident, Open::new(incident));
        true
    }

    fn acknowledge(&self, instance: InstanceId, incident: IncidentId) {
        if let Some(known) = self.instances.get(&instance) {
            known.shim.send(Command::Stored { incident });
        }
    }

    /// Durable: only now people are told.
    pub(super) fn on_stored(&mut self, stored: Incident, with_capture: bool) {
        let Some(open) = self.open.get_mut(&stored.id) else { return };
        // What the store had to leave out for lack of room.
        for loss in stored.not_captured {
            if !open.incident.not_captured.contains(&loss) {
                open.incident.not_captured.push(loss);
            }
        }
        let waits_for_capture = stored.state.is_live() && !with_capture;
        if waits_for_capture || open.notified {
            return;
        }
        self.announce(stored.id);
    }

    /// Tells people, and marks the incident as told: `stored_us` stands in its row only after the alert is in the outbox, so
    /// that a daemon that dies in between leaves one that the next daemon tells of.
    pub(super) fn announce(&mut self, id: IncidentId) {
        let Some(open) = self.open.get_mut(&id) else { return };
        open.notified = true;
        let stored_us = open.since_trap_us();
        open.incident.timings.stored_us.get_or_insert(stored_us);
        let incident = open.incident.clone();
        self.notify(&incident, NoticeEvent::Opened);
        self.writer.submit(Job::Update(Box::new(incident)));
        self.writer.submit(Job::Told(id));
    }

    /// Nothing of it can be lost any more: the shim's copy may go.
    pub(super) fn on_told(&mut self, id: IncidentId) {
        if let Some(instance) = self.open.get(&id).map(|open| open.incident.instance) {
            self.acknowledge(instance, id);
        }
        self.forget_if_over(id);
    }

    pub(super) fn notify(&self, incident: &Incident, event: NoticeEvent) {
        self.writer.submit(Job::Notify(Box::new(Notice {
            event,
            incident: incident.id,
            service: incident.service.clone(),
            sentence: incident.sentence(),
            state: incident.state.to_string(),
            fingerprint: incident.fingerprint,
            count: incident.count,
            link: self.link(incident.id),
            report: String::new(),
            at: Timestamp::now(),
        })));
    }

    pub(super) fn on_held(
        &mut self,
        instance: InstanceId,
        incident: IncidentId,
        facts: HoldFacts,
        timings: Timings,
    ) {
        self.finish_drain(instance);
        let network = facts.network.clone();
        if let Some(open) = self.open.get_mut(&incident) {
            open.incident.hold = facts;
            open.incident.timings.held_us = timings.held_us;
        }
        self.set_state(incident, IncidentState::Held);
        self.feed(Event::Frozen { instance });
        self.note_lease(incident, instance);
        tracing::warn!(%incident, "held; {network}; {}", self.link(incident));
    }

    /// Records when the lease ends, as the state machine has it; what is left of it in milliseconds.
    pub(super) fn note_lease(&mut self, id: IncidentId, instance: InstanceId) -> u64 {
        let until_ms = self.fleet.lease_until(instance).unwrap_or(0);
        let left_ms = until_ms.saturating_sub(self.now_ms());
        if let Some(open) = self.open.get_mut(&id) {
            open.incident.hold.lease_until = Timestamp::now().plus_ms(left_ms);
            self.writer.submit(Job::Update(Box::new(open.incident.clone())));
        }
        left_ms
    }

    pub(super) fn on_hold_failed(&mut self, instance: InstanceId, incident: IncidentId, why: &str) {
        tracing::warn!(%incident, why, "the process could not be held");
        if let Some(open) = self.open.get_mut(&incident) {
            open.incident
                .not_captured
                .push(Loss { what: "the held process".to_owned(), why: why.to_owned() });
        }
        self.set_state(incident, IncidentState::Lost);
        if let Some(known) = self.instances.get_mut(&instance) {
            known.incident = None;
        }
        self.feed(Event::HoldFailed { instance });
    }

    /// The process of a live incident is gone without anybody having asked for it.
    pub(super) fn held_process_ended(&mut self, incident: IncidentId, reason: &ExitReason) {
        let Some(open) = self.open.get_mut(&incident) else { return };
        if open.incident.state.is_live() {
            let why = format!("the process ended: {reason}");
            open.incident.not_captured.push(Loss { what: "the held process".to_owned(), why });
            self.set_state(incident, IncidentState::Lost);
        }
    }

    /// Records what became of an incident.
    pub(super) fn set_state(&mut self, id: IncidentId, state: IncidentState) {
        let Some(open) = self.open.get_mut(&id) else { return };
        if open.incident.state == state {
            return;
        }
        open.incident.state = state;
        open.incident.updated_at = Timestamp::now();
        if !state.is_live() {
            open.incident.hold.strength = HoldStrength::None;
        }
        let incident = open.incident.clone();
        let resolved =
            matches!(state, IncidentState::Released | IncidentState::Killed | IncidentState::Expired);
        self.writer.submit(Job::Update(Box::new(incident.clone())));
        let is_untold = !open.captured && !open.notified;
        if !state.is_live() {
            self.audit(OURSELVES, state.as_str(), id, "");
        }
        if !state.is_live() && is_untold {
            // No capture will come any more: tell people what there is.
            self.announce(id);
        }
        if resolved {
            self.notify(&incident, NoticeEvent::Resolved);
        }
        self.forget_if_over(id);
    }

    /// What is over is in the store; the books hold what is still under way.
    fn forget_if_over(&mut self, id: IncidentId) {
        let over = |open: &Open| open.notified && !open.incident.state.is_live();
        if self.open.get(&id).is_some_and(over) {
            self.open.remove(&id);
        }
    }

    pub(super) fn on_logs(&mut self, instance: InstanceId, lines: Vec<LogLine>) {
        for id in self.logs_wanted.remove(&instance).unwrap_or_default() {
            if let Some(open) = self.open.get_mut(&id) {
                open.incident.logs.clone_from(&lines);
                self.writer.submit(Job::Insert(Box::new(open.incident.clone()), None));
            }
        }
    }
}

/// What the same user did before.
pub(super) fn journey_of(gate: &Gate, request: &InFlight) -> Vec<Exchange> {
    request.session.map(|session| gate.journey(session, JOURNEY_MAX)).unwrap_or_default()
}

/// The SDK may know only the trace id; the gate's own span id is unique per attempt.
fn same_request(traceparent: &str, text: &str) -> bool {
    !text.is_empty() && (traceparent == text || traceparent.split('-').nth(1) == Some(text))
}
