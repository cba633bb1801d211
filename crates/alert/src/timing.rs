//! The one place for how long alerts wait, and for what.

use std::time::Duration;

/// When things are tried, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timing {
    /// At most one alert per fingerprint and channel in this time.
    pub window: Duration,
    /// Pause after the first failure; doubled after each further one.
    pub first_retry: Duration,
    /// The longest pause.
    pub longest_retry: Duration,
    /// An alert that still fails at this age is given up.
    pub give_up_after: Duration,
    /// Limit of one attempt.
    pub attempt: Duration,
}

impl Default for Timing {
    /// 5 minutes, 1 second to 15 minutes, 24 hours, 10 seconds.
    fn default() -> Self {
        Self {
            window: Duration::from_secs(300),
            first_retry: Duration::from_secs(1),
            longest_retry: Duration::from_secs(900),
            give_up_after: Duration::from_secs(24 * 3600),
            attempt: Duration::from_secs(10),
        }
    }
}

impl Timing {
    /// No alert waits longer than this on purpose; one that seems to was written before the clock was set back.
    pub(crate) fn longest_wait(&self) -> Duration {
        self.window.max(self.longest_retry).max(Duration::from_secs(3600))
    }
}
