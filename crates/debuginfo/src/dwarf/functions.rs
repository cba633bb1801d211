//! Functions of a unit: which one an address belongs to, what was inlined there, which variables are in scope, and names.

use std::rc::Rc;
use std::sync::Arc;

use gimli::{AttributeValue, UnitOffset};

use super::statics::{Static, fixed_address};
use super::units::{put_ranges, take_ranges};
use super::{Attribute, Die, Entry, Patience, Unit, View, code_ranges};
use crate::demangle;
use crate::expression::Reader;
use crate::index::bytes::{Put, Take};
use crate::language::{Language, same_name};

/// Entries of one unit that are looked at; LLVM's largest units stay well below.
const ENTRIES_MAX: usize = 20_000_000;
/// Entries of one function that are looked at.
const FUNCTION_ENTRIES_MAX: usize = 500_000;
/// Inlined functions at one address.
const INLINES_MAX: usize = 256;
/// Variables of one function activation.
const VARIABLES_MAX: usize = 2_000;
/// Nesting of namespaces and types.
const SCOPES_MAX: usize = 64;

/// Index of a unit's functions and scopes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Functions {
    /// Begin, end, offset of the entry; ascending by begin.
    ranges: Vec<(u64, u64, usize)>,
    /// Namespaces, types and functions by offset, with the index of the one around them plus one, or 0.
    scopes: Vec<(usize, u32)>,
    /// Rust's vtables: address, offset of the entry.
    vtables: Vec<(u64, usize)>,
    /// Structures with their members: hash of the name, offset of the entry; in the order of the entries.
    structs: Vec<(u32, usize)>,
    pub(super) statics: Vec<Static>,
}

/// One function activation at an address: the function itself or one that was inlined into it.
#[derive(Clone, Debug)]
pub(crate) struct Activation {
    /// `DW_TAG_subprogram` or `DW_TAG_inlined_subroutine`.
    pub(crate) die: Die,
    /// File number and line of the call, for inlined ones.
    pub(crate) call: Option<(u64, u32)>,
    /// Parameters and variables in scope, in the order of the entries; true for parameters.
    pub(crate) variables: Vec<(Die, bool)>,
}

