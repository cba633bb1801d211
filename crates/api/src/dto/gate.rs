//! A gate and what it is doing.

use serde::{Deserialize, Serialize};

/// `GET /api/v1/gate`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(default)]
pub struct GateStatus {
    /// `freezeframe-gate/1`.
    pub schema: String,
    /// Where clients connect.
    pub listen: String,
    /// What requests are routed to.
    pub services: Vec<ServiceShape>,
    /// Addresses that were configured.
    pub upstreams: Vec<UpstreamShape>,
    /// Lines of the access log that could not be written fast enough.
    pub log_lines_dropped: u64,
}

/// One service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(default)]
pub struct ServiceShape {
    /// Its name.
    pub name: String,
    /// Instances that get requests.
    pub instances: usize,
    /// Requests that they are working on.
    pub in_flight: u32,
    /// As many as each may have; `null` is no limit.
    pub in_flight_max: Option<u32>,
    /// Requests that wait for a place.
    pub queued: u32,
    /// As many as may wait.
    pub queue_max: u32,
}

/// One upstream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(default)]
pub struct UpstreamShape {
    /// Name of its service.
    pub service: String,
    /// Where it is.
    pub address: String,
    /// Whether it takes connections.
    pub up: bool,
    /// Requests that it is working on.
    pub in_flight: u32,
}
