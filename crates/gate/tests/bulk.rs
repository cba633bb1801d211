//! Large bodies in bounded memory, in a process of their own so that memory can be measured.
#![allow(missing_docs)]

mod common;

use common::*;
use freezeframe_model::InstanceId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const BODY: usize = 50 * 1024 * 1024;
/// What a gate that buffers nothing whole may use more than before.
const GROWTH_MAX: u64 = 16 * 1024 * 1024;

/// The most memory that this process ever had, in bytes.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("there on every Linux");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
}

/// Bytes that differ, so that a piece that is lost or doubled shows.
fn pattern(at: usize) -> u8 {
    (at % 251) as u8
}

async fn send_body(stream: &mut TcpStream) {
    let block: Vec<u8> = (0..251 * 256).map(pattern).collect();
    let mut left = BODY;
    while left > 0 {
        let piece = &block[..left.min(block.len())];
        patiently("room", stream.write_all(piece)).await.expect("written");
        left -= piece.len();
    }
}

async fn check_body(stream: &mut TcpStream) {
    let (mut at, mut piece) = (0, vec![0; 256 * 1024]);
    while at < BODY {
        let read = patiently("bytes", stream.read(&mut piece)).await.expect("read");
        assert!(read > 0, "ended after {at}");
        assert!(
            piece[..read].iter().enumerate().all(|(i, byte)| *byte == pattern(at + i)),
            "changed at {at}"
        );
        at += read;
    }
    assert_eq!(at, BODY);
}

/// Reads a head byte by byte, so that nothing of the body is taken with it.
async fn skip_head(stream: &mut TcpStream) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(patiently("a head", stream.read_u8()).await.expect("read"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_mebibytes_pass_both_ways_in_bounded_memory() {
    let (gate, _) = start(config());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    gate.route(InstanceId(1), listener.local_addr().expect("bound"));
    let mut client = TcpStream::connect(gate.local_addr()).await.expect("the gate listens");
    let before = peak_memory();
    let head = format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {BODY}\r\n\r\n");
    client.write_all(head.as_bytes()).await.expect("written");
    let (mut instance, _) = patiently("a connection", listener.accept()).await.expect("accepted");
    skip_head(&mut instance).await;
    // The instance does not read: the client must get stuck long before it has sent everything.
    {
        let mut sending = std::pin::pin!(send_body(&mut client));
        let stuck = tokio::time::timeout(std::time::Duration::from_millis(300), sending.as_mut()).await;
        assert!(stuck.is_err(), "50 MiB went into buffers");
        tokio::join!(sending, check_body(&mut instance));
    }
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {BODY}\r\n\r\n");
    instance.write_all(head.as_bytes()).await.expect("written");
    skip_head(&mut client).await;
    tokio::join!(send_body(&mut instance), check_body(&mut client));
    let growth = peak_memory().saturating_sub(before);
    assert!(growth < GROWTH_MAX, "{growth} bytes more");
}
