//! Services with bounds: which instance gets what, who waits, and when a place is free again.
#![allow(missing_docs)]

mod common;

use std::time::Duration;

use common::*;
use freezeframe_gate::{Config, Route};
use freezeframe_model::InstanceId;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
/// Long enough for anything that is going to happen on loopback; what must not happen is waited for so long.
const A_WHILE: Duration = Duration::from_millis(100);

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

async fn client(gate: &freezeframe_gate::Gate, path: &str) -> Wire {
    let mut client = Wire::connect(gate).await;
    client.send(get(path)).await;
    client
}

/// Whether nothing comes to this instance for a while.
async fn is_quiet(instance: &Backend) -> bool {
    tokio::time::timeout(A_WHILE, instance.accept()).await.is_err()
}

#[tokio::test]
async fn no_instance_gets_more_than_it_may_and_a_free_place_is_given_on() {
    let (one, two) = (Backend::bind().await, Backend::bind().await);
    let (gate, _) =
        start(Config { workers: 1, routes: bounded(&[one.addr, two.addr], 1, 8, |_| ()), ..config() });
    let _first = client(&gate, "/1").await;
    let _second = client(&gate, "/2").await;
    let ((mut at_one, _), (_at_two, _)) = tokio::join!(one.request(), two.request());
    let mut third = client(&gate, "/3").await;
    assert!(is_quiet(&one).await && is_quiet(&two).await, "both have what they may have");
    at_one.send(OK).await;
    let head = at_one.head().await;
    assert!(head.starts_with("GET /3 "), "the next one comes over the same connection: {head}");
    at_one.send(OK).await;
    assert_eq!(third.response().await.body, "ok");
}

#[tokio::test]
async fn the_place_of_one_that_is_too_late_is_free_when_its_connection_is_closed() {
    let one = Backend::bind().await;
    let routes = bounded(&[one.addr], 1, 8, |route| route.deadline_ms = Some(150));
    let (gate, _) = start(Config { routes, ..config() });
    for path in ["/1", "/2"] {
        let mut client = client(&gate, path).await;
        let (mut instance, head) = one.request().await;
        assert!(head.starts_with(&format!("GET {path} ")), "{head}");
        let answer = client.response().await;
        assert_eq!((answer.status, field(&answer.head, "x-freezeframe-shed")), (503, Some("deadline")));
        assert_eq!(instance.rest().await, "");
    }
}

#[tokio::test]
async fn a_response_that_goes_on_after_the_deadline_keeps_its_place() {
    let one = Backend::bind().await;
    let routes = bounded(&[one.addr], 1, 8, |route| route.deadline_ms = Some(50));
    let (gate, _) = start(Config { routes, workers: 1, ..config() });
    let mut events = client(&gate, "/events").await;
    let (mut instance, _) = one.request().await;
    instance.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n").await;
    assert!(events.head().await.starts_with("HTTP/1.1 200 "));
    // Longer than its deadline, and than the time after which admission gives up on those that never end.
    tokio::time::sleep(Duration::from_millis(250)).await;
    let mut other = client(&gate, "/other").await;
    let answer = other.response().await;
    assert_eq!((answer.status, field(&answer.head, "x-freezeframe-shed")), (503, Some("deadline")));
    instance.send("1\r\nb\r\n0\r\n\r\n").await;
    assert!(events.until("0\r\n\r\n").await.contains('b'));
    let mut next = client(&gate, "/next").await;
    assert!(instance.head().await.starts_with("GET /next "));
    instance.send(OK).await;
    assert_eq!(next.response().await.status, 200);
}

#[tokio::test]
async fn the_important_displace_the_others_when_the_queue_is_full() {
    let one = Backend::bind().await;
    let mut routes = bounded(&[one.addr], 1, 1, |route| route.tier = 2);
    routes.routes.push(Route {
        name: "pay".to_owned(),
        path: "/pay".to_owned(),
        tier: 0,
        ..Route::to("shop")
    });
    let (gate, _) = start(Config { workers: 1, routes, ..config() });
    let _running = client(&gate, "/1").await;
    let (mut instance, _) = one.request().await;
    let mut waiting = client(&gate, "/2").await;
    // It waits once it is read, which nobody can see from outside: until then the newcomer takes the place without a fight.
    assert!(is_quiet(&one).await);
    let mut paying = client(&gate, "/pay").await;
    let answer = waiting.response().await;
    assert_eq!((answer.status, field(&answer.head, "x-freezeframe-shed")), (429, Some("displaced")));
    let after: u32 = field(&answer.head, "retry-after").expect("set").parse().expect("a number");
    assert!((1..=3).contains(&after));
    instance.send(OK).await;
    assert!(instance.head().await.starts_with("GET /pay "));
    instance.send(OK).await;
    assert_eq!(paying.response().await.body, "ok");
}

