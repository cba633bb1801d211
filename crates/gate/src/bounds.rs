//! The smallest admission that keeps its word: per route at most `in_flight_max` requests per instance under way, at most
//! `queue_max` waiting in the order in which they came, everything else 429 at once.
//!
//! Routes without `in_flight_max` pass without touching the lock. It knows nothing of tiers, cohorts or learnt limits.

use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};

use freezeframe_model::InstanceId;

use crate::admission::{Admission, Arrival, Completion, Decision, Shed, Ticket};
use crate::plan::{Route, RouteTable};
use crate::route::lock;

/// Clients that were refused come back after one to so many seconds.
const RETRY_AFTER_MAX_S: u32 = 3;
/// Requests that are not followed.
const FREE: Ticket = Ticket(0);

/// Fixed bounds, as the routes name them.
#[derive(Debug, Default)]
pub struct Bounds {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    last: u64,
    routes: HashMap<String, Lane>,
    waiting: HashMap<Ticket, Waiting>,
    /// Instances that are routed, by service.
    up: HashMap<String, u32>,
}

/// The places of one route.
#[derive(Debug, Default)]
struct Lane {
    service: String,
    in_flight_max: u32,
    running: u32,
    queue: VecDeque<Ticket>,
}

#[derive(Debug)]
struct Waiting {
    route: String,
    granted: bool,
    waker: Option<Waker>,
}

impl State {
    /// Where a route has a limit, its places.
    fn lane(&mut self, route: &Route) -> Option<&mut Lane> {
        let in_flight_max = route.in_flight_max?;
        if !self.routes.contains_key(&route.name) {
            let lane = Lane { service: route.service.clone(), in_flight_max, ..Lane::default() };
            self.routes.insert(route.name.clone(), lane);
        }
        self.routes.get_mut(&route.name)
    }

    /// Gives free places to those that wait longest; whom to wake.
    fn grant(&mut self, route: &str) -> Vec<Waker> {
        let mut wakers = Vec::new();
        let Some(lane) = self.routes.get_mut(route) else { return wakers };
        let limit = lane.limit(self.up.get(&lane.service).copied().unwrap_or(0));
        while lane.running < limit
            && let Some(ticket) = lane.queue.pop_front()
        {
            if let Some(waiting) = self.waiting.get_mut(&ticket) {
                lane.running += 1;
                waiting.granted = true;
                wakers.extend(waiting.waker.take());
            }
        }
        wakers
    }

    fn release(&mut self, route: &str) -> Vec<Waker> {
        if let Some(lane) = self.routes.get_mut(route) {
            lane.running = lane.running.saturating_sub(1);
        }
        self.grant(route)
    }
}

impl Lane {
    /// Places for so many instances.
    fn limit(&self, up: u32) -> u32 {
        // While there is no instance, requests wait for one as if it were there.
        self.in_flight_max.saturating_mul(up.max(1))
    }
}

impl Bounds {
    /// Nothing is under way.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Admission for Bounds {
    fn arrive(&self, arrival: &Arrival<'_>) -> Decision {
        if arrival.route.in_flight_max.is_none() {
            return Decision::Forward(FREE, None);
        }
        let mut state = lock(&self.state);
        state.last += 1;
        let ticket = Ticket(state.last);
        let up = state.up.get(&arrival.route.service).copied().unwrap_or(0);
        let Some(lane) = state.lane(arrival.route) else { return Decision::Forward(FREE, None) };
        if lane.running < lane.limit(up) && lane.queue.is_empty() {
            lane.running += 1;
            return Decision::Forward(ticket, None);
        }
        if lane.queue.len() >= arrival.route.queue_max as usize {
            let retry_after_s = Some(fastrand::u32(1..=RETRY_AFTER_MAX_S));
            return Decision::Shed(Shed { bound: "queue_full", status: 429, retry_after_s });
        }
        lane.queue.push_back(ticket);
        let waiting = Waiting { route: arrival.route.name.clone(), granted: false, waker: None };
        state.waiting.insert(ticket, waiting);
        Decision::Queue(ticket)
    }

    fn poll_queued(&self, ticket: Ticket, cx: &mut Context<'_>) -> Poll<Result<Option<InstanceId>, Shed>> {
        let mut state = lock(&self.state);
        match state.waiting.get_mut(&ticket) {
            Some(waiting) if !waiting.granted => {
                waiting.waker = Some(cx.waker().clone());
                Poll::Pending
            }
            _ => {
                state.waiting.remove(&ticket);
                Poll::Ready(Ok(None))
            }
        }
    }

    fn left(&self, ticket: Ticket) {
        let wakers = {
            let mut state = lock(&self.state);
            let Some(waiting) = state.waiting.remove(&ticket) else { return };
            if waiting.granted {
                state.release(&waiting.route)
            } else {
                if let Some(lane) = state.routes.get_mut(&waiting.route) {
                    lane.queue.retain(|other| *other != ticket);
                }
                Vec::new()
            }
        };
        wakers.into_iter().for_each(Waker::wake);
    }

    fn finished(&self, ticket: Ticket, completion: &Completion<'_>) {
        if ticket != FREE {
            let wakers = lock(&self.state).release(&completion.route.name);
            wakers.into_iter().for_each(Waker::wake);
        }
    }

