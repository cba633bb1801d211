//! Rust's standard library: strings, slices, vectors, smart pointers, maps; and the state of coroutines.
//!
//! Follows member names and type parameters as rustc writes them into the debug information, at whatever depth they lie:
//! the private layers between a `Vec` and its pointer change between releases, their meaning does not.

mod collections;
mod coroutine;

use std::rc::Rc;

use freezeframe_model::{Variable, VariableRole};

use crate::decoded::{Decoded, mark, mark_cut, show_address};
use crate::dwarf::Die;
use crate::dwarf::location::Spot;
use crate::dwarf::types::{Shape, Type};
use crate::expression::Absent;
use crate::values::Decoder;

/// Wrappers between a collection and its pointer.
const WRAPPERS_MAX: usize = 8;

pub(crate) use coroutine::{is_coroutine, saved_locals, without_repetition};

pub(super) fn decode(
    decoder: &mut Decoder<'_, '_>,
    kind: &Rc<Type>,
    spot: &Spot,
    depth: usize,
) -> Option<Decoded> {
    if let Shape::Pointer(target) = kind.shape {
        return reference(decoder, target?, spot, depth);
    }
    let record = kind.record()?;
    if let Some(variants) = record.variants.as_ref().filter(|_| is_coroutine(kind)) {
        return Some(coroutine::decode(decoder, record, variants, spot, depth).unwrap_or_else(Decoded::from));
    }
    if let Some(decoded) = fat_pointer(decoder, kind, spot, depth) {
        return Some(decoded);
    }
    let read: Result<Decoded, Absent> = match kind.plain_path() {
        "alloc::string::String" => string(decoder, kind, spot),
        "alloc::vec::Vec" => vector(decoder, kind, spot, depth),
        "alloc::collections::vec_deque::VecDeque" => collections::deque(decoder, kind, spot, depth),
        "alloc::rc::Rc" | "alloc::sync::Arc" => counted(decoder, kind, spot, depth),
        "std::collections::hash::map::HashMap" | "hashbrown::map::HashMap" => {
            collections::hash_table(decoder, kind, spot, depth, true)
        }
        "std::collections::hash::set::HashSet" | "hashbrown::set::HashSet" => {
            collections::hash_table(decoder, kind, spot, depth, false)
        }
        "alloc::collections::btree::map::BTreeMap" => collections::tree(decoder, kind, spot, depth),
        "alloc::collections::btree::set::BTreeSet" => return transparent(decoder, kind, "map", spot, depth),
        "std::path::PathBuf" => return transparent(decoder, kind, "inner", spot, depth),
        "std::ffi::os_str::OsString" => return transparent(decoder, kind, "inner", spot, depth),
        "std::sys::os_str::bytes::Buf" => vector_text(decoder, kind, spot),
        "core::cell::Cell" | "core::cell::UnsafeCell" | "core::mem::manually_drop::ManuallyDrop" => {
            return transparent(decoder, kind, "value", spot, depth);
        }
        "core::time::Duration" => duration(decoder, kind, spot),
        "core::ptr::non_null::NonNull" | "core::ptr::unique::Unique" => {
            return transparent(decoder, kind, "pointer", spot, depth);
        }
        "core::mem::maybe_dangling::MaybeDangling" => return transparent(decoder, kind, "__0", spot, depth),
        "core::sync::atomic::AtomicBool" => flag(decoder, kind, spot),
        "std::sync::poison::mutex::Mutex" => mutex(decoder, kind, spot, depth),
        path if path.starts_with("core::sync::atomic::Atomic") => {
            return transparent(decoder, kind, "v", spot, depth);
        }
        "core::num::nonzero::NonZero" => return transparent(decoder, kind, "__0", spot, depth),
        "core::marker::PhantomData" => Ok(Decoded::plain("PhantomData")),
        _ => return None,
    };
    Some(read.unwrap_or_else(Decoded::from))
}

