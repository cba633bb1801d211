//! Lanes: what of the slots is whose.
//!
//! A lane is one route in one tier. What was enough for 99 of 100 of its requests lately (its *demand*: in flight and waiting
//! when they came) is reserved for it, up to its fair part of all slots; only what nobody needs may be taken by others. So a
//! route that has become slow can fill whatever is free, but not the few slots that keep a fast route fast, and a surge of
//! sheddable requests leaves what critical ones use. Slots that nobody needed lately are reserved for nobody. (The highest
//! demand instead of the 99th percentile would let one hiccup of the machine reserve half of everything for half a minute.)
//!
//! A reserved slot that stands idle is throughput lost, so nothing is reserved for a lane that can as well wait for the next
//! slot that becomes free: where the others hold theirs for milliseconds, being first in line is enough.
//!
//! Where a route may have only so many in flight, that holds for its lanes together, and no more is reserved for them.

use std::ops::Range;

use crate::cohort::Cohorts;
use crate::slab::NIL;
use crate::standing::Standing;
use crate::times::{Counts, bucket};

/// What was seen of demand fades by half in this time, and whenever there is so much of it.
const MEMORY_US: u64 = 20_000_000;
const SEEN_MAX: u32 = 16_384;
/// Demands are counted in parts of one (`2^FINE`), so that small ones have a bucket each.
const FINE: u32 = 4;
/// For this part of its requests a lane's demand is enough.
const ENOUGH_FOR: f64 = 0.99;
/// Time between two divisions of the slots.
const DIVIDE_US: u64 = 100_000;
/// The next slot must be expected in this part of what a lane may wait, so that it nearly always comes in time.
const SURELY: f64 = 0.2;

#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) route: u16,
    pub(crate) tier: u8,
    pub(crate) oldest: u32,
    pub(crate) youngest: u32,
    pub(crate) queued: u32,
    pub(crate) in_flight: u32,
    pub(crate) standing: Standing,
    pub(crate) cohorts: Cohorts,
    /// How long its requests keep a slot, on average, in microseconds.
    hold_us: f64,
    /// How many were in flight and waiting, with itself, when each request came; where any did.
    seen: Option<Box<Counts>>,
    demand: u32,
    fair: u32,
    reserved: u32,
    /// Slots that its route may have in all.
    most: u32,
    /// The next slot comes soon enough: none need be reserved.
    can_wait: bool,
}

impl Lane {
    pub(crate) fn new(route: u16, tier: u8) -> Self {
        Self {
            route,
            tier,
            oldest: NIL,
            youngest: NIL,
            queued: 0,
            in_flight: 0,
            standing: Standing::default(),
            cohorts: Cohorts::new(),
            hold_us: 0.0,
            seen: None,
            demand: 0,
            fair: 0,
            reserved: 0,
            most: u32::MAX,
            can_wait: false,
        }
    }

    /// One of its requests kept a slot for so long.
    pub(crate) fn held(&mut self, us: u64) {
        let weight = if self.hold_us > 0.0 { 0.05 } else { 1.0 };
        self.hold_us += (us as f64 - self.hold_us) * weight;
    }

    pub(crate) fn hold_us(&self) -> u64 {
        self.hold_us as u64
    }

    /// Slots that it gives back per microsecond.
    fn flow(&self) -> f64 {
        if self.hold_us > 0.0 { f64::from(self.in_flight) / self.hold_us } else { 0.0 }
    }

    /// Finds out what it needs.
    fn assess(&mut self) {
        let seen = self.seen.as_ref().map_or(0, |seen| seen.percentile(ENOUGH_FOR).saturating_sub(1) >> FINE);
        // Whoever is here needs something, however long ago it came.
        self.demand = u32::try_from(seen).unwrap_or(u32::MAX).max((self.in_flight + self.queued).min(1));
    }

    fn reserve(&mut self) {
        self.reserved = if self.can_wait { 0 } else { self.demand.min(self.fair).min(self.most) };
    }

