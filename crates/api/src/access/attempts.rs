//! How often something wrong may be shown. It knows nothing of who shows it: behind a proxy everybody has one address.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::Refusal;

/// Names whose wrong passwords are counted at the same time. More than can be tried in one window.
const MAX_NAMES: usize = 1000;

/// Wrong ones in the present window.
#[derive(Clone, Debug)]
pub(super) struct Attempts {
    allowed: u32,
    window: Duration,
    since: Option<Instant>,
    failures: u32,
}

impl Attempts {
    /// At most `allowed` wrong ones in each `window`.
    pub(super) fn new(allowed: u32, window: Duration) -> Self {
        Self { allowed, window, since: None, failures: 0 }
    }

    /// Refuses after too many wrong ones.
    pub(super) fn check(&mut self, now: Instant) -> Result<(), Refusal> {
        if self.is_over(now) {
            (self.since, self.failures) = (None, 0);
        }
        if self.failures < self.allowed { Ok(()) } else { Err(Refusal::TooMany) }
    }

    /// Counts a wrong one, and says what it is answered.
    pub(super) fn failed(&mut self, now: Instant) -> Refusal {
        let refusal = self.check(now).err().unwrap_or(Refusal::Unknown);
        self.since.get_or_insert(now);
        self.failures = self.failures.saturating_add(1);
        refusal
    }

    /// Takes one back: it was not wrong.
    pub(super) fn forgive(&mut self) {
        self.failures = self.failures.saturating_sub(1);
    }

    fn is_over(&self, now: Instant) -> bool {
        self.since.is_some_and(|since| now.saturating_duration_since(since) >= self.window)
    }
}

/// The same for each name, also for those that nobody has.
#[derive(Debug)]
pub(super) struct AttemptsByName {
    none: Attempts,
    by_name: HashMap<String, Attempts>,
}

impl AttemptsByName {
    pub(super) fn new(allowed: u32, window: Duration) -> Self {
        Self { none: Attempts::new(allowed, window), by_name: HashMap::new() }
    }

    pub(super) fn check(&mut self, name: &str, now: Instant) -> Result<(), Refusal> {
        if self.by_name.len() >= MAX_NAMES {
            self.by_name.retain(|_, attempts| !attempts.is_over(now));
        }
        let is_full = self.by_name.len() >= MAX_NAMES;
        match self.by_name.get_mut(name) {
            Some(attempts) => attempts.check(now),
            None if is_full => Err(Refusal::TooMany),
            None => Ok(()),
        }
    }

    /// Only after [`Self::check`], which keeps their number bounded.
    pub(super) fn failed(&mut self, name: &str, now: Instant) {
        self.by_name.entry(name.to_owned()).or_insert_with(|| self.none.clone()).failed(now);
    }

    pub(super) fn forgive(&mut self, name: &str) {
        if let Some(attempts) = self.by_name.get_mut(name) {
            attempts.forgive();
        }
    }

    /// The right one was shown.
    pub(super) fn forget(&mut self, name: &str) {
        self.by_name.remove(name);
    }
}

/// Picks what is told of something that may happen endlessly often.
#[derive(Debug)]
pub(super) struct Sampled {
    told: Attempts,
    untold: u64,
}

impl Sampled {
    /// At most `told` in each `window`.
    pub(super) fn new(told: u32, window: Duration) -> Self {
        Self { told: Attempts::new(told, window), untold: 0 }
    }

    /// It happened once more. Where it is to be told: how often it happened before without being told.
    pub(super) fn sample(&mut self, now: Instant) -> Option<u64> {
        match self.told.failed(now) {
            Refusal::Unknown => Some(std::mem::take(&mut self.untold)),
            _ => {
                self.untold = self.untold.saturating_add(1);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn ten_wrong_ones_are_enough_for_a_minute() {
        let mut attempts = Attempts::new(10, MINUTE);
        let start = Instant::now();
        for _ in 0..10 {
            assert_eq!(attempts.check(start), Ok(()));
            assert_eq!(attempts.failed(start), Refusal::Unknown);
        }
        assert_eq!(attempts.failed(start + Duration::from_secs(59)), Refusal::TooMany);
        assert_eq!(attempts.check(start + MINUTE), Ok(()));
    }

    #[test]
    fn one_name_does_not_close_the_door_for_another() {
        let (mut attempts, now) = (AttemptsByName::new(2, MINUTE), Instant::now());
        attempts.failed("alice", now);
        attempts.failed("alice", now);
        assert_eq!(attempts.check("alice", now), Err(Refusal::TooMany));
        assert_eq!(attempts.check("bob", now), Ok(()));
        attempts.forgive("alice");
        assert_eq!(attempts.check("alice", now), Ok(()));
        attempts.failed("alice", now);
        assert_eq!(attempts.check("alice", now + MINUTE), Ok(()));
    }

    #[test]
    fn names_are_counted_in_bounded_memory() {
        let (mut attempts, now) = (AttemptsByName::new(2, MINUTE), Instant::now());
        for number in 0..MAX_NAMES {
            assert_eq!(attempts.check(&number.to_string(), now), Ok(()));
            attempts.failed(&number.to_string(), now);
        }
        assert_eq!(attempts.check("one more", now), Err(Refusal::TooMany));
        assert_eq!(attempts.check("7", now), Ok(()));
        assert_eq!(attempts.check("one more", now + MINUTE), Ok(()));
        assert!(attempts.by_name.is_empty());
    }

    #[test]
    fn what_is_not_told_is_counted() {
        let (mut sampled, now) = (Sampled::new(2, MINUTE), Instant::now());
        assert_eq!([(); 5].map(|()| sampled.sample(now)), [Some(0), Some(0), None, None, None]);
        assert_eq!(sampled.sample(now + MINUTE), Some(3));
    }
}
