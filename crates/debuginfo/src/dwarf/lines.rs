//! The line table of a unit (DWARF 5, section 6.2): source file and line of an address.

use gimli::AttributeValue;

use super::{Patience, lossy};
use crate::expression::Reader;

/// Rows of one unit that are kept.
const ROWS_MAX: usize = 4_000_000;
/// Files of one unit.
const FILES_MAX: u64 = 100_000;

#[derive(Clone, Copy)]
struct Row {
    address: u64,
    file: u32,
    line: u32,
}

/// Rows of one unit, sorted, and the names of its files.
#[derive(Default)]
pub(crate) struct Lines {
    files: Vec<String>,
    /// Without those of line 0: what the compiler put in between belongs to the line before it.
    rows: Vec<Row>,
    /// Contiguous code: begin, end, first row, row behind the last; ascending by begin.
    sequences: Vec<(u64, u64, usize, usize)>,
}

impl Lines {
    pub(super) fn read<'a>(dwarf: &gimli::Dwarf<Reader<'a>>, unit: &gimli::Unit<Reader<'a>>) -> Self {
        let mut lines = Self::default();
        let Some(program) = unit.line_program.clone() else { return lines };
        lines.read_files(dwarf, unit, program.header());
        let mut rows = program.rows();
        let mut first = 0;
        let mut patience = Patience::new();
        while let Ok(Some((_, row))) = rows.next_row() {
            if row.end_sequence() {
                if let Some(begin) = lines.rows.get(first).map(|row| row.address)
                    && begin < row.address()
                    && begin != 0
                {
                    lines.sequences.push((begin, row.address(), first, lines.rows.len()));
                }
                first = lines.rows.len();
            } else if let Some(line) = row.line().and_then(|line| u32::try_from(line.get()).ok()) {
                let file = u32::try_from(row.file_index()).unwrap_or(u32::MAX);
                let row_at = Row { address: row.address(), file, line };
                // Of several rows for one address the last is that of the instruction, whether a statement begins there or not.
                if lines.rows.len() > first
                    && lines.rows.last().is_some_and(|last| last.address == row_at.address)
                {
                    lines.rows.pop();
                }
                lines.rows.push(row_at);
            }
            if lines.rows.len() >= ROWS_MAX || patience.is_over() {
                break;
            }
        }
        lines.sequences.sort_unstable();
        lines
    }

    fn read_files<'a>(
        &mut self,
        dwarf: &gimli::Dwarf<Reader<'a>>,
        unit: &gimli::Unit<Reader<'a>>,
        header: &gimli::LineProgramHeader<Reader<'a>>,
    ) {
        let text = |value: AttributeValue<Reader<'a>>| dwarf.attr_string(unit, value).ok().map(lossy);
        let count = (header.file_names().len() as u64).saturating_add(1).min(FILES_MAX);
        for number in 0..count {
            // Directory 0 is the one that the compiler ran in; a path relative to it stays relative.
            let path = header.file(number).and_then(|file| {
                let name = text(file.path_name())?;
                let directory = if file.directory_index() == 0 { None } else { file.directory(header) };
                Some(join(&directory.and_then(text).unwrap_or_default(), &name))
            });
            self.files.push(path.unwrap_or_default());
        }
    }

    /// Source file by its number in the table; empty where there is no such file.
    pub(crate) fn file(&self, number: u64) -> &str {
        usize::try_from(number).ok().and_then(|number| self.files.get(number)).map_or("", String::as_str)
    }

    /// Source file and line of an address.
    pub(crate) fn at(&self, address: u64) -> Option<(&str, u32)> {
        let behind = self.sequences.partition_point(|(begin, ..)| *begin <= address);
        let near = self.sequences.get(behind.saturating_sub(8)..behind)?;
        let (_, _, first, last) = near.iter().rev().find(|(_, end, ..)| address < *end)?;
        let rows = self.rows.get(*first..*last)?;
        let row = rows.get(rows.partition_point(|row| row.address <= address).checked_sub(1)?)?;
        Some((self.file(u64::from(row.file)), row.line))
    }
}

/// Joins two paths; an absolute second one stands alone.
pub(crate) fn join(directory: &str, path: &str) -> String {
    if directory.is_empty() || path.starts_with('/') {
        return path.to_owned();
    }
    format!("{}/{path}", directory.trim_end_matches('/'))
}
