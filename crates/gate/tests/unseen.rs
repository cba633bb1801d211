//! HTTP/2 instances that say that they did not look at a request (RFC 9113 sections 6.8 and 8.7): any request may go elsewhere then,
//! also one that must not be repeated.
#![allow(missing_docs)]

mod common;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use common::*;
use freezeframe_gate::{Config, Gate, RouteTable};
use freezeframe_model::Outcome;
use h2::Reason;
use hyper::Response;
use tokio::net::TcpListener;

/// What an instance does with requests.
#[derive(Clone, Copy)]
enum Does {
    Answer,
    Refuse(Reason),
    /// Goes away with the first request unseen.
    GoAway,
}

/// An HTTP/2 instance, and how many requests it was sent.
async fn instance(does: Does) -> (SocketAddr, Arc<AtomicU32>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let (addr, count) = (listener.local_addr().expect("bound"), Arc::<AtomicU32>::default());
    let counted = Arc::clone(&count);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let count = Arc::clone(&counted);
            tokio::spawn(async move {
                if matches!(does, Does::GoAway) {
                    return go_away(Wire::new(stream), &count).await;
                }
                let mut connection = h2::server::handshake(stream).await.expect("HTTP/2");
                while let Some(Ok((_, mut respond))) = connection.accept().await {
                    count.fetch_add(1, Ordering::Relaxed);
                    match does {
                        Does::Refuse(reason) => respond.send_reset(reason),
                        _ => {
                            let mut body = respond.send_response(Response::new(()), false).expect("open");
                            body.send_data(Bytes::from("ok"), true).expect("open");
                        }
                    }
                }
            });
        }
    });
    (addr, count)
}

/// By hand: GOAWAY with no stream seen, and the end.
async fn go_away(wire: Wire, count: &AtomicU32) {
    let mut frames = frames::Frames { wire };
    frames.wire.take(frames::PREFACE.len()).await;
    frames.send(frames::SETTINGS, 0, 0, &[]).await;
    while let Some(frame) = frames.next().await {
        if frame.kind == frames::HEADERS {
            count.fetch_add(1, Ordering::Relaxed);
            frames.send(frames::GOAWAY, 0, 0, &[0; 8]).await;
            return;
        }
    }
}

/// A gate that tries the first instance first; nothing is repeated that an instance saw.
async fn gate(first: SocketAddr, second: SocketAddr) -> (Gate, Arc<Recorder>) {
    let mut routes: RouteTable = one_route(&[first, second], |route| route.retries = 0);
    routes.services.iter_mut().for_each(|service| service.h2c = true);
    start(Config { workers: 1, routes, ..config() })
}

/// Not to be repeated once it was seen.
const POST: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";

#[tokio::test]
async fn what_an_instance_refused_unseen_goes_to_another() {
    for does in [Does::Refuse(Reason::REFUSED_STREAM), Does::GoAway] {
        let ((first, unseen), (second, seen)) = (instance(does).await, instance(Does::Answer).await);
        let (gate, recorder) = gate(first, second).await;
        let mut client = Wire::connect(&gate).await;
        let mut asked = 0;
        // Which of the two is asked first is the gate's choice.
        while unseen.load(Ordering::Relaxed) == 0 {
            client.send(POST).await;
            assert_eq!(client.response().await.status, 200);
            asked += 1;
            assert!(asked < 50, "the other one is never asked");
        }
        assert_eq!(seen.load(Ordering::Relaxed), asked, "each was worked on once");
        let exchanges = recorder.first(asked as usize).await;
        assert!(exchanges.iter().all(|exchange| exchange.outcome == Outcome::Answered));
    }
}

#[tokio::test]
async fn what_an_instance_broke_off_does_not() {
    let ((first, broken), (second, seen)) =
        (instance(Does::Refuse(Reason::INTERNAL_ERROR)).await, instance(Does::Answer).await);
    let (gate, _) = gate(first, second).await;
    let mut client = Wire::connect(&gate).await;
    for answered in 0..50 {
        client.send(POST).await;
        let status = client.response().await.status;
        if status == 502 {
            assert_eq!((broken.load(Ordering::Relaxed), seen.load(Ordering::Relaxed)), (1, answered));
            return;
        }
        assert_eq!(status, 200);
    }
    panic!("the other one is never asked");
}
