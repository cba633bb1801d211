//! The handle through which the rest of Freezeframe sees and steers the gate, from any thread.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use freezeframe_histogram::{Histogram, Series};
use freezeframe_model::{Exchange, InFlight, IncidentId, InstanceId};
use tokio::sync::{Semaphore, watch};

use crate::access_log::Log;
use crate::addresses::Addresses;
use crate::admission::Doors;
use crate::config::Config;
use crate::journey::Journeys;
use crate::listen;
use crate::matcher::Plan;
use crate::meter::Meters;
use crate::plan::{RouteTable, RouteTableError, Service};
use crate::registry::Registry;
use crate::route::{Evicted, Instance, Settled, Table, lock};
use crate::session::Sessions;
use crate::tls::{CertificateFiles, Handshakes, TlsError};
use crate::trace::TraceIds;
use crate::worker;
use crate::{GateError, Observer, ServiceState, UpstreamState};

/// A running gate. Clones are handles to the same one; it stops when [`Gate::stop`] is called or the last handle goes.
#[derive(Clone)]
pub struct Gate {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    local_addr: SocketAddr,
}

/// What all workers and handles have in common.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) doors: Doors,
    pub(crate) meters: Meters,
    pub(crate) table: ArcSwap<Table>,
    /// Told whenever the table changed.
    pub(crate) changed: watch::Sender<()>,
    pub(crate) journeys: Journeys,
    pub(crate) sessions: Sessions,
    pub(crate) connections: Arc<Semaphore>,
    pub(crate) addresses: Arc<Addresses>,
    pub(crate) tls: Option<Arc<Handshakes>>,
    pub(crate) log: Option<Log>,
    /// The deadline, once the gate stops.
    pub(crate) stop: watch::Sender<Option<Instant>>,
    pub(crate) settled: Arc<Settled>,
    waiters: AtomicU32,
    registry: Mutex<Registry>,
}

/// A place among the requests that wait for an instance.
pub(crate) struct QueuePlace<'a>(&'a AtomicU32);

impl Drop for QueuePlace<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Shared {
    /// A place in the queue, unless `max` others are in it.
    pub(crate) fn queue(&self, max: u32) -> Option<QueuePlace<'_>> {
        let before = self.waiters.fetch_add(1, Ordering::Relaxed);
        let place = QueuePlace(&self.waiters);
        (before < max).then_some(place)
    }

    /// Every instance object under an id.
    fn known(&self, id: InstanceId) -> Vec<Arc<Instance>> {
        lock(&self.registry).of(id)
    }
}

impl Gate {
    /// Binds the address and starts the workers. No instance is routed yet.
    ///
    /// # Errors
    /// The address is in use or not ours, a setting is unusable, or the system gives no threads or file descriptors.
    pub fn start(config: Config, observer: Arc<dyn Observer>) -> Result<Self, GateError> {
        config.check()?;
        let workers = config.workers;
        let tls = config.tls.as_ref().map(Handshakes::new).transpose();
        let tls = tls.map_err(|source| GateError::Tls { source })?.map(Arc::new);
        let log = config.access_log.as_ref().map(Log::start).transpose();
        let log = log.map_err(|source| GateError::AccessLog { source })?;
        let listeners = listen::bind(config.listen, workers)?;
        let local_addr = listen::local_addr(&listeners, config.listen)?;
        let (doors, meters) = (Doors::default(), Meters::new(workers));
        let planned = doors.plan(&config.routes);
        let plan = Arc::new(Plan::new(config.routes.clone(), workers, &planned, &meters));
        let shared = Arc::new(Shared {
            table: ArcSwap::from_pointee(Table { plan: Arc::clone(&plan), members: Vec::new() }),
            changed: watch::Sender::new(()),
            journeys: Journeys::new(workers),
            sessions: Sessions::new(config.session_cookie.clone()),
            connections: Arc::new(Semaphore::new(config.connections_max.min(Semaphore::MAX_PERMITS))),
            addresses: Arc::new(Addresses::new(&config.limits)),
            tls,
            log,
            stop: watch::Sender::new(None),
            settled: Arc::default(),
            waiters: AtomicU32::new(0),
            registry: Mutex::new(Registry::new(Arc::clone(&plan))),
            config,
            observer,
            doors,
            meters,
        });
        lock(&shared.registry).configure(&shared, plan);
        // From here on an early return stops the workers that run already.
        let gate = Self { inner: Arc::new(Inner { shared, threads: Mutex::default(), local_addr }) };
        for (index, listener) in listeners.into_iter().enumerate() {
            gate.start_worker(index, listener)?;
        }
        Ok(gate)
    }

