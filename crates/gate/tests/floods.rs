//! HTTP/2 clients that cost more than they ask for: frames without end, connections without requests, heads that never end.
#![allow(missing_docs)]

mod common;

use common::*;
use frames::*;
use freezeframe_gate::{Config, Gate, Limits};

/// More than the kernel holds between two ends, many times over.
const FLOOD_MAX: usize = 64 << 20;

async fn gate(limits: Limits, header_timeout_ms: u64) -> Gate {
    let (addr, _) = recorder::record().await;
    let routes = one_route(&[addr], |_| ());
    start(Config { workers: 1, limits, routes, header_timeout_ms, ..config() }).0
}

/// Sends these bytes for as long as they are taken; the connection has to end long before they do.
async fn pour(client: &mut Frames, bytes: &[u8]) {
    let batch = bytes.repeat((64 << 10) / bytes.len() + 1);
    let mut sent = 0;
    while client.wire.try_send(&batch).await {
        sent += batch.len();
        assert!(sent < FLOOD_MAX, "it went on and on");
    }
}

#[tokio::test]
async fn questions_that_nobody_reads_the_answers_to_end_the_connection() {
    let gate = gate(Limits { body_window_ms: 200, ..Limits::default() }, 5_000).await;
    for flood in [frame(PING, 0, 0, b"8 bytes."), frame(SETTINGS, 0, 0, &[])] {
        let mut client = Frames::connect(&gate).await;
        client.send(HEADERS, END_HEADERS, 1, &post(&[])).await;
        pour(&mut client, &flood).await;
    }
    let mut client = Frames::connect(&gate).await;
    client.send(HEADERS, WHOLE, 1, &get()).await;
    assert_eq!(client.told(1).await, ["200"], "others are served");
}

#[tokio::test]
async fn errors_on_one_stream_after_the_other_end_the_connection() {
    let gate = gate(Limits::default(), 5_000).await;
    let mut client = Frames::connect(&gate).await;
    let begin_and_err = |stream| {
        let begin = frame(HEADERS, END_HEADERS, stream, &post(&[]));
        // More than a window can be: each is answered by a reset.
        [begin, frame(WINDOW_UPDATE, 0, stream, &[0x7f, 0xff, 0xff, 0xff])].concat()
    };
    let mut streams = (1..100_000).step_by(2);
    while client.wire.try_send(&begin_and_err(streams.next().expect("it went on and on"))).await {}
}

#[tokio::test]
async fn empty_frames_and_endless_heads_end_the_connection() {
    let gate = gate(Limits::default(), 5_000).await;
    // DATA without data (CVE-2019-9518).
    let mut client = Frames::connect(&gate).await;
    client.send(HEADERS, END_HEADERS, 1, &post(&[])).await;
    pour(&mut client, &frame(DATA, 0, 1, &[])).await;
    // A head of empty frames.
    let mut client = Frames::connect(&gate).await;
    client.send(HEADERS, END_STREAM, 1, &get()).await;
    pour(&mut client, &frame(CONTINUATION, 0, 1, &[])).await;
    // Trailers without end.
    let mut client = Frames::connect(&gate).await;
    client.send(HEADERS, END_HEADERS, 1, &post(&[])).await;
    client.send(HEADERS, END_STREAM, 1, &block(&[("x", "y")])).await;
    pour(&mut client, &frame(CONTINUATION, 0, 1, &block(&[("x", &"y".repeat(100))]))).await;
}

#[tokio::test]
async fn a_head_is_bounded_as_it_is_over_http1() {
    let limits = Limits { head_bytes_max: 16 << 10, headers_max: 20, ..Limits::default() };
    let gate = gate(limits, 5_000).await;
    // One byte of a frame becomes many by the table (RFC 7541): what counts is what they become.
    let mut bomb = get();
    bomb.extend([0x40, 1, b'x', 127, 0xa1, 0x1e]);
    bomb.extend([b'y'; 4_000]);
    bomb.extend([0xbe; 5_000]);
    for (block, allowed) in [
        (bomb, &["431", "goaway ENHANCE_YOUR_CALM"][..]),
        ([get(), block(&[("x", &"y".repeat(12_000)), ("z", &"y".repeat(12_000))])].concat(), &["431"]),
        ([get(), block(&[("x", "y")]).repeat(30)].concat(), &["431"]),
        (
            block(&[
                (":method", "GET"),
                (":path", &format!("/{}", "a".repeat(9_000))),
                (":scheme", "http"),
                (":authority", "shop"),
            ]),
            &["414"],
        ),
    ] {
        let mut client = Frames::connect(&gate).await;
        let mut pieces = block.chunks(16_000);
        client.send(HEADERS, END_STREAM, 1, pieces.next().expect("one")).await;
        for piece in pieces {
            client.send(CONTINUATION, 0, 1, piece).await;
        }
        client.send(CONTINUATION, END_HEADERS, 1, &[]).await;
        let told = client.told(1).await;
        assert!(allowed.contains(&told[0].as_str()), "{told:?} instead of {allowed:?}");
    }
}

#[tokio::test]
async fn a_client_that_asks_for_nothing_is_told_to_go() {
    let gate = gate(Limits { body_window_ms: 100, ..Limits::default() }, 300).await;
    // One that behaves goes when it is told to.
    let mut client = Frames::connect(&gate).await;
    client.send(HEADERS, WHOLE, 1, &get()).await;
    assert_eq!(client.told(1).await, ["200"]);
    let mut told = Vec::new();
    while let Some(frame) = client.next().await {
        if frame.kind == PING && frame.flags == 0 {
            client.send(PING, ACK, 0, &frame.payload).await;
        }
        told.extend(frame.told());
    }
    assert_eq!(told, ["goaway NO_ERROR", "goaway NO_ERROR"], "first a warning, then the last stream");
    // One that says nothing any more, also in the middle of a head or with a window of nothing, is closed.
    for beginning in [vec![], frame(HEADERS, END_STREAM, 1, &get()), frame(HEADERS, WHOLE, 1, &get()[..5])] {
        let mut client = Frames::connect(&gate).await;
        client.wire.try_send(beginning).await;
        while client.next().await.is_some() {}
    }
    let mut client = Frames { wire: Wire::connect(&gate).await };
    client.wire.send(PREFACE).await;
    client.send(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]).await;
    client.send(HEADERS, WHOLE, 1, &get()).await;
    while let Some(frame) = client.next().await {
        if frame.kind == PING && frame.flags == 0 {
            client.send(PING, ACK, 0, &frame.payload).await;
        }
    }
}
