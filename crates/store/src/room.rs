//! Making room: the quota, the share of one fingerprint, the full disk, and the order in which things are given up.
//!
//! 1. capsules of incidents whose process is no longer held, oldest first (of the same fingerprint first, where that has
//!    more than its share); their rows stay and say why the capsule is gone;
//! 2. the reserve file, for rows only;
//! 3. rows of incidents whose process is no longer held, oldest first, with an entry in the audit log.
//!
//! What belongs to a held process is never given up.

use std::path::PathBuf;

use rusqlite::Connection;

use crate::medium::{remove_file, write_new};
use crate::rows::{self, Size, Victim};
use crate::store::State;
use crate::{Store, StoreError};

/// Enough for some dozens of rows with their log lines.
const RESERVE: usize = 256 << 10;

/// The next thing to try when SQLite found the disk full.
#[derive(Clone, Copy)]
enum Relief {
    Checkpoint,
    Evict,
    Reserve,
    OldRow,
}

impl Store {
    /// Makes room for `need` more bytes and files of one fingerprint within the quota; or says why there is none.
    pub(crate) fn make_room(&self, state: &mut State, need: Size, fingerprint: &str) -> Result<(), String> {
        let quota = &self.inner.quota;
        let share = quota.share();
        if need.bytes > share {
            return Err(format!("{} bytes are more than one fingerprint may take ({share})", need.bytes));
        }
        // Every turn gives up one capsule, so there are at most as many turns as there are capsules.
        loop {
            let look = || Ok((rows::usage(&state.db)?.0, rows::usage_of(&state.db, fingerprint)?));
            let (used, of_fingerprint) = look().map_err(|error: rusqlite::Error| error.to_string())?;
            let bytes = used.bytes.saturating_add(state.reserved).saturating_add(need.bytes);
            let over_share = of_fingerprint.saturating_add(need.bytes) > share;
            let over_quota = bytes > quota.bytes || used.files.saturating_add(need.files) > quota.files;
            let why = match (over_quota, over_share) {
                (false, false) => return Ok(()),
                (true, _) => format!("the quota of {} bytes, {} files is used up", quota.bytes, quota.files),
                (false, true) => format!("one fingerprint may take at most {share} bytes"),
            };
            if !self.evict_oldest(state, over_share.then_some(fingerprint), &why)? {
                return Err(why);
            }
        }
    }

    /// Keeps rows within the quota. Never refuses: a row is the last thing to be given up.
    pub(crate) fn make_room_for_row(&self, state: &mut State, bytes: u64) -> Result<(), StoreError> {
        let quota = &self.inner.quota;
        loop {
            let usage = rows::usage(&state.db).map_err(StoreError::database("add up what is stored"))?;
            let (used, rows) = usage;
            let over_bytes = used.bytes.saturating_add(bytes) > quota.bytes;
            if !over_bytes && rows < quota.files {
                return Ok(());
            }
            let why = format!("the quota of {} bytes, {} files is used up", quota.bytes, quota.files);
            let evicted = over_bytes && self.evict_oldest(state, None, &why).unwrap_or(false);
            if !evicted && !self.forget_oldest(state, &why)? {
                return Ok(());
            }
        }
    }

    /// Gives up the oldest capsule of a process that is no longer held; false where there is none.
    pub(crate) fn evict_oldest(
        &self,
        state: &mut State,
        fingerprint: Option<&str>,
        why: &str,
    ) -> Result<bool, String> {
        let victim =
            rows::oldest_capsule(&state.db, fingerprint, &state.busy).map_err(|error| error.to_string())?;
        let Some(Victim { id, size }) = victim else { return Ok(false) };
        self.inner.capsules.remove(id).map_err(|error| error.chain())?;
        let note = format!("the capsule was removed to make room: {why}");
        let noted = rows::set_evicted(&state.db, id, &note).or_else(|_| {
            // The row has to change to say so; on a full disk the log must first give back what it no longer needs.
            checkpoint(&state.db)?;
            rows::set_evicted(&state.db, id, &note)
        });
        noted.map_err(|error| error.to_string())?;
        tracing::warn!(incident = %id, bytes = size.bytes, why, "removed a capsule to make room; its row is kept");
        Ok(true)
    }

    /// Gives up the oldest incident altogether; false where all that are left belong to held processes.
    fn forget_oldest(&self, state: &mut State, why: &str) -> Result<bool, StoreError> {
        let oldest =
            rows::oldest_row(&state.db, &state.busy).map_err(StoreError::database("find the oldest row"))?;
        let Some(id) = oldest else { return Ok(false) };
        self.inner.capsules.remove(id)?;
        rows::delete(&state.db, id).map_err(StoreError::database("remove the oldest row"))?;
        tracing::error!(incident = %id, why, "removed the oldest incident to make room");
        let entry = crate::AuditEntry {
            at: freezeframe_model::Timestamp::now(),
            who: "retention".to_owned(),
            what: "remove incident".to_owned(),
            incident: Some(id),
            detail: why.to_owned(),
        };
        if let Err(error) = crate::audit::append(&state.db, &entry) {
            tracing::error!(%error, incident = %id, "cannot record the removal in the audit log");
        }
        Ok(true)
    }

    /// Runs a transaction; while the disk is full, gives things up and tries again.
    pub(crate) fn with_room<T>(
        &self,
        state: &mut State,
        what: &str,
        mut transaction: impl FnMut(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let mut relief = Relief::Checkpoint;
        loop {
            let error = match transaction(&state.db) {
                Ok(value) => return Ok(value),
                Err(source) => StoreError::Database { doing: "write", source },
            };
            if !error.is_full() {
                return Err(error);
            }
            let why = "the disk was full";
            let relieved = match relief {
                Relief::Checkpoint => checkpoint(&state.db).is_ok(),
                Relief::Evict => self.evict_oldest(state, None, why).unwrap_or(false),
                Relief::Reserve => self.release_reserve(),
                Relief::OldRow => match self.forget_oldest(state, why) {
                    Ok(true) => true,
                    Ok(false) | Err(_) => {
                        return Err(StoreError::Full { what: what.to_owned(), why: error.chain() });
                    }
                },
            };
            // Capsules and rows can be given up one after the other; the other two help only once.
            relief = match (relief, relieved) {
                (Relief::Checkpoint, _) | (Relief::Evict, true) => Relief::Evict,
                (Relief::Evict, false) => Relief::Reserve,
                (Relief::Reserve, _) | (Relief::OldRow, _) => Relief::OldRow,
            };
        }
    }

    fn reserve_path(&self) -> PathBuf {
        self.inner.dir.join("reserve")
    }

    /// Sets room aside that is given up when the disk is full. Best effort: without it, old capsules go a little earlier.
    pub(crate) fn keep_reserve(&self) {
        let path = self.reserve_path();
        if path.exists() {
            return;
        }
        // Zeros, not a hole: a hole would reserve nothing.
        if let Err(error) = write_new(self.inner.medium.as_ref(), &path, &vec![0; RESERVE]) {
            tracing::warn!(%error, "cannot set room aside for a full disk");
            let _ = remove_file(&path);
        }
    }

    fn release_reserve(&self) -> bool {
        let path = self.reserve_path();
        path.exists() && remove_file(&path).is_ok()
    }
}

/// Moves the log into the database and cuts it to nothing.
fn checkpoint(db: &Connection) -> rusqlite::Result<()> {
    db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
}
