//! From the queue to an instance: who is next when a slot is free, and who must make room when the queue is full.

use crate::Admission;
use crate::instance::Unavailable;
use crate::queue;
use crate::request::{InstanceId, Output, Reason, Shed};
use crate::slab::{NIL, State};
use crate::standing::Bounds;

/// Lanes that are passed over while looking for the next request: beyond these the slot stays free until the next event.
const PASSED_OVER_MAX: usize = 32;

impl Admission {
    /// Fills free slots from the queue.
    pub(crate) fn dispatch(&mut self, now_us: u64) {
        while self.lanes.queued() > 0 && self.lanes.has_free_slot() {
            let Some((lane, instance)) = self.next_lane(now_us) else { return };
            let at = self.lanes.at(lane);
            let next = if at.standing.stands() { at.youngest } else { at.oldest };
            if self.is_hopeless(now_us, next) {
                self.let_go(now_us, next, Reason::WaitedTooLong);
                continue;
            }
            self.unqueue(now_us, next);
            let id = self.start(now_us, next, instance);
            let (ticket, deadline_us) = (self.slab.ticket(next), self.slab.at(next).deadline_us);
            self.outputs.push(Output::Forward { ticket, instance: id, deadline_us });
        }
    }

    /// The lane whose turn it is, and where its request can go: tiers below their share first, then by importance; within a
    /// tier whoever has least in flight, and of those who has waited longest.
    fn next_lane(&mut self, now_us: u64) -> Option<(u16, u16)> {
        let mut passed_over: [u16; PASSED_OVER_MAX] = [0; PASSED_OVER_MAX];
        let mut count = 0;
        let tiers = self.claims.len();
        let short_first = (0..tiers).map(|tier| (tier, true)).chain((0..tiers).map(|tier| (tier, false)));
        for (tier, only_if_short) in short_first {
            if only_if_short && !self.lanes.is_short(tier) {
                continue;
            }
            loop {
                let skipped = passed_over.get(..count).unwrap_or_default();
                let eligible = self.lanes.waiting(tier).iter().copied();
                let eligible = eligible.filter(|lane| !skipped.contains(lane) && self.lanes.may_start(*lane));
                let claim = |lane: &u16| {
                    let at = self.lanes.at(*lane);
                    (at.in_flight, self.slab.at(at.oldest).arrived_us)
                };
                let Some(lane) = eligible.min_by_key(claim) else { break };
                let route = self.lanes.at(lane).route;
                match self.instances.pick(now_us, route, None, &mut self.rng) {
                    Ok(instance) => return Some((lane, instance)),
                    Err(Unavailable::Broken { .. }) => self.let_all_go(now_us, lane, Reason::Broken),
                    Err(Unavailable::Full) => {
                        *passed_over.get_mut(count)? = lane;
                        count += 1;
                    }
                }
            }
        }
        None
    }

    /// Gives a request a slot.
    pub(crate) fn start(&mut self, now_us: u64, index: u32, instance: u16) -> InstanceId {
        let lane = self.slab.at(index).lane;
        let route = self.lanes.at(lane).route;
        let probe = self.instances.begin(now_us, instance, route);
        self.lanes.count_in_flight(lane, true);
        self.lanes.at_mut(lane).cohorts.forwarded();
        self.retries.earn();
        let entry = self.slab.at_mut(index);
        entry.state = State::Running;
        entry.instance = instance;
        entry.probe = probe;
        entry.started_us = now_us;
        let deadline_us = entry.deadline_us;
        let ticket = self.slab.ticket(index);
        self.timers.set(&mut self.slab, ticket, deadline_us);
        self.instances.id(instance).unwrap_or(InstanceId(u64::MAX))
    }

    /// Makes room in a full queue for a newcomer with more claim than one who waits. False where there is none.
    pub(crate) fn make_room(&mut self, now_us: u64, lane: u16, cohort: u8) -> bool {
        let own = usize::from(self.lanes.at(lane).tier);
        let exceeds =
            |tier: usize| self.lanes.queued_in(tier) > self.lanes.guaranteed(tier, self.config.queue_max);
        let is_entitled = self.lanes.queued_in(own) < self.lanes.guaranteed(own, self.config.queue_max);
        let lower = (0..self.claims.len())
            .rev()
            .find(|&tier| tier != own && exceeds(tier) && (tier > own || is_entitled));
        let victim = match lower {
            Some(tier) => self.claims[tier].last().map(|(_, youngest)| youngest),
            None => self.rival(lane, cohort),
        };
        let Some(victim) = victim else { return false };
        self.let_go(now_us, victim, Reason::Displaced);
        true
    }

    /// Makes room for a newcomer where its route's own part of the queue is full: by one of a lower tier of the same route, or
    /// by the oldest where the queue stands.
    pub(crate) fn make_room_in_route(&mut self, now_us: u64, lane: u16) -> bool {
        let at = self.lanes.at(lane);
        let (route, own) = (usize::from(at.route), usize::from(at.tier));
        let mut lower = (own + 1..self.claims.len()).rev().map(|tier| self.lanes.index(route, tier));
        let victim = match lower.find(|&lower| self.lanes.at(lower).queued > 0) {
            Some(lower) => self.last_served(lower),
            None if at.standing.stands() && at.oldest != NIL => at.oldest,
            None => return false,
        };
        self.let_go(now_us, victim, Reason::Displaced);
        true
    }

