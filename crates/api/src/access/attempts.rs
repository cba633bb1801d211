//! How often something wrong may be shown. It knows nothing of who shows it: behind a proxy everybody has one address.

use std::time::{Duration, Instant};

use super::Refusal;

/// Wrong ones in the present window.
#[derive(Debug)]
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
        if self.since.is_some_and(|since| now.saturating_duration_since(since) >= self.window) {
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_wrong_ones_are_enough_for_a_minute() {
        let mut attempts = Attempts::new(10, Duration::from_secs(60));
        let start = Instant::now();
        for _ in 0..10 {
            assert_eq!(attempts.check(start), Ok(()));
            assert_eq!(attempts.failed(start), Refusal::Unknown);
        }
        assert_eq!(attempts.failed(start + Duration::from_secs(59)), Refusal::TooMany);
        assert_eq!(attempts.check(start + Duration::from_secs(60)), Ok(()));
    }
}
