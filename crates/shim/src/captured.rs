//! Turning a snapshot into a capture, in a thread of its own: the main thread goes on draining meanwhile.

use std::panic::AssertUnwindSafe;
use std::sync::mpsc::Sender;
use std::time::Instant;

use freezeframe_debuginfo::Options;
use freezeframe_model::{IncidentId, IncidentKind, LogLine};
use freezeframe_redact::Redactor;
use freezeframe_runtime::Snapshot;

use crate::instance::Input;
use crate::protocol::{Captured, Trapped};
use crate::stall;
use crate::wake::Bell;

/// One capture to be made.
pub(crate) struct Work {
    pub(crate) incident: IncidentId,
    pub(crate) trapped: Trapped,
    pub(crate) snapshot: Snapshot,
    pub(crate) in_flight: Vec<String>,
    pub(crate) logs: Vec<LogLine>,
    /// When the trap was noticed.
    pub(crate) begun: Instant,
    /// When the other threads ran on, in microseconds after `begun`.
    pub(crate) resumed_us: u64,
}

pub(crate) fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}

/// Says which request failed, then decodes; both arrive as inputs of the main thread.
pub(crate) fn decode(
    work: Work,
    options: Options,
    redactor: Redactor,
    inputs: Sender<Input>,
    bell: Bell,
) -> std::io::Result<()> {
    std::thread::Builder::new().name("decode".to_owned()).spawn(move || {
        if !work.in_flight.is_empty() {
            let nearest = work.snapshot.find_nearest(&work.in_flight);
            let _ = inputs.send(Input::Nearest { incident: work.incident, nearest });
            bell.ring();
        }
        let decoded =
            std::panic::catch_unwind(AssertUnwindSafe(|| work.snapshot.decode(&options, &redactor)));
        let mut capture = decoded.unwrap_or_else(|_| {
            let mut capture = freezeframe_model::Capture::default();
            capture.lose("threads, frames and variables", "decoding failed: a defect of Freezeframe");
            capture
        });
        capture.all_stop_us = work.resumed_us;
        capture.decode_us = micros(work.begun);
        let mut trapped = work.trapped;
        if trapped.kind == IncidentKind::Stall
            && let Some((words, site)) = stall::explain(&capture)
        {
            trapped.message = words;
            capture.site = site;
        }
        for why in &trapped.diagnostics {
            capture.lose("parts of the error's own words", why);
        }
        let mut timings = trapped.timings;
        timings.resumed_us = Some(work.resumed_us);
        timings.captured_us = Some(capture.decode_us);
        let captured = Captured {
            incident: work.incident,
            build_id: work.snapshot.build_id(),
            trapped,
            capture,
            logs: work.logs,
            timings,
        };
        let _ = inputs.send(Input::Captured(Box::new(captured)));
        bell.ring();
    })?;
    Ok(())
}