impl Functions {
    /// Reads the whole unit once.
    pub(super) fn read<'a>(
        dwarf: &gimli::Dwarf<Reader<'a>>,
        unit: &gimli::Unit<Reader<'a>>,
        patience: &mut Patience,
    ) -> Self {
        let mut functions = Self::default();
        let Ok(mut entries) = unit.entries_raw(None) else { return functions };
        let mut entry = gimli::DebuggingInformationEntry::null();
        // Depth and scope number of what encloses the current entry.
        let mut enclosing: Vec<(isize, u32)> = Vec::new();
        for _ in 0..ENTRIES_MAX {
            if entries.is_empty() || patience.is_over() {
                break;
            }
            let depth = entries.next_depth();
            match entries.read_entry(&mut entry) {
                Ok(true) => {}
                Ok(false) => continue,
                Err(_) => break,
            }
            while enclosing.last().is_some_and(|(outer, _)| *outer >= depth) {
                enclosing.pop();
            }
            if is_scope(entry.tag()) {
                functions.scopes.push((entry.offset().0, enclosing.last().map_or(0, |(_, scope)| *scope)));
                if entry.has_children() && enclosing.len() < SCOPES_MAX {
                    enclosing.push((depth, u32::try_from(functions.scopes.len()).unwrap_or(0)));
                }
            }
            if entry.tag() == gimli::DW_TAG_variable
                && let Some(address) = fixed_address(dwarf, unit, &entry)
                && let Some(name) = entry.attr_value(gimli::DW_AT_name)
                && let Ok(name) = dwarf.attr_string(unit, name)
            {
                // Those that rustc calls `<T as Trait>::{vtable}`.
                if name.slice().ends_with(b"::{vtable}") {
                    functions.vtables.push((address, entry.offset().0));
                } else {
                    functions.statics.push(Static {
                        name: name_hash(name.slice()),
                        offset: entry.offset().0,
                        outer: enclosing.last().map_or(0, |(_, scope)| *scope),
                    });
                }
            }
            if entry.tag() == gimli::DW_TAG_structure_type
                && !entry.has_attr(gimli::DW_AT_declaration)
                && let Some(name) = entry.attr_value(gimli::DW_AT_name)
                && let Ok(name) = dwarf.attr_string(unit, name)
            {
                functions.structs.push((name_hash(name.slice()), entry.offset().0));
            }
            if entry.tag() == gimli::DW_TAG_subprogram
                && let Some(mut ranges) = code_ranges(dwarf, unit, &entry)
            {
                while let Ok(Some(range)) = ranges.next() {
                    if range.begin < range.end && range.begin != 0 {
                        functions.ranges.push((range.begin, range.end, entry.offset().0));
                    }
                }
            }
        }
        functions.ranges.sort_unstable();
        functions
    }

    pub(super) fn written(&self) -> Vec<u8> {
        let mut put = Put::default();
        put_ranges(&mut put, &self.ranges);
        let mut last = 0;
        put.size(self.scopes.len());
        for (at, (offset, outer)) in self.scopes.iter().enumerate() {
            put.size(offset.wrapping_sub(last));
            // Most scopes lie in one that was met shortly before.
            put.size(if *outer == 0 { 0 } else { (at + 1).saturating_sub(*outer as usize) });
            last = *offset;
        }
        put.size(self.vtables.len());
        for (address, offset) in &self.vtables {
            put.number(*address);
            put.size(*offset);
        }
        last = 0;
        put.size(self.structs.len());
        for (hash, offset) in &self.structs {
            put.raw(&hash.to_le_bytes());
            put.size(offset.wrapping_sub(last));
            last = *offset;
        }
        last = 0;
        put.size(self.statics.len());
        for Static { name, offset, outer } in &self.statics {
            put.raw(&name.to_le_bytes());
            put.size(offset.wrapping_sub(last));
            put.number(u64::from(*outer));
            last = *offset;
        }
        put.finish()
    }

    pub(super) fn from_written(bytes: &[u8]) -> Option<Self> {
        let mut take = Take::new(bytes);
        let ranges = take_ranges(&mut take)?;
        let (mut last, mut number) = (0usize, 0usize);
        let scopes = take.list(|take| {
            let offset = last.checked_add(take.size()?)?;
            number = number.checked_add(1)?;
            let outer = match take.size()? {
                0 => 0,
                back => number.checked_sub(back).filter(|outer| *outer > 0)?,
            };
            last = offset;
            Some((offset, u32::try_from(outer).ok()?))
        })?;
        let vtables = take.list(|take| Some((take.number()?, take.size()?)))?;
        let mut last = 0usize;
        let structs = take.list(|take| {
            let hash = u32::from_le_bytes(take.raw()?);
            last = last.checked_add(take.size()?)?;
            Some((hash, last))
        })?;
        last = 0;
        let statics = take.list(|take| {
            let name = u32::from_le_bytes(take.raw()?);
            last = last.checked_add(take.size()?)?;
            Some(Static { name, offset: last, outer: u32::try_from(take.number()?).ok()? })
        })?;
        take.is_empty().then_some(Self { ranges, scopes, vtables, structs, statics })
    }

    fn at(&self, address: u64) -> Option<UnitOffset> {
        let behind = self.ranges.partition_point(|(begin, _, _)| *begin <= address);
        let near = self.ranges.get(behind.saturating_sub(8)..behind)?;
        near.iter().rev().find(|(_, end, _)| address < *end).map(|(_, _, offset)| UnitOffset(*offset))
    }

    /// The entry of the vtable at this address.
    pub(super) fn vtable(&self, address: u64) -> Option<UnitOffset> {
        let found = self.vtables.iter().find(|(vtable, _)| *vtable == address);
        found.map(|(_, offset)| UnitOffset(*offset))
    }

    /// The structure of this path.
    pub(super) fn struct_at<'a>(
        &self,
        dwarf: &gimli::Dwarf<Reader<'a>>,
        unit: &gimli::Unit<Reader<'a>>,
        path: &str,
    ) -> Option<UnitOffset> {
        let wanted = last_name_hash(path);
        let mut called = self.structs.iter().filter(|(hash, _)| *hash == wanted);
        let offset = |(_, offset): &(u32, usize)| UnitOffset(*offset);
        let is_it = |found: &&(u32, usize)| {
            let outwards = self.around(offset(found));
            names_left(dwarf, unit, offset(found), &outwards, path) == Some(0)
        };
        called.find(is_it).map(offset)
    }

    /// Offsets of the scopes around one that is a scope itself, innermost first.
    fn around(&self, offset: UnitOffset) -> Vec<UnitOffset> {
        let at = self.scopes.binary_search_by_key(&offset.0, |(offset, _)| *offset);
        let outer = at.ok().and_then(|at| self.scopes.get(at)).map_or(0, |(_, outer)| *outer);
        self.outwards(outer)
    }

    /// Offsets of a scope, by its index plus one, and of those around it.
    pub(super) fn outwards(&self, scope: u32) -> Vec<UnitOffset> {
        let mut outwards = Vec::new();
        let mut next = scope;
        while let Some(at) = next.checked_sub(1)
            && let Some((offset, outer)) = self.scopes.get(at as usize)
            && outwards.len() < SCOPES_MAX
        {
            outwards.push(UnitOffset(*offset));
            next = *outer;
        }
        outwards
    }
}

