//! What of a file's debug information is kept on disk: where the units are, and every unit's functions, scopes,
//! structures and vtables.
//!
//! Knows what is worth keeping; the format is in `index`. All of it can be read again from the file itself, and is where there is no
//! index or a damaged one.

use std::io;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::functions::Functions;
use super::units::Units;
use super::{DebugFile, Patience};
use crate::elf::Elf;
use crate::index::bytes::{Put, Take};
use crate::index::file::IndexFile;
use crate::index::{IndexDirectory, IndexName};
use crate::separate::Files;

/// To be raised whenever something else is read from the same debug information.
const VERSION: u64 = 2;
/// Time for one file, at a priority at which everybody else goes first.
const WRITING_TIME: Duration = Duration::from_secs(1800);
/// Files with less than this in `.debug_info` are read faster than an index of them is opened.
const WORTH_BYTES: usize = 64 * 1024;
/// Bytes of `.debug_info` after which the pages that were read are given back.
const LOOKED_AT_MAX: usize = 8 << 20;
/// Digits of the build id in an index's file name.
const DIGITS: usize = 16;

/// An index that an earlier process has written.
pub(super) struct Stored {
    file: IndexFile,
    units: Units,
    has_variables: bool,
}

impl Stored {
    /// The index of this file, where there is a good one.
    pub(super) fn open(directory: &IndexDirectory, elf: &Elf) -> Option<Self> {
        let (file, at_hand) = directory.open(&name(elf)?)?;
        let mut take = Take::new(&at_hand);
        let has_variables = take.number()? != 0;
        let units = Units::from_written(&mut take)?;
        take.is_empty().then_some(Self { file, units, has_variables })
    }

    pub(super) fn units(&self) -> &Units {
        &self.units
    }

    pub(super) fn has_variables(&self) -> bool {
        self.has_variables
    }

    pub(super) fn functions(&self, unit: usize) -> Option<Functions> {
        Functions::from_written(&self.file.block(unit)?)
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
        let mut looked_at = 0usize;
        for (number, header) in units.headers(&dwarf).enumerate() {
            // Not through a view, which keeps what it reads: memory must not grow with the file.
            let unit = header.and_then(|header| dwarf.unit(header).ok());
            let functions = unit.map(|unit| Functions::read(&dwarf, &unit, &mut patience));
            if patience.over {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "the debug information takes too long"));
            }
            writer.block(&functions.unwrap_or_default().written())?;
            looked_at = looked_at.saturating_add(units.bytes(number));
            if looked_at > LOOKED_AT_MAX {
                elf.forget_pages();
                looked_at = 0;
            }
        }
        debug.view(elf);
        let mut at_hand = Put::default();
        at_hand.number(u64::from(debug.kind() == "full"));
        units.write(&mut at_hand);
        Ok(at_hand.finish())
    })
}

/// For the fuzz targets: both tables from the same bytes. See `fuzzing::stored_tables`.
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
    match (units, functions) {
        (None, None) => None,
        (units, functions) => Some(units.unwrap_or(true) && functions.unwrap_or(true)),
    }
}
