//! All SQL of incidents, counters and occurrences.
//!
//! A row carries the columns that are searched for and the incident as versioned JSON. Three columns overrule the JSON
//! when a row is read, because the caller's copy of an incident cannot know them: `count` (occurrences that were only
//! counted), `evicted` (why the capsule is gone), and `origin` (the id under which an imported capsule was recorded).

use std::path::Path;
use std::time::Duration;

use freezeframe_model::{Fingerprint, Incident, IncidentId, Loss, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::{StoreError, format};

/// One script per version; the position is the version it leads to.
const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE incidents (
        id INTEGER PRIMARY KEY,
        state TEXT NOT NULL,
        kind TEXT NOT NULL,
        fingerprint TEXT NOT NULL,
        captured_at INTEGER NOT NULL,
        updated_at INTEGER NOT NULL,
        count INTEGER NOT NULL,
        capsule_bytes INTEGER NOT NULL,
        capsule_files INTEGER NOT NULL,
        evicted TEXT,
        origin TEXT,
        body TEXT NOT NULL
    ) STRICT;
    CREATE INDEX incidents_by_fingerprint ON incidents (fingerprint, id);
    CREATE INDEX incidents_by_state ON incidents (state, id);
    CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;
    CREATE TABLE occurrences (
        fingerprint TEXT PRIMARY KEY,
        count INTEGER NOT NULL,
        first_at INTEGER NOT NULL,
        last_at INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE audit (
        id INTEGER PRIMARY KEY,
        at INTEGER NOT NULL,
        who TEXT NOT NULL,
        what TEXT NOT NULL,
        incident INTEGER,
        detail TEXT NOT NULL
    ) STRICT;
",
    crate::accounts::TABLES,
    crate::record::TABLES,
];

/// Fingerprints whose occurrences are counted; beyond it the one not seen for longest is forgotten.
const MAX_FINGERPRINTS: i64 = 10_000;

/// What a capsule takes on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) bytes: u64,
    pub(crate) files: u64,
}

/// A capsule that may be given up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Victim {
    pub(crate) id: IncidentId,
    pub(crate) size: Size,
}

/// An id as SQLite stores it; ids beyond 63 bits exist nowhere and match nothing.
pub(crate) fn key(id: IncidentId) -> i64 {
    i64::try_from(id.0).unwrap_or(-1)
}

pub(crate) fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

pub(crate) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Makes every commit durable, and keeps the log short so that it does not need much room itself.
pub(crate) fn configure(db: &Connection) -> rusqlite::Result<()> {
    db.busy_timeout(Duration::from_secs(2))?;
    db.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    db.pragma_update(None, "synchronous", "FULL")?;
    db.pragma_update_and_check(None, "wal_autocheckpoint", 128, |_| Ok(()))?;
    db.pragma_update_and_check(None, "journal_size_limit", 1 << 20, |_| Ok(()))
}

/// Brings the tables to the newest version, or refuses a database from the future.
pub(crate) fn migrate(db: &mut Connection) -> Result<(), StoreError> {
    let known = MIGRATIONS.len();
    let found = version(db)?;
    if found > known as u64 {
        return Err(StoreError::NewerFormat { what: "incidents.db".to_owned(), found, known: known as u64 });
    }
    for (at, script) in MIGRATIONS.iter().enumerate().skip(usize::try_from(found).unwrap_or(known)) {
        let step = |db: &mut Connection| {
            let transaction = db.transaction()?;
            transaction.execute_batch(script)?;
            transaction.pragma_update(None, "user_version", signed(at as u64 + 1))?;
            transaction.commit()
        };
        step(db).map_err(StoreError::database("migrate the tables"))?;
    }
    Ok(())
}

/// For readers, who may not migrate.
pub(crate) fn check_version(db: &Connection, dir: &Path) -> Result<(), StoreError> {
    let known = MIGRATIONS.len() as u64;
    match version(db)? {
        found if found > known => {
            Err(StoreError::NewerFormat { what: "incidents.db".to_owned(), found, known })
        }
        found if found < known => Err(StoreError::OlderFormat(dir.to_owned())),
        _ => Ok(()),
    }
}

