//! When a request has to be looked at again, and what happens then.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::Admission;
use crate::request::{Output, Reason, Ticket};
use crate::slab::{Slab, State};

/// Moments at which requests have to be looked at. A request that ended early leaves its moment behind; those are swept
/// before they outnumber the others by much.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    heap: BinaryHeap<Reverse<(u64, u32, u32)>>,
}

/// Targets that nobody waits longer than in a queue that stands, unless its requests take longer than that.
const PATIENCE: u64 = 4;
/// More than this, and more than four times what lives, is swept.
const STALE_MAX: usize = 256;

impl Timers {
    pub(crate) fn set(&mut self, slab: &mut Slab, ticket: Ticket, at_us: u64) {
        slab.at_mut(ticket.index).timer_us = at_us;
        self.heap.push(Reverse((at_us, ticket.index, ticket.generation)));
        if self.heap.len() > STALE_MAX.max(4 * slab.live()) {
            self.heap.retain(|&Reverse(moment)| is_meant(slab, moment));
        }
    }

    pub(crate) fn next_us(&self) -> Option<u64> {
        self.heap.peek().map(|&Reverse((at_us, ..))| at_us)
    }

    fn pop_due(&mut self, slab: &Slab, now_us: u64) -> Option<Ticket> {
        while self.next_us()? <= now_us {
            let Reverse(moment) = self.heap.pop()?;
            if is_meant(slab, moment) {
                return Some(Ticket { index: moment.1, generation: moment.2 });
            }
        }
        None
    }
}

fn is_meant(slab: &Slab, (at_us, index, generation): (u64, u32, u32)) -> bool {
    slab.find(Ticket { index, generation }).is_some_and(|entry| entry.timer_us == at_us)
}

impl Admission {
    /// Time has passed. To be called at [`Admission::next_tick_us`] or soon after; more often does no harm.
    pub fn tick(&mut self, now_us: u64) {
        while let Some(ticket) = self.timers.pop_due(&self.slab, now_us) {
            self.expire(now_us, ticket);
        }
        self.share_out(now_us);
        for tier in 0..self.claims.len() {
            // Letting go of a lane's last request takes the lane out of this list.
            for at in (0..self.lanes.waiting(tier).len()).rev() {
                let Some(&lane) = self.lanes.waiting(tier).get(at) else { continue };
                self.trim(now_us, lane);
            }
        }
        self.dispatch(now_us);
    }

    /// When [`Admission::tick`] is due next; `None` while nothing waits and nothing is in flight.
    pub fn next_tick_us(&self) -> Option<u64> {
        self.timers.next_us()
    }

    fn expire(&mut self, now_us: u64, ticket: Ticket) {
        let Some(entry) = self.slab.find(ticket).copied() else { return };
        match entry.state {
            State::Free => {}
            State::Queued => self.let_go(now_us, ticket.index, Reason::WaitedTooLong),
            State::Running => {
                let allowance_us = self.deadline_of(entry.lane);
                let cell = self.slab.at_mut(ticket.index);
                cell.state = State::Lingering;
                cell.late = true;
                self.timers.set(&mut self.slab, ticket, now_us.saturating_add(allowance_us));
                self.outputs.push(Output::Late { ticket });
            }
            State::Lingering => self.release(now_us, ticket.index, crate::Outcome::Abandoned),
        }
    }

    /// Observes a lane's queue, and lets go of those that have waited too long in one that stands. As many as are in flight
    /// may wait for one service time, because so many are served in that time if fewer arrive from now on.
    pub(crate) fn trim(&mut self, now_us: u64, lane: u16) {
        self.observe(now_us, lane);
        let target_us = self.bounds_of(lane).target_us;
        let patience_us = self.lanes.at(lane).hold_us().max(PATIENCE * target_us);
        while self.lanes.at(lane).standing.stands() {
            let at = self.lanes.at(lane);
            let limit_us = if at.queued > at.in_flight.max(2) { target_us } else { patience_us };
            let oldest = at.oldest;
            if now_us.saturating_sub(self.slab.at(oldest).arrived_us) <= limit_us {
                return;
            }
            self.let_go(now_us, oldest, Reason::WaitedTooLong);
        }
    }
}
