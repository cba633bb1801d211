//! What people wrote and did about an incident, and what is known of its error and its build from before it.

use freezeframe_model::{
    AuditEntry, BuildId, Incident, IncidentId, Note, Owner, Record, Sightings, Timestamp,
};
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::rows::{key, signed, unsigned};
use crate::{Store, StoreError, audit, rows};

/// Entries of the audit log that one incident shows: the newest.
const MAX_AUDIT: usize = 1000;
/// Notes of one incident.
const MAX_NOTES: u64 = 500;
/// Characters that are kept of a note, and of its writer's name.
const MAX_TEXT: (usize, usize) = (4000, 256);
/// Builds that are remembered; beyond it the one seen first is forgotten.
const MAX_BUILDS: i64 = 1000;

pub(crate) const TABLES: &str = "
    ALTER TABLE incidents ADD COLUMN owner TEXT;
    ALTER TABLE incidents ADD COLUMN acknowledged_at INTEGER;
    CREATE TABLE notes (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        incident INTEGER NOT NULL,
        at INTEGER NOT NULL,
        who TEXT NOT NULL,
        text TEXT NOT NULL
    ) STRICT;
    CREATE INDEX notes_by_incident ON notes (incident, id);
    CREATE INDEX audit_by_incident ON audit (incident, id);
    CREATE TABLE builds (build_id TEXT PRIMARY KEY, first_at INTEGER NOT NULL, revision TEXT) STRICT;
";

impl Store {
    /// What people wrote and did about an incident; empty where there is none of that number.
    pub fn record(&self, id: IncidentId) -> Result<Record, StoreError> {
        let state = self.lock();
        let read = || {
            Ok::<_, rusqlite::Error>(Record {
                owner: owner(&state.db, id)?,
                notes: notes(&state.db, id)?,
                audit: audit::of_incident(&state.db, id, MAX_AUDIT)?,
            })
        };
        read().map_err(StoreError::database("read what was done about an incident"))
    }

    /// Who takes care of it.
    pub fn owner(&self, id: IncidentId) -> Result<Option<Owner>, StoreError> {
        owner(&self.lock().db, id).map_err(StoreError::database("read who acknowledged an incident"))
    }

    /// Adds a note, durably. Its text is shortened to 4,000 characters.
    ///
    /// # Errors
    /// [`StoreError::NoIncident`], and [`StoreError::Full`] where it has 500 notes already.
    pub fn note(&self, id: IncidentId, who: &str, text: &str) -> Result<Note, StoreError> {
        let mut state = self.writable()?;
        self.must_exist(&state.db, id)?;
        let count = count_notes(&state.db, id).map_err(StoreError::database("count the notes"))?;
        if count >= MAX_NOTES {
            let why = format!("an incident has at most {MAX_NOTES} notes");
            return Err(StoreError::Full { what: "the note".to_owned(), why });
        }
        let note = shortened(Timestamp::now(), who, text);
        let number = self.with_room(&mut state, "a note", |db| add_note(db, id, &note))?;
        Ok(Note { id: number, ..note })
    }

    /// Records who takes care of it from now on, durably.
    ///
    /// # Errors
    /// [`StoreError::NoIncident`].
    pub fn acknowledge(&self, id: IncidentId, who: &str) -> Result<Owner, StoreError> {
        let mut state = self.writable()?;
        self.must_exist(&state.db, id)?;
        let owner = Owner { who: who.chars().take(MAX_TEXT.1).collect(), at: Timestamp::now() };
        self.with_room(&mut state, "an owner", |db| set_owner(db, id, &owner))?;
        Ok(owner)
    }

    fn must_exist(&self, db: &Connection, id: IncidentId) -> Result<(), StoreError> {
        match rows::exists(db, id).map_err(StoreError::database("look for the incident"))? {
            true => Ok(()),
            false => Err(StoreError::NoIncident(id)),
        }
    }

    /// What came with an imported incident. Actions are marked as those of elsewhere: the audit log says who did what here.
    pub(crate) fn restore_record(&self, id: IncidentId, record: &Record) -> Result<(), StoreError> {
        let mut state = self.writable()?;
        self.with_room(&mut state, "notes", |db| {
            let transaction = db.unchecked_transaction()?;
            if let Some(owner) = &record.owner {
                let who = shortened(owner.at, &owner.who, "").who;
                set_owner(&transaction, id, &Owner { who, at: owner.at })?;
            }
            let newest = record.notes.len().saturating_sub(MAX_NOTES as usize);
            for note in record.notes.iter().skip(newest) {
                add_note(&transaction, id, &shortened(note.at, &note.who, &note.text))?;
            }
            let newest = record.audit.len().saturating_sub(MAX_AUDIT);
            for entry in record.audit.iter().skip(newest) {
                let detail = format!("recorded elsewhere: {}", entry.detail);
                audit::append(&transaction, &AuditEntry { incident: Some(id), detail, ..entry.clone() })?;
            }
            transaction.commit()
        })
    }

