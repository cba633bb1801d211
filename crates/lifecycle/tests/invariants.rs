//! The promises, under event orders that nobody would think of: valid, stale, doubled and impossible ones.

use std::collections::{BTreeMap, BTreeSet};

use freezeframe_lifecycle::{Action, Event, Fleet, Limits, ResumeWhy};
use freezeframe_model::{ExitReason, Fingerprint, IncidentId, InstanceId, InstanceRole};
use proptest::prelude::*;

/// An event whose instance is chosen by position among those that are known, so that most events mean something.
#[derive(Clone, Copy, Debug)]
enum Step {
    Wake,
    Pass(u64),
    Ready,
    Exit(i32),
    Trap { fingerprint: u8, megabytes: u64 },
    DrainDone,
    Frozen,
    HoldFailed,
    Release,
    Kill,
    Extend(u64),
    CoreDone,
    Stalled,
    Adopt(bool),
    AdoptHeld(u64),
    Stop,
    StopNow,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => Just(Step::Wake),
        10 => (0_u64..20_000).prop_map(Step::Pass),
        25 => Just(Step::Ready),
        8 => (0..3).prop_map(Step::Exit),
        20 => (0_u8..5, 0_u64..400).prop_map(|(fingerprint, megabytes)| Step::Trap { fingerprint, megabytes }),
        4 => Just(Step::DrainDone),
        8 => Just(Step::Frozen),
        3 => Just(Step::HoldFailed),
        2 => Just(Step::Release),
        2 => Just(Step::Kill),
        2 => prop_oneof![0_u64..100_000, Just(u64::MAX)].prop_map(Step::Extend),
        3 => Just(Step::CoreDone),
        4 => Just(Step::Stalled),
        1 => any::<bool>().prop_map(Step::Adopt),
        1 => prop_oneof![0_u64..100_000, Just(u64::MAX)].prop_map(Step::AdoptHeld),
    ]
}

fn limits() -> impl Strategy<Value = Limits> {
    let counts = (1_u32..5, 0_u32..3, 0_u32..4, 0_u32..4, any::<bool>(), any::<bool>());
    let times = (0_u64..5_000, 0_u64..60_000, 0_u64..40_000, 0_u64..20_000, 0_u64..2_000, 1_u32..6);
    (counts, times).prop_map(|(counts, times)| {
        let (instances, spares, held_max, healthy_min, restart, stop_kills_held) = counts;
        let (drain_ms, lease_ms, replace_ms, stop_ms, backoff_min_ms, breaker_failures) = times;
        Limits {
            instances,
            spares,
            held_max,
            healthy_min,
            restart,
            stop_kills_held,
            drain_ms,
            lease_ms,
            replace_ms,
            stop_ms,
            backoff_min_ms,
            breaker_failures,
            held_bytes_max: 600 << 20,
            ..Limits::default()
        }
    })
}

/// What an attentive observer knows from events and actions alone.
struct Observer {
    limits: Limits,
    fleet: Fleet,
    now: u64,
    known: BTreeSet<InstanceId>,
    routed: BTreeSet<InstanceId>,
    /// Held and not let go: fingerprint, bytes, and whether we granted it.
    holds: BTreeMap<InstanceId, (Fingerprint, u64, bool)>,
    terminated: BTreeSet<InstanceId>,
    ready_since: BTreeMap<InstanceId, u64>,
    adopted: BTreeSet<InstanceId>,
    no_start_before: u64,
    breaker_until: u64,
    done: bool,
    ending: bool,
}

impl Observer {
    fn new(limits: Limits, seed: u64) -> Self {
        Self {
            fleet: Fleet::new(limits.clone(), InstanceId(10), seed, 0),
            limits,
            now: 0,
            known: BTreeSet::new(),
            routed: BTreeSet::new(),
            holds: BTreeMap::new(),
            terminated: BTreeSet::new(),
            ready_since: BTreeMap::new(),
            adopted: BTreeSet::new(),
            no_start_before: 0,
            breaker_until: 0,
            done: false,
            ending: false,
        }
    }

    fn begin(&mut self) {
        let actions = self.fleet.begin(self.now);
        self.check(&Event::Tick, &actions, 0);
    }

