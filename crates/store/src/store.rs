//! Opening the data directory, and reading from it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use freezeframe_model::{Capture, Fingerprint, Incident, IncidentId, InstanceId, Timestamp};
use rusqlite::{Connection, OpenFlags};

use crate::capsule::{CAPTURE_FILE, CORE_FILE, Capsules};
use crate::medium::{Disk, Medium, create_directory, sync_directory};
use crate::rows::{self, Found, Select};
use crate::{StoreError, format};

/// How much may be kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Quota {
    /// Bytes of all capsules and rows.
    pub bytes: u64,
    /// Files of all capsules; also the number of rows.
    pub files: u64,
    /// At most this share of `bytes` (0 to 1) for the capsules of one fingerprint.
    pub fingerprint_share: f64,
}

impl Default for Quota {
    /// 1 GiB, 10,000 files, half of it for one fingerprint.
    fn default() -> Self {
        Self { bytes: 1 << 30, files: 10_000, fingerprint_share: 0.5 }
    }
}

impl Quota {
    /// Bytes that the capsules of one fingerprint may take.
    pub(crate) fn share(&self) -> u64 {
        // A float is exact enough for a limit, and the cast saturates.
        (self.bytes as f64 * self.fingerprint_share.clamp(0.0, 1.0)) as u64
    }
}

/// What is kept at the moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of all capsules and rows.
    pub bytes: u64,
    /// Files of all capsules.
    pub files: u64,
    /// Incidents, with or without a capsule.
    pub incidents: u64,
}

/// Which capture is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CaptureVersion {
    inode: u64,
    /// Compressed.
    bytes: u64,
    changed: i64,
}

impl CaptureVersion {
    /// Bytes of the file, which is compressed about ten times.
    pub fn bytes(self) -> u64 {
        self.bytes
    }
}

/// The data directory. Clones share one connection; all methods block.
#[derive(Clone)]
pub struct Store {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) dir: PathBuf,
    pub(crate) quota: Quota,
    pub(crate) capsules: Capsules,
    pub(crate) medium: Box<dyn Medium>,
    /// `None` for readers. The lock lasts as long as the file is open.
    lock: Option<File>,
    state: Mutex<State>,
}

pub(crate) struct State {
    pub(crate) db: Connection,
    /// Bytes promised to cores that are being written.
    pub(crate) reserved: u64,
    /// Capsules that must stay where they are: something is being written into them.
    pub(crate) busy: Vec<IncidentId>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("dir", &self.inner.dir).finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the directory for writing: creates it (mode 0700), migrates it, and repairs what a crash left behind.
    ///
    /// # Errors
    /// [`StoreError::InUse`] while another process has it open for writing, [`StoreError::NewerFormat`] after a
    /// downgrade, and whatever the file system or SQLite says.
    pub fn open(dir: &Path, quota: Quota) -> Result<Self, StoreError> {
        Self::open_on(dir, quota, Box::new(Disk))
    }

    pub(crate) fn open_on(dir: &Path, quota: Quota, medium: Box<dyn Medium>) -> Result<Self, StoreError> {
        let capsules = Capsules::new(dir);
        let lock = prepare_directory(dir, &capsules)?;
        let path = dir.join("incidents.db");
        create_private(&path)?;
        let mut db = Connection::open(&path).map_err(StoreError::database("open a connection"))?;
        rows::configure(&db).map_err(StoreError::database("set durability"))?;
        rows::migrate(&mut db)?;
        let state = Mutex::new(State { db, reserved: 0, busy: Vec::new() });
        let inner = Inner { dir: dir.to_owned(), quota, capsules, medium, lock: Some(lock), state };
        let store = Self { inner: Arc::new(inner) };
        store.recover()?;
        store.keep_reserve();
        Ok(store)
    }

