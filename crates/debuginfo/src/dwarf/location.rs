//! Where a value is at an address (DWARF 5, section 2.6): memory, registers, pieces of both, or constants.

use std::ops::Range;
use std::rc::Rc;

use gimli::{AttributeValue, Expression, Location, Piece};

use super::{Attribute, Die, Unit, View};
use crate::expression::{Absent, Environment, Reader, evaluate};
use crate::memory::Memory;

/// Largest value that is put together from pieces, in bytes.
const HELD_BYTES_MAX: u64 = 64 * 1024;
/// Types of one value that are followed to find its size.
const TYPES_MAX: usize = 32;

/// Where a value, or a part of one, can be read.
#[derive(Clone, Debug)]
pub(crate) enum Spot {
    /// In the process, at this address.
    Memory(u64),
    /// Put together here, from this byte on.
    Held(Rc<Held>, u64),
}

/// A value that has no single place in memory.
#[derive(Debug, Default)]
pub(crate) struct Held {
    bytes: Vec<u8>,
    missing: Vec<(Range<usize>, Absent)>,
}

impl Spot {
    /// A value whose bytes are known.
    pub(crate) fn of_bytes(bytes: Vec<u8>) -> Self {
        Self::Held(Rc::new(Held { bytes, missing: Vec::new() }), 0)
    }

    /// The part that begins `offset` bytes further.
    pub(crate) fn at(&self, offset: u64) -> Self {
        match self {
            Self::Memory(address) => Self::Memory(address.wrapping_add(offset)),
            Self::Held(held, base) => Self::Held(held.clone(), base.saturating_add(offset)),
        }
    }

    /// `length` bytes of it, which must not be more than `max`.
    pub(crate) fn read(&self, memory: &dyn Memory, length: usize, max: usize) -> Result<Vec<u8>, Absent> {
        match self {
            Self::Memory(address) => Ok(memory.read_bytes(*address, length, max)?),
            Self::Held(held, base) => {
                let start = usize::try_from(*base).map_err(|_| Absent::Damaged)?;
                let range = start..start.checked_add(length).ok_or(Absent::Damaged)?;
                let overlaps =
                    |other: &&(Range<usize>, Absent)| other.0.start < range.end && range.start < other.0.end;
                if let Some((_, why)) = held.missing.iter().find(overlaps) {
                    return Err(why.clone());
                }
                held.bytes.get(range).map(<[u8]>::to_vec).ok_or(Absent::OptimisedOut)
            }
        }
    }
}

/// One frame, as its variables' locations need it.
pub(crate) struct Context<'c, 'a> {
    pub(crate) view: &'c View<'a>,
    pub(crate) unit: Rc<Unit<'a>>,
    pub(crate) memory: &'c dyn Memory,
    pub(crate) registers: &'c crate::arch::Registers,
    pub(crate) cfa: Option<u64>,
    pub(crate) bias: u64,
    /// Address to look up, in the file.
    pub(crate) address: u64,
    /// `DW_AT_frame_base` of the function that is not inlined.
    pub(crate) frame_base: Result<u64, Absent>,
    /// Registers as they were when the function was entered, where the caller's debug information tells.
    pub(crate) entry_value: &'c dyn Fn(Expression<Reader<'a>>) -> Result<u64, Absent>,
}

impl<'a> Environment<'a> for Context<'_, 'a> {
    fn memory(&self) -> &dyn Memory {
        self.memory
    }
    fn register(&self, number: u16) -> Option<u64> {
        self.registers.get(number)
    }
    fn bias(&self) -> u64 {
        self.bias
    }
    fn cfa(&self) -> Option<u64> {
        self.cfa
    }
    fn frame_base(&self) -> Result<u64, Absent> {
        self.frame_base.clone()
    }
    fn entry_value(&self, expression: Expression<Reader<'a>>) -> Result<u64, Absent> {
        (self.entry_value)(expression)
    }
    fn indexed_address(&self, index: gimli::DebugAddrIndex) -> Result<u64, Absent> {
        Ok(self.view.dwarf.address(&self.unit.unit, index)?)
    }
    fn base_type(&self, offset: gimli::UnitOffset) -> Result<gimli::ValueType, Absent> {
        let entry = self.unit.unit.entry(offset)?;
        gimli::ValueType::from_entry(&entry)?
            .ok_or_else(|| Absent::NotDecoded("this kind of number".to_owned()))
    }
}

