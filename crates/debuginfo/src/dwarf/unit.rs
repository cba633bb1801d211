//! Reading a unit, wherever it lies: in the file itself, in a `.dwo` file or package in place of its skeleton, among the
//! type units, or in the supplementary file. Also following references from one to the other.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use gimli::{AttributeValue, DebugInfoOffset, DebugTypeSignature, UnitOffset};

use super::companions::Companion;
use super::home::Home;
use super::type_units::{TypeUnits, described};
use super::units::UNITS_MAX;
use super::{Attribute, Die, Patience, View, lossy};
use crate::expression::Reader;
use crate::language::Language;

/// Units of one `.dwo` file that are looked through for the one that is meant.
const SPLIT_UNITS_MAX: usize = 10_000;

/// A unit whose header and root were read.
pub(crate) struct Unit<'a> {
    /// As in [`Die::unit`].
    pub(crate) number: usize,
    pub(crate) unit: gimli::Unit<Reader<'a>>,
    /// The sections that its attributes refer to.
    pub(crate) dwarf: Arc<gimli::Dwarf<Reader<'a>>>,
    /// What stands for it in the program's own file, where it is split: the line table belongs to that.
    skeleton: Option<(Arc<gimli::Dwarf<Reader<'a>>>, gimli::Unit<Reader<'a>>)>,
    language: Cell<Language>,
    /// Directory that the compiler ran in.
    pub(crate) directory: String,
}

impl<'a> Unit<'a> {
    fn new(number: usize, dwarf: Arc<gimli::Dwarf<Reader<'a>>>, unit: gimli::Unit<Reader<'a>>) -> Self {
        let language = language_of(&unit);
        let directory = unit.comp_dir.map(|directory| lossy(directory)).unwrap_or_default();
        Self { number, unit, dwarf, skeleton: None, language: Cell::new(language), directory }
    }

    pub(crate) fn language(&self) -> Language {
        self.language.get()
    }

    /// Whether it lies in another file, in place of a skeleton.
    pub(super) fn is_split(&self) -> bool {
        self.skeleton.is_some()
    }

    /// The sections and the unit that the line table belongs to.
    pub(super) fn with_lines(&self) -> (&gimli::Dwarf<Reader<'a>>, &gimli::Unit<Reader<'a>>) {
        self.skeleton.as_ref().map_or((&self.dwarf, &self.unit), |(dwarf, unit)| (dwarf, unit))
    }
}