    fn unused(&self) -> u32 {
        self.reserved.saturating_sub(self.in_flight)
    }
}

/// All lanes, and the slots that they share.
#[derive(Debug)]
pub(crate) struct Lanes {
    all: Vec<Lane>,
    tiers: usize,
    shares: Vec<f64>,
    /// Slots of all instances, and how many are in use.
    slots: u32,
    in_flight: u32,
    in_flight_by_tier: Vec<u32>,
    queued: u32,
    queued_by_tier: Vec<u32>,
    /// Lanes that have anybody waiting, by tier, in no order.
    waiting: Vec<Vec<u16>>,
    /// Reserved and not in use.
    unused: u32,
    turned_us: u64,
    divided_us: u64,
}

impl Lanes {
    pub(crate) fn new(routes: usize, shares: Vec<f64>) -> Self {
        let tiers = shares.len();
        let all =
            (0..routes).flat_map(|route| (0..tiers).map(move |tier| Lane::new(route as u16, tier as u8)));
        Self {
            all: all.collect(),
            tiers,
            shares,
            slots: 0,
            in_flight: 0,
            in_flight_by_tier: vec![0; tiers],
            queued: 0,
            queued_by_tier: vec![0; tiers],
            waiting: vec![Vec::new(); tiers],
            unused: 0,
            turned_us: 0,
            divided_us: 0,
        }
    }

    pub(crate) fn index(&self, route: usize, tier: usize) -> u16 {
        (route * self.tiers + tier) as u16
    }

    pub(crate) fn at(&self, lane: u16) -> &Lane {
        &self.all[usize::from(lane)]
    }

    pub(crate) fn at_mut(&mut self, lane: u16) -> &mut Lane {
        &mut self.all[usize::from(lane)]
    }

    pub(crate) fn in_flight(&self) -> u32 {
        self.in_flight
    }

    pub(crate) fn has_slots(&self) -> bool {
        self.slots > 0
    }

    pub(crate) fn has_free_slot(&self) -> bool {
        self.in_flight < self.slots
    }

    pub(crate) fn queued(&self) -> u32 {
        self.queued
    }

    pub(crate) fn queued_in(&self, tier: usize) -> u32 {
        self.queued_by_tier[tier]
    }

    /// What of `total` a tier keeps whatever the others do.
    pub(crate) fn guaranteed(&self, tier: usize, total: u32) -> u32 {
        (self.shares[tier] * f64::from(total)) as u32
    }

    /// Whether a tier has less than its guaranteed part of the slots.
    pub(crate) fn is_short(&self, tier: usize) -> bool {
        self.in_flight_by_tier[tier] < self.guaranteed(tier, self.slots)
    }

    /// Lanes of a tier that have anybody waiting, in no order.
    pub(crate) fn waiting(&self, tier: usize) -> &[u16] {
        &self.waiting[tier]
    }

    /// Whether any queue stands for want of slots, and not for its route's own bound.
    pub(crate) fn any_stands(&self) -> bool {
        let mut waiting = self.waiting.iter().flatten().map(|&lane| self.at(lane));
        waiting.any(|lane| lane.standing.stands() && self.route_has_room(lane))
    }

    /// Where the lanes of a route are, one for each tier.
    fn range_of(&self, route: u16) -> Range<usize> {
        let first = usize::from(self.index(usize::from(route), 0));
        first..first + self.tiers
    }

    fn of_route(&self, route: u16) -> &[Lane] {
        self.all.get(self.range_of(route)).unwrap_or_default()
    }

    /// Requests of a route that wait.
    pub(crate) fn queued_of(&self, route: u16) -> u32 {
        self.of_route(route).iter().map(|lane| lane.queued).sum()
    }

    fn route_has_room(&self, lane: &Lane) -> bool {
        lane.most == u32::MAX
            || self.of_route(lane.route).iter().map(|lane| lane.in_flight).sum::<u32>() < lane.most
    }

