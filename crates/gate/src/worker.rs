//! One thread of the gate: its listener, its clients' connections, its pool.
//!
//! Nothing here is shared with another worker but what [`Shared`] holds: a connection, its requests and the connections that it
//! uses to instances live and die on one thread.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{LocalOptions, LocalRuntime};
use tokio::sync::{Notify, OwnedSemaphorePermit};
use tokio::task::spawn_local;
use tokio::time::{sleep, timeout, timeout_at};

use crate::access_log::LogBuffer;
use crate::addresses::Visit;
use crate::client_io::{ClientIo, ClientStream, Switch};
use crate::gate::Shared;
use crate::headers::Origin;
use crate::pace::Paces;
use crate::pool::Pool;
use crate::timer::LentTimers;
use crate::{errand, health, proxy};

/// Streams that an HTTP/2 client has reset before they were looked at, and streams that were reset because of its errors, for
/// which the connection is kept.
const RESETS_PENDING_MAX: usize = 20;
const ERRORS_MAX: usize = 64;
/// Fields of a request that the HTTP library takes where it is told nothing else.
const HEADERS_MAX_OF_LIBRARY: usize = 100;
/// An HTTP/2 client that asks for nothing is closed after so many times the pause after which it is told to go.
const RETIRED_FOR: u32 = 4;
/// Resets are counted over so many seconds.
const RESETS_OVER_S: f32 = 10.0;
/// Pause after the system refused to accept a connection (for want of file descriptors, most likely).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Time between two looks at idle connections and slow bodies, at most and at least.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
const SWEEP_MIN: Duration = Duration::from_millis(10);

/// What one thread of the gate works with.
pub(crate) struct Worker {
    pub(crate) index: usize,
    pub(crate) shared: Arc<Shared>,
    pub(crate) pool: Pool,
    pub(crate) paces: Paces,
    pub(crate) log: LogBuffer,
    http1: http1::Builder,
    http2: http2::Builder<LocalSpawner>,
    stopping: Cell<bool>,
    links: RefCell<Vec<Weak<Link>>>,
    live: Cell<usize>,
    all_gone: Notify,
}

/// One client's connection, for as long as anything uses it.
pub(crate) struct Link {
    pub(crate) worker: Rc<Worker>,
    pub(crate) origin: Origin,
    pub(crate) switch: Arc<Switch>,
    pub(crate) visit: Visit,
    is_http2: Cell<bool>,
    /// Requests that it waits for, and since when there is none.
    requests: Cell<u32>,
    quiet_since: Cell<Instant>,
    /// It was told that it may ask for nothing more.
    retired: Cell<bool>,
    /// Resets that an HTTP/2 client may still make, and when that was so.
    resets: Cell<(f32, Instant)>,
    doomed: Cell<bool>,
    /// Wakes the connection's task when the gate stops, or the connection must end.
    waker: RefCell<Option<Waker>>,
    _permit: OwnedSemaphorePermit,
}

/// Spawns onto the current thread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LocalSpawner;

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for LocalSpawner {
    fn execute(&self, future: F) {
        spawn_local(future);
    }
}

impl Link {
    fn new(
        worker: &Rc<Worker>,
        peer: SocketAddr,
        switch: Arc<Switch>,
        visit: Visit,
        permit: OwnedSemaphorePermit,
    ) -> Rc<Self> {
        let resets = worker.shared.config.limits.h2_resets_per_s_max as f32 * RESETS_OVER_S;
        worker.live.set(worker.live.get() + 1);
        let link = Rc::new(Self {
            worker: Rc::clone(worker),
            origin: Origin::new(peer.ip(), worker.shared.tls.is_some()),
            switch,
            visit,
            is_http2: Cell::new(false),
            requests: Cell::new(0),
            quiet_since: Cell::new(Instant::now()),
            retired: Cell::new(false),
            resets: Cell::new((resets, Instant::now())),
            doomed: Cell::new(false),
            waker: RefCell::new(None),
            _permit: permit,
        });
        worker.links.borrow_mut().push(Rc::downgrade(&link));
        link
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let live = self.worker.live.get().saturating_sub(1);
        self.worker.live.set(live);
        if live == 0 {
            self.worker.all_gone.notify_one();
        }
    }
}

