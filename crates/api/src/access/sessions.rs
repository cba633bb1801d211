//! Sessions of browsers, in memory only: only hashes of their ids are kept, and a restart ends them all.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::provider::Identity;

/// How long a session lasts.
pub(super) const LIFETIME: Duration = Duration::from_secs(12 * 3600);

/// How long it lasts when nobody uses it.
const IDLE: Duration = Duration::from_secs(2 * 3600);

/// Sessions at a time; the one that was not used for longest makes room.
const MAX: usize = 1000;

/// Sessions by the hash of their id.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    by_hash: HashMap<[u8; 32], Session>,
    /// Number of the last session.
    last: u64,
}

/// A browser that has signed in.
#[derive(Clone, Debug)]
pub(super) struct Session {
    /// For the audit log; says nothing about the id.
    pub(super) number: u64,
    /// Who sits before it; nobody with a name where it came with the data directory's token, or with a link.
    pub(super) identity: Option<Identity>,
    began: Instant,
    used: Instant,
}

impl Session {
    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.began) >= LIFETIME
            || now.saturating_duration_since(self.used) >= IDLE
    }
}

impl Sessions {
    /// Begins a session.
    pub(super) fn begin(&mut self, hash: [u8; 32], identity: Option<Identity>, now: Instant) -> Session {
        if self.by_hash.len() >= MAX {
            self.by_hash.retain(|_, session| !session.is_over(now));
        }
        if self.by_hash.len() >= MAX {
            let stalest = self.by_hash.iter().min_by_key(|(_, session)| (session.used, session.number));
            let stalest = stalest.map(|(hash, _)| *hash);
            stalest.map(|hash| self.by_hash.remove(&hash));
        }
        self.last = self.last.saturating_add(1);
        let session = Session { number: self.last, identity, began: now, used: now };
        self.by_hash.insert(hash, session.clone());
        session
    }

    /// A session that is not over; it is used by that.
    pub(super) fn find(&mut self, hash: &[u8; 32], now: Instant) -> Option<Session> {
        let session = self.by_hash.get_mut(hash)?;
        if session.is_over(now) {
            self.by_hash.remove(hash);
            return None;
        }
        session.used = session.used.max(now);
        Some(session.clone())
    }

    /// A session that is not over, without using it.
    pub(super) fn peek(&self, hash: &[u8; 32], now: Instant) -> Option<&Session> {
        self.by_hash.get(hash).filter(|session| !session.is_over(now))
    }

    /// Ends a session.
    pub(super) fn end(&mut self, hash: &[u8; 32]) {
        self.by_hash.remove(hash);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(number: u16) -> [u8; 32] {
        let mut hash = [0; 32];
        hash[..2].copy_from_slice(&number.to_be_bytes());
        hash
    }

    fn number(sessions: &mut Sessions, id: u16, now: Instant) -> Option<u64> {
        sessions.find(&hash(id), now).map(|session| session.number)
    }

    #[test]
    fn the_thousand_and_first_session_ends_the_one_that_is_used_least() {
        let (mut sessions, now) = (Sessions::default(), Instant::now());
        for id in 0..1000 {
            sessions.begin(hash(id), None, now);
        }
        assert_eq!(number(&mut sessions, 0, now + Duration::from_secs(1)), Some(1));
        sessions.begin(hash(1000), None, now + Duration::from_secs(2));
        assert_eq!(sessions.by_hash.len(), MAX);
        assert_eq!(number(&mut sessions, 0, now), Some(1));
        assert_eq!(number(&mut sessions, 1, now), None);
        assert_eq!(number(&mut sessions, 1000, now), Some(1001));
    }

    #[test]
    fn a_session_ends_after_twelve_hours_or_two_without_use_or_at_log_out() {
        let (mut sessions, now) = (Sessions::default(), Instant::now());
        let second = Duration::from_secs(1);
        for id in 1..=3 {
            sessions.begin(hash(id), None, now);
        }
        let mut at = now;
        while at + IDLE - second < now + LIFETIME {
            at += IDLE - second;
            assert_eq!(number(&mut sessions, 1, at), Some(1));
        }
        assert_eq!(number(&mut sessions, 1, now + LIFETIME), None);
        assert_eq!(number(&mut sessions, 2, now + IDLE), None);
        sessions.end(&hash(3));
        assert_eq!(number(&mut sessions, 3, now), None);
    }
}
