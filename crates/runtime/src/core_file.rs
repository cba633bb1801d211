//! Writing an ELF core of a held process, as gdb, lldb and eu-readelf read it (elf(5), core(5)).
//!
//! Notes first (threads with all registers, mapped files, auxiliary vector), then the memory that `core_memory` selects.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use freezeframe_debuginfo::{Mapping, Memory, parse_maps};
use object::elf::{NT_AUXV, NT_FILE, NT_FPREGSET, NT_PRPSINFO, NT_PRSTATUS, NoteType};

use crate::core_memory::{CoreFilter, Segment, select};
use crate::held::Held;
use crate::memory::ProcessMemory;
use crate::native::{ELF_MACHINE, EXTENDED_STATE_NOTE, HeldThread};

const PAGE: u64 = 4096;
const CHUNK: usize = 1 << 20;
const HEADER: u64 = 64;
const PROGRAM_HEADER: u64 = 56;

/// Bounds of a core file.
#[derive(Clone, Copy, Debug)]
pub struct CoreLimits {
    /// Memory written at most, before compression, in bytes; larger mappings come last and are left out first.
    pub memory_bytes_max: u64,
    /// Which kinds of memory.
    pub filter: CoreFilter,
}

/// What a core file holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CoreSummary {
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// Memory left out for its size, in bytes.
    pub omitted_bytes: u64,
    /// Threads.
    pub threads: usize,
}

/// Writes a zstd-compressed core of a held process to `path`, durable when this returns; nothing is left there on failure.
pub fn write_compressed(held: &Held, path: &Path, limits: CoreLimits) -> io::Result<CoreSummary> {
    let compressed = || -> io::Result<CoreSummary> {
        let mut to = zstd::Encoder::new(File::create(path)?, 1)?;
        let summary = held.write_core(&mut to, limits)?;
        to.finish()?.sync_all()?;
        Ok(summary)
    };
    compressed().inspect_err(|_| drop(std::fs::remove_file(path)))
}

/// Writes the core. `failing` comes first among the threads: debuggers select it.
pub(crate) fn write(
    pid: i32,
    failing: i32,
    signal: i32,
    threads: &[HeldThread],
    to: &mut dyn Write,
    limits: CoreLimits,
) -> io::Result<CoreSummary> {
    let mappings = parse_maps(&std::fs::read_to_string(format!("/proc/{pid}/maps"))?);
    let memory = ProcessMemory::open(pid)?;
    let smaps = std::fs::read_to_string(format!("/proc/{pid}/smaps")).unwrap_or_default();
    let pagemap = File::open(format!("/proc/{pid}/pagemap")).ok();
    let (segments, omitted_bytes) =
        select(&mappings, &smaps, pagemap.as_ref(), limits.filter, limits.memory_bytes_max);
    let notes = notes(pid, failing, signal, threads, &mappings);
    let headers = HEADER + PROGRAM_HEADER * (segments.len() as u64 + 1);
    let memory_at = (headers + notes.len() as u64).next_multiple_of(PAGE);
    to.write_all(&file_header(segments.len() + 1))?;
    to.write_all(&program_header(4, 0, headers, 0, notes.len() as u64, 0, 1))?;
    let mut at = memory_at;
    for segment in &segments {
        let m = segment.mapping;
        let flags = u32::from(m.executable) | u32::from(m.writable) << 1 | u32::from(m.readable) << 2;
        to.write_all(&program_header(
            1,
            flags,
            at,
            segment.start,
            segment.stored,
            segment.end - segment.start,
            PAGE,
        ))?;
        at += segment.stored;
    }
    to.write_all(&notes)?;
    to.write_all(&vec![0; usize::try_from(memory_at - headers - notes.len() as u64).unwrap_or(0)])?;
    let mut summary = CoreSummary { omitted_bytes, threads: threads.len(), ..CoreSummary::default() };
    for segment in &segments {
        copy_memory(&memory, segment, to)?;
        summary.memory_bytes += segment.stored;
    }
    Ok(summary)
}

/// Pages that cannot be read (a device, a file cut short) are written as zeros.
fn copy_memory(memory: &ProcessMemory, segment: &Segment<'_>, to: &mut dyn Write) -> io::Result<()> {
    let mut at = segment.start;
    let end = at + segment.stored;
    let mut buffer = vec![0; CHUNK];
    while at < end {
        let length = usize::try_from(end - at).unwrap_or(CHUNK).min(CHUNK);
        let chunk = &mut buffer[..length];
        if memory.read(at, chunk).is_err() {
            chunk.fill(0);
            for (page, bytes) in chunk.chunks_mut(PAGE as usize).enumerate() {
                let _ = memory.read(at + page as u64 * PAGE, bytes);
            }
        }
        to.write_all(chunk)?;
        at += length as u64;
    }
    Ok(())
}