fn version(db: &Connection) -> Result<u64, StoreError> {
    let found = db.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0));
    found.map(unsigned).map_err(StoreError::database("read the format version"))
}

/// Adds one to a durable counter and returns it; the first is 1.
pub(crate) fn next(db: &Connection, counter: &str) -> rusqlite::Result<u64> {
    let sql = "INSERT INTO counters (name, value) VALUES (?1, 1)
               ON CONFLICT (name) DO UPDATE SET value = value + 1 RETURNING value";
    // By itself the statement would commit when it is reset, where an error (a full disk) is lost: the number would be given twice.
    let transaction = db.unchecked_transaction()?;
    let number = transaction.prepare_cached(sql)?.query_row([counter], |row| row.get(0)).map(unsigned)?;
    transaction.commit()?;
    Ok(number)
}

/// Sees to it that the counter never yields `used` again.
pub(crate) fn at_least(db: &Connection, counter: &str, used: u64) -> rusqlite::Result<()> {
    let sql = "INSERT INTO counters (name, value) VALUES (?1, ?2)
               ON CONFLICT (name) DO UPDATE SET value = max(value, ?2)";
    db.execute(sql, params![counter, signed(used)]).map(drop)
}

pub(crate) fn insert(
    db: &Connection,
    incident: &Incident,
    body: &str,
    size: Size,
    origin: Option<IncidentId>,
) -> rusqlite::Result<()> {
    let sql = "INSERT INTO incidents (id, state, kind, fingerprint, captured_at, updated_at, count,
                                      capsule_bytes, capsule_files, origin, body)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
    let values = params![
        key(incident.id),
        incident.state.as_str(),
        incident.kind.to_string(),
        incident.fingerprint.to_string(),
        incident.captured_at.0,
        incident.updated_at.0,
        signed(incident.count),
        signed(size.bytes),
        signed(size.files),
        origin.map(|id| id.to_string()),
        body
    ];
    db.prepare_cached(sql)?.execute(values).map(drop)
}

/// Returns whether there is such a row. The count never goes down: the caller may not know of counted occurrences.
pub(crate) fn update(db: &Connection, incident: &Incident, body: &str) -> rusqlite::Result<bool> {
    let sql =
        "UPDATE incidents SET state = ?2, kind = ?3, fingerprint = ?4, captured_at = ?5, updated_at = ?6,
                                    count = max(count, ?7), body = ?8 WHERE id = ?1";
    let values = params![
        key(incident.id),
        incident.state.as_str(),
        incident.kind.to_string(),
        incident.fingerprint.to_string(),
        incident.captured_at.0,
        incident.updated_at.0,
        signed(incident.count),
        body
    ];
    db.prepare_cached(sql)?.execute(values).map(|changed| changed > 0)
}

/// Records what the capsule takes now.
pub(crate) fn set_size(db: &Connection, id: IncidentId, size: Size) -> rusqlite::Result<()> {
    let sql = "UPDATE incidents SET capsule_bytes = ?2, capsule_files = ?3 WHERE id = ?1";
    db.prepare_cached(sql)?.execute(params![key(id), signed(size.bytes), signed(size.files)]).map(drop)
}

/// Records that the capsule is gone, and why.
pub(crate) fn set_evicted(db: &Connection, id: IncidentId, why: &str) -> rusqlite::Result<()> {
    let sql = "UPDATE incidents SET capsule_bytes = 0, capsule_files = 0, evicted = ?2 WHERE id = ?1";
    db.prepare_cached(sql)?.execute(params![key(id), why]).map(drop)
}

/// Records that there is a capture again.
pub(crate) fn set_restored(db: &Connection, id: IncidentId) -> rusqlite::Result<()> {
    db.prepare_cached("UPDATE incidents SET evicted = NULL WHERE id = ?1")?.execute([key(id)]).map(drop)
}

