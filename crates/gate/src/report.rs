//! What the gate tells of requests: to the [`Observer`], as borrowed views that cost nothing to make.

use std::net::IpAddr;

use freezeframe_model::{Exchange, InstanceId, Outcome};
use http::Method;

use crate::plan::Route;
use crate::upstream::Upstream;

/// Is told of every finished request.
pub trait Observer: Send + Sync {
    /// Called once per request of interest on the worker's thread, after its last byte: it must be cheap and must not block.
    fn exchange(&self, exchange: &Exchange);

    /// Whether [`Observer::exchange`] wants to know of a request that ended so. An [`Exchange`] owns its texts: where nobody
    /// wants it, it is not made.
    fn is_of_interest(&self, status: u16, outcome: &Outcome) -> bool {
        let _ = (status, outcome);
        true
    }

    /// Called once per request on the worker's thread, with what metrics are made of: it must be cheap and must not block.
    fn finished(&self, finished: &Finished<'_>) {
        let _ = finished;
    }
}

/// A request that is over, as metrics and the access log see it.
#[derive(Clone, Copy, Debug)]
pub struct Finished<'a> {
    /// Which worker tells: each calls from its own thread only, so that per-worker counters need no lock.
    pub worker: usize,
    /// The client's address.
    pub peer: IpAddr,
    /// HTTP method.
    pub method: &'a Method,
    /// Path without query, at most 1,024 bytes of it.
    pub path: &'a str,
    /// The route that it took, if it came so far.
    pub route: Option<&'a Route>,
    /// The route's place in the table in use when it came: an index for per-route counters.
    pub route_index: Option<usize>,
    /// The instance it went to last.
    pub instance: Option<InstanceId>,
    /// Status that the client saw; 0 where there was none.
    pub status: u16,
    /// How it ended.
    pub outcome: &'a Outcome,
    /// Which bound was hit, where the gate refused it to protect something.
    pub shed: Option<&'static str>,
    /// Times that it was sent again.
    pub retries: u32,
    /// Bytes of the response's body that were passed on.
    pub response_bytes: u64,
    /// Time in the queue, in microseconds.
    pub queue_us: u64,
    /// Time from when it was sent to the instance to the head of the response, in microseconds, where both happened.
    pub service_us: Option<u64>,
    /// Time from its arrival to its last byte, in microseconds.
    pub total_us: u64,
}

/// A service, and what it is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceState {
    /// Its name.
    pub name: String,
    /// Instances that get requests.
    pub instances: usize,
    /// Requests that they are working on.
    pub in_flight: u32,
    /// As many as each of them may have.
    pub in_flight_max: Option<u32>,
    /// Requests that wait for a place.
    pub queued: u32,
    /// As many as may wait.
    pub queue_max: u32,
}

/// A fixed upstream, and whether it takes connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamState {
    /// Its number in exchanges.
    pub id: InstanceId,
    /// Whose it is.
    pub service: String,
    /// Where it is.
    pub upstream: Upstream,
    /// Whether it gets requests.
    pub up: bool,
}
