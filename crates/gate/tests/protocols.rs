//! What HTTP has besides requests and responses: trailers, interim responses, expectations, gRPC, and limits of the HTTP library.
#![allow(missing_docs)]

mod common;

use std::convert::Infallible;

use bytes::Bytes;
use common::*;
use freezeframe_gate::{Config, RouteTable};
use freezeframe_model::{InstanceId, Outcome};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper::client::conn::http2::handshake;
use hyper::{HeaderMap, Request};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

const CHUNKED_OK: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n";

#[tokio::test]
async fn announced_trailers_pass_both_ways_over_http1() {
    let (_gate, _, backend) = start_with_backend().await;
    let mut client = Wire::connect(&_gate).await;
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nTrailer: x-sum\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nx-sum: 7\r\n\r\n")
        .await;
    let (mut instance, head) = backend.request().await;
    assert_eq!(field(&head, "trailer"), Some("x-sum"));
    assert_eq!(instance.until("0\r\nx-sum: 7\r\n\r\n").await, "1\r\nx\r\n0\r\nx-sum: 7\r\n\r\n");
    instance.send(format!("{CHUNKED_OK}Trailer: x-done\r\n\r\n1\r\ny\r\n0\r\nx-done: 1\r\n\r\n")).await;
    client.head().await;
    assert_eq!(client.until("x-done: 1\r\n\r\n").await, "1\r\ny\r\n0\r\nx-done: 1\r\n\r\n");
}

/// The HTTP library writes a trailer over HTTP/1.1 only if `Trailer` announced it, and to clients only if they said `TE: trailers`;
/// the message itself is whole without it.
#[tokio::test]
async fn unannounced_trailers_are_left_out_over_http1_and_the_message_is_whole() {
    let (gate, recorder, backend) = start_with_backend().await;
    let mut client = Wire::connect(&gate).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n\r\n").await;
    let (mut instance, _) = backend.request().await;
    instance.send(format!("{CHUNKED_OK}\r\n1\r\ny\r\n0\r\nx-done: 1\r\n\r\n")).await;
    assert_eq!(client.response().await.body, "y");
    assert_eq!(recorder.first(1).await[0].outcome, Outcome::Answered);
}

const HINTS: &str =
    "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nConnection: x-hop\r\nX-Hop: 1\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[tokio::test]
