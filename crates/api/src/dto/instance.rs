//! What runs at the moment.

use freezeframe_model::InstanceView;
use serde::{Deserialize, Serialize};

use crate::words::rfc3339;

/// What runs at the moment: `freezeframe-instances/1`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct InstanceList {
    /// `freezeframe-instances/1`.
    pub schema: String,
    /// In the daemon's order.
    pub instances: Vec<InstanceShape>,
}

/// One instance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct InstanceShape {
    /// Its number.
    pub id: u32,
    /// `starting`, `spare`, `serving`, `draining`, `held`, `stopping`.
    pub role: String,
    /// Process id; null before it runs.
    pub pid: Option<i32>,
    /// Port it listens on.
    pub port: u16,
    /// Since when it has this role: RFC 3339.
    pub since: String,
    /// Requests it is working on.
    pub in_flight: u32,
    /// Whether traps are planted in it.
    pub armed: bool,
    /// Why not, where they are not.
    pub not_armed_because: Option<String>,
    /// The incident it is held for.
    pub incident: Option<String>,
}

impl From<&[InstanceView]> for InstanceList {
    fn from(instances: &[InstanceView]) -> Self {
        Self {
            schema: "freezeframe-instances/1".to_owned(),
            instances: instances.iter().map(InstanceShape::from).collect(),
        }
    }
}

impl From<&InstanceView> for InstanceShape {
    fn from(view: &InstanceView) -> Self {
        Self {
            id: view.id.0,
            role: view.role.as_str().to_owned(),
            pid: Some(view.pid).filter(|pid| *pid > 0),
            port: view.port,
            since: rfc3339(view.since),
            in_flight: view.in_flight,
            armed: view.armed.is_ok(),
            not_armed_because: view.armed.clone().err(),
            incident: view.incident.map(|id| id.to_string()),
        }
    }
}
