//! Where requests can go: instances, the routing table, and the bookkeeping that other threads may look into.
//!
//! The table is read once per request without a lock and replaced as a whole. An instance's shard of a worker is the only
//! truth about whether that worker may still send there: after [`Instance::close`] has returned, no request begins.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use freezeframe_histogram::{Histogram, Recorder};
use freezeframe_model::{InFlight, IncidentId, InstanceId};
use http::HeaderValue;
use tokio::sync::Notify;

use crate::health::Health;
use crate::matcher::{Plan, PlannedRoute};
use crate::slot::{Phase, Slot, Slots, Verdict};
use crate::trace::TraceIds;
use crate::upstream::Upstream;

/// What became of the requests that were still under way on an evicted instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evicted {
    /// Sent to another instance.
    pub retried: u32,
    /// Answered 502.
    pub failed: u32,
    /// Broken off in mid-response.
    pub aborted: u32,
}

/// The routes, and the instances that get new requests.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) plan: Arc<Plan>,
    /// In the order of the plan's services.
    pub(crate) members: Vec<Members>,
}

/// The instances of one service.
#[derive(Debug)]
pub(crate) struct Members {
    pub(crate) service: Arc<str>,
    pub(crate) instances: Vec<Arc<Instance>>,
}

/// One instance at one address.
#[derive(Debug)]
pub(crate) struct Instance {
    pub(crate) id: InstanceId,
    pub(crate) addr: Upstream,
    /// Name of its service.
    pub(crate) service: Arc<str>,
    /// Whether it speaks HTTP/2.
    pub(crate) h2c: bool,
    /// Only of fixed upstreams.
    pub(crate) health: Option<Health>,
    /// Unique within the gate: the same id at another address is another instance to pools and retries.
    pub(crate) serial: u64,
    /// `Host` for HTTP/1.0 requests that bring none.
    pub(crate) host: HeaderValue,
    count: Lonely<AtomicU32>,
    /// When it last did something for anybody, in milliseconds after `epoch`.
    progress_ms: Lonely<AtomicU64>,
    epoch: Instant,
    settled: Arc<Settled>,
    shards: Box<[Lonely<Mutex<Shard>>]>,
    /// How long requests took that ended on it, by worker; made with the first.
    served: Box<[Lonely<OnceLock<Recorder>>]>,
}

/// Tells tasks that wait for requests to end; most of the time there are none, and then nobody is told.
#[derive(Debug, Default)]
pub(crate) struct Settled {
    watchers: AtomicU32,
    ended: Notify,
}

/// Keeps a value on cache lines of its own.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Lonely<T>(pub(crate) T);

#[derive(Debug)]
struct Shard {
    open: bool,
    slots: Slots,
}

/// Why a request may not be sent where it was about to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hindrance {
    /// The instance was taken out of routing.
    Closed,
    /// Somebody decided about this request.
    Decided(Verdict),
}

