//! Stories: what happens, and what is done about it.

use std::fmt::Write as _;

use expect_test::{Expect, expect};
use freezeframe_lifecycle::{Action, Event, Fleet, Limits};
use freezeframe_model::{ExitReason, Fingerprint, IncidentId, InstanceId};

/// A fleet with its clock and everything it said.
struct Story {
    fleet: Fleet,
    now: u64,
    text: String,
}

fn id(number: u32) -> InstanceId {
    InstanceId(number)
}

fn error(number: u8) -> Fingerprint {
    Fingerprint([number; 16])
}

impl Story {
    fn new(limits: Limits) -> Self {
        let mut story = Self { fleet: Fleet::new(limits, id(1), 7, 0), now: 0, text: String::new() };
        let actions = story.fleet.begin(0);
        story.note("begin", actions);
        story
    }

    /// Two instances that serve and a spare, all of them started well.
    fn running(limits: Limits) -> Self {
        let mut story = Self::new(limits);
        for number in 1..=3 {
            story.quietly(Event::Ready { instance: id(number) });
        }
        story.after(10_000);
        story.text.clear();
        story
    }

    fn note(&mut self, what: &str, actions: Vec<Action>) {
        let _ = writeln!(self.text, "{:<6} {what}", self.now);
        for action in actions {
            let line = format!("{action:?}").replace("InstanceId", "").replace("{ instance: ", "{ ");
            let _ = writeln!(self.text, "       -> {line}");
        }
    }

    fn on(&mut self, event: Event) -> &mut Self {
        let what = format!("{event:?}").replace("InstanceId", "").replace("{ instance: ", "{ ");
        let actions = self.fleet.handle(self.now, event);
        self.note(&what, actions);
        self
    }

    fn quietly(&mut self, event: Event) {
        let _ = self.fleet.handle(self.now, event);
    }

    /// Lets time pass, waking the fleet exactly when it asked for it.
    fn after(&mut self, ms: u64) -> &mut Self {
        let end = self.now + ms;
        while let Some(wake) = self.fleet.next_wake().filter(|&wake| wake <= end) {
            assert!(wake > self.now, "a wake-up that is due already would spin");
            self.now = wake;
            let actions = self.fleet.handle(wake, Event::Tick);
            if !actions.is_empty() {
                self.note("(time)", actions);
            }
        }
        self.now = end;
        self
    }

    fn trapped(&mut self, instance: u32, fingerprint: u8) -> &mut Self {
        self.on(Event::Trapped {
            instance: id(instance),
            fingerprint: error(fingerprint),
            resident_bytes: 1 << 20,
        })
    }

    fn tells(&self, expected: Expect) {
        let text = (0..10).fold(self.text.clone(), |text, number| {
            text.replace(&error(number).to_string(), &number.to_string())
        });
        expected.assert_eq(&text);
    }
}

