//! Closed-loop load: each client has one connection, sends, waits for the answer, sends again.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use crate::http::{self, Answer, Connection};
use crate::process;

/// How often a client that waits looks whether its server is still there.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// A request that is not answered for so long is lost.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// Losses that are described.
const DESCRIBED_MAX: usize = 5;

/// Something to send again and again.
pub(crate) struct Request {
    bytes: Vec<u8>,
    is_get: bool,
}

impl Request {
    pub(crate) fn get(path: &str) -> Self {
        Self { bytes: http::request("GET", path, "", ""), is_get: true }
    }

    pub(crate) fn post(path: &str) -> Self {
        Self { bytes: http::request("POST", path, "", "{\"quantity\": 1}"), is_get: false }
    }
}

/// The servers that requests go to directly; they change when one is held and another takes its place.
pub(crate) struct Targets {
    addresses: RwLock<Vec<SocketAddr>>,
    generation: AtomicU64,
}

impl Targets {
    pub(crate) fn new(addresses: impl IntoIterator<Item = SocketAddr>) -> Arc<Self> {
        let addresses = RwLock::new(addresses.into_iter().collect());
        Arc::new(Self { addresses, generation: AtomicU64::new(0) })
    }

    /// From now on these.
    pub(crate) fn set(&self, now: Vec<SocketAddr>) {
        let mut addresses = self.addresses.write().unwrap_or_else(PoisonError::into_inner);
        if *addresses != now && !now.is_empty() {
            *addresses = now;
            self.generation.fetch_add(1, Ordering::Release);
        }
    }

    fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    fn contains(&self, address: SocketAddr) -> bool {
        self.addresses.read().unwrap_or_else(PoisonError::into_inner).contains(&address)
    }

    /// Clients are spread evenly.
    fn of_client(&self, client: usize) -> Option<SocketAddr> {
        let addresses = self.addresses.read().unwrap_or_else(PoisonError::into_inner);
        addresses.get(client % addresses.len().max(1)).copied()
    }
}

/// What clients met.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) answered: u64,
    /// One per answer, in microseconds.
    pub(crate) latencies_us: Vec<u32>,
    pub(crate) lost_gets: u64,
    pub(crate) lost_posts: u64,
    /// Given up because the server was taken out of service: the gate would have dealt with these.
    pub(crate) interrupted: u64,
    /// The first losses in words.
    pub(crate) losses: Vec<String>,
}

impl Tally {
    /// Puts both together.
    pub(crate) fn add(&mut self, other: Self) {
        self.answered += other.answered;
        self.latencies_us.extend(other.latencies_us);
        self.lost_gets += other.lost_gets;
        self.lost_posts += other.lost_posts;
        self.interrupted += other.interrupted;
        self.losses.extend(other.losses);
        self.losses.truncate(DESCRIBED_MAX);
    }

    fn lose(&mut self, request: &Request, why: impl FnOnce() -> String) {
        *(if request.is_get { &mut self.lost_gets } else { &mut self.lost_posts }) += 1;
        if self.losses.len() < DESCRIBED_MAX {
            self.losses.push(format!("{}: {}", if request.is_get { "GET" } else { "POST" }, why()));
        }
    }

    /// In microseconds; this share of answers took no longer.
    pub(crate) fn latency_us(&mut self, share: f64) -> f64 {
        self.latencies_us.sort_unstable();
        let at = (self.latencies_us.len() as f64 * share).ceil() as usize;
        self.latencies_us.get(at.max(1) - 1).map_or(f64::NAN, |us| f64::from(*us))
    }
}

/// One client: a connection to its target, kept as long as both ends like.
pub(crate) struct Client<'a> {
    number: usize,
    targets: &'a Targets,
    generation: u64,
    connected: Option<(SocketAddr, Connection<TcpStream>)>,
}

impl<'a> Client<'a> {
    pub(crate) fn new(number: usize, targets: &'a Targets) -> Self {
        Self { number, targets, generation: u64::MAX, connected: None }
    }

