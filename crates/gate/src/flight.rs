//! One request from its arrival to its end, whatever the end is.
//!
//! A [`Flight`] owns the request's place in an instance's bookkeeping and reports the [`Exchange`] when it is dropped: a task
//! that simply disappears, because its client did, is accounted for like any other.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use freezeframe_model::{Exchange, InstanceId, Outcome, Timestamp};

use crate::route::{Hindrance, Instance};
use crate::slot::{Phase, RequestFacts, Slot, Verdict};
use crate::trace::TraceIds;
use crate::worker::Worker;

/// A request under way.
pub(crate) struct Flight {
    worker: Rc<Worker>,
    facts: RequestFacts,
    ids: TraceIds,
    since: Instant,
    started_at: Timestamp,
    /// The attempt that is under way: the instance, and the key of its slot.
    place: Option<(Arc<Instance>, usize)>,
    last: Option<InstanceId>,
    status: u16,
    retried: bool,
    outcome: Option<Outcome>,
}

impl Flight {
    /// Begins the account of a request that arrived with these trace ids.
    pub(crate) fn begin(worker: Rc<Worker>, facts: RequestFacts, ids: TraceIds) -> Box<Self> {
        Box::new(Self {
            worker,
            facts,
            ids,
            since: Instant::now(),
            started_at: Timestamp::now(),
            place: None,
            last: None,
            status: 0,
            retried: false,
            outcome: None,
        })
    }

    pub(crate) fn worker(&self) -> &Rc<Worker> {
        &self.worker
    }

    pub(crate) fn trace_text(&self) -> [u8; crate::trace::TEXT_LEN] {
        self.ids.to_text()
    }

    pub(crate) fn session(&self) -> Option<u64> {
        self.facts.session
    }

    /// It went to this instance, even if that did not take it.
    pub(crate) fn went_to(&mut self, instance: InstanceId) {
        self.last = Some(instance);
    }

    /// Takes a place on an instance for a new attempt, with a parent id of its own. False where it is out of routing.
    pub(crate) fn attempt(&mut self, instance: &Arc<Instance>) -> bool {
        self.leave();
        self.ids = self.ids.child();
        let slot = || Slot {
            ids: self.ids,
            facts: self.facts.clone(),
            started_at: self.started_at,
            since: Instant::now(),
            phase: Phase::Connecting,
            replayable: true,
            verdict: None,
            waker: None,
        };
        let Some(key) = instance.register(self.worker.index, slot) else { return false };
        self.place = Some((Arc::clone(instance), key));
        true
    }

    /// The last moment before bytes leave for the instance.
    pub(crate) fn send(&mut self, replayable: bool) -> Result<(), Hindrance> {
        let Some((instance, key)) = &self.place else { return Err(Hindrance::Closed) };
        instance.send(self.worker.index, *key, replayable && !self.retried)?;
        self.last = Some(instance.id);
        Ok(())
    }

    /// The instance answered with this status.
    pub(crate) fn answered(&mut self, status: u16, phase: Phase) -> Result<(), Verdict> {
        if let Some((instance, key)) = &self.place {
            instance.answered(self.worker.index, *key, phase)?;
        }
        self.status = status;
        Ok(())
    }

    /// Ready once another thread decided about this request.
    pub(crate) fn poll_verdict(&self, cx: &mut Context<'_>) -> Poll<Verdict> {
        match &self.place {
            Some((instance, key)) => instance.poll_verdict(self.worker.index, *key, cx),
            None => Poll::Pending,
        }
    }

    /// Bytes passed.
    pub(crate) fn touch(&self) {
        if let Some((instance, _)) = &self.place {
            instance.touch();
        }
    }

    /// It goes to a second instance, or a second time to the same one.
    pub(crate) fn retry(&mut self) {
        self.leave();
        self.retried = true;
    }

    /// Gives up the place on an instance, if it has one.
    pub(crate) fn leave(&mut self) {
        if let Some((instance, key)) = self.place.take() {
            instance.release(self.worker.index, key);
        }
    }

    /// The gate itself answers with this status.
    pub(crate) fn refused(&mut self, status: u16, outcome: Outcome) {
        self.status = status;
        self.outcome = Some(outcome);
        self.leave();
    }

    /// How it ended. Only the first word counts.
    pub(crate) fn end(&mut self, outcome: Outcome) {
        self.outcome.get_or_insert(outcome);
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.leave();
        let exchange = Exchange {
            request: self.facts.describe(self.ids, self.started_at),
            instance: self.last,
            status: self.status,
            duration_us: u64::try_from(self.since.elapsed().as_micros()).unwrap_or(u64::MAX),
            retried: self.retried,
            outcome: self.outcome.take().unwrap_or(Outcome::ClientGone),
        };
        let shared = &self.worker.shared;
        // This may run while the task's stack unwinds: a second panic would end the process.
        if catch_unwind(AssertUnwindSafe(|| shared.observer.exchange(&exchange))).is_err() {
            tracing::error!("the observer of exchanges panicked");
        }
        if exchange.request.session.is_some() {
            shared.journeys.record(self.worker.index, exchange);
        }
    }
}
