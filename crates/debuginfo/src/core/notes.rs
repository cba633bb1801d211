//! What a core says besides memory: threads, process, signal, mapped files (core(5), `include/uapi/linux/elf.h`).

use std::sync::Arc;

use std::fs::File;
use std::os::unix::fs::FileExt;

use super::signal::CoreSignal;
use super::{CoreProcess, OpenCoreError, i32_at, u16_at, u32_at, u64_at};
use crate::arch;
use crate::capture::StoppedThread;
use crate::memory::Memory;

const NT_PRSTATUS: u32 = 1;
const NT_PRPSINFO: u32 = 3;
/// What the XSAVE instruction wrote (Linux).
const NT_X86_XSTATE: u32 = 0x202;
const NT_AUXV: u32 = 6;
const NT_SIGINFO: u32 = 0x5349_4749;
const NT_FILE: u32 = 0x4649_4c45;

const AT_ENTRY: u64 = 9;
const AT_UID: u64 = 11;
const AT_EXECFN: u64 = 31;
const AT_SYSINFO_EHDR: u64 = 33;

/// Threads, files and auxiliary values that are read.
const THREADS_MAX: usize = 32_768;
const FILES_MAX: usize = 1 << 20;
const AUXILIARY_MAX: usize = 256;
const PATH_BYTES_MAX: usize = 4096;

/// A file in memory, as the kernel lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MappedFile {
    pub(super) start: u64,
    pub(super) end: u64,
    /// In bytes.
    pub(super) offset: u64,
    pub(super) path: String,
}

pub(super) struct CoreThread {
    id: i32,
    signal: u16,
    registers: arch::CoreRegisters,
    vectors: Option<Arc<arch::Vectors>>,
}

#[derive(Default)]
pub(super) struct Notes {
    pub(super) threads: Vec<CoreThread>,
    /// Ascending by address.
    pub(super) files: Vec<MappedFile>,
    auxiliary: Vec<(u64, u64)>,
    process: CoreProcess,
}

pub(super) fn read(file: &File, places: &[(u64, usize)]) -> Result<Notes, OpenCoreError> {
    let mut notes = Notes::default();
    let in_file = file.metadata().map_err(OpenCoreError::Read)?.len();
    for (offset, length) in places {
        // What was cut off holds no notes, and takes no room.
        let left = usize::try_from(in_file.saturating_sub(*offset)).unwrap_or(usize::MAX);
        let length = (*length).min(left);
        let mut bytes = Vec::new();
        if bytes.try_reserve_exact(length).is_err() {
            return Err(OpenCoreError::Damaged("its notes are too large"));
        }
        bytes.resize(length, 0);
        let read = read_up_to(file, &mut bytes, *offset).map_err(OpenCoreError::Read)?;
        for (name, kind, description) in each(bytes.get(..read).unwrap_or_default()) {
            if name == b"CORE" || name == b"LINUX" {
                notes.take(kind, description);
            }
        }
    }
    notes.files.sort_by_key(|file| file.start);
    Ok(notes)
}

fn read_up_to(file: &File, into: &mut [u8], offset: u64) -> std::io::Result<usize> {
    let mut filled = 0usize;
    while let Some(rest) = into.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset.saturating_add(filled as u64)) {
            Ok(0) => break,
            Ok(read) => filled = filled.saturating_add(read),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Name without its NUL, type and description of each note (elf(5), "Notes"; 4-byte alignment).
pub(super) fn each(bytes: &[u8]) -> impl Iterator<Item = (&[u8], u32, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (name_length, length) = (u32_at(rest, 0)? as usize, u32_at(rest, 4)? as usize);
        let kind = u32_at(rest, 8)?;
        let name = rest.get(12..12usize.checked_add(name_length)?)?;
        let begin = 12usize.checked_add(name_length.checked_next_multiple_of(4)?)?;
        let end = begin.checked_add(length)?;
        let description = rest.get(begin..end)?;
        rest = rest.get(end.checked_next_multiple_of(4)?..).unwrap_or_default();
        Some((name.strip_suffix(&[0]).unwrap_or(name), kind, description))
    })
}

