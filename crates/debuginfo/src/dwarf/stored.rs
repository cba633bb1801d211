//! What of a file's debug information is kept on disk: where the units are; every unit's functions, scopes, structures and
//! vtables, and where in its line table its code is; the sections that are compressed in the file.
//!
//! Knows what is worth keeping; the format is in `index`. All of it can be read again from the file itself, and is where there is no
//! index or a damaged one.

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use gimli::UnitOffset;
use memmap2::Mmap;
use sha2::{Digest, Sha256};

use super::functions::Functions;
use super::lines::Lines;
use super::unit::language_of;
use super::units::Units;
use super::{DebugFile, Die, Patience};
use crate::elf::Elf;
use crate::index::bytes::{Put, Take};
use crate::index::file::IndexFile;
use crate::index::{IndexDirectory, IndexName};
use crate::language::Language;
use crate::separate::Files;
use crate::tasks::RUNTIME_TYPES;

/// To be raised whenever something else is read from the same debug information.
const VERSION: u64 = 3;
/// Time for one file, at a priority at which everybody else goes first.
const WRITING_TIME: Duration = Duration::from_secs(1800);
/// Files with less than this in `.debug_info` are read faster than an index of them is opened.
const WORTH_BYTES: usize = 64 * 1024;
/// Bytes of `.debug_info` after which the pages that were read are given back.
const LOOKED_AT_MAX: usize = 8 << 20;
/// Digits of the build id in an index's file name.
const DIGITS: usize = 16;

/// Part of the room for all indexes that the inflated sections of one file may take.
const SECTIONS_SHARE: u64 = 4;

/// An index that an earlier process has written.
///
/// Its blocks are: for each unit its functions and its lines; then the sections that are compressed in the file, inflated.
pub(super) struct Stored {
    file: IndexFile,
    units: Units,
    has_variables: bool,
    /// By place in [`RUNTIME_TYPES`].
    runtime_types: Vec<Option<Die>>,
    /// Names of the sections.
    sections: Vec<String>,
}

/// What is read of an index at once.
#[derive(Default)]
struct AtHand {
    has_variables: bool,
    runtime_types: Vec<Option<Die>>,
    sections: Vec<String>,
}

impl AtHand {
    fn write(&self, put: &mut Put) {
        put.number(u64::from(self.has_variables));
        put.size(self.runtime_types.len());
        for die in &self.runtime_types {
            put.size(die.map_or(0, |die| die.unit.saturating_add(1)));
            put.size(die.map_or(0, |die| die.offset.0));
        }
        put.size(self.sections.len());
        for name in &self.sections {
            put.size(name.len());
            put.raw(name.as_bytes());
        }
    }

    fn from_written(take: &mut Take<'_>) -> Option<Self> {
        let has_variables = take.number()? != 0;
        let runtime_types = take.list(|take| {
            let (unit, offset) = (take.size()?, take.size()?);
            Some(unit.checked_sub(1).map(|unit| Die { unit, offset: UnitOffset(offset) }))
        })?;
        let sections = take.list(|take| {
            let name = take.list(|take| take.raw::<1>())?.into_flattened();
            String::from_utf8(name).ok()
        })?;
        Some(Self { has_variables, runtime_types, sections })
    }
}

impl Stored {
    /// The index of this file, where there is a good one.
    pub(super) fn open(directory: &IndexDirectory, elf: &Elf) -> Option<Self> {
        let (file, at_hand) = directory.open(&name(elf)?)?;
        let mut take = Take::new(&at_hand);
        let AtHand { has_variables, runtime_types, sections } = AtHand::from_written(&mut take)?;
        let units = Units::from_written(&mut take)?;
        take.is_empty().then_some(Self { file, units, has_variables, runtime_types, sections })
    }

    pub(super) fn units(&self) -> &Units {
        &self.units
    }

    pub(super) fn has_variables(&self) -> bool {
        self.has_variables
    }

    pub(super) fn functions(&self, unit: usize) -> Option<Functions> {
        Functions::from_written(&self.file.block(unit.checked_mul(2)?)?)
    }

    pub(super) fn lines(&self, unit: usize) -> Option<Lines> {
        Lines::from_written(&self.file.block(unit.checked_mul(2)?.checked_add(1)?)?)
    }

    /// Where one of the [`RUNTIME_TYPES`] is described, if anywhere.
    pub(super) fn runtime_type(&self, path: &str) -> Option<Die> {
        let at = RUNTIME_TYPES.iter().position(|known| *known == path)?;
        *self.runtime_types.get(at)?
    }

    /// The sections that are compressed in the file; `None` where there are none, or one is damaged.
    pub(super) fn sections(&self) -> Option<HashMap<String, Mmap>> {
        let first = self.units.len().checked_mul(2)?;
        let mapped =
            |(at, name): (usize, &String)| Some((name.clone(), self.file.map(first.checked_add(at)?)?));
        let sections: HashMap<String, Mmap> =
            self.sections.iter().enumerate().map(mapped).collect::<Option<_>>()?;
        (!sections.is_empty()).then_some(sections)
    }
}