/// A panic while a lock was held leaves plain bookkeeping behind, which is still true.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Instance {
    #[allow(clippy::too_many_arguments, reason = "each is one field; a struct for them would be this one")]
    pub(crate) fn new(
        id: InstanceId,
        addr: Upstream,
        service: Arc<str>,
        h2c: bool,
        serial: u64,
        workers: usize,
        settled: Arc<Settled>,
        is_fixed: bool,
    ) -> Self {
        let shard = || Lonely(Mutex::new(Shard { open: true, slots: Slots::default() }));
        let host = match &addr {
            Upstream::Tcp(addr) => HeaderValue::try_from(addr.to_string()).ok(),
            Upstream::Unix(_) => None,
        };
        let host = host.unwrap_or_else(|| HeaderValue::from_static("localhost"));
        Self {
            id,
            addr,
            service,
            h2c,
            health: is_fixed.then(Health::default),
            serial,
            host,
            count: Lonely(AtomicU32::new(0)),
            progress_ms: Lonely(AtomicU64::new(0)),
            epoch: Instant::now(),
            settled,
            shards: (0..workers).map(|_| shard()).collect(),
            served: (0..workers).map(|_| Lonely(OnceLock::new())).collect(),
        }
    }

    fn shard(&self, worker: usize) -> Option<MutexGuard<'_, Shard>> {
        self.shards.get(worker).map(|shard| lock(&shard.0))
    }

    /// How long the requests took that ended on it.
    pub(crate) fn served(&self) -> Histogram {
        let mut all = Histogram::new();
        let recorders = self.served.iter().filter_map(|recorder| recorder.0.get());
        recorders.for_each(|recorder| all.merge(&recorder.snapshot()));
        all
    }

    // What the worker does for its own requests.

    /// A request ended on it. Only the worker that is named may call this for itself.
    pub(crate) fn record(&self, worker: usize, total_us: u64) {
        if let Some(recorder) = self.served.get(worker) {
            recorder.0.get_or_init(Recorder::new).record_ns(total_us.saturating_mul(1000));
        }
    }

    /// Begins an attempt; `None` where the instance is out of routing.
    pub(crate) fn register(&self, worker: usize, slot: impl FnOnce() -> Slot) -> Option<usize> {
        let mut shard = self.shard(worker)?;
        if !shard.open {
            return None;
        }
        let key = shard.slots.insert(slot());
        self.count.0.fetch_add(1, Ordering::SeqCst);
        Some(key)
    }

    /// The last moment before bytes leave for the instance.
    pub(crate) fn send(&self, worker: usize, key: usize, replayable: bool) -> Result<(), Hindrance> {
        let mut shard = self.shard(worker).ok_or(Hindrance::Closed)?;
        let open = shard.open;
        let slot = shard.slots.get_mut(key).ok_or(Hindrance::Closed)?;
        match slot.verdict {
            Some(verdict) => Err(Hindrance::Decided(verdict)),
            None if !open => Err(Hindrance::Closed),
            None => {
                slot.phase = Phase::Waiting;
                slot.replayable = replayable;
                Ok(())
            }
        }
    }

    /// The response's head is here: from now on the request can only be finished or broken off.
    pub(crate) fn answered(
        &self,
        worker: usize,
        key: usize,
        phase: Phase,
        now: Instant,
    ) -> Result<(), Verdict> {
        self.touch(now);
        let Some(mut shard) = self.shard(worker) else { return Ok(()) };
        let Some(slot) = shard.slots.get_mut(key) else { return Ok(()) };
        if let Some(verdict) = slot.verdict {
            return Err(verdict);
        }
        slot.phase = phase;
        Ok(())
    }

    /// Ready once somebody else decided about the request.
    pub(crate) fn poll_verdict(&self, worker: usize, key: usize, cx: &mut Context<'_>) -> Poll<Verdict> {
        let Some(mut shard) = self.shard(worker) else { return Poll::Pending };
        let Some(slot) = shard.slots.get_mut(key) else { return Poll::Pending };
        if let Some(verdict) = slot.verdict {
            return Poll::Ready(verdict);
        }
        match &mut slot.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    /// Ends an attempt.
    pub(crate) fn release(&self, worker: usize, key: usize) {
        let removed = self.shard(worker).and_then(|mut shard| shard.slots.remove(key));
        if removed.is_some() {
            self.count.0.fetch_sub(1, Ordering::SeqCst);
            self.settled.tell();
        }
    }

    /// Whether connections to it may still be kept for later requests of this worker.
    pub(crate) fn is_open(&self, worker: usize) -> bool {
        self.shard(worker).is_some_and(|shard| shard.open)
    }

    /// Milliseconds since this object was made.
    pub(crate) fn now_ms(&self) -> u64 {
        self.ms_at(Instant::now())
    }

    fn ms_at(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.epoch).as_millis()).unwrap_or(u64::MAX)
    }

    /// Whether it takes connections, as far as is known.
    pub(crate) fn is_up(&self) -> bool {
        self.health.as_ref().is_none_or(Health::is_up)
    }

    /// It could not be connected to. True where it is not up any more because of that.
    pub(crate) fn connect_failed(&self, first_pause: Duration) -> bool {
        let Some(health) = &self.health else { return false };
        let is_news = health.failed(self.now_ms(), first_pause);
        if is_news {
            tracing::warn!(service = &*self.service, upstream = %self.addr, "takes no connections");
        }
        is_news
    }

    /// It took or gave bytes just `now`.
    pub(crate) fn touch(&self, now: Instant) {
        let now = self.ms_at(now);
        // Reading is cheap while nobody writes: at most one write per millisecond moves the cache line about.
        if self.progress_ms.0.load(Ordering::Relaxed) != now {
            self.progress_ms.0.store(now, Ordering::Relaxed);
        }
    }

    // What any thread may do.

    /// Requests under way.
    pub(crate) fn count(&self) -> u32 {
        self.count.0.load(Ordering::SeqCst)
    }

    /// Lets requests begin again.
    pub(crate) fn open(&self) {
        self.shards.iter().for_each(|shard| lock(&shard.0).open = true);
    }

    /// Lets no request begin after it returned.
    pub(crate) fn close(&self) {
        self.shards.iter().for_each(|shard| lock(&shard.0).open = false);
    }

    pub(crate) fn in_flight(&self) -> Vec<InFlight> {
        let mut found = Vec::new();
        for shard in &self.shards {
            let shard = lock(&shard.0);
            found.extend(shard.slots.iter().map(|slot| slot.facts.describe(slot.ids, slot.started_at)));
        }
        found
    }

    /// Whether some request has waited for an answer for this long, and the instance did nothing for anybody meanwhile.
    /// Tunnels and responses under way do not count: a quiet event stream looks the same as a stuck one.
    pub(crate) fn stalled(&self, limit: Duration) -> bool {
        let progress = self.epoch + Duration::from_millis(self.progress_ms.0.load(Ordering::Relaxed));
        let now = Instant::now();
        let is_old = |since: Instant| now.saturating_duration_since(since) >= limit;
        let waits = |slot: &Slot| slot.phase == Phase::Waiting && is_old(slot.since);
        is_old(progress) && self.shards.iter().any(|shard| lock(&shard.0).slots.iter().any(waits))
    }

    /// Breaks one request off; false where it is not here, or is decided.
    pub(crate) fn fail(&self, ids: TraceIds, incident: IncidentId) -> bool {
        for shard in &self.shards {
            let mut shard = lock(&shard.0);
            let Some(slot) = shard.slots.iter_mut().find(|slot| slot.ids == ids && slot.verdict.is_none())
            else {
                continue;
            };
            let verdict = match slot.phase {
                Phase::Connecting | Phase::Waiting => Verdict::Refuse(Some(incident)),
                Phase::Streaming | Phase::Tunnel => Verdict::Abort(Some(incident)),
            };
            let waker = slot.decide(verdict);
            drop(shard);
            waker.into_iter().for_each(Waker::wake);
            return true;
        }
        false
    }

    /// Decides about everything that is still under way.
    pub(crate) fn evict(&self, incident: Option<IncidentId>) -> Evicted {
        let mut evicted = Evicted::default();
        for shard in &self.shards {
            let mut wakers = Vec::new();
            for slot in lock(&shard.0).slots.iter_mut().filter(|slot| slot.verdict.is_none()) {
                let verdict = slot.eviction(incident);
                match verdict {
                    Verdict::Retry(_) => evicted.retried += 1,
                    Verdict::Refuse(_) => evicted.failed += 1,
                    Verdict::Abort(_) => evicted.aborted += 1,
                }
                wakers.extend(slot.decide(verdict));
            }
            wakers.into_iter().for_each(Waker::wake);
        }
        evicted
    }
}

