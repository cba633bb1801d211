//! What the proxies are in front of: two fixed answers, a thread per connection, nothing else.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use crate::error::BenchError;

pub(super) const SMALL: &str = "/small";
pub(super) const LARGE: &str = "/large";
/// Longest head of a request; proxies add a few fields.
const HEAD_MAX: usize = 16 * 1024;

/// Listens until the process ends.
pub(super) fn start() -> Result<SocketAddr, BenchError> {
    let listener =
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(BenchError::io("no port for the upstream"))?;
    let address = listener.local_addr().map_err(BenchError::io("no port for the upstream"))?;
    let answers = Arc::new([answer(512), answer(64 * 1024)]);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let answers = Arc::clone(&answers);
            std::thread::spawn(move || serve(stream, &answers));
        }
    });
    Ok(address)
}

fn answer(bytes: usize) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {bytes}\r\n\r\n");
    let mut answer = head.into_bytes();
    answer.resize(answer.len() + bytes, b'x');
    answer
}

fn serve(mut stream: TcpStream, [small, large]: &[Vec<u8>; 2]) {
    let _ = stream.set_nodelay(true);
    let mut head = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let Ok(read @ 1..) = stream.read(&mut piece) else { return };
        head.extend_from_slice(piece.get(..read).unwrap_or_default());
        // Proxies do not pipeline: what ends with an empty line is one request.
        if head.ends_with(b"\r\n\r\n") {
            let answer = if head.starts_with(b"GET /large") { large } else { small };
            if stream.write_all(answer).is_err() {
                return;
            }
            head.clear();
        }
        if head.len() > HEAD_MAX {
            return;
        }
    }
}
