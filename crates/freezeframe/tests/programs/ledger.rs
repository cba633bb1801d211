//! An HTTP/1.1 server over std whose one route panics in the midst of long and deep values.
//!
//!   PORT=8080 ./ledger

use std::collections::BTreeMap;
use std::hint::black_box;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

struct Entry {
    cents: u64,
    note: String,
}

struct Ledger {
    owner: String,
    entries: Vec<Entry>,
    by_name: BTreeMap<String, u32>,
    chain: Option<Box<Link>>,
}

struct Link {
    depth: u32,
    next: Option<Box<Link>>,
}

fn ledger() -> Ledger {
    let entry = |number: u64| Entry { cents: number * 7, note: format!("entry {number}") };
    let mut chain = None;
    for depth in (0..12).rev() {
        chain = Some(Box::new(Link { depth, next: chain }));
    }
    Ledger {
        owner: "Grace".to_owned(),
        entries: (0..1000).map(entry).collect(),
        by_name: (0..100u32).map(|number| (format!("key {number:03}"), number)).collect(),
        chain,
    }
}

#[inline(never)]
fn close(ledger: &Ledger) -> u64 {
    let total: u64 = ledger.entries.iter().map(|entry| entry.cents).sum();
    black_box((ledger.owner.len(), ledger.by_name.len(), ledger.chain.is_some()));
    for entry in &ledger.entries {
        black_box(&entry.note);
    }
    let mut link = ledger.chain.as_deref();
    while let Some(next) = link {
        black_box(next.depth);
        link = next.next.as_deref();
    }
    assert!(black_box(total) == 0, "the books do not balance"); // the site
    total
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
    let path = String::from_utf8_lossy(&bytes).into_owned();
    let body = if path.starts_with("GET /close ") { close(black_box(&ledger())) } else { 0 };
    let body = body.to_string();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    let _ = stream.write_all(format!("{head}{body}").as_bytes());
}

fn main() {
    let port: u16 = std::env::var("PORT").ok().and_then(|port| port.parse().ok()).unwrap_or(0);
    let listener = TcpListener::bind(("127.0.0.1", port)).expect("a free port");
    for stream in listener.incoming().flatten() {
        std::thread::spawn(move || serve(stream));
    }
}