    /// Opens the directory for reading, beside a running daemon or without one.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if nothing is there, [`StoreError::OlderFormat`] if a daemon must migrate it first.
    pub fn open_read_only(dir: &Path) -> Result<Self, StoreError> {
        let path = dir.join("incidents.db");
        if !path.exists() {
            return Err(StoreError::NotFound(dir.to_owned()));
        }
        let db = connect_read_only(&path).map_err(StoreError::database("open a connection for reading"))?;
        rows::check_version(&db, dir)?;
        let inner = Inner {
            dir: dir.to_owned(),
            quota: Quota::default(),
            capsules: Capsules::new(dir),
            medium: Box::new(Disk),
            lock: None,
            state: Mutex::new(State { db, reserved: 0, busy: Vec::new() }),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The data directory.
    pub fn dir(&self) -> &Path {
        &self.inner.dir
    }

    /// A new incident number; never given twice, whatever crashes.
    pub fn next_id(&self) -> Result<IncidentId, StoreError> {
        self.next("incident").map(IncidentId)
    }

    /// A new instance number; never given twice, whatever crashes.
    pub fn next_instance_id(&self) -> Result<InstanceId, StoreError> {
        let number = u32::try_from(self.next("instance")?);
        number.map(InstanceId).map_err(|_| StoreError::Exhausted("instance"))
    }

    fn next(&self, counter: &str) -> Result<u64, StoreError> {
        let mut state = self.writable()?;
        self.with_room(&mut state, "a new number", |db| rows::next(db, counter))
    }

    /// Counts `by` occurrences that were not captured; the newest incident of the fingerprint stands for them.
    pub fn count(&self, fingerprint: Fingerprint, by: u64, at: Timestamp) -> Result<(), StoreError> {
        let mut state = self.writable()?;
        self.with_room(&mut state, "a count", |db| rows::count(db, fingerprint, by, at))
    }

    /// Occurrences of the fingerprint that were only counted.
    pub fn counted(&self, fingerprint: Fingerprint) -> Result<u64, StoreError> {
        rows::counted(&self.lock().db, fingerprint).map_err(StoreError::database("read occurrences"))
    }

    /// The incident, where there is one.
    pub fn incident(&self, id: IncidentId) -> Result<Option<Incident>, StoreError> {
        self.one(Select::One(id))
    }

    /// The newest incident of this fingerprint that happened here.
    pub fn newest_of(&self, fingerprint: Fingerprint) -> Result<Option<Incident>, StoreError> {
        self.one(Select::NewestOf(fingerprint))
    }

    fn one(&self, which: Select) -> Result<Option<Incident>, StoreError> {
        let found = self.select(which)?;
        found.into_iter().next().map(|found| found.incident).transpose()
    }

    /// At most `limit` incidents, the last recorded first. One that cannot be read is left out and logged.
    pub fn list(&self, limit: usize) -> Result<Vec<Incident>, StoreError> {
        self.select(Select::Newest(limit)).map(readable)
    }

    /// Incidents whose process still stands at its site.
    pub fn live(&self) -> Result<Vec<Incident>, StoreError> {
        self.select(Select::Live).map(readable)
    }

    fn select(&self, which: Select) -> Result<Vec<Found>, StoreError> {
        rows::select(&self.lock().db, which).map_err(StoreError::database("read incidents"))
    }

    /// What was captured of the incident, where anything was and is still kept.
    pub fn capture(&self, id: IncidentId) -> Result<Option<Capture>, StoreError> {
        match self.inner.capsules.open(id, CAPTURE_FILE)? {
            Some((file, _)) => format::decode_capture(file, &format!("the capture of {id}")).map(Some),
            None => Ok(None),
        }
    }

    /// Tells one stored capture from another: it changes whenever [`capture`](Self::capture) would answer something else. `None` where
    /// there is none.
    pub fn capture_version(&self, id: IncidentId) -> Result<Option<CaptureVersion>, StoreError> {
        use std::os::unix::fs::MetadataExt;
        let Some((file, bytes)) = self.inner.capsules.open(id, CAPTURE_FILE)? else { return Ok(None) };
        let metadata = file.metadata().map_err(StoreError::io("read", &self.inner.capsules.directory(id)))?;
        // A capture is replaced as a whole, by a new file.
        Ok(Some(CaptureVersion { inode: metadata.ino(), bytes, changed: metadata.mtime_nsec() }))
    }

    /// Path of the zstd-compressed ELF core, where one was kept.
    pub fn core_path(&self, id: IncidentId) -> Option<PathBuf> {
        let path = self.inner.capsules.directory(id).join(CORE_FILE);
        path.is_file().then_some(path)
    }

    /// What is kept at the moment.
    pub fn usage(&self) -> Result<Usage, StoreError> {
        let state = self.lock();
        let (size, incidents) =
            rows::usage(&state.db).map_err(StoreError::database("add up what is stored"))?;
        Ok(Usage { bytes: size.bytes.saturating_add(state.reserved), files: size.files, incidents })
    }

    /// A thread that panicked cannot leave a transaction half done: dropping it rolled it back.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same, for writers.
    pub(crate) fn writable(&self) -> Result<MutexGuard<'_, State>, StoreError> {
        if self.inner.lock.is_none() {
            return Err(StoreError::ReadOnly);
        }
        Ok(self.lock())
    }
}

fn readable(found: Vec<Found>) -> Vec<Incident> {
    let keep = |found: Found| match found.incident {
        Ok(incident) => Some(incident),
        Err(error) => {
            let error = error.chain();
            tracing::error!(incident = %found.id, error, "cannot read an incident; left out of the list");
            None
        }
    };
    found.into_iter().filter_map(keep).collect()
}

/// Creates what is missing and takes the lock.
fn prepare_directory(dir: &Path, capsules: &Capsules) -> Result<File, StoreError> {
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent).map_err(StoreError::io("create", parent))?;
    create_directory(dir).map_err(StoreError::io("create", dir))?;
    create_directory(capsules.root()).map_err(StoreError::io("create", capsules.root()))?;
    sync_directory(parent).map_err(StoreError::io("sync", parent))?;
    sync_directory(dir).map_err(StoreError::io("sync", dir))?;
    let path = dir.join("lock");
    let file = create_private(&path)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(StoreError::InUse(dir.to_owned())),
        Err(std::fs::TryLockError::Error(error)) => Err(StoreError::io("lock", &path)(error)),
    }
}

/// SQLite gives its log files the mode of the database, so this decides for all of them.
fn create_private(path: &Path) -> Result<File, StoreError> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = std::fs::OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options.open(path).map_err(StoreError::io("create", path))
}

/// A reader of a WAL database normally writes to its shared memory; where that cannot be (a read-only file system) and
/// no log is left to read, the database is as good as immutable.
fn connect_read_only(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let probe = |db: Connection| {
        db.busy_timeout(std::time::Duration::from_secs(2))?;
        db.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
        Ok(db)
    };
    let first = Connection::open_with_flags(path, flags).and_then(probe);
    let cannot_open = matches!(
        &first,
        Err(rusqlite::Error::SqliteFailure(failure, _)) if failure.code == rusqlite::ErrorCode::CannotOpen
    );
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    if !cannot_open || Path::new(&log).exists() {
        return first;
    }
    let escaped = path.to_string_lossy().replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    let uri = format!("file:{escaped}?immutable=1");
    Connection::open_with_flags(uri, flags | OpenFlags::SQLITE_OPEN_URI).and_then(probe)
}
