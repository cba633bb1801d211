//! The debug information of one file (DWARF 4 and 5): its units, and the indexes that are worth keeping.
//!
//! [`DebugFile`] lives as long as the module and owns what takes time to compute; [`View`] borrows from it for the time of
//! one capture and does the reading. Where units lie, and in which files, is in `unit` and `companions`.

mod companions;
pub(crate) mod functions;
mod home;
mod line_program;
pub(crate) mod lines;
pub(crate) mod location;
mod statics;
pub(crate) mod stored;
mod type_units;
pub(crate) mod types;
mod unit;
mod units;

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use gimli::{AttributeValue, SectionId, UnitOffset};

use crate::elf::Elf;
use crate::expression::Reader;
use crate::index::IndexDirectory;
use crate::separate::Files;
use companions::{Companions, Prepared};
use functions::Functions;
use home::Home;
use lines::Lines;
use stored::Stored;
use type_units::TypeUnits;
use types::Type;
pub(crate) use unit::Unit;
use units::Units;

pub(crate) type Entry<'a> = gimli::DebuggingInformationEntry<Reader<'a>>;
pub(crate) type Attribute<'a> = AttributeValue<Reader<'a>>;

/// References from entry to entry that are followed: abstract origin, then specification, then one to spare.
const ORIGINS_MAX: usize = 8;

/// Bytes of units that are only passed by after which their pages are given back.
const PASSED_BYTES_MAX: usize = 8 << 20;

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
    prepared: Prepared,
    companions: Companions,
    units: OnceLock<Units>,
    supplementary_units: OnceLock<Vec<(usize, usize)>>,
    /// Of `.debug_types`.
    types: OnceLock<TypeUnits>,
    /// Of `.debug_info`.
    signatures: OnceLock<HashMap<u64, usize>>,
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

    /// `separate` is the file of its own that the debug information is in; `files` finds the others that belong to it.
    pub(crate) fn new(separate: Option<Elf>, files: Files, indexes: Option<Arc<IndexDirectory>>) -> Self {
        Self {
            separate,
            indexes,
            stored: OnceLock::new(),
            prepared: Prepared::default(),
            companions: Companions::new(files),
            units: OnceLock::new(),
            supplementary_units: OnceLock::new(),
            types: OnceLock::new(),
            signatures: OnceLock::new(),
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
        let section = |id: SectionId| Ok::<_, gimli::Error>(self.prepared.section(elf, id.name()));
        gimli::Dwarf::load(section).unwrap_or_default()
    }

    /// Opens the debug information for reading; `program` is the module's own file.
    pub(crate) fn view<'a>(&'a self, program: &'a Elf) -> View<'a> {
        let elf = self.separate.as_ref().unwrap_or(program);
        let stored = self.stored.get_or_init(|| Stored::open(self.indexes.as_deref()?, elf));
        if let Some(sections) = stored.as_ref().and_then(Stored::sections) {
            self.prepared.fill(sections);
        }
        let mut dwarf = self.dwarf(elf);
        let mut losses = Vec::new();
        if let Some(other) = self.companions.supplementary(elf) {
            let section = |id: SectionId| Ok::<_, gimli::Error>(other.section(Some(id.name())));
            dwarf.set_sup(gimli::Dwarf::load(section).unwrap_or_default());
        } else if let Some((name, _)) = elf.supplementary_link() {
            let why = format!(
                "{name}: this supplementary file of debug information (dwz) is missing or of another build"
            );
            losses.push(("some names and types".to_owned(), why));
        }
        let view = View {
            file: self,
            program,
            dwarf: Arc::new(dwarf),
            package: OnceCell::new(),
            units: RefCell::default(),
            types: RefCell::default(),
            nesting: Cell::new(0),
            passed: Cell::new(0),
            losses: RefCell::new(losses),
        };
        self.kind.get_or_init(|| {
            let stored = view.stored().map(Stored::has_variables);
            if stored.unwrap_or_else(|| view.has_variables()) { "full" } else { "line tables only" }
        });
        view
    }
}

