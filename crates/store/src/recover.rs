//! What a crash leaves behind, and how the next start puts it right.
//!
//! | found | because of a crash | done |
//! |---|---|---|
//! | `.tmp-*` | while writing or removing | removed |
//! | directory without a row | between rename and commit | row inserted from `incident.json` |
//! | row whose directory is gone | while evicting, or somebody removed it | row says so |
//! | row with another size | while adding a capture or core | row corrected |

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::Path;

use freezeframe_model::{Incident, IncidentId};

use crate::capsule::{INCIDENT_FILE, is_temporary};
use crate::rows::{self, Size};
use crate::store::State;
use crate::{Store, StoreError, format};

const MISSING: &str = "the capsule directory is missing";

impl Store {
    /// Brings rows and directories into agreement.
    pub(crate) fn recover(&self) -> Result<(), StoreError> {
        let found = self.sweep()?;
        let mut state = self.writable()?;
        let rows = rows::capsules(&state.db).map_err(StoreError::database("read incidents"))?;
        let rows: BTreeMap<IncidentId, Size> = rows.into_iter().collect();
        let last = found.keys().chain(rows.keys()).max();
        if let Some(last) = last.filter(|last| rows::key(**last) > 0) {
            self.with_room(&mut state, "a number", |db| rows::at_least(db, "incident", last.0))?;
        }
        for (id, size) in &rows {
            match found.get(id) {
                Some(actual) if actual == size => {}
                Some(actual) => {
                    self.with_room(&mut state, "a size", |db| rows::set_size(db, *id, *actual))?
                }
                None if *size == Size::default() => {}
                None => {
                    tracing::error!(incident = %id, "{MISSING}");
                    self.with_room(&mut state, "a note", |db| rows::set_evicted(db, *id, MISSING))?;
                }
            }
        }
        for (id, size) in found.iter().filter(|(id, _)| !rows.contains_key(id)) {
            self.adopt(&mut state, *id, *size)?;
        }
        Ok(())
    }

    /// Removes temporary names, and measures what is left.
    fn sweep(&self) -> Result<BTreeMap<IncidentId, Size>, StoreError> {
        let root = self.inner.capsules.root();
        let mut found = BTreeMap::new();
        sweep_directory(root).map_err(StoreError::io("clean up", root))?;
        let entries = fs::read_dir(root).map_err(StoreError::io("read", root))?;
        for entry in entries {
            let entry = entry.map_err(StoreError::io("read", root))?;
            let name = entry.file_name();
            let id = name.to_str().and_then(|name| name.parse::<IncidentId>().ok());
            // Only the one spelling that we write, and only numbers that a row can have.
            let id = id.filter(|id| rows::key(*id) > 0 && *name == *id.to_string());
            let Some(id) = id.filter(|_| entry.path().is_dir()) else {
                tracing::warn!(name = ?name, "left alone: not a capsule");
                continue;
            };
            sweep_directory(&entry.path()).map_err(StoreError::io("clean up", &entry.path()))?;
            found.insert(id, self.inner.capsules.measure(id)?);
        }
        Ok(found)
    }

    /// Inserts the row that a crash has prevented. A directory that cannot be read stays for a person to look at.
    fn adopt(&self, state: &mut State, id: IncidentId, size: Size) -> Result<(), StoreError> {
        let read = self
            .read_copy(id)
            .and_then(|mut incident| crate::place::encode_body(&mut incident).map(|body| (incident, body)));
        match read {
            Ok((incident, body)) => {
                tracing::warn!(incident = %id, "adopted a capsule that had no row");
                self.with_room(state, "the incident", |db| rows::insert(db, &incident, &body, size, None))
            }
            Err(error) => {
                tracing::error!(incident = %id, error = %error.chain(), "a capsule without a row cannot be read");
                Ok(())
            }
        }
    }

    fn read_copy(&self, id: IncidentId) -> Result<Incident, StoreError> {
        let what = format!("{INCIDENT_FILE} of {id}");
        let Some((file, _)) = self.inner.capsules.open(id, INCIDENT_FILE)? else {
            return Err(StoreError::damaged(what, "missing"));
        };
        let mut bytes = Vec::new();
        let path = self.inner.capsules.directory(id);
        file.take(format::MAX_INCIDENT).read_to_end(&mut bytes).map_err(StoreError::io("read", &path))?;
        let incident = format::decode_incident(&bytes, &what)?;
        if incident.id != id {
            return Err(StoreError::damaged(what, format!("it is about {}", incident.id)));
        }
        Ok(incident)
    }
}

/// Removes everything in the directory that has a temporary name.
fn sweep_directory(path: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if !is_temporary(&entry.file_name()) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
