//! Clients that take more than their share, or give less.
#![allow(missing_docs)]

mod common;

use std::time::{Duration, Instant};

use common::*;
use frames::{PREFACE, frame, get as head};
use freezeframe_gate::{Config, Gate, Limits};
use freezeframe_model::Outcome;

const GET: &str = "GET /a HTTP/1.1\r\nHost: shop\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

async fn gate(limits: Limits) -> (Gate, std::sync::Arc<Recorder>, Backend) {
    let one = Backend::bind().await;
    let routes = one_route(&[one.addr], |_| ());
    let (gate, recorder) = start(Config { limits, routes, ..config() });
    (gate, recorder, one)
}

/// What the gate sent after it closed the connection; each frame's kind and, of GOAWAY, the reason.
async fn frames_until_the_end(client: &mut Wire) -> Vec<(u8, Option<u32>)> {
    let bytes = client.rest_bytes().await;
    let (mut rest, mut frames) = (&bytes[..], Vec::new());
    while rest.len() >= 9 {
        let len = u32::from_be_bytes([0, rest[0], rest[1], rest[2]]) as usize;
        let payload = rest.get(9..9 + len).unwrap_or_default();
        let reason = (rest[3] == 7).then(|| u32::from_be_bytes(payload[4..8].try_into().expect("8 bytes")));
        frames.push((rest[3], reason));
        rest = rest.get(9 + len..).unwrap_or_default();
    }
    frames
}

