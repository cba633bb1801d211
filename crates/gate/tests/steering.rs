//! What the rest of Freezeframe does to requests under way, and what clients see of it.
#![allow(missing_docs)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use common::*;
use freezeframe_gate::{Config, Evicted, Gate, Observer};
use freezeframe_model::{Exchange, IncidentId, InstanceId, Outcome};
use http_body_util::Full;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;

const ONE: InstanceId = InstanceId(1);
const TWO: InstanceId = InstanceId(2);
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const GET: &str = "GET /a HTTP/1.1\r\nHost: shop\r\nCookie: sid=u1\r\n\r\n";

#[tokio::test]
async fn eviction_sends_a_get_elsewhere_once_and_fails_it_the_second_time() {
    let (gate, recorder, one) = start_with_backend().await;
    let two = Backend::bind().await;
    let mut client = Wire::connect(&gate).await;
    client.send(GET).await;
    let (mut held, first) = one.request().await;
    gate.unroute(ONE);
    // No other instance yet: the request waits for the one that is about to replace it.
    assert_eq!(gate.evict(ONE, Some(IncidentId(42))), Evicted { retried: 1, failed: 0, aborted: 0 });
    assert_eq!(held.rest().await, "", "the held instance loses the connection");
    gate.route(TWO, two.addr);
    let (mut instance, second) = two.request().await;
    assert_ne!(field(&first, "traceparent"), field(&second, "traceparent"));
    assert_eq!(
        first[..first.find("traceparent").unwrap_or(0)],
        second[..second.find("traceparent").unwrap_or(0)]
    );
    gate.unroute(TWO);
    assert_eq!(gate.evict(TWO, Some(IncidentId(43))), Evicted { retried: 0, failed: 1, aborted: 0 });
    let answer = client.response().await;
    assert_eq!((answer.status, field(&answer.head, "x-incident-id")), (502, Some("INC-43")));
    assert_eq!(instance.rest().await, "");
    let exchange = &recorder.first(1).await[0];
    assert_eq!(exchange.outcome, Outcome::Refused(Some(IncidentId(43))));
    assert!(exchange.retried && exchange.instance == Some(TWO));
}

#[tokio::test]
async fn eviction_fails_what_may_not_be_repeated_and_repeats_a_kept_body() {
    // One worker, so that both clients share its connections to instances.
    let (gate, _) = start(Config { workers: 1, ..config() });
    let one = Backend::bind().await;
    gate.route(ONE, one.addr);
    let two = Backend::bind().await;
    let mut post = Wire::connect(&gate).await;
    post.send("POST /pay HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nAccept: application/json\r\n\r\nbody")
        .await;
    let (mut held_post, _) = one.request().await;
    held_post.take(4).await;
    let mut keyed = Wire::connect(&gate).await;
    keyed.send("POST /pay HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nIdempotency-Key: 1\r\n\r\nbody").await;
    let (mut held_keyed, _) = one.request().await;
    held_keyed.take(4).await;
    gate.route(TWO, two.addr);
    gate.unroute(ONE);
    assert_eq!(gate.in_flight_count(ONE), 2);
    assert_eq!(gate.evict(ONE, Some(IncidentId(7))), Evicted { retried: 1, failed: 1, aborted: 0 });
    let answer = post.response().await;
    assert_eq!((answer.status, field(&answer.head, "x-incident-id")), (502, Some("INC-7")));
    assert!(answer.body.contains("\"incident\":\"INC-7\""), "{}", answer.body);
    let (mut instance, _) = two.request().await;
    assert_eq!(instance.take(4).await, b"body");
    instance.send(OK).await;
    assert_eq!(keyed.response().await.status, 200);
    gate.wait_in_flight_at_most(ONE, 0).await;
    // The client of the failed request can go on, and the instance that is gone gets nothing.
    post.send(GET).await;
    instance.head().await;
    instance.send(OK).await;
    assert_eq!(post.response().await.status, 200);
}

