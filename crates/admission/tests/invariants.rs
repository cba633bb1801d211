//! The promises hold after every event, whatever the events are.

use std::collections::{HashMap, HashSet};

use freezeframe_admission::{
    Admission, Answer, Config, InstanceId, Outcome, Output, Reason, Request, Route, RouteId, Ticket, Tier,
    TierId,
};
use proptest::prelude::*;

const INSTANCES: u64 = 4;
const QUEUE_MAX: u32 = 12;
const DEADLINE_US: u64 = 50_000;
/// The last route's own bounds: in flight on one instance, and waiting.
const ROUTE_MAX: u32 = 2;
const ROUTE_QUEUE_MAX: u32 = 3;

#[derive(Clone, Debug)]
enum Step {
    Arrive { route: u16, tier: Option<u8>, user: Option<u64>, deadline_us: Option<u64> },
    Finish { which: usize, outcome: Outcome },
    Gone { which: usize },
    Started { which: usize },
    Answered { which: usize },
    Retry { which: usize, outcome: Outcome },
    Up { instance: u64, cap: u32 },
    Down { instance: u64 },
    Tick,
    Wait { us: u64 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let outcome = || {
        prop_oneof![
            6 => Just(Outcome::Answered),
            2 => Just(Outcome::Failed),
            1 => Just(Outcome::Refused),
            1 => Just(Outcome::Abandoned),
        ]
    };
    let arrive =
        (0..4_u16, prop::option::of(0..4_u8), prop::option::of(0..50_u64), prop::option::of(0..90_000_u64))
            .prop_map(|(route, tier, user, deadline_us)| Step::Arrive { route, tier, user, deadline_us });
    let step = prop_oneof![
        12 => arrive,
        8 => (any::<usize>(), outcome()).prop_map(|(which, outcome)| Step::Finish { which, outcome }),
        2 => any::<usize>().prop_map(|which| Step::Gone { which }),
        1 => any::<usize>().prop_map(|which| Step::Started { which }),
        1 => any::<usize>().prop_map(|which| Step::Answered { which }),
        1 => (any::<usize>(), outcome()).prop_map(|(which, outcome)| Step::Retry { which, outcome }),
        1 => (0..INSTANCES, 0..6_u32).prop_map(|(instance, cap)| Step::Up { instance, cap }),
        1 => (0..INSTANCES).prop_map(|instance| Step::Down { instance }),
        2 => Just(Step::Tick),
        5 => (0..20_000_u64).prop_map(|us| Step::Wait { us }),
    ];
    prop::collection::vec(step, 1..400)
}

fn config() -> Config {
    let route = |tier| Route { deadline_us: DEADLINE_US, tier, class: tier, ..Route::default() };
    let bounded = Route { in_flight_max: Some(ROUTE_MAX), queue_max: Some(ROUTE_QUEUE_MAX), ..route(1) };
    let tier = |share| Tier { name: String::new(), share };
    Config {
        queue_max: QUEUE_MAX,
        routes: vec![route(0), route(1), bounded],
        tiers: vec![tier(0.5), tier(0.2), tier(0.0)],
        cohort_rotation_us: 100_000,
        retry_ratio: 0.2,
        breaker_open_us: 10_000,
        ..Config::default()
    }
}

/// What the caller knows of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    Queued { deadline_us: u64 },
    Running { deadline_us: u64, instance: InstanceId },
    Lingering { until_us: u64, instance: InstanceId },
    Streaming { instance: InstanceId },
}

#[derive(Default)]
struct Caller {
    now_us: u64,
    requests: HashMap<Ticket, Known>,
    /// Those of the bounded route.
    bounded: HashSet<Ticket>,
    caps: HashMap<InstanceId, u32>,
    arrived: u64,
    shed: u64,
    ended: u64,
}