impl<'a> View<'a> {
    /// A unit by number.
    pub(crate) fn unit(&self, number: usize) -> Option<Rc<Unit<'a>>> {
        if let Some(unit) = self.units.borrow().get(&number) {
            return unit.clone();
        }
        let unit = self.read_unit(number).map(Rc::new);
        self.units.borrow_mut().insert(number, unit.clone());
        unit
    }

    pub(super) fn read_unit(&self, number: usize) -> Option<Unit<'a>> {
        match Home::of(number) {
            Home::Main(at) => {
                let unit = self.own_unit(at)?;
                if is_skeleton(&unit) {
                    return self.split_unit(at, unit);
                }
                Some(Unit::new(number, self.dwarf.clone(), unit))
            }
            Home::Types(at) => {
                let header = self.types().header(&self.dwarf, at)?;
                Some(Unit::new(number, self.dwarf.clone(), self.dwarf.unit(header).ok()?))
            }
            Home::Supplementary(at) => {
                let dwarf = self.dwarf.sup.clone()?;
                let (offset, _) = *self.supplementary_units().get(at)?;
                let header = dwarf.debug_info.header_from_offset(DebugInfoOffset(offset)).ok()?;
                let unit = dwarf.unit(header).ok()?;
                Some(Unit::new(number, dwarf, unit))
            }
            Home::SplitType { unit, index } => {
                let companion = self.file.companions.opened_split(unit)?;
                let dwarf = companion.split(&self.dwarf);
                let header = companion.types.get()?.header(&dwarf, index)?;
                let unit = dwarf.unit(header).ok()?;
                Some(Unit::new(number, Arc::new(dwarf), unit))
            }
            Home::PackageType(row) => {
                let dwarf = self.package()?.tu_sections(u32::try_from(row).ok()?, &self.dwarf).ok()?;
                let header = dwarf.type_units().next().ok().flatten();
                let header = header.or_else(|| dwarf.units().next().ok().flatten())?;
                let unit = dwarf.unit(header).ok()?;
                Some(Unit::new(number, Arc::new(dwarf), unit))
            }
        }
    }

    /// A unit of the file itself, as it is there.
    pub(super) fn own_unit(&self, at: usize) -> Option<gimli::Unit<Reader<'a>>> {
        let offset = self.index().offset(at)?;
        let header = self.dwarf.debug_info.header_from_offset(DebugInfoOffset(offset)).ok()?;
        self.dwarf.unit(header).ok()
    }

    /// The unit that a skeleton stands for; the skeleton itself, and a loss, where it is nowhere to be found.
    fn split_unit(&self, at: usize, skeleton: gimli::Unit<Reader<'a>>) -> Option<Unit<'a>> {
        let text = |value| self.dwarf.attr_string(&skeleton, value).ok().map(lossy);
        let name = skeleton.dwo_name().ok().flatten().and_then(text).unwrap_or_default();
        let directory = skeleton.comp_dir.map(|directory| lossy(directory)).unwrap_or_default();
        let found = self.in_package(&skeleton).or_else(|| {
            let belongs = |companion: &'a Companion| self.in_split_file(companion, &skeleton).is_some();
            let units = self.index().len();
            let companion = self.file.companions.split(at, units, (&directory, &name), belongs)?;
            self.in_split_file(companion, &skeleton)
        });
        let Some((dwarf, mut unit)) = found else {
            let unit = skeleton.name.map(|name| lossy(name)).unwrap_or_default();
            let what = if unit.is_empty() {
                format!("what {name} describes")
            } else {
                format!("variables of {unit}")
            };
            self.lose(what, format!("{name}: this file of split debug information is missing, unreadable or of another build (it was compiled in {directory})"));
            return Some(Unit::new(at, self.dwarf.clone(), skeleton));
        };
        unit.copy_relocated_attributes(&skeleton);
        let mut whole = Unit::new(at, dwarf, unit);
        whole.directory = directory;
        whole.skeleton = Some((self.dwarf.clone(), skeleton));
        Some(whole)
    }

    fn in_package(&self, skeleton: &gimli::Unit<Reader<'a>>) -> Option<Split<'a>> {
        let dwarf = self.package()?.find_cu(skeleton.dwo_id?, &self.dwarf).ok()??;
        unit_of(dwarf, skeleton)
    }

    fn in_split_file(
        &self,
        companion: &'a Companion,
        skeleton: &gimli::Unit<Reader<'a>>,
    ) -> Option<Split<'a>> {
        unit_of(companion.split(&self.dwarf), skeleton)
    }

    fn package(&self) -> Option<&gimli::DwarfPackage<Reader<'a>>> {
        let open = || self.file.companions.package().and_then(Companion::package);
        self.package.get_or_init(open).as_ref()
    }

    fn types(&self) -> &'a TypeUnits {
        self.file.types.get_or_init(|| TypeUnits::read(&self.dwarf, false))
    }

    /// Offset of each unit of the supplementary file and of its end, ascending.
    fn supplementary_units(&self) -> &'a [(usize, usize)] {
        self.file.supplementary_units.get_or_init(|| {
            let mut found = Vec::new();
            let Some(dwarf) = &self.dwarf.sup else { return found };
            let mut headers = dwarf.units();
            let mut patience = Patience::new();
            while let Ok(Some(header)) = headers.next() {
                if let Some(offset) = header.debug_info_offset() {
                    found.push((offset.0, offset.0.saturating_add(header.length_including_self())));
                }
                if found.len() >= UNITS_MAX || patience.is_over() {
                    break;
                }
            }
            found
        })
    }

    /// What a reference attribute of an entry in unit `from` refers to.
    pub(crate) fn resolve(&self, from: usize, value: Attribute<'a>) -> Option<Die> {
        let found = match value {
            AttributeValue::UnitRef(offset) => return Some(Die { unit: from, offset }),
            AttributeValue::DebugInfoRef(offset) => match Home::of(from) {
                Home::Supplementary(_) => {
                    within(self.supplementary_units(), offset, |at| Home::Supplementary(at).number())
                }
                Home::Main(_) if !self.unit(from)?.is_split() => self.index().entry(offset.0),
                // References between the units of one `.dwo` file would need all of them.
                _ => {
                    let header = self.unit(from)?.unit.header;
                    let begin = header.debug_info_offset()?.0;
                    let inside =
                        offset.0.checked_sub(begin).filter(|at| *at < header.length_including_self());
                    inside.map(|offset| Die { unit: from, offset: UnitOffset(offset) })
                }
            },
            AttributeValue::DebugInfoRefSup(offset) => {
                within(self.supplementary_units(), offset, |at| Home::Supplementary(at).number())
            }
            AttributeValue::DebugTypesRef(signature) => self.described_type(from, signature),
            _ => None,
        }?;
        self.pass_language(from, found.unit);
        Some(found)
    }

    /// Parts that `dwz` moved out of units need not say their language: it is that of whoever refers to them.
    fn pass_language(&self, from: usize, to: usize) {
        if from == to {
            return;
        }
        if let (Some(from), Some(to)) = (self.unit(from), self.unit(to))
            && to.language.get() == Language::Other
        {
            to.language.set(from.language.get());
        }
    }

    /// The type with this signature.
    fn described_type(&self, from: usize, signature: DebugTypeSignature) -> Option<Die> {
        let number = self.split_type(from, signature).or_else(|| {
            let own = |found| Home::Types(found).number();
            self.types().find(signature).map(own).or_else(|| self.index_of_types().get(&signature.0).copied())
        })?;
        let (_, offset) = described(&self.unit(number)?.unit.header)?;
        Some(Die { unit: number, offset })
    }

    fn split_type(&self, from: usize, signature: DebugTypeSignature) -> Option<usize> {
        let unit = match Home::of(from) {
            Home::Main(at) => {
                self.unit(from)?.skeleton.as_ref()?;
                Some(at)
            }
            Home::SplitType { unit, .. } => Some(unit),
            Home::PackageType(_) => None,
            _ => return None,
        };
        if let Some(row) = self.package().and_then(|package| package.tu_index.find(signature.0)) {
            return Some(Home::PackageType(usize::try_from(row).ok()?).number());
        }
        let unit = unit?;
        let companion = self.file.companions.opened_split(unit)?;
        let types = companion.types.get_or_init(|| TypeUnits::read(&companion.split(&self.dwarf), true));
        Some(Home::SplitType { unit, index: types.find(signature)? }.number())
    }

    /// DWARF 5 keeps type units among the others: signature and number.
    fn index_of_types(&self) -> &'a std::collections::HashMap<u64, usize> {
        self.file.signatures.get_or_init(|| {
            let mut found = std::collections::HashMap::new();
            let mut patience = Patience::new();
            for (number, header) in self.index().headers(&self.dwarf).enumerate() {
                if let Some((signature, _)) = header.as_ref().and_then(described) {
                    found.entry(signature.0).or_insert(number);
                }
                if patience.is_over() {
                    break;
                }
            }
            found
        })
    }

    /// Whether the unit of an entry was made by this compiler (as `DW_AT_producer` begins or contains it) in this version
    /// or a later one.
    pub(crate) fn compiler_is_at_least(&self, die: Die, compiler: &str, version: (u32, u32)) -> bool {
        let producer = || {
            let unit = self.unit(die.unit)?;
            let root = unit.unit.entry(unit.unit.header.root_offset()).ok()?;
            let producer = self.text(&unit, root.attr_value(gimli::DW_AT_producer)?)?;
            let (_, behind) = producer.split_once(compiler)?;
            let mut numbers = behind.split(|c: char| !c.is_ascii_digit()).map_while(|part| part.parse().ok());
            Some((numbers.next()?, numbers.next()?))
        };
        producer().is_some_and(|found: (u32, u32)| found >= version)
    }

    /// Records that something is missing from the debug information.
    fn lose(&self, what: String, why: String) {
        const LOSSES_MAX: usize = 20;
        let mut losses = self.losses.borrow_mut();
        if losses.len() < LOSSES_MAX && !losses.iter().any(|(known, _)| *known == what) {
            losses.push((what, why));
        }
    }

    /// What was found missing so far: what, and why.
    pub(crate) fn losses(&self) -> Vec<(String, String)> {
        self.losses.borrow().clone()
    }
}

