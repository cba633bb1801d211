//! Deadlines, queues, and what clients are told when they are shed.
#![allow(missing_docs)]

mod common;

use std::time::{Duration, Instant};

use common::*;
use freezeframe_gate::Config;
use freezeframe_model::Outcome;

const GET: &str = "GET /a HTTP/1.1\r\nHost: shop\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[tokio::test]
async fn at_the_deadline_the_client_is_answered_and_the_instance_let_go() {
    let one = Backend::bind().await;
    let routes = one_route(&[one.addr], |route| route.deadline_ms = Some(150));
    let (gate, recorder) = start(Config { routes, ..config() });
    let mut client = Wire::connect(&gate).await;
    let began = Instant::now();
    client.send("GET /a HTTP/1.1\r\nHost: shop\r\nAccept: application/problem+json\r\n\r\n").await;
    let (mut instance, head) = one.request().await;
    let left: u64 = field(&head, "x-freezeframe-deadline-ms").expect("set").parse().expect("a number");
    assert!((1..=150).contains(&left), "{left}");
    let answer = client.response().await;
    let took = began.elapsed();
    assert!((Duration::from_millis(140)..Duration::from_millis(600)).contains(&took), "{took:?}");
    assert_eq!((answer.status, field(&answer.head, "x-freezeframe-shed")), (503, Some("deadline")));
    assert!(answer.body.contains(r#""status":503"#) && answer.body.contains(r#""bound":"deadline""#));
    assert_eq!(instance.rest().await, "", "the connection is closed: nobody wants the answer");
    assert_eq!(recorder.first(1).await[0].outcome, Outcome::Refused(None));
    // The client's connection is as good as before, and a later request has all of its time.
    client.send(GET).await;
    let (mut instance, _) = one.request().await;
    instance.send(OK).await;
    assert_eq!(client.response().await.body, "ok");
}

#[tokio::test]
async fn a_client_can_shorten_its_time_and_not_lengthen_it() {
    let one = Backend::bind().await;
    let routes = one_route(&[one.addr], |route| route.deadline_ms = Some(10_000));
    let (gate, _) = start(Config { routes, ..config() });
    for (given, at_most) in [("20000", 10_000), ("100", 100), ("-1", 10_000), ("x", 10_000)] {
        let mut client = Wire::connect(&gate).await;
        client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nX-Freezeframe-Deadline-Ms: {given}\r\n\r\n")).await;
        let (mut instance, head) = one.request().await;
        let left: u64 = field(&head, "x-freezeframe-deadline-ms").expect("set").parse().expect("a number");
        assert!(left <= at_most && left + 2_000 > at_most, "{given}: {left}");
        instance.send("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").await;
        assert_eq!(client.response().await.status, 204);
    }
}

#[tokio::test]
async fn the_queue_is_bounded_and_a_client_that_leaves_it_frees_its_place() {
    let one = Backend::bind().await;
    let routes = bounded(&[one.addr], 1, 1, |_| ());
    let (gate, recorder) = start(Config { workers: 1, routes, ..config() });
    let mut first = Wire::connect(&gate).await;
    first.send(GET).await;
    let (mut instance, _) = one.request().await;
    for request in [GET, "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody"] {
        let mut waiting = Wire::connect(&gate).await;
        waiting.send(request).await;
        // Once the queue is full, a further request is refused at once: until then it would wait.
        let mut refused = None;
        while refused.is_none() {
            let mut client = Wire::connect(&gate).await;
            client.send(GET).await;
            refused = tokio::time::timeout(Duration::from_millis(50), client.response()).await.ok();
        }
        let answer = refused.expect("refused");
        // By its cohort, where the half of the users that goes first is refused already.
        let bound = field(&answer.head, "x-freezeframe-shed");
        assert!(answer.status == 429 && matches!(bound, Some("queue_full" | "cohort")), "{bound:?}");
        let after: u32 = field(&answer.head, "retry-after").expect("set").parse().expect("a number");
        assert!((1..=3).contains(&after));
        drop(waiting);
    }
    // Both that waited have left; the next one gets their place.
    patiently("the place", async {
        loop {
            let mut client = Wire::connect(&gate).await;
            client.send(GET).await;
            if tokio::time::timeout(Duration::from_millis(50), client.response()).await.is_err() {
                instance.send(OK).await;
                instance.head().await;
                instance.send(OK).await;
                assert_eq!(client.response().await.body, "ok");
                return;
            }
        }
    })
    .await;
    assert_eq!(first.response().await.body, "ok");
    let exchanges = recorder.first(4).await;
    assert!(exchanges.iter().any(|exchange| exchange.outcome == Outcome::ClientGone));
    assert_eq!(gate.upstreams().iter().map(|state| gate.in_flight_count(state.id)).sum::<u32>(), 0);
}

#[tokio::test]
async fn what_waits_too_long_is_never_forwarded() {
    let one = Backend::bind().await;
    let routes = bounded(&[one.addr], 1, 128, |route| route.deadline_ms = Some(200));
    let (gate, recorder) = start(Config { routes, ..config() });
    let mut first = Wire::connect(&gate).await;
    first.send("GET /first HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let (mut instance, _) = one.request().await;
    let mut second = Wire::connect(&gate).await;
    second.send("GET /second HTTP/1.1\r\nHost: a\r\nX-Freezeframe-Deadline-Ms: 50\r\n\r\n").await;
    let answer = second.response().await;
    assert_eq!((answer.status, field(&answer.head, "x-freezeframe-shed")), (503, Some("deadline")));
    instance.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(first.response().await.status, 200);
    let mut third = Wire::connect(&gate).await;
    third.send("GET /third HTTP/1.1\r\nHost: a\r\n\r\n").await;
    // On whichever connection, the next that an instance sees is the third.
    let head = tokio::select! {
        head = instance.head() => head,
        (_, head) = one.request() => head,
    };
    assert!(head.starts_with("GET /third "), "{head}");
    assert_eq!(recorder.first(2).await.iter().filter(|exchange| exchange.instance.is_none()).count(), 1);
}
