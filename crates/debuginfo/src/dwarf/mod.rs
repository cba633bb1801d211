//! The debug information of one file (DWARF 4 and 5): its units, and the indexes that are worth keeping.
//!
//! [`DebugFile`] lives as long as the module and owns what takes time to compute; [`View`] borrows from it for the time of
//! one capture and does the reading. Split DWARF (`.dwo`) and type units are not read.

pub(crate) mod functions;
pub(crate) mod lines;
pub(crate) mod location;
pub(crate) mod stored;
pub(crate) mod types;
mod units;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use gimli::{AttributeValue, DebugInfoOffset, LittleEndian, SectionId, UnitOffset};

use crate::elf::Elf;
use crate::expression::Reader;
use crate::index::IndexDirectory;
use crate::language::Language;
use functions::Functions;
use lines::Lines;
use stored::Stored;
use types::Type;
use units::Units;

pub(crate) type Entry<'a> = gimli::DebuggingInformationEntry<Reader<'a>>;
pub(crate) type Attribute<'a> = AttributeValue<Reader<'a>>;

/// References from entry to entry that are followed: abstract origin, then specification, then one to spare.
const ORIGINS_MAX: usize = 8;

/// Time for reading one table. Real ones take milliseconds; in a hostile one, entries without size multiply without end.
const TABLE_TIME: Duration = Duration::from_secs(10);

/// Ends the reading of one table when it takes too long.
struct Patience {
    begun: Instant,
    limit: Duration,
    steps: u32,
    over: bool,
}

impl Patience {
    fn new() -> Self {
        Self::of(TABLE_TIME)
    }

    fn of(limit: Duration) -> Self {
        Self { begun: Instant::now(), limit, steps: 0, over: false }
    }

    /// To be asked once per step.
    fn is_over(&mut self) -> bool {
        self.steps = self.steps.wrapping_add(1);
        self.over |= self.steps.is_multiple_of(256) && self.begun.elapsed() > self.limit;
        self.over
    }
}

/// Kept per file.
pub(crate) struct DebugFile {
    /// Where the debug information is in a file of its own.
    separate: Option<Elf>,
    /// Where an index of it may be.
    indexes: Option<Arc<IndexDirectory>>,
    stored: OnceLock<Option<Stored>>,
    inflated: OnceLock<HashMap<&'static str, Vec<u8>>>,
    units: OnceLock<Units>,
    functions: Mutex<HashMap<usize, Arc<Functions>>>,
    lines: Mutex<HashMap<usize, Arc<Lines>>>,
    kind: OnceLock<&'static str>,
}

/// An entry of `.debug_info`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Die {
    /// Index of the unit.
    pub(crate) unit: usize,
    /// Offset within the unit.
    pub(crate) offset: UnitOffset,
}

impl DebugFile {
    pub(crate) fn has_debug_information(elf: &Elf) -> bool {
        elf.has_section(".debug_info") && elf.has_section(".debug_abbrev")
    }

    pub(crate) fn new(separate: Option<Elf>, indexes: Option<Arc<IndexDirectory>>) -> Self {
        Self {
            separate,
            indexes,
            stored: OnceLock::new(),
            inflated: OnceLock::new(),
            units: OnceLock::new(),
            functions: Mutex::default(),
            lines: Mutex::default(),
            kind: OnceLock::new(),
        }
    }

    /// The file of its own that the debug information is in, where it is.
    pub(crate) fn separate(&self) -> Option<&Elf> {
        self.separate.as_ref()
    }

