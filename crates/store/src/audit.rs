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
    /// Records an action, durably, and returns what is recorded. Texts are shortened to 256 (`who`, `what`) and 4096 (`detail`) characters.
    pub fn audit(
        &self,
        who: &str,
        what: &str,
        incident: Option<IncidentId>,
        detail: &str,
    ) -> Result<AuditEntry, StoreError> {
        let entry = AuditEntry {
            at: Timestamp::now(),
            who: who.to_owned(),
            what: what.to_owned(),
            incident,
            detail: detail.to_owned(),
        };
        let entry = shortened(&entry);
        let mut state = self.writable()?;
        self.with_room(&mut state, "the audit log", |db| {
            let transaction = db.unchecked_transaction()?;
            append(&transaction, &entry)?;
            transaction.commit()
        })?;
        Ok(entry)
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

fn shortened(entry: &AuditEntry) -> AuditEntry {
    let short = |text: &str, max: usize| text.chars().take(max).collect();
    AuditEntry {
        at: entry.at,
        who: short(&entry.who, MAX_NAME),
        what: short(&entry.what, MAX_NAME),
        incident: entry.incident,
        detail: short(&entry.detail, MAX_DETAIL),
    }
}

/// Within the caller's transaction, if there is one.
pub(crate) fn append(db: &Connection, entry: &AuditEntry) -> rusqlite::Result<()> {
    let entry = shortened(entry);
    let sql = "INSERT INTO audit (at, who, what, incident, detail) VALUES (?1, ?2, ?3, ?4, ?5)";
    let incident = entry.incident.map(rows::key);
    db.prepare_cached(sql)?.execute(params![entry.at.0, entry.who, entry.what, incident, entry.detail])?;
    let newest = db.last_insert_rowid();
    db.prepare_cached("DELETE FROM audit WHERE id <= ?1")?.execute([newest - MAX_ENTRIES]).map(drop)
}
