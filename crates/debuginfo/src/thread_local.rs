//! Where a thread keeps its own copy of a thread-local variable (Drepper, "ELF Handling For Thread-Local Storage", variant
//! II; System V ABI of x86-64).
//!
//! The program's own block lies right below the thread pointer. A library's block is found through the thread's table of
//! blocks; which one is the library's stands where the dynamic linker wrote it, at the library's own relocations, so that no
//! private structure of the C library is needed but the table (glibc's `dtv_t`).

use crate::elf::Elf;
use crate::expression::Absent;
use crate::memory::Memory;

/// Relocations of one library that are looked through.
const RELOCATIONS_MAX: usize = 1 << 20;

const R_X86_64_DTPMOD64: u32 = 16;
const R_X86_64_TPOFF64: u32 = 18;

/// What glibc writes in place of a block that the thread has not touched yet.
const UNALLOCATED: u64 = u64::MAX;

/// Address in the process of the variable at `offset` of the thread-local storage of `elf`.
pub(crate) fn address(
    elf: &Elf,
    memory: &dyn Memory,
    fs_base: Option<u64>,
    bias: u64,
    offset: u64,
) -> Result<u64, Absent> {
    let not_decoded = |what: &str| Absent::NotDecoded(format!("thread-local storage {what}"));
    let pointer = fs_base.ok_or_else(|| not_decoded("of a thread whose base register is unknown"))?;
    let storage = elf.thread_storage().ok_or(Absent::Damaged)?;
    if offset >= storage.size {
        return Err(Absent::Damaged);
    }
    if elf.is_program() {
        let alignment = storage.alignment.max(1);
        // The block begins at an address that is as far from alignment as in the file.
        let skew = storage.address.wrapping_neg() & alignment.wrapping_sub(1);
        let below = storage.size.checked_sub(skew).and_then(|size| size.checked_next_multiple_of(alignment));
        let below = below.and_then(|below| below.checked_add(skew)).ok_or(Absent::Damaged)?;
        return Ok(pointer.wrapping_sub(below).wrapping_add(offset));
    }
    let block = match recorded(elf, memory, bias)? {
        Some(Recorded::FromPointer(distance)) => pointer.wrapping_add(distance),
        Some(Recorded::Module(module)) if elf.is_for_glibc() => {
            let table = memory.read_u64(pointer.wrapping_add(8))?;
            let block =
                memory.read_u64(table.wrapping_add(module.checked_mul(16).ok_or(Absent::Damaged)?))?;
            if block == UNALLOCATED || block == 0 {
                return Err(Absent::NotSetInThread);
            }
            block
        }
        Some(Recorded::Module(_)) => return Err(not_decoded("of this C library")),
        None => return Err(not_decoded("of this library")),
    };
    Ok(block.wrapping_add(offset))
}

enum Recorded {
    /// Number of the library in tables of blocks.
    Module(u64),
    /// Distance of the block from the thread pointer.
    FromPointer(u64),
}

/// What the dynamic linker wrote about the library's own block.
fn recorded(elf: &Elf, memory: &dyn Memory, bias: u64) -> Result<Option<Recorded>, Absent> {
    for name in [".rela.dyn", ".rela.plt"] {
        let Some((_, bytes)) = elf.section(name) else { continue };
        for entry in bytes.as_chunks::<24>().0.iter().take(RELOCATIONS_MAX) {
            let word = |at: usize| {
                entry
                    .get(at..at.saturating_add(8))
                    .and_then(|word| word.try_into().ok())
                    .map(u64::from_le_bytes)
            };
            let (Some(place), Some(what), Some(addend)) = (word(0), word(8), word(16)) else { continue };
            let (symbol, kind) = ((what >> 32) as u32, what as u32);
            if !matches!(kind, R_X86_64_DTPMOD64 | R_X86_64_TPOFF64) {
                continue;
            }
            // Of another library where the symbol is not defined here.
            let value = if symbol == 0 { Some(0) } else { elf.dynamic_symbol_value(symbol) };
            let Some(value) = value else { continue };
            let written = memory.read_u64(place.wrapping_add(bias))?;
            return Ok(Some(if kind == R_X86_64_DTPMOD64 {
                Recorded::Module(written)
            } else {
                Recorded::FromPointer(written.wrapping_sub(value.wrapping_add(addend)))
            }));
        }
    }
    Ok(None)
}
