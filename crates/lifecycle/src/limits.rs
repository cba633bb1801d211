//! The numbers that bound everything.

/// No time or duration is longer than this, in ms (a hundred million years): sums of a few never overflow.
pub(crate) const MS_MAX: u64 = u64::MAX / 8;

/// Limits and times of one service. Fields are public: start from [`Limits::default`] and change what differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Instances that serve.
    pub instances: u32,
    /// Instances that are ready to take a place.
    pub spares: u32,
    /// Processes that may be held at the same time.
    pub held_max: u32,
    /// Sum of the resident memory of all held processes, in bytes.
    pub held_bytes_max: u64,
    /// A hold never leaves fewer instances in routing than this.
    pub healthy_min: u32,
    /// Time for the other requests of an instance to finish, in ms.
    pub drain_ms: u64,
    /// How long a hold lasts unless somebody extends it, in ms.
    pub lease_ms: u64,
    /// No lease ends later than this from the moment of its extension, in ms.
    pub lease_max_ms: u64,
    /// A replacement must serve within this time, or the hold is given up, in ms.
    pub replace_ms: u64,
    /// Time to become ready after the start, in ms.
    pub ready_ms: u64,
    /// Time between asking a process to end and killing it, in ms.
    pub stop_ms: u64,
    /// Shortest pause after a start that failed, in ms.
    pub backoff_min_ms: u64,
    /// Longest pause after starts that failed, in ms.
    pub backoff_max_ms: u64,
    /// An instance that has been ready for this long was started well, in ms.
    pub stable_ms: u64,
    /// After so many failed starts in a row the breaker opens.
    pub breaker_failures: u32,
    /// So long nothing is started while the breaker is open, in ms; then one probe is.
    pub breaker_open_ms: u64,
    /// Traps are disarmed for this long after the first refusal, in ms; the time doubles with each further one.
    pub rearm_min_ms: u64,
    /// Traps are disarmed no longer than this after a refusal, in ms.
    pub rearm_max_ms: u64,
    /// Whether an instance that ends by itself is started again. Where not, [`crate::Action::Done`] carries its exit code.
    pub restart: bool,
    /// Whether stopping also kills what is held. Where not, held processes stay held for the next run to adopt.
    pub stop_kills_held: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            instances: 2,
            spares: 1,
            held_max: 2,
            held_bytes_max: 4 << 30,
            healthy_min: 1,
            drain_ms: 2_000,
            lease_ms: 4 * 3_600_000,
            lease_max_ms: 24 * 3_600_000,
            replace_ms: 30_000,
            ready_ms: 60_000,
            stop_ms: 10_000,
            backoff_min_ms: 200,
            backoff_max_ms: 30_000,
            stable_ms: 10_000,
            breaker_failures: 5,
            breaker_open_ms: 30_000,
            rearm_min_ms: 250,
            rearm_max_ms: 30_000,
            restart: true,
            stop_kills_held: false,
        }
    }
}

impl Limits {
    /// With times of zero raised to the shortest that cannot spin, and ranges put in order.
    pub(crate) fn sane(mut self) -> Self {
        self.instances = self.instances.max(1);
        self.breaker_failures = self.breaker_failures.max(1);
        for ms in [
            &mut self.drain_ms,
            &mut self.lease_ms,
            &mut self.lease_max_ms,
            &mut self.replace_ms,
            &mut self.ready_ms,
            &mut self.stop_ms,
            &mut self.backoff_min_ms,
            &mut self.backoff_max_ms,
            &mut self.stable_ms,
            &mut self.breaker_open_ms,
            &mut self.rearm_min_ms,
            &mut self.rearm_max_ms,
        ] {
            *ms = (*ms).clamp(1, MS_MAX);
        }
        self.backoff_max_ms = self.backoff_max_ms.max(self.backoff_min_ms);
        self.rearm_max_ms = self.rearm_max_ms.max(self.rearm_min_ms);
        self.lease_max_ms = self.lease_max_ms.max(self.lease_ms);
        self
    }
}
