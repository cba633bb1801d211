//! What happens to requests, told in virtual time.

use std::fmt::Write;

use expect_test::{Expect, expect};
use freezeframe_admission::{
    Admission, Answer, Config, InstanceId, Outcome, Output, Request, Route, RouteId, Ticket, Tier, TierId,
};

const MS: u64 = 1_000;

/// Tells a story: requests have the names a, b, c, … in the order of their arrival.
struct Story {
    admission: Admission,
    now_us: u64,
    tickets: Vec<Option<Ticket>>,
    told: String,
}

impl Story {
    fn new(config: Config, instances: &[u32]) -> Self {
        let mut admission = Admission::new(config).expect("a good configuration");
        for (id, &cap) in instances.iter().enumerate() {
            assert!(admission.instance_up(0, InstanceId(id as u64), cap));
        }
        Self { admission, now_us: 0, tickets: Vec::new(), told: String::new() }
    }

    fn say(&mut self, words: &str) {
        writeln!(self.told, "{:<4} ms  {words}", self.now_us / MS).expect("a String");
    }

    fn name(&self, ticket: Ticket) -> char {
        let at = self.tickets.iter().position(|known| *known == Some(ticket)).expect("known");
        char::from(b'a' + at as u8)
    }

    fn hear(&mut self) {
        let outputs: Vec<Output> = self.admission.outputs().collect();
        for output in outputs {
            let name = self.name(output.ticket());
            match output {
                Output::Forward { instance, .. } => self.say(&format!("{name} goes to {}", instance.0)),
                Output::Shed { shed, .. } => {
                    self.say(&format!("{name} gets {}: {}", shed.reason.status(), shed.reason.as_str()));
                }
                Output::Late { .. } => self.say(&format!("{name} is late")),
            }
        }
    }

    fn at(&mut self, ms: u64) -> &mut Self {
        while let Some(next_us) = self.admission.next_tick_us().filter(|next_us| *next_us < ms * MS) {
            self.now_us = self.now_us.max(next_us);
            self.admission.tick(self.now_us);
            self.hear();
        }
        self.now_us = ms * MS;
        self.admission.tick(self.now_us);
        self.hear();
        self
    }

    fn arrive(&mut self, request: Request) -> &mut Self {
        let answer = self.admission.arrive(self.now_us, &request);
        self.hear();
        let name = char::from(b'a' + self.tickets.len() as u8);
        let (ticket, words) = match answer {
            Answer::Forward { ticket, instance, .. } => {
                (Some(ticket), format!("{name} goes to {}", instance.0))
            }
            Answer::Queued { ticket } => (Some(ticket), format!("{name} waits")),
            Answer::Shed(shed) => {
                (None, format!("{name} gets {}: {}", shed.reason.status(), shed.reason.as_str()))
            }
        };
        self.tickets.push(ticket);
        self.say(&words);
        self
    }

    fn come(&mut self, how_many: usize) -> &mut Self {
        (0..how_many).for_each(|_| {
            self.arrive(Request::default());
        });
        self
    }

    fn ticket(&self, name: char) -> Ticket {
        self.tickets[usize::from(name as u8 - b'a')].expect("not refused at once")
    }

    fn finish(&mut self, name: char, outcome: Outcome) -> &mut Self {
        let ticket = self.ticket(name);
        self.say(&format!("{name} is done: {outcome:?}"));
        self.admission.finished(self.now_us, ticket, outcome);
        self.hear();
        self
    }

    fn leave(&mut self, name: char) -> &mut Self {
        let ticket = self.ticket(name);
        self.say(&format!("{name}'s client goes away"));
        self.admission.client_gone(self.now_us, ticket);
        self.hear();
        self
    }

    fn check(&self, expected: &Expect) {
        expected.assert_eq(&self.told);
    }
}

fn config(queue_max: u32, deadline_ms: u64) -> Config {
    let route = Route { deadline_us: deadline_ms * MS, tier: 0, ..Route::default() };
    let one = vec![Tier { name: "all".to_owned(), share: 1.0 }];
    Config { queue_max, routes: vec![route], tiers: one, ..Config::default() }
}

