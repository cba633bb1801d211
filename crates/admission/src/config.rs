//! What can be configured, and its defaults.

/// Most routes, tiers times routes, and instances that are kept account of.
const ROUTES_MAX: usize = 1024;
const TIERS_MAX: usize = 8;
pub(crate) const INSTANCES_MAX: usize = 1024;
/// Longest queue and highest cap: everything that is allocated is bounded by them.
const QUEUE_LIMIT: u32 = 1 << 20;
pub(crate) const CAP_LIMIT: u32 = 1 << 20;
/// Longest deadline: a day.
const DEADLINE_LIMIT_US: u64 = 86_400_000_000;
pub(crate) const CLASSES_MAX: u8 = 8;

/// Requests that share a deadline, a tier, a cost and bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// Queue wait and processing together, in microseconds (default 30 s).
    pub deadline_us: u64,
    /// Which tier its requests are in, unless they say otherwise (default the second of three).
    pub tier: u8,
    /// Routes of one class use the same resource of an instance and share an adaptive limit there (default 0; at most 7).
    pub class: u8,
    /// Its requests in flight on one instance, within the instance's own cap (default: no other bound than that; at least 1).
    pub in_flight_max: Option<u32>,
    /// Its requests that may wait at one time, within the whole queue (default: no other bound than that).
    pub queue_max: Option<u32>,
}

impl Default for Route {
    fn default() -> Self {
        Self { deadline_us: 30_000_000, tier: 1, class: 0, in_flight_max: None, queue_max: None }
    }
}

/// Requests of like importance.
#[derive(Clone, Debug)]
pub struct Tier {
    /// For people.
    pub name: String,
    /// Part of slots and queue that lower and higher tiers cannot take from it while it needs them, 0 to 1.
    pub share: f64,
}

/// Settings of one [`Admission`](crate::Admission).
#[derive(Clone, Debug)]
pub struct Config {
    /// Requests that may wait at one time (default 128).
    pub queue_max: u32,
    /// The first is where requests of unknown routes belong.
    pub routes: Vec<Route>,
    /// The most important first (default: critical 0.5, default 0.3, sheddable 0.1).
    pub tiers: Vec<Tier>,
    /// How long a user stays in one cohort, in microseconds (default an hour): nobody is always shed first.
    pub cohort_rotation_us: u64,
    /// Shortest `Retry-After`, in microseconds; the longest is three times as long (default 1 s).
    pub retry_after_us: u64,
    /// Retries as a part of all requests (default 0.1).
    pub retry_ratio: f64,
    /// Whether limits adapt below the caps (default true).
    pub adaptive: bool,
    /// How long a breaker stays open at first, in microseconds (default 1 s; doubles up to a minute while probes fail).
    pub breaker_open_us: u64,
    /// For jitter and cohorts. The same seed and the same events give the same decisions.
    pub seed: u64,
}

impl Default for Config {
    fn default() -> Self {
        let tier = |name: &str, share| Tier { name: name.to_owned(), share };
        Self {
            queue_max: 128,
            routes: vec![Route::default()],
            tiers: vec![tier("critical", 0.5), tier("default", 0.3), tier("sheddable", 0.1)],
            cohort_rotation_us: 3_600_000_000,
            retry_after_us: 1_000_000,
            retry_ratio: 0.1,
            adaptive: true,
            breaker_open_us: 1_000_000,
            seed: 0,
        }
    }
}

/// A configuration that makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Too few or too many routes.
    #[error("there must be 1 to {ROUTES_MAX} routes")]
    Routes,
    /// Too few or too many tiers.
    #[error("there must be 1 to {TIERS_MAX} tiers")]
    Tiers,
    /// Shares that are negative or more than everything.
    #[error("the shares of the tiers must be 0 or more and not exceed 1 together")]
    Shares,
    /// A deadline that nothing could keep, or none at all.
    #[error("route {0} must have a deadline between 1 µs and a day")]
    Deadline(usize),
    /// A class that is out of range.
    #[error("route {0} has a class above 7")]
    Class(usize),
    /// A route that nothing could be sent to.
    #[error("route {0} must be allowed at least one request in flight")]
    InFlight(usize),
    /// A queue that is too long to be of use.
    #[error("the queue must be at most {QUEUE_LIMIT} long")]
    Queue,
    /// More retries than requests, or fewer than none.
    #[error("the part of retries must be between 0 and 1")]
    Retries,
}

impl Config {
    /// Refuses what makes no sense.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        if self.routes.is_empty() || self.routes.len() > ROUTES_MAX {
            return Err(ConfigError::Routes);
        }
        if self.tiers.is_empty() || self.tiers.len() > TIERS_MAX {
            return Err(ConfigError::Tiers);
        }
        let total: f64 = self.tiers.iter().map(|tier| tier.share).sum();
        if self.tiers.iter().any(|tier| !(0.0..=1.0).contains(&tier.share)) || total > 1.0 + 1e-9 {
            return Err(ConfigError::Shares);
        }
        for (index, route) in self.routes.iter().enumerate() {
            if route.deadline_us == 0 || route.deadline_us > DEADLINE_LIMIT_US {
                return Err(ConfigError::Deadline(index));
            }
            if route.class >= CLASSES_MAX {
                return Err(ConfigError::Class(index));
            }
            if route.in_flight_max == Some(0) {
                return Err(ConfigError::InFlight(index));
            }
        }
        if self.queue_max > QUEUE_LIMIT {
            return Err(ConfigError::Queue);
        }
        if !(0.0..=1.0).contains(&self.retry_ratio) {
            return Err(ConfigError::Retries);
        }
        Ok(())
    }
}
