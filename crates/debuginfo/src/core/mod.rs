//! ELF cores of x86-64 Linux: those of the kernel, systemd-coredump, gcore, and our own.
//!
//! A core is a stopped process like any other: memory, mappings, threads; [`Core::capture`] and [`Core::inspection`] go on
//! as with a live one. Pages that were not written because they equal a file are read from that file, and only from one
//! with the build id that the core remembers; where it remembers none, [`Capture::not_captured`] says so.
//!
//! Compressed cores are unpacked by the caller's reader ([`unpack_core`]). Every byte of a core is taken for hostile.

mod backing;
mod headers;
mod memory;
mod notes;
mod signal;

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::sync::Arc;

use freezeframe_model::Capture;
use freezeframe_redact::Redactor;

use crate::capture::{Options, StoppedThread, capture};
use crate::inspect::Inspection;
use crate::maps::Mapping;
use crate::memory::Memory;
use crate::modules::Modules;
use backing::Backing;
use memory::CoreMemory;

pub use signal::CoreSignal;

/// Why a file cannot be read as a core.
#[derive(Debug, thiserror::Error)]
pub enum OpenCoreError {
    /// Reading failed.
    #[error("the core cannot be read")]
    Read(#[source] io::Error),
    /// It is something else.
    #[error("not an ELF core")]
    NotACore,
    /// Of another processor than x86-64; its number in `e_machine`.
    #[error("a core of another processor (ELF machine {0}); only x86-64 is read")]
    OtherProcessor(u16),
    /// Its parts contradict each other, or it was cut off in front of them.
    #[error("the core is damaged or was cut off: {0}")]
    Damaged(&'static str),
}

/// What a core says of its process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CoreProcess {
    /// Its process id.
    pub pid: i32,
    /// User that it ran as.
    pub uid: Option<u32>,
    /// Its name (`comm`).
    pub name: String,
    /// Path of the program; empty where it is not known.
    pub executable: String,
    /// Program and arguments; the kernel keeps 79 bytes of them.
    pub arguments: String,
    /// The signal that ended it.
    pub signal: Option<CoreSignal>,
}

/// A process as it was when its core was written.
pub struct Core {
    process: CoreProcess,
    threads: Vec<StoppedThread>,
    modules: Modules,
    memory: CoreMemory,
    backing: Arc<Backing>,
    losses: Vec<(String, String)>,
}

impl Core {
    /// Reads headers and notes; memory is read when it is needed. `open` gives mapped files, and separate debug files, by
    /// the path that the process knew.
    ///
    /// # Errors
    /// [`OpenCoreError`]; a core that lacks only parts is opened, and a capture lists them.
    pub fn open(
        file: File,
        open: impl Fn(&Mapping) -> io::Result<File> + Send + Sync + 'static,
    ) -> Result<Self, OpenCoreError> {
        let headers = headers::read(&file)?;
        let notes = notes::read(&file, &headers.notes)?;
        if notes.threads.is_empty() {
            return Err(OpenCoreError::Damaged("it describes no thread"));
        }
        let mut losses = Vec::new();
        let length = file.metadata().map_err(OpenCoreError::Read)?.len();
        let missing =
            headers.loads.iter().filter(|load| load.offset.saturating_add(load.stored) > length).count();
        if missing > 0 {
            let why = format!("the file ends before {missing} of {} parts of memory", headers.loads.len());
            losses.push(("parts of the process's memory".to_owned(), why));
        }
        let file = Arc::new(file);
        let stored = CoreMemory::new(file.clone(), headers.loads);
        let backing = Arc::new(Backing::new(Box::new(open), &stored, &notes.files));
        let mappings = backing::mappings(&stored, &notes, &backing);
        let opened = backing.clone();
        let modules = Modules::new(mappings.clone(), Box::new(move |mapping: &Mapping| opened.open(mapping)));
        let memory = stored.backed_by(mappings, backing.clone());
        let threads = notes.stopped_threads();
        let process = notes.process(&memory);
        Ok(Self { process, threads, modules, memory, backing, losses })
    }

    /// What it says of the process as a whole.
    pub fn process(&self) -> &CoreProcess {
        &self.process
    }

    /// Its threads, the failing one first.
    pub fn threads(&self) -> &[StoppedThread] {
        &self.threads
    }

    /// The files that it had mapped.
    pub fn modules(&self) -> &Modules {
        &self.modules
    }

    /// Its memory.
    pub fn memory(&self) -> &dyn Memory {
        &self.memory
    }

    /// Frames and values, as of a live process.
    pub fn capture(&self, options: &Options, redactor: &Redactor) -> Capture {
        let mut capture = capture(&self.memory, &self.modules, &self.threads, options, redactor);
        for (what, why) in self.losses.iter().cloned().chain(self.backing.losses()) {
            capture.lose(what, why);
        }
        capture
    }

    /// The same process, to be asked again.
    pub fn inspection<'a>(&'a self, options: &'a Options) -> Inspection<'a> {
        Inspection::new(&self.memory, &self.modules, &self.threads, options)
    }
}

/// Whether a file that begins like this is an ELF core.
pub fn is_core(beginning: &[u8]) -> bool {
    headers::is_core(beginning)
}

/// Blocks that hold nothing but zeros become holes of the file.
const BLOCK: usize = 64 * 1024;

/// Writes what `from` gives (an unpacking reader) into `to`, from its beginning, and leaves out zeros where the file system
/// can. More than `bytes_max` bytes are refused.
///
/// # Errors
/// Those of reading and writing; [`io::ErrorKind::FileTooLarge`] where there is more.
pub fn unpack_core(from: &mut dyn Read, to: &mut File, bytes_max: u64) -> io::Result<u64> {
    let mut block = vec![0; BLOCK];
    let mut length = 0u64;
    loop {
        let mut filled = 0;
        while let Some(rest) = block.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match from.read(rest) {
                Ok(0) => break,
                Ok(read) => filled = filled.saturating_add(read),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let bytes = block.get(..filled).unwrap_or_default();
        if bytes.is_empty() {
            to.set_len(length)?;
            return Ok(length);
        }
        length = length.saturating_add(bytes.len() as u64);
        if length > bytes_max {
            let why = format!("the core has more than {bytes_max} bytes");
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
        }
        if bytes.iter().all(|byte| *byte == 0) {
            to.seek(SeekFrom::Current(i64::try_from(bytes.len()).unwrap_or(0)))?;
        } else {
            to.write_all(bytes)?;
        }
    }
}

/// A little-endian number out of a record.
fn number<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    number(bytes, at).map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    number(bytes, at).map(u32::from_le_bytes)
}

fn i32_at(bytes: &[u8], at: usize) -> Option<i32> {
    number(bytes, at).map(i32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    number(bytes, at).map(u64::from_le_bytes)
}
