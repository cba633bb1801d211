//! One request from its arrival to its end, whatever the end is.
//!
//! A [`Flight`] owns the request's place in an instance's bookkeeping and its permit of admission, and tells of the end when it
//! is dropped: a task that simply disappears, because its client did, is accounted for like any other.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use freezeframe_admission::Permit;
use freezeframe_model::{InstanceId, Outcome, Timestamp};

use crate::access_log::Particulars;
use crate::admission::{self, Pocket};
use crate::journey::Step;
use crate::matcher::PlannedRoute;
use crate::pool::Connection;
use crate::refusal::{DEADLINE, Refusal};
use crate::report::Finished;
use crate::route::{Hindrance, Instance};
use crate::slot::{Phase, RequestFacts, Slot, Verdict};
use crate::trace::TraceIds;
use crate::worker::{Link, Worker};

/// A request under way.
pub(crate) struct Flight {
    link: Rc<Link>,
    facts: RequestFacts,
    ids: TraceIds,
    since: Instant,
    started_at: Timestamp,
    route: Option<Arc<PlannedRoute>>,
    /// Where its service sheds load.
    permit: Option<Permit>,
    /// Where the permit goes if the connection has to be closed.
    pocket: Option<Rc<Pocket>>,
    /// The attempt that is under way: the instance, and the key of its slot.
    place: Option<(Arc<Instance>, usize)>,
    last: Option<InstanceId>,
    status: u16,
    retries: u32,
    outcome: Option<Outcome>,
    shed: Option<&'static str>,
    response_bytes: u64,
    queue_us: u64,
    sent_at: Option<Instant>,
    service_us: Option<u64>,
    /// Only where there is an access log.
    particulars: Option<Box<Particulars>>,
}

impl Flight {
    /// Begins the account of a request that arrived with these trace ids.
    pub(crate) fn begin(link: Rc<Link>, facts: RequestFacts, ids: TraceIds) -> Box<Self> {
        link.request_begins();
        Box::new(Self {
            link,
            facts,
            ids,
            since: Instant::now(),
            started_at: Timestamp::now(),
            route: None,
            permit: None,
            pocket: None,
            place: None,
            last: None,
            status: 0,
            retries: 0,
            outcome: None,
            shed: None,
            response_bytes: 0,
            queue_us: 0,
            sent_at: None,
            service_us: None,
            particulars: None,
        })
    }

    pub(crate) fn worker(&self) -> &Rc<Worker> {
        &self.link.worker
    }

    pub(crate) fn link(&self) -> &Rc<Link> {
        &self.link
    }

    /// When it arrived.
    pub(crate) fn since(&self) -> Instant {
        self.since
    }

    pub(crate) fn trace_text(&self) -> [u8; crate::trace::TEXT_LEN] {
        self.ids.to_text()
    }

    pub(crate) fn session(&self) -> Option<u64> {
        self.facts.session
    }

    /// For the access log.
    pub(crate) fn note(&mut self, particulars: Particulars) {
        self.particulars = Some(Box::new(particulars));
    }

    /// Its way is known.
    pub(crate) fn takes(&mut self, route: &Arc<PlannedRoute>) {
        self.route = Some(Arc::clone(route));
    }

    /// It may go on; from here on admission is told of its end.
    pub(crate) fn admitted(&mut self, permit: Permit) {
        self.permit = Some(permit);
    }

    /// It has waited, since then.
    pub(crate) fn has_waited(&mut self, since: Instant) {
        self.queue_us = self.queue_us.saturating_add(micros(since, Instant::now()));
    }

    /// Serial number of the instance that admission lets it go to.
    pub(crate) fn permitted(&self) -> Option<u64> {
        self.permit.as_ref().map(|permit| permit.instance().0)
    }

    /// That instance came to nothing: admission names another one, or takes its permit back.
    pub(crate) fn move_on(&mut self, outcome: freezeframe_admission::Outcome) {
        self.pocket = None;
        if let Some(mut permit) = self.permit.take() {
            if permit.retry(outcome) {
                self.permit = Some(permit);
            } else {
                permit.finish(outcome);
            }
        }
    }

    /// Admission's place for it is free again.
    pub(crate) fn give_permit_back(&mut self) {
        self.permit = None;
    }

    /// It is about to be sent over this connection.
    pub(crate) fn uses(&mut self, connection: &Connection) {
        if let Some(permit) = &self.permit {
            self.pocket = connection.pocket();
            if !connection.reused {
                permit.started();
            }
        }
    }

    /// It went to this instance, even if that did not take it.
    pub(crate) fn went_to(&mut self, instance: InstanceId) {
        self.last = Some(instance);
    }

    /// Takes a place on an instance for a new attempt, with a parent id of its own. False where it is out of routing.
    pub(crate) fn attempt(&mut self, instance: &Arc<Instance>, now: Instant) -> bool {
        self.leave();
        self.ids = self.ids.child();
        let slot = || Slot {
            ids: self.ids,
            facts: self.facts.clone(),
            started_at: self.started_at,
            since: now,
            phase: Phase::Connecting,
            replayable: true,
            verdict: None,
            waker: None,
        };
        let Some(key) = instance.register(self.link.worker.index, slot) else { return false };
        self.place = Some((Arc::clone(instance), key));
        true
    }

    /// The last moment before bytes leave for the instance.
    pub(crate) fn send(&mut self, replayable: bool, now: Instant) -> Result<(), Hindrance> {
        let Some((instance, key)) = &self.place else { return Err(Hindrance::Closed) };
        instance.send(self.link.worker.index, *key, replayable && self.retries == 0)?;
        self.last = Some(instance.id);
        self.sent_at = Some(now);
        Ok(())
    }

