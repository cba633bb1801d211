//! Numbers, texts and addresses as expressions compute with them, read back from what is shown: so the same arithmetic
//! works over a live process and over a stored capture.

use freezeframe_model::{Value, Variable};

use super::error::{Failure, Obstacle};
use super::syntax::{Binary, Unary, unquote};

/// A value to compute with.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Scalar {
    Integer(i128, Width),
    Float(f64),
    Bool(bool),
    Character(char),
    Text(String),
    Address(u64),
}

/// What an integer's type can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Width {
    /// A number of the expression: of whatever type the other one has.
    Any,
    Bits {
        bits: u32,
        signed: bool,
    },
}

const WIDE: Width = Width::Bits { bits: 128, signed: true };

impl Width {
    /// By the type's name in Rust, C or C++ (LP64).
    fn of(name: &str) -> Self {
        let name = name.trim_start_matches("const ").trim_start_matches("volatile ");
        let bits = |bits, signed| Self::Bits { bits, signed };
        let stem = name.strip_suffix("_t").unwrap_or(name);
        match stem {
            "u8" | "uint8" | "unsigned char" => bits(8, false),
            "i8" | "int8" | "signed char" | "char" => bits(8, true),
            "u16" | "uint16" | "unsigned short" | "short unsigned int" => bits(16, false),
            "i16" | "int16" | "short" | "short int" => bits(16, true),
            "u32" | "uint32" | "unsigned" | "unsigned int" => bits(32, false),
            "i32" | "int32" | "int" => bits(32, true),
            "u64"
            | "usize"
            | "uint64"
            | "size"
            | "uintptr"
            | "unsigned long"
            | "long unsigned int"
            | "unsigned long long"
            | "long long unsigned int" => bits(64, false),
            "i64" | "isize" | "int64" | "ssize" | "ptrdiff" | "intptr" | "long" | "long int"
            | "long long" | "long long int" => bits(64, true),
            "u128" | "unsigned __int128" => bits(127, false),
            _ => WIDE,
        }
    }

    fn holds(self, value: i128) -> bool {
        match self {
            Self::Any | Self::Bits { bits: 128, .. } => true,
            Self::Bits { bits, signed: false } => value >= 0 && value >> bits.min(127) == 0,
            Self::Bits { bits, signed: true } => {
                let high = value >> bits.saturating_sub(1).min(127);
                high == 0 || high == -1
            }
        }
    }

    fn name(self) -> String {
        match self {
            Self::Any => "i128".to_owned(),
            Self::Bits { bits: 127, signed: false } => "u128".to_owned(),
            Self::Bits { bits, signed } => format!("{}{bits}", if signed { 'i' } else { 'u' }),
        }
    }

    /// The type of both: two different ones are computed in the widest there is.
    fn common(self, other: Self) -> Self {
        match (self, other) {
            (Self::Any, width) | (width, Self::Any) => width,
            (one, other) if one == other => one,
            _ => WIDE,
        }
    }
}