    fn take(&mut self, event: Event) {
        let routed_before = self.routed.len();
        self.before(&event);
        let actions = self.fleet.handle(self.now, event.clone());
        self.check(&event, &actions, routed_before);
    }

    /// What the event itself says.
    fn before(&mut self, event: &Event) {
        if self.done {
            return;
        }
        match event {
            Event::Exited { instance, .. } if self.known.contains(instance) => {
                let proven = self.adopted.contains(instance)
                    || self
                        .ready_since
                        .get(instance)
                        .is_some_and(|since| self.now - since >= self.limits.stable_ms);
                let expected = self.terminated.contains(instance);
                if !proven && !expected && !self.ending && !self.holds.contains_key(instance) {
                    self.no_start_before = self.now + self.limits.backoff_min_ms.max(1);
                }
                self.known.remove(instance);
                self.terminated.remove(instance);
                self.ready_since.remove(instance);
                self.holds.remove(instance);
                self.routed.remove(instance);
            }
            Event::Adopted { instance, .. } if self.known.insert(*instance) => {
                self.adopted.insert(*instance);
            }
            Event::AdoptedHeld { instance, fingerprint, resident_bytes, .. }
                if self.known.insert(*instance) || self.runs(*instance) =>
            {
                self.adopted.insert(*instance);
                self.holds.insert(*instance, (*fingerprint, *resident_bytes, false));
            }
            Event::Ready { instance } if self.fleet.role(*instance) == Some(InstanceRole::Starting) => {
                self.ready_since.insert(*instance, self.now);
            }
            Event::Stop | Event::StopNow => self.ending = true,
            _ => {}
        }
    }

    fn runs(&self, instance: InstanceId) -> bool {
        use InstanceRole::{Serving, Spare, Starting};
        matches!(self.fleet.role(instance), Some(Starting | Spare | Serving))
    }

    fn check(&mut self, event: &Event, actions: &[Action], routed_before: usize) {
        self.answered_once(event, actions);
        let confirmed = actions.iter().any(|action| matches!(action, Action::Confirm { .. }));
        for action in actions {
            assert!(
                !self.done || matches!(action, Action::Refuse { .. } | Action::Count { .. }),
                "{action:?} after the end"
            );
            self.follow(event, action);
        }
        self.agree();
        if confirmed {
            let floor = routed_before.min(self.limits.healthy_min as usize);
            assert!(self.routed.len() >= floor, "a hold left {} in routing, {actions:?}", self.routed.len());
        }
        if let Some(wake) = self.fleet.next_wake() {
            assert!(wake > self.now, "due at {wake}, which is not after {}", self.now);
        }
    }

    fn answered_once(&self, event: &Event, actions: &[Action]) {
        let answers =
            actions.iter().filter(|action| matches!(action, Action::Confirm { .. } | Action::Refuse { .. }));
        let expected = usize::from(matches!(event, Event::Trapped { .. }));
        assert_eq!(answers.count(), expected, "{event:?} {actions:?}");
        if let (Event::Trapped { instance, fingerprint, .. }, Some(first)) = (event, actions.first()) {
            match first {
                Action::Confirm { instance: held, fingerprint: error, .. } => {
                    assert_eq!((held, error), (instance, fingerprint));
                    if self.routed.contains(instance) {
                        assert_eq!(actions.get(1), Some(&Action::Unroute { instance: *instance }));
                    }
                }
                Action::Refuse { instance: refused, rearm_ms, .. } => {
                    assert_eq!(refused, instance);
                    assert!((1..=self.limits.rearm_max_ms).contains(rearm_ms));
                    assert_eq!(actions.get(1), Some(&Action::Count { fingerprint: *fingerprint }));
                }
                other => panic!("the first action answers the trap, not {other:?}"),
            }
        }
    }

