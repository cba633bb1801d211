//! ELF cores: compressed while they are written, under the quota, and never half there.

use std::fs;
use std::io::{self, Read, Write};
use std::path::PathBuf;

use freezeframe_model::IncidentId;

use crate::capsule::{CORE_FILE, INCIDENT_FILE};
use crate::error::is_full;
use crate::medium::{Sink, TEMPORARY, create_directory, remove_file, replace, sync_directory};
use crate::rows::{self, Select, Size};
use crate::{Store, StoreError, place};

/// Room is asked for in steps of this many bytes.
const STEP: u64 = 4 << 20;
/// Cores are large and mostly zeros and pointers: the fastest level already gets most of it.
const LEVEL: i32 = 1;

/// A core that is being written. Give it the plain ELF bytes; [`commit`](Self::commit) keeps it, dropping removes it.
pub struct CoreFile {
    /// `None` only while the file is being closed.
    encoder: Option<zstd::stream::write::Encoder<'static, Metered>>,
    store: Store,
    id: IncidentId,
    temporary: PathBuf,
}

impl Store {
    /// Starts a core for the incident: at most `max_bytes` compressed bytes, and within the quota.
    ///
    /// Writing returns an error of kind `QuotaExceeded` or `StorageFull` when nothing is left that could make room.
    pub fn core_writer(&self, id: IncidentId, max_bytes: u64) -> Result<CoreFile, StoreError> {
        let directory = self.inner.capsules.directory(id);
        let temporary = directory.join(format!("{TEMPORARY}{CORE_FILE}"));
        let mut state = self.writable()?;
        let found =
            rows::fingerprint_of(&state.db, id).map_err(StoreError::database("look for the incident"))?;
        let Some(fingerprint) = found else { return Err(StoreError::NoIncident(id)) };
        if state.busy.contains(&id) {
            let source = io::Error::new(io::ErrorKind::ResourceBusy, "a core is being written already");
            return Err(StoreError::io("create", &temporary)(source));
        }
        if !directory.is_dir() {
            self.create_again(&state.db, id)?;
        }
        remove_file(&temporary).map_err(StoreError::io("remove", &temporary))?;
        let sink = self.inner.medium.create(&temporary).map_err(StoreError::io("create", &temporary))?;
        state.busy.push(id);
        drop(state);
        let store = self.clone();
        let metered = Metered { sink, store, id, fingerprint, written: 0, granted: 0, max: max_bytes };
        let encoder = zstd::stream::write::Encoder::new(metered, LEVEL)
            .map_err(StoreError::io("compress", &temporary))?;
        Ok(CoreFile { encoder: Some(encoder), store: self.clone(), id, temporary })
    }

    /// The directory of an evicted capsule, for what comes after.
    fn create_again(&self, db: &rusqlite::Connection, id: IncidentId) -> Result<(), StoreError> {
        let directory = self.inner.capsules.directory(id);
        let found = rows::select(db, Select::One(id)).map_err(StoreError::database("read incidents"))?;
        let found = found.into_iter().next().ok_or(StoreError::NoIncident(id))?;
        let body = place::encode_body(&mut found.incident?)?;
        let create = || {
            create_directory(&directory)?;
            replace(self.inner.medium.as_ref(), &directory, INCIDENT_FILE, body.as_bytes())?;
            sync_directory(self.inner.capsules.root())
        };
        create().map_err(StoreError::io("create", &directory))
    }

    /// Writes the decompressed ELF core to `to`, at most `max_bytes`; false where none was kept.
    pub fn copy_core(&self, id: IncidentId, max_bytes: u64, to: &mut dyn Write) -> Result<bool, StoreError> {
        let Some((file, _)) = self.inner.capsules.open(id, CORE_FILE)? else { return Ok(false) };
        let path = self.inner.capsules.directory(id).join(CORE_FILE);
        let copy = || {
            let decoder = zstd::stream::read::Decoder::new(file)?;
            io::copy(&mut decoder.take(max_bytes.saturating_add(1)), to)
        };
        match copy().map_err(StoreError::io("copy", &path))? {
            copied if copied > max_bytes => Err(StoreError::Full {
                what: "the core".to_owned(),
                why: format!("larger than {max_bytes} bytes"),
            }),
            _ => Ok(true),
        }
    }
}

impl CoreFile {
    /// Keeps the core; durable on return. Returns what it takes on disk, in bytes.
    pub fn commit(mut self) -> Result<u64, StoreError> {
        let Some(encoder) = self.encoder.take() else { return Ok(0) };
        let directory = self.store.inner.capsules.directory(self.id);
        let finish = || {
            let mut metered = encoder.finish()?;
            metered.sink.sync()?;
            fs::rename(&self.temporary, directory.join(CORE_FILE))?;
            sync_directory(&directory)?;
            // Only now may the capsule be evicted again; dropping `metered` says so.
            Ok(metered.written)
        };
        let written = finish().map_err(StoreError::io("write", &self.temporary))?;
        let state = self.store.writable()?;
        self.store.resize(&state, self.id)?;
        Ok(written)
    }
}

impl Write for CoreFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.encoder {
            Some(encoder) => encoder.write(bytes),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.encoder.as_mut().map_or(Ok(()), Write::flush)
    }
}

impl Drop for CoreFile {
    fn drop(&mut self) {
        if let Err(error) = remove_file(&self.temporary) {
            tracing::warn!(%error, incident = %self.id, "cannot remove an unfinished core; the next start will");
        }
    }
}

/// Counts compressed bytes, and asks the store for room before they are written.
struct Metered {
    sink: Box<dyn Sink>,
    store: Store,
    id: IncidentId,
    fingerprint: String,
    written: u64,
    granted: u64,
    max: u64,
}

impl Metered {
    fn grant(&mut self, need: u64) -> io::Result<()> {
        if need > self.max {
            let why = format!("the core is larger than {} bytes", self.max);
            return Err(io::Error::new(io::ErrorKind::QuotaExceeded, why));
        }
        while self.granted < need {
            let mut state = self.store.lock();
            // What was granted is in `reserved` already; asking for all of it at once keeps the share in sight.
            state.reserved = state.reserved.saturating_sub(self.granted);
            let wanted = self.granted.saturating_add(STEP).max(need).min(self.max);
            let size = Size { bytes: wanted, files: 1 };
            let room = self.store.make_room(&mut state, size, &self.fingerprint);
            if room.is_ok() {
                self.granted = wanted;
            }
            state.reserved = state.reserved.saturating_add(self.granted);
            room.map_err(|why| io::Error::new(io::ErrorKind::QuotaExceeded, why))?;
        }
        Ok(())
    }
}

impl Write for Metered {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.grant(self.written.saturating_add(bytes.len() as u64))?;
        loop {
            match self.sink.write(bytes) {
                Ok(written) => {
                    self.written = self.written.saturating_add(written as u64);
                    return Ok(written);
                }
                Err(error) if is_full(&error) => {
                    let mut state = self.store.lock();
                    let evicted = self.store.evict_oldest(&mut state, None, "the disk was full");
                    if !evicted.map_err(io::Error::other)? {
                        return Err(error);
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}

impl Drop for Metered {
    fn drop(&mut self) {
        let mut state = self.store.lock();
        state.reserved = state.reserved.saturating_sub(self.granted);
        state.busy.retain(|busy| *busy != self.id);
    }
}
