//! Call frame information (DWARF 5, section 6.4; LSB `.eh_frame` and `.eh_frame_hdr`): from one frame's registers to its
//! caller's, all of them.
//!
//! Knows one file and one frame; the walk along the stack is in `unwind`.

use std::sync::OnceLock;

use gimli::{
    BaseAddresses, CfaRule, DebugFrame, EhFrame, FrameDescriptionEntry, LittleEndian, RegisterRule,
    UnwindContext, UnwindSection, UnwindTableRow,
};

use crate::arch::{self, Registers};
use crate::elf::Elf;
use crate::expression::{Absent, Environment, Reader, evaluate_address};
use crate::memory::Memory;

/// Functions that are indexed at most where a file has no search table.
const FUNCTIONS_MAX: usize = 4_000_000;

/// Begin, end and entry of functions, ascending.
type Index = Vec<(u64, u64, usize)>;

/// Unwind tables of one file.
#[derive(Default)]
pub(crate) struct Tables {
    /// Where there is no usable `.eh_frame_hdr`: begin, end, offset of the entry in `.eh_frame`.
    scanned: OnceLock<Index>,
    /// The same of `.debug_frame`.
    debug_frame: OnceLock<(Vec<u8>, Index)>,
}

/// One step outwards.
pub(crate) struct Step {
    pub(crate) caller: Registers,
    pub(crate) cfa: u64,
    /// The frame is the one through which the kernel delivers signals.
    pub(crate) signal_frame: bool,
    /// The tables say that nothing called this function.
    pub(crate) outermost: bool,
}

/// Where a step starts from.
pub(crate) struct From<'a> {
    pub(crate) memory: &'a dyn Memory,
    pub(crate) registers: &'a Registers,
    /// Difference between addresses in the process and in the file.
    pub(crate) bias: u64,
}

impl<'a> Environment<'a> for From<'_> {
    fn memory(&self) -> &dyn Memory {
        self.memory
    }
    fn register(&self, number: u16) -> Option<u64> {
        self.registers.get(number)
    }
    fn bias(&self) -> u64 {
        self.bias
    }
}

/// Reusable space for running the tables.
pub(crate) type Scratch = UnwindContext<usize>;

impl Tables {
    /// The step out of the function at `address` (of the file); `None` where no table covers it.
    pub(crate) fn step(
        &self,
        elf: &Elf,
        address: u64,
        from: &From<'_>,
        scratch: &mut Scratch,
    ) -> Option<Result<Step, Absent>> {
        let mut bases = BaseAddresses::default();
        if let (Some(text), _) = elf.text_and_got {
            bases = bases.set_text(text);
        }
        if let (_, Some(got)) = elf.text_and_got {
            bases = bases.set_got(got);
        }
        if let Some((base, bytes)) = eh_frame(elf) {
            bases = bases.set_eh_frame(base);
            let mut section = EhFrame::new(bytes, LittleEndian);
            section.set_address_size(arch::ADDRESS_SIZE);
            let found = match search_header(elf, base, address) {
                Some(offset) => Some(offset),
                None => lookup(self.scanned.get_or_init(|| scan(&section, &bases)), address),
            };
            let entry = found.and_then(|offset| {
                section.fde_from_offset(&bases, gimli::EhFrameOffset(offset), EhFrame::cie_from_offset).ok()
            });
            if let Some(entry) = entry.filter(|entry| entry.contains(address)) {
                return Some(step_with(&section, &bases, &entry, address, from, scratch));
            }
        }
        let (bytes, index) = self.debug_frame(elf, &bases);
        let mut section = DebugFrame::new(bytes, LittleEndian);
        section.set_address_size(arch::ADDRESS_SIZE);
        let offset = gimli::DebugFrameOffset(lookup(index, address)?);
        let entry = section.fde_from_offset(&bases, offset, DebugFrame::cie_from_offset).ok()?;
        Some(step_with(&section, &bases, &entry, address, from, scratch))
    }

    fn debug_frame(&self, elf: &Elf, bases: &BaseAddresses) -> (&[u8], &[(u64, u64, usize)]) {
        let (bytes, index) = self.debug_frame.get_or_init(|| {
            let stored = || elf.section(".debug_frame").map(|(_, bytes)| bytes.to_vec());
            let bytes = elf.inflate(".debug_frame").or_else(stored).unwrap_or_default();
            let mut section = DebugFrame::new(&bytes, LittleEndian);
            section.set_address_size(arch::ADDRESS_SIZE);
            let index = scan(&section, bases);
            (bytes, index)
        });
        (bytes, index)
    }
}

/// `.eh_frame` by its section header, or, where those were stripped, from where `.eh_frame_hdr` points to.
fn eh_frame(elf: &Elf) -> Option<(u64, &[u8])> {
    if let Some((base, range)) = elf.eh_frame.clone() {
        return Some((base, elf.bytes(range)?));
    }
    let (base, range) = elf.eh_frame_header.clone()?;
    let header = elf.bytes(range)?;
    let pointer = match header {
        // Relative to the field itself, four bytes into the header.
        [1, 0x1b, _, _, a, b, c, d, ..] => {
            let delta = i64::from(i32::from_le_bytes([*a, *b, *c, *d]));
            base.wrapping_add(4).wrapping_add_signed(delta)
        }
        _ => return None,
    };
    Some((pointer, elf.at_address(pointer)?))
}

