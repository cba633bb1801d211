//! Connections that stop being HTTP: WebSockets and whatever else asks for an upgrade.
#![allow(missing_docs)]

mod common;

use common::*;
use freezeframe_gate::{Evicted, Gate};
use freezeframe_model::{IncidentId, InstanceId, Outcome};

const ONE: InstanceId = InstanceId(1);
const ASK: &str = "GET /chat HTTP/1.1\r\nHost: shop\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const GRANT: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                     Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

async fn open(gate: &Gate, backend: &Backend) -> (Wire, Wire) {
    let mut client = Wire::connect(gate).await;
    client.send(ASK).await;
    let (mut instance, head) = backend.request().await;
    assert_eq!((field(&head, "upgrade"), field(&head, "connection")), (Some("websocket"), Some("upgrade")));
    assert_eq!(field(&head, "sec-websocket-key"), Some("dGhlIHNhbXBsZSBub25jZQ=="));
    instance.send(GRANT).await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert_eq!(field(&head, "sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    assert_eq!((field(&head, "upgrade"), field(&head, "connection")), (Some("websocket"), Some("upgrade")));
    (client, instance)
}

#[tokio::test]
async fn bytes_pass_both_ways_and_each_direction_ends_by_itself() {
    let (gate, recorder, backend) = start_with_backend().await;
    let (mut client, mut instance) = open(&gate, &backend).await;
    // A masked WebSocket frame with "Hello", and bytes that would be an offence in HTTP.
    let frame = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
    client.send(frame).await;
    assert_eq!(instance.take(frame.len()).await, frame);
    instance.send(b"\x81\x05Hello").await;
    assert_eq!(client.take(7).await, b"\x81\x05Hello");
    client.send("GET / HTTP/1.1\nbare\n\n").await;
    assert_eq!(instance.take(21).await, b"GET / HTTP/1.1\nbare\n\n");
    assert_eq!(in_flight(&gate, ONE, 1).await[0].path, "/chat");
    assert!(!gate.stalled(ONE, 0), "a quiet tunnel is no stall");
    client.finish().await;
    assert_eq!(instance.rest().await, "");
    instance.send("late words").await;
    drop(instance);
    assert_eq!(client.rest().await, "late words");
    let exchange = &recorder.first(1).await[0];
    assert_eq!((exchange.status, &exchange.outcome), (101, &Outcome::Answered));
    gate.wait_in_flight_at_most(ONE, 0).await;
}

#[tokio::test]
async fn eviction_ends_a_tunnel() {
    let (gate, recorder, backend) = start_with_backend().await;
    let (mut client, mut instance) = open(&gate, &backend).await;
    gate.unroute(ONE);
    client.send("still open").await;
    instance.take(10).await;
    assert_eq!(gate.evict(ONE, Some(IncidentId(3))), Evicted { retried: 0, failed: 0, aborted: 1 });
    assert_eq!((client.rest().await.as_str(), instance.rest().await.as_str()), ("", ""));
    assert_eq!(recorder.first(1).await[0].outcome, Outcome::Refused(Some(IncidentId(3))));
}

#[tokio::test]
async fn a_refused_upgrade_is_an_ordinary_response() {
    let (gate, _, backend) = start_with_backend().await;
    let mut client = Wire::connect(&gate).await;
    client.send(ASK).await;
    let (mut instance, _) = backend.request().await;
    instance.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno").await;
    assert_eq!(client.response().await.status, 403);
    // The connection is HTTP still, and still looked at.
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    instance.head().await;
    instance.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    assert_eq!(client.response().await.status, 200);
    client.send("GET / HTTP/1.1\nHost: a\r\n\r\n").await;
    assert!(client.rest().await.starts_with("HTTP/1.1 400 "));
}

#[tokio::test]
async fn bytes_before_the_grant_are_not_let_into_the_tunnel() {
    let (gate, _, backend) = start_with_backend().await;
    let mut client = Wire::connect(&gate).await;
    client.send(format!("{ASK}too early")).await;
    let (mut instance, _) = backend.request().await;
    instance.send(GRANT).await;
    let answer = client.head().await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert_eq!(instance.rest().await, "");
}
