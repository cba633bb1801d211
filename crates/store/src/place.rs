//! Writing incidents and captures, and making them smaller where there is no room.

use std::borrow::Cow;

use freezeframe_model::{Capture, Incident, IncidentId, Loss};

use crate::capsule::{CAPTURE_FILE, INCIDENT_FILE, Parts};
use crate::medium;
use crate::rows::{self, Size};
use crate::store::State;
use crate::{Store, StoreError, format};

/// How much of a capture is kept, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Degree {
    Whole,
    NoVariables,
    FailingThread,
    Nothing,
}

impl Degree {
    const ALL: [Self; 4] = [Self::Whole, Self::NoVariables, Self::FailingThread, Self::Nothing];

    /// What this degree leaves out.
    fn losses(self) -> &'static [&'static str] {
        match self {
            Self::Whole => &[],
            Self::NoVariables => &["variables of all frames"],
            Self::FailingThread => &["variables of all frames", "stacks of the other threads and of tasks"],
            Self::Nothing => &["capture (threads, frames, variables)"],
        }
    }

    fn of(self, capture: &Capture) -> Option<Cow<'_, Capture>> {
        let mut smaller = match self {
            Self::Nothing => return None,
            Self::Whole => return Some(Cow::Borrowed(capture)),
            Self::NoVariables | Self::FailingThread => capture.clone(),
        };
        if self == Self::FailingThread {
            smaller.threads.retain(|thread| thread.failing);
            smaller.tasks = Vec::new();
        }
        let of_threads = smaller.threads.iter_mut().flat_map(|thread| &mut thread.frames);
        let frames = of_threads.chain(smaller.tasks.iter_mut().flat_map(|task| &mut task.frames));
        frames.for_each(|frame| frame.variables = Vec::new());
        Some(Cow::Owned(smaller))
    }
}

impl Store {
    /// Stores a new incident with its capture; durable on return.
    ///
    /// Without room (disk or quota) old capsules go first, then the capture gets smaller; what had to be left out is
    /// added to `incident.not_captured`. An error means that not even the row could be written.
    pub fn insert(&self, incident: &mut Incident, capture: Option<&Capture>) -> Result<(), StoreError> {
        self.insert_from(incident, capture, None)
    }

    /// The same for an incident that was recorded as `origin` elsewhere.
    pub(crate) fn insert_from(
        &self,
        incident: &mut Incident,
        capture: Option<&Capture>,
        origin: Option<IncidentId>,
    ) -> Result<(), StoreError> {
        let id = incident.id;
        if rows::exists(&self.writable()?.db, id).map_err(StoreError::database("look for the incident"))? {
            return Err(StoreError::Exists(id));
        }
        let degrees = if capture.is_some() { &Degree::ALL[..] } else { &[Degree::Nothing] };
        let losses = incident.not_captured.len();
        let mut why = String::new();
        for degree in degrees {
            incident.not_captured.truncate(losses);
            if capture.is_some() {
                lose(incident, degree.losses(), &why);
            }
            let parts = match encode(incident, capture.and_then(|capture| degree.of(capture)).as_deref()) {
                Ok(parts) => parts,
                Err(reason) => {
                    why = reason;
                    continue;
                }
            };
            // Encoding takes time and is done without the lock; from here to the commit nobody may come in between.
            let mut state = self.writable()?;
            match self.place(&mut state, incident, &parts) {
                Ok(()) => return self.commit(&mut state, incident, parts.size(), origin),
                Err(reason) => why = reason,
            }
        }
        tracing::warn!(incident = %id, why, "no capsule could be written; only the row is kept");
        lose(incident, &["capsule directory"], &why);
        let mut state = self.writable()?;
        self.commit(&mut state, incident, Size::default(), origin)
    }

