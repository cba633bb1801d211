//! A server that works on so many requests at a time, in the order in which they come, each for as long as it says itself. What
//! waits, waits without end. It notices that a client has gone, as asynchronous servers do.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::error::BenchError;

/// Longest head of a request.
const HEAD_MAX: usize = 16 * 1024;
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n";

/// A server on a thread of its own; it ends with its runtime when this is dropped.
pub(super) struct Upstream {
    pub(super) address: SocketAddr,
    _runtime: tokio::runtime::Runtime,
}

impl Upstream {
    pub(super) fn start(workers: usize) -> Result<Self, BenchError> {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime =
            runtime.worker_threads(1).enable_all().build().map_err(BenchError::io("the upstream"))?;
        let listener = runtime
            .block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
            .map_err(BenchError::io("no port for the upstream"))?;
        let address = listener.local_addr().map_err(BenchError::io("no port for the upstream"))?;
        let places = Arc::new(Semaphore::new(workers));
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&places)));
            }
        });
        Ok(Self { address, _runtime: runtime })
    }
}

async fn serve(mut stream: TcpStream, places: Arc<Semaphore>) {
    let _ = stream.set_nodelay(true);
    let mut head = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let Ok(read @ 1..) = stream.read(&mut piece).await else { return };
        head.extend_from_slice(piece.get(..read).unwrap_or_default());
        if head.len() > HEAD_MAX {
            return;
        }
        if !head.ends_with(b"\r\n\r\n") {
            continue;
        }
        let work = work_of(&head);
        head.clear();
        let done = async {
            let Ok(_place) = places.acquire().await else { return };
            tokio::time::sleep(work).await;
        };
        tokio::select! {
            // Nothing is sent before the answer: what can be read is the end.
            _ = stream.read(&mut piece) => return,
            () = done => {}
        }
        if stream.write_all(ANSWER).await.is_err() {
            return;
        }
    }
}

/// The number after `us=` in the target.
fn work_of(head: &[u8]) -> Duration {
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let text = String::from_utf8_lossy(line);
    let us = text.split("us=").nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok());
    Duration::from_micros(us.unwrap_or(0))
}
