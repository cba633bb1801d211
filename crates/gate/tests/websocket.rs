//! WebSockets through the gate, after the cases of the Autobahn suite: each conversation is had with the server itself and through the
//! gate, and nothing may differ. The server is an ordinary one (tungstenite) that echoes messages.
#![allow(missing_docs)]

mod common;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use common::{one_route, start};
use freezeframe_gate::{Config, Gate};
use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Error, WebSocket, accept};

const ASK: &str = "GET /chat HTTP/1.1\r\nHost: shop\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const PATIENCE: Duration = Duration::from_secs(20);
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

const FIN: u8 = 0x80;
const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// A client's frame.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        short @ 0..126 => bytes.push(0x80 | short as u8),
        middle @ 126..65_536 => {
            bytes.push(0x80 | 126);
            bytes.extend((middle as u16).to_be_bytes());
        }
        long => {
            bytes.push(0x80 | 127);
            bytes.extend((long as u64).to_be_bytes());
        }
    }
    bytes.extend(MASK);
    bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// A CLOSE frame with this code and reason.
fn close(code: u16, reason: &[u8]) -> Vec<u8> {
    frame(FIN | CLOSE, &[&code.to_be_bytes()[..], reason].concat())
}

/// What a server's frames say, in words.
fn told(mut bytes: &[u8]) -> Vec<String> {
    let mut told = Vec::new();
    while let [first, second, ..] = bytes {
        let (length, head) = match second {
            126 => (usize::from(u16::from_be_bytes(bytes[2..4].try_into().expect("2 bytes"))), 4),
            127 => (u64::from_be_bytes(bytes[2..10].try_into().expect("8 bytes")) as usize, 10),
            short => (usize::from(*short), 2),
        };
        let payload = bytes.get(head..head + length).unwrap_or_else(|| panic!("cut off after {told:?}"));
        bytes = &bytes[head + length..];
        told.push(match first & 0x0f {
            TEXT => format!("text {length}"),
            BINARY => format!("binary {length}"),
            PONG => format!("pong {length}"),
            CLOSE if length >= 2 => format!("close {}", u16::from_be_bytes([payload[0], payload[1]])),
            CLOSE => "close".to_owned(),
            other => format!("opcode {other}"),
        });
    }
    assert!(bytes.is_empty(), "a frame is cut off after {told:?}");
    told
}

/// Echoes messages to everybody until the test is over.
fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                if let Ok(socket) = accept(stream) {
                    converse(socket);
                }
            });
        }
    });
    addr
}

fn converse(mut socket: WebSocket<TcpStream>) {
    loop {
        let code = match socket.read() {
            Ok(message) if message.is_text() || message.is_binary() => match socket.send(message) {
                Ok(()) => continue,
                Err(_) => return,
            },
            // Pongs and the answer to a CLOSE go out by themselves.
            Ok(_) => match socket.flush() {
                Ok(()) => continue,
                Err(_) => return,
            },
            Err(Error::Protocol(_)) => CloseCode::Protocol,
            Err(Error::Utf8(_)) => CloseCode::Invalid,
            Err(Error::Capacity(_)) => CloseCode::Size,
            Err(_) => return,
        };
        let _ = socket.close(Some(CloseFrame { code, reason: "".into() }));
        let _ = socket.flush();
        return;
    }
}

fn gate_before(addr: SocketAddr) -> Gate {
    let routes = one_route(&[addr], |_| ());
    start(Config { workers: 1, routes, ..common::config() }).0
}

/// A connection that is a WebSocket.
fn open(addr: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(addr).expect("it listens");
    stream.set_nodelay(true).expect("set");
    stream.set_read_timeout(Some(PATIENCE)).expect("set");
    stream.write_all(ASK.as_bytes()).expect("written");
    let head = head(&mut stream);
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert!(
        head.to_ascii_lowercase().contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="),
        "{head}"
    );
    stream
}

fn head(stream: &mut TcpStream) -> String {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).expect("a head");
        head.extend(byte);
    }
    String::from_utf8(head).expect("text")
}

/// Says all this in pieces, while it hears; what was heard to the end.
fn talk(addr: SocketAddr, said: &[u8], piece: usize) -> Vec<u8> {
    let stream = open(addr);
    let mut writer = stream.try_clone().expect("a descriptor");
    let said = said.to_vec();
    let saying = std::thread::spawn(move || {
        for piece in said.chunks(piece) {
            // The server may close in the middle.
            if writer.write_all(piece).is_err() {
                return;
            }
        }
    });
    let mut heard = Vec::new();
    // A server that closes with unread bytes resets the connection; what it said before that counts.
    let _ = (&stream).read_to_end(&mut heard);
    saying.join().expect("no panic");
    heard
}

