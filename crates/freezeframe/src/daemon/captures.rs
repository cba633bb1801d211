//! Captures that were looked at lately: a page asks for one many times, and a large one takes long to decode.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use freezeframe_model::{Capture, IncidentId};
use freezeframe_store::{CaptureVersion, Store, StoreError};

/// Captures that are kept.
const KEPT: usize = 3;
/// Larger ones are decoded each time: compressed bytes.
const BYTES_MAX: u64 = 8 << 20;

/// The last captures, the one looked at last first.
#[derive(Default)]
pub(crate) struct Captures {
    kept: Mutex<VecDeque<(IncidentId, CaptureVersion, Arc<Capture>)>>,
}

impl Captures {
    /// The capture as it is stored now.
    pub(crate) fn get(&self, store: &Store, id: IncidentId) -> Result<Option<Arc<Capture>>, StoreError> {
        let Some(version) = store.capture_version(id)? else { return Ok(None) };
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = kept.iter().position(|(of, known, _)| (*of, *known) == (id, version))
            && let Some(found) = kept.remove(at)
        {
            let capture = Arc::clone(&found.2);
            kept.push_front(found);
            return Ok(Some(capture));
        }
        // Not while others wait: what one asks for must not hold up the rest.
        drop(kept);
        let Some(capture) = store.capture(id)?.map(Arc::new) else { return Ok(None) };
        if version.bytes() <= BYTES_MAX {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.retain(|(of, ..)| *of != id);
            kept.push_front((id, version, Arc::clone(&capture)));
            kept.truncate(KEPT);
        }
        Ok(Some(capture))
    }
}
