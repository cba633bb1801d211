//! The state of `async` functions: what is kept while they wait, and where they wait.

use freezeframe_model::Variable;

use super::missing;
use crate::decoded::{Decoded, mark_cut};
use crate::dwarf::location::Spot;
use crate::dwarf::types::{Record, Type, Variants};
use crate::expression::Absent;
use crate::values::Decoder;

/// Whether this is the state of an `async` function or block.
pub(crate) fn is_coroutine(kind: &Type) -> bool {
    ["{async_fn_env#", "{async_block_env#", "{async_closure_env#", "{coroutine_env#"]
        .iter()
        .any(|prefix| kind.name.starts_with(prefix))
}

/// A coroutine that is not running: where it waits, and what it keeps for afterwards.
pub(super) fn decode(
    decoder: &mut Decoder<'_, '_>,
    record: &Record,
    variants: &Variants,
    spot: &Spot,
    depth: usize,
) -> Result<Decoded, Absent> {
    let case = decoder.active_case(variants, spot)?;
    let line = variants.cases.iter().find(|other| other.member.as_ref().is_some_and(|m| m.name == case.name));
    let line = line.map_or(0, |case| case.line);
    let state = case.kind.map(|kind| decoder.view.read_type(kind)).ok_or_else(|| missing("a coroutine"))?;
    let state_name = state.path.rsplit("::").next().unwrap_or_default();
    let mut decoded = Decoded::plain(match line {
        0 => state_name.to_owned(),
        line => format!("{state_name} (line {line})"),
    });
    if depth >= decoder.bounds.depth {
        decoded.children = vec![mark_cut("…", "deeper than the limit")];
        return Ok(decoded);
    }
    let saved = state.record().map(|record| record.members.as_slice()).unwrap_or_default();
    decoded.children = decoder.members(saved, &spot.at(case.offset.unwrap_or(0)), depth);
    let captured: Vec<_> = record
        .members
        .iter()
        .filter(|member| !saved.iter().any(|saved| saved.name == member.name))
        .cloned()
        .collect();
    decoded.children.extend(decoder.members(&captured, spot, depth));
    decoded.children = without_repetition(decoded.children);
    Ok(decoded)
}

/// An argument of an `async` function is also the local that it was moved to.
pub(crate) fn without_repetition(variables: Vec<Variable>) -> Vec<Variable> {
    let mut once: Vec<Variable> = Vec::new();
    for variable in variables {
        if !once.contains(&variable) {
            once.push(variable);
        }
    }
    once
}

/// Locals of an `async` function, out of the coroutine at `spot`: those that live across the point where it was suspended
/// last. Named as in the source; `__awaitee` is what it waited for.
pub(crate) fn saved_locals(
    decoder: &mut Decoder<'_, '_>,
    kind: &Type,
    spot: &Spot,
    variables_each: usize,
) -> Option<Vec<Variable>> {
    let record = kind.record()?;
    let case = decoder.active_case(record.variants.as_ref()?, spot).ok()?;
    let state = decoder.view.read_type(case.kind?);
    let place = spot.at(case.offset?);
    let members: Vec<_> = state
        .record()?
        .members
        .iter()
        .filter(|member| !record.members.iter().any(|captured| captured.name == member.name))
        .cloned()
        .collect();
    Some(decoder.locals(&members, &place, variables_each))
}
