//! What reading the configuration again changes.

use serde::{Deserialize, Serialize};

use crate::Change;

/// Query of `POST /api/v1/gate/reload`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(default, deny_unknown_fields)]
pub struct ReloadQuery {
    /// Check and compare, and change nothing.
    pub dry_run: bool,
}

/// Answer of `POST /api/v1/gate/reload`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(default)]
pub struct ReloadAnswer {
    /// `freezeframe-reload/1`.
    pub schema: String,
    /// Nothing was changed.
    pub dry_run: bool,
    /// What differs; none where the configuration is the same.
    pub changes: Vec<ChangeShape>,
}

/// One setting, service or route that differs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(default)]
pub struct ChangeShape {
    /// For people: `gate.workers 2 -> 3`.
    pub what: String,
    /// It has to wait for the next start.
    pub at_next_start: bool,
}

impl ReloadAnswer {
    /// The shape of what was found to differ.
    pub fn new(dry_run: bool, changes: Vec<Change>) -> Self {
        let shape = |change: Change| ChangeShape { what: change.what, at_next_start: change.at_next_start };
        Self {
            schema: "freezeframe-reload/1".to_owned(),
            dry_run,
            changes: changes.into_iter().map(shape).collect(),
        }
    }
}
