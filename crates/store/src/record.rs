//! What people did about an incident, and what is known of its kind of error from before it.

use freezeframe_model::{Incident, IncidentId, Record, Sightings, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};

use crate::rows::{key, unsigned};
use crate::{Store, StoreError, audit};

/// Entries of the audit log that one incident shows: the newest.
const MAX_AUDIT: usize = 1000;

impl Store {
    /// What people did about an incident; empty where there is none of that number.
    pub fn record(&self, id: IncidentId) -> Result<Record, StoreError> {
        let state = self.lock();
        let read = || {
            Ok::<_, rusqlite::Error>(Record {
                audit: audit::of_incident(&state.db, id, MAX_AUDIT)?,
                ..Record::default()
            })
        };
        read().map_err(StoreError::database("read what was done about an incident"))
    }

    /// What is known of an incident's fingerprint from before it.
    pub fn sightings(&self, incident: &Incident) -> Result<Sightings, StoreError> {
        let state = self.lock();
        sightings(&state.db, incident).map_err(StoreError::database("read earlier incidents"))
    }
}

/// Imported incidents happened elsewhere and are left out.
fn sightings(db: &Connection, incident: &Incident) -> rusqlite::Result<Sightings> {
    let fingerprint = incident.fingerprint.to_string();
    let sql = "SELECT min(captured_at), coalesce(sum(count) FILTER (WHERE id < ?2), 0) FROM incidents
               WHERE fingerprint = ?1 AND origin IS NULL";
    let values = params![fingerprint, key(incident.id)];
    let (captured, before): (Option<i64>, i64) =
        db.prepare_cached(sql)?.query_row(values, |row| Ok((row.get(0)?, row.get(1)?)))?;
    let sql = "SELECT first_at FROM occurrences WHERE fingerprint = ?1 AND first_at <= ?2";
    let values = params![fingerprint, incident.captured_at.0];
    let counted: Option<i64> = db.prepare_cached(sql)?.query_row(values, |row| row.get(0)).optional()?;
    let first = [captured, counted].into_iter().flatten().min().unwrap_or(incident.captured_at.0);
    Ok(Sightings {
        first_seen: Timestamp(first.min(incident.captured_at.0)),
        seen_before: unsigned(before),
        ..Sightings::default()
    })
}
