//! Variables that no frame owns: statics and globals, by path.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use gimli::{AttributeValue, UnitOffset};

use super::functions::{Functions, last_name_hash, names_left};
use super::{Die, Entry, View};
use crate::expression::Reader;

/// A variable of a fixed address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Static {
    /// Hash of its name.
    pub(super) name: u32,
    /// Of the entry; in the order of the entries.
    pub(super) offset: usize,
    /// Index of the scope around it plus one, or 0.
    pub(super) outer: u32,
}

impl Functions {
    /// Variables of a fixed address that may be meant by a path or the end of one, each with the scopes around it.
    fn statics_at<'a>(
        &self,
        dwarf: &gimli::Dwarf<Reader<'a>>,
        unit: &gimli::Unit<Reader<'a>>,
        path: &str,
    ) -> Vec<(UnitOffset, Vec<UnitOffset>)> {
        let wanted = last_name_hash(path);
        let called = self.statics.iter().filter(|found| found.name == wanted);
        let with_scopes = called.map(|found| (UnitOffset(found.offset), self.outwards(found.outer)));
        with_scopes.filter(|(at, outwards)| names_left(dwarf, unit, *at, outwards, path).is_some()).collect()
    }
}

impl View<'_> {
    /// Variables of a fixed address that a path may mean: where each is described, its address in the file, and its whole path.
    /// Those of the unit `first` come first; ends with the time, or when there are `most`.
    pub(crate) fn statics(
        &self,
        path: &str,
        first: Option<usize>,
        most: usize,
        deadline: Instant,
    ) -> Vec<(Die, u64, String)> {
        let mut found: Vec<(Die, u64, String)> = Vec::new();
        let others = (0..self.units()).filter(|unit| Some(*unit) != first);
        for number in first.into_iter().chain(others) {
            if Instant::now() >= deadline || found.len() >= most {
                break;
            }
            let kept = self.units.borrow().get(&number).cloned();
            let Some(unit) = kept.unwrap_or_else(|| self.read_unit(number).map(Rc::new)) else { continue };
            let functions =
                self.known_functions(number).unwrap_or_else(|| Arc::new(self.read_functions(&unit)));
            for (offset, outwards) in functions.statics_at(&unit.dwarf, &unit.unit, path) {
                let die = Die { unit: number, offset };
                let entry = unit.unit.entry(offset).ok();
                let address = entry.and_then(|entry| fixed_address(&unit.dwarf, &unit.unit, &entry));
                let known = |address| found.iter().any(|(_, known, _)| *known == address);
                // 0: the linker dropped it.
                let Some(address) = address.filter(|address| *address != 0 && !known(*address)) else {
                    continue;
                };
                let scopes = outwards.into_iter().rev().chain([offset]);
                let names = scopes.filter_map(|offset| self.name(Die { unit: number, offset }));
                found.push((die, address, names.collect::<Vec<_>>().join("::")));
            }
            self.pass_by(number);
        }
        found
    }
}

/// Where a variable is that is in the same place for every thread, at all times.
pub(super) fn fixed_address<'a>(
    dwarf: &gimli::Dwarf<Reader<'a>>,
    unit: &gimli::Unit<Reader<'a>>,
    entry: &Entry<'a>,
) -> Option<u64> {
    let AttributeValue::Exprloc(location) = entry.attr_value(gimli::DW_AT_location)? else { return None };
    let mut operations = location.operations(unit.encoding());
    let address = match operations.next().ok()?? {
        gimli::Operation::Address { address } => address,
        gimli::Operation::AddressIndex { index } => dwarf.address(unit, index).ok()?,
        _ => return None,
    };
    // What follows would make it a thread's own.
    operations.next().ok()?.is_none().then_some(address)
}
