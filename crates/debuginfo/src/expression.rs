//! Running DWARF expressions (DWARF 5, section 2.5) against one frame of a stopped process.
//!
//! Bounded in steps; knows nothing of types or of where an expression came from.

use gimli::{EvaluationResult, Expression, LittleEndian, Piece};

use crate::memory::{Memory, Unreadable};

/// How sections are read: borrowed from the mapped file.
pub(crate) type Reader<'a> = gimli::EndianSlice<'a, LittleEndian>;

/// Operations after which an expression is given up; real ones have a few dozen.
const STEPS_MAX: u32 = 10_000;

/// Why a value cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Absent {
    /// The compiler did not keep it.
    #[error("optimised out")]
    OptimisedOut,
    /// A caller's register that its callee was free to overwrite, or of which nothing is known without unwind tables.
    #[error("it was in a register whose value was not kept")]
    NotKept,
    /// It lies in memory that cannot be read.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// The debug information contradicts itself.
    #[error("the debug information is damaged")]
    Damaged,
    /// The program has not come to its declaration.
    #[error("not set yet: declared on line {0}")]
    NotSet(u64),
    /// It is thread-local, and made when a thread first uses it.
    #[error("this thread has not used it yet")]
    NotSetInThread,
    /// It exists, but this is not read yet.
    #[error("{0} is not decoded yet")]
    NotDecoded(String),
}

impl From<gimli::Error> for Absent {
    fn from(_: gimli::Error) -> Self {
        Self::Damaged
    }
}

/// What an expression may ask about its frame. What an environment does not know counts as optimised out.
pub(crate) trait Environment<'a> {
    /// The process's memory.
    fn memory(&self) -> &dyn Memory;
    /// A register of the frame by DWARF number.
    fn register(&self, number: u16) -> Option<u64>;
    /// Difference between addresses in the process and in the file.
    fn bias(&self) -> u64;
    /// The canonical frame address.
    fn cfa(&self) -> Option<u64> {
        None
    }
    /// `DW_AT_frame_base` of the function.
    fn frame_base(&self) -> Result<u64, Absent> {
        Err(Absent::OptimisedOut)
    }
    /// What the expression was worth when the function was entered.
    fn entry_value(&self, _expression: Expression<Reader<'a>>) -> Result<u64, Absent> {
        Err(Absent::OptimisedOut)
    }
    /// The address of a thread-local variable.
    fn thread_local(&self, _offset: u64) -> Result<u64, Absent> {
        Err(Absent::NotDecoded("thread-local storage".to_owned()))
    }
    /// The expression that is the location of another entry; empty where that has none.
    fn called(&self, _entry: gimli::DieReference<usize>) -> Result<Reader<'a>, Absent> {
        Err(Absent::NotDecoded("this kind of location".to_owned()))
    }
    /// An entry of `.debug_addr`, not relocated.
    fn indexed_address(&self, _index: gimli::DebugAddrIndex) -> Result<u64, Absent> {
        Err(Absent::Damaged)
    }
    /// The kind of number that a base type is.
    fn base_type(&self, _type: gimli::UnitOffset) -> Result<gimli::ValueType, Absent> {
        Err(Absent::Damaged)
    }
}

/// Evaluates to the pieces that a value consists of; `initial` is pushed first.
pub(crate) fn evaluate<'a>(
    expression: Expression<Reader<'a>>,
    encoding: gimli::Encoding,
    environment: &dyn Environment<'a>,
    initial: Option<u64>,
) -> Result<Vec<Piece<Reader<'a>>>, Absent> {
    let mut evaluation = expression.evaluation(encoding);
    evaluation.set_max_iterations(STEPS_MAX);
    if let Some(initial) = initial {
        evaluation.set_initial_value(initial);
    }
    let mut state = evaluation.evaluate()?;
    loop {
        state = match state {
            EvaluationResult::Complete => return Ok(evaluation.result()),
            EvaluationResult::RequiresMemory { address, size, space: None, base_type } => {
                let mut bytes = [0; 8];
                let Some(into) = bytes.get_mut(..usize::from(size)) else {
                    return Err(Absent::NotDecoded("a number of this size".to_owned()));
                };
                environment.memory().read(address, into)?;
                let value = typed(environment, base_type, u64::from_le_bytes(bytes))?;
                evaluation.resume_with_memory(value)?
            }
            EvaluationResult::RequiresRegister { register, base_type } => {
                let value = environment.register(register.0).ok_or(Absent::NotKept)?;
                evaluation.resume_with_register(typed(environment, base_type, value)?)?
            }
            EvaluationResult::RequiresFrameBase => {
                evaluation.resume_with_frame_base(environment.frame_base()?)?
            }
            EvaluationResult::RequiresCallFrameCfa => {
                evaluation.resume_with_call_frame_cfa(environment.cfa().ok_or(Absent::OptimisedOut)?)?
            }
            EvaluationResult::RequiresRelocatedAddress(address) => {
                evaluation.resume_with_relocated_address(address.wrapping_add(environment.bias()))?
            }
            EvaluationResult::RequiresIndexedAddress { index, relocate } => {
                let address = environment.indexed_address(index)?;
                let bias = if relocate { environment.bias() } else { 0 };
                evaluation.resume_with_indexed_address(address.wrapping_add(bias))?
            }
            EvaluationResult::RequiresEntryValue(expression) => {
                let value = environment.entry_value(expression)?;
                evaluation.resume_with_entry_value(gimli::Value::Generic(value))?
            }
            EvaluationResult::RequiresBaseType(offset) => {
                evaluation.resume_with_base_type(environment.base_type(offset)?)?
            }
            EvaluationResult::RequiresTls(offset) => {
                evaluation.resume_with_tls(environment.thread_local(offset)?)?
            }
            EvaluationResult::RequiresAtLocation(entry) => {
                evaluation.resume_with_at_location(environment.called(entry)?)?
            }
            _ => return Err(Absent::NotDecoded("this kind of location".to_owned())),
        };
    }
}

fn typed<'a>(
    environment: &dyn Environment<'a>,
    base_type: gimli::UnitOffset,
    value: u64,
) -> Result<gimli::Value, Absent> {
    if base_type.0 == 0 {
        return Ok(gimli::Value::Generic(value));
    }
    Ok(match environment.base_type(base_type)? {
        // The bits are the number already.
        gimli::ValueType::F32 => gimli::Value::F32(f32::from_bits(value as u32)),
        gimli::ValueType::F64 => gimli::Value::F64(f64::from_bits(value)),
        integer => gimli::Value::from_u64(integer, value)?,
    })
}

/// Evaluates to one address or number.
pub(crate) fn evaluate_address<'a>(
    expression: Expression<Reader<'a>>,
    encoding: gimli::Encoding,
    environment: &dyn Environment<'a>,
    initial: Option<u64>,
) -> Result<u64, Absent> {
    let pieces = evaluate(expression, encoding, environment, initial)?;
    match pieces.as_slice() {
        [Piece { location: gimli::Location::Address { address }, .. }] => Ok(*address),
        [Piece { location: gimli::Location::Register { register }, .. }] => {
            environment.register(register.0).ok_or(Absent::NotKept)
        }
        [Piece { location: gimli::Location::Value { value }, .. }] => Ok(value.to_u64(u64::MAX)?),
        _ => Err(Absent::Damaged),
    }
}
