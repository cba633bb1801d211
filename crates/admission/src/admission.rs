//! The state machine: what it is told.
//!
//! One structure for all threads, to be kept behind one short lock (see [`Door`](crate::Door)), not one per core. A cap of ten
//! does not divide among four cores; a queue in four parts has no order; and a slot that becomes free on one core is of
//! use to a request that waits on another. The lock is held for a few hundred nanoseconds, two or three times per request:
//! at the rate of a whole gate that is a few percent of the time, so it is nearly always free.

use std::vec::Drain;

use crate::cohort::{Claims, cohort_of, place_of};
use crate::config::{Config, ConfigError};
use crate::expiry::Timers;
use crate::instance::{Instances, Unavailable};
use crate::lane::{Lane, Lanes};
use crate::limit::Departure;
use crate::request::{Answer, InstanceId, Outcome, Output, Reason, Request, Ticket};
use crate::retry::RetryBudget;
use crate::slab::{Slab, State};
use crate::standing::Bounds;
use crate::times::Times;

/// Decides which requests proceed. Times are microseconds on any scale that does not go backwards.
#[derive(Debug)]
pub struct Admission {
    pub(crate) config: Config,
    pub(crate) slab: Slab,
    pub(crate) lanes: Lanes,
    /// By tier.
    pub(crate) claims: Vec<Claims>,
    pub(crate) instances: Instances,
    /// By route.
    pub(crate) times: Vec<Times>,
    pub(crate) retries: RetryBudget,
    pub(crate) timers: Timers,
    pub(crate) outputs: Vec<Output>,
    pub(crate) rng: fastrand::Rng,
}