    /// `full` or `line tables only`, once a view has looked.
    pub(crate) fn kind(&self) -> &'static str {
        self.kind.get().copied().unwrap_or("full")
    }

    /// The sections; `elf` is the file that they are in.
    fn dwarf<'a>(&'a self, elf: &'a Elf) -> gimli::Dwarf<Reader<'a>> {
        let inflated = self.inflated.get_or_init(|| {
            let names = SECTIONS.iter().filter_map(|name| Some((*name, elf.inflate(name)?)));
            names.collect()
        });
        let section = |id: SectionId| -> Result<Reader<'a>, gimli::Error> {
            let stored = || elf.section(id.name()).map(|(_, bytes)| bytes);
            let bytes = inflated.get(id.name()).map(Vec::as_slice).or_else(stored).unwrap_or_default();
            Ok(Reader::new(bytes, LittleEndian))
        };
        gimli::Dwarf::load(section).unwrap_or_default()
    }

    /// Opens the debug information for reading; `elf` is the module's own file.
    pub(crate) fn view<'a>(&'a self, elf: &'a Elf) -> View<'a> {
        let elf = self.separate.as_ref().unwrap_or(elf);
        self.stored.get_or_init(|| Stored::open(self.indexes.as_deref()?, elf));
        let view = View {
            file: self,
            dwarf: self.dwarf(elf),
            units: RefCell::default(),
            types: RefCell::default(),
            nesting: Cell::new(0),
        };
        self.kind.get_or_init(|| {
            let stored = view.stored().map(Stored::has_variables);
            if stored.unwrap_or_else(|| view.has_variables()) { "full" } else { "line tables only" }
        });
        view
    }
}

/// The sections that may be compressed.
const SECTIONS: [&str; 13] = [
    ".debug_abbrev",
    ".debug_addr",
    ".debug_aranges",
    ".debug_info",
    ".debug_line",
    ".debug_line_str",
    ".debug_loc",
    ".debug_loclists",
    ".debug_ranges",
    ".debug_rnglists",
    ".debug_str",
    ".debug_str_offsets",
    ".debug_types",
];

/// A unit whose header and root were read.
pub(crate) struct Unit<'a> {
    pub(crate) unit: gimli::Unit<Reader<'a>>,
    pub(crate) language: Language,
    /// Directory that the compiler ran in.
    pub(crate) directory: String,
}

/// The debug information of one file, for the time of one capture.
pub(crate) struct View<'a> {
    file: &'a DebugFile,
    pub(crate) dwarf: gimli::Dwarf<Reader<'a>>,
    units: RefCell<HashMap<usize, Option<Rc<Unit<'a>>>>>,
    types: RefCell<HashMap<Die, Rc<Type>>>,
    /// Types that are being read, each for the one before it.
    nesting: Cell<usize>,
}

