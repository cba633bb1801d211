//! One request that an instance is working on, and what another thread may do to it.
//!
//! Slots live in one [`Slots`] per worker and instance, behind a lock that only its worker takes on the hot path. It does not
//! know about connections or bodies: a verdict is a message, the request's own task acts on it.

use std::task::Waker;
use std::time::Instant;

use freezeframe_model::{InFlight, IncidentId, Timestamp};
use http::Method;
use http::uri::PathAndQuery;

use crate::trace::TraceIds;

/// Longest path that is remembered, in bytes: a path may be 64 KiB long, and thousands are kept.
const PATH_MAX: usize = 1024;

/// How far a request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Not a byte was sent to the instance.
    Connecting,
    /// Sent, at least in part; the instance has not answered.
    Waiting,
    /// The head of the response was received.
    Streaming,
    /// Switched to another protocol.
    Tunnel,
}

/// What another thread decided about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Send it to another instance; where there is none, answer 502 with this incident.
    Retry(Option<IncidentId>),
    /// Answer 502 with this incident.
    Refuse(Option<IncidentId>),
    /// Too late for an answer: break the connection off.
    Abort(Option<IncidentId>),
}

/// What stays the same over all attempts of a request.
#[derive(Clone, Debug)]
pub(crate) struct RequestFacts {
    pub(crate) method: Method,
    pub(crate) path: PathAndQuery,
    pub(crate) session: Option<u64>,
}

/// One attempt at one instance.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) ids: TraceIds,
    pub(crate) facts: RequestFacts,
    pub(crate) started_at: Timestamp,
    pub(crate) since: Instant,
    pub(crate) phase: Phase,
    /// Whether it may be sent again although it was sent: idempotent, body at hand, not sent twice yet.
    pub(crate) replayable: bool,
    pub(crate) verdict: Option<Verdict>,
    pub(crate) waker: Option<Waker>,
}

impl RequestFacts {
    /// The path without query, cut to a length that can be kept.
    pub(crate) fn short_path(&self) -> &str {
        let path = self.path.path();
        path.get(..path.floor_char_boundary(PATH_MAX)).unwrap_or_default()
    }

    pub(crate) fn describe(&self, ids: TraceIds, started_at: Timestamp) -> InFlight {
        InFlight {
            traceparent: ids.to_string(),
            method: self.method.as_str().to_owned(),
            path: self.short_path().to_owned(),
            started_at,
            session: self.session,
        }
    }
}

impl Slot {
    /// What eviction means for this request.
    pub(crate) fn eviction(&self, incident: Option<IncidentId>) -> Verdict {
        match self.phase {
            Phase::Connecting => Verdict::Retry(incident),
            Phase::Waiting if self.replayable => Verdict::Retry(incident),
            Phase::Waiting => Verdict::Refuse(incident),
            Phase::Streaming | Phase::Tunnel => Verdict::Abort(incident),
        }
    }

    /// Decides, unless it is decided; the waker that makes the task notice.
    pub(crate) fn decide(&mut self, verdict: Verdict) -> Option<Waker> {
        self.verdict = Some(verdict);
        self.waker.take()
    }
}

/// A slab: slots keep their key while they live, keys are used again, nothing is allocated in the steady state.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    entries: Vec<Option<Slot>>,
    free: Vec<usize>,
}

impl Slots {
    pub(crate) fn insert(&mut self, slot: Slot) -> usize {
        let Some(key) = self.free.pop() else {
            self.entries.push(Some(slot));
            return self.entries.len() - 1;
        };
        if let Some(entry) = self.entries.get_mut(key) {
            *entry = Some(slot);
        }
        key
    }

    pub(crate) fn remove(&mut self, key: usize) -> Option<Slot> {
        let slot = self.entries.get_mut(key)?.take()?;
        self.free.push(key);
        Some(slot)
    }

    pub(crate) fn get_mut(&mut self, key: usize) -> Option<&mut Slot> {
        self.entries.get_mut(key)?.as_mut()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Slot> {
        self.entries.iter().flatten()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Slot> {
        self.entries.iter_mut().flatten()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn slot(path: &'static str, phase: Phase, replayable: bool) -> Slot {
        let facts =
            RequestFacts { method: Method::GET, path: PathAndQuery::from_static(path), session: None };
        Slot {
            ids: TraceIds::fresh(),
            facts,
            started_at: Timestamp(1),
            since: Instant::now(),
            phase,
            replayable,
            verdict: None,
            waker: None,
        }
    }

    #[test]
    fn keys_are_used_again_and_never_shared() {
        let mut slots = Slots::default();
        let keys: Vec<_> = (0..3).map(|_| slots.insert(slot("/", Phase::Waiting, true))).collect();
        assert_eq!(keys, [0, 1, 2]);
        assert!(slots.remove(1).is_some());
        assert!(slots.remove(1).is_none(), "twice");
        assert!(slots.remove(9).is_none(), "unknown");
        assert_eq!(slots.insert(slot("/new", Phase::Waiting, true)), 1);
        assert_eq!(slots.iter().count(), 3);
    }

    #[test]
    fn eviction_retries_only_what_is_safe() {
        let decide = |phase, replayable| slot("/", phase, replayable).eviction(None);
        assert_eq!(decide(Phase::Connecting, false), Verdict::Retry(None), "nothing was sent");
        assert_eq!(decide(Phase::Waiting, true), Verdict::Retry(None));
        assert_eq!(decide(Phase::Waiting, false), Verdict::Refuse(None));
        assert_eq!(decide(Phase::Streaming, true), Verdict::Abort(None));
        assert_eq!(decide(Phase::Tunnel, true), Verdict::Abort(None));
    }

    #[test]
    fn long_paths_are_cut_between_characters_and_lose_their_query() {
        let mut facts = slot("/a?secret=1", Phase::Waiting, true).facts;
        assert_eq!(facts.short_path(), "/a");
        let long = format!("/{}", "x".repeat(5000));
        facts.path = long.parse().expect("a path");
        assert_eq!(facts.short_path().len(), PATH_MAX);
    }
}
