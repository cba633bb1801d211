//! How often a wrong token may be shown. It knows nothing of who shows it: behind a proxy everybody has one address.

use std::time::{Duration, Instant};

use super::Refusal;

/// Wrong tokens per [`WINDOW`].
const ALLOWED: u32 = 10;

/// How long a wrong token counts.
const WINDOW: Duration = Duration::from_secs(60);

/// Wrong tokens in the present window.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    since: Option<Instant>,
    failures: u32,
}

impl Attempts {
    /// Refuses to look at any token, the right one too, after too many wrong ones.
    pub(super) fn check(&mut self, now: Instant) -> Result<(), Refusal> {
        if self.since.is_some_and(|since| now.saturating_duration_since(since) >= WINDOW) {
            *self = Self::default();
        }
        if self.failures < ALLOWED { Ok(()) } else { Err(Refusal::TooMany) }
    }

    /// Counts a wrong one.
    pub(super) fn failed(&mut self, now: Instant) {
        self.since.get_or_insert(now);
        self.failures = self.failures.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_wrong_tokens_close_the_door_for_a_minute() {
        let (mut attempts, start) = (Attempts::default(), Instant::now());
        for _ in 0..10 {
            assert_eq!(attempts.check(start), Ok(()));
            attempts.failed(start);
        }
        assert_eq!(attempts.check(start + Duration::from_secs(59)), Err(Refusal::TooMany));
        assert_eq!(attempts.check(start + Duration::from_secs(60)), Ok(()));
    }
}
