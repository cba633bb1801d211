//! The other files that a file's debug information is spread over: `.dwo` files beside objects, the package `.dwp` that
//! they were collected in (DWARF 5, appendix F, and GNU's form of it for DWARF 4), and the supplementary file that `dwz`
//! moves common parts to (section 7.3.6).
//!
//! Opens and keeps them. What is in them is read by `View`; nothing here knows an entry.

use std::collections::HashMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use gimli::{LittleEndian, SectionId};
use memmap2::Mmap;

use super::type_units::TypeUnits;
use crate::elf::Elf;
use crate::expression::Reader;
use crate::separate::Files;

/// `.dwo` files that are kept open for one module: each is a mapping, and the kernel allows some ten thousands of them.
const SPLIT_FILES_MAX: usize = 8_192;

/// Sections that were stored compressed or in several parts.
#[derive(Default)]
pub(super) struct Prepared(OnceLock<HashMap<String, Section>>);

enum Section {
    Inflated(Vec<u8>),
    /// As an earlier process has left it in an index.
    Mapped(Mmap),
}

impl Section {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Inflated(bytes) => bytes,
            Self::Mapped(bytes) => bytes,
        }
    }
}

impl Prepared {
    /// A section's content; empty where there is none.
    pub(super) fn section<'a>(&'a self, elf: &'a Elf, name: &str) -> Reader<'a> {
        let stored = || elf.section(name).map(|(_, bytes)| bytes);
        let bytes = self.of(elf).get(name).map(Section::bytes).or_else(stored).unwrap_or_default();
        Reader::new(bytes, LittleEndian)
    }

    /// All of them, by name.
    pub(super) fn all<'a>(&'a self, elf: &Elf) -> Vec<(&'a str, &'a [u8])> {
        let mut all: Vec<_> =
            self.of(elf).iter().map(|(name, section)| (name.as_str(), section.bytes())).collect();
        all.sort_unstable_by_key(|(name, _)| *name);
        all
    }

    /// Takes these for all of them, unless they were prepared before.
    pub(super) fn fill(&self, sections: HashMap<String, Mmap>) {
        self.0.get_or_init(|| {
            sections.into_iter().map(|(name, bytes)| (name, Section::Mapped(bytes))).collect()
        });
    }

    fn of(&self, elf: &Elf) -> &HashMap<String, Section> {
        self.0.get_or_init(|| {
            let inflated = elf.prepare_debug_sections().into_iter();
            inflated.map(|(name, bytes)| (name, Section::Inflated(bytes))).collect()
        })
    }
}

/// One of the other files.
pub(super) struct Companion {
    elf: Elf,
    prepared: Prepared,
    /// Of a `.dwo` file.
    pub(super) types: OnceLock<TypeUnits>,
}

impl Companion {
    fn new(elf: Elf) -> Self {
        Self { elf, prepared: Prepared::default(), types: OnceLock::new() }
    }

    pub(super) fn section(&self, name: Option<&str>) -> Reader<'_> {
        name.map_or_else(|| Reader::new(&[], LittleEndian), |name| self.prepared.section(&self.elf, name))
    }

    /// The file as one of split DWARF.
    pub(super) fn split<'a>(&'a self, parent: &gimli::Dwarf<Reader<'a>>) -> gimli::Dwarf<Reader<'a>> {
        let section = |id: SectionId| Ok::<_, gimli::Error>(self.section(id.dwo_name()));
        let mut dwarf = gimli::Dwarf::load(section).unwrap_or_default();
        dwarf.make_dwo(parent);
        dwarf
    }

    /// The file as a package.
    pub(super) fn package(&self) -> Option<gimli::DwarfPackage<Reader<'_>>> {
        let section = |id: SectionId| Ok::<_, gimli::Error>(self.section(id.dwo_name()));
        gimli::DwarfPackage::load(section, Reader::new(&[], LittleEndian)).ok()
    }
}

/// All of them, each opened when it is first asked for.
pub(super) struct Companions {
    files: Files,
    supplementary: OnceLock<Option<Companion>>,
    package: OnceLock<Option<Companion>>,
    /// By unit.
    split: OnceLock<Vec<OnceLock<Option<Box<Companion>>>>>,
    opened: AtomicUsize,
}

impl Companions {
    pub(super) fn new(files: Files) -> Self {
        Self {
            files,
            supplementary: OnceLock::new(),
            package: OnceLock::new(),
            split: OnceLock::new(),
            opened: AtomicUsize::new(0),
        }
    }

    /// The file that `elf` shares parts with.
    pub(super) fn supplementary(&self, elf: &Elf) -> Option<&Companion> {
        let open = || self.files.supplementary(elf).map(Companion::new);
        self.supplementary.get_or_init(open).as_ref()
    }

    /// The package beside the program. That it belongs to it is proven unit by unit, by their ids.
    pub(super) fn package(&self) -> Option<&Companion> {
        let open =
            || self.files.package().filter(|elf| elf.has_section(".debug_cu_index")).map(Companion::new);
        self.package.get_or_init(open).as_ref()
    }

    /// The `.dwo` file of a unit, of `units` in all; `belongs` tells whether it has that unit.
    pub(super) fn split<'a>(
        &'a self,
        unit: usize,
        units: usize,
        (directory, name): (&str, &str),
        belongs: impl Fn(&'a Companion) -> bool,
    ) -> Option<&'a Companion> {
        let slots = self.split.get_or_init(|| (0..units).map(|_| OnceLock::new()).collect());
        let open = || {
            let room = self.opened.fetch_add(1, Ordering::Relaxed) < SPLIT_FILES_MAX;
            let elf = if room { self.files.split(directory, name) } else { None };
            elf.map(|elf| Box::new(Companion::new(elf)))
        };
        slots.get(unit)?.get_or_init(open).as_deref().filter(|companion| belongs(companion))
    }

    /// The `.dwo` file of a unit, where it was opened before.
    pub(super) fn opened_split(&self, unit: usize) -> Option<&Companion> {
        self.split.get()?.get(unit)?.get()?.as_deref()
    }
}