async fn interim_responses_pass_to_http11_clients_as_they_come() {
    let (gate, recorder, backend) = start_with_backend().await;
    let mut client = Wire::connect(&gate).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let (mut instance, _) = backend.request().await;
    instance.send(HINTS).await;
    // Before there is a final one.
    assert_eq!(client.head().await, "HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\n\r\n");
    // All at once, and with the next request behind it.
    instance.send(format!("HTTP/1.1 102 Processing\r\n\r\n{HINTS}{OK}")).await;
    client.send("GET /next HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.head().await, "HTTP/1.1 102 Processing\r\n\r\n");
    assert!(client.head().await.starts_with("HTTP/1.1 103 "));
    let answer = client.response().await;
    assert_eq!((answer.status, answer.body.as_str(), field(&answer.head, "link")), (200, "ok", None));
    instance.head().await;
    instance.send(format!("{HINTS}{OK}")).await;
    assert!(client.head().await.starts_with("HTTP/1.1 103 "));
    assert_eq!(client.response().await.status, 200);
    // With a body that is expected: both kinds of interim response.
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await;
    instance.head().await;
    assert_eq!(client.head().await, "HTTP/1.1 100 Continue\r\n\r\n");
    instance.send(HINTS).await;
    assert!(client.head().await.starts_with("HTTP/1.1 103 "));
    client.send("0\r\n\r\n").await;
    instance.until("0\r\n\r\n").await;
    instance.send(OK).await;
    assert_eq!(client.response().await.status, 200);
    assert!(recorder.first(3).await.iter().all(|exchange| exchange.outcome == Outcome::Answered));
}

#[tokio::test]
async fn clients_that_cannot_take_interim_responses_get_the_final_one() {
    let (gate, _, backend) = start_with_backend().await;
    let mut client = Wire::connect(&gate).await;
    client.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n").await;
    let (mut instance, _) = backend.request().await;
    // The next request finds no connection to use again, whether or not this one would be free by then.
    instance.send(format!("{HINTS}HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")).await;
    let said = client.rest().await;
    assert!(said.contains(" 200 OK\r\n") && !said.contains(" 103 "), "{said}");
    // The HTTP library has no way to send one over HTTP/2.
    let mut client = frames::Frames::connect(&gate).await;
    client.send(frames::HEADERS, frames::WHOLE, 1, &frames::get()).await;
    let (mut instance, _) = backend.request().await;
    instance.send(format!("{HINTS}{OK}")).await;
    assert_eq!(client.told(1).await, ["200"]);
    // One that is never finished, after the deadline's own answer, leaves the stream as it should be.
    let one = Backend::bind().await;
    let routes = one_route(&[one.addr], |route| route.deadline_ms = Some(1500));
    let (gate, _) = start(Config { routes, ..config() });
    let mut client = Wire::connect(&gate).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let (mut instance, _) = one.request().await;
    instance.send(HINTS).await;
    assert!(client.head().await.starts_with("HTTP/1.1 103 "));
    assert_eq!(client.response().await.status, 503);
}

#[tokio::test]
async fn a_client_that_expects_100_gets_it_only_if_its_body_is_wanted() {
    let backend = Backend::bind().await;
    let routes = bounded(&[backend.addr], 1, 0, |_| ());
    let (gate, _) = start(Config { workers: 1, routes, ..config() });
    let expects = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n";
    let mut first = Wire::connect(&gate).await;
    first.send(expects).await;
    let (mut instance, head) = backend.request().await;
    assert_eq!(field(&head, "expect"), None, "the gate answers it itself");
    assert_eq!(first.head().await, "HTTP/1.1 100 Continue\r\n\r\n");
    // One that is shed is told so at once, instead of being asked for its body.
    let mut second = Wire::connect(&gate).await;
    second.send(expects).await;
    assert_eq!(second.response().await.status, 429);
    first.send("body").await;
    assert_eq!(instance.take(4).await, b"body");
    instance.send("HTTP/1.1 204 No Content\r\n\r\n").await;
    assert_eq!(first.response().await.status, 204);
}

/// A bidirectional gRPC stream: HTTP/2 from end to end, each side speaks when it likes, the status is in unannounced trailers.
#[tokio::test]
async fn a_bidirectional_grpc_stream_passes_message_by_message() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("accepted");
        let echo = hyper::service::service_fn(|request: Request<hyper::body::Incoming>| async {
            assert_eq!(request.headers().get("te").map(|te| te.as_bytes()), Some(&b"trailers"[..]));
            Ok::<_, Infallible>(hyper::Response::new(request.into_body()))
        });
        let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        let _ = server.serve_connection(TokioIo::new(stream), echo).await;
    });
    let mut routes = RouteTable::default();
    routes.services.iter_mut().for_each(|service| service.h2c = true);
    routes.routes.iter_mut().for_each(|route| route.request_streams = true);
    let (gate, recorder) = start(Config { routes, ..config() });
    gate.route(InstanceId(1), addr);
    let stream = TcpStream::connect(gate.local_addr()).await.expect("the gate listens");
    let (mut client, connection) =
        handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("HTTP/2");
    tokio::spawn(connection);
    let (sender, mut receiver) = mpsc::channel::<Frame<Bytes>>(1);
    let body = StreamBody::new(futures_util::stream::poll_fn(move |cx| {
        receiver.poll_recv(cx).map(|frame| frame.map(Ok::<_, Infallible>))
    }));
    let request = Request::post("http://shop/rpc.Chat/Talk").header("te", "trailers");
    let request = request.header("content-type", "application/grpc").body(body).expect("valid");
    let response = patiently("the head", client.send_request(request)).await.expect("answered");
    let mut body = response.into_body();
    for message in ["one", "two"] {
        sender.send(Frame::data(Bytes::from(message))).await.expect("the stream is open");
        let frame = patiently("the echo", body.frame()).await.expect("a frame").expect("good");
        assert_eq!(frame.into_data().ok(), Some(Bytes::from(message)));
    }
    let trailers: HeaderMap = [("grpc-status", "0")]
        .map(|(name, value)| (name.parse().expect("valid"), value.parse().expect("valid")))
        .into_iter()
        .collect();
    sender.send(Frame::trailers(trailers)).await.expect("the stream is open");
    let frame = patiently("the trailers", body.frame()).await.expect("a frame").expect("good");
    assert!(frame.into_trailers().is_ok_and(|trailers| trailers.contains_key("grpc-status")));
    assert_eq!(recorder.first(1).await[0].outcome, Outcome::Answered);
}