/// How many names stand before these in the whole path of an entry; `None` where its path does not end with them.
pub(super) fn names_left<'a>(
    dwarf: &gimli::Dwarf<Reader<'a>>,
    unit: &gimli::Unit<Reader<'a>>,
    offset: UnitOffset,
    outwards: &[UnitOffset],
    path: &str,
) -> Option<usize> {
    let is_called = |offset, name: &str| {
        let own = unit.entry(offset).ok()?.attr_value(gimli::DW_AT_name)?;
        Some(dwarf.attr_string(unit, own).ok()?.slice() == name.as_bytes())
    };
    let mut scopes = std::iter::once(offset).chain(outwards.iter().copied());
    let mut names = path.rsplit("::");
    let fits = names.all(|name| scopes.next().and_then(|offset| is_called(offset, name)).unwrap_or(false));
    fits.then(|| scopes.count())
}

pub(super) fn last_name_hash(path: &str) -> u32 {
    path.rsplit("::").next().map_or(0, |name| name_hash(name.as_bytes()))
}

/// FNV-1a, of 32 bits: it is written to disk, so it must never be another one.
fn name_hash(name: &[u8]) -> u32 {
    name.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

fn is_scope(tag: gimli::DwTag) -> bool {
    matches!(
        tag,
        gimli::DW_TAG_namespace
            | gimli::DW_TAG_module
            | gimli::DW_TAG_structure_type
            | gimli::DW_TAG_class_type
            | gimli::DW_TAG_union_type
            | gimli::DW_TAG_enumeration_type
            | gimli::DW_TAG_subprogram
    )
}

impl<'a> View<'a> {
    /// Everything that was active at an address (of the file): the innermost inlined function first, the function that
    /// they were inlined into last. Empty where the debug information does not cover the address.
    pub(crate) fn activations(&self, address: u64) -> Vec<Activation> {
        let activations = || {
            let number = self.unit_at(address)?;
            let function = self.functions(number)?.at(address)?;
            self.read_activations(number, function, address)
        };
        let mut found = activations().unwrap_or_default();
        found.reverse();
        found
    }

    fn read_activations(&self, number: usize, function: UnitOffset, address: u64) -> Option<Vec<Activation>> {
        let unit = self.unit(number)?;
        let mut entries = unit.unit.entries_at_offset(function).ok()?;
        let at = |offset| Die { unit: number, offset };
        let mut found = vec![Activation { die: at(function), call: None, variables: Vec::new() }];
        // Depth and activation of the blocks around the address that are open.
        let mut open: Vec<(isize, usize)> = Vec::new();
        let mut patience = Patience::new();
        for step in 0..FUNCTION_ENTRIES_MAX {
            let Ok(Some(entry)) = entries.next_dfs() else { break };
            if patience.is_over() {
                break;
            }
            let depth = entry.depth();
            if step == 0 {
                open.push((depth, 0));
                continue;
            }
            while open.last().is_some_and(|(outer, _)| *outer >= depth) {
                open.pop();
            }
            let Some((outer, activation)) = open.last().copied() else { break };
            if depth != outer.saturating_add(1) {
                continue;
            }
            match entry.tag() {
                gimli::DW_TAG_formal_parameter | gimli::DW_TAG_variable => {
                    let is_parameter = entry.tag() == gimli::DW_TAG_formal_parameter;
                    if let Some(activation) = found.get_mut(activation)
                        && activation.variables.len() < VARIABLES_MAX
                    {
                        activation.variables.push((at(entry.offset()), is_parameter));
                    }
                }
                gimli::DW_TAG_lexical_block if self.covers(&unit, entry, address) != Some(false) => {
                    open.push((depth, activation));
                }
                gimli::DW_TAG_inlined_subroutine
                    if found.len() < INLINES_MAX && self.covers(&unit, entry, address) == Some(true) =>
                {
                    open.push((depth, found.len()));
                    found.push(Activation {
                        die: at(entry.offset()),
                        call: Some(call_site(entry)),
                        variables: Vec::new(),
                    });
                }
                _ => {}
            }
        }
        Some(found)
    }

    /// Whether an entry's code includes the address; `None` where it has no code of its own.
    fn covers(&self, unit: &Unit<'a>, entry: &Entry<'a>, address: u64) -> Option<bool> {
        let mut ranges = code_ranges(&unit.dwarf, &unit.unit, entry)?;
        let mut any = false;
        while let Ok(Some(range)) = ranges.next() {
            any = true;
            if (range.begin..range.end).contains(&address) {
                return Some(true);
            }
        }
        any.then_some(false)
    }

    /// A function's name as people know it: the demangled linkage name, else its name within its scopes.
    pub(crate) fn function_name(&self, die: Die) -> Option<String> {
        let origins = self.origins(die);
        for (_, unit, entry) in &origins {
            let name = entry.attr_value(gimli::DW_AT_linkage_name);
            let name = name.or_else(|| entry.attr_value(gimli::DW_AT_MIPS_linkage_name));
            if let Some(name) = name.and_then(|name| self.text(unit, name)) {
                let name = demangle::demangle(&name);
                return Some(self.with_own_closures(name, &origins));
            }
        }
        let (die, _, _) = origins.iter().find(|(_, _, entry)| entry.has_attr(gimli::DW_AT_name))?;
        self.qualified_name(*die)
    }

    /// The older mangling calls closures, async functions and async blocks alike; their entries have names of their own.
    fn with_own_closures(&self, name: String, origins: &[(Die, Rc<Unit<'a>>, Entry<'a>)]) -> String {
        let named = origins.iter().find(|(_, _, entry)| entry.has_attr(gimli::DW_AT_name));
        let Some((die, _, _)) = named.filter(|_| name.ends_with("{{closure}}")) else { return name };
        let mut outer = name.as_str();
        let mut own = Vec::new();
        for part in self.path(*die).unwrap_or_default() {
            let behind = outer.strip_suffix("::").unwrap_or(outer);
            let Some(rest) = behind.strip_suffix("{{closure}}").filter(|_| part.starts_with('{')) else {
                break;
            };
            outer = rest;
            own.push(part);
        }
        own.reverse();
        format!("{outer}{}", own.join("::"))
    }

    /// An entry's own name behind the names of the scopes around it, joined by `::`.
    pub(crate) fn qualified_name(&self, die: Die) -> Option<String> {
        let mut parts = self.path(die)?;
        parts.reverse();
        Some(parts.join("::"))
    }

    /// An entry's own name, then those of the scopes around it, outwards.
    fn path(&self, die: Die) -> Option<Vec<String>> {
        let mut parts = vec![self.name(die)?];
        // A definition outside of its scope, as in type units, stands for a declaration inside.
        let declared = self.origins(die).last().map_or(die, |(declared, _, _)| *declared);
        let scopes = self.functions(declared.unit);
        for offset in scopes.map(|functions| functions.around(declared.offset)).unwrap_or_default() {
            let scope = Die { unit: declared.unit, offset };
            let is_namespace =
                || self.entry(scope).is_some_and(|(_, entry)| entry.tag() == gimli::DW_TAG_namespace);
            let anonymous = || is_namespace().then(|| "(anonymous namespace)".to_owned());
            parts.extend(self.name(scope).or_else(anonymous));
        }
        Some(parts)
    }

    /// The descriptions of structures in a unit of Rust, by their paths. The unit is only passed by: it is not kept.
    pub(crate) fn rust_structs_in<const N: usize>(
        &self,
        number: usize,
        paths: [&str; N],
    ) -> [Option<Die>; N] {
        let kept = self.units.borrow().get(&number).cloned();
        let unit = kept.unwrap_or_else(|| self.read_unit(number).map(Rc::new));
        let Some(unit) = unit.filter(|unit| unit.language() == Language::Rust) else { return [None; N] };
        let functions = self.known_functions(number).unwrap_or_else(|| Arc::new(self.read_functions(&unit)));
        paths.map(|path| {
            let offset = functions.struct_at(&unit.dwarf, &unit.unit, path)?;
            Some(Die { unit: number, offset })
        })
    }

    /// Where one of the types is described that an index knows the place of.
    pub(crate) fn indexed_type(&self, path: &str) -> Option<Die> {
        self.stored()?.runtime_type(path)
    }

    /// Where a function begins (in the file).
    pub(crate) fn entry_point(&self, function: Die) -> Option<u64> {
        let (unit, entry) = self.entry(function)?;
        let entry_pc = entry.attr_value(gimli::DW_AT_entry_pc);
        match entry_pc.or_else(|| entry.attr_value(gimli::DW_AT_low_pc)) {
            Some(value) => unit.dwarf.attr_address(&unit.unit, value).ok()?,
            // The unlikely parts of a function that was split come last.
            None => code_ranges(&unit.dwarf, &unit.unit, &entry)?.next().ok()?.map(|range| range.begin),
        }
    }

    /// `DW_AT_name` of the entry or of what it is an instance of.
    pub(crate) fn name(&self, die: Die) -> Option<String> {
        let origins = self.origins(die);
        origins.iter().find_map(|(_, unit, entry)| self.text(unit, entry.attr_value(gimli::DW_AT_name)?))
    }

    /// The parameters of a function, in order.
    pub(crate) fn parameters(&self, function: Die) -> Vec<Die> {
        let mut found = Vec::new();
        let Some(unit) = self.unit(function.unit) else { return found };
        let Ok(mut entries) = unit.unit.entries_at_offset(function.offset) else { return found };
        let mut base = None;
        for _ in 0..FUNCTION_ENTRIES_MAX {
            let Ok(Some(entry)) = entries.next_dfs() else { break };
            let Some(base) = base else {
                base = Some(entry.depth());
                continue;
            };
            if entry.depth() <= base || found.len() >= VARIABLES_MAX {
                break;
            }
            if entry.depth() == base.saturating_add(1) && entry.tag() == gimli::DW_TAG_formal_parameter {
                found.push(Die { unit: function.unit, offset: entry.offset() });
            }
        }
        found
    }

    /// The concrete type behind the vtable at an address (of the file), of those vtables that the units which were read so
    /// far describe: the unit that makes a trait object is nearly always the one that uses it.
    pub(crate) fn type_of_vtable(&self, address: u64) -> Option<Die> {
        let vtable = self
            .kept_functions()
            .into_iter()
            .find_map(|(unit, functions)| functions.vtable(address).map(|offset| Die { unit, offset }))?;
        let layout = self.type_of(vtable)?;
        let (_, entry) = self.entry(layout)?;
        self.resolve(layout.unit, entry.attr_value(gimli::DW_AT_containing_type)?)
    }

    /// The class or struct of this name, within its scopes, of those that the units which were read so far describe.
    pub(crate) fn type_named(&self, path: &str) -> Option<Die> {
        const SEARCH_TIME: std::time::Duration = std::time::Duration::from_millis(300);
        let mut patience = Patience::of(SEARCH_TIME);
        for (number, functions) in self.kept_functions() {
            let Some(unit) = self.unit(number) else { continue };
            for (offset, _) in &functions.scopes {
                if patience.is_over() {
                    return None;
                }
                let Ok(entry) = unit.unit.entry(UnitOffset(*offset)) else { continue };
                let is_class = matches!(entry.tag(), gimli::DW_TAG_class_type | gimli::DW_TAG_structure_type);
                if !is_class || entry.has_attr(gimli::DW_AT_declaration) {
                    continue;
                }
                let die = Die { unit: number, offset: UnitOffset(*offset) };
                let ends = self.name(die).is_some_and(|name| {
                    path.ends_with(name.rsplit([' ', '>', ':']).next().unwrap_or_default())
                });
                if ends && self.qualified_name(die).is_some_and(|name| same_name(&name, path)) {
                    return Some(die);
                }
            }
        }
        None
    }

    /// An attribute of the entry or of what it is an instance of, with the unit it was found in.
    pub(crate) fn inherited(&self, die: Die, name: gimli::DwAt) -> Option<(Die, Attribute<'a>)> {
        self.origins(die).into_iter().find_map(|(die, _, entry)| Some((die, entry.attr_value(name)?)))
    }
}

fn call_site(entry: &Entry<'_>) -> (u64, u32) {
    let file = match entry.attr_value(gimli::DW_AT_call_file) {
        Some(AttributeValue::FileIndex(file)) => file,
        Some(other) => other.udata_value().unwrap_or(0),
        None => 0,
    };
    let line = entry.attr_value(gimli::DW_AT_call_line).and_then(|line| line.udata_value()).unwrap_or(0);
    (file, u32::try_from(line).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_was_written_comes_back(
            mut begins in proptest::collection::vec(any::<u32>(), 0..20),
            mut scopes in proptest::collection::vec((any::<usize>(), any::<u32>()), 0..20),
            vtables in proptest::collection::vec(any::<(u64, usize)>(), 0..20),
            mut structs in proptest::collection::vec(any::<(u32, usize)>(), 0..20),
            mut statics in proptest::collection::vec(any::<(usize, u32, u32)>(), 0..20),
        ) {
            begins.sort_unstable();
            scopes.sort_unstable();
            structs.sort_unstable_by_key(|(_, offset)| *offset);
            statics.sort_unstable();
            let statics = statics.into_iter().map(|(offset, name, outer)| Static { name, offset, outer }).collect();
            for (at, (_, outer)) in scopes.iter_mut().enumerate() {
                *outer %= u32::try_from(at + 1).unwrap_or(1);
            }
            let ranges = begins.into_iter().map(|begin| (begin.into(), u64::from(begin) + 7, 3)).collect();
            let functions = Functions { ranges, scopes, vtables, structs, statics };
            prop_assert_eq!(Functions::from_written(&functions.written()), Some(functions));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            if let Some(functions) = Functions::from_written(&bytes) {
                functions.at(5);
                functions.vtable(5);
                for found in &functions.statics {
                    prop_assert!(functions.outwards(found.outer).len() <= SCOPES_MAX);
                }
                for (offset, _) in &functions.scopes {
                    prop_assert!(functions.around(UnitOffset(*offset)).len() <= SCOPES_MAX);
                }
            }
        }
    }
}
