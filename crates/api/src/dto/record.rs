//! What people wrote and did.

use freezeframe_model::{AuditEntry, IncidentId, Note, Owner};
use serde::{Deserialize, Serialize};

use crate::words::rfc3339;

/// Body of `POST …/notes`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(deny_unknown_fields)]
pub struct NoteBody {
    /// Plain text, at most 4,000 characters.
    pub text: String,
}

/// Notes of an incident: `freezeframe-notes/1`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct NoteList {
    /// `freezeframe-notes/1`.
    pub schema: String,
    /// Oldest first.
    pub notes: Vec<NoteShape>,
}

/// A note: the answer to `POST …/notes`, an event, and a line of the list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct NoteShape {
    /// `freezeframe-note/1`.
    pub schema: String,
    /// Of which incident.
    pub incident: String,
    /// Its number.
    pub id: u64,
    /// RFC 3339.
    pub at: String,
    /// Who wrote it.
    pub who: String,
    /// Plain text.
    pub text: String,
}

/// Audit trail of an incident: `freezeframe-audit/1`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct AuditList {
    /// `freezeframe-audit/1`.
    pub schema: String,
    /// Oldest first.
    pub entries: Vec<AuditShape>,
}

/// Somebody did something: an event, and a line of the trail.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct AuditShape {
    /// The incident; null where it was about none.
    pub incident: Option<String>,
    /// RFC 3339.
    pub at: String,
    /// The person or part that acted.
    pub who: String,
    /// `release`, `reveal`, …
    pub action: String,
    /// Anything else.
    pub detail: String,
}

/// Answer to `POST …/acknowledge`: `freezeframe-owner/1`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct OwnerAnswer {
    /// `freezeframe-owner/1`.
    pub schema: String,
    /// Of which incident.
    pub incident: String,
    /// Who has it now.
    pub owner: String,
    /// Since when: RFC 3339.
    pub acknowledged_at: String,
}

impl NoteShape {
    /// The shape of a note.
    pub fn new(incident: IncidentId, note: &Note) -> Self {
        Self {
            schema: "freezeframe-note/1".to_owned(),
            incident: incident.to_string(),
            id: note.id,
            at: rfc3339(note.at),
            who: note.who.clone(),
            text: note.text.clone(),
        }
    }
}

impl OwnerAnswer {
    /// The shape of an owner.
    pub fn new(incident: IncidentId, owner: &Owner) -> Self {
        Self {
            schema: "freezeframe-owner/1".to_owned(),
            incident: incident.to_string(),
            owner: owner.who.clone(),
            acknowledged_at: rfc3339(owner.at),
        }
    }
}

impl From<&AuditEntry> for AuditShape {
    fn from(entry: &AuditEntry) -> Self {
        Self {
            incident: entry.incident.map(|id| id.to_string()),
            at: rfc3339(entry.at),
            who: entry.who.clone(),
            action: entry.what.clone(),
            detail: entry.detail.clone(),
        }
    }
}
