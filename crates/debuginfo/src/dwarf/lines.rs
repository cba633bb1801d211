//! The line table of a unit (DWARF 5, section 6.2): source file and line of an address.
//!
//! Of a table only this is kept: where each piece of contiguous code begins and ends, and where in the table it is described. The
//! rows of one piece are run through whenever they are asked for; the rows of a large unit would take megabytes.

use gimli::AttributeValue;

use super::line_program::Program;
use super::{Patience, View, lossy};
use crate::expression::Reader;
use crate::index::bytes::{Put, Take};

/// Rows of one unit that are looked at.
const ROWS_MAX: usize = 16_000_000;
/// Rows of one piece of code.
const SEQUENCE_ROWS_MAX: usize = 4_000_000;

/// A piece of contiguous code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Sequence {
    begin: u64,
    end: u64,
    /// Where in the line number program it begins.
    offset: usize,
}

/// Where in its line table the code of a unit is described; ascending by address.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Lines {
    sequences: Vec<Sequence>,
}

impl Lines {
    pub(super) fn read(unit: &gimli::Unit<Reader<'_>>, patience: &mut Patience) -> Self {
        let mut lines = Self::default();
        let Some(line_program) = &unit.line_program else { return lines };
        let Some(mut program) = Program::from(line_program.header(), 0) else { return lines };
        let (mut begin, mut offset) = (None, 0);
        for _ in 0..ROWS_MAX {
            let Some(row) = program.next() else { break };
            if row.ends_sequence {
                if let Some(begin) = begin.filter(|begin| *begin < row.address && *begin != 0) {
                    lines.sequences.push(Sequence { begin, end: row.address, offset });
                }
                (begin, offset) = (None, program.offset());
            } else if is_line(row.line) {
                begin = begin.or(Some(row.address));
            }
            if patience.is_over() {
                break;
            }
        }
        lines.sequences.sort_unstable();
        lines
    }

    pub(super) fn write(&self, put: &mut Put) {
        let mut last = 0;
        put.size(self.sequences.len());
        for Sequence { begin, end, offset } in &self.sequences {
            put.number(begin.wrapping_sub(last));
            put.number(end.wrapping_sub(*begin));
            put.size(*offset);
            last = *begin;
        }
    }

    pub(super) fn from_written(bytes: &[u8]) -> Option<Self> {
        let mut take = Take::new(bytes);
        let mut last = 0u64;
        let sequences = take.list(|take| {
            let begin = last.checked_add(take.number()?)?;
            last = begin;
            Some(Sequence { begin, end: begin.checked_add(take.number()?)?, offset: take.size()? })
        })?;
        take.is_empty().then_some(Self { sequences })
    }

    fn at(&self, address: u64) -> Option<Sequence> {
        let behind = self.sequences.partition_point(|sequence| sequence.begin <= address);
        let near = self.sequences.get(behind.saturating_sub(8)..behind)?;
        near.iter().rev().find(|sequence| address < sequence.end).copied()
    }
}

/// What the compiler put in between has line 0, and belongs to the line before it.
fn is_line(line: u64) -> bool {
    line != 0 && u32::try_from(line).is_ok()
}

impl<'a> View<'a> {
    /// Number of the source file, and line, of an address in a unit.
    pub(crate) fn line_at(&self, number: usize, address: u64) -> Option<(u64, u32)> {
        let sequence = self.lines(number)?.at(address)?;
        let unit = self.unit(number)?;
        let (_, unit) = unit.with_lines();
        let mut program = Program::from(unit.line_program.as_ref()?.header(), sequence.offset)?;
        let mut patience = Patience::new();
        let mut found = None;
        for _ in 0..SEQUENCE_ROWS_MAX {
            let Some(row) = program.next().filter(|row| row.address <= address && !row.ends_sequence) else {
                break;
            };
            // Of several rows for one address the last is that of the instruction, whether a statement begins there or not.
            if is_line(row.line) {
                found = Some((row.file, u32::try_from(row.line).ok()?));
            }
            if patience.is_over() {
                break;
            }
        }
        found
    }

    /// Path of a source file by its number in a unit's line table; empty where there is no such file.
    pub(crate) fn source_file(&self, number: usize, file: u64) -> String {
        self.path_of_file(number, file).unwrap_or_default()
    }

    fn path_of_file(&self, number: usize, file: u64) -> Option<String> {
        let unit = self.unit(number)?;
        let (dwarf, unit) = unit.with_lines();
        let header = unit.line_program.as_ref()?.header();
        let text = |value: AttributeValue<Reader<'a>>| dwarf.attr_string(unit, value).ok().map(lossy);
        let file = header.file(file)?;
        let name = text(file.path_name())?;
        // Directory 0 is the one that the compiler ran in; a path relative to it stays relative.
        let directory = if file.directory_index() == 0 { None } else { file.directory(header) };
        Some(join(&directory.and_then(text).unwrap_or_default(), &name))
    }
}

/// Joins two paths; an absolute second one stands alone.
pub(crate) fn join(directory: &str, path: &str) -> String {
    if directory.is_empty() || path.starts_with('/') {
        return path.to_owned();
    }
    format!("{}/{path}", directory.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_was_written_comes_back(
            mut begins in proptest::collection::vec((any::<u32>(), any::<u32>(), any::<usize>()), 0..20),
        ) {
            begins.sort_unstable();
            let sequence = |(begin, length, offset)| {
                let begin = u64::from(begin);
                Sequence { begin, end: begin + u64::from(length), offset }
            };
            let lines = Lines { sequences: begins.into_iter().map(sequence).collect() };
            let mut put = Put::default();
            lines.write(&mut put);
            prop_assert_eq!(Lines::from_written(&put.finish()), Some(lines));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            if let Some(lines) = Lines::from_written(&bytes) {
                lines.at(5);
            }
        }
    }
}
