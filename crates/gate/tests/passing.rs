//! What passes through the gate, and in what form.
#![allow(missing_docs)]

mod common;

use common::*;
use freezeframe_gate::{AccessLog, Config, Gate, LogFormat};
use freezeframe_model::{InstanceId, Outcome};
use std::sync::Arc;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[tokio::test]
async fn a_chunk_arrives_before_the_response_ends() {
    let (gate, recorder, backend) = start_with_backend().await;
    let mut client = Wire::connect(&gate).await;
    client.send("GET /events HTTP/1.1\r\nHost: shop\r\n\r\n").await;
    let (mut instance, _) = backend.request().await;
    instance
        .send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await;
    instance.send("8\r\ndata: 1\n\r\n").await;
    assert!(client.head().await.contains("text/event-stream"));
    assert_eq!(client.until("data: 1\n\r\n").await, "8\r\ndata: 1\n\r\n");
    instance.send("8\r\ndata: 2\n\r\n0\r\n\r\n").await;
    assert_eq!(client.until("0\r\n\r\n").await, "8\r\ndata: 2\n\r\n0\r\n\r\n");
    let exchange = &recorder.first(1).await[0];
    assert_eq!((exchange.status, &exchange.outcome), (200, &Outcome::Answered));
    assert_eq!((exchange.instance, exchange.request.path.as_str()), (Some(InstanceId(1)), "/events"));
}

#[tokio::test]
async fn both_connections_are_kept_and_fields_between_neighbours_are_not() {
    let (gate, _, backend) = start_with_backend().await;
    let mut client = Wire::connect(&gate).await;
    let request = "GET /a?q=1 HTTP/1.1\r\nHost: shop\r\nConnection: x-hop\r\nX-Hop: 1\r\nX-Forwarded-For: 10.0.0.1\r\n\r\n";
    client.send(request).await;
    let (mut instance, head) = backend.request().await;
    assert!(head.starts_with("GET /a?q=1 HTTP/1.1\r\n"), "{head}");
    assert_eq!(field(&head, "host"), Some("shop"));
    assert_eq!(field(&head, "x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(field(&head, "forwarded"), Some("for=127.0.0.1;host=\"shop\";proto=http"));
    assert_eq!((field(&head, "x-hop"), field(&head, "connection")), (None, None));
    instance
        .send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: x-own\r\nX-Own: 1\r\nServer: s\r\n\r\nok")
        .await;
    let answer = client.response().await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "ok"));
    assert_eq!((field(&answer.head, "x-own"), field(&answer.head, "server")), (None, Some("s")));
    // The second request comes over the same two connections.
    client.send(request).await;
    instance.head().await;
    instance.send(OK).await;
    assert_eq!(client.response().await.body, "ok");
}

#[tokio::test]
async fn every_attempt_has_a_parent_id_of_its_own_in_the_clients_trace() {
    let (gate, recorder, backend) = start_with_backend().await;
    let mut client = Wire::connect(&gate).await;
    let own = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
    client.send(format!("GET / HTTP/1.1\r\nHost: a\r\ntraceparent: {own}\r\ntracestate: a=b\r\n\r\n")).await;
    let (mut instance, head) = backend.request().await;
    let sent = field(&head, "traceparent").expect("set").to_owned();
    assert_eq!((&sent[..35], &sent[52..]), (&own[..35], "-00"));
    assert_ne!(sent, own);
    assert_eq!(field(&head, "tracestate"), Some("a=b"));
    assert_eq!(gate.in_flight(InstanceId(1))[0].traceparent, sent);
    instance.send(OK).await;
    client.response().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\ntraceparent: nonsense\r\ntracestate: a=b\r\n\r\n").await;
    let head = instance.head().await;
    let fresh = field(&head, "traceparent").expect("set");
    assert!(fresh.starts_with("00-") && fresh.ends_with("-01") && fresh[..35] != own[..35], "{fresh}");
    assert_eq!(field(&head, "tracestate"), None);
    instance.send(OK).await;
    client.response().await;
    assert_eq!(recorder.first(2).await[1].request.traceparent, fresh);
}

#[tokio::test]
async fn smuggling_is_answered_400_and_the_connection_closed() {
    let (gate, _, backend) = start_with_backend().await;
    for attack in [
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
    ] {
        let mut client = Wire::connect(&gate).await;
        client.send(attack).await;
        let said = client.rest().await;
        assert!(said.starts_with("HTTP/1.1 400 "), "{attack:?} got {said:?}");
        assert_eq!(said.matches("HTTP/1.1").count(), 1, "{said}");
    }
    // The gate refuses these itself, and the connection lives on.
    let mut client = Wire::connect(&gate).await;
    for bad in ["GET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"] {
        client.send(bad).await;
        assert_eq!(client.response().await.status, 400, "{bad:?}");
    }
    client.send("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n").await;
    assert_eq!(client.response().await.status, 405);
    // None of them reached the instance: the first request that does is this one.
    let mut client = Wire::connect(&gate).await;
    client.send("GET /first HTTP/1.0\r\n\r\n").await;
    let (_, head) = backend.request().await;
    assert!(head.starts_with("GET /first HTTP/1.1\r\n"), "{head}");
    assert_eq!(field(&head, "host"), Some(backend.addr.to_string().as_str()));
}

