//! An instance that keeps every byte it is sent, and answers what a strict server takes for a request.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::views::Reader;

/// Bytes that one connection may send: more is no test of this kind.
const BYTES_MAX: usize = 4 << 20;

/// What one connection carried.
type Stream = Arc<Mutex<Vec<u8>>>;

/// Everything that came, by connection.
#[derive(Clone, Default)]
pub struct Streams(Arc<Mutex<Vec<Stream>>>);

impl Streams {
    /// What came so far.
    pub fn taken(&self) -> Vec<Vec<u8>> {
        let streams = self.0.lock().expect("not poisoned");
        streams.iter().map(|stream| stream.lock().expect("not poisoned").clone()).collect()
    }
}

/// Listens until the test is over.
pub async fn record() -> (SocketAddr, Streams) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = listener.local_addr().expect("bound");
    let streams = Streams::default();
    let kept = streams.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let bytes = Stream::default();
            kept.0.lock().expect("not poisoned").push(Arc::clone(&bytes));
            tokio::spawn(serve(stream, bytes));
        }
    });
    (addr, streams)
}

async fn serve(mut stream: TcpStream, kept: Stream) {
    let (mut piece, mut answered) = (vec![0; 16 * 1024], 0);
    loop {
        let Ok(read @ 1..) = stream.read(&mut piece).await else { return };
        let answers = {
            let mut bytes = kept.lock().expect("not poisoned");
            if bytes.len() > BYTES_MAX {
                return;
            }
            bytes.extend(&piece[..read]);
            let mut answers = String::new();
            while let Some((seen, length)) = Reader::Strict.first(&bytes[answered..]) {
                answered += length;
                let body = if seen.line.starts_with("HEAD ") { "" } else { "ok" };
                // The request after a case is told from the case.
                let mark = if seen.line.ends_with(" /last") { "X-Last: 1\r\n" } else { "" };
                answers += &format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n{mark}\r\n{body}");
            }
            answers
        };
        if stream.write_all(answers.as_bytes()).await.is_err() {
            return;
        }
    }
}