async fn until(is_so: impl Fn() -> bool) {
    while !is_so() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn an_address_has_only_so_many_connections() {
    let (gate, ..) = gate(Limits { connections_per_address_max: 2, ..Limits::default() }).await;
    let bad = "BAD\r\n\r\n";
    let mut clients = vec![Wire::connect(&gate).await, Wire::connect(&gate).await];
    for client in &mut clients {
        // Served as soon as something comes back.
        client.send("GET / HTTP/1.1\r\n\r\n").await;
        assert_eq!(client.response().await.status, 400);
    }
    let mut third = Wire::connect(&gate).await;
    assert_eq!(third.rest().await, "", "closed without a word");
    clients.pop();
    patiently("the place", async {
        loop {
            let mut client = Wire::connect(&gate).await;
            client.send(bad).await;
            if !client.rest().await.is_empty() {
                return;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn an_address_has_only_so_many_requests_per_second() {
    let limits = Limits { requests_per_s_per_address_max: Some(3), ..Limits::default() };
    let (gate, recorder, one) = gate(limits).await;
    let serve = async {
        let (mut instance, _) = one.request().await;
        loop {
            instance.send(OK).await;
            instance.head().await;
        }
    };
    let ask = async {
        let mut client = Wire::connect(&gate).await;
        let mut refused = 0;
        for _ in 0..10 {
            client.send(GET).await;
            let answer = client.response().await;
            if answer.status == 429 {
                refused += 1;
                assert_eq!(field(&answer.head, "x-freezeframe-shed"), Some("rate"));
                assert!(field(&answer.head, "retry-after").is_some());
            }
        }
        assert!((5..=7).contains(&refused), "{refused} of 10");
    };
    tokio::select! {
        () = serve => unreachable!("it serves on"),
        () = ask => {}
    }
    assert!(
        recorder.first(10).await.iter().all(|exchange| exchange.status == 200 || exchange.instance.is_none())
    );
}

#[tokio::test]
async fn heads_are_bounded_in_every_direction() {
    let limits = Limits { headers_max: 10, uri_bytes_max: 100, head_bytes_max: 8192, ..Limits::default() };
    let (gate, ..) = gate(limits).await;
    let many = "X: y\r\n".repeat(11);
    let (long_target, long_field) = ("x".repeat(100), "x".repeat(9000));
    for (request, status) in [
        (format!("GET /{long_target} HTTP/1.1\r\nHost: a\r\n\r\n"), "414"),
        (format!("GET / HTTP/1.1\r\nHost: a\r\n{many}\r\n"), "431"),
        (format!("GET / HTTP/1.1\r\nHost: a\r\nX: {long_field}\r\n\r\n"), "431"),
    ] {
        let mut client = Wire::connect(&gate).await;
        client.send(request).await;
        assert!(client.head().await.starts_with(&format!("HTTP/1.1 {status} ")));
    }
}

#[tokio::test]
async fn a_body_that_trickles_in_is_refused_and_one_that_flows_is_not() {
    let limits = Limits { body_bytes_per_s_min: 100, body_window_ms: 300, ..Limits::default() };
    let (gate, recorder, one) = gate(limits).await;
    let mut client = Wire::connect(&gate).await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    let (mut instance, _) = one.request().await;
    client.send("1\r\nx\r\n").await;
    let answer = client.response().await;
    assert_eq!((answer.status, field(&answer.head, "x-freezeframe-shed")), (408, Some("rate")));
    assert!(!instance.rest().await.contains("0\r\n"), "the instance does not take it for whole");
    assert_eq!(recorder.first(1).await[0].outcome, Outcome::ClientGone);
    // Slow, but faster than that, and for longer than a window.
    let mut client = Wire::connect(&gate).await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n").await;
    let (mut instance, _) = one.request().await;
    let began = Instant::now();
    for _ in 0..10 {
        client.send([b'x'; 100]).await;
        tokio::time::sleep(Duration::from_millis(80)).await;
    }
    assert!(began.elapsed() > Duration::from_millis(700));
    instance.take(1000).await;
    instance.send(OK).await;
    assert_eq!(client.response().await.status, 200);
}

#[tokio::test]
async fn a_response_that_is_not_taken_ends_with_its_connection() {
    let limits = Limits { body_bytes_per_s_min: 100, body_window_ms: 200, ..Limits::default() };
    let (gate, recorder, one) = gate(limits).await;
    // Over HTTP/1 the kernel's buffers fill up.
    let mut client = Wire::connect(&gate).await;
    client.send(GET).await;
    let (mut instance, _) = one.request().await;
    instance.send("HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n").await;
    let pushing = tokio::spawn(async move { while instance.try_send([b'x'; 65_536]).await {} });
    let exchange = recorder.first(1).await.remove(0);
    assert_eq!(exchange.outcome, Outcome::ClientGone);
    patiently("the instance to be let go", pushing).await.expect("no panic");
    drop(client);
    // Over HTTP/2 the client's window is used up; its connection has nothing in the way.
    let mut client = Wire::connect(&gate).await;
    client.send(PREFACE).await;
    client.send(frame(4, 0, 0, &[])).await;
    client.send(frame(1, 5, 1, &head())).await;
    let (mut instance, _) = one.request().await;
    instance.send("HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n").await;
    let pushing = tokio::spawn(async move { while instance.try_send([b'x'; 65_536]).await {} });
    let frames = frames_until_the_end(&mut client).await;
    assert!(frames.iter().any(|(kind, _)| *kind == 0), "it got what fits in its window");
    assert_eq!(recorder.first(2).await[1].outcome, Outcome::ClientGone);
    patiently("the instance to be let go", pushing).await.expect("no panic");
}

#[tokio::test]
async fn a_quiet_event_stream_is_no_slow_client() {
    let limits = Limits { body_bytes_per_s_min: 1_000, body_window_ms: 100, ..Limits::default() };
    let (gate, _, one) = gate(limits).await;
    let mut client = Wire::connect(&gate).await;
    client.send(GET).await;
    let (mut instance, _) = one.request().await;
    instance
        .send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await;
    client.head().await;
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_millis(150)).await;
        instance.send("9\r\ndata: x\n\n\r\n").await;
        assert_eq!(client.until("\n\n").await, "9\r\ndata: x\n\n");
        client.take(2).await;
    }
}

#[tokio::test]
async fn rapid_resets_cost_a_client_its_connection() {
    let limits = Limits { h2_resets_per_s_max: 2, ..Limits::default() };
    let (gate, recorder, one) = gate(limits).await;
    let mut client = Wire::connect(&gate).await;
    client.send(PREFACE).await;
    client.send(frame(4, 0, 0, &[])).await;
    let accept = async {
        let mut held = Vec::new();
        loop {
            held.push(one.accept().await);
        }
    };
    let attack = async {
        let mut stream = 1;
        // Each is under way before it is reset: the library itself bounds those that are not. Those of ten seconds are free.
        while recorder.count() < 20 {
            let seen = recorder.count();
            client.send(frame(1, 5, stream, &head())).await;
            let is_begun = || gate.upstreams().iter().any(|state| gate.in_flight_count(state.id) > 0);
            patiently("the request", until(is_begun)).await;
            client.send(frame(3, 0, stream, &[0, 0, 0, 8])).await;
            patiently("its end", until(|| recorder.count() > seen)).await;
            stream += 2;
        }
        while client.try_send(frame(1, 5, stream, &head())).await && stream < 10_000 {
            tokio::task::yield_now().await;
            client.try_send(frame(3, 0, stream, &[0, 0, 0, 8])).await;
            stream += 2;
        }
        assert!(stream < 10_000, "it went on and on");
        // It ends; a further client of this address is served.
        client.rest_bytes().await;
        let mut client = Wire::connect(&gate).await;
        client.send("GET / HTTP/1.1\r\n\r\n").await;
        assert_eq!(client.response().await.status, 400);
    };
    tokio::select! {
        () = accept => unreachable!("it accepts on"),
        () = attack => {}
    }
}

#[tokio::test]
async fn floods_of_http2_frames_end_the_connection() {
    let (gate, recorder, _one) = gate(Limits::default()).await;
    // A head that never ends (CVE-2024-27316).
    let mut client = Wire::connect(&gate).await;
    client.send(PREFACE).await;
    client.send(frame(4, 0, 0, &[])).await;
    client.send(frame(1, 1, 1, &head())).await;
    // A literal without indexing: 0, name length, name, value length, value.
    let mut literal = vec![0, 1, b'x', 127, 0x81, 0x7e];
    literal.resize(6 + 127 + 1 + (0x7e << 7), b'y');
    let mut sent = 0;
    while client.try_send(frame(9, 0, 1, &literal)).await && sent < 10_000 {
        sent += 1;
    }
    assert!(sent < 10_000, "{sent} CONTINUATION frames were taken");
    // Streams that are reset before anybody looks at them (CVE-2023-44487), all in one write.
    let mut client = Wire::connect(&gate).await;
    let mut flood = PREFACE.to_vec();
    flood.extend(frame(4, 0, 0, &[]));
    for stream in 0..5_000 {
        flood.extend(frame(1, 5, stream * 2 + 1, &head()));
        flood.extend(frame(3, 0, stream * 2 + 1, &[0, 0, 0, 8]));
    }
    client.try_send(flood).await;
    let frames = frames_until_the_end(&mut client).await;
    const ENHANCE_YOUR_CALM: u32 = 11;
    assert!(frames.contains(&(7, Some(ENHANCE_YOUR_CALM))), "{frames:?}");
    assert!(recorder.count() < 500, "{} requests were begun", recorder.count());
}