fn cases() -> Vec<(&'static str, Vec<u8>, Vec<&'static str>)> {
    let text = |payload: &str| frame(FIN | TEXT, payload.as_bytes());
    let bye = || close(1000, b"");
    let join = |frames: &[Vec<u8>]| frames.concat();
    let kappa = "κόσμε".as_bytes();
    let mut cases = vec![
        ("1.1 an empty text", join(&[text(""), bye()]), vec!["text 0", "close 1000"]),
        ("1.1 the longest short one", join(&[text(&"x".repeat(125)), bye()]), vec!["text 125", "close 1000"]),
        (
            "1.1 the shortest middle one",
            join(&[text(&"x".repeat(126)), bye()]),
            vec!["text 126", "close 1000"],
        ),
        (
            "1.2 the longest middle one",
            join(&[frame(FIN | BINARY, &[0xfe; 65_535]), bye()]),
            vec!["binary 65535", "close 1000"],
        ),
        (
            "1.2 the shortest long one",
            join(&[frame(FIN | BINARY, &[0xfe; 65_536]), bye()]),
            vec!["binary 65536", "close 1000"],
        ),
        ("2.1 a ping", join(&[frame(FIN | PING, b""), bye()]), vec!["pong 0", "close 1000"]),
        (
            "2.3 a ping with bytes",
            join(&[frame(FIN | PING, &[0, 0xff, 0xfe]), bye()]),
            vec!["pong 3", "close 1000"],
        ),
        (
            "2.4 the longest ping",
            join(&[frame(FIN | PING, &[1; 125]), bye()]),
            vec!["pong 125", "close 1000"],
        ),
        ("2.5 a ping that is too long", join(&[frame(FIN | PING, &[1; 126]), bye()]), vec!["close 1002"]),
        (
            "2.7 a pong that nobody asked for",
            join(&[frame(FIN | PONG, b"x"), text("a"), bye()]),
            vec!["text 1", "close 1000"],
        ),
        (
            "3.1 a reserved bit",
            join(&[text("a"), frame(FIN | 0x40 | TEXT, b"b"), bye()]),
            vec!["text 1", "close 1002"],
        ),
        ("4.1 a reserved kind of data", join(&[frame(FIN | 3, b""), bye()]), vec!["close 1002"]),
        ("4.2 a reserved kind of control", join(&[frame(FIN | 11, b""), bye()]), vec!["close 1002"]),
        (
            "5.1 a ping in fragments",
            join(&[frame(PING, b"a"), frame(FIN | CONTINUATION, b"b"), bye()]),
            vec!["close 1002"],
        ),
        (
            "5.3 a text in fragments",
            join(&[frame(TEXT, b"a"), frame(CONTINUATION, b"b"), frame(FIN | CONTINUATION, b"c"), bye()]),
            vec!["text 3", "close 1000"],
        ),
        (
            "5.6 a ping between fragments",
            join(&[frame(TEXT, b"a"), frame(FIN | PING, b"p"), frame(FIN | CONTINUATION, b"b"), bye()]),
            vec!["pong 1", "text 2", "close 1000"],
        ),
        (
            "5.9 a continuation of nothing",
            join(&[frame(FIN | CONTINUATION, b"a"), bye()]),
            vec!["close 1002"],
        ),
        (
            "5.18 a text within a text",
            join(&[frame(TEXT, b"a"), frame(FIN | TEXT, b"b"), bye()]),
            vec!["close 1002"],
        ),
        (
            "6.2 letters of several bytes",
            join(&[frame(FIN | TEXT, kappa), bye()]),
            vec!["text 10", "close 1000"],
        ),
        (
            "6.2 a letter in two fragments",
            join(&[frame(TEXT, &kappa[..3]), frame(FIN | CONTINUATION, &kappa[3..]), bye()]),
            vec!["text 10", "close 1000"],
        ),
        (
            "6.3 bytes that are no text",
            join(&[frame(FIN | TEXT, b"\xce\xba\xed\xa0\x80"), bye()]),
            vec!["close 1007"],
        ),
        (
            "7.1 nothing counts after a close",
            join(&[bye(), text("a"), frame(FIN | PING, b"p")]),
            vec!["close 1000"],
        ),
        ("7.3 a close without a code", join(&[frame(FIN | CLOSE, b"")]), vec!["close"]),
        ("7.3 a close with a reason", join(&[close(1001, b"going away")]), vec!["close 1001"]),
        ("7.3 a close that is too short", join(&[frame(FIN | CLOSE, b"x")]), vec!["close 1002"]),
        ("7.7 a close with a code of one's own", join(&[close(4999, b"")]), vec!["close 4999"]),
        (
            "10.1 many small ones",
            join(&[text("abc").repeat(1_000), bye()]),
            [vec!["text 3"; 1_000], vec!["close 1000"]].concat(),
        ),
    ];
    let megabytes = vec![b'*'; 4 << 20];
    let mut pieces: Vec<Vec<u8>> =
        megabytes.chunks(64 << 10).map(|piece| frame(CONTINUATION, piece)).collect();
    pieces[0][0] = TEXT;
    pieces.push(frame(FIN | CONTINUATION, b""));
    pieces.push(bye());
    cases.push((
        "9.1 four megabytes",
        join(&[frame(FIN | BINARY, &megabytes), bye()]),
        vec!["binary 4194304", "close 1000"],
    ));
    cases.push(("9.3 the same in fragments", pieces.concat(), vec!["text 4194304", "close 1000"]));
    cases
}

