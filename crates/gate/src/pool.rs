//! Connections to instances. Each worker has its own; none ever leaves its thread.
//!
//! HTTP/1.1 connections are taken and given back, last in first out, so that those not needed grow old and are closed.
//! An HTTP/2 connection is shared by all requests of a worker. The pool does not know about requests, only whether a
//! connection was used before: then its other end may be closing it at this moment.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use hyper_util::rt::TokioIo;
use tokio::task::spawn_local;
use tokio::time::timeout;
use tokio_util::either::Either;

use crate::admission::Pocket;
use crate::body::RequestBody;
use crate::route::Instance;
use crate::timer::LentTimers;
use crate::upstream::UpstreamStream;
use crate::worker::{LocalSpawner, Worker};

/// Unused connections that one worker keeps to one instance.
const IDLE_MAX: usize = 256;
/// Largest head of a response, and the most that is read ahead of one, in bytes.
const HEAD_MAX: usize = 64 * 1024;
/// How long a connection may take to get ready again after its response is over.
const READY_TIMEOUT: Duration = Duration::from_secs(5);

type SendOverHttp1 = http1::SendRequest<RequestBody>;
type SendOverHttp2 = http2::SendRequest<RequestBody>;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    /// Not in time.
    #[error("the instance did not accept the connection in {ms} ms")]
    Timeout { ms: u64 },
    /// Refused, reset, unreachable.
    #[error("could not connect to the instance")]
    Io(#[source] std::io::Error),
    /// Accepted, and then not understood.
    #[error("could not begin HTTP with the instance")]
    Handshake(#[source] hyper::Error),
}

/// A connection for one request.
pub(crate) struct Connection {
    sender: Sender,
    instance: Arc<Instance>,
    pub(crate) reused: bool,
}

enum Sender {
    Http1(SendOverHttp1, Rc<Pocket>),
    Http2(SendOverHttp2),
}

/// Connections of one worker to all instances.
#[derive(Default)]
pub(crate) struct Pool {
    shelves: RefCell<Vec<Shelf>>,
}

/// Connections to one instance.
struct Shelf {
    instance: Arc<Instance>,
    idle: Vec<(SendOverHttp1, Rc<Pocket>, Instant)>,
    shared: Option<SendOverHttp2>,
}

impl Pool {
    /// A connection that was used before and is still good, as far as can be told.
    pub(crate) fn take(
        &self,
        instance: &Arc<Instance>,
        now: Instant,
        idle_timeout: Duration,
    ) -> Option<Connection> {
        let mut shelves = self.shelves.borrow_mut();
        let shelf = shelves.iter_mut().find(|shelf| shelf.instance.serial == instance.serial)?;
        let sender = match &shelf.shared {
            Some(shared) if shared.is_ready() => Sender::Http2(shared.clone()),
            Some(_) => {
                shelf.shared = None;
                return None;
            }
            None => loop {
                let (sender, pocket, since) = shelf.idle.pop()?;
                if sender.is_ready() && now.saturating_duration_since(since) < idle_timeout {
                    break Sender::Http1(sender, pocket);
                }
            },
        };
        Some(Connection { sender, instance: Arc::clone(instance), reused: true })
    }

    /// Closes what is too old, and everything to instances that get no more requests.
    pub(crate) fn sweep(&self, worker: usize, idle_timeout: Duration) {
        let mut shelves = self.shelves.borrow_mut();
        shelves.retain_mut(|shelf| {
            shelf.idle.retain(|(sender, _, since)| sender.is_ready() && since.elapsed() < idle_timeout);
            let is_used =
                !shelf.idle.is_empty() || shelf.shared.as_ref().is_some_and(|shared| !shared.is_closed());
            is_used && shelf.instance.is_open(worker)
        });
    }

    /// Closes everything that is not in use.
    pub(crate) fn clear(&self) {
        self.shelves.borrow_mut().clear();
    }

    fn shelve(&self, instance: &Arc<Instance>, sender: Sender, now: Instant) {
        let mut shelves = self.shelves.borrow_mut();
        let at = shelves.iter().position(|shelf| shelf.instance.serial == instance.serial);
        let at = at.unwrap_or_else(|| {
            shelves.push(Shelf { instance: Arc::clone(instance), idle: Vec::new(), shared: None });
            shelves.len() - 1
        });
        let Some(shelf) = shelves.get_mut(at) else { return };
        match sender {
            Sender::Http1(sender, pocket) if shelf.idle.len() < IDLE_MAX => {
                shelf.idle.push((sender, pocket, now));
            }
            Sender::Http1(..) => {}
            Sender::Http2(sender) => shelf.shared = Some(sender),
        }
    }
}

impl Connection {
    /// A new connection.
    pub(crate) async fn open(worker: &Worker, instance: &Arc<Instance>) -> Result<Self, ConnectError> {
        let config = &worker.shared.config;
        let late = |_| ConnectError::Timeout { ms: config.connect_timeout_ms };
        let connecting = UpstreamStream::connect(&instance.addr);
        let stream = timeout(config.connect_timeout(), connecting).await.map_err(late)?;
        let io = TokioIo::new(stream.map_err(ConnectError::Io)?);
        let sender = if instance.h2c {
            let handshake = http2::Builder::new(LocalSpawner).timer(LentTimers).handshake(io);
            let (sender, connection) = handshake.await.map_err(ConnectError::Handshake)?;
            spawn_local(connection);
            worker.pool.shelve(instance, Sender::Http2(sender.clone()), Instant::now());
            Sender::Http2(sender)
        } else {
            let handshake = http1::Builder::new().max_buf_size(HEAD_MAX).handshake(io);
            let (sender, connection) = handshake.await.map_err(ConnectError::Handshake)?;
            let pocket = Rc::<Pocket>::default();
            let own = Rc::clone(&pocket);
            spawn_local(async move {
                // How it ends is told to the request that is on it.
                let _ = connection.with_upgrades().await;
                own.empty();
            });
            Sender::Http1(sender, pocket)
        };
        Ok(Self { sender, instance: Arc::clone(instance), reused: false })
    }

    /// Sends a request. Dropping the future cancels it: HTTP/1.1 closes the connection, HTTP/2 resets the stream.
    pub(crate) fn send(
        &mut self,
        request: Request<RequestBody>,
    ) -> impl Future<Output = Result<Response<Incoming>, TrySendError<Request<RequestBody>>>> + use<> {
        match &mut self.sender {
            Sender::Http1(sender, _) => Either::Left(sender.try_send_request(request)),
            Sender::Http2(sender) => Either::Right(sender.try_send_request(request)),
        }
    }

    pub(crate) fn is_http2(&self) -> bool {
        matches!(self.sender, Sender::Http2(_))
    }

    /// Where something can be put until the connection is closed. An HTTP/2 connection goes on: its stream is reset at once.
    pub(crate) fn pocket(&self) -> Option<Rc<Pocket>> {
        match &self.sender {
            Sender::Http1(_, pocket) => Some(Rc::clone(pocket)),
            Sender::Http2(_) => None,
        }
    }

    /// Keeps the connection, used until `now`, for a later request, once it is ready for one.
    pub(crate) fn give_back(self, worker: &Rc<Worker>, now: Instant) {
        // Others share an HTTP/2 connection already.
        let Sender::Http1(mut sender, pocket) = self.sender else { return };
        let instance = self.instance;
        if sender.is_closed() || !instance.is_open(worker.index) {
            return;
        }
        if sender.is_ready() {
            worker.pool.shelve(&instance, Sender::Http1(sender, pocket), now);
            return;
        }
        // Seldom: the response is over before the request's body is, or the connection's task has not run yet.
        let worker = Rc::clone(worker);
        spawn_local(async move {
            if matches!(timeout(READY_TIMEOUT, sender.ready()).await, Ok(Ok(())))
                && instance.is_open(worker.index)
            {
                worker.pool.shelve(&instance, Sender::Http1(sender, pocket), Instant::now());
            }
        });
    }
}
