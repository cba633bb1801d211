//! What the gate can be told.

use std::net::SocketAddr;
use std::time::Duration;

use crate::GateError;
use crate::access_log::AccessLog;
use crate::limits::Limits;
use crate::plan::RouteTable;
use crate::tls::Tls;

/// Names under which web frameworks usually keep their session.
pub(crate) const SESSION_COOKIES: [&str; 5] = ["sid", "session", "sessionid", "session_id", "JSESSIONID"];

/// Settings of one gate. [`Config::new`] gives the defaults named here.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where clients connect; port 0 takes a free one (see [`Gate::local_addr`](crate::Gate::local_addr)).
    pub listen: SocketAddr,
    /// Threads, each with its own event loop, connections and pool (default: the cores, at most 4).
    pub workers: usize,
    /// Longest wait for a TCP connection to an instance, in milliseconds (default 1,000).
    pub connect_timeout_ms: u64,
    /// Longest time between two requests of a client, and from the first byte of a request's head to its last, in
    /// milliseconds (default 30,000).
    pub header_timeout_ms: u64,
    /// How long an unused connection to an instance is kept, and the longest wait for a whole body that is buffered for a
    /// retry, in milliseconds (default 60,000).
    pub idle_timeout_ms: u64,
    /// Largest request body that is kept for a second attempt, in bytes (default 64 KiB).
    pub retry_body_bytes: usize,
    /// Name of the cookie that identifies a user's session (default: `sid`, `session`, `sessionid`, `session_id`
    /// or `JSESSIONID`, whichever comes first).
    pub session_cookie: Option<String>,
    /// Where requests go, until [`Gate::configure`](crate::Gate::configure) says otherwise (default: all to the supervised
    /// service `default`).
    pub routes: RouteTable,
    /// Time after which a fixed upstream that refused a connection is tried again; it doubles with every failure, up to 32 times
    /// this (default 1,000 milliseconds).
    pub probe_ms: u64,
    /// Client connections at one time, tunnels included; more wait in the kernel's backlog (default 10,000).
    pub connections_max: usize,
    /// How long requests under way may take to finish when the last handle is dropped without
    /// [`Gate::stop`](crate::Gate::stop), in milliseconds (default 5,000).
    pub drain_ms: u64,
    /// What one client may take.
    pub limits: Limits,
    /// Speak TLS with clients (default: not).
    pub tls: Option<Tls>,
    /// Log every request (default: not).
    pub access_log: Option<AccessLog>,
}

impl Config {
    /// The defaults, listening on `listen`.
    pub fn new(listen: SocketAddr) -> Self {
        Self {
            listen,
            workers: std::thread::available_parallelism().map_or(1, |cores| cores.get().min(4)),
            connect_timeout_ms: 1_000,
            header_timeout_ms: 30_000,
            idle_timeout_ms: 60_000,
            retry_body_bytes: 64 * 1024,
            session_cookie: None,
            routes: RouteTable::default(),
            probe_ms: 1_000,
            connections_max: 10_000,
            drain_ms: 5_000,
            limits: Limits::default(),
            tls: None,
            access_log: None,
        }
    }

    /// Refuses what could never serve a request.
    pub(crate) fn check(&self) -> Result<(), GateError> {
        for (name, value) in [("workers", self.workers), ("connections_max", self.connections_max)] {
            if value == 0 {
                return Err(GateError::Zero { setting: name });
            }
        }
        self.limits.check()?;
        self.routes.check().map_err(|source| GateError::Routes { source })
    }

    pub(crate) fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms)
    }

    /// A pause of nothing would be a busy loop.
    pub(crate) fn first_probe(&self) -> Duration {
        Duration::from_millis(self.probe_ms.max(10))
    }

    pub(crate) fn header_timeout(&self) -> Duration {
        Duration::from_millis(self.header_timeout_ms)
    }

    pub(crate) fn idle_timeout(&self) -> Duration {
        Duration::from_millis(self.idle_timeout_ms)
    }
}