/// References to texts and the like are shown as what they refer to, without the address.
fn reference(decoder: &mut Decoder<'_, '_>, target: Die, spot: &Spot, depth: usize) -> Option<Decoded> {
    let target = decoder.view.read_type(target);
    if target.plain_path() != "alloc::string::String" {
        return None;
    }
    let address = match spot.read(decoder.memory, 8, 8) {
        Ok(bytes) => crate::decoded::unsigned(&bytes) as u64,
        Err(absent) => return Some(absent.into()),
    };
    (address != 0).then(|| decoder.decode(&target, &Spot::Memory(address), depth))
}

fn missing(what: &str) -> Absent {
    Absent::NotDecoded(format!("this layout of {what}"))
}

/// A member that is a number.
fn word(decoder: &Decoder<'_, '_>, kind: &Type, name: &str, spot: &Spot) -> Result<u64, Absent> {
    let (member, place) = decoder.member(kind, name, spot).ok_or_else(|| missing(&kind.name))?;
    let (member, place) = unwrapped(decoder, member, place);
    decoder.word(&member, &place)
}

/// Looks through wrappers with one meaningful member, down to a number or pointer.
fn unwrapped(decoder: &Decoder<'_, '_>, mut kind: Rc<Type>, mut place: Spot) -> (Rc<Type>, Spot) {
    for _ in 0..WRAPPERS_MAX {
        let Some(record) = kind.record() else { break };
        let sized = |member: &&crate::dwarf::types::Member| {
            member.kind.is_some_and(|inner| decoder.view.read_type(inner).size != Some(0))
        };
        let Some(member) = record.members.iter().find(sized) else { break };
        let (Some(inner), Some(offset)) = (member.kind, member.offset) else { break };
        place = place.at(offset);
        kind = decoder.view.read_type(inner);
    }
    (kind, place)
}

/// The first pointer inside, however wrapped: its target type and where it lies.
fn find_pointer(
    decoder: &Decoder<'_, '_>,
    kind: &Type,
    spot: &Spot,
    depth: usize,
) -> Option<(Option<Die>, Spot)> {
    if let Shape::Pointer(target) = kind.shape {
        return Some((target, spot.clone()));
    }
    if depth >= WRAPPERS_MAX {
        return None;
    }
    let record = kind.record()?;
    record.members.iter().find_map(|member| {
        let inner = decoder.view.read_type(member.kind?);
        find_pointer(decoder, &inner, &spot.at(member.offset?), depth + 1)
    })
}

fn pointer_in(decoder: &Decoder<'_, '_>, kind: &Type, name: &str, spot: &Spot) -> Result<u64, Absent> {
    let (member, place) = decoder.member(kind, name, spot).ok_or_else(|| missing(&kind.name))?;
    let (_, place) = find_pointer(decoder, &member, &place, 0).ok_or_else(|| missing(&kind.name))?;
    address_at(decoder, &place)
}

fn address_at(decoder: &Decoder<'_, '_>, place: &Spot) -> Result<u64, Absent> {
    Ok(crate::decoded::unsigned(&place.read(decoder.memory, 8, 8)?) as u64)
}

/// Shown as its one member.
fn transparent(
    decoder: &mut Decoder<'_, '_>,
    kind: &Type,
    member: &str,
    spot: &Spot,
    depth: usize,
) -> Option<Decoded> {
    let (inner, place) = decoder.member(kind, member, spot)?;
    // Bounded like any other step inwards.
    Some(decoder.decode(&inner, &place, depth + 1))
}

/// `&str`, `&[T]`, `Box<[T]>`, `&dyn Trait`: two words.
fn fat_pointer(decoder: &mut Decoder<'_, '_>, kind: &Type, spot: &Spot, depth: usize) -> Option<Decoded> {
    let record = kind.record()?;
    if let (Some(data), Some(_)) = (record.member("data_ptr"), record.member("length")) {
        let data_type = decoder.view.read_type(data.kind?);
        let read = || {
            Ok::<_, Absent>((word(decoder, kind, "data_ptr", spot)?, word(decoder, kind, "length", spot)?))
        };
        let (address, length) = match read() {
            Ok(parts) => parts,
            Err(absent) => return Some(absent.into()),
        };
        let Shape::Pointer(Some(element)) = data_type.shape else { return None };
        if pointee_name(&kind.name) == "str" {
            return Some(decoder.text(address, length));
        }
        return Some(decoder.elements(element, address, length, depth));
    }
    if let (Some(_), Some(_)) = (record.member("pointer"), record.member("vtable")) {
        let address = match word(decoder, kind, "pointer", spot) {
            Ok(address) => address,
            Err(absent) => return Some(absent.into()),
        };
        let mut decoded = Decoded::plain(show_address(address));
        decoded.children = vec![dynamic(decoder, kind, spot, address, depth)];
        return Some(decoded);
    }
    None
}

