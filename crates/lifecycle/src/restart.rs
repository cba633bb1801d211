//! When something may be started: exponential back-off with jitter, and a breaker against crash loops.

use freezeframe_model::InstanceId;

use crate::Limits;

/// Whether starts are let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Breaker {
    Closed,
    Open {
        until: u64,
    },
    /// One probe at a time.
    HalfOpen {
        probe: Option<InstanceId>,
    },
}

/// How many may be started now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Starts {
    /// As many as are missing.
    Any,
    /// One, if this one does not run any more.
    OneUnless(Option<InstanceId>),
    /// None before this moment.
    NotBefore(u64),
}

#[derive(Debug)]
pub(crate) struct Restarts {
    random: fastrand::Rng,
    failures: u32,
    not_before: u64,
    breaker: Breaker,
}

impl Restarts {
    pub(crate) fn new(seed: u64) -> Self {
        Self { random: fastrand::Rng::with_seed(seed), failures: 0, not_before: 0, breaker: Breaker::Closed }
    }

    pub(crate) fn is_open(&self) -> bool {
        matches!(self.breaker, Breaker::Open { .. })
    }

    pub(crate) fn starts(&mut self, now: u64) -> Starts {
        if let Breaker::Open { until } = self.breaker {
            if now < until {
                return Starts::NotBefore(until);
            }
            self.breaker = Breaker::HalfOpen { probe: None };
        }
        match self.breaker {
            _ if now < self.not_before => Starts::NotBefore(self.not_before),
            Breaker::HalfOpen { probe } => Starts::OneUnless(probe),
            Breaker::Closed | Breaker::Open { .. } => Starts::Any,
        }
    }

    /// When starts are let through again, if they are not now.
    pub(crate) fn next_wake(&self, now: u64) -> Option<u64> {
        let open = match self.breaker {
            Breaker::Open { until } => until,
            Breaker::Closed | Breaker::HalfOpen { .. } => 0,
        };
        Some(self.not_before.max(open)).filter(|&at| at > now)
    }

    /// This one was started while the breaker was half open.
    pub(crate) fn probing(&mut self, instance: InstanceId, now: u64, limits: &Limits) {
        self.breaker = Breaker::HalfOpen { probe: Some(instance) };
        self.not_before = self.not_before.max(now.saturating_add(limits.backoff_min_ms));
    }

    /// An instance was started well. True where this closes the breaker. A pause that another one's end has cost stays.
    pub(crate) fn succeeded(&mut self) -> bool {
        self.failures = 0;
        std::mem::replace(&mut self.breaker, Breaker::Closed) != Breaker::Closed
    }

    /// A start ended before its time. Where this opens the breaker: until when.
    pub(crate) fn failed(&mut self, now: u64, limits: &Limits) -> Option<u64> {
        self.failures = self.failures.saturating_add(1);
        let doublings = self.failures.saturating_sub(1).min(63);
        let longest = limits.backoff_min_ms.saturating_mul(1 << doublings).min(limits.backoff_max_ms);
        // Full jitter above the minimum: several daemons whose instances fail together do not start them together.
        let pause = self.random.u64(limits.backoff_min_ms..=longest.max(limits.backoff_min_ms));
        self.not_before = self.not_before.max(now.saturating_add(pause));
        let opens = match self.breaker {
            Breaker::Closed => self.failures >= limits.breaker_failures,
            Breaker::HalfOpen { .. } => true,
            Breaker::Open { .. } => false,
        };
        opens.then(|| {
            let until = now.saturating_add(limits.breaker_open_ms);
            self.breaker = Breaker::Open { until };
            until
        })
    }

    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }
}