/// The debug information of one file, for the time of one capture.
pub(crate) struct View<'a> {
    file: &'a DebugFile,
    /// The module's own file.
    pub(crate) program: &'a Elf,
    /// The sections of the file itself; a unit of another file knows its own.
    dwarf: Arc<gimli::Dwarf<Reader<'a>>>,
    package: OnceCell<Option<gimli::DwarfPackage<Reader<'a>>>>,
    units: RefCell<HashMap<usize, Option<Rc<Unit<'a>>>>>,
    types: RefCell<HashMap<Die, Rc<Type>>>,
    /// Types that are being read, each for the one before it.
    nesting: Cell<usize>,
    /// Bytes of the units that were looked at on the way to others, since pages were given back.
    passed: Cell<usize>,
    /// What is missing, and why.
    losses: RefCell<Vec<(String, String)>>,
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
                let units = quickly.unwrap_or_else(|| Units::read(&self.dwarf, &mut Patience::new()));
                // That was a page of every unit and what lies around it: nearly the whole file.
                self.elf().forget_pages();
                units
            }),
        }
    }

    /// The file that the debug information is in.
    fn elf(&self) -> &'a Elf {
        self.file.separate.as_ref().unwrap_or(self.program)
    }

    /// To be told of units that were looked at on the way to others: what was read of them must not add up.
    pub(crate) fn pass_by(&self, number: usize) {
        let passed = self.passed.get().saturating_add(self.index().bytes(number));
        let is_much = passed > PASSED_BYTES_MAX;
        self.passed.set(if is_much { 0 } else { passed });
        if is_much {
            self.elf().forget_pages();
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

    /// Functions and scopes of a unit, by address and by place.
    pub(crate) fn functions(&self, number: usize) -> Option<Arc<Functions>> {
        self.kept(&self.file.functions, number, |unit| self.read_functions(unit))
    }

    /// Those of a unit that was looked at before.
    fn known_functions(&self, number: usize) -> Option<Arc<Functions>> {
        self.file.functions.lock().unwrap_or_else(PoisonError::into_inner).get(&number).cloned()
    }

    fn read_functions(&self, unit: &Unit<'a>) -> Functions {
        let stored = self.stored_of(unit).and_then(|stored| stored.functions(unit.number));
        stored.unwrap_or_else(|| Functions::read(&unit.dwarf, &unit.unit, &mut Patience::new()))
    }

    /// The index, where it knows this unit: only units that lie in the file itself are in it.
    fn stored_of(&self, unit: &Unit<'a>) -> Option<&'a Stored> {
        let is_own = !unit.is_split() && Home::of(unit.number) == Home::Main(unit.number);
        self.stored().filter(|_| is_own)
    }

    /// The units whose functions were read so far.
    fn kept_functions(&self) -> Vec<(usize, Arc<Functions>)> {
        let kept = self.file.functions.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().map(|(unit, functions)| (*unit, functions.clone())).collect()
    }

    /// Where in the line table of a unit its code is described.
    fn lines(&self, number: usize) -> Option<Arc<Lines>> {
        self.kept(&self.file.lines, number, |unit| {
            let stored = self.stored_of(unit).and_then(|stored| stored.lines(number));
            stored.unwrap_or_else(|| Lines::read(unit.with_lines().1, &mut Patience::new()))
        })
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
        unit.dwarf.attr_string(&unit.unit, value).ok().map(lossy)
    }

    /// Whether entries describe more than functions and lines: one unit with a type settles it.
    fn has_variables(&self) -> bool {
        // The runtime's own units come with line tables only, so look at several before saying so.
        const LOOKED_AT: usize = 64;
        let units = self.index().len();
        (0..units.min(LOOKED_AT)).chain((units.saturating_sub(LOOKED_AT)..units).rev()).any(|number| {
            let Some(unit) = self.own_unit(number) else { return false };
            let codes = (1..2000).map_while(|code| unit.abbreviations.get(code));
            let mut tags = codes.map(gimli::Abbreviation::tag);
            // What a skeleton stands for is not opened for this: whoever splits it has more than line tables.
            unit::is_skeleton(&unit)
                || tags.any(|tag| tag == gimli::DW_TAG_formal_parameter || tag == gimli::DW_TAG_base_type)
        })
    }
}

/// Addresses of an entry's code. gimli adds length and address unchecked: where the sum is no address, there is no code.
fn code_ranges<'a>(
    dwarf: &gimli::Dwarf<Reader<'a>>,
    unit: &gimli::Unit<Reader<'a>>,
    entry: &Entry<'a>,
) -> Option<gimli::RangeIter<Reader<'a>>> {
    let (mut begin, mut length) = (0u64, 0u64);
    // An attribute may be there more than once.
    for attribute in entry.attrs() {
        match (attribute.name(), attribute.value()) {
            (gimli::DW_AT_low_pc, value) => begin = begin.max(dwarf.attr_address(unit, value).ok()??),
            (gimli::DW_AT_high_pc, AttributeValue::Udata(value)) => length = length.max(value),
            _ => {}
        }
    }
    begin.checked_add(length)?;
    dwarf.die_ranges(unit, entry).ok()
}

/// Names longer than this are cut: those of deeply generic types grow without bound.
const NAME_BYTES_MAX: usize = 4096;

fn lossy(text: Reader<'_>) -> String {
    let bytes = text.slice();
    String::from_utf8_lossy(bytes.get(..NAME_BYTES_MAX).unwrap_or(bytes)).into_owned()
}