impl Scalar {
    /// Reads what is shown of a variable.
    pub(super) fn of(variable: &Variable) -> Result<Self, Failure> {
        let text = match &variable.value {
            Value::Text(text) => text.as_str(),
            Value::Redacted(why) => {
                return Err(Failure::new(Obstacle::Redacted, format!("this is redacted: {why}")));
            }
            Value::Unavailable(why) => return Err(Failure::new(Obstacle::Unavailable, why.clone())),
            Value::Cut(why) => return Err(Failure::new(Obstacle::Limit, format!("this was cut off: {why}"))),
            Value::Composite => "",
        };
        let not_simple = || {
            let what = format!("{} is neither a number nor a text", variable.type_name);
            Failure::new(Obstacle::Unfit, what).why("choose one of its parts")
        };
        if let Some(quoted) = text.strip_prefix("b\"").or_else(|| text.strip_prefix('"')) {
            let (text, length) = unquote(quoted, '"').ok_or_else(not_simple)?;
            if length < quoted.len() {
                return Err(Failure::new(Obstacle::Limit, "the text is too long to be read whole"));
            }
            return Ok(Self::Text(text));
        }
        if let Some(quoted) = text.strip_prefix('\'') {
            let (text, _) = unquote(quoted, '\'').ok_or_else(not_simple)?;
            return text.chars().next().map(Self::Character).ok_or_else(not_simple);
        }
        // What follows a blank explains: `67 'C'`, `0x7f… <main>`.
        let word = text.split(' ').next().unwrap_or_default();
        match word {
            "true" => return Ok(Self::Bool(true)),
            "false" => return Ok(Self::Bool(false)),
            "null" => return Ok(Self::Address(0)),
            _ => {}
        }
        if let Some(digits) = word.strip_prefix("0x") {
            return u64::from_str_radix(digits, 16).map(Self::Address).map_err(|_| not_simple());
        }
        if let Ok(integer) = word.parse::<i128>() {
            return Ok(Self::Integer(integer, Width::of(&variable.type_name)));
        }
        let is_float = word.contains(|c: char| c.is_ascii_digit()) || matches!(word, "NaN" | "inf" | "-inf");
        word.parse::<f64>().ok().filter(|_| is_float).map(Self::Float).ok_or_else(not_simple)
    }

    pub(super) fn integer(number: u128) -> Result<Self, Failure> {
        match i128::try_from(number) {
            Ok(number) => Ok(Self::Integer(number, Width::Any)),
            Err(_) => Err(Failure::new(Obstacle::Arithmetic, "numbers have at most 127 bits here")),
        }
    }

    /// As a variable of that name.
    pub(super) fn show(&self, name: &str) -> Variable {
        let (type_name, text) = match self {
            Self::Integer(number, width) => (width.name(), number.to_string()),
            Self::Float(number) => ("f64".to_owned(), format!("{number:?}")),
            Self::Bool(value) => ("bool".to_owned(), value.to_string()),
            Self::Character(character) => ("char".to_owned(), format!("{character:?}")),
            Self::Text(text) => ("text".to_owned(), crate::decoded::quote("", text, false)),
            Self::Address(address) => ("address".to_owned(), crate::decoded::show_address(*address)),
        };
        Variable { name: name.to_owned(), type_name, value: Value::Text(text), ..Variable::default() }
    }

