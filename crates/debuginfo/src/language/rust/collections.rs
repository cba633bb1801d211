//! Collections that are more than a pointer and a length: rings, hash tables, B-trees.

use std::rc::Rc;

use freezeframe_model::{Variable, VariableRole};

use super::{WRAPPERS_MAX, address_at, element_of, find_pointer, missing, pointer_in, word};
use crate::decoded::{Decoded, size_of};
use crate::dwarf::location::Spot;
use crate::dwarf::types::{Shape, Type};
use crate::expression::Absent;
use crate::values::Decoder;

/// Slots of a hash table that are looked at for the elements that are shown.
const SLOTS_MAX: u64 = 65_536;
/// What a set's map holds in place of values.
const SET_VALUE: &str = "alloc::collections::btree::set_val::SetValZST";
/// Levels of a B-tree: 11 elements per node make 16 levels more than any memory holds.
const TREE_LEVELS_MAX: u64 = 16;

/// Elements go around the end of the buffer.
pub(super) fn deque(
    decoder: &mut Decoder<'_, '_>,
    kind: &Type,
    spot: &Spot,
    depth: usize,
) -> Result<Decoded, Absent> {
    let element = element_of(kind)?;
    let stride = size_of(&decoder.view.read_type(element))? as u64;
    let (length, head) = (word(decoder, kind, "len", spot)?, word(decoder, kind, "head", spot)?);
    let (buffer, place) = decoder.member(kind, "buf", spot).ok_or_else(|| missing(&kind.name))?;
    let address = pointer_in(decoder, kind, "buf", spot)?;
    let inner = decoder.member(&buffer, "inner", &place);
    let capacity = match &inner {
        Some((inner, place)) => word(decoder, inner, "cap", place)?,
        None => word(decoder, &buffer, "cap", &place)?,
    };
    if depth >= decoder.bounds.depth {
        return Ok(Decoded::cut("deeper than the limit"));
    }
    let mut children = Vec::new();
    for index in decoder.window(length) {
        let slot = head.wrapping_add(index);
        let slot = if capacity > 0 { slot % capacity } else { slot };
        let place = Spot::Memory(address.wrapping_add(slot.wrapping_mul(stride)));
        children.push(decoder.variable(
            &format!("[{index}]"),
            VariableRole::Member,
            Some(element),
            Ok(place),
            depth + 1,
        ));
    }
    decoder.mark_rest(&mut children, length);
    Ok(Decoded::composite(children))
}

/// A SwissTable (crate hashbrown): control bytes upwards from `ctrl`, elements downwards; a control byte without its top bit
/// marks an element.
pub(super) fn hash_table(
    decoder: &mut Decoder<'_, '_>,
    kind: &Type,
    spot: &Spot,
    depth: usize,
    is_map: bool,
) -> Result<Decoded, Absent> {
    let (raw, place) =
        find_record(decoder, kind, "hashbrown::raw::RawTable", spot, 0).ok_or_else(|| missing(&kind.name))?;
    let (inner, inner_place) = match decoder.member(&raw, "table", &place) {
        Some(inner) => inner,
        None => (raw.clone(), place),
    };
    let items = word(decoder, &inner, "items", &inner_place)?;
    let slots = word(decoder, &inner, "bucket_mask", &inner_place)?.saturating_add(1);
    let control = pointer_in(decoder, &inner, "ctrl", &inner_place)?;
    let element = element_of(&raw)?;
    let pair = decoder.view.read_type(element);
    let stride = size_of(&pair)? as u64;
    if items == 0 {
        return Ok(Decoded::plain("{}"));
    }
    if depth >= decoder.bounds.depth {
        return Ok(Decoded::cut("deeper than the limit"));
    }
    let looked_at = usize::try_from(slots.min(SLOTS_MAX)).unwrap_or(0);
    let controls = decoder.memory.read_bytes(control, looked_at, looked_at)?;
    let full = controls.iter().zip(1u64..).filter(|(byte, _)| **byte & 0x80 == 0).map(|(_, slot)| slot);
    let mut children = Vec::new();
    for slot in full.take(decoder.bounds.breadth) {
        let place = Spot::Memory(control.wrapping_sub(slot.wrapping_mul(stride)));
        let key_value = (decoder.member(&pair, "__0", &place), decoder.member(&pair, "__1", &place));
        let ((Some((key_type, key)), Some((value_type, value))), _) = (key_value, ()) else {
            return Err(missing(&kind.name));
        };
        children.push(if is_map {
            decoder.entry((&key_type, &key), (&value_type, &value), depth)
        } else {
            let name = format!("[{}]", children.len());
            decoder.variable(&name, VariableRole::Member, Some(key_type.die), Ok(key), depth + 1)
        });
    }
    decoder.mark_rest(&mut children, items);
    Ok(Decoded::composite(children))
}

