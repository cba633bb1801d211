//! The last exchanges of every session, in one bounded ring per worker.

use std::collections::VecDeque;
use std::sync::Mutex;

use freezeframe_model::{Exchange, InFlight, InstanceId, Outcome, Timestamp};
use http::Method;

use crate::route::lock;
use crate::trace::TraceIds;

/// Exchanges that one worker remembers.
const RING_MAX: usize = 4096;

/// An exchange, in the form that costs least to keep: most are never asked for.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) ids: TraceIds,
    pub(crate) method: Method,
    /// A copy: the original keeps alive what it was read from.
    pub(crate) path: Box<str>,
    pub(crate) started_at: Timestamp,
    pub(crate) session: Option<u64>,
    pub(crate) instance: Option<InstanceId>,
    pub(crate) status: u16,
    pub(crate) duration_us: u64,
    pub(crate) retried: bool,
    pub(crate) outcome: Outcome,
}

/// One ring per worker: a worker writes only its own, so its lock is free except while somebody reads.
pub(crate) struct Journeys {
    rings: Box<[Mutex<VecDeque<Step>>]>,
}

impl Journeys {
    pub(crate) fn new(workers: usize) -> Self {
        Self { rings: (0..workers).map(|_| Mutex::default()).collect() }
    }

    /// Remembers an exchange that belongs to a session; the oldest is forgotten for it.
    pub(crate) fn record(&self, worker: usize, step: Step) {
        let Some(ring) = self.rings.get(worker) else { return };
        let mut ring = lock(ring);
        if ring.len() >= RING_MAX {
            ring.pop_front();
        }
        ring.push_back(step);
    }

    /// The last `limit` exchanges of a session, oldest first.
    pub(crate) fn of(&self, session: u64, limit: usize) -> Vec<Exchange> {
        let mut found = Vec::new();
        for ring in &self.rings {
            let ring = lock(ring);
            let own = ring.iter().rev().filter(|step| step.session == Some(session));
            found.extend(own.take(limit).map(Step::exchange));
        }
        found.sort_by_key(|exchange: &Exchange| exchange.request.started_at);
        found.drain(..found.len().saturating_sub(limit));
        found
    }
}

impl Step {
    /// As everybody else knows it.
    pub(crate) fn exchange(&self) -> Exchange {
        let request = InFlight {
            traceparent: self.ids.to_string(),
            method: self.method.as_str().to_owned(),
            path: self.path.to_string(),
            started_at: self.started_at,
            session: self.session,
        };
        Exchange {
            request,
            instance: self.instance,
            status: self.status,
            duration_us: self.duration_us,
            retried: self.retried,
            outcome: self.outcome.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(session: u64, at: i64) -> Step {
        Step {
            ids: TraceIds::fresh(),
            method: Method::GET,
            path: format!("/{at}").into(),
            started_at: Timestamp(at),
            session: Some(session),
            instance: None,
            status: 200,
            duration_us: 1,
            retried: false,
            outcome: Outcome::Answered,
        }
    }

    #[test]
    fn a_journey_is_merged_over_workers_and_cut_to_its_end() {
        let journeys = Journeys::new(2);
        for at in 0..10 {
            journeys.record((at % 2) as usize, step(7, at));
            journeys.record((at % 2) as usize, step(8, at));
        }
        let paths: Vec<_> = journeys.of(7, 3).into_iter().map(|exchange| exchange.request.path).collect();
        assert_eq!(paths, ["/7", "/8", "/9"]);
        assert_eq!(journeys.of(9, 3), []);
        assert_eq!(journeys.of(7, 0), []);
    }

    #[test]
    fn a_ring_forgets_its_oldest() {
        let journeys = Journeys::new(1);
        for at in 0..RING_MAX as i64 + 5 {
            journeys.record(0, step(1, at));
        }
        let kept = journeys.of(1, usize::MAX);
        assert_eq!((kept.len(), kept[0].request.started_at), (RING_MAX, Timestamp(5)));
    }
}