    /// The instance answered with this status.
    pub(crate) fn answered(&mut self, status: u16, phase: Phase) -> Result<(), Verdict> {
        let now = Instant::now();
        if let Some((instance, key)) = &self.place {
            instance.answered(self.link.worker.index, *key, phase, now)?;
        }
        if let Some(permit) = &self.permit {
            permit.answered();
        }
        self.service_us = self.sent_at.map(|sent_at| micros(sent_at, now));
        self.status = status;
        Ok(())
    }

    /// Ready once another thread decided about this request.
    pub(crate) fn poll_verdict(&self, cx: &mut Context<'_>) -> Poll<Verdict> {
        match &self.place {
            Some((instance, key)) => instance.poll_verdict(self.link.worker.index, *key, cx),
            None => Poll::Pending,
        }
    }

    /// Bytes of the response passed just `now`.
    pub(crate) fn passed(&mut self, bytes: usize, now: Instant) {
        self.response_bytes = self.response_bytes.saturating_add(bytes as u64);
        if let Some((instance, _)) = &self.place {
            instance.touch(now);
        }
    }

    /// It goes to a second instance, or a second time to the same one.
    pub(crate) fn retry(&mut self) {
        self.leave();
        self.retries += 1;
    }

    /// Gives up the place on an instance, if it has one.
    pub(crate) fn leave(&mut self) {
        if let Some((instance, key)) = self.place.take() {
            instance.release(self.link.worker.index, key);
        }
    }

    /// The gate itself answers with this status.
    pub(crate) fn refused(&mut self, status: u16, outcome: Outcome) {
        self.status = status;
        self.outcome = Some(outcome);
        self.leave();
    }

    /// The gate itself answers so, for no fault of an instance.
    pub(crate) fn refused_by(&mut self, refusal: &Refusal<'_>) {
        self.shed = refusal.shed;
        self.refused(refusal.status.as_u16(), Outcome::Refused(refusal.incident));
    }

    /// How it ended. Only the first word counts.
    pub(crate) fn end(&mut self, outcome: Outcome) {
        self.outcome.get_or_insert(outcome);
    }

    /// Admission gets its place back: where the request was broken off, once its connection is closed.
    fn land(&mut self, outcome: &Outcome) {
        use freezeframe_admission::Outcome as Told;
        let Some(mut permit) = self.permit.take() else { return };
        if self.shed == Some(DEADLINE)
            && let Some(way) = self.route.as_ref().and_then(|route| route.door.as_ref())
        {
            // That it was late is what is learnt from it.
            way.door.tick();
        }
        permit.set_outcome(match outcome {
            Outcome::Answered => admission::outcome_of(self.status),
            Outcome::UpstreamFailed(_) => Told::Failed,
            Outcome::ClientGone | Outcome::Refused(_) => Told::Abandoned,
        });
        if let Some(pocket) = self.pocket.take().filter(|_| *outcome != Outcome::Answered) {
            pocket.put(permit);
        }
    }

    /// The observer and the log are told.
    fn tell(&self, outcome: &Outcome, total_us: u64) {
        let shared = &self.link.worker.shared;
        let route = self.route.as_ref().map(|route| &route.spec);
        let finished = Finished {
            worker: self.link.worker.index,
            peer: self.link.origin.peer,
            method: &self.facts.method,
            path: self.facts.short_path(),
            route,
            route_index: self.route.as_ref().map(|route| route.index),
            instance: self.last,
            status: self.status,
            outcome,
            shed: self.shed,
            retries: self.retries,
            response_bytes: self.response_bytes,
            queue_us: self.queue_us,
            service_us: self.service_us,
            total_us,
        };
        match &self.route {
            Some(route) => route.meter.record(&finished, route.door.is_some()),
            None => shared.meters.none().record(&finished, false),
        }
        shared.observer.finished(&finished);
        if let Some(log) = &shared.log {
            let particulars = self.particulars.as_deref();
            self.link.worker.log.append(log, &finished, particulars, self.started_at.0);
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let now = Instant::now();
        let total_us = micros(self.since, now);
        if let Some((instance, _)) = &self.place {
            instance.record(self.link.worker.index, total_us);
        }
        self.leave();
        self.link.request_is_over(now);
        let outcome = self.outcome.take().unwrap_or(Outcome::ClientGone);
        self.land(&outcome);
        if outcome == Outcome::ClientGone {
            self.link.request_was_reset();
        }
        let shared = &self.link.worker.shared;
        // This may run while the task's stack unwinds: a second panic would end the process.
        let told = catch_unwind(AssertUnwindSafe(|| {
            self.tell(&outcome, total_us);
            shared.observer.is_of_interest(self.status, &outcome)
        }));
        let is_of_interest = told.as_ref().copied().unwrap_or(false);
        if !is_of_interest && self.facts.session.is_none() && told.is_ok() {
            return;
        }
        let step = Step {
            ids: self.ids,
            method: self.facts.method.clone(),
            path: self.facts.short_path().into(),
            started_at: self.started_at,
            session: self.facts.session,
            instance: self.last,
            status: self.status,
            duration_us: total_us,
            retried: self.retries > 0,
            outcome,
        };
        let pass_on = || shared.observer.exchange(&step.exchange());
        let passed_on = is_of_interest.then(|| catch_unwind(AssertUnwindSafe(pass_on)));
        if told.is_err() || passed_on.is_some_and(|result| result.is_err()) {
            tracing::error!("the observer of exchanges panicked");
        }
        if step.session.is_some() {
            shared.journeys.record(self.link.worker.index, step);
        }
    }
}

fn micros(since: Instant, now: Instant) -> u64 {
    u64::try_from(now.saturating_duration_since(since).as_micros()).unwrap_or(u64::MAX)
}