    /// Writes the capsule's directory, giving up older ones as long as the disk is full.
    fn place(&self, state: &mut State, incident: &Incident, parts: &Parts) -> Result<(), String> {
        // The row repeats the incident.
        let Size { bytes, files } = parts.size();
        let need = Size { bytes: bytes.saturating_add(parts.incident.len() as u64), files };
        self.make_room(state, need, &incident.fingerprint.to_string())?;
        self.while_full(state, || self.inner.capsules.create(self.inner.medium.as_ref(), incident.id, parts))
    }

    /// Repeats a file operation while the disk is full and a capsule can be given up for it.
    pub(crate) fn while_full<T>(
        &self,
        state: &mut State,
        mut operation: impl FnMut() -> Result<T, StoreError>,
    ) -> Result<T, String> {
        loop {
            match operation() {
                Ok(value) => return Ok(value),
                Err(error) if error.is_full() => {
                    if !self.evict_oldest(state, None, "the disk was full")? {
                        return Err("the disk is full".to_owned());
                    }
                }
                Err(error) => return Err(error.chain()),
            }
        }
    }

    /// The row, with which the incident begins to exist.
    fn commit(
        &self,
        state: &mut State,
        incident: &mut Incident,
        size: Size,
        origin: Option<IncidentId>,
    ) -> Result<(), StoreError> {
        let mut body = encode_body(incident)?;
        let bytes = size.bytes.saturating_add(body.len() as u64);
        let committed = self.make_room_for_row(state, bytes).and_then(|()| {
            let write = |db: &_| rows::insert(db, incident, &body, size, origin);
            match self.with_room(state, "the incident", write) {
                Err(error) if error.is_full() => {
                    slim(incident, "the disk is full");
                    body = encode_body(incident)?;
                    let write = |db: &_| rows::insert(db, incident, &body, size, origin);
                    self.with_room(state, "the incident", write)
                }
                other => other,
            }
        });
        match &committed {
            Ok(()) => self.keep_reserve(),
            // Without its row the directory means nothing, and it would be adopted at the next start.
            Err(_) => drop(self.inner.capsules.remove(incident.id)),
        }
        committed
    }

    /// Stores what has changed in an incident; durable on return.
    pub fn update(&self, incident: &Incident) -> Result<(), StoreError> {
        let mut state = self.writable()?;
        self.update_locked(&mut state, incident)
    }

    fn update_locked(&self, state: &mut State, incident: &Incident) -> Result<(), StoreError> {
        let mut copy = incident.clone();
        let body = encode_body(&mut copy)?;
        let changed = self.with_room(state, "the incident", |db| rows::update(db, incident, &body))?;
        if !changed {
            return Err(StoreError::NoIncident(incident.id));
        }
        self.refresh_copy(state, incident.id, &body);
        Ok(())
    }

    /// Brings `incident.json` up to date. The row is the truth and is durable already, so a failure costs nothing.
    fn refresh_copy(&self, state: &State, id: IncidentId, body: &str) {
        let directory = self.inner.capsules.directory(id);
        if !directory.is_dir() {
            return;
        }
        let replaced =
            medium::replace(self.inner.medium.as_ref(), &directory, INCIDENT_FILE, body.as_bytes());
        let replaced =
            replaced.map_err(StoreError::io("write", &directory)).and_then(|()| self.resize(state, id));
        if let Err(error) = replaced {
            tracing::warn!(incident = %id, error = %error.chain(), "incident.json is older than its row");
        }
    }

    /// Records what the capsule takes now.
    pub(crate) fn resize(&self, state: &State, id: IncidentId) -> Result<(), StoreError> {
        let size = self.inner.capsules.measure(id)?;
        rows::set_size(&state.db, id, size).map_err(StoreError::database("record the size of a capsule"))
    }

