//! HTTP/2 with prior knowledge, from clients and to instances.
#![allow(missing_docs)]

mod common;

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use common::*;
use freezeframe_gate::{Config, Evicted, Gate, RouteTable};
use freezeframe_model::{IncidentId, InstanceId, Outcome};
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};

const ONE: InstanceId = InstanceId(1);

async fn connect<B>(gate: &Gate) -> SendRequest<B>
where
    B: hyper::body::Body<Data = Bytes, Error = Infallible> + Send + Unpin + 'static,
{
    let stream = TcpStream::connect(gate.local_addr()).await.expect("the gate listens");
    let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("HTTP/2");
    tokio::spawn(connection);
    sender
}

fn get(path: &str) -> Request<Empty<Bytes>> {
    let request =
        Request::get(format!("http://shop{path}")).header("cookie", "a=1").header("cookie", "sid=2");
    request.header("te", "trailers").body(Empty::new()).expect("valid")
}

#[tokio::test]
async fn streams_of_one_client_go_their_own_ways() {
    let (gate, recorder, one) = start_with_backend().await;
    let mut client = connect::<Empty<Bytes>>(&gate).await;
    let first = client.send_request(get("/first"));
    let first = tokio::spawn(first);
    let (mut slow, head) = one.request().await;
    assert!(head.starts_with("GET /first HTTP/1.1\r\n"), "{head}");
    assert_eq!((field(&head, "host"), field(&head, "cookie")), (Some("shop"), Some("a=1; sid=2")));
    let second = tokio::spawn(client.send_request(get("/second")));
    let (mut quick, _) = one.request().await;
    assert_eq!(in_flight(&gate, ONE, 2).await.len(), 2);
    quick
        .send("HTTP/1.1 200 OK\r\nKeep-Alive: x\r\nTrailer: x-sum\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx-sum: 1\r\n\r\n")
        .await;
    let response = patiently("the second response", second).await.expect("no panic").expect("answered");
    assert_eq!((response.status().as_u16(), response.headers().get("keep-alive")), (200, None));
    let body = response.into_body().collect().await.expect("whole");
    assert_eq!(
        body.trailers().and_then(|trailers| trailers.get("x-sum")).map(|v| v.as_bytes()),
        Some(&b"1"[..])
    );
    assert_eq!(body.to_bytes(), "ok");
    // The first is evicted, alone on its stream; the connection lives on.
    slow.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf").await;
    let mut response = patiently("the first response", first).await.expect("no panic").expect("answered");
    assert_eq!(
        response.frame().await.expect("a frame").expect("good").into_data().ok(),
        Some(Bytes::from("half"))
    );
    assert_eq!(gate.evict(ONE, Some(IncidentId(1))), Evicted { retried: 0, failed: 0, aborted: 1 });
    assert!(response.frame().await.is_none_or(|frame| frame.is_err()), "the stream is reset");
    let third = tokio::spawn(client.send_request(get("/third")));
    quick.head().await;
    quick.send("HTTP/1.1 204 No Content\r\n\r\n").await;
    assert_eq!(patiently("the third", third).await.expect("no panic").expect("answered").status(), 204);
    recorder.first(3).await;
}

#[tokio::test]
async fn a_stream_that_the_client_resets_is_cancelled() {
    let (gate, recorder, one) = start_with_backend().await;
    let mut client = connect::<Empty<Bytes>>(&gate).await;
    let asking = tokio::spawn(client.send_request(get("/slow")));
    let (mut instance, _) = one.request().await;
    asking.abort();
    assert_eq!(instance.rest().await, "");
    assert_eq!(recorder.first(1).await[0].outcome, Outcome::ClientGone);
    assert_eq!(gate.in_flight_count(ONE), 0);
}

#[tokio::test]
async fn disagreement_about_the_host_is_refused() {
    let (gate, _, _one) = start_with_backend().await;
    let mut client = connect::<Empty<Bytes>>(&gate).await;
    let request = Request::get("http://shop/").header("host", "admin").body(Empty::new()).expect("valid");
    let response = patiently("a refusal", client.send_request(request)).await.expect("answered");
    assert_eq!(response.status(), 400);
}

/// An instance that echoes over HTTP/2, trailers included.
async fn echo_over_http2() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = service_fn(|request: Request<Incoming>| async move {
                assert!(!request.headers().contains_key("connection"));
                let host = request.uri().authority().map_or("none", |host| host.as_str()).to_owned();
                Ok::<_, Infallible>(
                    Response::builder().header("x-host", host).body(request.into_body()).expect("valid"),
                )
            });
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            tokio::spawn(server.serve_connection(TokioIo::new(stream), service));
        }
    });
    addr
}

fn h2c() -> RouteTable {
    let mut routes = RouteTable::default();
    routes.services.iter_mut().for_each(|service| service.h2c = true);
    routes
}

#[tokio::test]
async fn instances_can_be_spoken_to_in_http2() {
    let (gate, recorder) = start(Config { routes: h2c(), ..config() });
    gate.route(ONE, echo_over_http2().await);
    let mut client = Wire::connect(&gate).await;
    for _ in 0..3 {
        client.send("POST /a HTTP/1.1\r\nHost: shop\r\nContent-Length: 4\r\n\r\nbody").await;
        let answer = client.response().await;
        assert_eq!(
            (answer.status, answer.body.as_str(), field(&answer.head, "x-host")),
            (200, "body", Some("shop"))
        );
    }
    // As gRPC does it: HTTP/2 all the way, with trailers.
    let frames = [
        Ok(Frame::data(Bytes::from("grpc"))),
        Ok::<_, Infallible>(Frame::trailers({
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", "0".parse().expect("valid"));
            trailers
        })),
    ];
    let body = StreamBody::new(futures_util::stream::iter(frames));
    let mut client = connect(&gate).await;
    let request = Request::post("http://shop/call").header("te", "trailers").body(body).expect("valid");
    let response = patiently("a response", client.send_request(request)).await.expect("answered");
    let body = response.into_body().collect().await.expect("whole");
    assert_eq!(
        body.trailers().and_then(|trailers| trailers.get("grpc-status")).map(|v| v.as_bytes()),
        Some(&b"0"[..])
    );
    assert!(recorder.first(4).await.iter().all(|exchange| exchange.outcome == Outcome::Answered));
}
