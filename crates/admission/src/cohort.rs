//! Same user, same fate: which users are shed while not all can be served.
//!
//! Shedding a tenth of the requests at random fails almost everybody who needs ten of them. So users are hashed into 64
//! cohorts, and a lane that has too much to do serves the first few cohorts whole. How many is computed from what arrives
//! per cohort and what could be forwarded. The salt changes now and then, so that nobody is always last.

use crate::slab::NIL;

/// One bit each in a word.
pub(crate) const COHORTS: usize = 64;
/// A window is over when it is this old and has this many arrivals, or when it is [`WINDOW_MAX_US`] old.
const WINDOW_MIN_US: u64 = 100_000;
const WINDOW_ARRIVALS: u32 = 256;
const WINDOW_MAX_US: u64 = 500_000;
/// More is let into the queue than was forwarded, or a free slot would find nobody.
const SLACK: f64 = 1.02;
const SLACK_REQUESTS: f64 = 2.0;
/// What is left of a window in the next one.
const FADES: f32 = 0.6;

/// The place of a user at a time: the first six bits are the cohort, the others the place in it.
pub(crate) fn place_of(user: u64, now_us: u64, rotation_us: u64, seed: u64) -> u16 {
    let epoch = now_us / rotation_us.max(1);
    let mut hash = user ^ mix(epoch ^ mix(seed));
    hash = mix(hash);
    (hash >> 48) as u16
}

/// The finaliser of splitmix64.
fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

pub(crate) fn cohort_of(place: u16) -> u8 {
    (place >> 10) as u8
}

/// What one tier has waiting, by cohort: the later the cohort, the less its claim.
#[derive(Debug)]
pub(crate) struct Claims {
    /// Oldest and youngest waiting of each cohort.
    pub(crate) ends: [(u32, u32); COHORTS],
    /// Which cohorts have anybody waiting.
    pub(crate) waiting: u64,
}

impl Claims {
    pub(crate) fn new() -> Self {
        Self { ends: [(NIL, NIL); COHORTS], waiting: 0 }
    }

    /// The youngest of the cohort with the least claim that has anybody waiting.
    pub(crate) fn last(&self) -> Option<(u8, u32)> {
        let last = (self.waiting != 0).then(|| 63 - self.waiting.leading_zeros() as u8)?;
        Some((last, self.ends[usize::from(last)].1))
    }
}

/// Which cohorts one lane admits.
#[derive(Debug)]
pub(crate) struct Cohorts {
    /// More came than could be served, and it showed in the queue.
    presses: bool,
    /// Places below this one fit in: cohorts, and a part of one.
    level: f32,
    arrivals: [f32; COHORTS],
    fresh: u32,
    forwarded: f32,
    began_us: u64,
}

impl Cohorts {
    pub(crate) fn new() -> Self {
        Self {
            presses: false,
            level: COHORTS as f32,
            arrivals: [0.0; COHORTS],
            fresh: 0,
            forwarded: 0.0,
            began_us: 0,
        }
    }

    pub(crate) fn arrived(&mut self, now_us: u64, cohort: u8) {
        self.arrivals[usize::from(cohort) % COHORTS] += 1.0;
        self.fresh += 1;
        self.turn(now_us);
    }

    pub(crate) fn forwarded(&mut self) {
        self.forwarded += 1.0;
    }

    /// Whether the user at this place may wait. `queue_presses` begins a time in which not all may; it ends when all would fit.
    pub(crate) fn admits(&mut self, place: u16, queue_presses: bool) -> bool {
        self.presses |= queue_presses;
        !self.presses || f32::from(place) < self.level * 1024.0
    }

    fn turn(&mut self, now_us: u64) {
        let age_us = now_us.saturating_sub(self.began_us);
        if age_us < WINDOW_MIN_US || (age_us < WINDOW_MAX_US && self.fresh < WINDOW_ARRIVALS) {
            return;
        }
        let room = f64::from(self.forwarded) * SLACK + SLACK_REQUESTS;
        let mut left = room as f32;
        self.level = 0.0;
        for &count in &self.arrivals {
            if count > left {
                self.level += left / count;
                break;
            }
            left -= count;
            self.level += 1.0;
        }
        self.presses &= self.level < COHORTS as f32;
        // Noise is smoothed; the end of a surge is believed within a second or two. (Meanwhile a free slot is never refused.)
        self.arrivals.iter_mut().for_each(|count| *count *= FADES);
        self.forwarded *= FADES;
        self.fresh = 0;
        self.began_us = now_us;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cohorts_are_even_sticky_and_rotate() {
        let hour = 3_600_000_000;
        let mut counts = [0_u32; COHORTS];
        let mut moved = 0;
        for user in 0..64_000 {
            let place = place_of(user, 5, hour, 1);
            let cohort = cohort_of(place);
            assert_eq!(place, place_of(user, hour - 1, hour, 1));
            moved += u32::from(cohort != cohort_of(place_of(user, hour, hour, 1)));
            counts[usize::from(cohort)] += 1;
        }
        assert!(counts.iter().all(|&count| (850..1150).contains(&count)), "{counts:?}");
        assert!(moved > 60_000, "{moved}");
    }

    #[test]
    fn as_many_cohorts_are_admitted_as_can_be_served() {
        let mut lane = Cohorts::new();
        for i in 0..10_000_u64 {
            lane.arrived(i * 1_000, (i % 64) as u8);
            if i % 4 == 0 {
                lane.forwarded();
            }
        }
        assert!((16.0..=18.0).contains(&lane.level), "a quarter of 64, and some slack: {}", lane.level);
        for i in 0..3000_u64 {
            lane.arrived(10_000_000 + i * 4_000, (i % 64) as u8);
            lane.forwarded();
        }
        assert_eq!(lane.level, 64.0, "everybody again");
    }
}