#[tokio::test]
async fn a_large_or_unannounced_body_is_not_kept() {
    let (gate, _) = start(Config { retry_body_bytes: 4, ..config() });
    let one = Backend::bind().await;
    gate.route(ONE, one.addr);
    for body in ["Content-Length: 5\r\n\r\nlarge", "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"] {
        let mut client = Wire::connect(&gate).await;
        client.send(format!("PUT / HTTP/1.1\r\nHost: a\r\n{body}")).await;
        let (_held, _) = one.request().await;
        assert_eq!(gate.evict(ONE, None), Evicted { retried: 0, failed: 1, aborted: 0 });
        let answer = client.response().await;
        assert_eq!((answer.status, field(&answer.head, "x-incident-id")), (502, None));
    }
}

#[tokio::test]
async fn a_response_that_began_is_broken_off() {
    let (gate, recorder, one) = start_with_backend().await;
    for head in ["Content-Length: 10\r\n\r\nhalf", "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"] {
        let mut client = Wire::connect(&gate).await;
        client.send(GET).await;
        let (mut instance, _) = one.request().await;
        instance.send(format!("HTTP/1.1 200 OK\r\n{head}")).await;
        client.until("half").await;
        assert_eq!(gate.evict(ONE, Some(IncidentId(1))), Evicted { retried: 0, failed: 0, aborted: 1 });
        assert!(!client.rest().await.contains("0\r\n\r\n"), "the body has no end");
    }
    for exchange in recorder.first(2).await {
        assert_eq!((exchange.status, exchange.outcome), (200, Outcome::Refused(Some(IncidentId(1)))));
    }
}

#[tokio::test]
async fn the_failing_request_alone_is_failed_and_never_repeated() {
    let (gate, recorder, one) = start_with_backend().await;
    let two = Backend::bind().await;
    let mut failing = Wire::connect(&gate).await;
    failing.send(GET).await;
    let (_held, head) = one.request().await;
    let mut other = Wire::connect(&gate).await;
    other.send(GET).await;
    let (mut innocent, _) = one.request().await;
    gate.route(TWO, two.addr);
    let traceparent = field(&head, "traceparent").expect("set");
    assert!(!gate.fail(TWO, traceparent, IncidentId(5)), "not there");
    assert!(!gate.fail(ONE, "nonsense", IncidentId(5)));
    assert!(gate.fail(ONE, traceparent, IncidentId(5)));
    assert!(!gate.fail(ONE, traceparent, IncidentId(6)), "only once");
    let answer = failing.response().await;
    assert_eq!((answer.status, field(&answer.head, "x-incident-id")), (502, Some("INC-5")));
    innocent.send(OK).await;
    assert_eq!(other.response().await.status, 200);
    let exchanges = recorder.first(2).await;
    assert_eq!(exchanges[0].outcome, Outcome::Refused(Some(IncidentId(5))));
    assert!(!exchanges[0].retried);
}

#[tokio::test]
async fn what_is_in_flight_can_be_seen_and_waited_for() {
    let (gate, _, one) = start_with_backend().await;
    assert!(!gate.stalled(ONE, 0), "nothing in flight");
    let mut client = Wire::connect(&gate).await;
    client.send("DELETE /thing?secret=1 HTTP/1.1\r\nHost: a\r\nCookie: sid=u1\r\n\r\n").await;
    let (mut instance, head) = one.request().await;
    let request = in_flight(&gate, ONE, 1).await.remove(0);
    assert_eq!((request.method.as_str(), request.path.as_str()), ("DELETE", "/thing"));
    assert_eq!(Some(request.traceparent.as_str()), field(&head, "traceparent"));
    assert!(request.session.is_some());
    assert!(gate.stalled(ONE, 0) && !gate.stalled(ONE, 60_000));
    gate.wait_in_flight_at_most(ONE, 1).await;
    let waiting = tokio::spawn({
        let gate = gate.clone();
        async move { gate.wait_in_flight_at_most(ONE, 0).await }
    });
    instance.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no").await;
    client.until("\r\n\r\no").await;
    assert!(!gate.stalled(ONE, 0), "the response began");
    assert!(!waiting.is_finished());
    instance.send("k").await;
    patiently("the end of the request", waiting).await.expect("no panic");
    assert_eq!((gate.in_flight_count(ONE), gate.in_flight(ONE)), (0, vec![]));
    gate.wait_in_flight_at_most(InstanceId(99), 0).await;
}