fn find_record(
    decoder: &Decoder<'_, '_>,
    kind: &Type,
    path: &str,
    spot: &Spot,
    depth: usize,
) -> Option<(Rc<Type>, Spot)> {
    if depth >= WRAPPERS_MAX {
        return None;
    }
    kind.record()?.members.iter().find_map(|member| {
        let inner = decoder.view.read_type(member.kind?);
        let place = spot.at(member.offset?);
        if inner.plain_path() == path {
            return Some((inner, place));
        }
        find_record(decoder, &inner, path, &place, depth + 1)
    })
}

/// `BTreeMap`: keys and values lie in the nodes; inner nodes have one edge more than keys.
pub(super) fn tree(
    decoder: &mut Decoder<'_, '_>,
    kind: &Type,
    spot: &Spot,
    depth: usize,
) -> Result<Decoded, Absent> {
    let length = word(decoder, kind, "length", spot)?;
    if length == 0 {
        return Ok(Decoded::plain("{}"));
    }
    if depth >= decoder.bounds.depth {
        return Ok(Decoded::cut("deeper than the limit"));
    }
    let root = find_record(decoder, kind, "alloc::collections::btree::node::NodeRef", spot, 0);
    let root = match root {
        Some(root) => root,
        None => some_payload(decoder, kind, "root", spot).ok_or_else(|| missing(&kind.name))?,
    };
    let height = word(decoder, &root.0, "height", &root.1)?;
    let (node, place) = decoder.member(&root.0, "node", &root.1).ok_or_else(|| missing(&kind.name))?;
    let (leaf, pointer) = find_pointer(decoder, &node, &place, 0).ok_or_else(|| missing(&kind.name))?;
    let leaf = decoder.view.read_type(leaf.ok_or_else(|| missing(&kind.name))?);
    let address = address_at(decoder, &pointer)?;
    if height > TREE_LEVELS_MAX {
        return Err(Absent::Damaged);
    }
    let mut children = Vec::new();
    node_entries(decoder, &leaf, address, height, depth, &mut children)?;
    decoder.mark_rest(&mut children, length);
    Ok(Decoded::composite(children))
}

/// The payload of an `Option` member that is `Some`.
fn some_payload(
    decoder: &Decoder<'_, '_>,
    kind: &Type,
    member: &str,
    spot: &Spot,
) -> Option<(Rc<Type>, Spot)> {
    let (option, place) = decoder.member(kind, member, spot)?;
    let case = decoder.active_case(option.record()?.variants.as_ref()?, &place).ok()?;
    let payload = decoder.view.read_type(case.kind?);
    decoder.member(&payload, "__0", &place.at(case.offset?))
}

fn node_entries(
    decoder: &mut Decoder<'_, '_>,
    leaf: &Rc<Type>,
    address: u64,
    height: u64,
    depth: usize,
    children: &mut Vec<Variable>,
) -> Result<(), Absent> {
    const CAPACITY: u64 = 11;
    let place = Spot::Memory(address);
    let count = word(decoder, leaf, "len", &place)?;
    let keys = decoder.member(leaf, "keys", &place).ok_or_else(|| missing(&leaf.name))?;
    let values = decoder.member(leaf, "vals", &place).ok_or_else(|| missing(&leaf.name))?;
    if count > CAPACITY {
        return Err(Absent::Damaged);
    }
    // An inner node is a leaf with the edges behind it.
    let end = address.checked_add(size_of(leaf)? as u64).and_then(|end| end.checked_next_multiple_of(8));
    let edges = end.ok_or(Absent::Damaged)?;
    for index in 0..=count {
        if height > 0 && children.len() < decoder.bounds.breadth {
            let edge = decoder.memory.read_u64(edges.wrapping_add(index * 8))?;
            node_entries(decoder, leaf, edge, height - 1, depth, children)?;
        }
        if index == count || children.len() >= decoder.bounds.breadth {
            continue;
        }
        let (Some(key), Some(value)) = (slot(decoder, &keys, index), slot(decoder, &values, index)) else {
            return Err(missing(&leaf.name));
        };
        children.push(if value.0.plain_path() == SET_VALUE {
            let name = format!("[{}]", children.len());
            decoder.variable(&name, VariableRole::Member, Some(key.0.die), Ok(key.1), depth + 1)
        } else {
            decoder.entry((&key.0, &key.1), (&value.0, &value.1), depth)
        });
    }
    Ok(())
}

/// An element of `[MaybeUninit<T>; N]`.
fn slot(decoder: &Decoder<'_, '_>, array: &(Rc<Type>, Spot), index: u64) -> Option<(Rc<Type>, Spot)> {
    let Shape::Array(element, _) = array.0.shape else { return None };
    let cell = decoder.view.read_type(element);
    let place = array.1.at(index.checked_mul(cell.size?)?);
    let (mut held, mut place) = decoder.member(&cell, "value", &place)?;
    for _ in 0..WRAPPERS_MAX {
        let inner = match held.plain_path() {
            "core::mem::manually_drop::ManuallyDrop" => decoder.member(&held, "value", &place),
            "core::mem::maybe_dangling::MaybeDangling" => decoder.member(&held, "__0", &place),
            _ => None,
        };
        match inner {
            Some(inner) => (held, place) = inner,
            None => break,
        }
    }
    Some((held, place))
}
