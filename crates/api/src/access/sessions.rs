//! Sessions of browsers, in memory only: only hashes of their ids are kept, and a restart ends them all.

use std::collections::HashMap;
use std::time::{Duration, Instant};

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

#[derive(Debug)]
struct Session {
    /// For the audit log; says nothing about the id.
    number: u64,
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
    /// Begins a session; its number.
    pub(super) fn begin(&mut self, hash: [u8; 32], now: Instant) -> u64 {
        if self.by_hash.len() >= MAX {
            self.by_hash.retain(|_, session| !session.is_over(now));
        }
        if self.by_hash.len() >= MAX {
            let stalest = self.by_hash.iter().min_by_key(|(_, session)| (session.used, session.number));
            let stalest = stalest.map(|(hash, _)| *hash);
            stalest.map(|hash| self.by_hash.remove(&hash));
        }
        self.last = self.last.saturating_add(1);
        self.by_hash.insert(hash, Session { number: self.last, began: now, used: now });
        self.last
    }

    /// The number of a session that is not over.
    pub(super) fn find(&mut self, hash: &[u8; 32], now: Instant) -> Option<u64> {
        let session = self.by_hash.get_mut(hash)?;
        if session.is_over(now) {
            self.by_hash.remove(hash);
            return None;
        }
        session.used = session.used.max(now);
        Some(session.number)
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

    #[test]
    fn the_thousand_and_first_session_ends_the_one_that_is_used_least() {
        let (mut sessions, now) = (Sessions::default(), Instant::now());
        for number in 0..1000 {
            sessions.begin(hash(number), now);
        }
        assert_eq!(sessions.find(&hash(0), now + Duration::from_secs(1)), Some(1));
        sessions.begin(hash(1000), now + Duration::from_secs(2));
        assert_eq!(sessions.by_hash.len(), MAX);
        assert_eq!(sessions.find(&hash(0), now), Some(1));
        assert_eq!(sessions.find(&hash(1), now), None);
        assert_eq!(sessions.find(&hash(1000), now), Some(1001));
    }

    #[test]
    fn a_session_ends_after_twelve_hours_or_two_without_use_or_at_log_out() {
        let (mut sessions, now) = (Sessions::default(), Instant::now());
        let second = Duration::from_secs(1);
        for number in 1..=3 {
            sessions.begin(hash(number), now);
        }
        let mut at = now;
        while at + IDLE - second < now + LIFETIME {
            at += IDLE - second;
            assert_eq!(sessions.find(&hash(1), at), Some(1));
        }
        assert_eq!(sessions.find(&hash(1), now + LIFETIME), None);
        assert_eq!(sessions.find(&hash(2), now + IDLE), None);
        sessions.end(&hash(3));
        assert_eq!(sessions.find(&hash(3), now), None);
    }
}
