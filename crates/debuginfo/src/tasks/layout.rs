//! Finding types by name, and walking inside values by the names of their members.
//!
//! What lies between two types of the runtime (cells, locks, padding) changes between its releases; what they are called
//! and mean does not. So a value is searched for the type that is wanted, and never read by an offset that was written here.

use std::rc::Rc;
use std::time::Instant;

use crate::decoded::unsigned;
use crate::dwarf::location::Spot;
use crate::dwarf::types::{Shape, Type};
use crate::dwarf::{Die, View};
use crate::values::Decoder;

/// Levels of members that one search goes down.
const DEPTH_MAX: usize = 12;
/// Values that one search looks at.
const STEPS_MAX: usize = 4_000;
/// Levels of types between a holder and the pointer in it.
const WRAPPERS_MAX: usize = 8;

/// A value in the process: its type and where it lies.
#[derive(Clone, Debug)]
pub(super) struct Thing {
    pub(super) kind: Rc<Type>,
    pub(super) spot: Spot,
}

impl Thing {
    /// The address; `None` for what is not in memory.
    pub(super) fn address(&self) -> Option<u64> {
        match self.spot {
            Spot::Memory(address) => Some(address),
            Spot::Held(..) => None,
        }
    }

    /// A member by name.
    pub(super) fn member(&self, decoder: &Decoder<'_, '_>, name: &str) -> Option<Self> {
        let (kind, spot) = decoder.member(&self.kind, name, &self.spot)?;
        Some(Self { kind, spot })
    }

    /// The alternative of an enum that is active: its name and what it holds.
    pub(super) fn active(&self, decoder: &Decoder<'_, '_>) -> Option<(String, Self)> {
        let case = decoder.active_case(self.kind.record()?.variants.as_ref()?, &self.spot).ok()?;
        let kind = decoder.view.read_type(case.kind?);
        Some((case.name, Self { kind, spot: self.spot.at(case.offset?) }))
    }

    /// The first eight bytes as a number or address.
    pub(super) fn word(&self, decoder: &Decoder<'_, '_>) -> Option<u64> {
        let size = usize::try_from(self.kind.size?).ok().filter(|size| (1..=8).contains(size))?;
        Some(unsigned(&self.spot.read(decoder.memory, size, 8).ok()?) as u64)
    }

    /// All members, each with its name; those of the active alternative where there are several.
    pub(super) fn members(&self, decoder: &Decoder<'_, '_>) -> Vec<(String, Self)> {
        let Some(record) = self.kind.record() else { return Vec::new() };
        if record.variants.is_some() {
            return self.active(decoder).map(|(_, inner)| inner.members(decoder)).unwrap_or_default();
        }
        let member = |member: &crate::dwarf::types::Member| {
            let kind = decoder.view.read_type(member.kind?);
            Some((member.name.clone(), Self { kind, spot: self.spot.at(member.offset?) }))
        };
        record.members.iter().filter_map(member).collect()
    }

    /// The first value of a type that `is_it` accepts, here or inside; pointers are not followed.
    pub(super) fn find(&self, decoder: &Decoder<'_, '_>, is_it: &dyn Fn(&Type) -> bool) -> Option<Self> {
        self.find_below(decoder, is_it, DEPTH_MAX, &mut STEPS_MAX.clone())
    }

    fn find_below(
        &self,
        decoder: &Decoder<'_, '_>,
        is_it: &dyn Fn(&Type) -> bool,
        depth: usize,
        steps: &mut usize,
    ) -> Option<Self> {
        if is_it(&self.kind) {
            return Some(self.clone());
        }
        let depth = depth.checked_sub(1)?;
        *steps = steps.checked_sub(1)?;
        // A coroutine holds whatever its author keeps in it: nothing of the runtime's own is looked for there.
        if crate::language::is_coroutine(&self.kind) {
            return None;
        }
        self.members(decoder).iter().find_map(|(_, inner)| inner.find_below(decoder, is_it, depth, steps))
    }

    /// What the first pointer inside points to, with the type that it has there; `None` for null.
    pub(super) fn pointee(&self, decoder: &Decoder<'_, '_>) -> Option<Self> {
        let holder = self.find(decoder, &|kind| matches!(kind.shape, Shape::Pointer(_)))?;
        let Shape::Pointer(Some(target)) = holder.kind.shape else { return None };
        let address = holder.word(decoder).filter(|address| *address != 0)?;
        Some(Self { kind: decoder.view.read_type(target), spot: Spot::Memory(address) })
    }
}

/// The type that the first pointer in a type points to, whichever alternative it is in.
pub(super) fn pointer_target(view: &View<'_>, kind: &Type, depth: usize) -> Option<Die> {
    if let Shape::Pointer(target) = kind.shape {
        return target;
    }
    let record = kind.record().filter(|_| depth < WRAPPERS_MAX)?;
    let cases = record.variants.iter().flat_map(|variants| &variants.cases);
    let inner = record.members.iter().chain(cases.filter_map(|case| case.member.as_ref()));
    inner
        .filter_map(|member| member.kind)
        .find_map(|inner| pointer_target(view, &view.read_type(inner), depth + 1))
}

/// Where each of these structs is described, by path: as the index says, or else in the units, those in `first` before all
/// others; ends when all are found or time is over.
pub(super) fn find_structs<const N: usize>(
    view: &View<'_>,
    paths: [&str; N],
    first: &[usize],
    deadline: Instant,
) -> [Option<Die>; N] {
    let mut found = paths.map(|path| view.indexed_type(path));
    let others = (0..view.units()).filter(|unit| !first.contains(unit));
    for unit in first.iter().copied().chain(others) {
        if found.iter().all(Option::is_some) || Instant::now() >= deadline {
            break;
        }
        for (found, here) in found.iter_mut().zip(view.rust_structs_in(unit, paths)) {
            *found = found.or(here);
        }
        view.pass_by(unit);
    }
    found
}