    /// A route may have so many slots.
    pub(crate) fn set_most(&mut self, route: u16, most: u32) {
        let own = self.range_of(route);
        let lanes = self.all.get_mut(own).unwrap_or_default();
        if lanes.iter().any(|lane| lane.most != most) {
            lanes.iter_mut().for_each(|lane| lane.most = most);
            self.share_out();
        }
    }

    /// Whether a slot may be taken by a lane, as far as its route and the other lanes are concerned.
    pub(crate) fn may_start(&self, lane: u16) -> bool {
        let at = self.at(lane);
        if !self.route_has_room(at) {
            return false;
        }
        let own = at.unused();
        let others = if own > 0 { 0 } else { self.unused };
        self.in_flight.saturating_add(others) < self.slots
    }

    /// One more (or less) waits in a lane; the lane's own count has been changed already.
    pub(crate) fn count_queued(&mut self, lane: u16, more: bool) {
        let tier = usize::from(self.at(lane).tier);
        step(&mut self.queued, more);
        step(&mut self.queued_by_tier[tier], more);
        match (self.at(lane).queued, more) {
            (1, true) => self.waiting[tier].push(lane),
            (0, false) => self.waiting[tier].retain(|&other| other != lane),
            _ => {}
        }
    }

    /// One more (or less) of a lane is in flight.
    pub(crate) fn count_in_flight(&mut self, lane: u16, more: bool) {
        let before = self.at(lane).unused();
        let tier = usize::from(self.at(lane).tier);
        step(&mut self.in_flight, more);
        step(&mut self.in_flight_by_tier[tier], more);
        step(&mut self.at_mut(lane).in_flight, more);
        self.unused = self.unused - before + self.at(lane).unused();
    }

    pub(crate) fn set_slots(&mut self, slots: u32) {
        if self.slots != slots {
            self.slots = slots;
            self.share_out();
        }
    }

    /// A request comes to a lane.
    pub(crate) fn arrived(&mut self, index: u16) {
        let lane = self.at_mut(index);
        let needed = u64::from(lane.in_flight + lane.queued + 1);
        let seen = lane.seen.get_or_insert_with(|| Box::new(Counts::new()));
        seen.add(bucket(needed << FINE));
        if seen.fresh() >= SEEN_MAX {
            seen.fade(2);
        }
        if lane.demand == 0 {
            lane.assess();
            self.share_out();
        }
    }

    pub(crate) fn is_due(&self, now_us: u64) -> bool {
        now_us.saturating_sub(self.divided_us) >= DIVIDE_US
    }

    /// Forgets what was needed long ago, and finds out who can wait. `patience` is what a lane may wait, in microseconds.
    pub(crate) fn turn(&mut self, now_us: u64, patience: impl Fn(&Lane) -> u64) {
        self.divided_us = now_us;
        if now_us.saturating_sub(self.turned_us) >= MEMORY_US {
            self.turned_us = now_us;
            self.all.iter_mut().filter_map(|lane| lane.seen.as_mut()).for_each(|seen| seen.fade(2));
        }
        let (slots, in_flight) = (self.slots, self.in_flight);
        let flow: f64 = self.all.iter().map(Lane::flow).sum();
        for lane in &mut self.all {
            // What comes back if the others have everything else: counting what they have now would go round in circles.
            let theirs = f64::from((in_flight - lane.in_flight).max(1));
            let per_slot = (flow - lane.flow()).max(0.0) / theirs;
            let back = per_slot * f64::from(slots.saturating_sub(lane.in_flight));
            lane.assess();
            lane.can_wait = back * patience(lane) as f64 * SURELY >= 1.0;
        }
        self.share_out();
    }

