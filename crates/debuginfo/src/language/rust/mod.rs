//! Rust's standard library: strings, slices, vectors, smart pointers, maps; and the state of coroutines.
//!
//! Follows member names and type parameters as rustc writes them into the debug information, at whatever depth they lie:
//! the private layers between a `Vec` and its pointer change between releases, their meaning does not.

mod cells;
mod collections;
mod coroutine;
mod counted;
mod times;

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
        "alloc::rc::Rc" | "alloc::sync::Arc" | "alloc::rc::Weak" | "alloc::sync::Weak" => {
            counted::decode(decoder, kind, spot, depth)
        }
        "std::collections::hash::map::HashMap" | "hashbrown::map::HashMap" => {
            collections::hash_table(decoder, kind, spot, depth, true)
        }
        "std::collections::hash::set::HashSet" | "hashbrown::set::HashSet" => {
            collections::hash_table(decoder, kind, spot, depth, false)
        }
        "alloc::collections::btree::map::BTreeMap" => collections::tree(decoder, kind, spot, depth),
        "alloc::collections::btree::set::BTreeSet" => return transparent(decoder, kind, "map", spot, depth),
        path if path.starts_with("core::num::niche_types::") => {
            return transparent(decoder, kind, "__0", spot, depth);
        }
        "std::path::PathBuf" => return transparent(decoder, kind, "inner", spot, depth),
        "std::ffi::os_str::OsString" => return transparent(decoder, kind, "inner", spot, depth),
        "std::sys::os_str::bytes::Buf" => vector_text(decoder, kind, spot),
        "core::cell::Cell" | "core::cell::UnsafeCell" | "core::mem::manually_drop::ManuallyDrop" => {
            return transparent(decoder, kind, "value", spot, depth);
        }
        "core::time::Duration" => times::duration(decoder, kind, spot),
        "std::time::Instant" => times::instant(decoder, kind, spot),
        "std::time::SystemTime" => times::system_time(decoder, kind, spot),
        "core::cell::RefCell" => cells::ref_cell(decoder, kind, spot, depth),
        "core::cell::once::OnceCell" => return transparent(decoder, kind, "inner", spot, depth),
        "std::sync::once_lock::OnceLock" => cells::once(decoder, kind, "value", spot, depth),
        "std::sync::lazy_lock::LazyLock" => cells::once(decoder, kind, "data", spot, depth),
        "std::sync::poison::rwlock::RwLock" => cells::rw_lock(decoder, kind, spot, depth),
        // A heap's order is its own; the first element is the greatest.
        "alloc::collections::binary_heap::BinaryHeap" => {
            return transparent(decoder, kind, "data", spot, depth);
        }
        "core::mem::maybe_uninit::MaybeUninit" => Ok(Decoded::absent("it may not have been initialised")),
        "core::pin::Pin" => {
            let member = kind.record()?.members.first()?.name.clone();
            return transparent(decoder, kind, &member, spot, depth);
        }
        "alloc::ffi::c_str::CString" => c_string(decoder, kind, spot),
        "bytes::bytes::Bytes" | "bytes::bytes_mut::BytesMut" => bytes(decoder, kind, spot, depth),
        "core::ptr::non_null::NonNull" | "core::ptr::unique::Unique" => {
            return transparent(decoder, kind, "pointer", spot, depth);
        }
        "core::mem::maybe_dangling::MaybeDangling" => return transparent(decoder, kind, "__0", spot, depth),
        "core::sync::atomic::AtomicBool" => flag(decoder, kind, spot),
        "std::sync::poison::mutex::Mutex" => cells::mutex(decoder, kind, spot, depth),
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
        match pointee_name(&kind.name) {
            "str" | "std::path::Path" | "std::ffi::os_str::OsStr" => {
                return Some(decoder.text(address, length));
            }
            "core::ffi::c_str::CStr" => return Some(decoder.text(address, length.saturating_sub(1))),
            _ => {}
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
    match word(decoder, kind, "vtable", spot) {
        Ok(vtable) => dynamic_child(decoder, vtable, address, depth),
        Err(absent) => mark("*", &absent.to_string()),
    }
}

/// The value at an address, of the type that a vtable is for.
fn dynamic_child(decoder: &mut Decoder<'_, '_>, vtable: u64, address: u64, depth: usize) -> Variable {
    match (decoder.type_of_vtable)(vtable) {
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

/// Text whose NUL is a part of it.
fn c_string(decoder: &Decoder<'_, '_>, kind: &Type, spot: &Spot) -> Result<Decoded, Absent> {
    let (inner, place) = decoder.member(kind, "inner", spot).ok_or_else(|| missing(&kind.name))?;
    let length = word(decoder, &inner, "length", &place)?;
    Ok(decoder.text(word(decoder, &inner, "data_ptr", &place)?, length.saturating_sub(1)))
}

/// `Bytes` and `BytesMut` of the crate bytes.
fn bytes(decoder: &mut Decoder<'_, '_>, kind: &Type, spot: &Spot, depth: usize) -> Result<Decoded, Absent> {
    let (pointer, place) = decoder.member(kind, "ptr", spot).ok_or_else(|| missing(&kind.name))?;
    let (target, place) = find_pointer(decoder, &pointer, &place, 0).ok_or_else(|| missing(&kind.name))?;
    let address = address_at(decoder, &place)?;
    let element = target.ok_or_else(|| missing(&kind.name))?;
    Ok(decoder.elements(element, address, word(decoder, kind, "len", spot)?, depth))
}

fn flag(decoder: &Decoder<'_, '_>, kind: &Type, spot: &Spot) -> Result<Decoded, Absent> {
    Ok(Decoded::plain(if word(decoder, kind, "v", spot)? == 0 { "false" } else { "true" }))
}

/// A type's name without the parameters that nobody writes.
pub(crate) fn without_defaults(name: &str) -> String {
    name.replace(", alloc::alloc::Global", "").replace(", std::hash::random::RandomState", "")
}
