//! The gate's own readers of what clients and instances send: framing of HTTP/1, fields of requests and responses, paths and
//! hosts, `traceparent`, lines of the access log.
#![no_main]

use freezeframe_fuzz::text;
use freezeframe_gate::Upstream;
use freezeframe_gate::fuzzing::{answered, log_lines, offence, place, prepared, traceparent};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Version};
use libfuzzer_sys::fuzz_target;

/// Fields that no instance may get as a client sent them.
const NEVER: [&str; 11] = [
    "keep-alive",
    "expect",
    "proxy-connection",
    "proxy-authorization",
    "transfer-encoding",
    "http2-settings",
    "x-real-ip",
    "proxy",
    "x_forwarded_for",
    "content_length",
    "transfer_encoding",
];

/// The lines of a head that are fields at all.
fn fields(head: &[u8]) -> Vec<(HeaderName, HeaderValue)> {
    let field = |line: &[u8]| {
        let at = line.iter().position(|byte| *byte == b':')?;
        let name = HeaderName::from_bytes(&line[..at]).ok()?;
        Some((name, HeaderValue::from_bytes(line[at + 1..].trim_ascii()).ok()?))
    };
    head.split(|byte| *byte == b'\n').take(64).filter_map(field).collect()
}

/// A request whose first line is method and target.
fn request(head: &[u8], version: Version) {
    let (first, rest) = head.split_at(head.iter().position(|byte| *byte == b'\n').unwrap_or(head.len()));
    let mut words = first.split(|byte| *byte == b' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let Ok(request) = Request::builder().method(method).uri(target).version(version).body(()) else { return };
    let Ok((uri, headers)) = prepared(request, fields(rest)) else { return };
    let target = uri.to_string();
    assert!(target.starts_with('/') || target == "*" || uri.scheme().is_none(), "{target}");
    assert!(headers.get_all("host").iter().count() <= 1);
    assert_eq!(headers.get_all("x-forwarded-for").iter().collect::<Vec<_>>(), ["127.0.0.1"]);
    assert!(headers.get_all("forwarded").iter().count() <= 1);
    if let Some(name) = NEVER.iter().find(|name| headers.contains_key(**name)) {
        panic!("{name} in {headers:?}");
    }
    // What is left of `Connection` is the gate's own.
    if let Some(connection) = headers.get("connection") {
        assert!(connection == "te" || connection == "upgrade", "{connection:?}");
    }
    let host = headers.get("host").and_then(|host| host.to_str().ok()).unwrap_or_default();
    let (is_ambiguous, host) = place(uri.path(), host);
    assert!(!host.bytes().any(|byte| byte.is_ascii_uppercase()));
    let segments: Vec<&str> = uri.path().split('/').collect();
    assert!(is_ambiguous || !segments.contains(&".."), "{uri}");
}

/// A response with these fields, final or interim.
fn response(head: &[u8], tunnel: bool) {
    let given: HeaderMap = fields(head).into_iter().collect();
    let (headers, interim) = answered(given, tunnel);
    if let Some(headers) = headers {
        assert!(!headers.contains_key("transfer-encoding") && !headers.contains_key("keep-alive"));
        assert!(tunnel || !headers.contains_key("connection"));
    }
    // One head, whatever is in it.
    let end = interim.windows(4).position(|window| window == b"\r\n\r\n");
    assert_eq!(end, Some(interim.len() - 4));
}

fuzz_target!(|input: &[u8]| {
    let [kind, piece, rest @ ..] = input else { return };
    match kind % 8 {
        0 | 1 => {
            // In whatever pieces the stream comes, the same offence is found in the same line.
            let whole = offence(rest, rest.len());
            assert_eq!(offence(rest, usize::from(*piece)), whole);
            assert_eq!(offence(rest, 1), whole);
        }
        2 => {
            if let Some(again) = traceparent(rest) {
                assert_eq!(traceparent(&again).as_ref(), Some(&again));
            }
        }
        3 => request(rest, Version::HTTP_11),
        4 => request(rest, if *piece == 0 { Version::HTTP_10 } else { Version::HTTP_2 }),
        5 => response(rest, *piece == 0),
        6 => {
            if let Ok(upstream) = text(rest).parse::<Upstream>() {
                assert_eq!(upstream.to_string().parse(), Ok(upstream));
            }
        }
        _ => {
            let (path, header) = rest.split_at(rest.len() / 2);
            let at_us = rest.first_chunk().map_or(0, |bytes| i64::from_le_bytes(*bytes) / 1000);
            let [json, combined] = log_lines(&text(path), header, at_us);
            for line in [&json, &combined] {
                assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
                assert!(line.iter().all(|byte| *byte == b'\n' || (b' '..=b'~').contains(byte)));
            }
            serde_json::from_slice::<serde_json::Value>(&json).expect("JSON");
        }
    }
});