    /// Stores a capture that arrives after its incident, in place of any earlier one; durable on return.
    ///
    /// It is made smaller, or left out, under the same conditions as in [`insert`](Self::insert).
    pub fn set_capture(&self, incident: &mut Incident, capture: &Capture) -> Result<(), StoreError> {
        let losses = incident.not_captured.len();
        let mut why = String::new();
        for degree in Degree::ALL {
            incident.not_captured.truncate(losses);
            lose(incident, degree.losses(), &why);
            let encoded = degree.of(capture).map(|smaller| format::encode_capture(&smaller)).transpose();
            let bytes = match encoded {
                Ok(bytes) => bytes,
                Err(error) => {
                    why = error.to_string();
                    continue;
                }
            };
            let mut state = self.writable()?;
            let placed = match bytes {
                Some(bytes) => self.place_capture(&mut state, incident, &bytes),
                None => Ok(()),
            };
            match placed {
                Ok(()) => return self.update_locked(&mut state, incident),
                Err(reason) => why = reason,
            }
        }
        // Not reached: leaving everything out always succeeds above. Kept as an answer instead of a panic.
        self.update(incident)
    }

    fn place_capture(&self, state: &mut State, incident: &mut Incident, bytes: &[u8]) -> Result<(), String> {
        let id = incident.id;
        match rows::exists(&state.db, id) {
            Ok(true) => {}
            // `update` has the words for this; nothing must be written for it.
            Ok(false) => return Ok(()),
            Err(error) => return Err(error.to_string()),
        }
        state.busy.push(id);
        let placed = self.place_capture_in(state, incident, bytes);
        state.busy.retain(|busy| *busy != id);
        placed
    }

    fn place_capture_in(
        &self,
        state: &mut State,
        incident: &mut Incident,
        bytes: &[u8],
    ) -> Result<(), String> {
        let need = Size { bytes: bytes.len() as u64, files: 1 };
        self.make_room(state, need, &incident.fingerprint.to_string())?;
        let directory = self.inner.capsules.directory(incident.id);
        if !directory.is_dir() {
            let body = encode_body(incident).map_err(|error| error.chain())?;
            let parts = Parts { incident: body.into_bytes(), capture: Some(bytes.to_vec()) };
            self.place(state, incident, &parts)?;
            return self.restore(state, incident.id);
        }
        self.while_full(state, || {
            medium::replace(self.inner.medium.as_ref(), &directory, CAPTURE_FILE, bytes)
                .map_err(StoreError::io("write", &directory))
        })?;
        self.restore(state, incident.id)
    }

    /// Records that there is a capture (again).
    fn restore(&self, state: &State, id: IncidentId) -> Result<(), String> {
        self.resize(state, id).map_err(|error| error.chain())?;
        rows::set_restored(&state.db, id).map_err(|error| error.to_string())
    }
}

fn encode(incident: &mut Incident, capture: Option<&Capture>) -> Result<Parts, String> {
    let capture = capture.map(format::encode_capture).transpose().map_err(|error| error.to_string())?;
    let incident = encode_body(incident).map_err(|error| error.chain())?;
    Ok(Parts { incident: incident.into_bytes(), capture })
}

/// The incident in its envelope; without logs and journey where it would be too large to be read again.
pub(crate) fn encode_body(incident: &mut Incident) -> Result<String, StoreError> {
    let encoded = format::encode_incident(incident).or_else(|error| {
        slim(incident, &format!("the incident was {error}"));
        format::encode_incident(incident)
    });
    let failed = |why: String| StoreError::Full { what: "the incident".to_owned(), why };
    let bytes = encoded.map_err(|error| failed(error.to_string()))?;
    String::from_utf8(bytes).map_err(|error| failed(error.to_string()))
}

/// Leaves out what can be long.
fn slim(incident: &mut Incident, why: &str) {
    incident.logs = Vec::new();
    incident.request.journey = Vec::new();
    lose(incident, &["log lines", "journey"], why);
}

fn lose(incident: &mut Incident, what: &[&str], why: &str) {
    for what in what {
        let loss = Loss { what: (*what).to_owned(), why: why.to_owned() };
        if !incident.not_captured.contains(&loss) {
            incident.not_captured.push(loss);
        }
    }
}
