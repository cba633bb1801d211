//! `open` on an ELF core: the same page and the same JSON as of an incident, out of a file that any system wrote.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::UNIX_EPOCH;

use freezeframe_debuginfo::{Core, Mapping, Options, is_core, unpack_core};
use freezeframe_model::{
    Capture, FailingRequest, HoldFacts, Incident, IncidentKind, IncidentState, InstanceId, Timestamp, Timings,
};
use freezeframe_redact::Redactor;

use crate::error::{CommandError, Kind};
use crate::render::CORE_ID;

/// A compressed core may unpack to this many bytes.
const UNPACKED_BYTES_MAX: u64 = 64 << 30;
/// Frames that the fingerprint is made of.
const FINGERPRINT_FRAMES: usize = 64;
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// A core, and what a page says of it.
pub(super) struct PostMortem {
    pub(super) core: Core,
    pub(super) incident: Incident,
    pub(super) capture: Capture,
}

/// Opens the file as a core; `None` where it is something else.
pub(super) fn open(path: &Path, options: &Options) -> Result<Option<PostMortem>, CommandError> {
    let mut file = File::open(path).map_err(|error| {
        CommandError::from(std::io::Error::new(error.kind(), format!("{}: {error}", path.display())))
    })?;
    let written = file.metadata().and_then(|facts| facts.modified()).ok();
    let mut beginning = [0; 64];
    let read = beginning_of(&mut file, &mut beginning)?;
    let mut beginning = beginning.get(..read).unwrap_or_default().to_vec();
    if beginning.starts_with(&ZSTD) {
        file.seek(SeekFrom::Start(0))?;
        let mut unpacked = zstd::Decoder::new(&file)?;
        // A frame of zstd may hold anything: its beginning tells.
        let mut head = [0; 64];
        let Ok(read) = beginning_of(&mut unpacked, &mut head) else { return Ok(None) };
        beginning = head.get(..read).unwrap_or_default().to_vec();
        if !is_core(&beginning) {
            return Ok(None);
        }
        let mut plain = tempfile::tempfile()?;
        unpack_core(&mut beginning.as_slice().chain(unpacked), &mut plain, UNPACKED_BYTES_MAX)?;
        file = plain;
    }
    if !is_core(&beginning) {
        return Ok(None);
    }
    let core = Core::open(file, |mapping: &Mapping| open_mapped(mapping))
        .map_err(|error| CommandError::caused(Kind::Failed, &error))?;
    let captured_at = written
        .and_then(|written| written.duration_since(UNIX_EPOCH).ok())
        .and_then(|since| i64::try_from(since.as_micros()).ok())
        .map_or_else(Timestamp::now, Timestamp);
    let redactor = Redactor::default();
    let capture = core.capture(options, &redactor);
    let incident = incident(&core, &capture, captured_at, &redactor);
    Ok(Some(PostMortem { core, incident, capture }))
}

fn beginning_of(from: &mut dyn Read, into: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < into.len() {
        match from.read(&mut into[filled..])? {
            0 => break,
            read => filled += read,
        }
    }
    Ok(filled)
}

/// The paths stand in the core, which anybody may have written: only plain files are opened, and no pipe is waited for.
fn open_mapped(mapping: &Mapping) -> std::io::Result<File> {
    let file = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(&mapping.path)?;
    if !file.metadata()?.is_file() {
        return Err(std::io::Error::other("not a plain file"));
    }
    Ok(file)
}

fn incident(core: &Core, capture: &Capture, captured_at: Timestamp, redactor: &Redactor) -> Incident {
    let process = core.process();
    let (kind, words) = match &process.signal {
        Some(signal) => (IncidentKind::Signal(signal.name()), signal.words()),
        None => (IncidentKind::Exit("a core was written of it".to_owned()), String::new()),
    };
    let failing = core.threads().iter().find(|thread| thread.failing);
    let stack =
        failing.map(|thread| core.modules().unwind(core.memory(), &thread.registers, FINGERPRINT_FRAMES));
    let name = process.executable.rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or(&process.name);
    Incident {
        id: CORE_ID,
        message: redactor.text(&words).into_owned(),
        fingerprint: stack.map_or(freezeframe_model::Fingerprint([0; 16]), |stack| {
            core.modules().fingerprint(&stack, &kind.to_string())
        }),
        kind,
        state: IncidentState::Recorded,
        site: capture.site.clone(),
        service: name.to_owned(),
        instance: InstanceId(u32::try_from(process.pid).unwrap_or_default()),
        build_id: core.modules().main_build_id(),
        captured_at,
        updated_at: captured_at,
        count: 1,
        timings: Timings::default(),
        hold: HoldFacts::default(),
        request: FailingRequest::default(),
        logs: Vec::new(),
        requests_lost: 0,
        not_captured: Vec::new(),
    }
}