#[test]
fn an_error_is_held_and_nobody_misses_the_instance() {
    let mut story = Story::running(Limits::default());
    story.trapped(1, 1).on(Event::DrainDone { instance: id(1) }).on(Event::Frozen { instance: id(1) });
    story.on(Event::Ready { instance: id(4) });
    story.tells(expect![[r#"
        10000  Trapped { (1), fingerprint: Fingerprint(1), resident_bytes: 1048576 }
               -> Confirm { (1), fingerprint: Fingerprint(1), drain_ms: 2000 }
               -> Unroute { (1) }
               -> Route { (3) }
               -> Permanent { (1) }
               -> Start { (4) }
               -> Permit { (1), permitted: false, why: Some(NotRunning) }
               -> Permit { (4), permitted: true, why: None }
        10000  DrainDone { (1) }
               -> Freeze { (1) }
        10000  Frozen { (1) }
        10000  Ready { (4) }
    "#]]);
    assert_eq!((story.fleet.serving(), story.fleet.lease_until(id(1))), (2, Some(10_000 + 4 * 3_600_000)));
}

#[test]
fn an_error_storm_passes_through_and_is_counted() {
    let mut story = Story::running(Limits::default());
    story.trapped(1, 1);
    story.on(Event::Ready { instance: id(4) });
    story.text.clear();
    story.trapped(2, 1).after(500).trapped(3, 1).trapped(2, 2).trapped(3, 3);
    story.on(Event::Ready { instance: id(5) }).trapped(3, 3).trapped(3, 3).after(60_000);
    story.on(Event::Kill { instance: id(1) });
    story.on(Event::Exited { instance: id(1), reason: ExitReason::Signal(9) }).after(60_000).trapped(3, 3);
    story.tells(expect![[r#"
        10000  Trapped { (2), fingerprint: Fingerprint(1), resident_bytes: 1048576 }
               -> Refuse { (2), rearm_ms: 250, why: SameError }
               -> Count { fingerprint: Fingerprint(1) }
        10500  Trapped { (3), fingerprint: Fingerprint(1), resident_bytes: 1048576 }
               -> Refuse { (3), rearm_ms: 500, why: SameError }
               -> Count { fingerprint: Fingerprint(1) }
        10500  Trapped { (2), fingerprint: Fingerprint(2), resident_bytes: 1048576 }
               -> Confirm { (2), fingerprint: Fingerprint(2), drain_ms: 2000 }
               -> Unroute { (2) }
               -> Route { (4) }
               -> Permanent { (2) }
               -> Start { (5) }
               -> Permit { (2), permitted: false, why: Some(NotRunning) }
               -> Permit { (3), permitted: false, why: Some(HeldMax) }
               -> Permit { (4), permitted: false, why: Some(HeldMax) }
               -> Permit { (5), permitted: false, why: Some(HeldMax) }
        10500  Trapped { (3), fingerprint: Fingerprint(3), resident_bytes: 1048576 }
               -> Refuse { (3), rearm_ms: 250, why: HeldMax }
               -> Count { fingerprint: Fingerprint(3) }
        10500  Ready { (5) }
        10500  Trapped { (3), fingerprint: Fingerprint(3), resident_bytes: 1048576 }
               -> Refuse { (3), rearm_ms: 500, why: HeldMax }
               -> Count { fingerprint: Fingerprint(3) }
        10500  Trapped { (3), fingerprint: Fingerprint(3), resident_bytes: 1048576 }
               -> Refuse { (3), rearm_ms: 1000, why: HeldMax }
               -> Count { fingerprint: Fingerprint(3) }
        12000  (time)
               -> Freeze { (1) }
        12500  (time)
               -> Freeze { (2) }
        70500  Kill { (1) }
               -> Kill { (1) }
        70500  Exited { (1), reason: Signal(9) }
               -> Permit { (3), permitted: true, why: None }
               -> Permit { (4), permitted: true, why: None }
               -> Permit { (5), permitted: true, why: None }
        130500 Trapped { (3), fingerprint: Fingerprint(3), resident_bytes: 1048576 }
               -> Confirm { (3), fingerprint: Fingerprint(3), drain_ms: 2000 }
               -> Unroute { (3) }
               -> Route { (5) }
               -> Permanent { (3) }
               -> Start { (6) }
               -> Permit { (3), permitted: false, why: Some(NotRunning) }
               -> Permit { (4), permitted: false, why: Some(HeldMax) }
               -> Permit { (5), permitted: false, why: Some(HeldMax) }
               -> Permit { (6), permitted: false, why: Some(HeldMax) }
    "#]]);
}

#[test]
fn without_a_replacement_the_hold_is_given_up() {
    let mut story = Story::running(Limits { spares: 0, ..Limits::default() });
    story.trapped(1, 1).on(Event::Frozen { instance: id(1) });
    story.on(Event::Exited { instance: id(3), reason: ExitReason::Code(1) });
    story.after(30_000).after(20_000).trapped(1, 1).trapped(2, 2);
    story.on(Event::Ready { instance: id(4) });
    story.tells(expect![[r#"
        10000  Trapped { (1), fingerprint: Fingerprint(1), resident_bytes: 1048576 }
               -> Confirm { (1), fingerprint: Fingerprint(1), drain_ms: 2000 }
               -> Unroute { (1) }
               -> Start { (3) }
               -> Permit { (1), permitted: false, why: Some(NotRunning) }
               -> Permit { (2), permitted: false, why: Some(HealthyMin) }
               -> Permit { (3), permitted: true, why: None }
        10000  Frozen { (1) }
        10000  Exited { (3), reason: Code(1) }
        10200  (time)
               -> Start { (4) }
               -> Permit { (4), permitted: true, why: None }
        40000  (time)
               -> Resume { (1), why: GivenUp }
               -> Route { (1) }
        60000  Trapped { (1), fingerprint: Fingerprint(1), resident_bytes: 1048576 }
               -> Refuse { (1), rearm_ms: 500, why: NoReplacement }
               -> Count { fingerprint: Fingerprint(1) }
        60000  Trapped { (2), fingerprint: Fingerprint(2), resident_bytes: 1048576 }
               -> Refuse { (2), rearm_ms: 1000, why: NoReplacement }
               -> Count { fingerprint: Fingerprint(2) }
        60000  Ready { (4) }
               -> Route { (4) }
               -> Unroute { (1) }
               -> Terminate { (1) }
    "#]]);
}

#[test]
fn one_instance_without_a_spare_never_holds_and_says_so() {
    let mut story = Story::new(Limits { instances: 1, spares: 0, ..Limits::default() });
    story.on(Event::Ready { instance: id(1) }).trapped(1, 1);
    story.tells(expect![[r#"
        0      begin
               -> Start { (1) }
               -> Permit { (1), permitted: false, why: Some(NeverEnough) }
        0      Ready { (1) }
               -> Route { (1) }
        0      Trapped { (1), fingerprint: Fingerprint(1), resident_bytes: 1048576 }
               -> Refuse { (1), rearm_ms: 250, why: NeverEnough }
               -> Count { fingerprint: Fingerprint(1) }
    "#]]);
}

#[test]
fn a_crash_loop_opens_the_breaker_and_one_probe_closes_it() {
    let mut story =
        Story::new(Limits { instances: 1, spares: 0, backoff_max_ms: 1_000, ..Limits::default() });
    for number in 1..=5 {
        story.on(Event::Exited { instance: id(number), reason: ExitReason::Code(101) }).after(1_000);
    }
    story.after(30_000).on(Event::Exited { instance: id(6), reason: ExitReason::Signal(11) }).after(40_000);
    story.on(Event::Ready { instance: id(7) }).after(10_000);
    story.on(Event::Exited { instance: id(7), reason: ExitReason::Code(0) });
    story.tells(expect![[r#"
        0      begin
               -> Start { (1) }
               -> Permit { (1), permitted: false, why: Some(NeverEnough) }
        0      Exited { (1), reason: Code(101) }
        200    (time)
               -> Start { (2) }
               -> Permit { (2), permitted: false, why: Some(NeverEnough) }
        1000   Exited { (2), reason: Code(101) }
        1244   (time)
               -> Start { (3) }
               -> Permit { (3), permitted: false, why: Some(NeverEnough) }
        2000   Exited { (3), reason: Code(101) }
        2631   (time)
               -> Start { (4) }
               -> Permit { (4), permitted: false, why: Some(NeverEnough) }
        3000   Exited { (4), reason: Code(101) }
        3585   (time)
               -> Start { (5) }
               -> Permit { (5), permitted: false, why: Some(NeverEnough) }
        4000   Exited { (5), reason: Code(101) }
               -> BreakerOpened { message: "5 starts in a row ended before they had been ready for 10 s; the last one ended with exit code 101. Look at its last log lines and at what changed; one more is tried in 30 s", until_ms: 34000 }
        34000  (time)
               -> Start { (6) }
               -> Permit { (6), permitted: false, why: Some(NeverEnough) }
        35000  Exited { (6), reason: Signal(11) }
               -> BreakerOpened { message: "6 starts in a row ended before they had been ready for 10 s; the last one ended with signal 11. Look at its last log lines and at what changed; one more is tried in 30 s", until_ms: 65000 }
        65000  (time)
               -> Start { (7) }
               -> Permit { (7), permitted: false, why: Some(NeverEnough) }
        75000  Ready { (7) }
               -> Route { (7) }
        85000  (time)
               -> BreakerClosed
        85000  Exited { (7), reason: Code(0) }
               -> Unroute { (7) }
               -> Start { (8) }
               -> Permit { (8), permitted: false, why: Some(NeverEnough) }
    "#]]);
}

#[test]
fn what_never_becomes_ready_is_killed_and_counted() {
    let mut story = Story::new(Limits { instances: 1, spares: 0, ..Limits::default() });
    story.after(65_000).on(Event::Exited { instance: id(1), reason: ExitReason::Signal(9) }).after(1_000);
    story.tells(expect![[r#"
        0      begin
               -> Start { (1) }
               -> Permit { (1), permitted: false, why: Some(NeverEnough) }
        60000  (time)
               -> Kill { (1) }
        60200  (time)
               -> Start { (2) }
               -> Permit { (2), permitted: false, why: Some(NeverEnough) }
        65000  Exited { (1), reason: Signal(9) }
    "#]]);
}

#[test]
fn people_release_kill_and_extend() {
    let mut story = Story::running(Limits { lease_ms: 60_000, ..Limits::default() });
    story.trapped(1, 1).on(Event::Frozen { instance: id(1) }).on(Event::Ready { instance: id(4) });
    story.trapped(2, 2).on(Event::Frozen { instance: id(2) });
    story.text.clear();
    story.on(Event::Release { instance: id(1) }).after(20_000);
    story.on(Event::Exited { instance: id(1), reason: ExitReason::Signal(9) });
    story.on(Event::Extend { instance: id(2), by_ms: 10_000 }).after(45_000).after(10_000);
    story.on(Event::Extend { instance: id(2), by_ms: 10_000 });
    story.on(Event::CoreDone { instance: id(2) }).on(Event::CoreDone { instance: id(2) });
    story.on(Event::Exited { instance: id(2), reason: ExitReason::Signal(9) });
    story.tells(expect![[r#"
        10000  Release { (1) }
               -> Resume { (1), why: Released }
               -> Permit { (3), permitted: true, why: None }
               -> Permit { (4), permitted: true, why: None }
               -> Permit { (5), permitted: true, why: None }
        12000  (time)
               -> Terminate { (1) }
        22000  (time)
               -> Kill { (1) }
        30000  Exited { (1), reason: Signal(9) }
        30000  Extend { (2), by_ms: 10000 }
        70000  (time)
               -> Kill { (5) }
               -> Permit { (5), permitted: false, why: Some(NotRunning) }
        70200  (time)
               -> Start { (6) }
               -> Permit { (6), permitted: true, why: None }
        80000  (time)
               -> WriteCore { (2) }
               -> Kill { (5) }
        85000  Extend { (2), by_ms: 10000 }
        85000  CoreDone { (2) }
               -> Kill { (2) }
        85000  CoreDone { (2) }
        85000  Exited { (2), reason: Signal(9) }
    "#]]);
}

#[test]
fn no_lease_is_extended_beyond_the_cap() {
    let mut story = Story::running(Limits { lease_ms: 1_000, lease_max_ms: 5_000, ..Limits::default() });
    story.trapped(1, 1);
    for _ in 0..9 {
        story.quietly(Event::Extend { instance: id(1), by_ms: 3_000 });
    }
    assert_eq!(story.fleet.lease_until(id(1)), Some(10_000 + 5_000));
    story.quietly(Event::Extend { instance: id(1), by_ms: u64::MAX });
    assert_eq!(story.fleet.lease_until(id(1)), Some(10_000 + 5_000));
}

#[test]
fn a_stalled_instance_is_looked_at_and_held_or_replaced() {
    let mut story = Story::running(Limits { held_max: 1, ..Limits::default() });
    story.on(Event::Stalled { instance: id(1) }).on(Event::Stalled { instance: id(1) }).trapped(1, 1);
    story.on(Event::Ready { instance: id(4) });
    story.on(Event::Stalled { instance: id(2) }).trapped(2, 2).on(Event::Ready { instance: id(5) });
    story.on(Event::Stalled { instance: id(3) }).after(12_000);
    story.tells(expect![[r#"
        10000  Stalled { (1) }
               -> CaptureStall { (1) }
        10000  Stalled { (1) }
        10000  Trapped { (1), fingerprint: Fingerprint(1), resident_bytes: 1048576 }
               -> Confirm { (1), fingerprint: Fingerprint(1), drain_ms: 2000 }
               -> Unroute { (1) }
               -> Route { (3) }
               -> Permanent { (1) }
               -> Start { (4) }
               -> Permit { (1), permitted: false, why: Some(NotRunning) }
               -> Permit { (2), permitted: false, why: Some(HeldMax) }
               -> Permit { (3), permitted: false, why: Some(HeldMax) }
               -> Permit { (4), permitted: false, why: Some(HeldMax) }
        10000  Ready { (4) }
        10000  Stalled { (2) }
               -> CaptureStall { (2) }
        10000  Trapped { (2), fingerprint: Fingerprint(2), resident_bytes: 1048576 }
               -> Refuse { (2), rearm_ms: 250, why: HeldMax }
               -> Count { fingerprint: Fingerprint(2) }
               -> Unroute { (2) }
               -> Terminate { (2) }
               -> Route { (4) }
               -> Start { (5) }
               -> Permit { (5), permitted: false, why: Some(HeldMax) }
        10000  Ready { (5) }
        10000  Stalled { (3) }
               -> CaptureStall { (3) }
        12000  (time)
               -> Freeze { (1) }
        20000  (time)
               -> Kill { (2) }
               -> Unroute { (3) }
               -> Terminate { (3) }
               -> Route { (5) }
               -> Start { (6) }
               -> Permit { (6), permitted: false, why: Some(HeldMax) }
    "#]]);
}

#[test]
fn when_everything_stalls_nothing_is_taken_out_before_something_recovers() {
    let mut story = Story::running(Limits { spares: 0, held_max: 0, ..Limits::default() });
    for number in 1..=2 {
        story.on(Event::Stalled { instance: id(number) });
    }
    story.after(15_000).on(Event::Stalled { instance: id(2) }).after(9_000);
    assert_eq!(story.fleet.serving(), 2);
    story.on(Event::Stalled { instance: id(2) }).after(20_000);
    story.tells(expect![[r#"
        10000  Stalled { (1) }
               -> CaptureStall { (1) }
        10000  Stalled { (2) }
               -> CaptureStall { (2) }
        25000  Stalled { (2) }
        34000  Stalled { (2) }
               -> Unroute { (2) }
               -> Terminate { (2) }
               -> Start { (3) }
               -> Permit { (3), permitted: false, why: Some(HeldMax) }
        44000  (time)
               -> Kill { (2) }
        54000  (time)
               -> Kill { (2) }
    "#]]);
    assert_eq!(story.fleet.serving(), 1);
}

#[test]
fn what_gets_away_serves_again_or_ends() {
    let mut story = Story::running(Limits::default());
    story.trapped(1, 1).on(Event::HoldFailed { instance: id(1) });
    story.on(Event::HoldFailed { instance: id(1) });
    story.tells(expect![[r#"
        10000  Trapped { (1), fingerprint: Fingerprint(1), resident_bytes: 1048576 }
               -> Confirm { (1), fingerprint: Fingerprint(1), drain_ms: 2000 }
               -> Unroute { (1) }
               -> Route { (3) }
               -> Permanent { (1) }
               -> Start { (4) }
               -> Permit { (1), permitted: false, why: Some(NotRunning) }
               -> Permit { (4), permitted: true, why: None }
        10000  HoldFailed { (1) }
               -> Terminate { (1) }
        10000  HoldFailed { (1) }
    "#]]);
    let mut story = Story::running(Limits { spares: 0, ..Limits::default() });
    story.trapped(1, 1).on(Event::HoldFailed { instance: id(1) });
    story.on(Event::Ready { instance: id(3) });
    story.tells(expect![[r#"
        10000  Trapped { (1), fingerprint: Fingerprint(1), resident_bytes: 1048576 }
               -> Confirm { (1), fingerprint: Fingerprint(1), drain_ms: 2000 }
               -> Unroute { (1) }
               -> Start { (3) }
               -> Permit { (1), permitted: false, why: Some(NotRunning) }
               -> Permit { (2), permitted: false, why: Some(HealthyMin) }
               -> Permit { (3), permitted: true, why: None }
        10000  HoldFailed { (1) }
               -> Route { (1) }
               -> Permit { (1), permitted: true, why: None }
               -> Permit { (2), permitted: true, why: None }
        10000  Ready { (3) }
               -> Route { (3) }
               -> Unroute { (1) }
               -> Terminate { (1) }
               -> Permit { (1), permitted: false, why: Some(NotRunning) }
    "#]]);
}

#[test]
fn the_next_run_adopts_what_the_last_one_left() {
    let mut story = Story { fleet: Fleet::new(Limits::default(), id(3), 7, 0), now: 0, text: String::new() };
    story
        .on(Event::Adopted { instance: id(4), ready: true })
        .on(Event::Adopted { instance: id(5), ready: false });
    story.on(Event::AdoptedHeld {
        instance: id(2),
        incident: IncidentId(9),
        fingerprint: error(1),
        resident_bytes: 5,
        lease_until_ms: 3_000,
    });
    let actions = story.fleet.begin(0);
    story.note("begin", actions);
    story
        .on(Event::Ready { instance: id(5) })
        .trapped(4, 1)
        .after(3_000)
        .on(Event::CoreDone { instance: id(2) });
    story.tells(expect![[r#"
        0      Adopted { (4), ready: true }
               -> Route { (4) }
               -> Permit { (4), permitted: false, why: Some(HealthyMin) }
        0      Adopted { (5), ready: false }
               -> Permit { (5), permitted: true, why: None }
        0      AdoptedHeld { (2), incident: IncidentId(9), fingerprint: Fingerprint(1), resident_bytes: 5, lease_until_ms: 3000 }
        0      begin
               -> Start { (6) }
               -> Permit { (6), permitted: true, why: None }
        0      Ready { (5) }
               -> Route { (5) }
               -> Permit { (4), permitted: true, why: None }
        0      Trapped { (4), fingerprint: Fingerprint(1), resident_bytes: 1048576 }
               -> Refuse { (4), rearm_ms: 250, why: SameError }
               -> Count { fingerprint: Fingerprint(1) }
        3000   (time)
               -> WriteCore { (2) }
        3000   CoreDone { (2) }
               -> Kill { (2) }
               -> Permit { (2), permitted: false, why: Some(NotRunning) }
    "#]]);
}

#[test]
fn a_hold_that_comes_to_light_late_is_adopted_all_the_same() {
    let mut story = Story { fleet: Fleet::new(Limits::default(), id(4), 7, 0), now: 0, text: String::new() };
    story
        .on(Event::Adopted { instance: id(1), ready: true })
        .on(Event::Adopted { instance: id(2), ready: true })
        .on(Event::Adopted { instance: id(3), ready: false });
    let actions = story.fleet.begin(0);
    story.note("begin", actions);
    story.text.clear();
    // Starting, serving; and once more what is known as held already.
    for (number, lease_until_ms) in [(3, 3_000), (2, 5_000), (3, 9_000)] {
        story.on(Event::AdoptedHeld {
            instance: id(number),
            incident: IncidentId(u64::from(number)),
            fingerprint: error(u8::try_from(number).expect("small")),
            resident_bytes: 5,
            lease_until_ms,
        });
    }
    story.after(3_000).on(Event::Exited { instance: id(2), reason: ExitReason::Signal(9) });
    story.tells(expect![[r#"
        0      AdoptedHeld { (3), incident: IncidentId(3), fingerprint: Fingerprint(3), resident_bytes: 5, lease_until_ms: 3000 }
               -> Start { (4) }
               -> Permit { (4), permitted: true, why: None }
        0      AdoptedHeld { (2), incident: IncidentId(2), fingerprint: Fingerprint(2), resident_bytes: 5, lease_until_ms: 5000 }
               -> Unroute { (2) }
               -> Start { (5) }
               -> Permit { (1), permitted: false, why: Some(HeldMax) }
               -> Permit { (4), permitted: false, why: Some(HeldMax) }
               -> Permit { (5), permitted: false, why: Some(HeldMax) }
        0      AdoptedHeld { (3), incident: IncidentId(3), fingerprint: Fingerprint(3), resident_bytes: 5, lease_until_ms: 9000 }
        3000   (time)
               -> WriteCore { (3) }
        3000   Exited { (2), reason: Signal(9) }
               -> Permit { (4), permitted: true, why: None }
               -> Permit { (5), permitted: true, why: None }
    "#]]);
}

#[test]
fn stopping_ends_what_runs_and_keeps_what_is_held() {
    let mut story = Story::running(Limits::default());
    story
        .trapped(1, 1)
        .on(Event::Frozen { instance: id(1) })
        .on(Event::Ready { instance: id(4) })
        .trapped(2, 2);
    story.text.clear();
    story.on(Event::Stop).on(Event::Frozen { instance: id(2) }).trapped(3, 3);
    story.on(Event::Exited { instance: id(3), reason: ExitReason::Code(0) }).after(10_000);
    for number in [4, 5] {
        story.on(Event::Exited { instance: id(number), reason: ExitReason::Signal(9) });
    }
    story.on(Event::Tick).trapped(3, 3);
    story.tells(expect![[r#"
        10000  Stop
               -> Unroute { (3) }
               -> Terminate { (3) }
               -> Unroute { (4) }
               -> Terminate { (4) }
               -> Terminate { (5) }
               -> Freeze { (2) }
        10000  Frozen { (2) }
        10000  Trapped { (3), fingerprint: Fingerprint(3), resident_bytes: 1048576 }
               -> Refuse { (3), rearm_ms: 250, why: Stopping }
               -> Count { fingerprint: Fingerprint(3) }
        10000  Exited { (3), reason: Code(0) }
        20000  (time)
               -> Kill { (4) }
               -> Kill { (5) }
        20000  Exited { (4), reason: Signal(9) }
        20000  Exited { (5), reason: Signal(9) }
               -> Done { code: 0 }
        20000  Tick
        20000  Trapped { (3), fingerprint: Fingerprint(3), resident_bytes: 1048576 }
               -> Refuse { (3), rearm_ms: 500, why: Stopping }
               -> Count { fingerprint: Fingerprint(3) }
    "#]]);
    assert_eq!(story.fleet.roles().count(), 2);
}

#[test]
fn stopping_at_once_waits_for_nobody() {
    let mut story = Story::running(Limits { stop_kills_held: true, ..Limits::default() });
    story.trapped(1, 1).on(Event::Frozen { instance: id(1) });
    story.text.clear();
    story.on(Event::Stop).on(Event::StopNow).after(20_000);
    story.tells(expect![[r#"
        10000  Stop
               -> Unroute { (2) }
               -> Terminate { (2) }
               -> Unroute { (3) }
               -> Terminate { (3) }
               -> Terminate { (4) }
               -> Kill { (1) }
               -> Permit { (2), permitted: false, why: Some(Stopping) }
               -> Permit { (3), permitted: false, why: Some(Stopping) }
               -> Permit { (4), permitted: false, why: Some(Stopping) }
        10000  StopNow
               -> Kill { (1) }
               -> Kill { (2) }
               -> Kill { (3) }
               -> Kill { (4) }
        20000  (time)
               -> Kill { (1) }
               -> Kill { (2) }
               -> Kill { (3) }
               -> Kill { (4) }
               -> Done { code: 1 }
    "#]]);
}

#[test]
fn a_command_that_ends_by_itself_gives_its_code() {
    let single = Limits { instances: 1, spares: 0, restart: false, ..Limits::default() };
    for (reason, expected) in [
        (ExitReason::Code(3), 3),
        (ExitReason::Signal(11), 139),
        (ExitReason::Spawn("no such file".to_owned()), 1),
    ] {
        let mut fleet = Fleet::new(single.clone(), id(1), 0, 0);
        let _ = fleet.begin(0);
        let actions = fleet.handle(5, Event::Exited { instance: id(1), reason });
        assert_eq!(actions, [Action::Done { code: expected }]);
    }
}