    fn start_worker(&self, index: usize, listener: std::net::TcpListener) -> Result<(), GateError> {
        let start = |source| GateError::Start { source };
        let shared = Arc::clone(&self.inner.shared);
        let (said, heard) = std::sync::mpsc::sync_channel(1);
        let life = move || {
            // A local runtime lives and dies on its thread.
            let begun = worker::runtime(listener);
            let (begun, told) = match begun {
                Ok(begun) => (Some(begun), Ok(())),
                Err(error) => (None, Err(error)),
            };
            // Who asked may have given up meanwhile; the gate has been stopped then.
            let _ = said.send(told);
            if let Some((runtime, listener)) = begun {
                worker::run(&runtime, listener, shared, index);
            }
        };
        let thread = std::thread::Builder::new().name(format!("gate-{index}")).spawn(life).map_err(start)?;
        lock(&self.inner.threads).push(thread);
        heard.recv().unwrap_or_else(|_| Err(io::ErrorKind::Other.into())).map_err(start)
    }

    /// Where clients can connect.
    pub fn local_addr(&self) -> SocketAddr {
        self.inner.local_addr
    }

    /// Sends requests for the supervised service to an instance from now on. Doing it again changes nothing; another address replaces the one before.
    pub fn route(&self, instance: InstanceId, addr: SocketAddr) {
        let shared = &self.inner.shared;
        lock(&shared.registry).route(shared, instance, addr);
    }

    /// Takes another route table, as a whole and at once: a request finds its way by the old one or by the new one. Upstreams that
    /// are in both keep their connections; requests under way on those that are not go on to their end.
    ///
    /// # Errors
    /// What is wrong with the table; then the old one stays.
    pub fn configure(&self, table: RouteTable) -> Result<(), RouteTableError> {
        table.check()?;
        let shared = &self.inner.shared;
        let mut registry = lock(&shared.registry);
        let doors = shared.doors.plan(&table);
        let plan = Plan::new(table, shared.config.workers, &doors, &shared.meters);
        registry.configure(shared, Arc::new(plan));
        Ok(())
    }

    /// Whether clients are spoken to in TLS.
    pub fn speaks_tls(&self) -> bool {
        self.inner.shared.tls.is_some()
    }

    /// Takes other certificates, or reads the same ones again now instead of when their files are next looked at. Connections go on
    /// with those that they began with. Nothing happens where TLS is not spoken.
    ///
    /// # Errors
    /// What is wrong with them; then the old ones stay.
    pub fn use_certificates(&self, certificates: &[CertificateFiles]) -> Result<(), TlsError> {
        self.inner.shared.tls.as_ref().map_or(Ok(()), |tls| tls.reload(Some(certificates)))
    }

    /// Opens the access log's file again: after it was moved away.
    pub fn reopen_log(&self) {
        if let Some(log) = &self.inner.shared.log {
            log.reopen();
        }
    }

    /// Lines of the access log that were dropped because they could not be written fast enough.
    pub fn log_lines_dropped(&self) -> u64 {
        self.inner.shared.log.as_ref().map_or(0, Log::dropped)
    }

    /// The table in use.
    pub fn routes(&self) -> RouteTable {
        lock(&self.inner.shared.registry).table().clone()
    }

    /// The fixed upstreams of the table in use.
    pub fn upstreams(&self) -> Vec<UpstreamState> {
        lock(&self.inner.shared.registry).upstreams()
    }

    /// How long requests took, by `route`, `outcome` (`ok`, `client_error`, `server_error`, `shed`, `client_gone`) and `part`
    /// (`queue`, where there is one; `processing`, from sending to the head of the response; `total`).
    pub fn durations(&self) -> Vec<Series> {
        self.inner.shared.meters.series()
    }

    /// How long requests took that ended on an instance, from their arrival.
    pub fn served(&self, instance: InstanceId) -> Histogram {
        let mut all = Histogram::new();
        self.inner.shared.known(instance).iter().for_each(|instance| all.merge(&instance.served()));
        all
    }

