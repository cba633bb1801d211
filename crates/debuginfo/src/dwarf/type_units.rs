//! Type units by signature (DWARF 5, section 3.1.4; `.debug_types` of DWARF 4).

use std::collections::HashMap;

use gimli::{
    DebugInfoOffset, DebugTypeSignature, DebugTypesOffset, Section as _, UnitHeader, UnitOffset, UnitType,
};

use super::Patience;
use super::units::UNITS_MAX;
use crate::expression::Reader;

/// Which section a type unit is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Section {
    Information(usize),
    Types(usize),
}

/// The type units of one file.
#[derive(Default)]
pub(super) struct TypeUnits {
    units: Vec<Section>,
    /// Place in `units`.
    signatures: HashMap<u64, usize>,
}

impl TypeUnits {
    /// Of `.debug_types`, and of `.debug_info` where `information` asks for it.
    pub(super) fn read(dwarf: &gimli::Dwarf<Reader<'_>>, information: bool) -> Self {
        let mut found = Self::default();
        let mut patience = Patience::new();
        let mut headers = dwarf.type_units();
        while let Ok(Some(header)) = headers.next() {
            if let Some(offset) = header.debug_types_offset() {
                found.add(Section::Types(offset.0), &header);
            }
            if found.units.len() >= UNITS_MAX || patience.is_over() {
                return found;
            }
        }
        let mut headers = dwarf.units();
        while information && let Ok(Some(header)) = headers.next() {
            if let Some(offset) = header.debug_info_offset() {
                found.add(Section::Information(offset.0), &header);
            }
            if found.units.len() >= UNITS_MAX || patience.is_over() {
                return found;
            }
        }
        found
    }

    fn add(&mut self, section: Section, header: &UnitHeader<Reader<'_>>) {
        if let Some((signature, _)) = described(header) {
            self.signatures.entry(signature.0).or_insert(self.units.len());
            self.units.push(section);
        }
    }

    /// Place of the unit with this signature.
    pub(super) fn find(&self, signature: DebugTypeSignature) -> Option<usize> {
        self.signatures.get(&signature.0).copied()
    }

    /// The header of the unit at this place.
    pub(super) fn header<'a>(
        &self,
        dwarf: &gimli::Dwarf<Reader<'a>>,
        index: usize,
    ) -> Option<UnitHeader<Reader<'a>>> {
        match *self.units.get(index)? {
            Section::Information(offset) => dwarf.debug_info.header_from_offset(DebugInfoOffset(offset)).ok(),
            Section::Types(offset) => types_header(dwarf, DebugTypesOffset(offset)),
        }
    }
}

fn types_header<'a>(
    dwarf: &gimli::Dwarf<Reader<'a>>,
    offset: DebugTypesOffset,
) -> Option<UnitHeader<Reader<'a>>> {
    // The library iterates only: the unit is the first one of the rest.
    let bytes = dwarf.debug_types.reader().slice().get(offset.0..)?;
    gimli::DebugTypes::from(Reader::new(bytes, gimli::LittleEndian)).units().next().ok()?
}

/// The signature and the place of the type that a type unit describes.
pub(super) fn described(header: &UnitHeader<Reader<'_>>) -> Option<(DebugTypeSignature, UnitOffset)> {
    match header.type_() {
        UnitType::Type { type_signature, type_offset }
        | UnitType::SplitType { type_signature, type_offset } => Some((type_signature, type_offset)),
        _ => None,
    }
}
