//! The ELF header and program headers of a core (elf(5)): where its memory and its notes are.

use std::fs::File;
use std::os::unix::fs::FileExt;

use super::{OpenCoreError, u16_at, u32_at, u64_at};

const HEADER: usize = 64;
const PROGRAM_HEADER: usize = 56;
const SECTION_HEADER: usize = 64;
const ET_CORE: u16 = 4;
const EM_X86_64: u16 = 62;
const PT_LOAD: u32 = 1;
const PT_NOTE: u32 = 4;
/// `e_phnum` that sends the reader to the first section's `sh_info`.
const PN_XNUM: u16 = 0xffff;
/// Program headers that are read; the kernel's limit of mappings is 65,530 by default.
const HEADERS_MAX: usize = 1 << 20;
/// Bytes of notes: a thread has some 4 KiB of them with AVX-512 state.
const NOTE_BYTES_MAX: u64 = 256 << 20;
const NOTES_MAX: usize = 64;

/// A part of the process's memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    pub(super) start: u64,
    pub(super) end: u64,
    /// Where it stands in the core, and how much of it.
    pub(super) offset: u64,
    pub(super) stored: u64,
    pub(super) readable: bool,
    pub(super) writable: bool,
    pub(super) executable: bool,
}

#[derive(Debug, Default)]
pub(super) struct Headers {
    /// Ascending by address, without overlap.
    pub(super) loads: Vec<Load>,
    /// Offset and length of each part with notes.
    pub(super) notes: Vec<(u64, usize)>,
}

/// 64 bits, little-endian, of type core.
pub(super) fn is_core(beginning: &[u8]) -> bool {
    beginning.starts_with(&[0x7f, b'E', b'L', b'F', 2, 1]) && u16_at(beginning, 16) == Some(ET_CORE)
}

pub(super) fn read(file: &File) -> Result<Headers, OpenCoreError> {
    let mut header = [0; HEADER];
    file.read_exact_at(&mut header, 0).map_err(|error| match error.kind() {
        std::io::ErrorKind::UnexpectedEof => OpenCoreError::NotACore,
        _ => OpenCoreError::Read(error),
    })?;
    if !is_core(&header) {
        return Err(OpenCoreError::NotACore);
    }
    match u16_at(&header, 18) {
        Some(EM_X86_64) => {}
        machine => return Err(OpenCoreError::OtherProcessor(machine.unwrap_or_default())),
    }
    let damaged = || OpenCoreError::Damaged("its program headers are missing");
    let at = u64_at(&header, 32).ok_or_else(damaged)?;
    if u16_at(&header, 54).map(usize::from) != Some(PROGRAM_HEADER) {
        return Err(OpenCoreError::Damaged("its program headers have an unknown form"));
    }
    let count = match u16_at(&header, 56).ok_or_else(damaged)? {
        PN_XNUM => {
            let mut section = [0; SECTION_HEADER];
            let sections = u64_at(&header, 40).filter(|at| *at > 0).ok_or_else(damaged)?;
            file.read_exact_at(&mut section, sections).map_err(|_| damaged())?;
            u32_at(&section, 44).ok_or_else(damaged)? as usize
        }
        count => usize::from(count),
    };
    if count > HEADERS_MAX {
        return Err(OpenCoreError::Damaged("it has too many program headers"));
    }
    let mut table = Vec::new();
    table.try_reserve_exact(count * PROGRAM_HEADER).map_err(|_| damaged())?;
    table.resize(count * PROGRAM_HEADER, 0);
    file.read_exact_at(&mut table, at).map_err(|_| damaged())?;
    let mut headers = Headers::default();
    for entry in table.chunks_exact(PROGRAM_HEADER) {
        take(entry, &mut headers);
    }
    headers.loads.sort_by_key(|load| load.start);
    // Of parts that claim one address the first stays.
    let mut behind = 0;
    headers.loads.retain(|load| {
        let apart = load.start >= behind;
        behind = if apart { load.end } else { behind };
        apart
    });
    Ok(headers)
}

fn take(entry: &[u8], headers: &mut Headers) -> Option<()> {
    let flags = u32_at(entry, 4)?;
    let (offset, start) = (u64_at(entry, 8)?, u64_at(entry, 16)?);
    let (stored, length) = (u64_at(entry, 32)?, u64_at(entry, 40)?);
    match u32_at(entry, 0)? {
        PT_LOAD => {
            let end = start.checked_add(length.max(stored)).filter(|end| *end > start)?;
            headers.loads.push(Load {
                start,
                end,
                offset,
                stored,
                readable: flags & 4 != 0,
                writable: flags & 2 != 0,
                executable: flags & 1 != 0,
            });
        }
        PT_NOTE if headers.notes.len() < NOTES_MAX => {
            headers.notes.push((offset, usize::try_from(stored.min(NOTE_BYTES_MAX)).ok()?));
        }
        _ => {}
    }
    Some(())
}