    /// What the services of the table in use are doing.
    pub fn services(&self) -> Vec<ServiceState> {
        let shared = &self.inner.shared;
        let table = shared.table.load_full();
        let state = |service: &Service| {
            let members = table.members.iter().find(|members| *members.service == *service.name);
            let instances = members.map_or(&[][..], |members| &members.instances);
            ServiceState {
                name: service.name.clone(),
                instances: instances.len(),
                in_flight: instances.iter().map(|instance| instance.count()).sum(),
                in_flight_max: service.in_flight_max,
                queued: shared.doors.queued(&service.name),
                queue_max: service.queue_max,
            }
        };
        table.plan.table.services.iter().map(state).collect()
    }

    /// Takes an instance out of routing. No request begins there after this returned; those under way go on, and can be listed,
    /// failed and evicted. Connections to it that are not in use are closed.
    pub fn unroute(&self, instance: InstanceId) {
        let shared = &self.inner.shared;
        lock(&shared.registry).unroute(shared, instance);
    }

    /// The requests that an instance is working on, tunnels included.
    pub fn in_flight(&self, instance: InstanceId) -> Vec<InFlight> {
        let known = self.inner.shared.known(instance);
        known.iter().flat_map(|instance| instance.in_flight()).collect()
    }

    /// How many they are.
    pub fn in_flight_count(&self, instance: InstanceId) -> u32 {
        self.inner.shared.known(instance).iter().map(|instance| instance.count()).sum()
    }

    /// Whether a request has waited for its response for `for_ms` milliseconds, while the instance neither took nor gave a byte
    /// for any other. Requests whose response began, and tunnels, do not count: quiet event streams are no stall.
    pub fn stalled(&self, instance: InstanceId, for_ms: u64) -> bool {
        let limit = Duration::from_millis(for_ms);
        self.inner.shared.known(instance).iter().any(|instance| instance.stalled(limit))
    }

    /// Ends the one request that this `traceparent` (as listed by [`Gate::in_flight`]) belongs to: the client gets 502 with the
    /// incident's id, or a broken connection where the response began. It is never sent again. False where there is none.
    pub fn fail(&self, instance: InstanceId, traceparent: &str, incident: IncidentId) -> bool {
        let Some(ids) = TraceIds::parse(traceparent.as_bytes()) else { return false };
        self.inner.shared.known(instance).iter().any(|instance| instance.fail(ids, incident))
    }

    /// Ends everything that is still under way on an instance, which should be out of routing. What may be sent a second time goes
    /// to another instance; the rest is answered 502 with the incident's id, or broken off where the response began.
    pub fn evict(&self, instance: InstanceId, incident: Option<IncidentId>) -> Evicted {
        let mut sum = Evicted::default();
        for instance in self.inner.shared.known(instance) {
            let Evicted { retried, failed, aborted } = instance.evict(incident);
            sum.retried += retried;
            sum.failed += failed;
            sum.aborted += aborted;
        }
        sum
    }

    /// Returns once an instance has at most `n` requests under way.
    pub async fn wait_in_flight_at_most(&self, instance: InstanceId, n: u32) {
        self.inner.shared.settled.wait(|| self.in_flight_count(instance) <= n).await;
    }

    /// The last `limit` exchanges of a user's session, oldest first, as far as they are remembered.
    pub fn journey(&self, session: u64, limit: usize) -> Vec<Exchange> {
        self.inner.shared.journeys.of(session, limit)
    }

    /// Stops accepting, lets requests under way finish until `deadline`, and ends the workers. Blocks the calling thread until then.
    pub fn stop(&self, deadline: Duration) {
        self.inner.begin_stop(deadline);
        let threads = std::mem::take(&mut *lock(&self.inner.threads));
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a worker of the gate panicked");
            }
        }
        if let Some(log) = &self.inner.shared.log {
            log.end();
        }
    }
}

impl Inner {
    fn begin_stop(&self, deadline: Duration) {
        let now = Instant::now();
        let until = now.checked_add(deadline).unwrap_or(now);
        // A second call neither delays nor hurries the first.
        self.shared.stop.send_if_modified(|stop| {
            let is_first = stop.is_none();
            stop.get_or_insert(until);
            is_first
        });
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.begin_stop(Duration::from_millis(self.shared.config.drain_ms));
    }
}
