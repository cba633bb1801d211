//! Versioned envelopes: `{"format":"freezeframe-incident/1","incident":{…}}`, and the same for captures (zstd-compressed).
//!
//! The version belongs to the shape below `incident` or `capture`. A newer one is refused by name instead of being
//! misread. Everything read here may come from a stranger: sizes are bounded, and nothing panics.

use std::io::{self, Read, Write};

use freezeframe_model::{Capture, Incident, Record, Variable};
use serde::{Deserialize, Serialize};

use crate::StoreError;

/// Largest decompressed capture, in bytes.
pub(crate) const MAX_CAPTURE: u64 = 256 << 20;
/// Largest incident as JSON, in bytes.
pub(crate) const MAX_INCIDENT: u64 = 16 << 20;
/// Deepest nesting of variables that is written: JSON readers stop at 128 levels, of which a variable takes two.
const MAX_DEPTH: u32 = 48;
/// Fast enough for the path of a crash, and about ten times smaller than plain JSON.
const LEVEL: i32 = 3;

const VERSION: u64 = 1;
const INCIDENT: &str = "freezeframe-incident";
const CAPTURE: &str = "freezeframe-capture";
const RECORD: &str = "freezeframe-record";

#[derive(Deserialize)]
struct Envelope<B> {
    format: String,
    #[serde(alias = "incident", alias = "capture", alias = "record")]
    body: B,
}

#[derive(Serialize)]
struct IncidentOut<'a> {
    format: String,
    incident: &'a Incident,
}

#[derive(Serialize)]
struct CaptureOut<'a> {
    format: String,
    capture: &'a Capture,
}

#[derive(Serialize)]
struct RecordOut<'a> {
    format: String,
    record: &'a Record,
}

#[derive(Deserialize)]
struct FormatOnly {
    format: String,
}

/// Why something cannot be written in its format.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EncodeError {
    #[error("larger than {0} bytes")]
    TooLarge(u64),
    #[error("cannot be encoded: {0}")]
    Failed(String),
}

/// The incident as JSON in its envelope.
pub(crate) fn encode_incident(incident: &Incident) -> Result<Vec<u8>, EncodeError> {
    let mut out = Bounded { to: Vec::new(), left: MAX_INCIDENT };
    let envelope = IncidentOut { format: format!("{INCIDENT}/{VERSION}"), incident };
    serde_json::to_writer(&mut out, &envelope).map_err(|error| encode_error(&error, MAX_INCIDENT))?;
    Ok(out.to)
}

/// Reads what [`encode_incident`] wrote; `what` names it in errors.
pub(crate) fn decode_incident(bytes: &[u8], what: &str) -> Result<Incident, StoreError> {
    decode(bytes, INCIDENT, what)
}

/// What people wrote and did, as JSON in its envelope.
pub(crate) fn encode_record(record: &Record) -> Result<Vec<u8>, EncodeError> {
    let mut out = Bounded { to: Vec::new(), left: MAX_INCIDENT };
    let envelope = RecordOut { format: format!("{RECORD}/{VERSION}"), record };
    serde_json::to_writer(&mut out, &envelope).map_err(|error| encode_error(&error, MAX_INCIDENT))?;
    Ok(out.to)
}

/// Reads what [`encode_record`] wrote.
pub(crate) fn decode_record(bytes: &[u8], what: &str) -> Result<Record, StoreError> {
    decode(bytes, RECORD, what)
}

/// The capture as compressed JSON in its envelope.
pub(crate) fn encode_capture(capture: &Capture) -> Result<Vec<u8>, EncodeError> {
    let failed = |error: io::Error| EncodeError::Failed(error.to_string());
    let shallow = without_depths(capture);
    let envelope =
        CaptureOut { format: format!("{CAPTURE}/{VERSION}"), capture: shallow.as_ref().unwrap_or(capture) };
    let encoder = zstd::stream::write::Encoder::new(Vec::new(), LEVEL).map_err(failed)?;
    let mut out = Bounded { to: io::BufWriter::with_capacity(64 << 10, encoder), left: MAX_CAPTURE };
    serde_json::to_writer(&mut out, &envelope).map_err(|error| encode_error(&error, MAX_CAPTURE))?;
    out.to.into_inner().map_err(|error| failed(error.into_error()))?.finish().map_err(failed)
}

