//! Where a value is at an address (DWARF 5, section 2.6): memory, registers, pieces of both, or constants.

use std::ops::Range;
use std::rc::Rc;

use gimli::{AttributeValue, Expression, Location, Piece};

use super::{Attribute, Die, Unit, View};
use crate::arch;
use crate::expression::{Absent, Environment, Reader, evaluate};
use crate::memory::Memory;

/// Largest value that is put together from pieces, in bytes.
const HELD_BYTES_MAX: u64 = 64 * 1024;

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
    /// Pointers that the compiler optimised away although it kept what they point to: where they would lie, and the target.
    implied: Vec<(u64, Spot)>,
}

impl Spot {
    /// A value whose bytes are known.
    pub(crate) fn of_bytes(bytes: Vec<u8>) -> Self {
        Self::Held(Rc::new(Held { bytes, ..Held::default() }), 0)
    }

    /// The part that begins `offset` bytes further.
    pub(crate) fn at(&self, offset: u64) -> Self {
        match self {
            Self::Memory(address) => Self::Memory(address.wrapping_add(offset)),
            Self::Held(held, base) => Self::Held(held.clone(), base.saturating_add(offset)),
        }
    }

    /// What the pointer here would point to, where there is no pointer any more.
    pub(crate) fn implied(&self) -> Option<Spot> {
        let Self::Held(held, base) = self else { return None };
        held.implied.iter().find(|(at, _)| at == base).map(|(_, target)| target.clone())
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
        Ok(self.unit.dwarf.address(&self.unit.unit, index)?)
    }
    fn thread_local(&self, offset: u64) -> Result<u64, Absent> {
        let fs_base = self.registers.fs_base;
        crate::thread_local::address(self.view.program, self.memory, fs_base, self.bias, offset)
    }
    fn called(&self, entry: gimli::DieReference<usize>) -> Result<Reader<'a>, Absent> {
        let reference = match entry {
            gimli::DieReference::UnitRef(offset) => AttributeValue::UnitRef(offset),
            gimli::DieReference::DebugInfoRef(offset) => AttributeValue::DebugInfoRef(offset),
        };
        let die = self.view.resolve(self.unit.number, reference).ok_or(Absent::Damaged)?;
        let (unit, entry) = self.view.entry(die).ok_or(Absent::Damaged)?;
        match entry.attr_value(gimli::DW_AT_location) {
            Some(location) => Ok(self.expression(&unit, location)?.0),
            None => Ok(Reader::new(&[], gimli::LittleEndian)),
        }
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
        self.locate_through(die, 0)
    }

    fn locate_through(&self, die: Die, pointers: usize) -> Result<Spot, Absent> {
        // The concrete entry has the location; an abstract one may still have a constant.
        for (die, unit, entry) in self.view.origins(die) {
            if let Some(value) = entry.attr_value(gimli::DW_AT_const_value) {
                return self.constant(&unit, value, self.size_of(die));
            }
            if let Some(value) = entry.attr_value(gimli::DW_AT_location) {
                return self.at_location(&unit, value, die, pointers);
            }
        }
        Err(Absent::OptimisedOut)
    }

    fn at_location(
        &self,
        unit: &Rc<Unit<'a>>,
        value: Attribute<'a>,
        die: Die,
        pointers: usize,
    ) -> Result<Spot, Absent> {
        let expression = self.expression(unit, value)?;
        if expression.0.is_empty() {
            return Err(Absent::OptimisedOut);
        }
        // Its references are relative to the unit that it stands in.
        let context = Context { unit: unit.clone(), frame_base: self.frame_base.clone(), ..*self };
        let pieces = evaluate(expression, unit.unit.encoding(), &context, None)?;
        match pieces.as_slice() {
            [] => Err(Absent::OptimisedOut),
            [Piece { size_in_bits: None, bit_offset: None, location: Location::Address { address } }] => {
                Ok(Spot::Memory(*address))
            }
            pieces => context.assemble(pieces, self.size_of(die), pointers),
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
        let mut entries = unit.dwarf.attr_locations(&unit.unit, value)?.ok_or(Absent::Damaged)?;
        while let Some(entry) = entries.next()? {
            if (entry.range.begin..entry.range.end).contains(&self.address) {
                return Ok(entry.data);
            }
        }
        Err(Absent::OptimisedOut)
    }

    fn constant(&self, unit: &Unit<'a>, value: Attribute<'a>, size: Option<u64>) -> Result<Spot, Absent> {
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
        match unit.dwarf.attr_string(&unit.unit, value) {
            Ok(text) => Ok(Spot::of_bytes([text.slice(), &[0]].concat())),
            Err(_) => Err(Absent::Damaged),
        }
    }

    /// Copies the pieces together.
    fn assemble(
        &self,
        pieces: &[Piece<Reader<'a>>],
        size: Option<u64>,
        pointers: usize,
    ) -> Result<Spot, Absent> {
        let mut held = Held::default();
        // In bits.
        let mut at = 0u64;
        let whole = size.unwrap_or(8).saturating_mul(8);
        for piece in pieces {
            let length = piece.size_in_bits.unwrap_or(whole.saturating_sub(at));
            let end = at.saturating_add(length);
            if end > HELD_BYTES_MAX * 8 {
                return Err(Absent::NotDecoded("a value of this size".to_owned()));
            }
            let bytes = |bits: u64| usize::try_from(bits.div_ceil(8)).map_err(|_| Absent::Damaged);
            held.bytes.resize(bytes(end)?, 0);
            let target = match &piece.location {
                Location::ImplicitPointer { value, byte_offset } => {
                    self.implied_target(*value, *byte_offset, pointers)
                }
                _ => None,
            };
            match self.piece(&piece.location, piece.bit_offset.unwrap_or(0), length) {
                Ok(found) => copy_bits(&found, &mut held.bytes, at, length),
                Err(why) => {
                    held.missing.push((usize::try_from(at / 8).unwrap_or(usize::MAX)..bytes(end)?, why))
                }
            }
            held.implied.extend(target.map(|target| (at / 8, target)));
            at = end;
        }
        if let [(range, why)] = held.missing.as_slice()
            && *range == (0..held.bytes.len())
            && held.implied.is_empty()
        {
            return Err(why.clone());
        }
        Ok(Spot::Held(Rc::new(held), 0))
    }

    /// Where the target of an optimised pointer is (DWARF 5, section 2.6.1.1.4).
    fn implied_target(&self, value: gimli::DebugInfoOffset, offset: i64, pointers: usize) -> Option<Spot> {
        const POINTERS_MAX: usize = 4;
        if pointers >= POINTERS_MAX {
            return None;
        }
        let die = self.view.resolve(self.unit.number, AttributeValue::DebugInfoRef(value))?;
        let target = self.locate_through(die, pointers.saturating_add(1)).ok()?;
        u64::try_from(offset).ok().map(|offset| target.at(offset))
    }

    /// `length` bits of a piece from the bit `skip` on, from the lowest bit of the result on.
    fn piece(&self, location: &Location<Reader<'a>>, skip: u64, length: u64) -> Result<Vec<u8>, Absent> {
        let first = usize::try_from(skip / 8).map_err(|_| Absent::Damaged)?;
        let bits = skip.checked_add(length).ok_or(Absent::Damaged)?;
        let end = usize::try_from(bits.div_ceil(8)).map_err(|_| Absent::Damaged)?;
        let count = end.checked_sub(first).ok_or(Absent::Damaged)?;
        let bytes = match location {
            Location::Address { address } => {
                let bytes = self.memory.read_bytes(address.wrapping_add(first as u64), count, count)?;
                return Ok(shifted(&bytes, skip % 8, length));
            }
            Location::Register { register } => match self.registers.vector(register.0) {
                Some(vector) => vector.to_vec(),
                None if self.registers.get(register.0).is_some() => {
                    self.registers.get(register.0).unwrap_or_default().to_le_bytes().to_vec()
                }
                None if arch::is_unread(register.0) => {
                    return Err(Absent::NotDecoded("a register of this kind".to_owned()));
                }
                None => return Err(Absent::NotKept),
            },
            Location::Value { value } => bytes_of(*value),
            Location::Bytes { value } => value.slice().to_vec(),
            Location::Empty | Location::ImplicitPointer { .. } => return Err(Absent::OptimisedOut),
        };
        // A register or number is wider than the value in it, or (sign-extended constants) narrower.
        let mut wide = bytes;
        if wide.len() < end && end <= 16 {
            wide.resize(end, 0);
        }
        let bytes = wide.get(first..end).ok_or(Absent::OptimisedOut)?;
        Ok(shifted(bytes, skip % 8, length))
    }

    fn size_of(&self, die: Die) -> Option<u64> {
        self.view.read_type(self.view.type_of(die)?).size
    }
}

/// The bits from `skip` on, `length` of them.
fn shifted(bytes: &[u8], skip: u64, length: u64) -> Vec<u8> {
    if skip == 0 {
        return bytes.to_vec();
    }
    let mut found = vec![0; bytes.len()];
    for at in 0..length {
        set_bit(&mut found, at, bit(bytes, at.saturating_add(skip)));
    }
    found
}

/// Puts `length` bits of `from` at the bit `at`.
fn copy_bits(from: &[u8], to: &mut [u8], at: u64, length: u64) {
    if at.is_multiple_of(8) && length.is_multiple_of(8) {
        let (start, length) =
            (usize::try_from(at / 8).unwrap_or(usize::MAX), usize::try_from(length / 8).unwrap_or(0));
        let from = from.get(..length).unwrap_or(from);
        for (to, from) in to.iter_mut().skip(start).zip(from) {
            *to = *from;
        }
        return;
    }
    for step in 0..length {
        set_bit(to, at.saturating_add(step), bit(from, step));
    }
}

fn bit(bytes: &[u8], at: u64) -> bool {
    let byte = usize::try_from(at / 8).ok().and_then(|byte| bytes.get(byte));
    byte.is_some_and(|byte| byte >> (at % 8) & 1 == 1)
}

fn set_bit(bytes: &mut [u8], at: u64, value: bool) {
    if let Some(byte) = usize::try_from(at / 8).ok().and_then(|byte| bytes.get_mut(byte)) {
        *byte = *byte & !(1 << (at % 8)) | u8::from(value) << (at % 8);
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