type Split<'a> = (Arc<gimli::Dwarf<Reader<'a>>>, gimli::Unit<Reader<'a>>);

/// The unit in `dwarf` that has the skeleton's id.
fn unit_of<'a>(dwarf: gimli::Dwarf<Reader<'a>>, skeleton: &gimli::Unit<Reader<'a>>) -> Option<Split<'a>> {
    let id = skeleton.dwo_id?;
    let mut headers = dwarf.units();
    for _ in 0..SPLIT_UNITS_MAX {
        let header = headers.next().ok()??;
        if described(&header).is_some() {
            continue;
        }
        if let Ok(unit) = dwarf.unit(header)
            && unit.dwo_id == Some(id)
        {
            return Some((Arc::new(dwarf), unit));
        }
    }
    None
}

/// What the root of a unit says; `Other` where it says nothing.
pub(super) fn language_of(unit: &gimli::Unit<Reader<'_>>) -> Language {
    let root = unit.entry(unit.header.root_offset()).ok();
    match root.and_then(|root| root.attr_value(gimli::DW_AT_language)) {
        Some(AttributeValue::Language(language)) => Language::of(language),
        _ => Language::Other,
    }
}

/// Whether a unit only stands for one in another file.
pub(super) fn is_skeleton(unit: &gimli::Unit<Reader<'_>>) -> bool {
    unit.dwo_id.is_some() && matches!(unit.dwo_name(), Ok(Some(_)))
}

fn within(units: &[(usize, usize)], offset: DebugInfoOffset, number: impl Fn(usize) -> usize) -> Option<Die> {
    let unit = units.partition_point(|(begin, _)| *begin <= offset.0).checked_sub(1)?;
    let (begin, end) = *units.get(unit)?;
    let inside = offset.0 < end;
    inside.then(|| Die { unit: number(unit), offset: UnitOffset(offset.0.saturating_sub(begin)) })
}
