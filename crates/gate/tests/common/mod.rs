//! Both ends of the gate by hand: clients and instances that say exactly the bytes a test wants.
#![allow(dead_code, missing_docs, unreachable_pub)]

pub mod cases;
pub mod frames;
pub mod recorder;
pub mod views;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use freezeframe_gate::{Config, Gate, Observer, Route, RouteTable, Service, Upstream, Upstreams};
use freezeframe_model::{Exchange, InFlight, InstanceId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

/// Longer than anything here takes; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(20);

pub async fn patiently<F: Future>(what: &str, future: F) -> F::Output {
    timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("waited in vain for {what}"))
}

/// Remembers every exchange.
#[derive(Default)]
pub struct Recorder {
    seen: Mutex<Vec<Exchange>>,
    count: watch::Sender<usize>,
}

impl Observer for Recorder {
    fn exchange(&self, exchange: &Exchange) {
        self.seen.lock().expect("not poisoned").push(exchange.clone());
        self.count.send_modify(|count| *count += 1);
    }
}

impl Recorder {
    /// How many there are so far.
    pub fn count(&self) -> usize {
        *self.count.borrow()
    }

    /// The first `n` exchanges, once there are so many.
    pub async fn first(&self, n: usize) -> Vec<Exchange> {
        let mut count = self.count.subscribe();
        patiently("exchanges", count.wait_for(|count| *count >= n)).await.expect("the sender lives");
        self.seen.lock().expect("not poisoned").clone()
    }
}

pub fn config() -> Config {
    Config { workers: 2, ..Config::new(([127, 0, 0, 1], 0).into()) }
}

pub fn start(config: Config) -> (Gate, Arc<Recorder>) {
    let recorder = Arc::new(Recorder::default());
    (Gate::start(config, Arc::clone(&recorder) as _).expect("a free port"), recorder)
}

/// A service with these fixed upstreams.
pub fn service(name: &str, upstreams: &[SocketAddr]) -> Service {
    let upstreams = upstreams.iter().copied().map(Upstream::from).collect();
    Service::new(name, Upstreams::Fixed(upstreams))
}

/// A table whose one route leads to one service with these upstreams.
pub fn one_route(upstreams: &[SocketAddr], change: impl FnOnce(&mut Route)) -> RouteTable {
    let mut route = Route::to("shop");
    change(&mut route);
    RouteTable { services: vec![service("shop", upstreams)], routes: vec![route] }
}

/// The same, where the service takes so many requests at a time per instance and lets so many wait.
pub fn bounded(
    upstreams: &[SocketAddr],
    in_flight_max: u32,
    queue_max: u32,
    change: impl FnOnce(&mut Route),
) -> RouteTable {
    let mut table = one_route(upstreams, change);
    for service in &mut table.services {
        (service.in_flight_max, service.queue_max) = (Some(in_flight_max), queue_max);
    }
    table
}

/// A gate with one instance, number 1.
pub async fn start_with_backend() -> (Gate, Arc<Recorder>, Backend) {
    let (gate, recorder) = start(config());
    let backend = Backend::bind().await;
    gate.route(InstanceId(1), backend.addr);
    (gate, recorder, backend)
}

/// Calls a function that blocks, without stopping the test's own tasks.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("no panic")
}

/// The requests of an instance, once there are `n`.
pub async fn in_flight(gate: &Gate, instance: InstanceId, n: usize) -> Vec<InFlight> {
    patiently("requests in flight", async {
        loop {
            let found = gate.in_flight(instance);
            if found.len() == n {
                return found;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}

/// An instance that does what the test says.
pub struct Backend {
    listener: TcpListener,
    pub addr: SocketAddr,
}

impl Backend {
    pub async fn bind() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr = listener.local_addr().expect("bound");
        Self { listener, addr }
    }

    /// The gate's next connection.
    pub async fn accept(&self) -> Wire {
        Wire::new(patiently("a connection", self.listener.accept()).await.expect("accepted").0)
    }

    /// The gate's next connection, and the head of its first request.
    pub async fn request(&self) -> (Wire, String) {
        let mut wire = self.accept().await;
        let head = wire.head().await;
        (wire, head)
    }
}

/// A port on which nobody listens.
pub async fn dead_addr() -> SocketAddr {
    Backend::bind().await.addr
}

/// One end of a connection.
pub struct Wire {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Wire {
    pub fn new(stream: TcpStream) -> Self {
        Self { stream, read: Vec::new() }
    }

    pub async fn connect(gate: &Gate) -> Self {
        Self::new(TcpStream::connect(gate.local_addr()).await.expect("the gate listens"))
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        patiently("a write", self.stream.write_all(bytes.as_ref())).await.expect("written");
    }

    /// False where the other end is gone.
    pub async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        patiently("a write", self.stream.write_all(bytes.as_ref())).await.is_ok()
    }

    pub async fn finish(&mut self) {
        self.stream.shutdown().await.expect("shut down");
    }

    /// More bytes; false at the end of the stream, however it came.
    async fn more(&mut self) -> bool {
        let mut piece = [0; 16 * 1024];
        let read = patiently("bytes", self.stream.read(&mut piece)).await.unwrap_or(0);
        self.read.extend(&piece[..read]);
        read > 0
    }

    pub async fn take(&mut self, n: usize) -> Vec<u8> {
        while self.read.len() < n {
            assert!(self.more().await, "the stream ended after {:?}", String::from_utf8_lossy(&self.read));
        }
        self.read.drain(..n).collect()
    }

    /// So many bytes, unless the stream ends before.
    pub async fn try_take(&mut self, n: usize) -> Option<Vec<u8>> {
        while self.read.len() < n {
            if !self.more().await {
                return None;
            }
        }
        Some(self.read.drain(..n).collect())
    }

    /// Everything up to and with `end`.
    pub async fn until(&mut self, end: &str) -> String {
        loop {
            if let Some(at) = self.read.windows(end.len()).position(|window| window == end.as_bytes()) {
                return String::from_utf8(self.take(at + end.len()).await).expect("text");
            }
            assert!(self.more().await, "the stream ended after {:?}", String::from_utf8_lossy(&self.read));
        }
    }

    /// A message's head, with field names in lower case.
    pub async fn head(&mut self) -> String {
        self.until("\r\n\r\n").await
    }

    /// Everything up to the end of the stream.
    pub async fn rest(&mut self) -> String {
        while self.more().await {}
        String::from_utf8_lossy(&std::mem::take(&mut self.read)).into_owned()
    }

    /// The same, as bytes.
    pub async fn rest_bytes(&mut self) -> Vec<u8> {
        while self.more().await {}
        std::mem::take(&mut self.read)
    }

    /// A response with its body; whether the body was whole.
    pub async fn response(&mut self) -> Answer {
        let head = self.head().await;
        let body = match field(&head, "content-length") {
            Some(length) => self.take(length.parse().expect("a number")).await,
            None if field(&head, "transfer-encoding").is_some() => {
                let mut body = Vec::new();
                loop {
                    let line = self.until("\r\n").await;
                    let size = usize::from_str_radix(line.trim(), 16).expect("a chunk's size");
                    body.extend(self.take(size).await);
                    self.until("\r\n").await;
                    if size == 0 {
                        break body;
                    }
                }
            }
            None => Vec::new(),
        };
        Answer {
            status: head[9..12].parse().expect("a status"),
            head,
            body: String::from_utf8(body).expect("text"),
        }
    }
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

/// The value of a field in a head.
pub fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut fields = head.lines().filter_map(|line| line.split_once(": "));
    fields.find(|(given, _)| *given == name).map(|(_, value)| value)
}