#[tokio::test]
async fn a_connection_that_is_closed_as_it_is_used_again_costs_nothing() {
    let (gate, recorder, one) = start_with_backend().await;
    let mut client = Wire::connect(&gate).await;
    client.send(GET).await;
    let (mut instance, _) = one.request().await;
    instance.send(OK).await;
    client.response().await;
    client.send(GET).await;
    // The instance got it on the old connection, and closes that without a word.
    instance.head().await;
    drop(instance);
    let (mut instance, _) = one.request().await;
    instance.send(OK).await;
    assert_eq!(client.response().await.status, 200);
    // A request that is not idempotent may have been worked on: it is not sent again.
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").await;
    instance.head().await;
    drop(instance);
    assert_eq!(client.response().await.status, 502);
    // On a fresh connection there is no such race: the instance broke down.
    client.send(GET).await;
    let (instance, _) = one.request().await;
    drop(instance);
    assert_eq!(client.response().await.status, 502);
    let outcomes: Vec<_> = recorder.first(4).await.into_iter().map(|exchange| exchange.outcome).collect();
    assert_eq!(outcomes[..2], [Outcome::Answered, Outcome::Answered]);
    for outcome in &outcomes[2..] {
        assert!(matches!(outcome, Outcome::UpstreamFailed(why) if why.contains("closed")), "{outcome:?}");
    }
}

#[tokio::test]
async fn an_idle_connection_that_the_instance_closed_is_not_used() {
    let (gate, _, one) = start_with_backend().await;
    let mut client = Wire::connect(&gate).await;
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
    for _ in 0..20 {
        client.send(post).await;
        let (mut instance, _) = one.request().await;
        instance.send(OK).await;
        assert_eq!(client.response().await.status, 200);
        instance.finish().await;
        assert_eq!(instance.rest().await, "", "the gate has closed it too");
    }
}

#[tokio::test]
async fn refused_connections_lead_to_another_instance() {
    let (gate, recorder) = start(config());
    let dead = dead_addr().await;
    let alive = Backend::bind().await;
    for (id, addr) in [(1, dead), (2, dead), (3, alive.addr)] {
        gate.route(InstanceId(id), addr);
    }
    let serve = async {
        let (mut instance, _) = alive.request().await;
        for _ in 0..19 {
            instance.send(OK).await;
            instance.head().await;
        }
        instance.send(OK).await;
    };
    let ask = async {
        let mut client = Wire::connect(&gate).await;
        for _ in 0..20 {
            client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").await;
            assert_eq!(client.response().await.status, 200);
        }
    };
    tokio::join!(serve, ask);
    gate.unroute(InstanceId(3));
    let mut client = Wire::connect(&gate).await;
    client.send(GET).await;
    assert_eq!(client.response().await.status, 502);
    let last = recorder.first(21).await.remove(20);
    assert!(matches!(&last.outcome, Outcome::UpstreamFailed(why) if why.contains("refused")), "{last:?}");
}

#[tokio::test]
async fn without_an_instance_a_request_waits_a_little_and_is_refused() {
    let (gate, recorder) = start(config());
    let mut client = Wire::connect(&gate).await;
    client.send(GET).await;
    let answer = client.response().await;
    let retry_after = field(&answer.head, "retry-after").and_then(|value| value.parse().ok());
    assert_eq!(answer.status, 503);
    assert!(retry_after.is_some_and(|s: u32| (1..=3).contains(&s)), "{}", answer.head);
    assert_eq!(recorder.first(1).await[0].outcome, Outcome::Refused(None));
    // One that comes in time is used.
    let one = Backend::bind().await;
    client.send(GET).await;
    gate.route(ONE, one.addr);
    let (mut instance, _) = one.request().await;
    instance.send(OK).await;
    assert_eq!(client.response().await.status, 200);
}