    /// Who of the own tier must give way: the longest lane to one that has less than its part of the queue, the oldest to
    /// the youngest where the queue stands, the later cohort to the earlier.
    fn rival(&self, lane: u16, cohort: u8) -> Option<u32> {
        let at = self.lanes.at(lane);
        let waiting = self.lanes.waiting(usize::from(at.tier));
        let part = self.part_of_queue(lane);
        let longest = waiting.iter().copied().max_by_key(|&other| self.lanes.at(other).queued)?;
        if longest != lane && at.queued < part && self.lanes.at(longest).queued > part {
            return Some(self.last_served(longest));
        }
        if at.standing.stands() && at.oldest != NIL {
            return Some(at.oldest);
        }
        let (_, youngest) = self.claims[usize::from(at.tier)].last().filter(|(last, _)| *last > cohort)?;
        Some(youngest)
    }

    /// A lane's part of the queue, were it divided evenly among the lanes of its tier that want it, and no more than its route may
    /// have.
    pub(crate) fn part_of_queue(&self, lane: u16) -> u32 {
        let at = self.lanes.at(lane);
        let waiting = self.lanes.waiting(usize::from(at.tier)).len() as u32 + u32::from(at.queued == 0);
        let part = self.config.queue_max / waiting.max(1);
        self.config.routes[usize::from(at.route)].queue_max.map_or(part, |most| part.min(most))
    }

    fn last_served(&self, lane: u16) -> u32 {
        let at = self.lanes.at(lane);
        if at.standing.stands() { at.oldest } else { at.youngest }
    }

    /// Puts a request into the queue.
    pub(crate) fn enqueue(&mut self, now_us: u64, index: u32) {
        let lane = self.slab.at(index).lane;
        let tier = usize::from(self.lanes.at(lane).tier);
        queue::push(&mut self.slab, self.lanes.at_mut(lane), &mut self.claims[tier], index);
        self.lanes.count_queued(lane, true);
        let latest_us = self.slab.at(index).deadline_us.saturating_sub(self.low_us(lane));
        let ticket = self.slab.ticket(index);
        self.timers.set(&mut self.slab, ticket, latest_us);
        self.trim(now_us, lane);
    }

    /// Takes a request out of the queue.
    pub(crate) fn unqueue(&mut self, now_us: u64, index: u32) {
        let lane = self.slab.at(index).lane;
        let tier = usize::from(self.lanes.at(lane).tier);
        queue::remove(&mut self.slab, self.lanes.at_mut(lane), &mut self.claims[tier], index);
        self.lanes.count_queued(lane, false);
        self.observe(now_us, lane);
    }

    /// Refuses a request that waits.
    pub(crate) fn let_go(&mut self, now_us: u64, index: u32, reason: Reason) {
        let ticket = self.slab.ticket(index);
        self.unqueue(now_us, index);
        self.slab.remove(index);
        let shed = self.shed(reason, 0);
        self.outputs.push(Output::Shed { ticket, shed });
    }

    fn let_all_go(&mut self, now_us: u64, lane: u16, reason: Reason) {
        while self.lanes.at(lane).oldest != NIL {
            self.let_go(now_us, self.lanes.at(lane).oldest, reason);
        }
    }

    /// A refusal with a jittered time to come back, at least as long as `wait_us`.
    pub(crate) fn shed(&mut self, reason: Reason, wait_us: u64) -> Shed {
        let spread = (self.config.retry_after_us as f64 * 2.0 * self.rng.f64()) as u64;
        let retry_after_us = self.config.retry_after_us.saturating_add(spread).saturating_add(wait_us);
        Shed { reason, retry_after_us }
    }

    pub(crate) fn observe(&mut self, now_us: u64, lane: u16) {
        let bounds = self.bounds_of(lane);
        let oldest = self.lanes.at(lane).oldest;
        // Without any slot, nothing moves because there is no instance, not because there is too much to do.
        let moves = oldest != NIL && self.lanes.has_slots();
        let oldest_us = moves.then(|| self.slab.at(oldest).arrived_us);
        self.lanes.at_mut(lane).standing.observe(now_us, oldest_us, bounds);
    }

    pub(crate) fn bounds_of(&self, lane: u16) -> Bounds {
        let route = usize::from(self.lanes.at(lane).route);
        let high_us = self.times.get(route).map_or(0, crate::times::Times::high_us);
        Bounds::new(self.deadline_of(lane), high_us)
    }

    /// Shortest time in which a request of this lane is likely to be done. Never nearly the whole deadline: a route that has
    /// become too slow must go on being tried, or nobody would ever learn that it is fast again.
    pub(crate) fn low_us(&self, lane: u16) -> u64 {
        let route = usize::from(self.lanes.at(lane).route);
        let low_us = self.times.get(route).map_or(0, crate::times::Times::low_us);
        low_us.min(self.deadline_of(lane) / 10 * 9)
    }

    fn is_hopeless(&self, now_us: u64, index: u32) -> bool {
        let entry = self.slab.at(index);
        now_us >= entry.deadline_us || now_us.saturating_add(self.low_us(entry.lane)) > entry.deadline_us
    }
}
