//! Where the units of a file are and which addresses they cover: the first question of every lookup.
//!
//! Knows nothing of what is inside a unit.

use gimli::UnitOffset;

use super::{Die, Patience};
use crate::expression::Reader;
use crate::index::bytes::{Put, Take};

/// Compilation units per file; the largest programs have some ten thousands.
const UNITS_MAX: usize = 1_000_000;
/// Ranges of all units of a file together.
const RANGES_MAX: usize = 16_000_000;

/// Where the units are and which addresses they cover.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Units {
    /// Offset in `.debug_info` of each unit and of its end, ascending.
    units: Vec<(usize, usize)>,
    /// Begin, end, unit; ascending by begin.
    ranges: Vec<(u64, u64, usize)>,
}

impl Units {
    /// Reads the header and the root entry of every unit.
    pub(super) fn read(dwarf: &gimli::Dwarf<Reader<'_>>, patience: &mut Patience) -> Self {
        let mut index = Self::default();
        let mut headers = dwarf.units();
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
            if is_full || patience.is_over() {
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

    /// The headers in order; `None` in the place of one that cannot be read.
    pub(super) fn headers<'a>(
        &self,
        dwarf: &gimli::Dwarf<Reader<'a>>,
    ) -> impl Iterator<Item = Option<gimli::UnitHeader<Reader<'a>>>> {
        let offsets = self.units.iter().map(|(offset, _)| gimli::DebugInfoOffset(*offset));
        offsets.map(|offset| dwarf.debug_info.header_from_offset(offset).ok())
    }

    /// Length of a unit in bytes.
    pub(super) fn bytes(&self, number: usize) -> usize {
        self.units.get(number).map_or(0, |(begin, end)| end.saturating_sub(*begin))
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

    pub(super) fn write(&self, put: &mut Put) {
        let mut last = 0;
        put.size(self.units.len());
        for (begin, end) in &self.units {
            put.size(begin.wrapping_sub(last));
            put.size(end.wrapping_sub(*begin));
            last = *begin;
        }
        put_ranges(put, &self.ranges);
    }

    pub(super) fn from_written(take: &mut Take<'_>) -> Option<Self> {
        let mut last = 0usize;
        let units = take.list(|take| {
            let begin = last.checked_add(take.size()?)?;
            last = begin;
            Some((begin, begin.checked_add(take.size()?)?))
        })?;
        Some(Self { units, ranges: take_ranges(take)? })
    }
}

/// Ranges that ascend by their begin, each with a number.
pub(super) fn put_ranges(put: &mut Put, ranges: &[(u64, u64, usize)]) {
    let mut last = 0;
    put.size(ranges.len());
    for (begin, end, number) in ranges {
        put.number(begin.wrapping_sub(last));
        put.number(end.wrapping_sub(*begin));
        put.size(*number);
        last = *begin;
    }
}

pub(super) fn take_ranges(take: &mut Take<'_>) -> Option<Vec<(u64, u64, usize)>> {
    let mut last = 0u64;
    take.list(|take| {
        let begin = last.checked_add(take.number()?)?;
        last = begin;
        Some((begin, begin.checked_add(take.number()?)?, take.size()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_was_written_comes_back(
            mut units in proptest::collection::vec((any::<u32>(), any::<u32>()), 0..20),
            mut ranges in proptest::collection::vec((any::<u32>(), any::<u32>(), any::<usize>()), 0..20),
        ) {
            units.sort_unstable();
            ranges.sort_unstable();
            let end = |begin: u32, length: u32| u64::from(begin) + u64::from(length);
            let units = Units {
                units: units.into_iter().map(|(begin, length)| (begin as usize, end(begin, length) as usize)).collect(),
                ranges: ranges.into_iter().map(|(begin, length, unit)| (begin.into(), end(begin, length), unit)).collect(),
            };
            let mut put = Put::default();
            units.write(&mut put);
            prop_assert_eq!(Units::from_written(&mut Take::new(&put.finish())), Some(units));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            if let Some(units) = Units::from_written(&mut Take::new(&bytes)) {
                units.at(5);
                units.entry(5);
                units.offset(0);
            }
        }
    }
}
