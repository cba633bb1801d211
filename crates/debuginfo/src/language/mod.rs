//! What languages and their standard libraries write differently.
//!
//! To add one: a file with `decode` (a value of a library's type, or `None` for "shown by its shape") and an arm in each
//! function here.

mod c;
mod cpp;
mod rust;

use std::rc::Rc;

use crate::decoded::{Decoded, signed_value, unsigned};
use crate::dwarf::location::Spot;
use crate::dwarf::types::Type;
use crate::values::Decoder;

pub(crate) use cpp::{dynamic_object, member_pointer, same_name, with_short_strings};
pub(crate) use rust::{is_coroutine, saved_locals, without_defaults, without_repetition};

/// Language of a compilation unit, as far as values depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    Rust,
    /// C, C++ and what follows their conventions.
    C,
    Other,
}

impl Language {
    pub(crate) fn of(language: gimli::DwLang) -> Self {
        match language {
            gimli::DW_LANG_Rust => Self::Rust,
            gimli::DW_LANG_C
            | gimli::DW_LANG_C89
            | gimli::DW_LANG_C99
            | gimli::DW_LANG_C11
            | gimli::DW_LANG_C17
            | gimli::DW_LANG_C_plus_plus
            | gimli::DW_LANG_C_plus_plus_03
            | gimli::DW_LANG_C_plus_plus_11
            | gimli::DW_LANG_C_plus_plus_14
            | gimli::DW_LANG_C_plus_plus_17
            | gimli::DW_LANG_C_plus_plus_20 => Self::C,
            _ => Self::Other,
        }
    }
}

/// A value that the language knows better than its shape tells.
pub(crate) fn decode(
    decoder: &mut Decoder<'_, '_>,
    kind: &Rc<Type>,
    spot: &Spot,
    depth: usize,
) -> Option<Decoded> {
    match kind.language {
        Language::Rust => rust::decode(decoder, kind, spot, depth),
        Language::C => c::decode(decoder, kind, spot, depth),
        Language::Other => None,
    }
}

/// Whether an array of this type is text up to a NUL, rather than bytes.
pub(crate) fn is_text(kind: &Type) -> bool {
    kind.language == Language::C
        && kind.is_char()
        && !kind.name.contains("unsigned")
        && !kind.name.contains("int8")
}

/// Rust's tuple fields are called `__0` in the debug information.
pub(crate) fn member_name(name: &str) -> &str {
    match name.strip_prefix("__") {
        Some(digits) if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => digits,
        _ => name,
    }
}

/// A number as the language writes it; `None` for encodings that are not read.
pub(crate) fn number(kind: &Type, encoding: gimli::DwAte, bytes: &[u8]) -> Option<Decoded> {
    let value = unsigned(bytes);
    let text = match encoding {
        gimli::DW_ATE_boolean => match value {
            0 => "false".to_owned(),
            1 => "true".to_owned(),
            other => format!("{other} (neither true nor false)"),
        },
        gimli::DW_ATE_float => match bytes {
            [_, _, _, _] => format!("{:?}", f32::from_bits(u32::try_from(value).ok()?)),
            [_, _, _, _, _, _, _, _] => format!("{:?}", f64::from_bits(u64::try_from(value).ok()?)),
            [rest @ .., _, _] if rest.len() >= 8 => c::long_double(value),
            _ => return None,
        },
        gimli::DW_ATE_UTF => match char::from_u32(u32::try_from(value).ok()?) {
            Some(character) => format!("{character:?}"),
            None => format!("{value:#x} (not a character)"),
        },
        gimli::DW_ATE_signed_char | gimli::DW_ATE_unsigned_char if is_text(kind) => {
            let byte = *bytes.first()?;
            format!("{} {:?}", signed_value(value, 1), char::from(byte))
        }
        gimli::DW_ATE_signed | gimli::DW_ATE_signed_char => signed_value(value, bytes.len()).to_string(),
        gimli::DW_ATE_unsigned | gimli::DW_ATE_unsigned_char => value.to_string(),
        gimli::DW_ATE_address => format!("{value:#x}"),
        _ => return None,
    };
    Some(Decoded::plain(text))
}