    /// Sends and waits. `Ok(None)`: the server was taken out of service meanwhile.
    pub(crate) fn ask(&mut self, request: &[u8]) -> io::Result<Option<Answer>> {
        let generation = self.targets.generation();
        let target = self.targets.of_client(self.number).ok_or(io::ErrorKind::AddrNotAvailable)?;
        if self.generation != generation {
            self.generation = generation;
            self.connected = self.connected.take().filter(|(address, _)| *address == target);
        }
        let (address, mut connection) = match self.connected.take() {
            Some(connected) => connected,
            None => (target, connect(target)?),
        };
        let sent = Instant::now();
        let targets = self.targets;
        let mut gone = false;
        let answered = connection.exchange(request, || {
            gone = targets.generation() != generation && !targets.contains(address);
            !gone && sent.elapsed() < ANSWER_LIMIT && !process::is_interrupted()
        });
        match answered {
            Ok(answer) => {
                if answer.keeps_alive {
                    self.connected = Some((address, connection));
                }
                Ok(Some(answer))
            }
            Err(_) if gone || !targets.contains(address) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn connect(address: SocketAddr) -> io::Result<Connection<TcpStream>> {
    let stream = TcpStream::connect_timeout(&address, Duration::from_secs(2))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(LOOK_EVERY))?;
    Ok(Connection::new(stream))
}

/// One request on a connection of its own.
pub(crate) fn ask(address: SocketAddr, method: &str, path: &str, body: &str) -> io::Result<Answer> {
    ask_with(address, method, path, "", body)
}

/// As [`ask`], with header lines, each ended by CRLF.
pub(crate) fn ask_with(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> io::Result<Answer> {
    let sent = Instant::now();
    let request = http::request(method, path, headers, body);
    connect(address)?.exchange(&request, || sent.elapsed() < ANSWER_LIMIT && !process::is_interrupted())
}

/// When clients end.
#[derive(Clone, Copy)]
pub(crate) enum Until<'a> {
    At(Instant),
    Told(&'a AtomicBool),
}

impl Until<'_> {
    pub(crate) fn is_over(self) -> bool {
        process::is_interrupted()
            || match self {
                Self::At(end) => Instant::now() >= end,
                Self::Told(over) => over.load(Ordering::Relaxed),
            }
    }
}

/// So many clients at once, each going through `mix` from another place.
pub(crate) fn closed_loop(targets: &Targets, clients: usize, mix: &[Request], until: Until<'_>) -> Tally {
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..clients)
            .map(|number| {
                scope.spawn(move || run_client(Client::new(number, targets), number * 7, mix, until))
            })
            .collect();
        let mut all = Tally::default();
        for client in running {
            match client.join() {
                Ok(tally) => all.add(tally),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        all
    })
}

fn run_client(mut client: Client<'_>, from: usize, mix: &[Request], until: Until<'_>) -> Tally {
    let mut tally = Tally::default();
    for request in mix.iter().cycle().skip(from) {
        if until.is_over() {
            break;
        }
        let sent = Instant::now();
        match client.ask(&request.bytes) {
            Ok(Some(answer)) if answer.status < 500 => {
                tally.answered += 1;
                tally.latencies_us.push(u32::try_from(sent.elapsed().as_micros()).unwrap_or(u32::MAX));
            }
            Ok(Some(answer)) => tally.lose(request, || {
                let text = String::from_utf8_lossy(&answer.body).into_owned();
                format!("{} {} after {:?}", answer.status, text.trim(), sent.elapsed())
            }),
            Ok(None) => tally.interrupted += 1,
            Err(_) if until.is_over() => {}
            Err(error) => {
                tally.lose(request, || format!("{error} after {:?}", sent.elapsed()));
                // A server that refuses connections must not be asked a million times a second.
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }
    tally
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    fn listen() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    /// Answers what comes on one connection until its client closes it.
    fn answer_all(listener: &TcpListener, answer: &str) {
        let (mut stream, _) = listener.accept().unwrap();
        let mut buffer = [0; 1024];
        while stream.read(&mut buffer).is_ok_and(|length| length > 0) {
            stream.write_all(answer.as_bytes()).unwrap();
        }
    }

    #[test]
    fn a_client_leaves_a_server_that_was_taken_out_of_service() {
        let (held, held_address) = listen();
        let (spare, spare_address) = listen();
        let targets = Targets::new([held_address]);
        let over = AtomicBool::new(false);
        let tally = std::thread::scope(|scope| {
            let targets = &targets;
            let load = scope.spawn(|| closed_loop(targets, 1, &[Request::get("/")], Until::Told(&over)));
            // The request has arrived, and will never be answered.
            let _silent = held.accept().unwrap();
            targets.set(vec![spare_address]);
            answer_all(&spare, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            over.store(true, Ordering::Relaxed);
            // Whoever comes too late for an answer is let go.
            drop(spare);
            load.join().unwrap()
        });
        assert_eq!((tally.interrupted, tally.lost_gets, tally.lost_posts), (1, 0, 0));
        assert_eq!(tally.answered, 1);
    }

    #[test]
    fn server_errors_are_losses_by_method() {
        let (server, address) = listen();
        let over = AtomicBool::new(false);
        let targets = Targets::new([address]);
        let tally = std::thread::scope(|scope| {
            let over = &over;
            scope.spawn(move || {
                answer_all(
                    &server,
                    "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 4\r\nConnection: close\r\n\r\ngone",
                );
                answer_all(&server, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                over.store(true, Ordering::Relaxed);
                // Whoever comes too late for an answer is let go.
                drop(server);
            });
            closed_loop(&targets, 1, &[Request::post("/"), Request::get("/")], Until::Told(over))
        });
        assert_eq!((tally.lost_posts, tally.answered), (1, 1));
        assert!(tally.losses.iter().any(|loss| loss.starts_with("POST: 502 gone")), "{:?}", tally.losses);
    }
}
