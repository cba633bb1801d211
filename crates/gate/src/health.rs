//! Passive health of fixed upstreams: one that refuses connections gets no requests until a probe gets through.
//!
//! Supervised instances have none of this: whoever supervises them says when they are routed. A probe is a connection that is
//! closed again; it knows nothing of HTTP.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::spawn_local;
use tokio::time::{sleep, timeout};

use crate::route::Instance;
use crate::upstream::UpstreamStream;
use crate::worker::Worker;

/// Pauses grow up to so many times the first.
const BACKOFF_MAX: u32 = 32;
/// Time between two looks for probes that are due, as a part of the first pause.
const LOOKS_PER_PAUSE: u32 = 4;

/// Whether an upstream takes connections, as far as is known.
#[derive(Debug, Default)]
pub(crate) struct Health {
    /// Connections that failed in a row.
    failures: AtomicU32,
    /// When to try again, in milliseconds after the instance's epoch; 0 while nothing is wrong.
    probe_at_ms: AtomicU64,
}

impl Health {
    pub(crate) fn is_up(&self) -> bool {
        self.probe_at_ms.load(Ordering::Relaxed) == 0
    }

    /// A connection failed `now_ms` after the epoch. True where that is news.
    pub(crate) fn failed(&self, now_ms: u64, first_pause: Duration) -> bool {
        let before = self.failures.fetch_add(1, Ordering::Relaxed).min(31);
        let pause =
            first_pause.saturating_mul(1_u32.checked_shl(before).unwrap_or(BACKOFF_MAX).min(BACKOFF_MAX));
        // Not all at the same moment, where many upstreams went down together.
        let pause = pause.mul_f32(0.75 + 0.5 * fastrand::f32());
        let at = now_ms.saturating_add(u64::try_from(pause.as_millis()).unwrap_or(u64::MAX)).max(1);
        self.probe_at_ms.swap(at, Ordering::Relaxed) == 0
    }

    fn is_due(&self, now_ms: u64) -> bool {
        let at = self.probe_at_ms.load(Ordering::Relaxed);
        at != 0 && at <= now_ms
    }

    fn recovered(&self) {
        self.failures.store(0, Ordering::Relaxed);
        self.probe_at_ms.store(0, Ordering::Relaxed);
    }
}

/// Probes for as long as the worker lives. One worker does it for all.
pub(crate) async fn probe_all(worker: Rc<Worker>) {
    let first_pause = worker.shared.config.first_probe();
    loop {
        sleep(first_pause / LOOKS_PER_PAUSE).await;
        let table = worker.shared.table.load_full();
        for instance in table.members.iter().flat_map(|members| &members.instances) {
            if let Some(health) = &instance.health
                && health.is_due(instance.now_ms())
            {
                // Claimed before it is tried: a slow probe is not begun twice.
                health.failed(instance.now_ms(), first_pause);
                spawn_local(probe(Rc::clone(&worker), Arc::clone(instance)));
            }
        }
    }
}

async fn probe(worker: Rc<Worker>, instance: Arc<Instance>) {
    let connecting = UpstreamStream::connect(&instance.addr);
    let result = timeout(worker.shared.config.connect_timeout(), connecting).await;
    if let (Ok(Ok(_)), Some(health)) = (result, &instance.health) {
        health.recovered();
        tracing::info!(service = &*instance.service, upstream = %instance.addr, "takes connections again");
        worker.shared.doors.refresh(&worker.shared.table);
        worker.shared.changed.send_replace(());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_limit_and_a_probe_ends_them() {
        let health = Health::default();
        let pause = Duration::from_secs(1);
        assert!(health.is_up() && !health.is_due(u64::MAX));
        assert!(health.failed(0, pause) && !health.is_up());
        assert!(!health.is_due(749) && health.is_due(1250));
        assert!(!health.failed(0, pause), "known already");
        assert!(!health.is_due(1499) && health.is_due(2500));
        assert!((0..100).all(|_| !health.failed(0, pause)));
        assert!(!health.is_due(23_999) && health.is_due(40_000));
        health.recovered();
        assert!(health.is_up() && health.failed(0, pause) && health.is_due(1250));
    }
}