impl Notes {
    fn take(&mut self, kind: u32, description: &[u8]) -> Option<()> {
        match kind {
            NT_PRSTATUS if self.threads.len() < THREADS_MAX => {
                self.threads.push(CoreThread {
                    signal: u16_at(description, 12)?,
                    id: i32_at(description, 32)?,
                    registers: arch::CoreRegisters::read(description)?,
                    vectors: None,
                });
            }
            NT_PRPSINFO => {
                let text = |from: usize, length: usize| {
                    let bytes = description.get(from..from.checked_add(length)?)?;
                    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
                    Some(String::from_utf8_lossy(bytes.get(..end)?).trim().to_owned())
                };
                self.process.uid = u32_at(description, 16);
                self.process.pid = i32_at(description, 24)?;
                self.process.name = text(40, 16)?;
                self.process.arguments = text(56, 80)?;
            }
            NT_SIGINFO if self.process.signal.is_none() => {
                let number = i32_at(description, 0).filter(|number| *number > 0)?;
                let (code, address) = (i32_at(description, 8)?, u64_at(description, 16)?);
                self.process.signal = Some(CoreSignal { number, code: Some(code), address: Some(address) });
            }
            // Of the thread whose note came before.
            NT_X86_XSTATE => {
                self.threads.last_mut()?.vectors = arch::Vectors::from_xsave(description).map(Arc::new);
            }
            NT_AUXV => {
                let words = description.chunks_exact(16).take(AUXILIARY_MAX);
                self.auxiliary =
                    words.filter_map(|pair| Some((u64_at(pair, 0)?, u64_at(pair, 8)?))).collect();
            }
            NT_FILE => self.files = mapped_files(description)?,
            _ => {}
        }
        Some(())
    }

    fn auxiliary(&self, kind: u64) -> Option<u64> {
        self.auxiliary.iter().find(|(known, _)| *known == kind).map(|(_, value)| *value)
    }

    /// Where the vdso begins.
    pub(super) fn vdso(&self) -> Option<u64> {
        self.auxiliary(AT_SYSINFO_EHDR).filter(|address| *address > 0)
    }

    /// The threads with the failing one in front: the first that a signal is noted for, else the first.
    pub(super) fn stopped_threads(&self) -> Vec<StoppedThread> {
        let signalled = self.threads.iter().position(|thread| thread.signal != 0).unwrap_or(0);
        let mut threads: Vec<StoppedThread> = Vec::new();
        for (at, thread) in self.threads.iter().enumerate() {
            let main = thread.id == self.process.pid;
            threads.push(StoppedThread {
                id: thread.id,
                // The name of the process is that of its first thread; those of the others are not kept.
                name: if main { self.process.name.clone() } else { String::new() },
                failing: at == signalled,
                state: thread.registers.state(),
                futex: thread.registers.futex(),
                thread_pointer: thread.registers.thread_pointer(),
                registers: arch::Registers {
                    vectors: thread.vectors.clone(),
                    ..thread.registers.registers()
                },
                ..StoppedThread::default()
            });
        }
        threads.sort_by_key(|thread| !thread.failing);
        threads
    }

    pub(super) fn process(&self, memory: &dyn Memory) -> CoreProcess {
        let mut process = self.process.clone();
        let first_signal = self.threads.iter().map(|thread| thread.signal).find(|signal| *signal != 0);
        if process.signal.is_none() {
            let bare = |number| CoreSignal { number, code: None, address: None };
            process.signal = first_signal.map(i32::from).map(bare);
        }
        if process.pid == 0 {
            process.pid = self.threads.first().map_or(0, |thread| thread.id);
        }
        process.uid = process.uid.or_else(|| u32::try_from(self.auxiliary(AT_UID)?).ok());
        let by_entry = self.auxiliary(AT_ENTRY).and_then(|entry| {
            self.files
                .iter()
                .find(|file| (file.start..file.end).contains(&entry))
                .map(|file| file.path.clone())
        });
        let by_name = || {
            let (path, whole) = memory.c_string(self.auxiliary(AT_EXECFN)?, PATH_BYTES_MAX).ok()?;
            whole.then(|| String::from_utf8_lossy(&path).into_owned())
        };
        process.executable = by_entry.or_else(by_name).unwrap_or_default();
        process
    }
}

/// Count and page size, then start, end and offset in pages of each, then the paths.
fn mapped_files(description: &[u8]) -> Option<Vec<MappedFile>> {
    let (count, page) = (usize::try_from(u64_at(description, 0)?).ok()?, u64_at(description, 8)?);
    let count = count.min(FILES_MAX);
    let table = description.get(16..16usize.checked_add(count.checked_mul(24)?)?)?;
    let mut paths = description.get(16 + table.len()..)?.split(|byte| *byte == 0);
    let mut files = Vec::new();
    for entry in table.chunks_exact(24) {
        let path = paths.next()?;
        let path = String::from_utf8_lossy(path.get(..PATH_BYTES_MAX).unwrap_or(path)).into_owned();
        let (start, end) = (u64_at(entry, 0)?, u64_at(entry, 8)?);
        let offset = u64_at(entry, 16)?.saturating_mul(page);
        if start < end && !path.is_empty() {
            files.push(MappedFile { start, end, offset, path });
        }
    }
    Some(files)
}
