//! What can go wrong on disk, in words that lead to a remedy.

use std::io;
use std::path::{Path, PathBuf};

use freezeframe_model::IncidentId;
use rusqlite::ffi;

/// Why the store could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no data directory to read.
    #[error("no incidents are stored in {}", .0.display())]
    NotFound(PathBuf),
    /// The id is unknown here.
    #[error("there is no incident {0}")]
    NoIncident(IncidentId),
    /// An incident with this id is stored already.
    #[error("incident {0} is stored already")]
    Exists(IncidentId),
    /// Another process has the directory open for writing.
    #[error("{} is in use by another process", .0.display())]
    InUse(PathBuf),
    /// Opened with [`Store::open_read_only`](crate::Store::open_read_only).
    #[error("the data directory is open for reading only")]
    ReadOnly,
    /// Written by a newer version of Freezeframe.
    #[error(
        "{what} has format version {found}, but only versions up to {known} are understood: upgrade freezeframe"
    )]
    NewerFormat {
        /// Which thing.
        what: String,
        /// Its version.
        found: u64,
        /// The newest version that this build reads.
        known: u64,
    },
    /// Written by an older version, and not yet migrated; only readers see this.
    #[error("{} has an older format: start the daemon once to migrate it", .0.display())]
    OlderFormat(PathBuf),
    /// The disk is full or the quota is used up, and nothing is left that may be given up.
    #[error("no room for {what}: {why}")]
    Full {
        /// What did not fit.
        what: String,
        /// Which limit was met.
        why: String,
    },
    /// The bytes are not what they claim to be.
    #[error("{what} is damaged: {why}")]
    Damaged {
        /// Which thing.
        what: String,
        /// What is wrong with it.
        why: String,
    },
    /// There may be no more of them.
    #[error("there are {max} {what}s already, and no more may be")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there may be.
        max: i64,
    },
    /// Identifiers are used up.
    #[error("no {0} numbers are left")]
    Exhausted(&'static str),
    /// The file system refused.
    #[error("cannot {doing} {}", path.display())]
    Io {
        /// Verb.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// SQLite refused.
    #[error("cannot {doing} in the incident database")]
    Database {
        /// Verb and object.
        doing: &'static str,
        /// Why.
        #[source]
        source: rusqlite::Error,
    },
}

impl StoreError {
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { doing, path, source }
    }

    pub(crate) fn database(doing: &'static str) -> impl FnOnce(rusqlite::Error) -> Self {
        move |source| Self::Database { doing, source }
    }

    pub(crate) fn damaged(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self::Damaged { what: what.into(), why: why.into() }
    }

    /// Whether room is what is missing, so that giving something up may help.
    pub(crate) fn is_full(&self) -> bool {
        match self {
            Self::Io { source, .. } => is_full(source),
            Self::Database { source, .. } => is_full_database(source),
            Self::Full { .. } => true,
            _ => false,
        }
    }

    /// The message with its causes, for `Loss::why` and the log.
    pub(crate) fn chain(&self) -> String {
        freezeframe_model::chain(self)
    }
}

/// Full disk, quota of the file system, or `RLIMIT_FSIZE`.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}

/// SQLite says `SQLITE_FULL` for ENOSPC, but reports EDQUOT and an unextendable shared-memory file as I/O errors.
fn is_full_database(error: &rusqlite::Error) -> bool {
    match error {
        rusqlite::Error::SqliteFailure(failure, _) => matches!(
            failure.extended_code,
            ffi::SQLITE_FULL | ffi::SQLITE_IOERR_WRITE | ffi::SQLITE_IOERR_SHMSIZE
        ),
        _ => false,
    }
}