impl Caller {
    /// On an instance: all, and those of the bounded route.
    fn in_flight(&self, at: InstanceId) -> (u32, u32) {
        let here = |known: &&Known| match known {
            Known::Queued { .. } => false,
            Known::Running { instance, .. }
            | Known::Lingering { instance, .. }
            | Known::Streaming { instance } => *instance == at,
        };
        let here = self.requests.iter().filter(|(_, known)| here(known)).map(|(ticket, _)| ticket);
        here.fold((0, 0), |(all, bounded), ticket| {
            (all + 1, bounded + u32::from(self.bounded.contains(ticket)))
        })
    }

    fn nth(&self, which: usize) -> Option<Ticket> {
        let mut tickets: Vec<Ticket> = self.requests.keys().copied().collect();
        tickets.sort_by_key(|ticket| ticket.index());
        (!tickets.is_empty()).then(|| tickets[which % tickets.len()])
    }

    fn forwarded(&mut self, ticket: Ticket, instance: InstanceId, deadline_us: u64) {
        assert!(self.now_us < deadline_us, "forwarded after its deadline");
        let cap = self.caps.get(&instance).copied().expect("forwarded to an instance that is up");
        let (all, bounded) = self.in_flight(instance);
        assert!(all < cap, "above the cap of {cap}");
        assert!(bounded < ROUTE_MAX || !self.bounded.contains(&ticket), "above the route's bound");
        self.requests.insert(ticket, Known::Running { deadline_us, instance });
    }

    fn hear(&mut self, output: Output) {
        match output {
            Output::Forward { ticket, instance, deadline_us } => {
                let known = self.requests.remove(&ticket);
                assert_eq!(known, Some(Known::Queued { deadline_us }), "forwarded from the queue, once");
                self.forwarded(ticket, instance, deadline_us);
            }
            Output::Shed { ticket, shed } => {
                assert!(matches!(self.requests.remove(&ticket), Some(Known::Queued { .. })), "shed once");
                assert!(shed.retry_after_us >= 1_000_000);
                self.shed += 1;
            }
            Output::Late { ticket } => {
                let known = self.requests.get_mut(&ticket).expect("late once");
                let Known::Running { deadline_us, instance } = *known else { panic!("{known:?} is late") };
                assert!(deadline_us <= self.now_us, "late before its deadline");
                *known = Known::Lingering { until_us: self.now_us + DEADLINE_US, instance };
            }
        }
    }