/// Reads what [`encode_capture`] wrote.
pub(crate) fn decode_capture(compressed: impl Read, what: &str) -> Result<Capture, StoreError> {
    decode(&decompress(compressed, MAX_CAPTURE, what)?, CAPTURE, what)
}

/// Compresses a small part of a capsule.
pub(crate) fn compress(bytes: &[u8]) -> io::Result<Vec<u8>> {
    zstd::stream::encode_all(bytes, LEVEL)
}

/// Decompresses at most `max` bytes; more is an error, not a truncation.
pub(crate) fn decompress(compressed: impl Read, max: u64, what: &str) -> Result<Vec<u8>, StoreError> {
    let damaged = |error: io::Error| StoreError::damaged(what, error.to_string());
    let decoder = zstd::stream::read::Decoder::new(compressed).map_err(damaged)?;
    let mut bytes = Vec::new();
    decoder.take(max.saturating_add(1)).read_to_end(&mut bytes).map_err(damaged)?;
    if bytes.len() as u64 > max {
        return Err(StoreError::damaged(what, format!("larger than {max} bytes")));
    }
    Ok(bytes)
}

fn decode<B: for<'de> Deserialize<'de>>(bytes: &[u8], name: &str, what: &str) -> Result<B, StoreError> {
    // The whole first, because this is the common case and may be large; the format alone only to explain a failure.
    let whole = serde_json::from_slice::<Envelope<B>>(bytes);
    let format = match &whole {
        Ok(envelope) => envelope.format.clone(),
        Err(error) => match serde_json::from_slice::<FormatOnly>(bytes) {
            Ok(only) => only.format,
            Err(_) => return Err(StoreError::damaged(what, error.to_string())),
        },
    };
    let version = format.strip_prefix(name).and_then(|rest| rest.strip_prefix('/'));
    match version.and_then(|version| version.parse::<u64>().ok()) {
        Some(VERSION) => {
            let body = whole.map(|envelope| envelope.body);
            body.map_err(|error| StoreError::damaged(what, error.to_string()))
        }
        Some(found) if found > VERSION => {
            Err(StoreError::NewerFormat { what: what.to_owned(), found, known: VERSION })
        }
        _ => Err(StoreError::damaged(what, format!("its format is not {name}"))),
    }
}

/// A copy with too deeply nested variables cut off, where there are any.
fn without_depths(capture: &Capture) -> Option<Capture> {
    let of_tasks = || capture.tasks.iter().flat_map(|task| &task.frames);
    let frames = || capture.threads.iter().flat_map(|thread| &thread.frames).chain(of_tasks());
    if !frames().flat_map(|frame| &frame.variables).any(|variable| is_deeper(variable, MAX_DEPTH)) {
        return None;
    }
    let mut copy = capture.clone();
    let of_tasks = copy.tasks.iter_mut().flat_map(|task| &mut task.frames);
    for frame in copy.threads.iter_mut().flat_map(|thread| &mut thread.frames).chain(of_tasks) {
        frame.variables.iter_mut().for_each(|variable| cut(variable, MAX_DEPTH));
    }
    copy.lose("values of deeply nested variables", format!("more than {MAX_DEPTH} levels cannot be stored"));
    Some(copy)
}

fn is_deeper(variable: &Variable, left: u32) -> bool {
    variable.children.iter().any(|child| left == 0 || is_deeper(child, left - 1))
}

fn cut(variable: &mut Variable, left: u32) {
    if left == 0 {
        variable.children.clear();
    }
    variable.children.iter_mut().for_each(|child| cut(child, left.saturating_sub(1)));
}

/// Fails instead of writing more than it should.
struct Bounded<W> {
    to: W,
    left: u64,
}

impl<W: Write> Write for Bounded<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.left = self.left.checked_sub(bytes.len() as u64).ok_or(io::ErrorKind::FileTooLarge)?;
        self.to.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

fn encode_error(error: &serde_json::Error, max: u64) -> EncodeError {
    match error.io_error_kind() {
        Some(io::ErrorKind::FileTooLarge) => EncodeError::TooLarge(max),
        _ => EncodeError::Failed(error.to_string()),
    }
}