/// A runtime for this thread alone, and the listener on it.
///
/// # Errors
/// The system has no more file descriptors.
pub(crate) fn runtime(listener: std::net::TcpListener) -> io::Result<(LocalRuntime, TcpListener)> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().build_local(LocalOptions::default())?;
    let listener = {
        let _context = runtime.enter();
        TcpListener::from_std(listener)?
    };
    Ok((runtime, listener))
}

/// The thread's whole life, on a runtime of its own.
pub(crate) fn run(runtime: &LocalRuntime, listener: TcpListener, shared: Arc<Shared>, index: usize) {
    let _blocks = freezeframe_blocks::keep();
    let worker = Rc::new(Worker::new(shared, index));
    runtime.block_on(async {
        spawn_local(Rc::clone(&worker).keep_house());
        if index == 0 {
            spawn_local(health::probe_all(Rc::clone(&worker)));
            spawn_local(Rc::clone(&worker).look_at_certificates());
            spawn_local(Rc::clone(&worker).tick_admission());
        }
        Rc::clone(&worker).accept_all(listener).await;
        worker.drain().await;
        worker.hand_log_over();
    });
}

impl Worker {
    fn new(shared: Arc<Shared>, index: usize) -> Self {
        let header_timeout = shared.config.header_timeout();
        let limits = &shared.config.limits;
        let mut http1 = http1::Builder::new();
        http1.timer(LentTimers).header_read_timeout(header_timeout).max_buf_size(limits.head_bytes_max);
        // With a number of its own, the library makes room for all of them anew for each request.
        if limits.headers_max != HEADERS_MAX_OF_LIBRARY {
            http1.max_headers(limits.headers_max);
        }
        let mut http2 = http2::Builder::new(LocalSpawner);
        http2
            .timer(LentTimers)
            .keep_alive_interval(header_timeout)
            .keep_alive_timeout(header_timeout)
            .max_concurrent_streams(limits.h2_streams_max)
            .max_header_list_size(u32::try_from(limits.head_bytes_max).unwrap_or(u32::MAX))
            .max_pending_accept_reset_streams(RESETS_PENDING_MAX)
            .max_local_error_reset_streams(ERRORS_MAX);
        Self {
            index,
            shared,
            pool: Pool::default(),
            paces: Paces::default(),
            log: LogBuffer::default(),
            http1,
            http2,
            stopping: Cell::new(false),
            links: RefCell::default(),
            live: Cell::new(0),
            all_gone: Notify::new(),
        }
    }