/// What a trait object points to: its type is told by its vtable alone.
fn dynamic(decoder: &mut Decoder<'_, '_>, kind: &Type, spot: &Spot, address: u64, depth: usize) -> Variable {
    let vtable = word(decoder, kind, "vtable", spot).ok();
    let concrete = vtable.and_then(|vtable| (decoder.type_of_vtable)(vtable));
    match concrete {
        Some(concrete) if depth < decoder.bounds.depth => {
            decoder.variable("*", VariableRole::Member, Some(concrete), Ok(Spot::Memory(address)), depth + 1)
        }
        Some(_) => mark_cut("*", "deeper than the limit"),
        None => mark("*", "the type behind this trait object is not recorded"),
    }
}

/// `str` of `&mut str`, `Box<str, Global>` and their like.
fn pointee_name(name: &str) -> &str {
    let name = name.strip_prefix('&').unwrap_or(name);
    let name =
        ["mut ", "*const ", "*mut "].iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(name);
    let inner = name.split_once('<').filter(|(outer, _)| outer.ends_with("Box"));
    inner.map_or(name, |(_, inner)| inner.split([',', '>']).next().unwrap_or(inner))
}

fn string(decoder: &Decoder<'_, '_>, kind: &Type, spot: &Spot) -> Result<Decoded, Absent> {
    let (vector, place) = decoder.member(kind, "vec", spot).ok_or_else(|| missing(&kind.name))?;
    let length = word(decoder, &vector, "len", &place)?;
    Ok(decoder.text(pointer_in(decoder, &vector, "buf", &place)?, length))
}

fn vector_text(decoder: &Decoder<'_, '_>, kind: &Type, spot: &Spot) -> Result<Decoded, Absent> {
    let (vector, place) = decoder.member(kind, "inner", spot).ok_or_else(|| missing(&kind.name))?;
    let length = word(decoder, &vector, "len", &place)?;
    Ok(decoder.text(pointer_in(decoder, &vector, "buf", &place)?, length))
}

fn element_of(kind: &Type) -> Result<Die, Absent> {
    kind.record().and_then(|record| record.parameter("T")).ok_or_else(|| missing(&kind.name))
}

fn vector(decoder: &mut Decoder<'_, '_>, kind: &Type, spot: &Spot, depth: usize) -> Result<Decoded, Absent> {
    let length = word(decoder, kind, "len", spot)?;
    let address = pointer_in(decoder, kind, "buf", spot)?;
    Ok(decoder.elements(element_of(kind)?, address, length, depth))
}

/// `Rc` and `Arc`: the value behind the counts.
fn counted(decoder: &mut Decoder<'_, '_>, kind: &Type, spot: &Spot, depth: usize) -> Result<Decoded, Absent> {
    let (holder, place) = decoder.member(kind, "ptr", spot).ok_or_else(|| missing(&kind.name))?;
    // The innermost wrapper is either a plain pointer or, for unsized contents, a pair.
    let (fat, fat_place) = innermost_fat(decoder, holder.clone(), place.clone());
    if let Some(fat) = fat {
        let inner = if decoder.member(&fat, "length", &fat_place).is_some() {
            unsized_contents(decoder, kind, &fat, &fat_place)?
        } else {
            Decoded::absent(Absent::NotDecoded(format!("type {}", kind.name)).to_string())
        };
        return Ok(inner);
    }
    let (target, pointer) = find_pointer(decoder, &holder, &place, 0).ok_or_else(|| missing(&kind.name))?;
    let address = address_at(decoder, &pointer)?;
    let block = decoder.view.read_type(target.ok_or_else(|| missing(&kind.name))?);
    let block_place = Spot::Memory(address);
    let record = block.record().ok_or_else(|| missing(&kind.name))?;
    let value =
        record.member("value").or_else(|| record.member("data")).ok_or_else(|| missing(&kind.name))?;
    let strong = word(decoder, &block, "strong", &block_place)?;
    let mut decoded = Decoded::plain(format!("{} (shared by {strong})", show_address(address)));
    decoded.children = match (value.kind, value.offset) {
        (Some(inner), Some(offset)) => decoder.pointee(inner, address.wrapping_add(offset), depth),
        _ => Vec::new(),
    };
    Ok(decoded)
}

