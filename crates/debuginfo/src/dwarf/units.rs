//! Where the units of a file are and which addresses they cover: the first question of every lookup.
//!
//! Knows nothing of what is inside a unit.

use std::collections::HashMap;

use gimli::UnitOffset;

use super::{Die, Patience, code_ranges};
use crate::expression::Reader;
use crate::index::bytes::{Put, Take};

/// Compilation units per file; the largest programs have some ten thousands.
pub(super) const UNITS_MAX: usize = 1_000_000;
/// Ranges of all units of a file together.
const RANGES_MAX: usize = 16_000_000;

/// Units that are compared with what `.debug_aranges` says of them.
const SAMPLE: usize = 16;

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
            let number = index.add(&header);
            if let Some(number) = number {
                index.ranges.extend(of_root(dwarf, header).map(|(begin, end)| (begin, end, number)));
            }
            if index.is_full() || patience.is_over() {
                break;
            }
        }
        index.ranges.sort_unstable();
        index
    }

    /// The same from `.debug_aranges` (DWARF 5, section 6.1.2), which takes a fraction of the time, as there is no need to look into
    /// the units that it lists. Not every producer writes it, and not every one writes it well: `None` where a sample of the units
    /// says otherwise.
    pub(super) fn read_quickly(dwarf: &gimli::Dwarf<Reader<'_>>, patience: &mut Patience) -> Option<Self> {
        let listed = listed(dwarf, patience);
        if listed.is_empty() {
            return None;
        }
        let mut index = Self::default();
        let mut headers = dwarf.units();
        let every = (listed.len() / SAMPLE).max(1);
        while let Ok(Some(header)) = headers.next() {
            let offset = header.debug_info_offset();
            let Some(number) = index.add(&header) else { continue };
            let ranges = offset.and_then(|offset| listed.get(&offset.0));
            if ranges.is_none() || number.is_multiple_of(every) {
                let own: Vec<(u64, u64)> = of_root(dwarf, header).collect();
                let covers = |(begin, end): &(u64, u64), ranges: &Vec<(u64, u64)>| {
                    ranges.iter().any(|(from, to)| from <= begin && end <= to)
                };
                if ranges.is_some_and(|ranges| !own.iter().all(|range| covers(range, ranges))) {
                    return None;
                }
                index.ranges.extend(own.into_iter().map(|(begin, end)| (begin, end, number)));
            } else if let Some(ranges) = ranges {
                index.ranges.extend(ranges.iter().map(|(begin, end)| (*begin, *end, number)));
            }
            if index.is_full() || patience.is_over() {
                break;
            }
        }
        index.ranges.sort_unstable();
        Some(index)
    }

    /// The next unit's number.
    fn add(&mut self, header: &gimli::UnitHeader<Reader<'_>>) -> Option<usize> {
        let offset = header.debug_info_offset()?;
        self.units.push((offset.0, offset.0.saturating_add(header.length_including_self())));
        self.units.len().checked_sub(1)
    }

    fn is_full(&self) -> bool {
        self.units.len() >= UNITS_MAX || self.ranges.len() >= RANGES_MAX
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

/// The ranges that a unit's root entry names.
fn of_root<'a>(
    dwarf: &gimli::Dwarf<Reader<'a>>,
    header: gimli::UnitHeader<Reader<'a>>,
) -> impl Iterator<Item = (u64, u64)> {
    let mut found = Vec::new();
    if let Ok(unit) = dwarf.unit(header)
        && let Ok(root) = unit.entry(unit.header.root_offset())
        && let Some(mut ranges) = code_ranges(dwarf, &unit, &root)
    {
        while let Ok(Some(range)) = ranges.next() {
            if found.len() >= RANGES_MAX {
                break;
            }
            found.push((range.begin, range.end));
        }
    }
    found.into_iter().filter(is_code)
}

/// By offset of the unit, what `.debug_aranges` says of it.
fn listed(dwarf: &gimli::Dwarf<Reader<'_>>, patience: &mut Patience) -> HashMap<usize, Vec<(u64, u64)>> {
    let mut listed: HashMap<usize, Vec<(u64, u64)>> = HashMap::new();
    let mut total = 0usize;
    let mut sets = dwarf.debug_aranges.headers();
    while let Ok(Some(set)) = sets.next() {
        let mut entries = set.entries();
        while let Ok(Some(entry)) = entries.next() {
            let range = entry.range();
            let range = Some((range.begin, range.end)).filter(is_code);
            listed.entry(set.debug_info_offset().0).or_default().extend(range);
            total = total.saturating_add(1);
            if total >= RANGES_MAX || patience.is_over() {
                return listed;
            }
        }
    }
    listed.retain(|_, ranges| !ranges.is_empty());
    listed
}

/// Functions that the linker dropped keep a range that begins at zero.
fn is_code((begin, end): &(u64, u64)) -> bool {
    begin < end && *begin != 0
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
    use std::fs::File;

    use super::*;
    use crate::dwarf::DebugFile;
    use crate::elf::Elf;
    use proptest::prelude::*;

    /// This very program: rustc writes `.debug_aranges`.
    #[test]
    fn aranges_lead_to_the_same_units_also_where_they_are_incomplete_or_absent() {
        let file = std::env::current_exe().and_then(File::open).expect("this program");
        let elf = Elf::open(&file).expect("an ELF file");
        let debug = DebugFile::new(None, crate::separate::Files::nowhere(), None);
        let mut dwarf = debug.dwarf(&elf);
        let patience = &mut Patience::new();
        let full = Units::read(&dwarf, patience);
        let (_, aranges) = elf.section(".debug_aranges").expect("not compressed");
        for part in [aranges, &aranges[..aranges.len() / 2], &aranges[..1], &[]] {
            dwarf.debug_aranges = gimli::DebugAranges::new(part, gimli::LittleEndian);
            let quick = Units::read_quickly(&dwarf, patience);
            assert_eq!(quick.is_some(), part.len() > 1, "{} bytes", part.len());
            let Some(quick) = quick else { continue };
            assert_eq!(quick.units, full.units);
            for (begin, end, _) in &full.ranges {
                assert_eq!([quick.at(*begin), quick.at(end - 1)], [full.at(*begin), full.at(end - 1)]);
            }
        }
    }

    /// The first entry of every set begins a page later than it should.
    #[test]
    fn aranges_that_say_otherwise_than_the_units_are_not_believed() {
        let file = std::env::current_exe().and_then(File::open).expect("this program");
        let elf = Elf::open(&file).expect("an ELF file");
        let debug = DebugFile::new(None, crate::separate::Files::nowhere(), None);
        let mut dwarf = debug.dwarf(&elf);
        let mut wrong = elf.section(".debug_aranges").expect("not compressed").1.to_vec();
        let mut at = 0;
        while let Some(length) = wrong.get(at..at + 4) {
            let next = at + 4 + u32::from_le_bytes(length.try_into().expect("four bytes")) as usize;
            // Header (12 bytes) and padding to twice the size of an address; bits 12 to 19 of the address.
            wrong[at + 16 + 1] ^= 0x10;
            at = next;
        }
        dwarf.debug_aranges = gimli::DebugAranges::new(&wrong, gimli::LittleEndian);
        assert_eq!(Units::read_quickly(&dwarf, &mut Patience::new()), None);
    }

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
