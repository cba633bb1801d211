//! Requests and responses before and after, as a person would read them.

use std::fmt::Write as _;

use expect_test::{Expect, expect};
use http::{Request, Response};

use super::*;

fn parse(fields: &str) -> HeaderMap {
    let pairs = fields.lines().filter_map(|line| line.trim().split_once(": "));
    pairs
        .map(|(name, value)| {
            (HeaderName::try_from(name).expect("a name"), HeaderValue::try_from(value).expect("a value"))
        })
        .collect()
}

fn render(headers: &HeaderMap) -> String {
    let mut lines: Vec<_> =
        headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap_or("?"))).collect();
    lines.sort();
    lines.join("\n")
}

fn check_request(version: Version, method: Method, uri: &str, fields: &str, expected: Expect) {
    let mut request = Request::builder().method(method).uri(uri).version(version);
    *request.headers_mut().expect("valid so far") = parse(fields);
    let (mut parts, ()) = request.body(()).expect("valid").into_parts();
    let survey = survey(&parts.headers);
    let upgrade = survey.wants_upgrade(&parts.headers, parts.version);
    let origin = Origin::new([192, 0, 2, 7].into(), false);
    let mut seen = String::new();
    match survey.prepare_request(&mut parts, &origin, upgrade) {
        Ok(()) => write!(seen, "{} {}\n{}", parts.method, parts.uri, render(&parts.headers)),
        Err(Objection(status, text)) => write!(seen, "{} {text}", status.as_u16()),
    }
    .expect("writing to a string");
    expected.assert_eq(&seen);
}