#[tokio::test]
async fn routes_can_be_set_again_moved_and_taken_back() {
    let (gate, _, one) = start_with_backend().await;
    let moved = Backend::bind().await;
    let mut client = Wire::connect(&gate).await;
    client.send(GET).await;
    let (mut old, _) = one.request().await;
    gate.route(ONE, one.addr);
    gate.route(ONE, moved.addr);
    assert_eq!(gate.in_flight_count(ONE), 1, "under way at the old address");
    old.send(OK).await;
    client.response().await;
    assert_eq!(old.rest().await, "", "and then closed");
    client.send(GET).await;
    let (mut new, _) = moved.request().await;
    new.send(OK).await;
    client.response().await;
    gate.unroute(ONE);
    assert_eq!(new.rest().await, "", "idle connections are closed");
    gate.unroute(ONE);
    gate.route(ONE, moved.addr);
    client.send(GET).await;
    let (mut again, _) = moved.request().await;
    again.send(OK).await;
    assert_eq!(client.response().await.status, 200);
}

/// An instance that answers everything, and tells when it is asked after it was taken out of routing.
async fn busy_instance(is_out: Arc<AtomicBool>, too_late: Arc<AtomicU32>) -> std::net::SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (is_out, too_late) = (Arc::clone(&is_out), Arc::clone(&too_late));
            let service = service_fn(move |_: Request<hyper::body::Incoming>| {
                too_late.fetch_add(u32::from(is_out.load(Ordering::SeqCst)), Ordering::SeqCst);
                async {
                    tokio::task::yield_now().await;
                    Ok::<_, std::convert::Infallible>(Response::new(Full::new(Bytes::from_static(b"ok"))))
                }
            });
            tokio::spawn(
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
            );
        }
    });
    addr
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unrouting_under_load_loses_nothing() {
    let (gate, recorder) = start(config());
    let too_late = Arc::new(AtomicU32::new(0));
    let steady = busy_instance(Arc::default(), Arc::default()).await;
    gate.route(InstanceId(1000), steady);
    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let (gate, stop) = (gate.clone(), Arc::clone(&stop));
            tokio::spawn(async move {
                let mut client = Wire::connect(&gate).await;
                let mut served = 0;
                while !stop.load(Ordering::SeqCst) {
                    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx").await;
                    assert_eq!(client.response().await.status, 200);
                    served += 1;
                }
                served
            })
        })
        .collect();
    for id in 0..50 {
        let is_out = Arc::new(AtomicBool::new(false));
        let instance = InstanceId(id);
        gate.route(instance, busy_instance(Arc::clone(&is_out), Arc::clone(&too_late)).await);
        // Long enough for it to be in the thick of it.
        patiently("load", async {
            while gate.in_flight_count(instance) == 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        gate.unroute(instance);
        gate.wait_in_flight_at_most(instance, 0).await;
        is_out.store(true, Ordering::SeqCst);
    }
    stop.store(true, Ordering::SeqCst);
    let mut served = 0;
    for client in clients {
        served += client.await.expect("no client saw a failure");
    }
    assert_eq!(too_late.load(Ordering::SeqCst), 0, "nothing came after unroute and the drain");
    let exchanges = recorder.first(served).await;
    assert_eq!(exchanges.len(), served, "each was told once");
    assert!(exchanges.iter().all(|exchange| exchange.outcome == Outcome::Answered));
}

#[tokio::test]
async fn a_journey_is_what_one_session_did() {
    let (gate, recorder, one) = start_with_backend().await;
    let mut client = Wire::connect(&gate).await;
    client.send("GET /0 HTTP/1.1\r\nHost: a\r\nCookie: sid=u1\r\n\r\n").await;
    let (mut instance, _) = one.request().await;
    let session = gate.in_flight(ONE)[0].session.expect("a session");
    instance.send(OK).await;
    client.response().await;
    for (path, user) in [("/1", "u2"), ("/2", "u1"), ("/3", "u1")] {
        client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\nCookie: sid={user}\r\n\r\n")).await;
        instance.head().await;
        instance.send(OK).await;
        client.response().await;
    }
    recorder.first(4).await;
    let paths = |limit| gate.journey(session, limit).into_iter().map(|e| e.request.path).collect::<Vec<_>>();
    assert_eq!(paths(10), ["/0", "/2", "/3"]);
    assert_eq!(paths(2), ["/2", "/3"]);
}

struct Panicking;

impl Observer for Panicking {
    fn exchange(&self, exchange: &Exchange) {
        assert_ne!(exchange.request.path, "/a", "an observer that fails");
    }
}

#[tokio::test]
async fn a_panic_takes_neither_the_worker_nor_the_request() {
    let gate = Gate::start(Config { workers: 1, ..config() }, Arc::new(Panicking)).expect("started");
    let one = Backend::bind().await;
    gate.route(ONE, one.addr);
    let mut client = Wire::connect(&gate).await;
    client.send(GET).await;
    let (mut instance, _) = one.request().await;
    instance.send(OK).await;
    assert_eq!(client.response().await.status, 200);
    client.send(GET).await;
    instance.head().await;
    instance.send(OK).await;
    assert_eq!(client.response().await.status, 200);
}

#[tokio::test]
async fn stopping_lets_requests_finish_and_closes_the_rest() {
    let (gate, recorder, one) = start_with_backend().await;
    let mut idle = Wire::connect(&gate).await;
    let mut busy = Wire::connect(&gate).await;
    busy.send(GET).await;
    let (mut instance, _) = one.request().await;
    let stopping = tokio::spawn(blocking({
        let gate = gate.clone();
        move || gate.stop(Duration::from_secs(60))
    }));
    assert_eq!(idle.rest().await, "");
    assert!(!stopping.is_finished());
    instance.send(OK).await;
    let answer = busy.response().await;
    assert_eq!((answer.body.as_str(), field(&answer.head, "connection")), ("ok", Some("close")));
    drop(busy);
    patiently("the stop", stopping).await.expect("no panic");
    assert!(tokio::net::TcpStream::connect(gate.local_addr()).await.is_err());
    assert_eq!(recorder.first(1).await[0].outcome, Outcome::Answered);
}

#[tokio::test]
async fn stopping_does_not_wait_beyond_its_deadline() {
    let (gate, recorder, one) = start_with_backend().await;
    let mut client = Wire::connect(&gate).await;
    client.send(GET).await;
    let (mut instance, _) = one.request().await;
    let stop = gate.clone();
    blocking(move || stop.stop(Duration::from_millis(20))).await;
    assert_eq!((client.rest().await.as_str(), instance.rest().await.as_str()), ("", ""));
    assert_eq!(recorder.first(1).await[0].outcome, Outcome::ClientGone);
    assert_eq!(gate.in_flight_count(ONE), 0);
}

#[tokio::test]
async fn the_last_handle_takes_the_gate_with_it() {
    let (gate, _, one) = start_with_backend().await;
    let mut busy = Wire::connect(&gate).await;
    busy.send(GET).await;
    let (mut instance, _) = one.request().await;
    let mut idle = Wire::connect(&gate).await;
    drop(gate.clone());
    idle.send(GET).await;
    let (mut other, _) = one.request().await;
    other.send(OK).await;
    assert_eq!(idle.response().await.status, 200, "one handle is left");
    drop(gate);
    assert_eq!(idle.rest().await, "");
    instance.send(OK).await;
    assert_eq!(busy.response().await.status, 200, "what was under way is finished");
}

#[tokio::test]
async fn more_connections_than_allowed_wait_for_their_turn() {
    let (gate, _) = start(Config { connections_max: 1, ..config() });
    let one = Backend::bind().await;
    gate.route(ONE, one.addr);
    let mut first = Wire::connect(&gate).await;
    first.send(GET).await;
    let (mut instance, _) = one.request().await;
    let mut second = Wire::connect(&gate).await;
    second.send(GET).await;
    instance.send(OK).await;
    first.response().await;
    assert_eq!(gate.in_flight_count(ONE), 0, "the second is not served yet");
    drop(first);
    // Whichever worker has it: over the kept connection or a new one.
    let mut fresh = tokio::select! {
        (wire, _) = one.request() => wire,
        _ = instance.head() => instance,
    };
    fresh.send(OK).await;
    assert_eq!(second.response().await.status, 200);
}