impl Admission {
    /// Without any instance yet: until there is one, requests wait.
    ///
    /// # Errors
    /// The configuration makes no sense.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        config.check()?;
        let shares = config.tiers.iter().map(|tier| tier.share).collect();
        Ok(Self {
            slab: Slab::default(),
            lanes: Lanes::new(config.routes.len(), shares),
            claims: config.tiers.iter().map(|_| Claims::new()).collect(),
            instances: Instances::new(&config),
            times: config.routes.iter().map(|_| Times::new()).collect(),
            retries: RetryBudget::new(config.retry_ratio),
            timers: Timers::default(),
            outputs: Vec::new(),
            rng: fastrand::Rng::with_seed(config.seed),
            config,
        })
    }

    /// An instance is in routing, or has another cap now. False where there are too many already (more than 1,024).
    pub fn instance_up(&mut self, now_us: u64, instance: InstanceId, in_flight_max: u32) -> bool {
        let known = self.instances.up(instance, in_flight_max);
        self.recount(now_us);
        known
    }

    /// An instance gets nothing more. What it has in flight goes on until it is finished.
    pub fn instance_down(&mut self, now_us: u64, instance: InstanceId) {
        self.instances.down(instance);
        self.recount(now_us);
    }

    /// A request arrives. Others may have to give way to it: their [`Admission::outputs`] are to be looked at before anything
    /// is noted under the new ticket, whose index may have been one of theirs.
    pub fn arrive(&mut self, now_us: u64, request: &Request) -> Answer {
        let route = usize::from(request.route.0);
        let route = if route < self.config.routes.len() { route } else { 0 };
        let settings = self.config.routes[route];
        let tier = usize::from(request.tier.map_or(settings.tier, |tier| tier.0)).min(self.claims.len() - 1);
        let lane = self.lanes.index(route, tier);
        let place = match request.user {
            Some(user) => place_of(user, now_us, self.config.cohort_rotation_us, self.config.seed),
            None => self.rng.u16(..),
        };
        let cohort = cohort_of(place);
        self.lanes.at_mut(lane).cohorts.arrived(now_us, cohort);
        self.lanes.arrived(lane);
        let own_us = now_us.saturating_add(settings.deadline_us);
        let deadline_us = request.deadline_us.map_or(own_us, |clients_us| clients_us.min(own_us));
        if deadline_us <= now_us {
            return Answer::Shed(self.shed(Reason::WaitedTooLong, 0));
        }
        let entry = Slab::new_entry(lane, cohort, now_us, deadline_us);
        match self.instances.pick(now_us, route as u16, None, &mut self.rng) {
            Err(Unavailable::Broken { until_us }) => {
                return Answer::Shed(self.shed(Reason::Broken, until_us.saturating_sub(now_us)));
            }
            // Those who wait in this lane already are waiting for the same slot.
            Ok(instance) if self.lanes.at(lane).queued == 0 && self.lanes.may_start(lane) => {
                let ticket = self.slab.insert(entry);
                let instance = self.start(now_us, ticket.index, instance);
                return Answer::Forward { ticket, instance, deadline_us };
            }
            _ => {}
        }
        if let Err(reason) = self.may_wait(now_us, lane, place, deadline_us) {
            return Answer::Shed(self.shed(reason, 0));
        }
        let ticket = self.slab.insert(entry);
        self.enqueue(now_us, ticket.index);
        self.dispatch(now_us);
        self.settled(ticket).unwrap_or(Answer::Queued { ticket })
    }

    /// What was decided about a request since it was put into the queue, within the same event.
    fn settled(&mut self, ticket: Ticket) -> Option<Answer> {
        let at = self.outputs.iter().rposition(|output| output.ticket() == ticket)?;
        match self.outputs.remove(at) {
            Output::Forward { ticket, instance, deadline_us } => {
                Some(Answer::Forward { ticket, instance, deadline_us })
            }
            Output::Shed { shed, .. } => Some(Answer::Shed(shed)),
            Output::Late { .. } => None,
        }
    }

    fn may_wait(&mut self, now_us: u64, lane: u16, place: u16, deadline_us: u64) -> Result<(), Reason> {
        if now_us.saturating_add(self.low_us(lane)) > deadline_us {
            return Err(Reason::WaitedTooLong);
        }
        let at = self.lanes.at(lane);
        let (route, tier) = (at.route, usize::from(at.tier));
        let presses = at.standing.stands() || at.queued * 2 >= self.part_of_queue(lane);
        // Where its tier is owed a slot and nobody of it waits, it will be next: cohorts are found by what could be served, and
        // a tier that got too little would go on asking for too little.
        let is_owed = self.lanes.is_short(tier) && self.lanes.queued_in(tier) == 0;
        if !self.lanes.at_mut(lane).cohorts.admits(place, presses) && !is_owed {
            return Err(Reason::Cohort);
        }
        let of_route = self.config.routes[usize::from(route)].queue_max;
        if of_route.is_some_and(|max| self.lanes.queued_of(route) >= max)
            && !self.make_room_in_route(now_us, lane)
        {
            return Err(Reason::RouteQueueFull);
        }
        if self.lanes.queued() >= self.config.queue_max && !self.make_room(now_us, lane, cohort_of(place)) {
            return Err(Reason::QueueFull);
        }
        Ok(())
    }

    /// Its processing begins only now (after a connection was opened, say): what is learnt of times counts from here.
    pub fn started(&mut self, now_us: u64, ticket: Ticket) {
        if self.slab.find(ticket).is_some_and(|entry| entry.state == State::Running) {
            self.slab.at_mut(ticket.index).started_us = now_us;
        }
    }

    /// The head of its response is there, in time: what follows (a body, a stream of events) has no deadline and says nothing
    /// about how long the route takes, but it keeps its slot until it is [finished](Admission::finished).
    pub fn answered(&mut self, now_us: u64, ticket: Ticket) {
        if self.slab.find(ticket).is_some_and(|entry| entry.state == State::Running) {
            let entry = self.slab.at_mut(ticket.index);
            entry.answered_us = now_us.max(1);
            // The moment that is set is not meant any more.
            entry.timer_us = u64::MAX;
        }
    }

    /// Its processing ended, and its slot is free.
    pub fn finished(&mut self, now_us: u64, ticket: Ticket, outcome: Outcome) {
        if self.slab.find(ticket).is_some_and(|entry| entry.state != State::Queued) {
            self.release(now_us, ticket.index, outcome);
            self.dispatch(now_us);
        }
    }

    /// Nobody waits for its answer any more. It leaves the queue; where it is in flight it keeps its slot until
    /// [`Admission::finished`], because the instance may still be working on it, but no longer than until its deadline.
    pub fn client_gone(&mut self, now_us: u64, ticket: Ticket) {
        match self.slab.find(ticket).map(|entry| entry.state) {
            Some(State::Queued) => {
                self.unqueue(now_us, ticket.index);
                self.slab.remove(ticket.index);
            }
            // One that was answered has no moment at which it would be looked at again.
            Some(State::Running) if self.slab.at(ticket.index).answered_us == 0 => {
                self.slab.at_mut(ticket.index).state = State::Lingering;
            }
            _ => {}
        }
    }

    /// Whether a request in flight that came back with `outcome` may go a second time, and where to. If so, it has left the
    /// first instance. If not, it is still to be [finished](Admission::finished).
    pub fn retry(&mut self, now_us: u64, ticket: Ticket, outcome: Outcome) -> Option<InstanceId> {
        let entry = *self
            .slab
            .find(ticket)
            .filter(|entry| entry.state == State::Running && entry.answered_us == 0)?;
        let route = self.lanes.at(entry.lane).route;
        if now_us.saturating_add(self.low_us(entry.lane)) >= entry.deadline_us {
            return None;
        }
        let next = self.instances.pick(now_us, route, Some(entry.instance), &mut self.rng).ok()?;
        if !self.retries.spend(now_us) {
            return None;
        }
        self.leave_instance(now_us, ticket.index, outcome);
        let probe = self.instances.begin(now_us, next, route);
        let entry = self.slab.at_mut(ticket.index);
        entry.instance = next;
        entry.probe = probe;
        entry.started_us = now_us;
        self.dispatch(now_us);
        self.instances.id(next)
    }

    /// What became of requests that waited or were in flight, in order. To be looked at after every event.
    pub fn outputs(&mut self) -> Drain<'_, Output> {
        self.outputs.drain(..)
    }

    /// Requests that wait.
    pub fn queued(&self) -> u32 {
        self.lanes.queued()
    }

    /// Requests that use a slot.
    pub fn in_flight(&self) -> u32 {
        self.lanes.in_flight()
    }

    /// What an instance may have in flight at the moment: its cap, or less.
    pub fn limit(&self, instance: InstanceId) -> Option<u32> {
        self.instances.limit(instance)
    }

    pub(crate) fn deadline_of(&self, lane: u16) -> u64 {
        self.config.routes[usize::from(self.lanes.at(lane).route)].deadline_us
    }

    /// Takes a request that uses a slot out of everything.
    pub(crate) fn release(&mut self, now_us: u64, index: u32, outcome: Outcome) {
        self.leave_instance(now_us, index, outcome);
        let lane = self.slab.at(index).lane;
        let held_us = now_us.saturating_sub(self.slab.at(index).started_us);
        self.lanes.at_mut(lane).held(held_us);
        self.lanes.count_in_flight(lane, false);
        self.slab.remove(index);
        self.observe(now_us, lane);
        self.share_out(now_us);
    }

    /// Tells its instance's limit and breaker, and its route's times, how it went there.
    fn leave_instance(&mut self, now_us: u64, index: u32, outcome: Outcome) {
        let entry = *self.slab.at(index);
        let route = self.lanes.at(entry.lane).route;
        let until_us = if entry.answered_us > 0 { entry.answered_us } else { now_us };
        let service_us = until_us.saturating_sub(entry.started_us);
        let times = &mut self.times[usize::from(route)];
        // How quickly something fails says nothing about how long it takes.
        let tells_time = outcome == Outcome::Answered || entry.late;
        let departure = (tells_time || outcome == Outcome::Refused).then(|| Departure {
            service_us,
            slowness: tells_time.then(|| times.slowness()),
            refused: outcome == Outcome::Refused,
            late: entry.late && outcome == Outcome::Answered,
            queue_stands: self.lanes.any_stands(),
        });
        if outcome == Outcome::Answered {
            times.record(now_us, service_us);
        }
        let ok = match outcome {
            // It works, but too slowly: a matter for the limit. What never answers is broken.
            Outcome::Answered if entry.late => None,
            _ if entry.late => Some(false),
            Outcome::Answered => Some(true),
            Outcome::Failed | Outcome::Refused => Some(false),
            Outcome::Abandoned => None,
        };
        let jitter = self.rng.f64();
        if self.instances.end(now_us, (entry.instance, route, entry.probe), ok, departure, jitter) {
            self.set_slots();
        }
    }

    fn set_slots(&mut self) {
        for (route, most) in self.instances.most_of_bounded() {
            self.lanes.set_most(route, most);
        }
        self.lanes.set_slots(self.instances.slots());
    }

    /// Divides the slots anew, now and then.
    pub(crate) fn share_out(&mut self, now_us: u64) {
        if self.lanes.is_due(now_us) {
            let patience = |lane: &Lane| {
                let deadline_us = self.config.routes[usize::from(lane.route)].deadline_us;
                Bounds::new(deadline_us, 0).target_us
            };
            self.lanes.turn(now_us, patience);
        }
    }

    fn recount(&mut self, now_us: u64) {
        self.set_slots();
        self.dispatch(now_us);
    }
}
