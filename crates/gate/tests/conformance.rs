//! HTTP/2 as RFC 9113 has it, frame by frame, in the order of its sections: what a client must not do, and what it gets for it.
#![allow(missing_docs)]

mod common;

use common::*;
use frames::*;
use freezeframe_gate::{Config, Gate, Limits};

/// What is sent on a fresh connection, and every outcome that the standard allows.
struct Case {
    name: &'static str,
    frames: Vec<Vec<u8>>,
    allowed: &'static [&'static str],
}

fn case(name: &'static str, frames: &[Vec<u8>], allowed: &'static [&'static str]) -> Case {
    Case { name, frames: frames.to_vec(), allowed }
}

/// Nothing is said, and the connection goes on.
const IGNORED: &[&str] = &[""];
/// The connection ends. (The HTTP library says PROTOCOL_ERROR for several reasons that the standard has names for.)
const PROTOCOL: &[&str] = &["goaway PROTOCOL_ERROR, closed"];
const SIZE: &[&str] = &["goaway FRAME_SIZE_ERROR, closed", "goaway PROTOCOL_ERROR, closed"];
const FLOW: &[&str] = &["goaway FLOW_CONTROL_ERROR, closed", "goaway PROTOCOL_ERROR, closed"];
const COMPRESSION: &[&str] = &["goaway COMPRESSION_ERROR, closed", "goaway PROTOCOL_ERROR, closed"];
/// An error of a stream may be treated as one of the connection (section 5.4.1).
const MALFORMED: &[&str] = &["reset PROTOCOL_ERROR", "goaway PROTOCOL_ERROR, closed"];
/// Refused by the HTTP library, or by the gate with an answer.
const REFUSED: &[&str] = &["reset PROTOCOL_ERROR", "goaway PROTOCOL_ERROR, closed", "400"];
/// The HTTP library leaves such a field out, and so it reaches nobody.
const DROPPED: &[&str] = &["200", "reset PROTOCOL_ERROR", "goaway PROTOCOL_ERROR, closed"];
const CLOSED: &[&str] =
    &["reset STREAM_CLOSED", "goaway STREAM_CLOSED, closed", "goaway PROTOCOL_ERROR, closed"];

async fn gate(limits: Limits) -> Gate {
    let (addr, _) = recorder::record().await;
    let routes = one_route(&[addr], |_| ());
    start(Config { workers: 1, limits, routes, ..config() }).0
}

async fn run(gate: &Gate, cases: Vec<Case>) {
    let mut wrong = Vec::new();
    for Case { name, frames, allowed } in cases {
        let mut client = Frames::connect(gate).await;
        for frame in frames {
            client.wire.try_send(frame).await;
        }
        // Where something has to come of it, that is waited for.
        let told = client.told(usize::from(!allowed.contains(&""))).await.join(", ");
        if !allowed.contains(&told.as_str()) {
            wrong.push(format!("{name}: {told:?} instead of {allowed:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A setting of a SETTINGS frame.
fn setting(id: u16, value: u32) -> Vec<u8> {
    [&id.to_be_bytes()[..], &value.to_be_bytes()].concat()
}

fn window(stream: u32, by: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &by.to_be_bytes())
}

/// A request whose head is over and whose body is not.
fn open(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &post(&[("content-length", "100")]))
}

fn whole(stream: u32) -> Vec<u8> {
    frame(HEADERS, WHOLE, stream, &get())
}

fn rst(stream: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])
}

#[tokio::test]
async fn frames_are_what_section_4_says() {
    let gate = gate(Limits::default()).await;
    let (head, tail) = (get()[..10].to_vec(), get()[10..].to_vec());
    run(
        &gate,
        vec![
            case("a whole request", &[whole(1)], &["200"]),
            case("4.1 a frame of an unknown kind", &[frame(0x16, 0, 0, b"anything")], IGNORED),
            case("4.1 unknown flags", &[frame(PING, 0x16, 0, b"8 bytes.")], IGNORED),
            case("4.1 the reserved bit", &[frame(PING, 0, 1 << 31, b"8 bytes.")], IGNORED),
            case("4.2 a frame of the greatest size", &[frame(0x16, 0, 0, &[0; 16_384])], IGNORED),
            case("4.2 DATA larger than that", &[open(1), frame(DATA, END_STREAM, 1, &[0; 16_385])], SIZE),
            case("4.2 HEADERS larger than that", &[frame(HEADERS, WHOLE, 1, &[0; 16_385])], SIZE),
            case("4.3 a block that is no block", &[frame(HEADERS, WHOLE, 1, &[0xff; 8])], COMPRESSION),
            case(
                "4.3 a block in two frames",
                &[frame(HEADERS, END_STREAM, 1, &head), frame(CONTINUATION, END_HEADERS, 1, &tail)],
                &["200"],
            ),
            case(
                "4.3 another kind in a block",
                &[frame(HEADERS, END_STREAM, 1, &head), frame(PING, 0, 0, b"8 bytes.")],
                PROTOCOL,
            ),
            case(
                "4.3 another stream in a block",
                &[frame(HEADERS, END_STREAM, 1, &head), frame(CONTINUATION, END_HEADERS, 3, &tail)],
                PROTOCOL,
            ),
            case(
                "4.3 an unknown kind in a block",
                &[frame(HEADERS, END_STREAM, 1, &head), frame(0x16, 0, 0, b"x")],
                PROTOCOL,
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn streams_have_the_states_of_section_5() {
    let gate = gate(Limits { h2_streams_max: 2, ..Limits::default() }).await;
    run(
        &gate,
        vec![
            case("5.1 DATA before HEADERS", &[frame(DATA, END_STREAM, 1, b"x")], PROTOCOL),
            case("5.1 RST_STREAM before HEADERS", &[rst(1)], PROTOCOL),
            case("5.1 WINDOW_UPDATE before HEADERS", &[window(1, 100)], PROTOCOL),
            case("5.1 CONTINUATION before HEADERS", &[frame(CONTINUATION, END_HEADERS, 1, &get())], PROTOCOL),
            case(
                "5.1 DATA after RST_STREAM",
                &[open(1), rst(1), frame(DATA, 0, 1, b"x")],
                &["reset STREAM_CLOSED", "goaway STREAM_CLOSED, closed", ""],
            ),
            case("5.1 HEADERS after RST_STREAM", &[open(1), rst(1), whole(1)], CLOSED),
            case("5.1.1 an even stream", &[whole(2)], PROTOCOL),
            case("5.1.1 a stream that goes back", &[open(5), whole(3)], PROTOCOL),
            case("5.1.2 more streams than allowed", &[open(1), open(3), open(5)], &["reset REFUSED_STREAM"]),
            case(
                "5.3 a stream that depends on itself",
                &[frame(PRIORITY, 0, 1, &[0, 0, 0, 1, 16])],
                &["", "reset PROTOCOL_ERROR", "goaway PROTOCOL_ERROR, closed"],
            ),
            case(
                "8.1 DATA after the end",
                &[open(1), frame(DATA, END_STREAM, 1, &[0; 100]), frame(DATA, 0, 1, b"x")],
                CLOSED,
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn each_kind_of_frame_has_its_rules_of_section_6() {
    let gate = gate(Limits::default()).await;
    let goaway = [0; 8];
    run(
        &gate,
        vec![
            case("6.1 DATA on no stream", &[frame(DATA, END_STREAM, 0, b"x")], PROTOCOL),
            case("6.1 more padding than frame", &[open(1), frame(DATA, PADDED, 1, &[9, 0])], PROTOCOL),
            case("6.2 HEADERS on no stream", &[frame(HEADERS, WHOLE, 0, &get())], PROTOCOL),
            case(
                "6.2 more padding than frame",
                &[frame(HEADERS, WHOLE | PADDED, 1, &[0xff, 0x82])],
                PROTOCOL,
            ),
            case("6.3 PRIORITY on no stream", &[frame(PRIORITY, 0, 0, &[0, 0, 0, 3, 16])], PROTOCOL),
            case("6.3 PRIORITY is ignored", &[frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 16]), whole(1)], &["200"]),
            case("6.3 PRIORITY of another length", &[frame(PRIORITY, 0, 1, &[0; 4])], SIZE),
            case("6.4 RST_STREAM on no stream", &[rst(0)], PROTOCOL),
            case("6.4 RST_STREAM of another length", &[open(1), frame(RST_STREAM, 0, 1, &[0; 3])], SIZE),
            case("6.5 SETTINGS on a stream", &[frame(SETTINGS, 0, 1, &[])], PROTOCOL),
            case("6.5 SETTINGS of another length", &[frame(SETTINGS, 0, 0, &[0; 5])], SIZE),
            case("6.5 an ACK with a payload", &[frame(SETTINGS, ACK, 0, &setting(1, 1))], SIZE),
            case("6.5.2 ENABLE_PUSH that is neither", &[frame(SETTINGS, 0, 0, &setting(2, 2))], PROTOCOL),
            case("6.5.2 a window that is too large", &[frame(SETTINGS, 0, 0, &setting(4, 1 << 31))], FLOW),
            case("6.5.2 frames that are too small", &[frame(SETTINGS, 0, 0, &setting(5, 16_383))], PROTOCOL),
            case("6.5.2 frames that are too large", &[frame(SETTINGS, 0, 0, &setting(5, 1 << 24))], PROTOCOL),
            case("6.5.2 an unknown setting", &[frame(SETTINGS, 0, 0, &setting(0xff, 1)), whole(1)], &["200"]),
            case(
                "6.6 PUSH_PROMISE of a client",
                &[open(1), frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2])],
                PROTOCOL,
            ),
            case("6.7 PING on a stream", &[frame(PING, 0, 1, b"8 bytes.")], PROTOCOL),
            case("6.7 PING of another length", &[frame(PING, 0, 0, b"7 bytes")], SIZE),
            case("6.8 GOAWAY on a stream", &[frame(GOAWAY, 0, 1, &goaway)], PROTOCOL),
            case("6.9 WINDOW_UPDATE by nothing", &[window(0, 0)], PROTOCOL),
            case("6.9 WINDOW_UPDATE of a stream by nothing", &[open(1), window(1, 0)], MALFORMED),
            case("6.9 WINDOW_UPDATE of another length", &[frame(WINDOW_UPDATE, 0, 0, &[0; 3])], SIZE),
            case("6.9.1 a connection's window that overflows", &[window(0, (1 << 31) - 1)], FLOW),
            case(
                "6.9.1 a stream's window that overflows",
                &[open(1), window(1, (1 << 31) - 1)],
                &["reset FLOW_CONTROL_ERROR"],
            ),
            case(
                "6.10 CONTINUATION after the end of a block",
                &[open(1), frame(CONTINUATION, END_HEADERS, 1, &get())],
                PROTOCOL,
            ),
            case(
                "6.10 CONTINUATION on no stream",
                &[frame(HEADERS, END_STREAM, 1, &get()), frame(CONTINUATION, END_HEADERS, 0, &[])],
                PROTOCOL,
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn requests_are_well_formed_as_section_8_says() {
    let gate = gate(Limits::default()).await;
    let with = |more: &[(&str, &str)]| frame(HEADERS, WHOLE, 1, &[get(), block(more)].concat());
    let only = |fields: &[(&str, &str)]| frame(HEADERS, WHOLE, 1, &block(fields));
    let body = |length: &str, sent: &[u8]| {
        vec![
            frame(HEADERS, END_HEADERS, 1, &post(&[("content-length", length)])),
            frame(DATA, END_STREAM, 1, sent),
        ]
    };
    let trailers = |fields: &[(&str, &str)], flags| {
        vec![open(1), frame(DATA, 0, 1, &[0; 100]), frame(HEADERS, flags, 1, &block(fields))]
    };
    let method = (":method", "GET");
    let (path, scheme, authority) = ((":path", "/"), (":scheme", "http"), (":authority", "shop"));
    run(
        &gate,
        vec![
            case("8.2 a name in capitals", &[with(&[("X-Upper", "1")])], MALFORMED),
            case("8.2.1 a name with a colon", &[with(&[("x:y", "1")])], MALFORMED),
            case("8.2.1 a name with a space", &[with(&[("x y", "1")])], MALFORMED),
            case("8.2.2 connection", &[with(&[("connection", "keep-alive")])], MALFORMED),
            case("8.2.2 keep-alive", &[with(&[("keep-alive", "1")])], MALFORMED),
            case("8.2.2 proxy-connection", &[with(&[("proxy-connection", "keep-alive")])], MALFORMED),
            case("8.2.2 transfer-encoding", &[with(&[("transfer-encoding", "chunked")])], MALFORMED),
            case("8.2.2 upgrade", &[with(&[("upgrade", "websocket")])], MALFORMED),
            case("8.2.2 te: trailers", &[with(&[("te", "trailers")])], &["200"]),
            case("8.2.2 another te", &[with(&[("te", "trailers, deflate")])], MALFORMED),
            case(
                "8.3 an unknown pseudo field",
                &[only(&[method, path, scheme, authority, (":x", "1")])],
                MALFORMED,
            ),
            case(
                "8.3 a response's pseudo field",
                &[only(&[method, path, scheme, authority, (":status", "200")])],
                MALFORMED,
            ),
            case(
                "8.3 a pseudo field after others",
                &[only(&[method, path, scheme, ("x", "1"), authority])],
                MALFORMED,
            ),
            case("8.3.1 no method", &[only(&[path, scheme, authority])], REFUSED),
            case("8.3.1 no scheme", &[only(&[method, path, authority])], REFUSED),
            case("8.3.1 no path", &[only(&[method, scheme, authority])], REFUSED),
            case("8.3.1 an empty path", &[only(&[method, (":path", ""), scheme, authority])], REFUSED),
            case("8.3.1 a method twice", &[only(&[method, method, path, scheme, authority])], MALFORMED),
            case("8.3.1 a path twice", &[only(&[method, path, path, scheme, authority])], MALFORMED),
            case(
                "8.3.1 an authority twice",
                &[only(&[method, path, scheme, authority, authority])],
                MALFORMED,
            ),
            case("8.3.1 no authority and no host", &[only(&[method, path, scheme])], &["200", "400"]),
            case("8.1.1 less body than announced", &body("3", b"ab"), MALFORMED),
            case("8.1.1 more body than announced", &body("1", b"ab"), MALFORMED),
            case("8.1 trailers", &trailers(&[("x-sum", "1")], WHOLE), &["200"]),
            case(
                "8.1 trailers that do not end the stream",
                &trailers(&[("x-sum", "1")], END_HEADERS),
                MALFORMED,
            ),
            case("8.1 a pseudo field in trailers", &trailers(&[(":path", "/")], WHOLE), DROPPED),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_connection_begins_with_the_preface() {
    let gate = gate(Limits::default()).await;
    let mut client = Wire::connect(&gate).await;
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\rX").await;
    let said = client.rest().await;
    assert!(said.is_empty() || said.starts_with("HTTP/1.1 400 "), "{said}");
}

#[tokio::test]
async fn the_clients_window_is_kept_to_the_byte() {
    let gate = gate(Limits::default()).await;
    let mut client = Frames::connect(&gate).await;
    client.send(SETTINGS, 0, 0, &setting(4, 1)).await;
    client.wire.send(whole(1)).await;
    assert_eq!(client.told(1).await, ["200"]);
    // Of "ok" one byte, and the other when there is room: also after the window was below nothing.
    let mut body = Vec::new();
    while body.is_empty() {
        let frame = client.next().await.expect("a frame");
        if frame.kind == DATA {
            body.extend(frame.payload);
        }
    }
    assert_eq!(body, b"o");
    client.send(SETTINGS, 0, 0, &setting(4, 0)).await;
    client.wire.send(window(1, 1)).await;
    assert_eq!(client.told(0).await, Vec::<String>::new(), "minus one and one is nothing");
    client.wire.send(window(1, 1)).await;
    loop {
        let frame = client.next().await.expect("a frame");
        if frame.kind == DATA && !frame.payload.is_empty() {
            assert_eq!(frame.payload, b"k");
            return;
        }
    }
}
