//! Export to, and import from, a single file.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use freezeframe_model::{HoldFacts, Incident, IncidentId, IncidentState, Loss};

use crate::capsule::{CAPTURE_FILE, CORE_FILE};
use crate::container::{self, CAPTURE_PART, CORE_PART, Contents, INCIDENT_PART, Part, RECORD_PART};
use crate::error::is_full;
use crate::medium::{Sink, TEMPORARY, remove_file, sync_directory};
use crate::rows::Size;
use crate::{Store, StoreError, format};

impl Store {
    /// Writes one file with everything kept of the incident; the core (often large) only on demand.
    ///
    /// It can be read with no debug information on a machine that never saw the service.
    pub fn export(&self, id: IncidentId, with_core: bool, to: &mut dyn Write) -> Result<(), StoreError> {
        let incident = self.incident(id)?.ok_or(StoreError::NoIncident(id))?;
        let body = format::encode_incident(&incident)
            .map_err(|error| StoreError::damaged(id.to_string(), error.to_string()))?;
        let record = self.record(id)?;
        let record = format::encode_record(&record)
            .map_err(|error| StoreError::damaged(format!("the record of {id}"), error.to_string()))?;
        let parts = [(CAPTURE_FILE, CAPTURE_PART, true), (CORE_FILE, CORE_PART, with_core)];
        let mut write = || {
            let body = format::compress(&body)?;
            container::write_start(to)?;
            container::write_part(to, INCIDENT_PART, body.len() as u64, &mut &body[..])?;
            let record = format::compress(&record)?;
            container::write_part(to, RECORD_PART, record.len() as u64, &mut &record[..])?;
            for (file, part, _) in parts.iter().filter(|(.., wanted)| *wanted) {
                // Opened late and read through the handle: an eviction in between does not disturb it.
                if let Some((mut file, length)) =
                    self.inner.capsules.open(id, file).map_err(io::Error::other)?
                {
                    container::write_part(to, part, length, &mut file)?;
                }
            }
            container::write_end(to)
        };
        write().map_err(StoreError::io("export", Path::new(&id.to_string())))
    }

    /// Takes in an exported capsule under a new id. The process is not here, so nothing of it counts as held.
    pub fn import(&self, from: &mut dyn Read) -> Result<IncidentId, StoreError> {
        drop(self.writable()?);
        let mut core = Staging::new(self);
        let contents = container::read(from, &mut |part| core.receive(part))?;
        let Contents { mut incident, capture, record } = contents;
        let origin = incident.id;
        incident.id = self.next_id()?;
        if incident.state.is_live() {
            incident.state = IncidentState::Recorded;
        }
        // Process ids and cgroups of another machine must never be acted upon here.
        incident.hold = HoldFacts::default();
        lose(&mut incident, "held process", &format!("imported; recorded elsewhere as {origin}"));
        if let Some(why) = &core.lost {
            lose(&mut incident, "core file", why);
        }
        self.insert_from(&mut incident, capture.as_ref(), Some(origin))?;
        self.restore_record(incident.id, &record)?;
        if let Some(why) = core.keep(&incident)? {
            lose(&mut incident, "core file", &why);
            self.update(&incident)?;
        }
        Ok(incident.id)
    }
}

fn lose(incident: &mut Incident, what: &str, why: &str) {
    incident.not_captured.push(Loss { what: what.to_owned(), why: why.to_owned() });
}

/// An imported core, until it is known which incident it belongs to. Removed when dropped.
struct Staging<'s> {
    store: &'s Store,
    path: PathBuf,
    /// Bytes, once one has arrived.
    length: Option<u64>,
    /// Why it was not kept, where it was not.
    lost: Option<String>,
}

impl<'s> Staging<'s> {
    fn new(store: &'s Store) -> Self {
        // Only one process writes here, so a number within it is enough.
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("{TEMPORARY}import-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        Self { store, path: store.inner.capsules.root().join(name), length: None, lost: None }
    }

    fn receive(&mut self, part: &mut Part<'_, '_>) -> Result<(), StoreError> {
        let share = self.store.inner.quota.share();
        if part.length > share {
            self.lost =
                Some(format!("{} bytes are more than one fingerprint may take ({share})", part.length));
            return part.copy(&mut io::sink());
        }
        let created = self.store.inner.medium.create(&self.path);
        let file = created.map_err(StoreError::io("create", &self.path))?;
        let mut tolerant = Tolerant { file, failed: None };
        part.copy(&mut tolerant)?;
        match tolerant.failed.or_else(|| tolerant.file.sync().err()) {
            None => self.length = Some(part.length),
            Some(error) if is_full(&error) => self.lost = Some("the disk is full".to_owned()),
            Some(error) => self.lost = Some(error.to_string()),
        }
        Ok(())
    }

    /// Moves the core into the incident's capsule; returns why not, where that fails for want of room.
    fn keep(&self, incident: &Incident) -> Result<Option<String>, StoreError> {
        let Some(length) = self.length else { return Ok(None) };
        let id = incident.id;
        let directory = self.store.inner.capsules.directory(id);
        let mut state = self.store.writable()?;
        if !directory.is_dir() {
            return Ok(Some("the capsule could not be written".to_owned()));
        }
        state.busy.push(id);
        let room = self.store.make_room(
            &mut state,
            Size { bytes: length, files: 1 },
            &incident.fingerprint.to_string(),
        );
        state.busy.retain(|busy| *busy != id);
        if let Err(why) = room {
            return Ok(Some(why));
        }
        fs::rename(&self.path, directory.join(CORE_FILE))
            .and_then(|()| sync_directory(&directory))
            .map_err(StoreError::io("write", &directory))?;
        self.store.resize(&state, id).map(|()| None)
    }
}

impl Drop for Staging<'_> {
    fn drop(&mut self) {
        if let Err(error) = remove_file(&self.path) {
            tracing::warn!(%error, "cannot remove an unfinished import; the next start will");
        }
    }
}

/// Lets the rest of the capsule be read even where the core does not fit on the disk.
struct Tolerant {
    file: Box<dyn Sink>,
    failed: Option<io::Error>,
}

impl Write for Tolerant {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.failed.is_none() {
            self.failed = self.file.write_all(bytes).err();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
