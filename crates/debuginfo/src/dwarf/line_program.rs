//! Running a line number program (DWARF 5, section 6.2), from its beginning or from that of any sequence in it.
//!
//! gimli runs programs from their beginning only, and does not tell where in the bytes it is; nearly every question is about one
//! function out of thousands. What the bytes mean is the same here as there: a test compares the two.

use gimli::{LineProgramHeader, Reader as _};

use crate::expression::Reader;

/// Addresses from here on stand for code that the linker dropped.
const TOMBSTONES_FROM: u64 = u64::MAX - 1;

/// A row of the matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) address: u64,
    pub(super) file: u64,
    /// 0 where the compiler names no line.
    pub(super) line: u64,
    /// The address is the first one behind the sequence.
    pub(super) ends_sequence: bool,
}

/// The registers that files and lines depend on.
#[derive(Clone, Copy)]
struct Registers {
    address: u64,
    operation: u64,
    file: u64,
    line: u64,
    /// What follows is of code that is not there.
    is_dropped: bool,
}

const INITIAL: Registers = Registers { address: 0, operation: 0, file: 1, line: 1, is_dropped: false };

/// A program that is being run.
pub(super) struct Program<'h, 'a> {
    header: &'h LineProgramHeader<Reader<'a>>,
    whole: Reader<'a>,
    rest: Reader<'a>,
    registers: Registers,
}

impl<'h, 'a> Program<'h, 'a> {
    /// From an offset at which a sequence begins.
    pub(super) fn from(header: &'h LineProgramHeader<Reader<'a>>, offset: usize) -> Option<Self> {
        let whole = header.raw_program_buf();
        let mut rest = whole;
        rest.skip(offset).ok()?;
        Some(Self { header, whole, rest, registers: INITIAL })
    }

    /// How far it has been run.
    pub(super) fn offset(&self) -> usize {
        self.rest.offset_from(self.whole)
    }

    /// The next row; `None` at the end and where the bytes make no sense.
    pub(super) fn next(&mut self) -> Option<Row> {
        while !self.rest.is_empty() {
            let (appends, ends_sequence) = self.step().ok()?;
            let Registers { address, file, line, is_dropped, .. } = self.registers;
            if ends_sequence {
                self.registers = INITIAL;
            }
            if appends && !is_dropped {
                return Some(Row { address, file, line, ends_sequence });
            }
        }
        None
    }

    /// Executes one instruction: whether it appends a row, and whether that ends its sequence.
    fn step(&mut self) -> gimli::Result<(bool, bool)> {
        let opcode = self.rest.read_u8()?;
        if opcode >= self.header.opcode_base() {
            let (operations, lines) = self.special(opcode);
            self.advance_line(i64::from(self.header.line_base()) + i64::from(lines));
            self.advance(u64::from(operations))?;
            return Ok((true, false));
        }
        match gimli::DwLns(opcode) {
            gimli::DwLns(0) => return self.extended(),
            gimli::DW_LNS_copy => return Ok((true, false)),
            gimli::DW_LNS_advance_pc => {
                let operations = self.rest.read_uleb128()?;
                self.advance(operations)?;
            }
            gimli::DW_LNS_advance_line => {
                let lines = self.rest.read_sleb128()?;
                self.advance_line(lines);
            }
            gimli::DW_LNS_set_file => self.registers.file = self.rest.read_uleb128()?,
            gimli::DW_LNS_const_add_pc => {
                let (operations, _) = self.special(255);
                self.advance(u64::from(operations))?;
            }
            gimli::DW_LNS_fixed_advance_pc => {
                let bytes = self.rest.read_u16()?;
                self.add_to_address(u64::from(bytes))?;
                self.registers.operation = 0;
            }
            gimli::DW_LNS_negate_stmt
            | gimli::DW_LNS_set_basic_block
            | gimli::DW_LNS_set_prologue_end
            | gimli::DW_LNS_set_epilogue_begin => {}
            gimli::DW_LNS_set_column | gimli::DW_LNS_set_isa => {
                self.rest.read_uleb128()?;
            }
            _ => {
                let mut lengths = *self.header.standard_opcode_lengths();
                lengths.skip(usize::from(opcode).saturating_sub(1))?;
                for _ in 0..lengths.read_u8()? {
                    self.rest.read_uleb128()?;
                }
            }
        }
        Ok((false, false))
    }

