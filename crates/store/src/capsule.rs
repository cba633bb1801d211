//! One directory per capsule: names, durable creation, removal.
//!
//! Knows files and directories, not rows: whether a capsule counts is decided by its row.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use freezeframe_model::IncidentId;

use crate::StoreError;
use crate::medium::{Medium, TEMPORARY, create_directory, remove_tree, sync_directory, write_new};
use crate::rows::Size;

pub(crate) const INCIDENT_FILE: &str = "incident.json";
pub(crate) const CAPTURE_FILE: &str = "capture.json.zst";
pub(crate) const CORE_FILE: &str = "core.zst";

/// What a new capsule consists of, encoded.
pub(crate) struct Parts {
    pub(crate) incident: Vec<u8>,
    pub(crate) capture: Option<Vec<u8>>,
}

impl Parts {
    pub(crate) fn size(&self) -> Size {
        let capture = self.capture.as_ref().map_or(0, Vec::len);
        let bytes = (self.incident.len() as u64).saturating_add(capture as u64);
        Size { bytes, files: 1 + u64::from(self.capture.is_some()) }
    }
}

/// The directory of all capsules.
pub(crate) struct Capsules {
    root: PathBuf,
}

impl Capsules {
    pub(crate) fn new(dir: &Path) -> Self {
        Self { root: dir.join("capsules") }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn directory(&self, id: IncidentId) -> PathBuf {
        self.root.join(id.to_string())
    }

    /// Durable on return; on failure nothing is left but what the next `open` sweeps.
    pub(crate) fn create(
        &self,
        medium: &dyn Medium,
        id: IncidentId,
        parts: &Parts,
    ) -> Result<(), StoreError> {
        let temporary = self.root.join(format!("{TEMPORARY}{id}"));
        let written = self.create_in(medium, &temporary, id, parts);
        if written.is_err() {
            let _ = remove_tree(&temporary);
        }
        written.map_err(StoreError::io("write", &self.directory(id)))
    }

    fn create_in(
        &self,
        medium: &dyn Medium,
        temporary: &Path,
        id: IncidentId,
        parts: &Parts,
    ) -> io::Result<()> {
        remove_tree(temporary)?;
        create_directory(temporary)?;
        if let Some(capture) = &parts.capture {
            write_new(medium, &temporary.join(CAPTURE_FILE), capture)?;
        }
        write_new(medium, &temporary.join(INCIDENT_FILE), &parts.incident)?;
        sync_directory(temporary)?;
        fs::rename(temporary, self.directory(id))?;
        sync_directory(&self.root)
    }

    /// Takes the capsule away at once, as far as any reader is concerned, and then removes its files.
    pub(crate) fn remove(&self, id: IncidentId) -> Result<(), StoreError> {
        let gone = self.root.join(format!("{TEMPORARY}gone-{id}"));
        let remove = || {
            remove_tree(&gone)?;
            match fs::rename(self.directory(id), &gone) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                other => other?,
            }
            remove_tree(&gone)?;
            sync_directory(&self.root)
        };
        remove().map_err(StoreError::io("remove", &self.directory(id)))
    }

    /// What the capsule takes; nothing where there is none.
    pub(crate) fn measure(&self, id: IncidentId) -> Result<Size, StoreError> {
        let measure = || {
            let mut size = Size::default();
            let entries = match fs::read_dir(self.directory(id)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(size),
                other => other?,
            };
            for entry in entries {
                let entry = entry?;
                if !is_temporary(&entry.file_name()) {
                    size.bytes = size.bytes.saturating_add(entry.metadata()?.len());
                    size.files += 1;
                }
            }
            Ok(size)
        };
        measure().map_err(StoreError::io("read", &self.directory(id)))
    }

    /// Opens a file of the capsule, where it has it, with its length in bytes.
    pub(crate) fn open(&self, id: IncidentId, name: &str) -> Result<Option<(fs::File, u64)>, StoreError> {
        let path = self.directory(id).join(name);
        let open = || {
            let file = match fs::File::open(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                other => other?,
            };
            let length = file.metadata()?.len();
            Ok(Some((file, length)))
        };
        open().map_err(StoreError::io("open", &path))
    }
}

/// Whether a name marks something half-written or half-removed.
pub(crate) fn is_temporary(name: &std::ffi::OsStr) -> bool {
    name.as_encoded_bytes().starts_with(TEMPORARY.as_bytes())
}