    fn follow(&mut self, event: &Event, action: &Action) {
        match action {
            Action::Start { instance } => {
                assert!(self.known.insert(*instance), "{instance} was started twice");
                assert!(self.now >= self.no_start_before, "started before the pause was over");
                assert!(self.now >= self.breaker_until, "started while the breaker was open");
                assert!(!self.ending, "started while everything ends");
                return;
            }
            Action::Refuse { .. } | Action::Count { .. } | Action::BreakerClosed => {
                self.breaker_until = if *action == Action::BreakerClosed { 0 } else { self.breaker_until };
                self.no_start_before =
                    if *action == Action::BreakerClosed { 0 } else { self.no_start_before };
                return;
            }
            Action::BreakerOpened { until_ms, message } => {
                assert!(*until_ms > self.now && message.contains("Look at"));
                self.breaker_until = *until_ms;
                return;
            }
            Action::Done { .. } => {
                self.done = true;
                return;
            }
            _ => {}
        }
        let instance = self.target(action);
        let exited = matches!(event, Event::Exited { instance: gone, .. } if *gone == instance);
        assert!(self.known.contains(&instance) || exited, "{action:?} for an instance that is not there");
        match action {
            Action::Route { .. } => {
                assert!(self.routed.insert(instance), "{instance} was routed already");
                assert!(!self.holds.contains_key(&instance) && !self.terminated.contains(&instance));
            }
            Action::Unroute { .. } => {
                self.routed.remove(&instance);
            }
            Action::Confirm { .. } => {
                let Event::Trapped { fingerprint, resident_bytes, .. } = event else {
                    panic!("nothing was trapped")
                };
                self.holds.insert(instance, (*fingerprint, *resident_bytes, true));
                self.budget();
            }
            Action::Resume { why, .. } => {
                assert!(self.holds.remove(&instance).is_some(), "{instance} was not held");
                if *why == ResumeWhy::Released {
                    self.terminated.insert(instance);
                }
            }
            Action::Kill { .. } | Action::Terminate { .. } => {
                assert!(!self.routed.contains(&instance), "{instance} is ended while it is routed");
                self.terminated.insert(instance);
            }
            Action::Permit { permitted, why, .. } => assert_eq!(*permitted, why.is_none()),
            _ => {}
        }
    }

    fn target(&self, action: &Action) -> InstanceId {
        match action {
            Action::Route { instance }
            | Action::Unroute { instance }
            | Action::Permit { instance, .. }
            | Action::Confirm { instance, .. }
            | Action::Freeze { instance }
            | Action::Permanent { instance }
            | Action::Resume { instance, .. }
            | Action::CaptureStall { instance }
            | Action::WriteCore { instance }
            | Action::Kill { instance }
            | Action::Terminate { instance } => *instance,
            other => panic!("{other:?} has no instance"),
        }
    }

    /// Checked whenever something was granted. What was adopted counts, but was not ours to refuse.
    fn budget(&self) {
        assert!(self.holds.len() <= self.limits.held_max as usize, "more is held than allowed");
        let bytes: u64 = self.holds.values().map(|hold| hold.1).sum();
        assert!(bytes <= self.limits.held_bytes_max, "{bytes} bytes are held");
        let granted = self.holds.values().filter(|hold| hold.2);
        for (fingerprint, ..) in granted.clone() {
            assert_eq!(
                granted.clone().filter(|hold| hold.0 == *fingerprint).count(),
                1,
                "one error is held twice"
            );
        }
    }

    /// The fleet's own account agrees with what it said.
    fn agree(&mut self) {
        let roles: BTreeMap<_, _> = self.fleet.roles().collect();
        assert_eq!(roles.keys().copied().collect::<BTreeSet<_>>(), self.known);
        let serving: BTreeSet<_> =
            roles.iter().filter(|role| *role.1 == InstanceRole::Serving).map(|role| *role.0).collect();
        assert_eq!(serving, self.routed);
        assert_eq!(self.fleet.serving() as usize, serving.len());
        assert!(
            self.routed.len() <= self.limits.instances as usize + self.limits.held_max as usize,
            "{roles:?}"
        );
        // What was said to have got away is not held any more.
        self.holds.retain(|instance, _| {
            matches!(
                roles.get(instance),
                Some(InstanceRole::Draining | InstanceRole::Held | InstanceRole::Stopping)
            )
        });
    }

    fn choose(&self, choice: usize) -> InstanceId {
        // One in eight is unknown.
        let nth = choice / 8 % self.known.len().max(1);
        match self.known.iter().nth(nth) {
            Some(instance) if !choice.is_multiple_of(8) => *instance,
            _ => InstanceId(u32::try_from(choice % 1000).unwrap_or(0) + 1_000_000),
        }
    }