    /// What each lane's fair part is: its tier's share among the tier's lanes, and what belongs to no tier among all.
    fn share_out(&mut self) {
        let active = |lane: &&Lane| lane.demand > 0;
        let mut lanes_of = vec![0_u32; self.tiers];
        self.all.iter().filter(active).for_each(|lane| lanes_of[usize::from(lane.tier)] += 1);
        let total: u32 = lanes_of.iter().sum();
        let taken: f64 = (0..self.tiers).filter(|&t| lanes_of[t] > 0).map(|t| self.shares[t]).sum();
        let rest = (1.0 - taken).max(0.0) / f64::from(total.max(1));
        self.unused = 0;
        for lane in &mut self.all {
            let tier = usize::from(lane.tier);
            let part = self.shares[tier] / f64::from(lanes_of[tier].max(1)) + rest;
            lane.fair = (part * f64::from(self.slots)) as u32;
            lane.reserve();
            self.unused += lane.unused();
        }
    }
}

fn step(count: &mut u32, more: bool) {
    *count = if more { *count + 1 } else { count.saturating_sub(1) };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lanes() -> Lanes {
        let mut lanes = Lanes::new(2, vec![0.0]);
        lanes.set_slots(10);
        lanes
    }

    #[test]
    fn alone_a_lane_has_everything() {
        let mut lanes = lanes();
        for _ in 0..10 {
            assert!(lanes.may_start(0));
            lanes.count_in_flight(0, true);
        }
        assert!(!lanes.may_start(0));
    }

    #[test]
    fn what_a_lane_needed_lately_is_kept_for_it_and_no_more() {
        let mut lanes = lanes();
        for _ in 0..2 {
            lanes.arrived(1);
            lanes.count_in_flight(1, true);
        }
        lanes.turn(0, |_| 0);
        for _ in 0..2 {
            lanes.count_in_flight(1, false);
        }
        for _ in 0..8 {
            assert!(lanes.may_start(0));
            lanes.count_in_flight(0, true);
        }
        assert!(!lanes.may_start(0), "two are kept");
        assert!(lanes.may_start(1));
        lanes.turn(MEMORY_US, |_| 0);
        lanes.turn(2 * MEMORY_US, |_| 0);
        assert!(lanes.may_start(0), "forgotten");
    }

    #[test]
    fn a_hiccup_is_no_demand() {
        let mut lanes = lanes();
        for _ in 0..1_000 {
            lanes.arrived(1);
        }
        for _ in 0..5 {
            lanes.arrived(1);
            lanes.count_in_flight(1, true);
        }
        (0..5).for_each(|_| lanes.count_in_flight(1, false));
        lanes.turn(0, |_| 0);
        let started = (0..10).take_while(|_| {
            let may = lanes.may_start(0);
            if may {
                lanes.count_in_flight(0, true);
            }
            may
        });
        assert_eq!(started.count(), 9, "one was enough for nearly all");
    }

    #[test]
    fn two_that_want_everything_get_half_each() {
        let mut lanes = lanes();
        for lane in [0, 1] {
            (0..20).for_each(|_| {
                lanes.arrived(lane);
                lanes.at_mut(lane).queued += 1;
                lanes.count_queued(lane, true);
            });
        }
        lanes.turn(0, |_| 0);
        for lane in [0, 1] {
            let started = (0..20).take_while(|_| {
                let may = lanes.may_start(lane);
                if may {
                    lanes.count_in_flight(lane, true);
                }
                may
            });
            assert_eq!(started.count(), 5);
        }
    }

    #[test]
    fn a_free_slot_is_not_left_idle_between_two_that_are_short() {
        let mut lanes = Lanes::new(3, vec![0.0]);
        lanes.set_slots(9);
        (0..8).for_each(|_| lanes.count_in_flight(0, true));
        for lane in [1, 2] {
            (0..3).for_each(|_| {
                lanes.arrived(lane);
                lanes.count_in_flight(lane, true);
            });
            (0..3).for_each(|_| lanes.count_in_flight(lane, false));
        }
        lanes.turn(0, |_| 0);
        assert!(lanes.may_start(1) && lanes.may_start(2) && !lanes.may_start(0));
    }
}
