//! C strings, and the containers of GNU's C++ library.

use std::rc::Rc;

use crate::decoded::{Decoded, show_address, unsigned};
use crate::dwarf::location::Spot;
use crate::dwarf::types::{Shape, Type};
use crate::expression::Absent;
use crate::values::Decoder;

/// Base classes that are searched for a member.
const BASES_MAX: usize = 6;

pub(super) fn decode(
    decoder: &mut Decoder<'_, '_>,
    kind: &Rc<Type>,
    spot: &Spot,
    depth: usize,
) -> Option<Decoded> {
    if let Shape::Pointer(Some(target)) = kind.shape {
        let target = decoder.view.read_type(target);
        return super::is_text(&target).then(|| text(decoder, spot).unwrap_or_else(Decoded::from));
    }
    match kind.plain_path() {
        "std::__cxx11::basic_string" => string(decoder, kind, spot),
        "std::basic_string_view" => {
            let (length_type, length) = decoder.member(kind, "_M_len", spot)?;
            let length = decoder.word(&length_type, &length).ok()?;
            let (pointer_type, pointer) = decoder.member(kind, "_M_str", spot)?;
            Some(decoder.text(decoder.word(&pointer_type, &pointer).ok()?, length))
        }
        "std::vector" if !kind.name.starts_with("vector<bool") => vector(decoder, kind, spot, depth),
        "std::unique_ptr" => owned(decoder, kind, "_M_head_impl", spot, depth),
        _ => super::cpp::decode(decoder, kind, spot, depth),
    }
}

fn text(decoder: &Decoder<'_, '_>, spot: &Spot) -> Result<Decoded, Absent> {
    let address = unsigned(&spot.read(decoder.memory, 8, 8)?) as u64;
    if address == 0 {
        return Ok(Decoded::plain(show_address(0)));
    }
    let (bytes, whole) = decoder.memory.c_string(address, decoder.bounds.string_bytes)?;
    Ok(Decoded::quoted(&bytes, !whole))
}

fn string(decoder: &Decoder<'_, '_>, kind: &Type, spot: &Spot) -> Option<Decoded> {
    let (holder_type, holder) = decoder.member(kind, "_M_dataplus", spot)?;
    let (pointer_type, pointer) = decoder.member(&holder_type, "_M_p", &holder)?;
    let (length_type, length) = decoder.member(kind, "_M_string_length", spot)?;
    let read =
        || Ok::<_, Absent>((decoder.word(&pointer_type, &pointer)?, decoder.word(&length_type, &length)?));
    Some(match read() {
        Ok((address, length)) => decoder.text(address, length),
        Err(absent) => absent.into(),
    })
}

fn vector(decoder: &mut Decoder<'_, '_>, kind: &Type, spot: &Spot, depth: usize) -> Option<Decoded> {
    let element = kind.record()?.parameter("_Tp")?;
    let (holder_type, holder) = inherited(decoder, kind, "_M_impl", spot, 0)?;
    let (start_type, start) = inherited(decoder, &holder_type, "_M_start", &holder, 0)?;
    let (finish_type, finish) = inherited(decoder, &holder_type, "_M_finish", &holder, 0)?;
    let size = decoder.view.read_type(element).size.filter(|size| *size > 0)?;
    let read = || Ok::<_, Absent>((decoder.word(&start_type, &start)?, decoder.word(&finish_type, &finish)?));
    let (start, finish) = match read() {
        Ok(ends) => ends,
        Err(absent) => return Some(absent.into()),
    };
    let count = finish.checked_sub(start)?.checked_div(size)?;
    Some(decoder.elements(element, start, count, depth))
}

/// A smart pointer, shown like a plain one.
pub(super) fn owned(
    decoder: &mut Decoder<'_, '_>,
    kind: &Type,
    name: &str,
    spot: &Spot,
    depth: usize,
) -> Option<Decoded> {
    let (pointer, place) = nested(decoder, kind, name, spot, 0)?;
    matches!(pointer.shape, Shape::Pointer(_)).then(|| decoder.decode(&pointer, &place, depth))
}

/// A member at any depth of members and bases that is a pointer.
pub(super) fn nested(
    decoder: &Decoder<'_, '_>,
    kind: &Type,
    name: &str,
    spot: &Spot,
    depth: usize,
) -> Option<(Rc<Type>, Spot)> {
    if depth >= BASES_MAX {
        return None;
    }
    let found =
        decoder.member(kind, name, spot).filter(|(found, _)| matches!(found.shape, Shape::Pointer(_)));
    found.or_else(|| {
        kind.record()?.members.iter().find_map(|member| {
            let kind = decoder.view.read_type(member.kind?);
            nested(decoder, &kind, name, &spot.at(member.offset?), depth + 1)
        })
    })
}

/// A member of the class or of one of its bases.
pub(super) fn inherited(
    decoder: &Decoder<'_, '_>,
    kind: &Type,
    name: &str,
    spot: &Spot,
    depth: usize,
) -> Option<(Rc<Type>, Spot)> {
    if let Some(found) = decoder.member(kind, name, spot) {
        return Some(found);
    }
    if depth >= BASES_MAX {
        return None;
    }
    kind.record()?.members.iter().filter(|member| member.is_base).find_map(|base| {
        let kind = decoder.view.read_type(base.kind?);
        inherited(decoder, &kind, name, &spot.at(base.offset?), depth + 1)
    })
}

/// The x87 extended format as the nearest `double`.
pub(super) fn long_double(bits: u128) -> String {
    let fraction = (bits & u128::from(u64::MAX)) as u64;
    let exponent = (bits >> 64 & 0x7fff) as i32;
    let negative = bits >> 79 & 1 == 1;
    let magnitude = match (exponent, fraction << 1) {
        (0x7fff, 0) => f64::INFINITY,
        (0x7fff, _) => f64::NAN,
        _ => fraction as f64 * 2f64.powi((exponent - 16383 - 63).clamp(-2000, 2000)),
    };
    format!("{:?}", if negative { -magnitude } else { magnitude })
}