#[tokio::test]
async fn expect_continue_is_answered_and_the_body_passes() {
    let (gate, _, backend) = start_with_backend().await;
    for (fields, kept) in
        [("Content-Length: 4\r\n", false), ("Content-Length: 4\r\nIdempotency-Key: k\r\n", true)]
    {
        let mut client = Wire::connect(&gate).await;
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n{fields}\r\n")).await;
        assert_eq!(client.head().await, "HTTP/1.1 100 Continue\r\n\r\n");
        client.send("body").await;
        let (mut instance, head) = backend.request().await;
        assert_eq!((field(&head, "expect"), field(&head, "content-length")), (None, Some("4")), "{kept}");
        assert_eq!(instance.take(4).await, b"body");
        instance.send(OK.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n")).await;
        assert_eq!(client.response().await.status, 200);
    }
}

#[tokio::test]
async fn a_response_to_head_keeps_its_length_and_has_no_body() {
    let (gate, _, backend) = start_with_backend().await;
    let mut client = Wire::connect(&gate).await;
    client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let (mut instance, _) = backend.request().await;
    instance.send("HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n").await;
    assert_eq!(field(&client.head().await, "content-length"), Some("1234"));
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    instance.head().await;
    instance.send("HTTP/1.1 204 No Content\r\n\r\n").await;
    assert_eq!(client.response().await.status, 204);
}

#[tokio::test]
async fn trailers_pass_both_ways() {
    let (gate, recorder, backend) = start_with_backend().await;
    let mut client = Wire::connect(&gate).await;
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: te\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n")
        .await;
    client.send("2\r\nhi\r\n0\r\nx-sum: 1\r\n\r\n").await;
    let (mut instance, head) = backend.request().await;
    assert_eq!((field(&head, "te"), field(&head, "trailer")), (Some("trailers"), Some("x-sum")));
    assert_eq!(instance.until("x-sum: 1\r\n\r\n").await, "2\r\nhi\r\n0\r\nx-sum: 1\r\n\r\n");
    instance.send("HTTP/1.1 200 OK\r\nTrailer: x-end\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx-end: 2\r\n\r\n").await;
    client.head().await;
    assert_eq!(client.until("x-end: 2\r\n\r\n").await, "2\r\nok\r\n0\r\nx-end: 2\r\n\r\n");
    assert_eq!(recorder.first(1).await[0].outcome, Outcome::Answered);
}

#[tokio::test]
async fn a_response_that_breaks_off_reaches_the_client_truncated() {
    let (gate, recorder, backend) = start_with_backend().await;
    for head in ["Content-Length: 10\r\n\r\nhalf", "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"] {
        let mut client = Wire::connect(&gate).await;
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let (mut instance, _) = backend.request().await;
        instance.send(format!("HTTP/1.1 200 OK\r\n{head}")).await;
        client.until("half").await;
        drop(instance);
        let rest = client.rest().await;
        assert!(!rest.contains("0\r\n\r\n"), "{rest:?}");
    }
    for exchange in recorder.first(2).await {
        assert!(matches!(exchange.outcome, Outcome::UpstreamFailed(_)), "{exchange:?}");
    }
}

#[tokio::test]
async fn an_instance_that_speaks_nonsense_is_502() {
    let (gate, recorder, backend) = start_with_backend().await;
    let answers = [
        "nonsense\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    ];
    for answer in answers {
        let mut client = Wire::connect(&gate).await;
        client.send("GET / HTTP/1.1\r\nHost: a\r\nAccept: application/json\r\n\r\n").await;
        let (mut instance, _) = backend.request().await;
        instance.send(answer).await;
        let got = client.response().await;
        assert_eq!(got.status, 502, "{answer:?}");
        assert_eq!(field(&got.head, "content-type"), Some("application/problem+json"));
        let detail = "the server failed to answer this request";
        let problem = r#"{"type":"about:blank","title":"Bad Gateway","status":502,"detail":""#;
        assert_eq!(got.body, format!("{problem}{detail}\"}}\n"));
    }
    for exchange in recorder.first(answers.len()).await {
        assert!(matches!(exchange.outcome, Outcome::UpstreamFailed(_)), "{exchange:?}");
    }
}

#[tokio::test]
async fn a_client_that_leaves_cancels_its_request() {
    let (gate, recorder, backend) = start_with_backend().await;
    let mut client = Wire::connect(&gate).await;
    client.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let (mut instance, _) = backend.request().await;
    drop(client);
    assert_eq!(instance.rest().await, "", "the connection is closed");
    let exchange = &recorder.first(1).await[0];
    assert_eq!((exchange.status, &exchange.outcome), (0, &Outcome::ClientGone));
    assert_eq!(gate.in_flight_count(InstanceId(1)), 0);
    // In the middle of a response, too.
    let mut client = Wire::connect(&gate).await;
    client.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let (mut instance, _) = backend.request().await;
    instance.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab").await;
    client.until("ab").await;
    drop(client);
    assert_eq!(instance.rest().await, "");
    let exchange = &recorder.first(2).await[1];
    assert_eq!((exchange.status, &exchange.outcome), (200, &Outcome::ClientGone));
}

#[tokio::test]
async fn a_request_that_breaks_off_is_not_taken_for_whole() {
    let (gate, recorder, backend) = start_with_backend().await;
    let mut client = Wire::connect(&gate).await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n").await;
    let (mut instance, _) = backend.request().await;
    instance.until("half\r\n").await;
    client.send("zz\r\n").await;
    assert!(!instance.rest().await.contains("0\r\n"));
    assert_eq!(recorder.first(1).await[0].outcome, Outcome::ClientGone);
}

#[tokio::test]
async fn a_silent_client_is_closed_after_the_header_timeout() {
    let (gate, _) = start(Config { header_timeout_ms: 50, ..config() });
    for beginning in ["", "P", "GET / HTTP/1.1\r\nHost"] {
        let mut client = Wire::connect(&gate).await;
        client.send(beginning).await;
        assert_eq!(client.rest().await, "");
    }
}

#[tokio::test]
async fn an_oversized_head_is_refused_and_the_client_learns_why() {
    // More than the kernel buffers: the client is still sending when it is refused.
    let (gate, _) = start(config());
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.set_send_buffer_size(4096).expect("set");
    let mut client = Wire::new(socket.connect(gate.local_addr()).await.expect("the gate listens"));
    client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(800_000))).await;
    assert!(client.rest().await.starts_with("HTTP/1.1 431 "));
}