#[test]
fn every_conversation_is_the_same_with_the_gate_between() {
    let server = echo();
    let gate = gate_before(server);
    for (name, said, expected) in cases() {
        let direct = talk(server, &said, usize::MAX);
        assert_eq!(told(&direct), expected, "{name}, without the gate");
        let pieces = if said.len() < 2_000 { &[usize::MAX, 1, 7][..] } else { &[usize::MAX, 1_021][..] };
        for piece in pieces {
            let through = talk(gate.local_addr(), &said, *piece);
            assert!(through == direct, "{name} in pieces of {piece}: {:?}", told(&through));
        }
    }
}

#[test]
fn a_client_that_has_said_everything_still_hears_the_answer() {
    let server = echo();
    let gate = gate_before(server);
    for addr in [server, gate.local_addr()] {
        let mut stream = open(addr);
        stream.write_all(&frame(FIN | BINARY, &[7; 100_000])).expect("written");
        stream.shutdown(Shutdown::Write).expect("shut down");
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).expect("heard");
        assert_eq!(told(&heard), ["binary 100000"]);
    }
}

#[test]
fn what_comes_with_the_grant_is_not_lost_and_either_end_may_vanish() {
    const GRANT: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let gate = gate_before(listener.local_addr().expect("bound"));
    let mut client = TcpStream::connect(gate.local_addr()).expect("it listens");
    client.set_read_timeout(Some(PATIENCE)).expect("set");
    client.write_all(ASK.as_bytes()).expect("written");
    let (mut instance, _) = listener.accept().expect("accepted");
    instance.set_read_timeout(Some(PATIENCE)).expect("set");
    head(&mut instance);
    // In one segment with the head, as servers do that greet.
    instance.write_all(format!("{GRANT}\u{1}\u{2}hi").as_bytes()).expect("written");
    head(&mut client);
    let mut greeting = [0; 4];
    client.read_exact(&mut greeting).expect("the greeting");
    assert_eq!(&greeting, b"\x01\x02hi");
    // The client goes without a word: the instance hears the end.
    drop(client);
    assert_eq!(instance.read(&mut greeting).unwrap_or(0), 0);

    let mut client = TcpStream::connect(gate.local_addr()).expect("it listens");
    client.set_read_timeout(Some(PATIENCE)).expect("set");
    client.write_all(ASK.as_bytes()).expect("written");
    let (mut instance, _) = listener.accept().expect("accepted");
    head(&mut instance);
    instance.write_all(GRANT.as_bytes()).expect("written");
    head(&mut client);
    drop(instance);
    assert_eq!(client.read(&mut greeting).unwrap_or(0), 0, "and the other way round");
}

#[test]
fn extensions_and_subprotocols_are_agreed_on_end_to_end() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let gate = gate_before(listener.local_addr().expect("bound"));
    let mut client = TcpStream::connect(gate.local_addr()).expect("it listens");
    client.set_read_timeout(Some(PATIENCE)).expect("set");
    let more = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\nSec-WebSocket-Protocol: chat, superchat\r\nOrigin: http://shop\r\n\r\n";
    client.write_all(ASK.replace("\r\n\r\n", &format!("\r\n{more}")).as_bytes()).expect("written");
    let (mut instance, _) = listener.accept().expect("accepted");
    let asked = head(&mut instance);
    for line in more.lines().filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(": ").expect("a field");
        assert_eq!(common::field(&asked, &name.to_ascii_lowercase()), Some(value), "{asked}");
    }
    let grant = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Extensions: permessage-deflate\r\nSec-WebSocket-Protocol: chat\r\n\r\n";
    instance.write_all(grant.as_bytes()).expect("written");
    let granted = head(&mut client);
    assert_eq!(common::field(&granted, "sec-websocket-extensions"), Some("permessage-deflate"));
    assert_eq!(common::field(&granted, "sec-websocket-protocol"), Some("chat"));
}

/// Over HTTP/2 there are none (RFC 8441): the gate does not offer what they need, and so clients ask over HTTP/1.1.
#[tokio::test]
async fn over_http2_they_are_not_offered() {
    let gate = gate_before(common::dead_addr().await);
    let mut client = common::frames::Frames::connect(&gate).await;
    let settings = client.next().await.expect("a frame");
    assert_eq!(settings.kind, common::frames::SETTINGS);
    let ids: Vec<u16> =
        settings.payload.chunks(6).map(|setting| u16::from_be_bytes([setting[0], setting[1]])).collect();
    const ENABLE_CONNECT_PROTOCOL: u16 = 8;
    assert!(!ids.contains(&ENABLE_CONNECT_PROTOCOL), "{ids:?}");
}