    /// An instance of this build serves. Only the first time is remembered, and the revision that was named last.
    pub fn build_seen(
        &self,
        build: &BuildId,
        at: Timestamp,
        revision: Option<&str>,
    ) -> Result<(), StoreError> {
        if build.0.is_empty() {
            return Ok(());
        }
        let mut state = self.writable()?;
        self.with_room(&mut state, "a build", |db| {
            let sql = "INSERT INTO builds (build_id, first_at, revision) VALUES (?1, ?2, ?3)
                       ON CONFLICT (build_id) DO UPDATE SET revision = coalesce(excluded.revision, revision)";
            db.prepare_cached(sql)?.execute(params![build.to_string(), at.0, revision])?;
            let sql = "DELETE FROM builds WHERE build_id IN (
                         SELECT build_id FROM builds ORDER BY first_at
                         LIMIT max(0, (SELECT count(*) FROM builds) - ?1))";
            db.prepare_cached(sql)?.execute([MAX_BUILDS]).map(drop)
        })
    }

    /// Builds that served for the first time between two moments, oldest first.
    pub fn builds(&self, from: Timestamp, to: Timestamp) -> Result<Vec<(String, Timestamp)>, StoreError> {
        let state = self.lock();
        let read = || {
            let sql =
                "SELECT build_id, first_at FROM builds WHERE first_at BETWEEN ?1 AND ?2 ORDER BY first_at";
            let mut statement = state.db.prepare_cached(sql)?;
            let rows =
                statement.query_map([from.0, to.0], |row| Ok((row.get(0)?, Timestamp(row.get(1)?))))?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        read().map_err(StoreError::database("read the builds"))
    }

    /// What is known of an incident's fingerprint and build from before it.
    pub fn sightings(&self, incident: &Incident) -> Result<Sightings, StoreError> {
        let state = self.lock();
        sightings(&state.db, incident).map_err(StoreError::database("read earlier incidents"))
    }
}

/// A note that has no number yet.
fn shortened(at: Timestamp, who: &str, text: &str) -> Note {
    let (text_max, who_max) = MAX_TEXT;
    Note { id: 0, at, who: who.chars().take(who_max).collect(), text: text.chars().take(text_max).collect() }
}

fn owner(db: &Connection, id: IncidentId) -> rusqlite::Result<Option<Owner>> {
    let sql = "SELECT owner, acknowledged_at FROM incidents WHERE id = ?1 AND owner IS NOT NULL";
    let read = |row: &Row<'_>| Ok(Owner { who: row.get(0)?, at: Timestamp(row.get(1)?) });
    db.prepare_cached(sql)?.query_row([key(id)], read).optional()
}

fn set_owner(db: &Connection, id: IncidentId, owner: &Owner) -> rusqlite::Result<()> {
    let sql = "UPDATE incidents SET owner = ?2, acknowledged_at = ?3 WHERE id = ?1";
    db.prepare_cached(sql)?.execute(params![key(id), owner.who, owner.at.0]).map(drop)
}

fn notes(db: &Connection, id: IncidentId) -> rusqlite::Result<Vec<Note>> {
    let sql = "SELECT id, at, who, text FROM notes WHERE incident = ?1 ORDER BY id LIMIT ?2";
    let mut statement = db.prepare_cached(sql)?;
    let rows = statement.query_map(params![key(id), signed(MAX_NOTES)], |row| {
        Ok(Note {
            id: unsigned(row.get(0)?),
            at: Timestamp(row.get(1)?),
            who: row.get(2)?,
            text: row.get(3)?,
        })
    })?;
    rows.collect()
}

fn count_notes(db: &Connection, id: IncidentId) -> rusqlite::Result<u64> {
    let sql = "SELECT count(*) FROM notes WHERE incident = ?1";
    db.prepare_cached(sql)?.query_row([key(id)], |row| row.get(0)).map(unsigned)
}

fn add_note(db: &Connection, id: IncidentId, note: &Note) -> rusqlite::Result<u64> {
    let sql = "INSERT INTO notes (incident, at, who, text) VALUES (?1, ?2, ?3, ?4)";
    db.prepare_cached(sql)?.execute(params![key(id), note.at.0, note.who, note.text])?;
    Ok(unsigned(db.last_insert_rowid()))
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
    let sql = "SELECT first_at, revision FROM builds WHERE build_id = ?1";
    let read = |row: &Row<'_>| Ok((Timestamp(row.get(0)?), row.get(1)?));
    let build = db.prepare_cached(sql)?.query_row([incident.build_id.to_string()], read).optional()?;
    let (build_since, revision) = build.unzip();
    Ok(Sightings {
        first_seen: Timestamp(first.min(incident.captured_at.0)),
        seen_before: unsigned(before),
        build_since,
        revision: revision.flatten(),
    })
}