/// By build id, length, and the name and size of every section; `None` where that would not tell two files apart, or where there is
/// too little to be worth it.
fn name(elf: &Elf) -> Option<IndexName> {
    let build = elf.linked_build_id()?;
    // Its names are in another file, which may be there today and missing tomorrow.
    if elf.supplementary_link().is_some() {
        return None;
    }
    elf.sections().find(|(name, place, _)| *name == ".debug_info" && place.len() >= WORTH_BYTES)?;
    let mut identity = Put::default();
    identity.number(VERSION);
    identity.size(build.0.len());
    identity.raw(&build.0);
    identity.size(elf.length());
    for (name, place, compressed) in elf.sections() {
        identity.size(name.len());
        identity.raw(name.as_bytes());
        identity.size(place.len());
        identity.number(u64::from(compressed));
    }
    let build = build.to_string().chars().take(DIGITS).collect();
    Some(IndexName { key: Sha256::digest(identity.finish()).into(), build })
}

/// Writes the index of a file where none is; whether it did. A file that cannot have one is no error.
pub(crate) fn write(directory: &IndexDirectory, elf: &Elf) -> io::Result<bool> {
    let Some(name) = name(elf) else { return Ok(false) };
    directory.write(&name, |writer| {
        let debug = DebugFile::new(None, Files::nowhere(), None);
        let mut patience = Patience::of(WRITING_TIME);
        let dwarf = debug.dwarf(elf);
        let units = debug.units.get_or_init(|| Units::read(&dwarf, &mut patience));
        let mut at_hand = AtHand { runtime_types: vec![None; RUNTIME_TYPES.len()], ..AtHand::default() };
        let mut looked_at = 0usize;
        for (number, header) in units.headers(&dwarf).enumerate() {
            // Not through a view, which keeps what it reads: memory must not grow with the file.
            let unit = header.and_then(|header| dwarf.unit(header).ok());
            let functions = unit.as_ref().map(|unit| Functions::read(&dwarf, unit, &mut patience));
            let lines = unit.as_ref().map(|unit| Lines::read(unit, &mut patience));
            if patience.over {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "the debug information takes too long"));
            }
            let functions = functions.unwrap_or_default();
            writer.block(&functions.written())?;
            let mut put = Put::default();
            lines.unwrap_or_default().write(&mut put);
            writer.block(&put.finish())?;
            let unit = unit.as_ref().filter(|unit| language_of(unit) == Language::Rust);
            for (path, found) in RUNTIME_TYPES.iter().zip(&mut at_hand.runtime_types) {
                let look = || functions.struct_at(&dwarf, unit?, path);
                *found = found.or_else(|| look().map(|offset| Die { unit: number, offset }));
            }
            looked_at = looked_at.saturating_add(units.bytes(number));
            if looked_at > LOOKED_AT_MAX {
                elf.forget_pages();
                looked_at = 0;
            }
        }
        let sections = debug.prepared.all(elf);
        let bytes = sections.iter().fold(0u64, |sum, (_, bytes)| sum.saturating_add(bytes.len() as u64));
        if bytes <= writer.room() / SECTIONS_SHARE {
            for (name, bytes) in sections {
                writer.block(bytes)?;
                at_hand.sections.push(name.to_owned());
            }
        }
        debug.view(elf);
        at_hand.has_variables = debug.kind() == "full";
        let mut put = Put::default();
        at_hand.write(&mut put);
        units.write(&mut put);
        Ok(put.finish())
    })
}

/// For the fuzz targets: all tables from the same bytes. See `fuzzing::stored_tables`.
#[cfg(feature = "fuzzing")]
pub(crate) fn fuzzing(bytes: &[u8], asked: u64) -> Option<bool> {
    let mut take = Take::new(bytes);
    let units = Units::from_written(&mut take).map(|units| {
        units.at(asked);
        units.entry(usize::try_from(asked).unwrap_or(usize::MAX));
        let mut put = Put::default();
        units.write(&mut put);
        Units::from_written(&mut Take::new(&put.finish())).as_ref() == Some(&units)
    });
    let functions = Functions::from_written(bytes).map(|functions| {
        functions.vtable(asked);
        Functions::from_written(&functions.written()).as_ref() == Some(&functions)
    });
    let lines = Lines::from_written(bytes).map(|lines| {
        let mut put = Put::default();
        lines.write(&mut put);
        Lines::from_written(&put.finish()).as_ref() == Some(&lines)
    });
    AtHand::from_written(&mut Take::new(bytes));
    let tables = [units, functions, lines];
    tables.iter().any(Option::is_some).then(|| tables.iter().all(|same| same.unwrap_or(true)))
}