fn innermost_fat(decoder: &Decoder<'_, '_>, mut kind: Rc<Type>, mut place: Spot) -> (Option<Rc<Type>>, Spot) {
    for _ in 0..WRAPPERS_MAX {
        let fat = |kind: &Type| {
            kind.record().is_some_and(|record| {
                record.member("data_ptr").is_some()
                    || (record.member("pointer").is_some() && record.member("vtable").is_some())
            })
        };
        if fat(&kind) {
            return (Some(kind), place);
        }
        let Some((inner, at)) = decoder.member(&kind, "pointer", &place) else { break };
        (kind, place) = (inner, at);
    }
    (None, place)
}

/// `Arc<str>`: the text lies behind the two counts.
fn unsized_contents(
    decoder: &Decoder<'_, '_>,
    kind: &Type,
    fat: &Type,
    place: &Spot,
) -> Result<Decoded, Absent> {
    const COUNTS_BYTES: u64 = 16;
    let is_text = kind.name.contains("<str,") || kind.name.contains("<str>");
    if !is_text {
        return Err(Absent::NotDecoded(format!("type {}", kind.name)));
    }
    let (address, length) = (word(decoder, fat, "data_ptr", place)?, word(decoder, fat, "length", place)?);
    Ok(decoder.text(address.wrapping_add(COUNTS_BYTES), length))
}

fn duration(decoder: &Decoder<'_, '_>, kind: &Type, spot: &Spot) -> Result<Decoded, Absent> {
    let seconds = word(decoder, kind, "secs", spot)?;
    let nanoseconds = u32::try_from(word(decoder, kind, "nanos", spot)?).map_err(|_| Absent::Damaged)?;
    if nanoseconds >= 1_000_000_000 {
        return Err(Absent::NotDecoded("a duration with more than a second of nanoseconds".to_owned()));
    }
    Ok(Decoded::plain(format!("{:?}", std::time::Duration::new(seconds, nanoseconds))))
}

fn flag(decoder: &Decoder<'_, '_>, kind: &Type, spot: &Spot) -> Result<Decoded, Absent> {
    Ok(Decoded::plain(if word(decoder, kind, "v", spot)? == 0 { "false" } else { "true" }))
}

/// What a mutex protects, and its state.
fn mutex(decoder: &mut Decoder<'_, '_>, kind: &Type, spot: &Spot, depth: usize) -> Result<Decoded, Absent> {
    let (data, data_place) = decoder.member(kind, "data", spot).ok_or_else(|| missing(&kind.name))?;
    let (value, value_place) =
        decoder.member(&data, "value", &data_place).ok_or_else(|| missing(&kind.name))?;
    let locked = word(decoder, kind, "inner", spot)? != 0;
    let poisoned = word(decoder, kind, "poison", spot)? != 0;
    if depth >= decoder.bounds.depth {
        return Ok(Decoded::cut("deeper than the limit"));
    }
    let state = match (locked, poisoned) {
        (false, false) => "unlocked",
        (true, false) => "locked",
        (false, true) => "unlocked, poisoned",
        (true, true) => "locked, poisoned",
    };
    let mut decoded = Decoded::plain(state);
    decoded.children =
        vec![decoder.variable("data", VariableRole::Member, Some(value.die), Ok(value_place), depth + 1)];
    Ok(decoded)
}

/// A type's name without the parameters that nobody writes.
pub(crate) fn without_defaults(name: &str) -> String {
    name.replace(", alloc::alloc::Global", "").replace(", std::hash::random::RandomState", "")
}
