//! Who did what: every action and every look behind a redaction. Append-only for callers, bounded in size.

use freezeframe_model::{AuditEntry, IncidentId, Timestamp};
use rusqlite::{Connection, Params, params};

use crate::{Store, StoreError, rows};

/// Entries that are kept; the oldest go first.
const MAX_ENTRIES: i64 = 100_000;
/// Characters that are kept of `who` and `what`.
const MAX_NAME: usize = 256;
/// Characters that are kept of `detail`.
const MAX_DETAIL: usize = 4096;

impl Store {
    /// Records an action, durably. Texts are shortened to 256 (`who`, `what`) and 4096 (`detail`) characters.
    pub fn audit(
        &self,
        who: &str,
        what: &str,
        incident: Option<IncidentId>,
        detail: &str,
    ) -> Result<(), StoreError> {
        let entry = AuditEntry {
            at: Timestamp::now(),
            who: who.chars().take(MAX_NAME).collect(),
            what: what.chars().take(MAX_NAME).collect(),
            incident,
            detail: detail.chars().take(MAX_DETAIL).collect(),
        };
        let mut state = self.writable()?;
        self.with_room(&mut state, "the audit log", |db| append(db, &entry))
    }

    /// The last `limit` actions, newest first.
    pub fn audit_log(&self, limit: usize) -> Result<Vec<AuditEntry>, StoreError> {
        let state = self.lock();
        let sql = "ORDER BY id DESC LIMIT ?1";
        let read = entries(&state.db, sql, [rows::signed(limit as u64)]);
        read.map_err(StoreError::database("read the audit log"))
    }
}

/// The last `limit` actions on one incident, oldest first.
pub(crate) fn of_incident(
    db: &Connection,
    id: IncidentId,
    limit: usize,
) -> rusqlite::Result<Vec<AuditEntry>> {
    let sql = "WHERE incident = ?1 ORDER BY id DESC LIMIT ?2";
    let mut newest_first = entries(db, sql, params![rows::key(id), rows::signed(limit as u64)])?;
    newest_first.reverse();
    Ok(newest_first)
}

fn entries(db: &Connection, rest: &str, values: impl Params) -> rusqlite::Result<Vec<AuditEntry>> {
    let mut statement =
        db.prepare_cached(&format!("SELECT at, who, what, incident, detail FROM audit {rest}"))?;
    let rows = statement.query_map(values, |row| {
        let incident = row.get::<_, Option<i64>>(3)?.and_then(|id| u64::try_from(id).ok());
        Ok(AuditEntry {
            at: Timestamp(row.get(0)?),
            who: row.get(1)?,
            what: row.get(2)?,
            incident: incident.map(IncidentId),
            detail: row.get(4)?,
        })
    })?;
    rows.collect()
}

pub(crate) fn append(db: &Connection, entry: &AuditEntry) -> rusqlite::Result<()> {
    let transaction = db.unchecked_transaction()?;
    let sql = "INSERT INTO audit (at, who, what, incident, detail) VALUES (?1, ?2, ?3, ?4, ?5)";
    let incident = entry.incident.map(rows::key);
    transaction.prepare_cached(sql)?.execute(params![
        entry.at.0,
        entry.who,
        entry.what,
        incident,
        entry.detail
    ])?;
    let newest = transaction.last_insert_rowid();
    transaction.prepare_cached("DELETE FROM audit WHERE id <= ?1")?.execute([newest - MAX_ENTRIES])?;
    transaction.commit()
}