impl<'a> Context<'_, 'a> {
    /// Where the variable's value is at this frame's address.
    pub(crate) fn locate(&self, die: Die) -> Result<Spot, Absent> {
        // The concrete entry has the location; an abstract one may still have a constant.
        for (die, unit, entry) in self.view.origins(die) {
            if let Some(value) = entry.attr_value(gimli::DW_AT_const_value) {
                return self.constant(value, self.size_of(die));
            }
            if let Some(value) = entry.attr_value(gimli::DW_AT_location) {
                return self.at_location(&unit, value, die);
            }
        }
        Err(Absent::OptimisedOut)
    }

    fn at_location(&self, unit: &Unit<'a>, value: Attribute<'a>, die: Die) -> Result<Spot, Absent> {
        let expression = self.expression(unit, value)?;
        if expression.0.is_empty() {
            return Err(Absent::OptimisedOut);
        }
        let pieces = evaluate(expression, unit.unit.encoding(), self, None)?;
        match pieces.as_slice() {
            [] => Err(Absent::OptimisedOut),
            [Piece { size_in_bits: None, bit_offset: None, location: Location::Address { address } }] => {
                Ok(Spot::Memory(*address))
            }
            pieces => self.assemble(pieces, self.size_of(die)),
        }
    }

    /// The expression that holds at this frame's address.
    fn expression(&self, unit: &Unit<'a>, value: Attribute<'a>) -> Result<Expression<Reader<'a>>, Absent> {
        if let AttributeValue::Exprloc(expression) = value {
            return Ok(expression);
        }
        if let AttributeValue::Block(block) = value {
            return Ok(Expression(block));
        }
        let mut entries = self.view.dwarf.attr_locations(&unit.unit, value)?.ok_or(Absent::Damaged)?;
        while let Some(entry) = entries.next()? {
            if (entry.range.begin..entry.range.end).contains(&self.address) {
                return Ok(entry.data);
            }
        }
        Err(Absent::OptimisedOut)
    }

    fn constant(&self, value: Attribute<'a>, size: Option<u64>) -> Result<Spot, Absent> {
        if let AttributeValue::Block(block) = value {
            let mut bytes = block.slice().to_vec();
            // Compilers leave out the padding of x87 numbers.
            let padded = size.and_then(|size| usize::try_from(size).ok()).filter(|size| *size <= 16);
            bytes.resize(bytes.len().max(padded.unwrap_or(0)), 0);
            return Ok(Spot::of_bytes(bytes));
        }
        let number = value.sdata_value().map(i128::from);
        let number = number.or_else(|| value.udata_value().map(i128::from));
        if let Some(number) = number {
            let mut bytes = number.to_le_bytes().to_vec();
            bytes.truncate(size.and_then(|size| usize::try_from(size).ok()).unwrap_or(8));
            return Ok(Spot::of_bytes(bytes));
        }
        match self.view.dwarf.attr_string(&self.unit.unit, value) {
            Ok(text) => Ok(Spot::of_bytes([text.slice(), &[0]].concat())),
            Err(_) => Err(Absent::Damaged),
        }
    }

    /// Copies the pieces together.
    fn assemble(&self, pieces: &[Piece<Reader<'a>>], size: Option<u64>) -> Result<Spot, Absent> {
        let mut held = Held::default();
        for piece in pieces {
            let bits = piece.size_in_bits;
            if bits.is_some_and(|bits| bits % 8 != 0)
                || piece.bit_offset.is_some_and(|offset| offset % 8 != 0)
            {
                return Err(Absent::NotDecoded("a value in pieces of bits".to_owned()));
            }
            let rest = size.unwrap_or(8).saturating_sub(held.bytes.len() as u64);
            let length = bits.map_or(rest, |bits| bits / 8);
            if length.saturating_add(held.bytes.len() as u64) > HELD_BYTES_MAX {
                return Err(Absent::NotDecoded("a value of this size".to_owned()));
            }
            let length = usize::try_from(length).map_err(|_| Absent::Damaged)?;
            let skip = usize::try_from(piece.bit_offset.unwrap_or(0) / 8).map_err(|_| Absent::Damaged)?;
            let start = held.bytes.len();
            match self.piece(&piece.location, skip, length) {
                Ok(bytes) => held.bytes.extend(bytes),
                Err(why) => held.missing.push((start..start.saturating_add(length), why)),
            }
            held.bytes.resize(start.saturating_add(length), 0);
        }
        if let [(range, why)] = held.missing.as_slice()
            && *range == (0..held.bytes.len())
        {
            return Err(why.clone());
        }
        Ok(Spot::Held(Rc::new(held), 0))
    }

    fn piece(&self, location: &Location<Reader<'a>>, skip: usize, length: usize) -> Result<Vec<u8>, Absent> {
        let bytes = match location {
            Location::Address { address } => {
                let address = address.wrapping_add(skip as u64);
                return Ok(self.memory.read_bytes(address, length, length)?);
            }
            Location::Register { register } if register.0 < crate::arch::REGISTERS as u16 => {
                self.registers.get(register.0).ok_or(Absent::NotKept)?.to_le_bytes().to_vec()
            }
            Location::Register { .. } => return Err(Absent::NotDecoded("a vector register".to_owned())),
            Location::Value { value } => bytes_of(*value),
            Location::Bytes { value } => value.slice().to_vec(),
            Location::Empty => return Err(Absent::OptimisedOut),
            Location::ImplicitPointer { .. } => return Err(Absent::OptimisedOut),
        };
        let end = skip.checked_add(length).ok_or(Absent::Damaged)?;
        // A register or number is wider than the value in it, or (sign-extended constants) narrower.
        let mut wide = bytes;
        if wide.len() < end && end <= 16 {
            wide.resize(end, 0);
        }
        wide.get(skip..end).map(<[u8]>::to_vec).ok_or(Absent::OptimisedOut)
    }

    fn size_of(&self, die: Die) -> Option<u64> {
        let (from, reference) = self.view.inherited(die, gimli::DW_AT_type)?;
        let mut next = self.view.resolve(from.unit, reference);
        for _ in 0..TYPES_MAX {
            let die = next?;
            let (_, entry) = self.view.entry(die)?;
            if let Some(size) = entry.attr_value(gimli::DW_AT_byte_size) {
                return size.udata_value();
            }
            if matches!(entry.tag(), gimli::DW_TAG_pointer_type | gimli::DW_TAG_reference_type) {
                return Some(u64::from(crate::arch::ADDRESS_SIZE));
            }
            next = self.view.resolve(die.unit, entry.attr_value(gimli::DW_AT_type)?);
        }
        None
    }
}

