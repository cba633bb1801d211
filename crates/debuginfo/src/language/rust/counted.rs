//! `Rc`, `Arc` and their `Weak`: the value behind the two counts, whatever its size.

use std::rc::Rc;

use super::{WRAPPERS_MAX, address_at, dynamic_child, find_pointer, missing, word};
use crate::decoded::{Decoded, show_address};
use crate::dwarf::location::Spot;
use crate::dwarf::types::{Shape, Type};
use crate::expression::Absent;
use crate::values::Decoder;

/// Both counts lie in front of the value.
const COUNTS_BYTES: u64 = 16;
/// Larger alignments are not of this world; they would only come from a damaged vtable.
const ALIGNMENT_MAX: u64 = 1 << 29;

pub(super) fn decode(
    decoder: &mut Decoder<'_, '_>,
    kind: &Type,
    spot: &Spot,
    depth: usize,
) -> Result<Decoded, Absent> {
    let (holder, place) = decoder.member(kind, "ptr", spot).ok_or_else(|| missing(&kind.name))?;
    let is_weak = kind.plain_path().ends_with("::Weak");
    // The innermost wrapper is either a plain pointer or, for unsized contents, a pair.
    let fat = innermost_fat(decoder, holder.clone(), place.clone());
    let block = match &fat {
        Some((fat, place)) => {
            let name = if decoder.member(fat, "length", place).is_some() { "data_ptr" } else { "pointer" };
            word(decoder, fat, name, place)?
        }
        None => {
            let (_, pointer) =
                find_pointer(decoder, &holder, &place, 0).ok_or_else(|| missing(&kind.name))?;
            address_at(decoder, &pointer)?
        }
    };
    if is_weak && block == u64::MAX {
        return Ok(Decoded::plain("(of nothing)"));
    }
    let strong = decoder.memory.read_u64(block)?;
    let weak = decoder.memory.read_u64(block.wrapping_add(8))?;
    if is_weak && strong == 0 {
        return Ok(Decoded::plain("(its value is gone)"));
    }
    // All strong ones together hold one weak one.
    let weak = weak.saturating_sub(1);
    let others = if weak > 0 { format!(", weakly by {weak}") } else { String::new() };
    let shared = format!("{} (shared by {strong}{others})", show_address(block));
    match fat {
        Some((fat, place)) if decoder.member(&fat, "length", &place).is_some() => {
            sequence(decoder, kind, &fat, &place, block, depth)
        }
        Some((fat, place)) => {
            let vtable = word(decoder, &fat, "vtable", &place)?;
            let alignment = decoder.memory.read_u64(vtable.wrapping_add(16))?;
            if !alignment.is_power_of_two() || alignment > ALIGNMENT_MAX {
                return Err(Absent::Damaged);
            }
            let value = block.wrapping_add(COUNTS_BYTES.next_multiple_of(alignment));
            let mut decoded = Decoded::plain(shared);
            decoded.children = vec![dynamic_child(decoder, vtable, value, depth)];
            Ok(decoded)
        }
        None => {
            let (target, _) = find_pointer(decoder, &holder, &place, 0).ok_or_else(|| missing(&kind.name))?;
            let inner = decoder.view.read_type(target.ok_or_else(|| missing(&kind.name))?);
            let record = inner.record().ok_or_else(|| missing(&kind.name))?;
            let value = record.member("value").or_else(|| record.member("data"));
            let value = value.ok_or_else(|| missing(&kind.name))?;
            let mut decoded = Decoded::plain(shared);
            decoded.children = match (value.kind, value.offset) {
                (Some(inner), Some(offset)) => decoder.pointee(inner, block.wrapping_add(offset), depth),
                _ => Vec::new(),
            };
            Ok(decoded)
        }
    }
}

fn innermost_fat(decoder: &Decoder<'_, '_>, mut kind: Rc<Type>, mut place: Spot) -> Option<(Rc<Type>, Spot)> {
    for _ in 0..WRAPPERS_MAX {
        let record = kind.record()?;
        if record.member("data_ptr").is_some()
            || (record.member("pointer").is_some() && record.member("vtable").is_some())
        {
            return Some((kind, place));
        }
        (kind, place) = decoder.member(&kind, "pointer", &place)?;
    }
    None
}

/// `Arc<str>` and `Arc<[T]>`.
fn sequence(
    decoder: &mut Decoder<'_, '_>,
    kind: &Type,
    fat: &Type,
    place: &Spot,
    block: u64,
    depth: usize,
) -> Result<Decoded, Absent> {
    let length = word(decoder, fat, "length", place)?;
    if kind.name.contains("<str,") || kind.name.contains("<str>") {
        return Ok(decoder.text(block.wrapping_add(COUNTS_BYTES), length));
    }
    let (pointer, _) = decoder.member(fat, "data_ptr", place).ok_or_else(|| missing(&kind.name))?;
    let Shape::Pointer(Some(inner)) = pointer.shape else { return Err(missing(&kind.name)) };
    let inner = decoder.view.read_type(inner);
    let record = inner.record().ok_or_else(|| missing(&kind.name))?;
    let value = record.member("value").or_else(|| record.member("data"));
    let (element, offset) =
        value.and_then(|value| value.kind.zip(value.offset)).ok_or_else(|| missing(&kind.name))?;
    Ok(decoder.elements(element, block.wrapping_add(offset), length, depth))
}