    fn take(&mut self, admission: &mut Admission, step: &Step) {
        let now_us = self.now_us;
        match *step {
            Step::Arrive { route, tier, user, deadline_us } => {
                let own_us = now_us + DEADLINE_US;
                let deadline_us = deadline_us.map(|us| now_us.saturating_sub(1_000) + us);
                let tier = tier.map(TierId);
                let request = Request { route: RouteId(route), tier, user, deadline_us };
                let answer = admission.arrive(now_us, &request);
                let others: Vec<Output> = admission.outputs().collect();
                others.into_iter().for_each(|output| self.hear(output));
                let deadline_us = own_us.min(deadline_us.unwrap_or(u64::MAX));
                self.arrived += 1;
                if let Answer::Forward { ticket, .. } | Answer::Queued { ticket } = answer {
                    // An index and its generation together are used once.
                    self.bounded.extend((route == 2).then_some(ticket));
                }
                match answer {
                    Answer::Forward { ticket, instance, deadline_us: told_us } => {
                        assert_eq!(told_us, deadline_us);
                        assert!(!self.requests.contains_key(&ticket));
                        self.forwarded(ticket, instance, deadline_us);
                    }
                    Answer::Queued { ticket } => {
                        let before = self.requests.insert(ticket, Known::Queued { deadline_us });
                        assert_eq!(before, None, "a ticket of its own");
                    }
                    Answer::Shed(shed) => {
                        assert!(matches!(shed.reason.status(), 429 | 503));
                        self.shed += 1;
                    }
                }
            }
            Step::Finish { which, outcome } => {
                let Some(ticket) = self.nth(which) else { return };
                if !matches!(self.requests[&ticket], Known::Queued { .. }) {
                    self.requests.remove(&ticket);
                    self.ended += 1;
                }
                admission.finished(now_us, ticket, outcome);
            }
            Step::Gone { which } => {
                let Some(ticket) = self.nth(which) else { return };
                match self.requests[&ticket] {
                    Known::Queued { .. } => {
                        self.requests.remove(&ticket);
                        self.ended += 1;
                    }
                    Known::Running { deadline_us: until_us, instance } => {
                        self.requests.insert(ticket, Known::Lingering { until_us, instance });
                    }
                    Known::Lingering { .. } | Known::Streaming { .. } => {}
                }
                admission.client_gone(now_us, ticket);
            }
            Step::Started { which } => {
                let Some(ticket) = self.nth(which) else { return };
                admission.started(now_us, ticket);
            }
            Step::Answered { which } => {
                let Some(ticket) = self.nth(which) else { return };
                if let Known::Running { instance, .. } = self.requests[&ticket] {
                    self.requests.insert(ticket, Known::Streaming { instance });
                }
                admission.answered(now_us, ticket);
            }
            Step::Retry { which, outcome } => {
                let Some(ticket) = self.nth(which) else { return };
                let known = self.requests[&ticket];
                let again = admission.retry(now_us, ticket, outcome);
                let Some(instance) = again else { return };
                let Known::Running { deadline_us, instance: before } = known else {
                    panic!("{known:?} is retried")
                };
                assert_ne!(before, instance);
                self.requests.remove(&ticket);
                self.forwarded(ticket, instance, deadline_us);
            }
            Step::Up { instance, cap } => {
                self.caps.insert(InstanceId(instance), cap);
                assert!(admission.instance_up(now_us, InstanceId(instance), cap));
            }
            Step::Down { instance } => {
                self.caps.remove(&InstanceId(instance));
                admission.instance_down(now_us, InstanceId(instance));
            }
            Step::Tick => {
                // What the state machine lets go of by itself, it lets go of at that time and not before.
                self.requests.retain(
                    |_, known| !matches!(known, Known::Lingering { until_us, .. } if *until_us <= now_us),
                );
                admission.tick(now_us);
            }
            Step::Wait { us } => self.now_us += us,
        }
        let outputs: Vec<Output> = admission.outputs().collect();
        outputs.into_iter().for_each(|output| self.hear(output));
    }

