//! One route on one instance: closed, open, half-open.
//!
//! A breaker opens when most requests of a window failed; it then lets nothing through for a jittered while, and after that
//! one probe at a time. It does not know the other instances: whether the route is tried elsewhere is not its business.

/// Fewest requests of a window by which a route is judged, and the part of failures that is too much.
const REQUESTS_MIN: u32 = 20;
const FAILED_MAX: f32 = 0.5;
/// Requests of the last two windows count, the older at half.
const WINDOW_US: u64 = 5_000_000;
/// Probes that must succeed one after the other.
const PROBES: u8 = 3;
/// Longest time open, in microseconds.
const OPEN_MAX_US: u64 = 60_000_000;

#[derive(Clone, Copy, Debug)]
enum State {
    Closed,
    Open { until_us: u64 },
    HalfOpen { probing: bool, passed: u8 },
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Breaker {
    state: State,
    requests: f32,
    failed: f32,
    window_us: u64,
    /// How long it was open last; 0 after it closed.
    open_us: u64,
}

/// What a breaker says to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leave {
    Go,
    /// Go, and find out whether it works again.
    Probe,
    /// Not before then.
    No {
        until_us: u64,
    },
}

impl Breaker {
    pub(crate) fn new() -> Self {
        Self { state: State::Closed, requests: 0.0, failed: 0.0, window_us: 0, open_us: 0 }
    }

    /// Whether a request may go now. Changes nothing; [`Breaker::begin`] does.
    pub(crate) fn leave(&self, now_us: u64) -> Leave {
        match self.state {
            State::Closed => Leave::Go,
            State::Open { until_us } if now_us < until_us => Leave::No { until_us },
            State::Open { .. } | State::HalfOpen { probing: false, .. } => Leave::Probe,
            State::HalfOpen { probing: true, .. } => {
                Leave::No { until_us: now_us.saturating_add(self.open_us) }
            }
        }
    }

    /// A request goes. True where it is a probe.
    pub(crate) fn begin(&mut self, now_us: u64) -> bool {
        let passed = match self.state {
            State::Open { until_us } if now_us >= until_us => 0,
            State::HalfOpen { probing: false, passed } => passed,
            _ => return false,
        };
        self.state = State::HalfOpen { probing: true, passed };
        true
    }

    /// A request came back. `None` where it says nothing about the route. `jitter` is 0 to 1.
    pub(crate) fn end(&mut self, now_us: u64, ok: Option<bool>, probe: bool, first_us: u64, jitter: f64) {
        if let (true, State::HalfOpen { passed, .. }) = (probe, self.state) {
            match ok {
                None => self.state = State::HalfOpen { probing: false, passed },
                Some(false) => self.open(now_us, first_us, jitter),
                Some(true) if passed + 1 >= PROBES => *self = Self { window_us: now_us, ..Self::new() },
                Some(true) => self.state = State::HalfOpen { probing: false, passed: passed + 1 },
            }
            return;
        }
        let (State::Closed, Some(ok)) = (self.state, ok) else { return };
        if now_us.saturating_sub(self.window_us) >= WINDOW_US {
            self.requests *= 0.5;
            self.failed *= 0.5;
            self.window_us = now_us;
        }
        self.requests += 1.0;
        self.failed += if ok { 0.0 } else { 1.0 };
        if !ok && self.requests >= REQUESTS_MIN as f32 && self.failed >= self.requests * FAILED_MAX {
            self.open(now_us, first_us, jitter);
        }
    }

    fn open(&mut self, now_us: u64, first_us: u64, jitter: f64) {
        self.open_us = if self.open_us == 0 { first_us } else { self.open_us * 2 }.clamp(1, OPEN_MAX_US);
        // Half to one and a half: gates that opened together do not probe together.
        let for_us = (self.open_us as f64 * (0.5 + jitter)) as u64;
        self.state = State::Open { until_us: now_us.saturating_add(for_us) };
        self.requests = 0.0;
        self.failed = 0.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    fn failing() -> Breaker {
        let mut breaker = Breaker::new();
        for _ in 0..REQUESTS_MIN {
            assert_eq!(breaker.leave(0), Leave::Go);
            breaker.end(0, Some(false), false, SECOND, 0.5);
        }
        breaker
    }

    #[test]
    fn it_opens_probes_and_closes() {
        let mut breaker = failing();
        assert_eq!(breaker.leave(0), Leave::No { until_us: SECOND });
        for _ in 0..PROBES {
            assert_eq!(breaker.leave(SECOND), Leave::Probe);
            assert!(breaker.begin(SECOND));
            assert!(matches!(breaker.leave(SECOND), Leave::No { .. }), "one probe at a time");
            breaker.end(SECOND, Some(true), true, SECOND, 0.5);
        }
        assert_eq!(breaker.leave(SECOND), Leave::Go);
    }

    #[test]
    fn a_failed_probe_doubles_the_time_and_a_silent_one_is_repeated() {
        let mut breaker = failing();
        assert!(breaker.begin(SECOND));
        breaker.end(SECOND, None, true, SECOND, 0.5);
        assert!(breaker.begin(SECOND));
        breaker.end(SECOND, Some(false), true, SECOND, 0.5);
        assert_eq!(breaker.leave(SECOND), Leave::No { until_us: 3 * SECOND });
    }

    #[test]
    fn a_few_failures_among_many_do_not_open_it() {
        let mut breaker = Breaker::new();
        for i in 0..10_000_u64 {
            breaker.end(i * 1_000, Some(i % 5 != 0), false, SECOND, 0.5);
        }
        assert_eq!(breaker.leave(10 * SECOND), Leave::Go);
    }

    #[test]
    fn what_was_sent_before_it_opened_does_not_open_it_again() {
        let mut breaker = failing();
        breaker.end(SECOND / 2, Some(false), false, SECOND, 0.5);
        assert_eq!(breaker.leave(0), Leave::No { until_us: SECOND });
    }
}