fn file_header(segments: usize) -> Vec<u8> {
    let mut header = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    header.extend(4u16.to_le_bytes()); // ET_CORE
    header.extend(ELF_MACHINE.to_le_bytes());
    header.extend(1u32.to_le_bytes());
    header.extend(0u64.to_le_bytes()); // entry
    header.extend(HEADER.to_le_bytes()); // program headers follow
    header.extend(0u64.to_le_bytes()); // no sections
    header.extend(0u32.to_le_bytes());
    header.extend((HEADER as u16).to_le_bytes());
    header.extend((PROGRAM_HEADER as u16).to_le_bytes());
    header.extend(u16::try_from(segments).unwrap_or(u16::MAX).to_le_bytes());
    header.extend([0; 6]);
    header
}

fn program_header(
    kind: u32,
    flags: u32,
    offset: u64,
    address: u64,
    stored: u64,
    length: u64,
    align: u64,
) -> Vec<u8> {
    let mut header = Vec::with_capacity(PROGRAM_HEADER as usize);
    header.extend(kind.to_le_bytes());
    header.extend(flags.to_le_bytes());
    for field in [offset, address, 0, stored, length, align] {
        header.extend(field.to_le_bytes());
    }
    header
}

fn note(notes: &mut Vec<u8>, name: &[u8], kind: NoteType, description: &[u8]) {
    notes.extend(u32::try_from(name.len() + 1).unwrap_or(0).to_le_bytes());
    notes.extend(u32::try_from(description.len()).unwrap_or(0).to_le_bytes());
    notes.extend(kind.0.to_le_bytes());
    for part in [[name, &[0]].concat().as_slice(), description] {
        notes.extend(part);
        notes.resize(notes.len().next_multiple_of(4), 0);
    }
}

fn notes(pid: i32, failing: i32, signal: i32, threads: &[HeldThread], mappings: &[Mapping]) -> Vec<u8> {
    let mut notes = Vec::new();
    let (first, rest): (Vec<_>, Vec<_>) = threads.iter().partition(|thread| thread.tid == failing);
    for (at, thread) in first.into_iter().chain(rest).enumerate() {
        // As the kernel does it, the signal stands with every thread: gdb takes the last one's.
        note(&mut notes, b"CORE", NT_PRSTATUS, &thread_status(pid, thread, signal));
        if at == 0 {
            note(&mut notes, b"CORE", NT_PRPSINFO, &process_status(pid));
            note(
                &mut notes,
                b"CORE",
                NT_AUXV,
                &std::fs::read(format!("/proc/{pid}/auxv")).unwrap_or_default(),
            );
            note(&mut notes, b"CORE", NT_FILE, &mapped_files(mappings));
        }
        if let Some(floating) = &thread.floating {
            note(&mut notes, b"CORE", NT_FPREGSET, floating);
        }
        if let Some(extended) = &thread.extended {
            note(&mut notes, b"LINUX", EXTENDED_STATE_NOTE, extended);
        }
    }
    notes
}

/// `struct elf_prstatus` of 64-bit Linux: the registers stand at 112.
fn thread_status(pid: i32, thread: &HeldThread, signal: i32) -> Vec<u8> {
    let mut status = Vec::with_capacity(336);
    status.extend(signal.to_le_bytes());
    status.extend([0; 8]);
    status.extend(i16::try_from(signal).unwrap_or(0).to_le_bytes());
    status.resize(32, 0);
    for id in [thread.tid, 0, pid, pid] {
        status.extend(id.to_le_bytes());
    }
    status.resize(112, 0);
    status.extend(&thread.general);
    status.extend(i32::from(thread.floating.is_some()).to_le_bytes());
    status.resize(status.len().next_multiple_of(8), 0);
    status
}

/// `struct elf_prpsinfo`: state, ids, name and arguments.
fn process_status(pid: i32) -> Vec<u8> {
    let mut status = vec![0; 24];
    status.extend(pid.to_le_bytes());
    status.resize(40, 0);
    let padded = |bytes: Vec<u8>, length: usize| {
        let mut bytes: Vec<u8> = bytes.into_iter().take(length - 1).collect();
        bytes.resize(length, 0);
        bytes
    };
    let name = std::fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
    status.extend(padded(name.into_iter().filter(|byte| *byte != b'\n').collect(), 16));
    let arguments = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    status
        .extend(padded(arguments.into_iter().map(|byte| if byte == 0 { b' ' } else { byte }).collect(), 80));
    status
}

/// `NT_FILE`: count and page size, then start, end and page offset of each, then the names.
fn mapped_files(mappings: &[Mapping]) -> Vec<u8> {
    let files: Vec<&Mapping> = mappings.iter().filter(|mapping| mapping.path.starts_with('/')).collect();
    let mut description = Vec::new();
    description.extend((files.len() as u64).to_le_bytes());
    description.extend(PAGE.to_le_bytes());
    for file in &files {
        for field in [file.start, file.end, file.offset / PAGE] {
            description.extend(field.to_le_bytes());
        }
    }
    for file in &files {
        description.extend(file.path.as_bytes());
        description.push(0);
    }
    description
}
