//! A threaded HTTP/1.1 server over std that panics on purpose: once, or in a storm.
//!
//!   PORT=8080 ./panics
//!
//! Every panic is caught and answered 500, as web frameworks do it. Panics print nothing: in a storm that would be the load.

use std::hint::black_box;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Panics in one answer of a storm.
const GUST: u32 = 20;

#[derive(Debug)]
struct Order {
    id: u32,
    items: Vec<u32>,
}

#[inline(never)]
fn third_item(order: &Order) -> u32 {
    black_box(order.id);
    order.items[black_box(2)] // the site
}

/// Another stack for every depth: to us, another error.
#[inline(never)]
fn deep(depth: u32) -> u32 {
    match depth {
        0 => third_item(&Order { id: 7, items: vec![1, 2] }),
        depth => black_box(deep(depth - 1)) + 1,
    }
}

fn route(path: &str) -> u32 {
    if path == "/panic" {
        return third_item(black_box(&Order { id: 41, items: vec![1] }));
    }
    if let Some(seed) = path.strip_prefix("/storm/") {
        let seed: u32 = seed.parse().unwrap_or(0);
        for gust in 0..GUST {
            let _ = catch_unwind(|| deep(seed.wrapping_add(gust) % 40));
        }
        return deep(seed % 40);
    }
    0
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
    let path = text.split(' ').nth(1).unwrap_or("/");
    let (status, body) = match catch_unwind(AssertUnwindSafe(|| route(path))) {
        Ok(number) => ("200 OK", number.to_string()),
        Err(_) => ("500 Internal Server Error", "the service's own answer to a panic".to_owned()),
    };
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    let _ = stream.write_all(format!("{head}{body}").as_bytes());
}

fn main() {
    std::panic::set_hook(Box::new(|_| {}));
    let port: u16 = std::env::var("PORT").ok().and_then(|port| port.parse().ok()).unwrap_or(0);
    let listener = TcpListener::bind(("127.0.0.1", port)).expect("a free port");
    for stream in listener.incoming().flatten() {
        std::thread::spawn(move || serve(stream));
    }
}
