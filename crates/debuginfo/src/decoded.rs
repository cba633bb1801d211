//! A value on its way from bytes to text: its form before redaction, numbers, quoting, and what may still be spent on it.

use std::time::Instant;

use freezeframe_model::{Value, Variable, VariableRole};

use crate::dwarf::types::{Shape, Type};
use crate::expression::Absent;

/// Largest number or pointer that is read as one.
pub(crate) const NUMBER_BYTES_MAX: usize = 16;

/// What may still be spent.
pub(crate) struct Budget {
    /// Variables in all.
    pub(crate) variables: usize,
    /// Variables below the current root, so that one large tree leaves room for the others.
    pub(crate) below_root: usize,
    /// For everything that this budget is for.
    pub(crate) deadline: Instant,
    /// For the current root.
    pub(crate) root_deadline: Instant,
}

/// Part of the time left that one root may take.
const ROOT_SHARE: u32 = 3;

impl Budget {
    pub(crate) fn new(variables: usize, deadline: Instant) -> Self {
        Self { variables, below_root: variables, deadline, root_deadline: deadline }
    }

    /// Begins the next root: it may have `variables` and its part of the time left.
    pub(crate) fn begin_root(&mut self, variables: usize) {
        let now = Instant::now();
        self.below_root = variables;
        self.root_deadline = now + self.deadline.saturating_duration_since(now) / ROOT_SHARE;
    }

    /// Takes one variable out; the reason where there is none left.
    pub(crate) fn take(&mut self) -> Result<(), Value> {
        let cut = |why: &str| Err(Value::Cut(why.to_owned()));
        if self.variables == 0 {
            return cut("the limit of variables is reached");
        }
        if self.below_root == 0 {
            return cut("this variable is too large to be kept whole");
        }
        if Instant::now() >= self.root_deadline {
            self.below_root = 0;
            return cut("time ran out");
        }
        self.variables = self.variables.saturating_sub(1);
        self.below_root = self.below_root.saturating_sub(1);
        Ok(())
    }
}

/// A decoded value before redaction.
#[derive(Debug, Default)]
pub(crate) struct Decoded {
    pub(crate) form: Form,
    pub(crate) children: Vec<Variable>,
}

#[derive(Debug, Default)]
pub(crate) enum Form {
    /// Only the children say something.
    #[default]
    Composite,
    /// As it is to be shown.
    Plain(String),
    /// Text of the program, shown in quotes behind `prefix`; the flag says that it was cut.
    Quoted { prefix: &'static str, text: String, cut: bool },
    /// No value, and why.
    Absent(String),
    /// Cut off by a limit, and which.
    Cut(String),
}

impl Decoded {
    pub(crate) fn plain(text: impl Into<String>) -> Self {
        Self { form: Form::Plain(text.into()), children: Vec::new() }
    }
    pub(crate) fn absent(why: impl Into<String>) -> Self {
        Self { form: Form::Absent(why.into()), children: Vec::new() }
    }
    pub(crate) fn cut(why: impl Into<String>) -> Self {
        Self { form: Form::Cut(why.into()), children: Vec::new() }
    }
    pub(crate) fn composite(children: Vec<Variable>) -> Self {
        Self { form: Form::Composite, children }
    }
    /// Text of the program; bytes that are not UTF-8 are replaced.
    pub(crate) fn quoted(bytes: &[u8], cut: bool) -> Self {
        let text = String::from_utf8_lossy(bytes).into_owned();
        Self { form: Form::Quoted { prefix: "", text, cut }, children: Vec::new() }
    }
    /// Bytes that need not be text: `b"\x00abc"`.
    pub(crate) fn byte_string(bytes: &[u8], cut: bool) -> Self {
        let text = bytes.iter().map(|byte| char::from(*byte)).collect();
        Self { form: Form::Quoted { prefix: "b", text, cut }, children: Vec::new() }
    }
}

impl From<Absent> for Decoded {
    fn from(absent: Absent) -> Self {
        Self::absent(absent.to_string())
    }
}

/// A child of which only the name is known, and why.
pub(crate) fn mark(name: &str, why: &str) -> Variable {
    member(name, Value::Unavailable(why.to_owned()))
}

/// A child that stands for what a limit cut off.
pub(crate) fn mark_cut(name: &str, why: &str) -> Variable {
    member(name, Value::Cut(why.to_owned()))
}

fn member(name: &str, value: Value) -> Variable {
    Variable { name: name.to_owned(), role: VariableRole::Member, value, ..Variable::default() }
}

pub(crate) fn not_decoded(name: &str) -> Decoded {
    Absent::NotDecoded(format!("type {name}")).into()
}

pub(crate) fn size_of(kind: &Type) -> Result<usize, Absent> {
    let size = kind.size.and_then(|size| usize::try_from(size).ok());
    size.ok_or_else(|| Absent::NotDecoded(format!("type {} (of unknown size)", kind.name)))
}

pub(crate) fn is_signed(kind: &Type) -> bool {
    match kind.shape {
        Shape::Number(encoding) => matches!(encoding, gimli::DW_ATE_signed | gimli::DW_ATE_signed_char),
        Shape::Enumeration { signed, .. } => signed,
        _ => false,
    }
}

/// Little-endian, at most 16 bytes.
pub(crate) fn unsigned(bytes: &[u8]) -> u128 {
    bytes.iter().rev().take(NUMBER_BYTES_MAX).fold(0, |value, byte| value << 8 | u128::from(*byte))
}

pub(crate) fn signed_value(value: u128, size: usize) -> i128 {
    let unused = 128u32.saturating_sub(u32::try_from(size.saturating_mul(8)).unwrap_or(128)).min(127);
    (value << unused) as i128 >> unused
}

pub(crate) fn truncate(value: u128, size: usize) -> u128 {
    match u32::try_from(size.saturating_mul(8)) {
        Ok(bits @ 1..128) => value & (u128::MAX >> (128 - bits)),
        _ => value,
    }
}

pub(crate) fn show_address(address: u64) -> String {
    if address == 0 { "null".to_owned() } else { format!("{address:#x}") }
}

pub(crate) fn quote(prefix: &str, text: &str, cut: bool) -> String {
    let mut quoted = format!("{prefix}\"");
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\'' => quoted.push('\''),
            // Bytes above ASCII stand for themselves, not for letters.
            _ if !prefix.is_empty() && !(' '..='~').contains(&character) => {
                quoted.push_str(&format!("\\x{:02x}", u32::from(character)));
            }
            _ => quoted.extend(character.escape_debug()),
        }
    }
    quoted.push('"');
    if cut {
        quoted.push('…');
    }
    quoted
}