#[test]
fn hop_by_hop_fields_stay_behind() {
    check_request(
        Version::HTTP_11,
        Method::GET,
        "/a?b=c",
        "Host: shop\nConnection: close, X-Secret\nConnection: keep-alive, Host\nX-Secret: 1\nKeep-Alive: timeout=5\n\
         Proxy-Connection: keep-alive\nProxy-Authorization: Basic x\nProxy: http://evil\nTE: gzip\nUpgrade: h2c\n\
         Expect: 100-continue\nAccept: */*\nProxy-Status: kept",
        expect![[r#"
            GET /a?b=c
            accept: */*
            forwarded: for=192.0.2.7;host="shop";proto=http
            host: shop
            proxy-status: kept
            x-forwarded-for: 192.0.2.7
            x-forwarded-host: shop
            x-forwarded-proto: http"#]],
    );
}

#[test]
fn what_clients_say_about_their_origin_is_replaced() {
    check_request(
        Version::HTTP_11,
        Method::GET,
        "/",
        "Host: shop:81\nX-Forwarded-For: 10.0.0.1\nX-Forwarded-For: 10.0.0.2\nForwarded: for=10.0.0.1\nX-Real-IP: 10.0.0.1\n\
         X-Forwarded-Proto: https\nX-Forwarded-Host: admin\nX-Forwarded-Port: 443\nX-Request-Id: kept",
        expect![[r#"
            GET /
            forwarded: for=192.0.2.7;host="shop:81";proto=http
            host: shop:81
            x-forwarded-for: 192.0.2.7
            x-forwarded-host: shop:81
            x-forwarded-proto: http
            x-request-id: kept"#]],
    );
    let six = Origin::new("::1".parse().expect("an address"), false);
    let forwarded = six.forwarded(&HeaderValue::from_static("shop")).expect("valid");
    assert_eq!(forwarded, "for=\"[::1]\";host=\"shop\";proto=http");
    let mapped = Origin::new("::ffff:192.0.2.7".parse().expect("an address"), false);
    assert_eq!(mapped.forwarded_for, "192.0.2.7");
}

#[test]
fn upgrades_and_trailers_are_asked_for_anew() {
    check_request(
        Version::HTTP_11,
        Method::GET,
        "/chat",
        "Host: shop\nConnection: keep-alive, Upgrade\nUpgrade: websocket\nSec-WebSocket-Key: k",
        expect![[r#"
            GET /chat
            connection: upgrade
            forwarded: for=192.0.2.7;host="shop";proto=http
            host: shop
            sec-websocket-key: k
            upgrade: websocket
            x-forwarded-for: 192.0.2.7
            x-forwarded-host: shop
            x-forwarded-proto: http"#]],
    );
    check_request(
        Version::HTTP_11,
        Method::GET,
        "/",
        "Host: shop\nConnection: TE\nTE: gzip, trailers",
        expect![[r#"
            GET /
            connection: te
            forwarded: for=192.0.2.7;host="shop";proto=http
            host: shop
            te: trailers
            x-forwarded-for: 192.0.2.7
            x-forwarded-host: shop
            x-forwarded-proto: http"#]],
    );
}

#[test]
fn http2_requests_get_a_host_and_one_cookie() {
    check_request(
        Version::HTTP_2,
        Method::GET,
        "http://shop:80/a",
        "Cookie: a=1\nCookie: sid=2",
        expect![[r#"
            GET /a
            cookie: a=1; sid=2
            forwarded: for=192.0.2.7;host="shop:80";proto=http
            host: shop:80
            x-forwarded-for: 192.0.2.7
            x-forwarded-host: shop:80
            x-forwarded-proto: http"#]],
    );
}

#[test]
fn ambiguous_requests_are_refused() {
    let check = |fields: &str, expected: Expect| {
        check_request(Version::HTTP_11, Method::POST, "/", fields, expected);
    };
    check("Accept: */*", expect!["400 the Host field is missing"]);
    check("Host: a\nHost: a", expect!["400 more than one Host field"]);
    check("Host: a/b", expect!["400 the Host field is not valid"]);
    check("Host: user@a", expect!["400 the Host field is not valid"]);
    check(
        "Host: a\nTransfer-Encoding: gzip, chunked",
        expect!["501 the only transfer coding here is chunked"],
    );
    check(
        "Host: a\nTransfer-Encoding: chunked\nContent-Length: 1",
        expect!["400 both Content-Length and Transfer-Encoding"],
    );
    check_request(
        Version::HTTP_11,
        Method::GET,
        "http://a/",
        "Host: b",
        expect!["400 the target and the Host field do not agree"],
    );
    check_request(
        Version::HTTP_11,
        Method::CONNECT,
        "a:443",
        "Host: a:443",
        expect!["405 this is a gateway, not a forward proxy"],
    );
}

#[test]
fn responses_lose_what_concerned_only_us() {
    let check = |fields: &str, tunnel: bool, expected: Expect| {
        let mut response = Response::new(());
        *response.headers_mut() = parse(fields);
        let result = prepare_response(response.headers_mut(), tunnel);
        expected.assert_eq(&result.map_or_else(str::to_owned, |()| render(response.headers())));
    };
    check(
        "Content-Length: 5\nConnection: close, X-Hop\nX-Hop: 1\nKeep-Alive: timeout=5\nProxy-Authenticate: x\nSet-Cookie: a=1\n\
         Set-Cookie: b=2\nServer: kept",
        false,
        expect![[r#"
            content-length: 5
            server: kept
            set-cookie: a=1
            set-cookie: b=2"#]],
    );
    check("Transfer-Encoding: chunked\nContent-Length: 5\nTrailer: x-sum", false, expect!["trailer: x-sum"]);
    check(
        "Transfer-Encoding: gzip, chunked",
        false,
        expect!["the response uses a transfer coding other than chunked"],
    );
    check(
        "Connection: Upgrade\nUpgrade: websocket\nSec-WebSocket-Accept: k",
        true,
        expect![[r#"
            connection: upgrade
            sec-websocket-accept: k
            upgrade: websocket"#]],
    );
    check("Connection: Upgrade", true, expect!["101 without an Upgrade field"]);
}

#[test]
fn a_foreign_trace_state_stays_with_its_trace() {
    for (kept, expected) in [(true, "traceparent: new\ntracestate: a=b"), (false, "traceparent: new")] {
        let mut headers = parse("traceparent: old\ntracestate: a=b");
        let found = survey(&headers);
        set_trace(&mut headers, &found, b"new", kept);
        assert_eq!(render(&headers), expected);
    }
    assert_eq!(traceparent(&parse("traceparent: a\ntraceparent: b")), None);
    assert_eq!(traceparent(&parse("traceparent: a")), Some(&b"a"[..]));
}

#[test]
fn idempotent_methods_are_those_of_the_rfc() {
    let all = [Method::GET, Method::HEAD, Method::PUT, Method::DELETE, Method::OPTIONS, Method::TRACE];
    assert!(all.iter().all(is_idempotent));
    assert!(![Method::POST, Method::PATCH, Method::CONNECT].iter().any(is_idempotent));
}

#[test]
fn a_number_is_written_in_decimal_digits() {
    for number in [0, 1, 9, 10, 30_000, u64::MAX] {
        assert_eq!(decimal(number), HeaderValue::from(number));
    }
}