    fn step(&mut self, step: Step, choice: usize) {
        let instance = self.choose(choice);
        let event = match step {
            Step::Wake => {
                self.now = self.fleet.next_wake().unwrap_or(self.now).min(self.now + 3_600_000);
                Event::Tick
            }
            Step::Pass(ms) => {
                self.now += ms;
                Event::Tick
            }
            Step::Ready => Event::Ready { instance },
            Step::Exit(code) => {
                let reason = [ExitReason::Code(code), ExitReason::Signal(9), ExitReason::ShimDied];
                Event::Exited { instance, reason: reason[choice % 3].clone() }
            }
            Step::Trap { fingerprint, megabytes } => Event::Trapped {
                instance,
                fingerprint: Fingerprint([fingerprint; 16]),
                resident_bytes: megabytes << 20,
            },
            Step::DrainDone => Event::DrainDone { instance },
            Step::Frozen => Event::Frozen { instance },
            Step::HoldFailed => {
                // Only what is held can get away.
                if matches!(self.fleet.role(instance), Some(InstanceRole::Draining | InstanceRole::Held)) {
                    self.holds.remove(&instance);
                }
                Event::HoldFailed { instance }
            }
            Step::Release => Event::Release { instance },
            Step::Kill => Event::Kill { instance },
            Step::Extend(by_ms) => Event::Extend { instance, by_ms },
            Step::CoreDone => Event::CoreDone { instance },
            Step::Stalled => Event::Stalled { instance },
            Step::Adopt(ready) => {
                Event::Adopted { instance: InstanceId(u32::try_from(choice % 5).unwrap_or(0)), ready }
            }
            Step::AdoptHeld(lease_until_ms) => Event::AdoptedHeld {
                instance: InstanceId(u32::try_from(choice % 14).unwrap_or(0)),
                incident: IncidentId(1),
                fingerprint: Fingerprint([9; 16]),
                resident_bytes: 1 << 20,
                lease_until_ms,
            },
            Step::Stop => Event::Stop,
            Step::StopNow => Event::StopNow,
        };
        self.take(event);
    }

    /// Everything that runs ends when it is asked to; then the end must come.
    fn end(&mut self, at_once: bool) {
        self.take(if at_once { Event::StopNow } else { Event::Stop });
        for instance in self.known.clone() {
            if !matches!(self.fleet.role(instance), Some(InstanceRole::Held | InstanceRole::Draining)) {
                self.take(Event::Exited { instance, reason: ExitReason::Code(0) });
            }
        }
        for instance in self.known.clone() {
            self.take(Event::Frozen { instance });
        }
        assert!(self.done, "everything has ended, {:?}", self.fleet.roles().collect::<Vec<_>>());
        assert_eq!(self.fleet.next_wake(), None);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_promises_hold_whatever_happens(
        limits in limits(),
        seed in any::<u64>(),
        steps in prop::collection::vec((step(), any::<usize>()), 1..600),
        ending in prop::sample::select(vec![Step::Stop, Step::StopNow]),
    ) {
        let bound = 64 + 4 * (limits.instances + limits.spares + limits.held_max) as usize;
        let at_once = matches!(ending, Step::StopNow);
        let mut observer = Observer::new(limits, seed);
        observer.begin();
        for (step, choice) in steps {
            observer.step(step, choice);
            prop_assert!(observer.known.len() <= bound, "{} instances", observer.known.len());
        }
        if !observer.done {
            observer.end(at_once);
        }
    }

    #[test]
    fn left_alone_with_a_crash_loop_starts_are_rare(seed in any::<u64>(), instances in 1_u32..4) {
        let limits = Limits { instances, spares: 0, ..Limits::default() };
        let mut observer = Observer::new(limits, seed);
        observer.begin();
        let mut starts = 0_u32;
        // An hour in which whatever starts dies 10 ms later.
        while observer.now < 3_600_000 {
            for instance in observer.known.clone() {
                observer.take(Event::Exited { instance, reason: ExitReason::Code(1) });
                starts += 1;
            }
            match observer.fleet.next_wake() {
                Some(wake) => observer.now = wake,
                None => break,
            }
            observer.take(Event::Tick);
            observer.now += 10;
        }
        // A handful before the breaker opens, then one probe per breaker_open_ms.
        prop_assert!(starts <= 3_600_000 / 30_000 + 20, "{starts} starts");
        prop_assert!(starts >= 100, "after {starts} starts nobody tried any more");
    }
}