    fn check(&self, admission: &Admission) {
        let queued = self.requests.values().filter(|known| matches!(known, Known::Queued { .. })).count();
        assert_eq!(admission.queued() as usize, queued);
        assert!(admission.queued() <= QUEUE_MAX);
        let waits = |known: &Known| matches!(known, Known::Queued { .. });
        let bounded =
            self.requests.iter().filter(|(ticket, known)| waits(known) && self.bounded.contains(ticket));
        assert!(bounded.count() <= ROUTE_QUEUE_MAX as usize);
        assert_eq!(admission.in_flight() as usize, self.requests.len() - queued);
        for (&instance, &cap) in &self.caps {
            assert!(admission.limit(instance).is_some_and(|limit| limit <= cap));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn bounds_hold_and_every_request_ends_once(steps in steps()) {
        let mut admission = Admission::new(config()).expect("a good configuration");
        let mut caller = Caller::default();
        caller.take(&mut admission, &Step::Up { instance: 0, cap: 3 });
        for step in &steps {
            caller.take(&mut admission, step);
            caller.check(&admission);
        }
        // A response that goes on ends when it ends.
        while let Some(which) = (0..caller.requests.len())
            .find(|which| caller.nth(*which).is_some_and(|ticket| matches!(caller.requests[&ticket], Known::Streaming { .. })))
        {
            caller.take(&mut admission, &Step::Finish { which, outcome: Outcome::Answered });
            caller.check(&admission);
        }
        // Left alone, everything else comes to its end by the deadlines, and nothing is left to be done.
        let mut ticks = 0;
        while let Some(next_us) = admission.next_tick_us() {
            caller.now_us = caller.now_us.max(next_us);
            caller.take(&mut admission, &Step::Tick);
            caller.check(&admission);
            ticks += 1;
            assert!(ticks < 10_000, "it never comes to rest");
        }
        assert!(caller.requests.is_empty(), "{:?}", caller.requests);
        assert_eq!((admission.queued(), admission.in_flight()), (0, 0));
    }

    #[test]
    fn every_tier_gets_its_share_whatever_the_others_send(
        first in 1..400_u64, second in 1..400_u64, third in 1..400_u64, service_us in 1_000..30_000_u64,
    ) {
        let shares = [0.5, 0.3, 0.2];
        let tier = |share| Tier { name: String::new(), share };
        let route = Route { deadline_us: 200_000, tier: 0, ..Route::default() };
        let config = Config {
            queue_max: 40,
            routes: vec![route],
            tiers: shares.map(tier).to_vec(),
            adaptive: false,
            ..Config::default()
        };
        let mut admission = Admission::new(config).expect("a good configuration");
        admission.instance_up(0, InstanceId(1), 20);
        // Arrivals at fixed rates (per 100 ms), so that what each tier could at least claim is known.
        let mut events: Vec<(u64, u8)> = Vec::new();
        for (tier, rate) in [first, second, third].into_iter().enumerate() {
            let every_us = 100_000 / rate.max(1);
            events.extend((0..4_000_000 / every_us.max(1)).map(|i| (i * every_us, tier as u8)));
        }
        events.sort_unstable();
        let mut running: Vec<(u64, Ticket)> = Vec::new();
        let mut tier_of: HashMap<Ticket, u8> = HashMap::new();
        let mut served = [0_u64; 3];
        for (now_us, tier) in events {
            while let Some(at) = running.iter().position(|&(ends_us, _)| ends_us <= now_us) {
                let earliest = (0..running.len()).min_by_key(|&i| running[i].0).unwrap_or(at);
                let (ends_us, ticket) = running.swap_remove(earliest);
                admission.finished(ends_us, ticket, Outcome::Answered);
                let outputs: Vec<Output> = admission.outputs().collect();
                for output in outputs {
                    if let Output::Forward { ticket, .. } = output {
                        running.push((ends_us + service_us, ticket));
                        served[usize::from(tier_of[&ticket])] += 1;
                    }
                }
            }
            admission.tick(now_us);
            let request = Request { tier: Some(TierId(tier)), ..Request::default() };
            let mut forwarded = Vec::new();
            match admission.arrive(now_us, &request) {
                Answer::Forward { ticket, .. } => {
                    tier_of.insert(ticket, tier);
                    forwarded.push(ticket);
                }
                Answer::Queued { ticket } => {
                    tier_of.insert(ticket, tier);
                }
                Answer::Shed(shed) => assert_ne!(shed.reason, Reason::Broken),
            }
            let more: Vec<Output> = admission.outputs().collect();
            forwarded.extend(more.into_iter().filter_map(|output| match output {
                Output::Forward { ticket, .. } => Some(ticket),
                _ => None,
            }));
            for ticket in forwarded {
                running.push((now_us + service_us, ticket));
                served[usize::from(tier_of[&ticket])] += 1;
            }
        }
        let capacity = 20.0 * 4_000_000.0 / service_us as f64;
        for (tier, rate) in [first, second, third].into_iter().enumerate() {
            let wanted = (rate * 40) as f64;
            let due = wanted.min(shares[tier] * capacity);
            prop_assert!(
                served[tier] as f64 >= due * 0.95 - 10.0,
                "tier {tier} got {} of {due} ({wanted} wanted, capacity {capacity}); all: {served:?}", served[tier]
            );
        }
    }
}