    fn instances(&self, service: &str, routed: &[InstanceId]) {
        let wakers: Vec<Waker> = {
            let mut state = lock(&self.state);
            state.up.insert(service.to_owned(), u32::try_from(routed.len()).unwrap_or(u32::MAX));
            let concerned = state.routes.iter().filter(|(_, lane)| lane.service == service);
            let concerned: Vec<String> = concerned.map(|(name, _)| name.clone()).collect();
            concerned.iter().flat_map(|name| state.grant(name)).collect()
        };
        wakers.into_iter().for_each(Waker::wake);
    }

    fn configure(&self, table: &RouteTable) {
        let wakers: Vec<Waker> = {
            let mut state = lock(&self.state);
            for (name, lane) in &mut state.routes {
                let route = table.routes.iter().find(|route| route.name == *name);
                // A route that lost its limit, or is gone, lets go of all that wait.
                lane.in_flight_max = route.and_then(|route| route.in_flight_max).unwrap_or(u32::MAX);
                if let Some(route) = route {
                    lane.service.clone_from(&route.service);
                }
            }
            let names: Vec<String> = state.routes.keys().cloned().collect();
            let wakers = names.iter().flat_map(|name| state.grant(name)).collect();
            let is_used = |name: &str| table.routes.iter().any(|route| route.name == name);
            state.routes.retain(|name, lane| lane.running > 0 || is_used(name));
            state.up.retain(|name, _| table.services.iter().any(|service| service.name == *name));
            wakers
        };
        wakers.into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::Ending;
    use http::{HeaderMap, Method};
    use proptest::prelude::*;
    use std::time::Instant;

    fn route() -> Route {
        Route { in_flight_max: Some(2), queue_max: 2, ..Route::to("default") }
    }

    fn arrive(bounds: &Bounds, route: &Route) -> Decision {
        let (method, headers) = (Method::GET, HeaderMap::new());
        bounds.arrive(&Arrival {
            method: &method,
            path: "/",
            headers: &headers,
            peer: [127, 0, 0, 1].into(),
            session: None,
            route,
            at: Instant::now(),
            deadline: None,
        })
    }

    fn finish(bounds: &Bounds, route: &Route, ticket: Ticket) {
        let ending = Ending::Answered(200);
        let completion =
            Completion { route, instance: None, ending, queue_us: 0, service_us: None, total_us: 0 };
        bounds.finished(ticket, &completion);
    }

    fn is_granted(bounds: &Bounds, ticket: Ticket) -> bool {
        bounds.poll_queued(ticket, &mut Context::from_waker(Waker::noop())).is_ready()
    }

    fn queued(decision: Decision) -> Ticket {
        match decision {
            Decision::Queue(ticket) => ticket,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn places_are_given_in_order_and_the_rest_is_shed() {
        let (bounds, route) = (Bounds::new(), route());
        let Decision::Forward(first, None) = arrive(&bounds, &route) else { panic!("there is a place") };
        assert!(matches!(arrive(&bounds, &route), Decision::Forward(..)));
        let (third, fourth) = (queued(arrive(&bounds, &route)), queued(arrive(&bounds, &route)));
        let Decision::Shed(shed) = arrive(&bounds, &route) else { panic!("the queue is full") };
        assert_eq!((shed.bound, shed.status), ("queue_full", 429));
        assert!(shed.retry_after_s.is_some_and(|s| (1..=RETRY_AFTER_MAX_S).contains(&s)));
        finish(&bounds, &route, first);
        assert!(!is_granted(&bounds, fourth) && is_granted(&bounds, third));
        // A granted one whose client goes before it is polled gives its place on.
        finish(&bounds, &route, third);
        bounds.left(fourth);
        assert!(matches!(arrive(&bounds, &route), Decision::Forward(..)));
    }

    #[test]
    fn more_instances_are_more_places_and_a_limit_that_goes_lets_all_go() {
        let (bounds, route) = (Bounds::new(), route());
        (0..2).for_each(|_| assert!(matches!(arrive(&bounds, &route), Decision::Forward(..))));
        let third = queued(arrive(&bounds, &route));
        bounds.instances("default", &[InstanceId(1), InstanceId(2)]);
        assert!(is_granted(&bounds, third));
        assert!(matches!(arrive(&bounds, &route), Decision::Forward(..)));
        let fifth = queued(arrive(&bounds, &route));
        bounds.configure(&RouteTable::default());
        assert!(is_granted(&bounds, fifth));
    }

    proptest! {
        /// Whatever happens in whatever order, the bound holds and no place is lost.
        #[test]
        fn the_bound_holds_and_no_place_is_lost(steps in proptest::collection::vec(0..3u8, 0..200)) {
            let (bounds, route) = (Bounds::new(), route());
            let (mut running, mut waiting) = (Vec::new(), Vec::new());
            for step in steps {
                match step {
                    0 => match arrive(&bounds, &route) {
                        Decision::Forward(ticket, _) => running.push(ticket),
                        Decision::Queue(ticket) => waiting.push(ticket),
                        Decision::Shed(_) => prop_assert_eq!(waiting.len(), 2),
                    },
                    1 => { running.pop().into_iter().for_each(|ticket| finish(&bounds, &route, ticket)); }
                    _ => { waiting.pop().into_iter().for_each(|ticket| bounds.left(ticket)); }
                }
                let (granted, still): (Vec<_>, Vec<_>) =
                    waiting.into_iter().partition(|ticket| is_granted(&bounds, *ticket));
                running.extend(granted);
                waiting = still;
                prop_assert!(running.len() <= 2);
                prop_assert!(waiting.is_empty() || running.len() == 2);
            }
        }
    }
}