impl<'a> View<'a> {
    /// What an earlier process has left of this file.
    fn stored(&self) -> Option<&'a Stored> {
        self.file.stored.get()?.as_ref()
    }

    fn index(&self) -> &'a Units {
        match self.stored() {
            Some(stored) => stored.units(),
            None => self.file.units.get_or_init(|| {
                let quickly = Units::read_quickly(&self.dwarf, &mut Patience::new());
                quickly.unwrap_or_else(|| Units::read(&self.dwarf, &mut Patience::new()))
            }),
        }
    }

    /// The unit that was compiled to this address.
    pub(crate) fn unit_at(&self, address: u64) -> Option<usize> {
        self.index().at(address)
    }

    /// How many units there are; they are numbered from 0.
    pub(crate) fn units(&self) -> usize {
        self.index().len()
    }

    /// A unit by number.
    pub(crate) fn unit(&self, number: usize) -> Option<Rc<Unit<'a>>> {
        if let Some(unit) = self.units.borrow().get(&number) {
            return unit.clone();
        }
        let unit = self.read_unit(number).map(Rc::new);
        self.units.borrow_mut().insert(number, unit.clone());
        unit
    }

    fn read_unit(&self, number: usize) -> Option<Unit<'a>> {
        let offset = self.index().offset(number)?;
        let header = self.dwarf.debug_info.header_from_offset(DebugInfoOffset(offset)).ok()?;
        let unit = self.dwarf.unit(header).ok()?;
        let language = match unit.entry(unit.header.root_offset()).ok()?.attr_value(gimli::DW_AT_language) {
            Some(AttributeValue::Language(language)) => Language::of(language),
            _ => Language::Other,
        };
        let directory = unit.comp_dir.map(|directory| lossy(directory)).unwrap_or_default();
        Some(Unit { unit, language, directory })
    }

    /// Functions and scopes of a unit, by address and by place.
    pub(crate) fn functions(&self, number: usize) -> Option<Arc<Functions>> {
        self.kept(&self.file.functions, number, |unit| {
            let stored = self.stored().and_then(|stored| stored.functions(number));
            stored.unwrap_or_else(|| Functions::read(&self.dwarf, &unit.unit, &mut Patience::new()))
        })
    }

    /// The units whose functions were read so far.
    fn kept_functions(&self) -> Vec<(usize, Arc<Functions>)> {
        let kept = self.file.functions.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().map(|(unit, functions)| (*unit, functions.clone())).collect()
    }

    /// The line table of a unit.
    pub(crate) fn lines(&self, number: usize) -> Option<Arc<Lines>> {
        self.kept(&self.file.lines, number, |unit| Lines::read(&self.dwarf, &unit.unit))
    }

    fn kept<T>(
        &self,
        place: &Mutex<HashMap<usize, Arc<T>>>,
        number: usize,
        read: impl FnOnce(&Unit<'a>) -> T,
    ) -> Option<Arc<T>> {
        let lock = || place.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = lock().get(&number) {
            return Some(kept.clone());
        }
        let unit = self.unit(number)?;
        // Read outside the lock: two captures at once at worst read the same unit twice.
        let read = Arc::new(read(&unit));
        Some(lock().entry(number).or_insert(read).clone())
    }

    /// An entry with its attributes.
    pub(crate) fn entry(&self, die: Die) -> Option<(Rc<Unit<'a>>, Entry<'a>)> {
        let unit = self.unit(die.unit)?;
        let entry = unit.unit.entry(die.offset).ok()?;
        Some((unit, entry))
    }

    /// What a reference attribute of an entry in unit `from` refers to.
    pub(crate) fn resolve(&self, from: usize, value: Attribute<'a>) -> Option<Die> {
        match value {
            AttributeValue::UnitRef(offset) => Some(Die { unit: from, offset }),
            AttributeValue::DebugInfoRef(offset) => self.index().entry(offset.0),
            _ => None,
        }
    }

    /// The entry and then those that it is an instance or a definition of, nearest first.
    pub(crate) fn origins(&self, die: Die) -> Vec<(Die, Rc<Unit<'a>>, Entry<'a>)> {
        let mut found = Vec::new();
        let mut next = Some(die);
        while let Some(die) = next
            && found.len() < ORIGINS_MAX
            && let Some((unit, entry)) = self.entry(die)
        {
            let origin = entry
                .attr_value(gimli::DW_AT_abstract_origin)
                .or(entry.attr_value(gimli::DW_AT_specification));
            next = origin.and_then(|origin| self.resolve(die.unit, origin));
            found.push((die, unit, entry));
        }
        found
    }

    /// An attribute's text.
    pub(crate) fn text(&self, unit: &Unit<'a>, value: Attribute<'a>) -> Option<String> {
        self.dwarf.attr_string(&unit.unit, value).ok().map(lossy)
    }

    /// Whether entries describe more than functions and lines: one unit with a type settles it.
    fn has_variables(&self) -> bool {
        // The runtime's own units come with line tables only, so look at several before saying so.
        const LOOKED_AT: usize = 64;
        let units = self.index().len();
        (0..units.min(LOOKED_AT)).chain((units.saturating_sub(LOOKED_AT)..units).rev()).any(|number| {
            let Some(unit) = self.unit(number) else { return false };
            let header = unit.unit.header;
            let abbreviations = header.abbreviations(&self.dwarf.debug_abbrev);
            abbreviations.is_ok_and(|abbreviations| {
                let codes = (1..2000).map_while(|code| abbreviations.get(code));
                let mut tags = codes.map(gimli::Abbreviation::tag);
                tags.any(|tag| tag == gimli::DW_TAG_formal_parameter || tag == gimli::DW_TAG_base_type)
            })
        })
    }
}

/// Names longer than this are cut: those of deeply generic types grow without bound.
const NAME_BYTES_MAX: usize = 4096;

fn lossy(text: Reader<'_>) -> String {
    let bytes = text.slice();
    String::from_utf8_lossy(bytes.get(..NAME_BYTES_MAX).unwrap_or(bytes)).into_owned()
}
