//! Requests that two servers could understand differently (the `.http` files of `tests/smuggling`), and what an instance gets of
//! them: all readers see the same there, and no more than the gate meant to send.
#![allow(missing_docs)]

mod common;

use cases::Case;
use common::*;
use freezeframe_gate::Config;
use recorder::record;
use views::{Reader, Seen, hyper_sees};

const LAST: &str = "GET /last HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n";

/// What came of a case.
#[derive(Debug)]
struct Outcome {
    statuses: Vec<u16>,
    is_open: bool,
    /// What each connection to the instance carried.
    streams: Vec<Vec<u8>>,
    /// Requests that the gate says it sent on.
    forwarded: usize,
}

/// Sends a case in pieces of `piece` bytes, then one honest request, and hears what is said to both.
async fn play(case: &Case, piece: usize) -> Outcome {
    let (addr, streams) = record().await;
    let routes = one_route(&[addr], |_| ());
    let (gate, recorder) = start(Config { workers: 1, routes, header_timeout_ms: 5_000, ..config() });
    let mut client = Wire::connect(&gate).await;
    for bytes in case.sent.chunks(piece) {
        if !client.try_send(bytes).await {
            break;
        }
    }
    // Where the case is refused, this is not answered.
    client.try_send(LAST).await;
    let said = client.rest().await;
    let mut statuses = statuses(&said);
    let is_open = said.contains("x-last: 1");
    if is_open {
        // Where the last one has more of them in front, that is another case's business.
        statuses.pop();
    }
    drop(client);
    blocking(move || gate.stop(std::time::Duration::from_secs(5))).await;
    let forwarded = recorder.first(0).await.iter().filter(|exchange| exchange.instance.is_some()).count();
    Outcome { statuses, is_open, streams: streams.taken(), forwarded }
}

/// The statuses of a stream of responses. Bodies here contain no line that begins like a response.
fn statuses(said: &str) -> Vec<u16> {
    let heads = said.split("HTTP/1.1 ").skip(1);
    heads.map(|head| head.get(..3).and_then(|status| status.parse().ok()).expect("a status")).collect()
}

/// What all readers agree on, over all connections. One whose body is refused in the middle was begun, and no server takes it for whole.
async fn agreed(streams: &[Vec<u8>]) -> Result<Vec<Seen>, String> {
    let mut requests = Vec::new();
    for stream in streams {
        let text = String::from_utf8_lossy(stream);
        let seen = Reader::Strict.all(stream).0;
        for reader in [Reader::LengthFirst, Reader::ChunkedFirst] {
            let lenient = reader.all(stream).0;
            if lenient != seen {
                return Err(format!("{reader:?} sees {lenient:?} instead of {seen:?} in {text:?}"));
            }
        }
        let hyper = hyper_sees(stream).await;
        if hyper != seen {
            return Err(format!("hyper sees {hyper:?} instead of {seen:?} in {text:?}"));
        }
        requests.extend(seen);
    }
    Ok(requests)
}

/// What is not as it should be.
async fn wrong(case: &Case, piece: usize) -> Result<(), String> {
    let Outcome { statuses, is_open, streams, forwarded } = play(case, piece).await;
    let requests = agreed(&streams).await?;
    let answered = statuses.iter().filter(|status| **status == 200).count() + usize::from(is_open);
    let statuses: Vec<String> = statuses.iter().map(ToString::to_string).collect();
    let then = if is_open { "open" } else { "closed" };
    let upstream = requests.len() - usize::from(is_open);
    let got = (statuses.join(" "), then, upstream.to_string());
    let expected = (case.one("expect").to_owned(), case.one("then"), case.one("upstream").to_owned());
    if got != expected {
        return Err(format!("{got:?} instead of {expected:?}; the instance has {requests:?}"));
    }
    if requests.len() != answered || requests.len() > forwarded {
        return Err(format!("{answered} were answered, {forwarded} sent on; the instance has {requests:?}"));
    }
    if requests.iter().any(|request| request.line.contains("smuggled")) {
        return Err(format!("the instance has {requests:?}"));
    }
    let all = String::from_utf8_lossy(&streams.concat()).into_owned();
    let lower = all.to_ascii_lowercase();
    if let Some(text) = case.every("upstream-has").find(|text| !all.contains(*text)) {
        return Err(format!("no {text:?} in {all:?}"));
    }
    match case.every("upstream-lacks").find(|text| lower.contains(&text.to_ascii_lowercase())) {
        Some(text) => Err(format!("{text:?} in {all:?}")),
        None => Ok(()),
    }
}

async fn check(cases: &[Case], piece: usize) {
    let mut all = Vec::new();
    for case in cases {
        if let Err(why) = wrong(case, piece).await {
            all.push(format!("{}: {why}", case.name));
        }
    }
    assert!(all.is_empty(), "in pieces of {piece}:\n{}", all.join("\n"));
}

#[tokio::test]
async fn no_case_makes_an_instance_see_more_than_was_meant() {
    let cases = Case::all("http");
    assert!(cases.len() > 100, "{} cases", cases.len());
    check(&cases, usize::MAX).await;
}

#[tokio::test]
async fn it_does_not_depend_on_how_the_network_cuts_the_stream() {
    let mut cases = Case::all("http");
    cases.retain(|case| case.sent.len() < 1_000);
    check(&cases, 1).await;
}

#[test]
fn the_lenient_readers_do_forgive() {
    // Otherwise that they agree would say nothing.
    let both =
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    assert_eq!(Reader::Strict.first(both), None);
    assert_eq!(Reader::LengthFirst.first(both).expect("a request").0.body, b"0\r\n\r\n");
    assert_eq!(Reader::ChunkedFirst.first(both).expect("a request").0.body, b"");
    for bytes in [
        &b"GET / HTTP/1.1\nHost: a\n\n"[..],
        b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost:\r\n a\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent_Length: 1\r\nContent-Length: 2\r\n\r\nab",
    ] {
        let lenient = Reader::LengthFirst.first(bytes).expect("a request").0;
        assert_eq!(lenient.host.as_deref(), Some("a"));
        assert_ne!(Reader::Strict.first(bytes).map(|(seen, _)| seen), Some(lenient), "{bytes:?}");
    }
}
