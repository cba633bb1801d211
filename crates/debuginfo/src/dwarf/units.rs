//! Where the units of a file are and which addresses they cover: the first question of every lookup.
//!
//! Knows nothing of what is inside a unit.

use std::time::Instant;

use gimli::UnitOffset;

use super::{Die, TABLE_TIME};
use crate::expression::Reader;

/// Compilation units per file; the largest programs have some ten thousands.
const UNITS_MAX: usize = 1_000_000;
/// Ranges of all units of a file together.
const RANGES_MAX: usize = 16_000_000;

/// Where the units are and which addresses they cover.
#[derive(Default)]
pub(crate) struct Units {
    /// Offset in `.debug_info` of each unit and of its end, ascending.
    units: Vec<(usize, usize)>,
    /// Begin, end, unit; ascending by begin.
    ranges: Vec<(u64, u64, usize)>,
}

impl Units {
    /// Reads the header and the root entry of every unit.
    pub(super) fn read(dwarf: &gimli::Dwarf<Reader<'_>>) -> Self {
        let mut index = Self::default();
        let mut headers = dwarf.units();
        let begun = Instant::now();
        while let Ok(Some(header)) = headers.next() {
            let Some(offset) = header.debug_info_offset() else { continue };
            let number = index.units.len();
            let end = offset.0.saturating_add(header.length_including_self());
            index.units.push((offset.0, end));
            if let Ok(unit) = dwarf.unit(header)
                && let Ok(mut ranges) = dwarf.unit_ranges(&unit)
            {
                while let Ok(Some(range)) = ranges.next() {
                    // Functions that the linker dropped keep a range that begins at zero.
                    if range.begin < range.end && range.begin != 0 {
                        index.ranges.push((range.begin, range.end, number));
                    }
                    if index.ranges.len() >= RANGES_MAX {
                        break;
                    }
                }
            }
            let is_full = index.units.len() >= UNITS_MAX || index.ranges.len() >= RANGES_MAX;
            if is_full || begun.elapsed() > TABLE_TIME {
                break;
            }
        }
        index.ranges.sort_unstable();
        index
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.units.len()
    }

    /// Where a unit begins in `.debug_info`.
    pub(super) fn offset(&self, number: usize) -> Option<usize> {
        self.units.get(number).map(|(offset, _)| *offset)
    }

    /// The unit that was compiled to this address.
    pub(super) fn at(&self, address: u64) -> Option<usize> {
        let behind = self.ranges.partition_point(|(begin, _, _)| *begin <= address);
        // Ranges of units do not overlap, save for a few empty or folded functions.
        let near = self.ranges.get(behind.saturating_sub(8)..behind)?;
        near.iter().rev().find(|(_, end, _)| address < *end).map(|(_, _, unit)| *unit)
    }

    /// The entry at an offset of `.debug_info`.
    pub(super) fn entry(&self, offset: usize) -> Option<Die> {
        let unit = self.units.partition_point(|(begin, _)| *begin <= offset).checked_sub(1)?;
        let (begin, end) = *self.units.get(unit)?;
        (offset < end).then(|| Die { unit, offset: UnitOffset(offset.saturating_sub(begin)) })
    }
}
