//! A threaded HTTP/1.1 server over std whose every text is an attack on whoever reads it: it logs, is called and fails in control
//! sequences.
//!
//!   PORT=8080 ./hostile

use std::hint::black_box;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

/// Clears the screen, sets the title, writes to the clipboard, turns text around, is invisible; as C0 and as C1 controls.
const EVIL: &str = "\x1b[2J\x1b]0;owned\x07\x1b]52;c;b3duZWQ=\x07\u{9b}31m\u{202e}\u{2066}\u{200b}\u{e0041}\x08\r\x7fPLANTED";

#[derive(Debug)]
struct User {
    name: String,
    address: Vec<String>,
}

#[inline(never)]
fn greet(user: &User, unused: &str) -> u32 {
    let name = black_box(&user.name);
    let said = format!("no greeting for {name}{unused}");
    black_box(&user.address);
    black_box(&said);
    panic!("{said}"); // the site
}

fn route(path: &str) -> u32 {
    if path != "/greet" {
        return 0;
    }
    let long = "long ".repeat(5_000);
    println!("stdout {EVIL}");
    eprintln!("stderr {EVIL} {long}");
    // What is no text at all: C1 controls as single bytes.
    let _ = std::io::stdout().write_all(b"bytes \x9b2J\x9d0;owned\x9c \xff\xfe PLANTED\n");
    greet(&User { name: format!("Mallory {EVIL}"), address: vec![EVIL.to_owned(), long] }, EVIL)
}

fn serve(mut stream: TcpStream) {
    let mut bytes = Vec::new();
    let mut buffer = [0; 2048];
    while !bytes.windows(4).any(|window| window == b"\r\n\r\n") {
        match stream.read(&mut buffer) {
            Ok(length) if length > 0 && bytes.len() < 64 * 1024 => bytes.extend_from_slice(&buffer[..length]),
            _ => return,
        }
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let path = text.split([' ', '?']).nth(1).unwrap_or("/");
    let body = route(path).to_string();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    let _ = stream.write_all(format!("{head}{body}").as_bytes());
}

fn main() {
    let port: u16 = std::env::var("PORT").ok().and_then(|port| port.parse().ok()).unwrap_or(0);
    let listener = TcpListener::bind(("127.0.0.1", port)).expect("a free port");
    for stream in listener.incoming().flatten() {
        let named = std::thread::Builder::new().name("\x1b[2J\u{9b}1m\r\x07PLANT".to_owned());
        named.spawn(move || serve(stream)).expect("a thread");
    }
}
