//! What runs, how much it does, and how that went in the last hour, as the API tells it. A daemon that does not tell it yet is asked
//! what it has: its instances, without rates and durations.

use serde::{Deserialize, Serialize};

use freezeframe_api::dto::{InstanceList, InstanceShape};
use freezeframe_api::words::rfc3339;
use freezeframe_model::Timestamp;

/// What runs and what it does: `freezeframe-fleet/1`. Rates are those of the last 10 seconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct FleetAnswer {
    /// `freezeframe-fleet/1`.
    pub(crate) schema: String,
    /// When this was so: RFC 3339.
    pub(crate) at: String,
    /// Name of the service.
    pub(crate) service: String,
    /// Instances in routing.
    pub(crate) serving: u32,
    /// Instances that should be in routing.
    pub(crate) wanted: u32,
    /// Held processes.
    pub(crate) held: u32,
    /// As many as may be held.
    pub(crate) held_max: u32,
    /// Instances that are ready to take over.
    pub(crate) spares: u32,
    /// Spares that there should be.
    pub(crate) spares_wanted: u32,
    /// Requests per second.
    pub(crate) rate_per_s: f64,
    /// The part of them that was refused to protect the service, 0 to 1.
    pub(crate) shed_share: f64,
    /// The part of them that was answered 5xx, 0 to 1.
    pub(crate) error_share: f64,
    /// Half of the requests took at most so long, in milliseconds; null without requests.
    pub(crate) p50_ms: Option<f64>,
    /// 99 % of the requests took at most so long, in milliseconds; null without requests.
    pub(crate) p99_ms: Option<f64>,
    /// Resident memory of everything held, in bytes.
    pub(crate) held_bytes: u64,
    /// As much as may be held.
    pub(crate) held_bytes_max: u64,
    /// Every process tree of the service.
    pub(crate) instances: Vec<FleetInstance>,
    /// What the gate routes to, and its limits.
    pub(crate) gate: Vec<GateService>,
}

/// One instance and what it does.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct FleetInstance {
    /// As in the list of instances.
    #[serde(flatten)]
    pub(crate) instance: InstanceShape,
    /// `shop/2`.
    pub(crate) name: String,
    /// Build of its executable, hexadecimal; empty where it is not known.
    pub(crate) build_id: String,
    /// Requests per second that it answered.
    pub(crate) rate_per_s: f64,
    /// 99 % of them took at most so long, in milliseconds; null without requests.
    pub(crate) p99_ms: Option<f64>,
    /// Resident memory of its process tree, in bytes; null where it cannot be read.
    pub(crate) memory_bytes: Option<u64>,
    /// When it was started: RFC 3339.
    pub(crate) started_at: String,
    /// When the lease of its hold ends: RFC 3339; null where it is not held.
    pub(crate) lease_until: Option<String>,
}

/// One of the gate's services: what is under way, and how much may be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct GateService {
    /// Its name.
    pub(crate) name: String,
    /// Instances that get requests.
    pub(crate) instances: usize,
    /// Requests that they are working on.
    pub(crate) in_flight: u32,
    /// As many as each may have; null is no limit.
    pub(crate) in_flight_max: Option<u32>,
    /// Requests that wait for a place.
    pub(crate) queued: u32,
    /// As many as may wait.
    pub(crate) queue_max: u32,
}

/// How the last hour went: `freezeframe-fleet-history/1`. It begins with the daemon.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct HistoryAnswer {
    /// `freezeframe-fleet-history/1`.
    pub(crate) schema: String,
    /// Seconds that a column stands for.
    pub(crate) column_s: u32,
    /// Oldest first.
    pub(crate) columns: Vec<HistoryColumn>,
    /// What happened meanwhile, oldest first.
    pub(crate) markers: Vec<HistoryMarker>,
}

/// The requests that ended within some seconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct HistoryColumn {
    /// When it began: RFC 3339.
    pub(crate) at: String,
    /// Requests.
    pub(crate) requests: u64,
    /// Those of them that were refused to protect the service.
    pub(crate) shed: u64,
    /// Those of them that were answered 5xx.
    pub(crate) errors: u64,
    /// How long they took: the upper bound of a bucket in microseconds and how many are in it, shortest first; empty buckets are left out.
    /// A bucket begins at its upper bound divided by 2^(1/32).
    pub(crate) buckets: Vec<(f64, u64)>,
}

/// Something that happened, on the axis of time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct HistoryMarker {
    /// RFC 3339.
    pub(crate) at: String,
    /// `incident`, `deploy`.
    pub(crate) kind: String,
    /// Number of the incident; null for a deploy.
    pub(crate) incident: Option<String>,
    /// In words.
    pub(crate) text: String,
}

impl From<InstanceList> for FleetAnswer {
    fn from(list: InstanceList) -> Self {
        let count = |role: &str| {
            let found = list.instances.iter().filter(|instance| instance.role == role).count();
            u32::try_from(found).unwrap_or(u32::MAX)
        };
        let (serving, spares) = (count("serving"), count("spare"));
        Self {
            schema: "freezeframe-fleet/1".to_owned(),
            at: rfc3339(Timestamp::now()),
            serving,
            wanted: serving,
            held: count("held"),
            spares,
            spares_wanted: spares,
            rate_per_s: f64::NAN,
            shed_share: f64::NAN,
            error_share: f64::NAN,
            instances: list.instances.into_iter().map(FleetInstance::from).collect(),
            ..Self::default()
        }
    }
}

impl From<InstanceShape> for FleetInstance {
    fn from(instance: InstanceShape) -> Self {
        let (name, started_at) = (instance.id.to_string(), instance.since.clone());
        Self { instance, name, started_at, rate_per_s: f64::NAN, ..Self::default() }
    }
}
