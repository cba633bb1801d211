//! What people wrote and did about an incident, and what is known of its kind of error besides it.

use serde::{Deserialize, Serialize};

use crate::{IncidentId, Timestamp};

/// Something that a person wrote about an incident.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Its number, unique in one data directory.
    pub id: u64,
    /// When it was written.
    pub at: Timestamp,
    /// The person, as in the audit log.
    pub who: String,
    /// Plain text.
    pub text: String,
}

/// One action in the audit log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// When it was recorded.
    pub at: Timestamp,
    /// The person or part that acted.
    pub who: String,
    /// The action, for example `release`.
    pub what: String,
    /// The incident acted upon, where there is one.
    pub incident: Option<IncidentId>,
    /// Anything else.
    pub detail: String,
}

/// Who takes care of an incident.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The person, as in the audit log.
    pub who: String,
    /// Since when.
    pub at: Timestamp,
}

/// What people wrote and did about one incident.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// Who acknowledged it last.
    pub owner: Option<Owner>,
    /// Oldest first.
    pub notes: Vec<Note>,
    /// Oldest first.
    pub audit: Vec<AuditEntry>,
}

/// What is known of an incident's fingerprint and build from before it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sightings {
    /// The first occurrence of the fingerprint here; the incident's own time where it is new.
    pub first_seen: Timestamp,
    /// Occurrences before this incident, captured or only counted.
    pub seen_before: u64,
    /// When an instance of this build served first, where that is known.
    pub build_since: Option<Timestamp>,
    /// Revision of the sources that the build was made from, where it was configured.
    pub revision: Option<String>,
}
