//! Requests over HTTP/2 that would be another one, or two, over HTTP/1.1 (the `.h2` files of `tests/smuggling`).
#![allow(missing_docs)]

mod common;

use cases::Case;
use common::*;
use frames::*;
use freezeframe_gate::Config;
use recorder::record;
use views::{Reader, hyper_sees};

const SETTINGS_OF_A_CASE: [&str; 4] = ["expect", "upstream", "upstream-has", "upstream-lacks"];

/// What is not as it should be.
async fn wrong(case: &Case) -> Result<(), String> {
    let (addr, streams) = record().await;
    let routes = one_route(&[addr], |_| ());
    let (gate, recorder) = start(Config { workers: 1, routes, ..config() });
    let mut client = Frames::connect(&gate).await;
    let fields = case.others(&SETTINGS_OF_A_CASE);
    let block: Vec<u8> = fields.iter().flat_map(|(name, value)| literal(name, value)).collect();
    let has_body = !case.sent.is_empty();
    client.send(HEADERS, if has_body { END_HEADERS } else { WHOLE }, 1, &block).await;
    if has_body {
        client.send(DATA, END_STREAM, 1, &case.sent).await;
    }
    let told = client.told(1).await;
    let first = match told.first().map_or("", String::as_str) {
        said if said.starts_with("reset") || said.starts_with("goaway") => "reset",
        status => status,
    };
    // A client that is still there would be waited for.
    drop(client);
    blocking(move || gate.stop(std::time::Duration::from_secs(5))).await;
    let forwarded = recorder.first(0).await.iter().filter(|exchange| exchange.instance.is_some()).count();
    let mut requests = Vec::new();
    let streams = streams.taken();
    for stream in &streams {
        let (seen, rest) = Reader::Strict.all(stream);
        let text = String::from_utf8_lossy(stream);
        // Of a request that was broken off there is a beginning, and no server takes it for one.
        if !rest.is_empty() && first != "reset" {
            return Err(format!("what is no request: {text:?}"));
        }
        let others = [Reader::LengthFirst, Reader::ChunkedFirst].map(|reader| reader.all(stream).0);
        if others.iter().chain([&hyper_sees(stream).await]).any(|other| *other != seen) {
            return Err(format!("not all see {seen:?} in {text:?}"));
        }
        requests.extend(seen);
    }
    let got = (first, requests.len().to_string());
    let expected = (case.one("expect"), case.one("upstream").to_owned());
    if got != expected || forwarded < requests.len() {
        return Err(format!(
            "{got:?} instead of {expected:?}; {forwarded} sent on; the instance has {requests:?}"
        ));
    }
    if requests.iter().any(|request| request.line.contains("smuggled")) {
        return Err(format!("the instance has {requests:?}"));
    }
    let all = String::from_utf8_lossy(&streams.concat()).into_owned();
    if let Some(text) = case.every("upstream-has").find(|text| !all.contains(*text)) {
        return Err(format!("no {text:?} in {all:?}"));
    }
    match case.every("upstream-lacks").find(|text| all.to_ascii_lowercase().contains(*text)) {
        Some(text) => Err(format!("{text:?} in {all:?}")),
        None => Ok(()),
    }
}

#[tokio::test]
async fn nothing_of_http2_becomes_something_else_in_http1() {
    let cases = Case::all("h2");
    assert!(cases.len() > 25, "{} cases", cases.len());
    let mut all = Vec::new();
    for case in &cases {
        if let Err(why) = wrong(case).await {
            all.push(format!("{}: {why}", case.name));
        }
    }
    assert!(all.is_empty(), "{}", all.join("\n"));
}