impl Settled {
    fn tell(&self) {
        if self.watchers.load(Ordering::SeqCst) > 0 {
            self.ended.notify_waiters();
        }
    }

    /// Returns once `is_settled` says so; asks again whenever a request ended.
    pub(crate) async fn wait(&self, is_settled: impl Fn() -> bool) {
        let _watch = Watch::new(&self.watchers);
        loop {
            let mut ended = std::pin::pin!(self.ended.notified());
            // Registered before the question, or the last notification could fall in between.
            ended.as_mut().enable();
            if is_settled() {
                return;
            }
            ended.await;
        }
    }
}

/// Counts a waiting task for as long as it waits.
struct Watch<'a>(&'a AtomicU32);

impl<'a> Watch<'a> {
    fn new(watchers: &'a AtomicU32) -> Self {
        watchers.fetch_add(1, Ordering::SeqCst);
        Self(watchers)
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Table {
    /// The members of a route's service, also where the table is a later one than the route's.
    pub(crate) fn members(&self, route: &PlannedRoute) -> Option<&Members> {
        let is_its = |members: &&Members| *members.service == route.spec.service;
        self.members.get(route.service).filter(is_its).or_else(|| self.members.iter().find(is_its))
    }
}

impl Members {
    /// The one with this serial number.
    pub(crate) fn by_serial(&self, serial: u64) -> Option<&Arc<Instance>> {
        self.instances.iter().find(|instance| instance.serial == serial)
    }

    /// The less loaded of two chosen at random (the power of two choices), leaving out those already tried
    /// and those that are known to be down, unless all are.
    pub(crate) fn pick(&self, tried: &[u64]) -> Option<&Arc<Instance>> {
        let n = self.instances.len();
        if n > 2 && tried.is_empty() {
            let first = fastrand::usize(..n);
            let second = (first + fastrand::usize(1..n)) % n;
            let pair = [self.instances.get(first)?, self.instances.get(second)?];
            if pair.iter().all(|instance| instance.is_up()) {
                return pair.into_iter().min_by_key(|instance| instance.count());
            }
        }
        // Few, a retry, or trouble: look at all of them, beginning anywhere so that equals share the work.
        let start = if n > 1 { fastrand::usize(..n) } else { 0 };
        let (after, before) = self.instances.split_at_checked(start).map(|(a, b)| (b, a))?;
        let is_new = |instance: &&Arc<Instance>| !tried.contains(&instance.serial);
        after.iter().chain(before).filter(is_new).min_by_key(|instance| (!instance.is_up(), instance.count()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slot::tests::slot;

    fn instance(serial: u64) -> Arc<Instance> {
        let addr = Upstream::Tcp(([127, 0, 0, 1], 1).into());
        let id = InstanceId(serial as u32);
        Arc::new(Instance::new(id, addr, "default".into(), false, serial, 2, Arc::default(), true))
    }

    #[test]
    fn nothing_begins_after_close_and_what_began_is_listed() {
        let instance = instance(1);
        let key = instance.register(0, || slot("/a", Phase::Connecting, true)).expect("open");
        instance.close();
        assert_eq!(instance.register(0, || unreachable!("closed")), None);
        assert_eq!(instance.register(1, || unreachable!("closed")), None);
        assert_eq!(instance.send(0, key, true), Err(Hindrance::Closed));
        assert_eq!(instance.in_flight().len(), 1);
        instance.release(0, key);
        instance.release(0, key);
        assert_eq!(instance.count(), 0);
        instance.open();
        assert!(instance.register(1, || slot("/b", Phase::Connecting, true)).is_some());
    }

    #[test]
    fn eviction_counts_what_it_decided_once() {
        let instance = instance(1);
        let keys = [
            instance.register(0, || slot("/get", Phase::Waiting, true)),
            instance.register(0, || slot("/post", Phase::Waiting, false)),
            instance.register(1, || slot("/stream", Phase::Streaming, false)),
        ];
        assert!(keys.iter().all(Option::is_some));
        let incident = Some(IncidentId(4));
        assert_eq!(instance.evict(incident), Evicted { retried: 1, failed: 1, aborted: 1 });
        assert_eq!(instance.evict(incident), Evicted::default());
        let mut cx = Context::from_waker(Waker::noop());
        assert_eq!(instance.poll_verdict(0, 1, &mut cx), Poll::Ready(Verdict::Refuse(incident)));
        // An answer that comes after the verdict is too late: the request was counted as sent elsewhere.
        assert_eq!(instance.answered(0, 0, Phase::Streaming, Instant::now()), Err(Verdict::Retry(incident)));
    }

    #[test]
    fn a_request_is_failed_by_its_own_traceparent_only() {
        let instance = instance(1);
        let mut ids = TraceIds::fresh();
        instance.register(1, || Slot { ids, ..slot("/a", Phase::Waiting, true) });
        assert!(!instance.fail(ids.child(), IncidentId(1)));
        assert!(instance.fail(ids, IncidentId(1)));
        assert!(!instance.fail(ids, IncidentId(2)), "already decided");
        ids = ids.child();
        assert!(!instance.fail(ids, IncidentId(1)));
    }

    #[test]
    fn only_waiting_requests_stall() {
        let instance = instance(1);
        assert!(!instance.stalled(Duration::ZERO), "nothing in flight");
        let streaming = instance.register(0, || slot("/events", Phase::Streaming, false));
        assert!(streaming.is_some() && !instance.stalled(Duration::ZERO));
        instance.register(1, || slot("/stuck", Phase::Waiting, true));
        assert!(instance.stalled(Duration::ZERO));
        assert!(!instance.stalled(Duration::from_secs(60)));
    }

    #[test]
    fn the_less_loaded_instance_is_picked_and_tried_ones_are_not() {
        let members = Members { service: "default".into(), instances: (1..=3).map(instance).collect() };
        let serial = |picked: Option<&Arc<Instance>>| picked.map(|picked| picked.serial);
        for other in [&members.instances[0], &members.instances[1]] {
            for _ in 0..4 {
                other.register(0, || slot("/", Phase::Waiting, true));
            }
        }
        let idle = (0..300).filter(|_| serial(members.pick(&[])) == Some(3)).count();
        assert!((150..=250).contains(&idle), "in two of three pairs: {idle} of 300");
        assert_eq!(serial(members.pick(&[1, 3])), Some(2));
        assert!(members.pick(&[1, 2, 3]).is_none());
        members.instances[2].connect_failed(Duration::from_secs(1));
        assert!((0..100).all(|_| serial(members.pick(&[])) != Some(3)), "it is down");
        for down in &members.instances {
            down.connect_failed(Duration::from_secs(1));
        }
        assert!(members.pick(&[]).is_some(), "where all are down, trying costs nothing");
        assert!(Members { service: "none".into(), instances: Vec::new() }.pick(&[]).is_none());
    }

    #[tokio::test]
    async fn waiting_ends_when_the_last_request_ends() {
        let instance = instance(1);
        let instance = &instance;
        let at_most = |n: u32| instance.settled.wait(move || instance.count() <= n);
        at_most(0).await;
        let key = instance.register(0, || slot("/", Phase::Waiting, true)).expect("open");
        at_most(1).await;
        let mut waiting = std::pin::pin!(at_most(0));
        assert!(waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        instance.release(0, key);
        tokio::time::timeout(Duration::from_secs(20), waiting).await.expect("told that the request ended");
    }
}