fn bytes_of(value: gimli::Value) -> Vec<u8> {
    match value {
        gimli::Value::Generic(v) | gimli::Value::U64(v) => v.to_le_bytes().to_vec(),
        gimli::Value::I8(v) => v.to_le_bytes().to_vec(),
        gimli::Value::U8(v) => v.to_le_bytes().to_vec(),
        gimli::Value::I16(v) => v.to_le_bytes().to_vec(),
        gimli::Value::U16(v) => v.to_le_bytes().to_vec(),
        gimli::Value::I32(v) => v.to_le_bytes().to_vec(),
        gimli::Value::U32(v) => v.to_le_bytes().to_vec(),
        gimli::Value::I64(v) => v.to_le_bytes().to_vec(),
        gimli::Value::F32(v) => v.to_le_bytes().to_vec(),
        gimli::Value::F64(v) => v.to_le_bytes().to_vec(),
    }
}

/// The frame base of the function `die`, evaluated in `context` (whose own frame base is not asked).
pub(crate) fn frame_base(context: &Context<'_, '_>, die: Die) -> Result<u64, Absent> {
    for (_, unit, entry) in context.view.origins(die) {
        let Some(value) = entry.attr_value(gimli::DW_AT_frame_base) else { continue };
        let expression = context.expression(&unit, value)?;
        return crate::expression::evaluate_address(expression, unit.unit.encoding(), context, None);
    }
    Err(Absent::OptimisedOut)
}

impl From<Absent> for freezeframe_model::Value {
    fn from(absent: Absent) -> Self {
        Self::Unavailable(absent.to_string())
    }
}