pub(crate) fn delete(db: &Connection, id: IncidentId) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM notes WHERE incident = ?1")?.execute([key(id)])?;
    db.prepare_cached("DELETE FROM incidents WHERE id = ?1")?.execute([key(id)]).map(drop)
}

pub(crate) fn exists(db: &Connection, id: IncidentId) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT 1 FROM incidents WHERE id = ?1")?.exists([key(id)])
}

/// The fingerprint of a stored incident, as text.
pub(crate) fn fingerprint_of(db: &Connection, id: IncidentId) -> rusqlite::Result<Option<String>> {
    let sql = "SELECT fingerprint FROM incidents WHERE id = ?1";
    db.prepare_cached(sql)?.query_row([key(id)], |row| row.get(0)).optional()
}

fn size(row: &Row<'_>, at: usize) -> rusqlite::Result<Size> {
    Ok(Size { bytes: unsigned(row.get(at)?), files: unsigned(row.get(at + 1)?) })
}

/// What all capsules take, rows included, and how many rows there are.
pub(crate) fn usage(db: &Connection) -> rusqlite::Result<(Size, u64)> {
    let sql = "SELECT coalesce(sum(capsule_bytes + octet_length(body)), 0), coalesce(sum(capsule_files), 0), count(*)
               FROM incidents";
    db.prepare_cached(sql)?.query_row([], |row| Ok((size(row, 0)?, unsigned(row.get(2)?))))
}

/// What the capsules of one fingerprint take.
pub(crate) fn usage_of(db: &Connection, fingerprint: &str) -> rusqlite::Result<u64> {
    let sql = "SELECT coalesce(sum(capsule_bytes), 0) FROM incidents WHERE fingerprint = ?1";
    db.prepare_cached(sql)?.query_row([fingerprint], |row| row.get(0)).map(unsigned)
}

/// The oldest capsule whose process is no longer held, apart from those in use; of one fingerprint where given.
pub(crate) fn oldest_capsule(
    db: &Connection,
    fingerprint: Option<&str>,
    busy: &[IncidentId],
) -> rusqlite::Result<Option<Victim>> {
    let sql = "SELECT id, capsule_bytes, capsule_files FROM incidents
               WHERE state NOT IN ('draining', 'held') AND capsule_files > 0 AND (?1 IS NULL OR fingerprint = ?1)
               ORDER BY id";
    let mut statement = db.prepare_cached(sql)?;
    let mut rows = statement.query([fingerprint])?;
    while let Some(row) = rows.next()? {
        let id = IncidentId(unsigned(row.get(0)?));
        if !busy.contains(&id) {
            return Ok(Some(Victim { id, size: size(row, 1)? }));
        }
    }
    Ok(None)
}

/// The oldest row whose process is no longer held, apart from those in use.
pub(crate) fn oldest_row(db: &Connection, busy: &[IncidentId]) -> rusqlite::Result<Option<IncidentId>> {
    let sql = "SELECT id FROM incidents WHERE state NOT IN ('draining', 'held') ORDER BY id";
    let mut statement = db.prepare_cached(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let id = IncidentId(unsigned(row.get(0)?));
        if !busy.contains(&id) {
            return Ok(Some(id));
        }
    }
    Ok(None)
}

/// Which rows to read; all are bounded by the number of rows that the quota allows.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Select {
    One(IncidentId),
    Newest(usize),
    Live,
    /// Imported ones stand for occurrences elsewhere and are left out.
    NewestOf(Fingerprint),
}

/// A row: its incident, or the reason why that cannot be read.
pub(crate) struct Found {
    pub(crate) id: IncidentId,
    pub(crate) incident: Result<Incident, StoreError>,
}