/// Binary search in `.eh_frame_hdr` (LSB 10.6.2), in the one encoding that linkers write: a count as `udata4`, a table of
/// pairs as `datarel | sdata4`.
fn search_header(elf: &Elf, eh_frame: u64, address: u64) -> Option<usize> {
    let (base, range) = elf.eh_frame_header.clone()?;
    let header = elf.bytes(range)?;
    let &[1, pointer_encoding, 0x03, 0x3b, ..] = header else { return None };
    if pointer_encoding != 0x1b {
        return None;
    }
    let count = u32::from_le_bytes(header.get(8..12)?.try_into().ok()?);
    let (pairs, _) = header.get(12..)?.as_chunks::<8>();
    let pairs = pairs.get(..usize::try_from(count).ok()?.min(pairs.len()))?;
    let part = |pair: &[u8; 8], at: usize| {
        let word = [pair[at], pair[at + 1], pair[at + 2], pair[at + 3]];
        base.wrapping_add_signed(i64::from(i32::from_le_bytes(word)))
    };
    let behind = pairs.partition_point(|pair| part(pair, 0) <= address);
    let entry = part(pairs.get(behind.checked_sub(1)?)?, 4);
    usize::try_from(entry.checked_sub(eh_frame)?).ok()
}

fn scan<'a, S: UnwindSection<Reader<'a>>>(section: &S, bases: &BaseAddresses) -> Index
where
    S::Offset: gimli::UnwindOffset<usize>,
{
    let mut index = Vec::new();
    let mut entries = section.entries(bases);
    while let Ok(Some(entry)) = entries.next() {
        if let gimli::CieOrFde::Fde(partial) = entry
            && let Ok(entry) = partial.parse(S::cie_from_offset)
            && entry.len() > 0
            && let Some(end) = entry.initial_address().checked_add(entry.len())
        {
            index.push((entry.initial_address(), end, entry.offset()));
        }
        if index.len() >= FUNCTIONS_MAX {
            break;
        }
    }
    index.sort_unstable();
    index
}

fn lookup(index: &[(u64, u64, usize)], address: u64) -> Option<usize> {
    let behind = index.partition_point(|(begin, _, _)| *begin <= address);
    let (_, end, offset) = index.get(behind.checked_sub(1)?)?;
    (address < *end).then_some(*offset)
}

fn step_with<'a, S: UnwindSection<Reader<'a>>>(
    section: &S,
    bases: &BaseAddresses,
    entry: &FrameDescriptionEntry<Reader<'a>>,
    address: u64,
    from: &From<'_>,
    scratch: &mut Scratch,
) -> Result<Step, Absent> {
    let encoding = entry.cie().encoding();
    let row = entry.unwind_info_for_address(section, bases, scratch, address)?;
    let cfa = match row.cfa() {
        CfaRule::RegisterAndOffset { register, offset } => {
            from.register(register.0).ok_or(Absent::NotKept)?.wrapping_add_signed(*offset)
        }
        CfaRule::Expression(place) => evaluate_address(place.get(section)?, encoding, from, None)?,
    };
    let return_address = entry.cie().return_address_register().0;
    let mut caller = Registers::default();
    for number in 0..arch::REGISTERS as u16 {
        // A register that is lost costs the variables that live in it, not the frame.
        let value = restore(section, row, number, cfa, from, encoding).unwrap_or_default();
        caller.set(number, value);
    }
    let outermost = matches!(row.register(gimli::Register(return_address)), Some(RegisterRule::Undefined));
    if !outermost && caller.get(return_address).is_none() {
        restore(section, row, return_address, cfa, from, encoding)?;
        return Err(Absent::OptimisedOut);
    }
    caller.set(arch::RETURN_ADDRESS, caller.get(return_address));
    Ok(Step { caller, cfa, signal_frame: entry.is_signal_trampoline(), outermost })
}

fn restore<'a, S: UnwindSection<Reader<'a>>>(
    section: &S,
    row: &UnwindTableRow<usize>,
    number: u16,
    cfa: u64,
    from: &From<'_>,
    encoding: gimli::Encoding,
) -> Result<Option<u64>, Absent> {
    let Some(rule) = row.register(gimli::Register(number)) else {
        // The tables are silent about registers that the function leaves alone.
        return Ok(match number {
            arch::STACK_POINTER => Some(cfa),
            _ if arch::survives_calls(number) => from.register(number),
            _ => None,
        });
    };
    Ok(match rule {
        RegisterRule::SameValue => from.register(number),
        RegisterRule::Offset(offset) => Some(from.memory.read_u64(cfa.wrapping_add_signed(offset))?),
        RegisterRule::ValOffset(offset) => Some(cfa.wrapping_add_signed(offset)),
        RegisterRule::Register(other) => from.register(other.0),
        RegisterRule::Expression(place) => {
            let address = evaluate_address(place.get(section)?, encoding, from, Some(cfa))?;
            Some(from.memory.read_u64(address)?)
        }
        RegisterRule::ValExpression(place) => {
            Some(evaluate_address(place.get(section)?, encoding, from, Some(cfa))?)
        }
        RegisterRule::Constant(value) => Some(value),
        _ => None,
    })
}