    fn what(&self) -> &'static str {
        match self {
            Self::Integer(..) => "an integer",
            Self::Float(_) => "a floating-point number",
            Self::Bool(_) => "true or false",
            Self::Character(_) => "a character",
            Self::Text(_) => "a text",
            Self::Address(_) => "an address",
        }
    }

    fn unfit(&self, wanted: &str) -> Failure {
        Failure::new(Obstacle::Unfit, format!("{wanted} was expected, and this is {}", self.what()))
    }

    pub(super) fn truth(&self) -> Result<bool, Failure> {
        match self {
            Self::Bool(value) => Ok(*value),
            other => Err(other.unfit("true or false")),
        }
    }

    /// As the number of an element.
    pub(super) fn index(&self) -> Result<u64, Failure> {
        match self {
            Self::Integer(number, _) => u64::try_from(*number)
                .map_err(|_| Failure::new(Obstacle::Unfit, format!("{number} is no number of an element"))),
            other => Err(other.unfit("a number")),
        }
    }

    pub(super) fn unary(self, operator: Unary) -> Result<Self, Failure> {
        match (operator, self) {
            (Unary::Negate, Self::Integer(number, width)) => {
                let negated = number.checked_neg();
                fitting(negated.ok_or_else(overflow)?, width)
            }
            (Unary::Negate, Self::Float(number)) => Ok(Self::Float(-number)),
            (Unary::Negate, other) => Err(other.unfit("a number")),
            (Unary::Not, Self::Bool(value)) => Ok(Self::Bool(!value)),
            (Unary::Not, Self::Integer(number, width)) => Ok(Self::Integer(wrap(!number, width), width)),
            (Unary::Not, other) => Err(other.unfit("true or false, or an integer,")),
        }
    }

    /// Any operator but `&&` and `||`, which do not always look at both sides.
    pub(super) fn binary(self, operator: Binary, other: Self) -> Result<Self, Failure> {
        use Binary::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, NotEqual};
        let (one, other) = alike(self, other);
        if matches!(operator, Equal | NotEqual | Less | LessOrEqual | Greater | GreaterOrEqual) {
            return compare(&one, operator, &other).map(Self::Bool);
        }
        match (one, other) {
            (Self::Integer(a, one), Self::Integer(b, other)) => integers(a, one, operator, b, other),
            (Self::Float(a), Self::Float(b)) => floats(a, operator, b),
            (Self::Bool(a), Self::Bool(b)) => match operator {
                Binary::BitOr => Ok(Self::Bool(a | b)),
                Binary::BitXor => Ok(Self::Bool(a ^ b)),
                Binary::BitAnd => Ok(Self::Bool(a & b)),
                _ => Err(Self::Bool(a).unfit("a number")),
            },
            (a @ (Self::Integer(..) | Self::Float(_)), b) => Err(b.unfit(a.what())),
            (a, _) => Err(a.unfit("a number")),
        }
    }

    /// As Rust's `as`: integers are wrapped, fractions cut off, what does not fit a float's range saturates.
    pub(super) fn cast(self, kind: &str) -> Result<Self, Failure> {
        let number = match &self {
            Self::Integer(number, _) => *number,
            Self::Bool(value) => i128::from(*value),
            Self::Character(character) => i128::from(u32::from(*character)),
            Self::Address(address) => i128::from(*address),
            Self::Float(number) => *number as i128,
            Self::Text(_) => return Err(self.unfit("a number")),
        };
        match kind {
            "f64" | "f32" | "float" | "double" => {
                let float = if let Self::Float(float) = self { float } else { number as f64 };
                let narrow = matches!(kind, "f32" | "float");
                Ok(Self::Float(if narrow { f64::from(float as f32) } else { float }))
            }
            "bool" => Err(Failure::new(Obstacle::Unfit, "numbers are not cast to bool").why("write `!= 0`")),
            "char" => u32::try_from(number)
                .ok()
                .and_then(char::from_u32)
                .map(Self::Character)
                .ok_or_else(|| Failure::new(Obstacle::Unfit, format!("{number} is not a character"))),
            kind => match Width::of(kind) {
                WIDE if !matches!(kind, "i128" | "__int128") => {
                    let what = format!("{kind:?} is not a type to cast to");
                    Err(Failure::new(Obstacle::Unfit, what)
                        .why("casts are between numbers: u8 … i128, f64, char"))
                }
                width => match self {
                    Self::Float(_) => Ok(Self::Integer(saturate(number, width), width)),
                    _ => Ok(Self::Integer(wrap(number, width), width)),
                },
            },
        }
    }
}

fn overflow() -> Failure {
    Failure::new(Obstacle::Arithmetic, "the result does not fit into 128 bits")
}

fn fitting(number: i128, width: Width) -> Result<Scalar, Failure> {
    if width.holds(number) {
        return Ok(Scalar::Integer(number, width));
    }
    let what = format!("the result {number} does not fit into {}", width.name());
    Err(Failure::new(Obstacle::Arithmetic, what).why("cast one side to a wider type"))
}

fn wrap(number: i128, width: Width) -> i128 {
    match width {
        Width::Bits { bits, signed } if bits < 128 => {
            let unused = 128 - bits;
            if signed { number << unused >> unused } else { number & !(-1i128 << bits) }
        }
        _ => number,
    }
}

fn saturate(number: i128, width: Width) -> i128 {
    match width {
        Width::Bits { bits, signed: false } if bits < 128 => number.clamp(0, !(-1i128 << bits)),
        Width::Bits { bits, signed: true } if bits < 128 => {
            let end = 1i128 << (bits - 1);
            number.clamp(-end, end - 1)
        }
        _ => number,
    }
}

