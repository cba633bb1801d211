//! Cells and locks: what they hold, and the state that matters after an error: borrowed, locked, poisoned, set.

use std::rc::Rc;

use freezeframe_model::VariableRole;

use super::{missing, unwrapped, word};
use crate::decoded::{Decoded, signed_value};
use crate::dwarf::location::Spot;
use crate::dwarf::types::Type;
use crate::expression::Absent;
use crate::values::Decoder;

/// A state in words, and the value that it guards as a child.
fn with_state(
    decoder: &mut Decoder<'_, '_>,
    state: String,
    name: &str,
    (value, place): (Rc<Type>, Spot),
    depth: usize,
) -> Decoded {
    if depth >= decoder.bounds.depth {
        return Decoded::cut("deeper than the limit");
    }
    let mut decoded = Decoded::plain(state);
    decoded.children =
        vec![decoder.variable(name, VariableRole::Member, Some(value.die), Ok(place), depth + 1)];
    decoded
}

/// The content of an `UnsafeCell` member.
fn guarded(
    decoder: &Decoder<'_, '_>,
    kind: &Type,
    name: &str,
    spot: &Spot,
) -> Result<(Rc<Type>, Spot), Absent> {
    let (cell, place) = decoder.member(kind, name, spot).ok_or_else(|| missing(&kind.name))?;
    decoder.member(&cell, "value", &place).ok_or_else(|| missing(&kind.name))
}

/// `RefCell`: a positive count of borrows, or a negative one of mutable ones.
pub(super) fn ref_cell(
    decoder: &mut Decoder<'_, '_>,
    kind: &Type,
    spot: &Spot,
    depth: usize,
) -> Result<Decoded, Absent> {
    let state = match signed_value(u128::from(word(decoder, kind, "borrow", spot)?), 8) {
        0 => "not borrowed".to_owned(),
        1 => "borrowed".to_owned(),
        count @ 2.. => format!("borrowed {count} times"),
        _ => "mutably borrowed".to_owned(),
    };
    let value = guarded(decoder, kind, "value", spot)?;
    Ok(with_state(decoder, state, "value", value, depth))
}

fn poisoned(decoder: &Decoder<'_, '_>, kind: &Type, spot: &Spot) -> Result<&'static str, Absent> {
    Ok(if word(decoder, kind, "poison", spot)? != 0 { ", poisoned" } else { "" })
}

/// `std::sync::Mutex`.
pub(super) fn mutex(
    decoder: &mut Decoder<'_, '_>,
    kind: &Type,
    spot: &Spot,
    depth: usize,
) -> Result<Decoded, Absent> {
    let value = guarded(decoder, kind, "data", spot)?;
    let locked = if word(decoder, kind, "inner", spot)? != 0 { "locked" } else { "unlocked" };
    let state = format!("{locked}{}", poisoned(decoder, kind, spot)?);
    Ok(with_state(decoder, state, "data", value, depth))
}

/// `std::sync::RwLock` on futexes: the lower 30 bits count readers, all of them set mean a writer.
pub(super) fn rw_lock(
    decoder: &mut Decoder<'_, '_>,
    kind: &Type,
    spot: &Spot,
    depth: usize,
) -> Result<Decoded, Absent> {
    const HOLDERS: u64 = (1 << 30) - 1;
    let (inner, place) = decoder.member(kind, "inner", spot).ok_or_else(|| missing(&kind.name))?;
    let state = match word(decoder, &inner, "state", &place)? & HOLDERS {
        0 => "unlocked".to_owned(),
        HOLDERS => "locked for writing".to_owned(),
        readers => format!("locked by {readers} for reading"),
    };
    let state = format!("{state}{}", poisoned(decoder, kind, spot)?);
    let value = guarded(decoder, kind, "data", spot)?;
    Ok(with_state(decoder, state, "data", value, depth))
}

/// `OnceLock` and `LazyLock`: the value where there is one.
pub(super) fn once(
    decoder: &mut Decoder<'_, '_>,
    kind: &Type,
    member: &str,
    spot: &Spot,
    depth: usize,
) -> Result<Decoded, Absent> {
    let (once, place) = decoder.member(kind, "once", spot).ok_or_else(|| missing(&kind.name))?;
    let (state, place) = unwrapped(decoder, once, place);
    let state = decoder.word(&state, &place)?;
    // The numbers were others before; nothing but the compiler's version tells which ones these are.
    if !decoder.view.compiler_is_at_least(kind.die, "rustc version ", (1, 86)) {
        return Err(missing(&kind.name));
    }
    match state & 3 {
        0 => {}
        1 => return Ok(Decoded::plain("(being set by a thread)")),
        2 => return Ok(Decoded::plain("(poisoned)")),
        _ => return Ok(Decoded::plain("(not set yet)")),
    }
    let (value, place) = guarded(decoder, kind, member, spot)?;
    let (value, place) = decoder.member(&value, "value", &place).ok_or_else(|| missing(&kind.name))?;
    Ok(decoder.decode(&value, &place, depth + 1))
}