#[test]
fn an_address_in_use_is_named() {
    let (first, _) = start(config());
    let config = Config { listen: first.local_addr(), ..config() };
    let error = Gate::start(config, Arc::new(Recorder::default())).err();
    assert_eq!(
        error.map(|error| error.to_string()),
        Some(format!("the address {} is in use", first.local_addr()))
    );
}

#[tokio::test]
async fn every_request_is_a_line_of_the_access_log() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("access.log");
    let access_log = Some(AccessLog { path: Some(path.clone()), format: LogFormat::Json });
    let one = Backend::bind().await;
    let routes = one_route(&[one.addr], |_| ());
    let (gate, recorder) = start(Config { access_log, routes, ..config() });
    let mut client = Wire::connect(&gate).await;
    client.send("GET /a?token=secret HTTP/1.1\r\nHost: shop\r\nUser-Agent: \t\"x\"\r\n\r\n").await;
    let (mut instance, _) = one.request().await;
    instance.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    client.response().await;
    recorder.first(1).await;
    // It comes by itself; then the file is moved away, as log rotation does it.
    let read = |path: std::path::PathBuf| async move {
        patiently("a line", async {
            loop {
                let text = std::fs::read_to_string(&path).unwrap_or_default();
                if text.ends_with('\n') {
                    return text;
                }
                tokio::task::yield_now().await;
            }
        })
        .await
    };
    let line = read(path.clone()).await;
    assert!(
        line.contains(r#""path":"/a","protocol":"HTTP/1.1","host":"shop","user_agent":"\"x\"","status":200"#),
        "{line}"
    );
    assert!(line.contains(r#""outcome":"answered","bytes":2,"#) && !line.contains("secret"), "{line}");
    std::fs::rename(&path, directory.path().join("access.log.1")).expect("renamed");
    gate.reopen_log();
    client.send("BAD\r\n\r\nGET /b HTTP/1.1\r\n\r\n").await;
    client.rest().await;
    let mut client = Wire::connect(&gate).await;
    client.send("GET /b HTTP/1.1\r\n\r\n").await;
    assert_eq!(client.response().await.status, 400);
    gate.stop(std::time::Duration::ZERO);
    let line = read(path).await;
    assert!(line.contains(r#""path":"/b""#) && line.contains(r#""outcome":"refused""#), "{line}");
    assert_eq!(gate.log_lines_dropped(), 0);
}
