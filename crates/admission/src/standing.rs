//! Whether a queue stands: CoDel's question (RFC 8289), asked of each lane.
//!
//! A queue that empties now and then absorbs a burst and does its work. One whose oldest request has waited longer than the
//! target all through an interval only makes everybody late: then the youngest go first (their clients are still there, and
//! they can still be answered in time), and those at the other end are let go.

/// Shortest target and interval, in microseconds.
const TARGET_MIN_US: u64 = 5_000;
const INTERVAL_MIN_US: u64 = 100_000;

/// A lane's standing queue, if it has one.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Standing {
    above_since_us: Option<u64>,
    stands: bool,
}

/// What is too long for a lane.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) target_us: u64,
    interval_us: u64,
}

impl Bounds {
    /// For a route with this deadline and this 95th percentile of processing. Where nothing is known of it (0), what is waited
    /// for may well take that long.
    pub(crate) fn new(deadline_us: u64, high_us: u64) -> Self {
        let longest_us = deadline_us.max(INTERVAL_MIN_US);
        let interval_us = if high_us == 0 { longest_us } else { high_us.clamp(INTERVAL_MIN_US, longest_us) };
        Self { target_us: TARGET_MIN_US.max(deadline_us / 100 * 3), interval_us }
    }
}

impl Standing {
    /// To be told whenever the lane changes: when its oldest request arrived, if there is any.
    pub(crate) fn observe(&mut self, now_us: u64, oldest_us: Option<u64>, bounds: Bounds) {
        let Some(oldest_us) = oldest_us else {
            *self = Self::default();
            return;
        };
        if self.stands {
            return;
        }
        if now_us.saturating_sub(oldest_us) < bounds.target_us {
            self.above_since_us = None;
            return;
        }
        // Above the target since the moment at which the oldest had waited that long.
        let since_us = *self.above_since_us.get_or_insert(oldest_us.saturating_add(bounds.target_us));
        self.stands = now_us.saturating_sub(since_us) >= bounds.interval_us;
    }

    pub(crate) fn stands(&self) -> bool {
        self.stands
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000;

    #[test]
    fn bounds_scale_with_the_route() {
        let quick = Bounds::new(50 * MS, 2 * MS);
        assert_eq!((quick.target_us, quick.interval_us), (5 * MS, 100 * MS));
        let slow = Bounds::new(6_000 * MS, 3_200 * MS);
        assert_eq!((slow.target_us, slow.interval_us), (180 * MS, 3_200 * MS));
    }

    #[test]
    fn a_burst_is_no_standing_queue() {
        let bounds = Bounds::new(100 * MS, 1);
        let mut lane = Standing::default();
        lane.observe(90 * MS, Some(0), bounds);
        lane.observe(99 * MS, None, bounds);
        lane.observe(130 * MS, Some(100 * MS), bounds);
        lane.observe(190 * MS, Some(188 * MS), bounds);
        lane.observe(200 * MS, Some(188 * MS), bounds);
        assert!(!lane.stands());
    }

    #[test]
    fn it_stands_after_an_interval_above_the_target_and_until_it_is_empty() {
        let bounds = Bounds::new(100 * MS, 1);
        let mut lane = Standing::default();
        lane.observe(20 * MS, Some(0), bounds);
        lane.observe(60 * MS, Some(40 * MS), bounds);
        assert!(!lane.stands());
        lane.observe(106 * MS, Some(80 * MS), bounds);
        assert!(lane.stands());
        lane.observe(107 * MS, Some(107 * MS), bounds);
        assert!(lane.stands(), "a young one does not make it flow");
        lane.observe(108 * MS, None, bounds);
        assert!(!lane.stands());
    }
}