    fn extended(&mut self) -> gimli::Result<(bool, bool)> {
        let length = self.rest.read_uleb128()?;
        let length = usize::try_from(length).map_err(|_| gimli::Error::UnsupportedOffset)?;
        let mut operands = self.rest.split(length)?;
        match gimli::DwLne(operands.read_u8()?) {
            gimli::DW_LNE_end_sequence => return Ok((true, true)),
            gimli::DW_LNE_set_address => {
                let address = operands.read_address(self.header.address_size())?;
                // Within a sequence addresses ascend; linkers write all kinds of low addresses for what they dropped.
                let registers = &mut self.registers;
                registers.is_dropped = address < registers.address || address >= TOMBSTONES_FROM;
                if !registers.is_dropped {
                    (registers.address, registers.operation) = (address, 0);
                }
            }
            _ => {}
        }
        Ok((false, false))
    }

    /// By how many operations and lines a special opcode advances.
    fn special(&self, opcode: u8) -> (u8, u8) {
        let adjusted = opcode.saturating_sub(self.header.opcode_base());
        // A header without a range is refused when it is read.
        let range = self.header.line_range().max(1);
        (adjusted / range, adjusted % range)
    }

    fn advance_line(&mut self, lines: i64) {
        let line = &mut self.registers.line;
        *line = if lines < 0 {
            line.saturating_sub(lines.unsigned_abs())
        } else {
            line.wrapping_add(lines.unsigned_abs())
        };
    }

    fn advance(&mut self, operations: u64) -> gimli::Result<()> {
        if self.registers.is_dropped {
            return Ok(());
        }
        let at_once = u64::from(self.header.maximum_operations_per_instruction()).max(1);
        let operations = self.registers.operation.wrapping_add(operations);
        self.registers.operation = operations % at_once;
        let length = u64::from(self.header.minimum_instruction_length());
        self.add_to_address(length.wrapping_mul(operations / at_once))
    }

    fn add_to_address(&mut self, bytes: u64) -> gimli::Result<()> {
        if !self.registers.is_dropped {
            let address = self.registers.address.checked_add(bytes);
            self.registers.address = address.ok_or(gimli::Error::AddressOverflow)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;
    use crate::dwarf::DebugFile;
    use crate::elf::Elf;

    /// This very program: the standard library's C parts among it.
    #[test]
    fn rows_are_those_of_gimli() {
        let file = std::env::current_exe().and_then(File::open).expect("this program");
        let elf = Elf::open(&file).expect("an ELF file");
        let debug = DebugFile::new(None, crate::separate::Files::nowhere(), None);
        let dwarf = debug.dwarf(&elf);
        let mut headers = dwarf.units();
        let mut compared = 0usize;
        while let Ok(Some(header)) = headers.next() {
            let unit = dwarf.unit(header).expect("a unit");
            let Some(program) = unit.line_program.clone() else { continue };
            let mut own = Program::from(program.header(), 0).expect("a program");
            let mut rows = program.clone().rows();
            let mut begins = vec![0];
            let mut all = Vec::new();
            while let Some((_, row)) = rows.next_row().expect("a row") {
                let expected = Row {
                    address: row.address(),
                    file: row.file_index(),
                    line: row.line().map_or(0, std::num::NonZeroU64::get),
                    ends_sequence: row.end_sequence(),
                };
                assert_eq!(own.next(), Some(expected));
                all.push(expected);
                if expected.ends_sequence {
                    begins.push(own.offset());
                }
                compared += 1;
            }
            assert_eq!(own.next(), None);
            // The last sequence alone, from where it begins.
            let last = begins.iter().rev().nth(1).copied().unwrap_or(0);
            let mut own = Program::from(program.header(), last).expect("a program");
            let alone: Vec<Row> = std::iter::from_fn(|| own.next()).collect();
            assert!(all.ends_with(&alone));
        }
        assert!(compared > 1000, "{compared} rows");
    }
}