#[tokio::test]
async fn a_route_has_bounds_of_its_own_also_where_its_service_has_none() {
    let one = Backend::bind().await;
    let mut routes = one_route(&[one.addr], |_| ());
    routes.routes.push(Route {
        name: "report".to_owned(),
        path: "/report".to_owned(),
        in_flight_max: Some(1),
        queue_max: Some(0),
        ..Route::to("shop")
    });
    let (gate, _) = start(Config { routes, workers: 1, ..config() });
    let mut first = client(&gate, "/report").await;
    let (mut instance, _) = one.request().await;
    let answer = client(&gate, "/report").await.response().await;
    assert_eq!((answer.status, field(&answer.head, "x-freezeframe-shed")), (429, Some("route_queue_full")));
    for _ in 0..3 {
        let mut other = client(&gate, "/other").await;
        let (mut beside, head) = one.request().await;
        assert!(head.starts_with("GET /other "), "{head}");
        beside.send(OK).await;
        assert_eq!(other.response().await.status, 200);
    }
    instance.send(OK).await;
    assert_eq!(first.response().await.status, 200);
}

#[tokio::test]
async fn an_upstream_that_takes_no_connections_is_passed_over() {
    let (dead, one) = (dead_addr().await, Backend::bind().await);
    let (gate, _) = start(Config { routes: bounded(&[dead, one.addr], 4, 8, |_| ()), ..config() });
    let mut clients = Vec::new();
    for n in 0..3 {
        clients.push(client(&gate, &format!("/{n}")).await);
    }
    let mut answered = 0;
    while answered < 3 {
        let (mut instance, _) = one.request().await;
        instance.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok").await;
        answered += 1;
    }
    for mut client in clients {
        assert_eq!(client.response().await.body, "ok");
    }
}

#[tokio::test]
async fn what_an_evicted_instance_had_goes_to_the_one_that_replaces_it() {
    let (one, two) = (Backend::bind().await, Backend::bind().await);
    let mut routes = freezeframe_gate::RouteTable::default();
    routes.services[0].in_flight_max = Some(1);
    let (gate, _) = start(Config { routes, workers: 1, ..config() });
    gate.route(InstanceId(1), one.addr);
    let mut first = client(&gate, "/first").await;
    let (_held, _) = one.request().await;
    let mut second = client(&gate, "/second").await;
    gate.unroute(InstanceId(1));
    gate.evict(InstanceId(1), None);
    gate.route(InstanceId(2), two.addr);
    // One place: one after the other, in whichever order.
    let (mut instance, _) = two.request().await;
    instance.send(OK).await;
    instance.head().await;
    instance.send(OK).await;
    assert_eq!((first.response().await.body.as_str(), second.response().await.body.as_str()), ("ok", "ok"));
}

#[tokio::test]
async fn bounds_follow_the_configuration() {
    let one = Backend::bind().await;
    let (gate, _) = start(Config { routes: bounded(&[one.addr], 1, 8, |_| ()), ..config() });
    let _first = client(&gate, "/1").await;
    let (_a, _) = one.request().await;
    let _second = client(&gate, "/2").await;
    assert!(is_quiet(&one).await);
    gate.configure(bounded(&[one.addr], 2, 8, |_| ())).expect("valid");
    let (_b, head) = one.request().await;
    assert!(head.starts_with("GET /2 "), "{head}");
    let _third = client(&gate, "/3").await;
    assert!(is_quiet(&one).await);
    // Another queue is another door; without any bound, nothing holds it back.
    gate.configure(one_route(&[one.addr], |_| ())).expect("valid");
    let _fourth = client(&gate, "/4").await;
    let (_c, head) = one.request().await;
    assert!(head.starts_with("GET /4 "), "{head}");
}

#[tokio::test]
async fn durations_are_kept_by_route_outcome_and_part() {
    let one = Backend::bind().await;
    let (gate, recorder) = start(Config { routes: bounded(&[one.addr], 1, 0, |_| ()), ..config() });
    let mut first = client(&gate, "/1").await;
    let (mut instance, _) = one.request().await;
    let mut refused = client(&gate, "/2").await;
    assert_eq!(refused.response().await.status, 429);
    let services = gate.services();
    assert_eq!((services[0].in_flight, services[0].queued, services[0].in_flight_max), (1, 0, Some(1)));
    instance.send(OK).await;
    assert_eq!(first.response().await.status, 200);
    recorder.first(2).await;
    let series = gate.durations();
    let shown = |one: &freezeframe_histogram::Series| {
        let labels: Vec<&str> = one.labels.iter().map(|(_, value)| value.as_str()).collect();
        format!("{} {}", labels.join(" "), one.histogram.count())
    };
    let shown: Vec<String> = series.iter().map(shown).collect();
    assert_eq!(
        shown,
        [
            "shop ok queue 1",
            "shop ok processing 1",
            "shop ok total 1",
            "shop shed queue 1",
            "shop shed total 1"
        ]
    );
    // What was refused ended on no instance.
    let upstream = gate.upstreams()[0].id;
    assert_eq!(gate.served(upstream).count(), 1);
}
