//! The last exchanges of every session, in one bounded ring per worker.

use std::collections::VecDeque;
use std::sync::Mutex;

use freezeframe_model::Exchange;

use crate::route::lock;

/// Exchanges that one worker remembers.
const RING_MAX: usize = 4096;

/// One ring per worker: a worker writes only its own, so its lock is free except while somebody reads.
pub(crate) struct Journeys {
    rings: Box<[Mutex<VecDeque<Exchange>>]>,
}

impl Journeys {
    pub(crate) fn new(workers: usize) -> Self {
        Self { rings: (0..workers).map(|_| Mutex::default()).collect() }
    }

    /// Remembers an exchange that belongs to a session; the oldest is forgotten for it.
    pub(crate) fn record(&self, worker: usize, exchange: Exchange) {
        let Some(ring) = self.rings.get(worker) else { return };
        let mut ring = lock(ring);
        if ring.len() >= RING_MAX {
            ring.pop_front();
        }
        ring.push_back(exchange);
    }

    /// The last `limit` exchanges of a session, oldest first.
    pub(crate) fn of(&self, session: u64, limit: usize) -> Vec<Exchange> {
        let mut found = Vec::new();
        for ring in &self.rings {
            let ring = lock(ring);
            let own = ring.iter().rev().filter(|exchange| exchange.request.session == Some(session));
            found.extend(own.take(limit).cloned());
        }
        found.sort_by_key(|exchange: &Exchange| exchange.request.started_at);
        found.drain(..found.len().saturating_sub(limit));
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use freezeframe_model::{InFlight, Outcome, Timestamp};

    fn exchange(session: u64, at: i64) -> Exchange {
        let request = InFlight {
            traceparent: String::new(),
            method: "GET".to_owned(),
            path: format!("/{at}"),
            started_at: Timestamp(at),
            session: Some(session),
        };
        Exchange {
            request,
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
            journeys.record((at % 2) as usize, exchange(7, at));
            journeys.record((at % 2) as usize, exchange(8, at));
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
            journeys.record(0, exchange(1, at));
        }
        let kept = journeys.of(1, usize::MAX);
        assert_eq!((kept.len(), kept[0].request.started_at), (RING_MAX, Timestamp(5)));
    }
}
