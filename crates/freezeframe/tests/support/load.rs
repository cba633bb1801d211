//! Clients that ask all the time, and what became of each request: as they saw it, and as the service's journal has it.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::{LIMIT, wait_for};

const CLIENTS: u64 = 8;
/// Requests of one client.
const EACH_MAX: u64 = 100_000;

/// What kind of request it is, as far as it matters for sending it twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Doing it twice is the same as once.
    Get,
    /// With an `Idempotency-Key`: the service would notice.
    KeyedPost,
    /// Never twice.
    Post,
}

/// One request, as its client saw it.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) kind: Kind,
    pub(crate) id: String,
    /// The status, or how the connection ended.
    pub(crate) result: Result<u16, String>,
    /// What the gate said where it answered itself.
    pub(crate) words: String,
    pub(crate) at: Instant,
}

/// Clients that go on until they are told.
pub(crate) struct Load {
    over: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    threads: Vec<JoinHandle<(Vec<Sent>, u64)>>,
}

impl Load {
    /// Each client has one connection for as long as the gate keeps it; a third of the requests take some milliseconds.
    pub(crate) fn start(gate: SocketAddr) -> Self {
        let (over, answered) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let client = |number| {
            let (over, answered) = (over.clone(), answered.clone());
            std::thread::spawn(move || client(gate, number, &over, &answered))
        };
        let threads = (0..CLIENTS).map(client).collect();
        Self { over, answered, threads }
    }

    /// Until so many further requests were answered.
    pub(crate) fn wait_answered(&self, more: u64) {
        let wanted = self.answered.load(Ordering::Relaxed) + more;
        wait_for("answers", || {
            let answered = self.answered.load(Ordering::Relaxed);
            if answered >= wanted { Ok(()) } else { Err(format!("{answered} of {wanted}")) }
        });
    }

    /// Every request, and how many connections it took.
    pub(crate) fn stop(self) -> (Vec<Sent>, u64) {
        self.over.store(true, Ordering::Relaxed);
        let (mut sent, mut connections) = (Vec::new(), 0);
        for thread in self.threads {
            let (more, opened) = thread.join().expect("no panic");
            sent.extend(more);
            connections += opened;
        }
        (sent, connections - CLIENTS)
    }
}

fn client(gate: SocketAddr, number: u64, over: &AtomicBool, answered: &AtomicU64) -> (Vec<Sent>, u64) {
    let (mut sent, mut connection, mut opened) = (Vec::new(), None, 0);
    for turn in 0..EACH_MAX {
        if over.load(Ordering::Relaxed) {
            break;
        }
        let kind = [Kind::Get, Kind::Post, Kind::Get, Kind::KeyedPost][(turn % 4) as usize];
        let id = format!("{number}-{turn}");
        let ms = if turn % 3 == 0 { 5 } else { 0 };
        let reader = connection.take().map_or_else(
            || {
                opened += 1;
                open(gate).map_err(|error| error.to_string())
            },
            Ok,
        );
        let result = reader.and_then(|mut reader| {
            let answer = ask(&mut reader, kind, &id, ms).map_err(|error| error.to_string())?;
            connection = Some(reader);
            Ok(answer)
        });
        let (result, words) = match result {
            Ok((status, body)) => (Ok(status), body),
            Err(error) => (Err(error), String::new()),
        };
        answered.fetch_add(u64::from(result.is_ok()), Ordering::Relaxed);
        sent.push(Sent { kind, id, result, words, at: Instant::now() });
    }
    (sent, opened)
}

fn open(gate: SocketAddr) -> std::io::Result<BufReader<TcpStream>> {
    let stream = TcpStream::connect_timeout(&gate, Duration::from_secs(5))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(LIMIT))?;
    Ok(BufReader::new(stream))
}

fn ask(reader: &mut BufReader<TcpStream>, kind: Kind, id: &str, ms: u64) -> std::io::Result<(u16, String)> {
    let (method, fields) = match kind {
        Kind::Get => ("GET", String::new()),
        Kind::Post => ("POST", "content-length: 2\r\n\r\nhi".to_owned()),
        Kind::KeyedPost => ("POST", format!("idempotency-key: {id}\r\ncontent-length: 2\r\n\r\nhi")),
    };
    let fields = if fields.is_empty() { "\r\n".to_owned() } else { fields };
    let head = format!("{method} /job/{id}/{ms} HTTP/1.1\r\nhost: a\r\n{fields}");
    reader.get_mut().write_all(head.as_bytes())?;
    let malformed = |line: &str| std::io::Error::other(format!("not an answer: {line:?}"));
    let (mut line, mut status, mut length) = (String::new(), None, 0);
    while reader.read_line(&mut line)? > 2 {
        match line.split_once(':') {
            None => status = line.split(' ').nth(1).and_then(|status| status.parse().ok()),
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.trim().parse().map_err(|_| malformed(&line))?;
            }
            Some(_) => {}
        }
        line.clear();
    }
    let status = status.ok_or_else(|| malformed(&line))?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

/// How often each request was begun and ended, as the service itself wrote it down.
pub(crate) fn journal(path: &Path) -> HashMap<String, (u32, u32)> {
    let mut counts: HashMap<String, (u32, u32)> = HashMap::new();
    for line in std::fs::read_to_string(path).expect("a journal").lines() {
        let (what, id) = line.split_once(' ').unwrap_or_else(|| panic!("a mixed line: {line:?}"));
        let (begun, ended) = counts.entry(id.to_owned()).or_default();
        match what {
            "begin" => *begun += 1,
            "end" => *ended += 1,
            other => panic!("a mixed line: {other:?}"),
        }
    }
    counts
}