pub(crate) fn select(db: &Connection, which: Select) -> rusqlite::Result<Vec<Found>> {
    let columns = "SELECT id, count, evicted, body FROM incidents";
    let (rest, argument) = match which {
        Select::One(id) => ("WHERE id = ?1", rusqlite::types::Value::from(key(id))),
        Select::Newest(limit) => ("ORDER BY id DESC LIMIT ?1", signed(limit as u64).into()),
        Select::Live => ("WHERE state IN ('draining', 'held') AND ?1 ORDER BY id", 1.into()),
        Select::NewestOf(fingerprint) => (
            "WHERE fingerprint = ?1 AND origin IS NULL ORDER BY id DESC LIMIT 1",
            fingerprint.to_string().into(),
        ),
    };
    let mut statement = db.prepare_cached(&format!("{columns} {rest}"))?;
    let read = |row: &Row<'_>| Ok(Found { id: IncidentId(unsigned(row.get(0)?)), incident: read(row)? });
    statement.query_map([argument], read)?.collect()
}

fn read(row: &Row<'_>) -> rusqlite::Result<Result<Incident, StoreError>> {
    let id = IncidentId(unsigned(row.get(0)?));
    let body = row.get_ref(3)?.as_bytes()?;
    let mut incident = match format::decode_incident(body, &id.to_string()) {
        Ok(incident) => incident,
        Err(error) => return Ok(Err(error)),
    };
    incident.id = id;
    incident.count = unsigned(row.get(1)?);
    if let Some(why) = row.get::<_, Option<String>>(2)? {
        let loss = Loss { what: "capture (threads, frames, variables)".to_owned(), why };
        if !incident.not_captured.contains(&loss) {
            incident.not_captured.push(loss);
        }
    }
    Ok(Ok(incident))
}

/// Ids of all rows, whether each has a capsule, and its state is live.
pub(crate) fn capsules(db: &Connection) -> rusqlite::Result<Vec<(IncidentId, Size)>> {
    let mut statement = db.prepare("SELECT id, capsule_bytes, capsule_files FROM incidents")?;
    statement.query_map([], |row| Ok((IncidentId(unsigned(row.get(0)?)), size(row, 1)?)))?.collect()
}

/// Counts occurrences, and lets the newest incident of the fingerprint stand for them.
pub(crate) fn count(
    db: &Connection,
    fingerprint: Fingerprint,
    by: u64,
    at: Timestamp,
) -> rusqlite::Result<()> {
    let fingerprint = fingerprint.to_string();
    let transaction = db.unchecked_transaction()?;
    let known = transaction
        .prepare_cached("SELECT 1 FROM occurrences WHERE fingerprint = ?1")?
        .exists([&fingerprint])?;
    if !known {
        let sql = "DELETE FROM occurrences WHERE fingerprint IN (
                     SELECT fingerprint FROM occurrences ORDER BY last_at
                     LIMIT max(0, (SELECT count(*) FROM occurrences) - ?1))";
        transaction.prepare_cached(sql)?.execute([MAX_FINGERPRINTS - 1])?;
    }
    // Sums are clamped: SQLite would turn an overflow into a floating-point number, which the strict column refuses.
    let sql = "INSERT INTO occurrences (fingerprint, count, first_at, last_at) VALUES (?1, ?2, ?3, ?3)
               ON CONFLICT (fingerprint) DO UPDATE
               SET count = min(count, 9223372036854775807 - ?2) + ?2, last_at = max(last_at, ?3)";
    transaction.prepare_cached(sql)?.execute(params![fingerprint, signed(by), at.0])?;
    let sql = "UPDATE incidents SET count = min(count, 9223372036854775807 - ?2) + ?2
               WHERE id = (SELECT max(id) FROM incidents WHERE fingerprint = ?1 AND origin IS NULL)";
    transaction.prepare_cached(sql)?.execute(params![fingerprint, signed(by)])?;
    transaction.commit()
}

/// Occurrences that were only counted.
pub(crate) fn counted(db: &Connection, fingerprint: Fingerprint) -> rusqlite::Result<u64> {
    let sql = "SELECT count FROM occurrences WHERE fingerprint = ?1";
    let found = db.prepare_cached(sql)?.query_row([fingerprint.to_string()], |row| row.get(0)).optional()?;
    Ok(found.map_or(0, unsigned))
}
