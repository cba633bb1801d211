//! Links that sign in once. Only hashes of their secrets are kept, in memory: a restart ends them.
//!
//! The secret stands in the fragment of the address, which no browser sends: a mail scanner or a link preview that follows
//! the link burns nothing. The page takes it from there and posts it.

use std::time::{Duration, Instant};

/// How long a link can be used.
pub(super) const LIFETIME: Duration = Duration::from_secs(15 * 60);

/// Links at a time; the oldest makes room.
const MAX: usize = 16;

/// Links that were not used yet.
#[derive(Debug, Default)]
pub(super) struct Links {
    /// Hash of the secret, and when it was made; oldest first.
    unused: Vec<([u8; 32], Instant)>,
}

impl Links {
    /// A new one.
    pub(super) fn add(&mut self, hash: [u8; 32], now: Instant) {
        if self.unused.len() >= MAX {
            self.unused.remove(0);
        }
        self.unused.push((hash, now));
    }

    /// Whether it can be used, which it cannot a second time.
    pub(super) fn take(&mut self, hash: &[u8; 32], now: Instant) -> bool {
        self.unused.retain(|(_, made)| now.saturating_duration_since(*made) < LIFETIME);
        let found = self.unused.iter().position(|(unused, _)| unused == hash);
        found.map(|found| self.unused.remove(found)).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_used_once_and_soon() {
        let (mut links, now) = (Links::default(), Instant::now());
        links.add([1; 32], now);
        links.add([2; 32], now);
        assert!(!links.take(&[3; 32], now));
        assert!(links.take(&[1; 32], now + LIFETIME - Duration::from_secs(1)));
        assert!(!links.take(&[1; 32], now));
        assert!(!links.take(&[2; 32], now + LIFETIME));
    }

    #[test]
    fn their_number_is_bounded() {
        let (mut links, now) = (Links::default(), Instant::now());
        for number in 0..=MAX {
            links.add([u8::try_from(number).unwrap(); 32], now);
        }
        assert_eq!(links.unused.len(), MAX);
        assert!(!links.take(&[0; 32], now));
    }
}
