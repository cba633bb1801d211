//! What runs, how much it does, and how that went in the last hour.

use serde::{Deserialize, Serialize};

use super::InstanceShape;

/// What runs and what it does: `freezeframe-fleet/1`. Rates are those of the last 10 seconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct FleetAnswer {
    /// `freezeframe-fleet/1`.
    pub schema: String,
    /// When this was so: RFC 3339.
    pub at: String,
    /// Name of the service.
    pub service: String,
    /// Instances in routing.
    pub serving: u32,
    /// Instances that should be in routing.
    pub wanted: u32,
    /// Held processes.
    pub held: u32,
    /// As many as may be held.
    pub held_max: u32,
    /// Instances that are ready to take over.
    pub spares: u32,
    /// Spares that there should be.
    pub spares_wanted: u32,
    /// Requests per second.
    pub rate_per_s: f64,
    /// The part of them that was refused to protect the service, 0 to 1.
    pub shed_share: f64,
    /// The part of them that was answered 5xx, 0 to 1.
    pub error_share: f64,
    /// Half of the requests took at most so long, in milliseconds; null without requests.
    pub p50_ms: Option<f64>,
    /// 99 % of the requests took at most so long, in milliseconds; null without requests.
    pub p99_ms: Option<f64>,
    /// Resident memory of everything held, in bytes.
    pub held_bytes: u64,
    /// As much as may be held.
    pub held_bytes_max: u64,
    /// Every process tree of the service.
    pub instances: Vec<FleetInstance>,
    /// What the gate routes to, and its limits.
    pub gate: Vec<GateService>,
}

/// One instance and what it does.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct FleetInstance {
    /// As in the list of instances.
    #[serde(flatten)]
    pub instance: InstanceShape,
    /// `shop/2`.
    pub name: String,
    /// Build of its executable, hexadecimal; empty where it is not known.
    pub build_id: String,
    /// Requests per second that it answered.
    pub rate_per_s: f64,
    /// 99 % of them took at most so long, in milliseconds; null without requests.
    pub p99_ms: Option<f64>,
    /// Resident memory of its process tree, in bytes; null where it cannot be read.
    pub memory_bytes: Option<u64>,
    /// When it was started: RFC 3339.
    pub started_at: String,
    /// When the lease of its hold ends: RFC 3339; null where it is not held.
    pub lease_until: Option<String>,
}

/// One of the gate's services: what is under way, and how much may be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct GateService {
    /// Its name.
    pub name: String,
    /// Instances that get requests.
    pub instances: usize,
    /// Requests that they are working on.
    pub in_flight: u32,
    /// As many as each may have; null is no limit.
    pub in_flight_max: Option<u32>,
    /// Requests that wait for a place.
    pub queued: u32,
    /// As many as may wait.
    pub queue_max: u32,
}

/// How the last hour went: `freezeframe-fleet-history/1`. It begins with the daemon.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct HistoryAnswer {
    /// `freezeframe-fleet-history/1`.
    pub schema: String,
    /// Seconds that a column stands for.
    pub column_s: u32,
    /// Oldest first.
    pub columns: Vec<HistoryColumn>,
    /// What happened meanwhile, oldest first.
    pub markers: Vec<HistoryMarker>,
}

/// The requests that ended within some seconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct HistoryColumn {
    /// When it began: RFC 3339.
    pub at: String,
    /// Requests.
    pub requests: u64,
    /// Those of them that were refused to protect the service.
    pub shed: u64,
    /// Those of them that were answered 5xx.
    pub errors: u64,
    /// How long they took: the upper bound of a bucket in microseconds and how many are in it, shortest first; empty buckets are left out.
    /// A bucket begins at its upper bound divided by 2^(1/32).
    pub buckets: Vec<(f64, u64)>,
}

/// Something that happened, on the axis of time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct HistoryMarker {
    /// RFC 3339.
    pub at: String,
    /// `incident`, `deploy`.
    pub kind: String,
    /// Number of the incident; null for a deploy.
    pub incident: Option<String>,
    /// In words.
    pub text: String,
}