    /// Accepts until the gate stops. At the limit of connections one more waits here, the others in the kernel.
    async fn accept_all(self: Rc<Self>, listener: TcpListener) {
        let mut stop = self.shared.stop.subscribe();
        let mut stopping = pin!(stop.wait_for(Option::is_some));
        loop {
            let accepting = async {
                // Accepted before a permit is taken: an idle worker must not keep one from the others.
                let accepted = listener.accept().await;
                (accepted, Arc::clone(&self.shared.connections).acquire_owned().await)
            };
            let mut accepting = pin!(accepting);
            let next = poll_fn(|cx| match stopping.as_mut().poll(cx) {
                Poll::Ready(_) => Poll::Ready(None),
                Poll::Pending => accepting.as_mut().poll(cx).map(Some),
            });
            match next.await {
                None | Some((_, Err(_))) => return,
                Some((Ok((stream, peer)), Ok(permit))) => {
                    spawn_local(Rc::clone(&self).connection(stream, peer, permit));
                }
                Some((Err(error), Ok(_))) => {
                    // One client's reset concerns nobody else; everything else may be a want of resources.
                    if error.kind() != io::ErrorKind::ConnectionAborted {
                        tracing::warn!(%error, "could not accept a connection");
                        sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        }
    }

    /// One client, from its first byte to its last.
    async fn connection(self: Rc<Self>, stream: TcpStream, peer: SocketAddr, permit: OwnedSemaphorePermit) {
        // A failure here shows again, and better, at the first read.
        let _ = stream.set_nodelay(true);
        let Some(visit) = self.shared.addresses.enter(peer.ip()) else {
            tracing::debug!(%peer, "closed: this address has too many connections");
            return;
        };
        let switch = Arc::new(Switch::default());
        let link = Link::new(&self, peer, Arc::clone(&switch), visit, permit);
        let Some(io) = link.unless_stopping(pin!(self.begin(stream, peer, switch))).await.flatten() else {
            return;
        };
        let service = {
            let link = Rc::clone(&link);
            service_fn(move |request| proxy::serve(Rc::clone(&link), request))
        };
        let result = if io.is_http2() {
            link.is_http2.set(true);
            let connection = self.http2.serve_connection(TokioIo::new(io), service);
            link.drive(connection, |connection| connection.graceful_shutdown()).await
        } else {
            let connection = self.http1.serve_connection(TokioIo::new(io), service).with_upgrades();
            link.drive(connection, |connection| connection.graceful_shutdown()).await
        };
        if let Err(error) = result {
            tracing::debug!(%peer, error = errand::chain(&error), "a client's connection ended badly");
        }
    }

    /// Agrees on how to speak; `None` where that takes too long or fails.
    async fn begin(&self, stream: TcpStream, peer: SocketAddr, switch: Arc<Switch>) -> Option<ClientIo> {
        let stream = match &self.shared.tls {
            None => ClientStream::Plain(stream),
            Some(tls) => {
                let handshake = Box::pin(timeout(tls.timeout(), tls.acceptor.accept(stream)));
                match handshake.await {
                    Ok(Ok(stream)) => ClientStream::Tls(Box::new(stream)),
                    Ok(Err(error)) => {
                        tracing::debug!(%peer, %error, "no TLS with a client");
                        return None;
                    }
                    Err(_) => return None,
                }
            }
        };
        let config = &self.shared.config;
        let stall_max = Duration::from_millis(config.limits.body_window_ms);
        timeout(config.header_timeout(), ClientIo::sniff(stream, switch, stall_max)).await.ok()?.ok()
    }

    /// Closes what is idle for too long, and what leads to instances that get no more requests.
    async fn keep_house(self: Rc<Self>) {
        let mut changed = self.shared.changed.subscribe();
        // A body is found too slow at most half a window late.
        let window = Duration::from_millis(self.shared.config.limits.body_window_ms);
        let pause = SWEEP_EVERY.min(window / 2).max(SWEEP_MIN);
        loop {
            // Ends early when the routes change. (The sender lives as long as this worker.)
            let _ = timeout(pause, changed.changed()).await;
            self.pool.sweep(self.index, self.shared.config.idle_timeout());
            self.paces.sweep(&self.shared.config.limits);
            self.hand_log_over();
            if self.index == 0 {
                self.shared.addresses.sweep();
            }
            self.links.borrow_mut().retain(|link| link.strong_count() > 0);
            self.retire_idle();
        }
    }

    /// Tells HTTP/2 clients to go that ask for nothing any more. (HTTP/1 has a timeout for that.)
    fn retire_idle(&self) {
        let (now, idle_max) = (Instant::now(), self.shared.config.header_timeout());
        let links: Vec<_> = self.links.borrow().iter().filter_map(Weak::upgrade).collect();
        for link in links.iter().filter(|link| link.is_http2.get() && link.requests.get() == 0) {
            let quiet = now.saturating_duration_since(link.quiet_since.get());
            if quiet > idle_max * RETIRED_FOR {
                link.doom("it does not go, and asks for nothing");
            } else if quiet > idle_max && !link.retired.replace(true) {
                link.wake();
            }
        }
    }

    async fn tick_admission(self: Rc<Self>) {
        self.shared.doors.tick_all().await;
    }

    fn hand_log_over(&self) {
        if let Some(log) = &self.shared.log {
            self.log.hand_over(log);
        }
    }

    /// Has certificates read again whose files have changed, on a thread that may block.
    async fn look_at_certificates(self: Rc<Self>) {
        let Some(tls) = self.shared.tls.clone() else { return };
        loop {
            sleep(tls.poll_pause()).await;
            let tls = Arc::clone(&tls);
            // It ends by itself; a panic in it would show in the log, and the next look may go well.
            let _ = tokio::task::spawn_blocking(move || tls.reload_if_changed()).await;
        }
    }

    /// Lets connections finish what they are doing, until the deadline.
    async fn drain(&self) {
        self.stopping.set(true);
        self.pool.clear();
        let links: Vec<_> = self.links.borrow().iter().filter_map(Weak::upgrade).collect();
        // Each is let go of at once: what is held here would be waited for below.
        links.into_iter().for_each(|link| link.wake());
        let deadline = (*self.shared.stop.borrow()).unwrap_or_else(Instant::now);
        while self.live.get() > 0 {
            if timeout_at(deadline.into(), self.all_gone.notified()).await.is_err() {
                tracing::warn!(connections = self.live.get(), "connections were still open at the deadline");
                return;
            }
        }
    }
}

impl Link {
    /// A request of this client ended because the client did not want it any more. Opening and resetting streams costs a client
    /// nothing and us a lot (CVE-2023-44487): who does it all the time has to go. HTTP/1 clients close the connection for it.
    pub(crate) fn request_was_reset(&self) {
        if !self.is_http2.get() {
            return;
        }
        let per_s = self.worker.shared.config.limits.h2_resets_per_s_max as f32;
        let (left, at) = self.resets.get();
        let now = Instant::now();
        let left = (left + now.duration_since(at).as_secs_f32() * per_s).min(per_s * RESETS_OVER_S) - 1.0;
        self.resets.set((left, now));
        if left < 0.0 {
            self.doom("it resets too many requests");
        }
    }

    /// Ends the connection with everything on it.
    pub(crate) fn doom(&self, why: &'static str) {
        if !self.doomed.replace(true) {
            tracing::debug!(peer = %self.origin.peer, why, "a client's connection is closed");
            self.wake();
        }
    }

    /// Has the connection's task look again whether it should end.
    fn wake(&self) {
        let waker = self.waker.take();
        waker.into_iter().for_each(Waker::wake);
    }

    /// Whether it speaks HTTP/2.
    pub(crate) fn is_http2(&self) -> bool {
        self.is_http2.get()
    }

    /// A request of this client begins.
    pub(crate) fn request_begins(&self) {
        self.requests.set(self.requests.get().saturating_add(1));
    }

    /// A request of this client is over.
    pub(crate) fn request_is_over(&self, now: Instant) {
        self.requests.set(self.requests.get().saturating_sub(1));
        if self.requests.get() == 0 {
            self.quiet_since.set(now);
        }
    }

    /// Runs a connection to its end; from the moment the gate stops, or has no use for it, `finish` tells it to take no further request.
    async fn drive<C>(&self, connection: C, mut finish: impl FnMut(Pin<&mut C>)) -> Result<(), hyper::Error>
    where
        C: Future<Output = Result<(), hyper::Error>>,
    {
        let mut connection = pin!(connection);
        let mut is_finishing = false;
        poll_fn(|cx| {
            self.keep_waker(cx);
            if self.doomed.get() {
                return Poll::Ready(Ok(()));
            }
            if (self.worker.stopping.get() || self.retired.get()) && !is_finishing {
                is_finishing = true;
                finish(connection.as_mut());
            }
            connection.as_mut().poll(cx)
        })
        .await
    }

    /// Waits for `future`, unless the gate stops first.
    async fn unless_stopping<F: Future>(&self, mut future: Pin<&mut F>) -> Option<F::Output> {
        poll_fn(|cx| {
            self.keep_waker(cx);
            if self.worker.stopping.get() {
                return Poll::Ready(None);
            }
            future.as_mut().poll(cx).map(Some)
        })
        .await
    }

    fn keep_waker(&self, cx: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        match &mut *waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
    }
}