#[test]
fn what_is_too_much_is_refused_at_once_and_the_others_wait_their_turn() {
    let mut story = Story::new(config(2, 1_000), &[1, 1]);
    // All of one user: nobody has more claim than another.
    let request = Request { user: Some(1), ..Request::default() };
    (0..5).for_each(|_| {
        story.arrive(request);
    });
    story.at(50).finish('b', Outcome::Answered).at(80).finish('a', Outcome::Answered);
    story.check(&expect![[r#"
        0    ms  a goes to 0
        0    ms  b goes to 1
        0    ms  c waits
        0    ms  d waits
        0    ms  e gets 429: queue full
        50   ms  b is done: Answered
        50   ms  c goes to 1
        80   ms  a is done: Answered
        80   ms  d goes to 0
    "#]]);
}

#[test]
fn nobody_hears_later_than_the_deadline_and_a_late_one_keeps_its_slot_until_it_is_done() {
    let mut story = Story::new(config(4, 500), &[1]);
    story.come(2).at(400).come(1).at(700).come(1).finish('a', Outcome::Answered).at(5_000);
    story.check(&expect![[r#"
        0    ms  a goes to 0
        0    ms  b waits
        400  ms  c waits
        500  ms  a is late
        500  ms  b gets 503: waited too long
        700  ms  c gets 503: waited too long
        700  ms  d waits
        700  ms  a is done: Answered
        700  ms  d goes to 0
        1200 ms  d is late
    "#]]);
    assert_eq!((story.admission.queued(), story.admission.in_flight()), (0, 0));
}

#[test]
fn what_cannot_be_done_in_time_any_more_is_not_begun() {
    let mut story = Story::new(config(4, 500), &[1]);
    // It takes 300 ms: whoever has waited for more than 200 ms is too late.
    story.come(1).at(300).finish('a', Outcome::Answered);
    story.come(3).at(600).finish('b', Outcome::Answered).at(650);
    story.check(&expect![[r#"
        0    ms  a goes to 0
        300  ms  a is done: Answered
        300  ms  b goes to 0
        300  ms  c waits
        300  ms  d waits
        488  ms  c gets 503: waited too long
        488  ms  d gets 503: waited too long
        600  ms  b is done: Answered
    "#]]);
}

#[test]
fn clients_that_go_leave_the_queue() {
    let mut story = Story::new(config(4, 1_000), &[1]);
    story.come(3).at(10).leave('b').at(20).finish('a', Outcome::Answered);
    // In flight, it keeps its slot: the instance may be working on it still.
    story.leave('c').come(1).at(30).finish('c', Outcome::Abandoned);
    story.check(&expect![[r#"
        0    ms  a goes to 0
        0    ms  b waits
        0    ms  c waits
        10   ms  b's client goes away
        20   ms  a is done: Answered
        20   ms  c goes to 0
        20   ms  c's client goes away
        20   ms  d waits
        30   ms  c is done: Abandoned
        30   ms  d goes to 0
    "#]]);
}

#[test]
fn the_youngest_go_first_once_a_queue_stands() {
    let mut story = Story::new(config(20, 1_000), &[1]);
    // Every 50 ms one is done and two come: the oldest has waited more than 30 ms (3 %) for 100 ms soon.
    story.come(3);
    for step in 1..=6_u8 {
        let last = story.told.rfind(" goes to").and_then(|at| story.told[..at].chars().next_back());
        let running = last.expect("one is in flight");
        story.at(50 * u64::from(step)).finish(running, Outcome::Answered).come(2);
    }
    story.check(&expect![[r#"
        0    ms  a goes to 0
        0    ms  b waits
        0    ms  c waits
        50   ms  a is done: Answered
        50   ms  b goes to 0
        50   ms  d waits
        50   ms  e waits
        100  ms  b is done: Answered
        100  ms  c goes to 0
        100  ms  f waits
        100  ms  g waits
        150  ms  d gets 503: waited too long
        150  ms  e gets 503: waited too long
        150  ms  c is done: Answered
        150  ms  g goes to 0
        150  ms  h waits
        150  ms  f gets 503: waited too long
        150  ms  i waits
        200  ms  g is done: Answered
        200  ms  i goes to 0
        200  ms  j waits
        200  ms  h gets 503: waited too long
        200  ms  k waits
        250  ms  i is done: Answered
        250  ms  k goes to 0
        250  ms  l waits
        250  ms  j gets 503: waited too long
        250  ms  m waits
        300  ms  k is done: Answered
        300  ms  m goes to 0
        300  ms  n waits
        300  ms  l gets 503: waited too long
        300  ms  o waits
    "#]]);
}

#[test]
fn the_important_displace_the_others_but_not_from_their_share() {
    let tier = |name: &str, share| Tier { name: name.to_owned(), share };
    let tiers = vec![tier("critical", 0.5), tier("sheddable", 0.25)];
    let mut story = Story::new(Config { tiers, ..config(4, 1_000) }, &[1]);
    let of = |tier| Request { tier: Some(TierId(tier)), user: Some(7), ..Request::default() };
    for tier in [1, 1, 1, 1, 1, 0, 0, 0, 0] {
        story.arrive(of(tier));
    }
    story.check(&expect![[r#"
        0    ms  a goes to 0
        0    ms  b waits
        0    ms  c waits
        0    ms  d waits
        0    ms  e waits
        0    ms  e gets 429: displaced
        0    ms  f waits
        0    ms  d gets 429: displaced
        0    ms  g waits
        0    ms  c gets 429: displaced
        0    ms  h waits
        0    ms  i gets 429: queue full
    "#]]);
}

#[test]
fn a_slow_route_leaves_a_fast_one_its_slots() {
    let route = |deadline_ms| Route { deadline_us: deadline_ms * MS, tier: 0, ..Route::default() };
    let routes = vec![route(10_000), route(200)];
    let mut story = Story::new(Config { routes, ..config(8, 0) }, &[4]);
    let fast = Request { route: RouteId(1), ..Request::default() };
    story.arrive(fast).at(5).finish('a', Outcome::Answered);
    // One slot was needed by the fast route a moment ago: the slow one gets three.
    story.at(10).come(5).at(20).arrive(fast).at(25).finish('g', Outcome::Answered).arrive(fast);
    story.check(&expect![[r#"
        0    ms  a goes to 0
        5    ms  a is done: Answered
        10   ms  b goes to 0
        10   ms  c goes to 0
        10   ms  d goes to 0
        10   ms  e waits
        10   ms  f waits
        20   ms  g goes to 0
        25   ms  g is done: Answered
        25   ms  h goes to 0
    "#]]);
}

#[test]
fn a_route_keeps_within_its_own_bounds() {
    let mut config = config(8, 1_000);
    let own = Route { in_flight_max: Some(1), queue_max: Some(1), ..config.routes[0] };
    config.routes.push(own);
    let mut story = Story::new(config, &[4, 4]);
    let bounded = Request { route: RouteId(1), ..Request::default() };
    story.arrive(bounded).arrive(bounded).arrive(bounded).arrive(bounded).come(1);
    story.at(10).finish('a', Outcome::Answered);
    story.check(&expect![[r#"
        0    ms  a goes to 0
        0    ms  b goes to 1
        0    ms  c waits
        0    ms  d gets 429: queue of its route full
        0    ms  e goes to 0
        10   ms  a is done: Answered
        10   ms  c goes to 0
    "#]]);
}

#[test]
fn a_route_that_fails_on_one_instance_goes_to_the_other_and_fails_quickly_when_there_is_none() {
    let mut story = Story::new(config(8, 1_000), &[1]);
    for _ in 0..20 {
        story.come(1);
        let last = char::from(b'a' + (story.tickets.len() - 1) as u8);
        story.finish(last, Outcome::Failed);
    }
    story.told.clear();
    story.come(1);
    assert!(story.admission.instance_up(story.now_us, InstanceId(9), 1));
    story.come(1).finish('v', Outcome::Answered);
    story.admission.instance_down(story.now_us, InstanceId(9));
    // A probe after a second or so.
    story.at(1_600).come(2).finish('w', Outcome::Answered);
    story.check(&expect![[r#"
        0    ms  u gets 503: breaker open
        0    ms  v goes to 9
        0    ms  v is done: Answered
        1600 ms  w goes to 0
        1600 ms  x gets 503: breaker open
        1600 ms  w is done: Answered
    "#]]);
}

#[test]
fn a_retry_goes_elsewhere_while_there_is_time_and_budget() {
    let mut story = Story::new(config(8, 1_000), &[1, 1]);
    story.come(1);
    let ticket = story.ticket('a');
    let now_us = 10 * MS;
    assert_eq!(story.admission.retry(now_us, ticket, Outcome::Failed), Some(InstanceId(1)));
    assert_eq!(story.admission.retry(now_us, ticket, Outcome::Failed), None, "the budget is spent");
    story.at(100).finish('a', Outcome::Answered);
    assert_eq!(story.admission.in_flight(), 0);
    assert_eq!(story.admission.retry(now_us, ticket, Outcome::Failed), None, "it has ended");
}

#[test]
fn without_an_instance_requests_wait_for_one() {
    let mut story = Story::new(config(2, 1_000), &[]);
    story.come(1).at(300);
    assert!(story.admission.instance_up(story.now_us, InstanceId(5), 1));
    story.hear();
    story.check(&expect![[r#"
        0    ms  a waits
        300  ms  a goes to 5
    "#]]);
}

#[test]
fn what_is_kept_in_memory_does_not_grow_with_what_has_passed() {
    let mut admission = Admission::new(config(8, 60_000)).expect("a good configuration");
    admission.instance_up(0, InstanceId(0), 4);
    let mut highest = 0;
    for now_us in 0..200_000_u64 {
        if let Answer::Forward { ticket, .. } = admission.arrive(now_us, &Request::default()) {
            highest = highest.max(ticket.index());
            admission.finished(now_us, ticket, Outcome::Answered);
        }
    }
    assert!(highest < 12, "cells are used again: {highest}");
    let text = format!("{admission:?}");
    assert!(text.len() < 200_000, "{} characters describe it", text.len());
}