/// Addresses and characters are compared and computed with as numbers where the other side is one; integers as floats.
fn alike(one: Scalar, other: Scalar) -> (Scalar, Scalar) {
    use Scalar::{Address, Character, Float, Integer};
    let of_address = |address| Integer(i128::from(address), Width::Bits { bits: 64, signed: false });
    match (one, other) {
        (Address(address), other @ Integer(..)) => (of_address(address), other),
        (one @ Integer(..), Address(address)) => (one, of_address(address)),
        (Address(one), Address(other)) => (of_address(one), of_address(other)),
        (Integer(number, _), other @ Float(_)) => (Float(number as f64), other),
        (one @ Float(_), Integer(number, _)) => (one, Float(number as f64)),
        // C's `char` is a number.
        (one @ Integer(..), Character(c)) => (one, Integer(i128::from(u32::from(c)), Width::Any)),
        (Character(c), other @ Integer(..)) => (Integer(i128::from(u32::from(c)), Width::Any), other),
        pair => pair,
    }
}

fn compare(one: &Scalar, operator: Binary, other: &Scalar) -> Result<bool, Failure> {
    let order = match (one, other) {
        (Scalar::Integer(a, _), Scalar::Integer(b, _)) => a.partial_cmp(b),
        (Scalar::Float(a), Scalar::Float(b)) => a.partial_cmp(b),
        (Scalar::Bool(a), Scalar::Bool(b)) => a.partial_cmp(b),
        (Scalar::Character(a), Scalar::Character(b)) => a.partial_cmp(b),
        (Scalar::Text(a), Scalar::Text(b)) => a.partial_cmp(b),
        _ => return Err(other.unfit(one.what())),
    };
    use std::cmp::Ordering::{Equal, Greater, Less};
    Ok(match operator {
        Binary::Equal => order == Some(Equal),
        Binary::NotEqual => order != Some(Equal),
        Binary::Less => order == Some(Less),
        Binary::LessOrEqual => matches!(order, Some(Less | Equal)),
        Binary::Greater => order == Some(Greater),
        _ => matches!(order, Some(Greater | Equal)),
    })
}

fn integers(a: i128, one: Width, operator: Binary, b: i128, other: Width) -> Result<Scalar, Failure> {
    let shift = matches!(operator, Binary::ShiftLeft | Binary::ShiftRight);
    let width = if shift { one } else { one.common(other) };
    let by_zero = || Failure::new(Obstacle::Arithmetic, "this is a division by zero");
    let result = match operator {
        Binary::Add => a.checked_add(b),
        Binary::Subtract => a.checked_sub(b),
        Binary::Multiply => a.checked_mul(b),
        Binary::Divide if b == 0 => return Err(by_zero()),
        Binary::Remainder if b == 0 => return Err(by_zero()),
        Binary::Divide => a.checked_div(b),
        Binary::Remainder => a.checked_rem(b),
        Binary::BitOr => Some(a | b),
        Binary::BitXor => Some(a ^ b),
        Binary::BitAnd => Some(a & b),
        Binary::ShiftLeft | Binary::ShiftRight => {
            let bits = if let Width::Bits { bits, .. } = width { bits } else { 127 };
            let by = u32::try_from(b).ok().filter(|by| *by < bits).ok_or_else(|| {
                Failure::new(Obstacle::Arithmetic, format!("a shift by {b} is wider than {}", width.name()))
            })?;
            match operator {
                // What is shifted out of the type is lost, as in the program.
                Binary::ShiftLeft => Some(wrap(a.checked_shl(by).ok_or_else(overflow)?, width)),
                _ => a.checked_shr(by),
            }
        }
        _ => return Err(Scalar::Integer(a, width).unfit("something else")),
    };
    fitting(result.ok_or_else(overflow)?, width)
}

fn floats(a: f64, operator: Binary, b: f64) -> Result<Scalar, Failure> {
    Ok(Scalar::Float(match operator {
        Binary::Add => a + b,
        Binary::Subtract => a - b,
        Binary::Multiply => a * b,
        Binary::Divide => a / b,
        Binary::Remainder => a % b,
        _ => return Err(Scalar::Float(a).unfit("an integer")),
    }))
}
