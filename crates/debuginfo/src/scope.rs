//! The variables of one frame: which are in scope, where they are, and what the caller still knows about arguments.

use std::rc::Rc;

use freezeframe_model::{Value, Variable, VariableRole};
use gimli::{AttributeValue, Expression};

use crate::decoded::Budget;
use crate::dwarf::functions::Activation;
use crate::dwarf::location::{self, Context};
use crate::dwarf::{Die, View};
use crate::expression::{Absent, Reader, evaluate_address};
use crate::frames::Session;
use crate::inspect::Listing;
use crate::language::{self, Language};
use crate::memory::Memory;
use crate::unwind::StackFrame;
use crate::values::{Bounds, Decoder};

/// Callers that are asked for an argument's value at entry.
const CALLERS_MAX: usize = 4;
/// Entries of a caller that are looked at for the call.
const CALLER_ENTRIES_MAX: usize = 200_000;

/// What is needed to read variables of a stopped thread.
pub(crate) struct Reading<'r, 'a> {
    pub(crate) session: &'r Session<'a>,
    pub(crate) memory: &'r dyn Memory,
    /// Without one, nothing is redacted.
    pub(crate) redactor: Option<&'r freezeframe_redact::Redactor>,
    pub(crate) bounds: Bounds,
    /// All frames of the thread.
    pub(crate) frames: &'r [StackFrame],
}

impl<'a> Reading<'_, 'a> {
    /// Arguments, then locals, of one activation within the frame `index`. `line` is where it stands.
    pub(crate) fn variables(
        &self,
        index: usize,
        activation: &Activation,
        outermost: &Activation,
        line: u32,
        budget: &mut Budget,
    ) -> Vec<Variable> {
        self.read(index, activation, outermost, line, budget, None).0
    }

    /// The same by name and place, without the values.
    pub(crate) fn places(
        &self,
        index: usize,
        activation: &Activation,
        outermost: &Activation,
        line: u32,
        budget: &mut Budget,
    ) -> (Vec<Variable>, Listing) {
        let listing = Some(Listing::default());
        let (variables, listing) = self.read(index, activation, outermost, line, budget, listing);
        (variables, listing.unwrap_or_default())
    }

    fn read(
        &self,
        index: usize,
        activation: &Activation,
        outermost: &Activation,
        line: u32,
        budget: &mut Budget,
        listing: Option<Listing>,
    ) -> (Vec<Variable>, Option<Listing>) {
        let view = self.frames.get(index).and_then(|frame| self.session.view(frame.module?));
        let Some(view) = view else { return (Vec::new(), listing) };
        let entry_value = |expression| self.entry_value(index, outermost.die, expression, CALLERS_MAX);
        let Some(context) = self.context(&view, index, outermost.die, &entry_value) else {
            return (Vec::new(), listing);
        };
        let frame_bias = context.bias;
        let mut found = Vec::new();
        let function_at = |address| self.session.name_at(address, self.memory);
        let type_of_vtable = |address: u64| view.type_of_vtable(address.wrapping_sub(frame_bias));
        let per_root = (budget.variables / 20).max(200);
        let mut decoder = Decoder {
            view: &view,
            memory: self.memory,
            redactor: self.redactor,
            budget,
            bounds: self.bounds,
            function_at: &function_at,
            type_of_vtable: &type_of_vtable,
            listing,
        };
        let mut coroutine = None;
        for (die, is_argument) in in_order(&view, activation) {
            decoder.budget.begin_root(per_root);
            let name = view.name(die).unwrap_or_default();
            let role = if is_argument { VariableRole::Argument } else { VariableRole::Local };
            let kind = view.type_of(die);
            let spot = match not_yet_declared(&view, &context, die, line, activation) {
                Some(declared) => Err(Absent::NotSet(declared)),
                None => context.locate(die),
            };
            if name.is_empty() && !is_argument {
                continue;
            }
            if let (Some(kind), Ok(spot)) = (kind, &spot)
                && is_argument
            {
                let behind = coroutine_behind(&view, self.memory, kind, spot);
                // The pinned state stands for the locals, which follow; nobody wrote it as an argument.
                if name.is_empty() && behind.is_some() {
                    coroutine = coroutine.or(behind);
                    continue;
                }
            }
            if coroutine.is_some() && name == TASK_CONTEXT {
                continue;
            }
            found.push(decoder.variable(&name, role, kind, spot, 0));
        }
        if let Some((kind, spot)) = coroutine {
            let saved = language::saved_locals(&mut decoder, &kind, &spot, per_root).unwrap_or_default();
            // The compiler's own description is of this very moment; the saved state fills its gaps.
            for local in saved {
                let known = found.iter().position(|known| known.name == local.name);
                match known.and_then(|at| found.get_mut(at)) {
                    Some(known) if matches!(known.value, Value::Unavailable(_)) => *known = local,
                    Some(_) => {}
                    None => found.push(local),
                }
            }
            found = language::without_repetition(found);
        }
        found.sort_by_key(|variable| variable.role != VariableRole::Argument);
        (found, decoder.listing)
    }

    fn context<'c>(
        &'c self,
        view: &'c View<'a>,
        index: usize,
        function: Die,
        entry_value: &'c dyn Fn(Expression<Reader<'a>>) -> Result<u64, Absent>,
    ) -> Option<Context<'c, 'a>> {
        let frame = self.frames.get(index)?;
        let bias = frame.pc.wrapping_sub(frame.module_offset);
        let mut context = Context {
            view,
            unit: view.unit(function.unit)?,
            memory: self.memory,
            registers: &frame.registers,
            cfa: frame.cfa,
            bias,
            address: frame.lookup_pc.wrapping_sub(bias),
            frame_base: Err(Absent::OptimisedOut),
            entry_value,
        };
        context.frame_base = location::frame_base(&context, function);
        Some(context)
    }

    /// A register's value when the function was entered, from what the caller's debug information says about the call
    /// (DWARF 5, section 3.4.2).
    fn entry_value(
        &self,
        index: usize,
        function: Die,
        expression: Expression<Reader<'a>>,
        callers: usize,
    ) -> Result<u64, Absent> {
        let absent = Absent::OptimisedOut;
        let callee = self.frames.get(index).ok_or(absent.clone())?;
        let caller_index = index.checked_add(1).ok_or(absent.clone())?;
        let caller = self.frames.get(caller_index).ok_or(absent.clone())?;
        let callers = callers.checked_sub(1).ok_or(absent.clone())?;
        // A frame that a signal interrupted did not call anything.
        if callee.signal_frame || caller.signal_frame {
            return Err(absent);
        }
        let callee_view = callee.module.and_then(|module| self.session.view(module)).ok_or(absent.clone())?;
        let view = caller.module.and_then(|module| self.session.view(module)).ok_or(absent.clone())?;
        let bias = caller.pc.wrapping_sub(caller.module_offset);
        let activations = view.activations(caller.lookup_pc.wrapping_sub(bias));
        let around = activations.last().ok_or(absent.clone())?;
        let site = CallSite {
            return_address: caller.module_offset,
            register: register_of(&callee_view, function, expression)?,
        };
        let call = site.find(&view, around.die).ok_or(absent.clone())?;
        let entry_value = |expression| self.entry_value(caller_index, around.die, expression, callers);
        let context = self.context(&view, caller_index, around.die, &entry_value).ok_or(absent.clone())?;
        // Only a call whose target is known proves that no tail call came between.
        let called = match (call.origin, call.target) {
            (Some(origin), _) => {
                let name = view.function_name(origin);
                name.is_some() && name == callee_view.function_name(function)
            }
            (None, Some(target)) => {
                let target = evaluate_value(target, &context)?;
                callee_view.entry_point(function)
                    == Some(target.wrapping_sub(callee.pc.wrapping_sub(callee.module_offset)))
            }
            (None, None) => false,
        };
        if !called {
            return Err(absent);
        }
        evaluate_value(call.value.ok_or(absent)?, &context)
    }
}

/// The argument that the compiler adds to every `async` function.
const TASK_CONTEXT: &str = "_task_context";

/// Arguments and locals in scope, and the arguments that the compiler dropped altogether.
fn in_order(view: &View<'_>, activation: &Activation) -> Vec<(Die, bool)> {
    let mut variables = activation.variables.clone();
    let described: Vec<Die> =
        variables.iter().flat_map(|(die, _)| view.origins(*die).into_iter().map(|(die, _, _)| die)).collect();
    let abstract_instance = view.entry(activation.die).and_then(|(_, entry)| {
        view.resolve(activation.die.unit, entry.attr_value(gimli::DW_AT_abstract_origin)?)
    });
    if let Some(function) = abstract_instance {
        let dropped = view.parameters(function).into_iter().filter(|die| !described.contains(die));
        variables.extend(dropped.map(|die| (die, true)));
    }
    variables
}

/// C's locals exist from the start of the block for the debug information, but hold garbage up to their declaration.
fn not_yet_declared(
    view: &View<'_>,
    context: &Context<'_, '_>,
    die: Die,
    line: u32,
    activation: &Activation,
) -> Option<u64> {
    if context.unit.language() != Language::C || activation.call.is_some() || line == 0 {
        return None;
    }
    let (_, entry) = view.entry(die)?;
    if entry.tag() != gimli::DW_TAG_variable
        || !matches!(entry.attr_value(gimli::DW_AT_location), Some(AttributeValue::Exprloc(_)))
    {
        return None;
    }
    let declared = entry.attr_value(gimli::DW_AT_decl_line)?.udata_value()?;
    (declared > u64::from(line)).then_some(declared)
}

/// The coroutine that an argument (`Pin<&mut {async_fn_env#0}>`) leads to.
fn coroutine_behind(
    view: &View<'_>,
    memory: &dyn Memory,
    kind: Die,
    spot: &location::Spot,
) -> Option<(Rc<crate::dwarf::types::Type>, location::Spot)> {
    const STEPS_MAX: usize = 4;
    let (mut kind, mut spot) = (view.read_type(kind), spot.clone());
    for _ in 0..STEPS_MAX {
        if language::is_coroutine(&kind) {
            return Some((kind, spot));
        }
        match &kind.shape {
            crate::dwarf::types::Shape::Pointer(Some(target)) => {
                let bytes = spot.read(memory, 8, 8).ok()?;
                spot = location::Spot::Memory(crate::decoded::unsigned(&bytes) as u64);
                kind = view.read_type(*target);
            }
            crate::dwarf::types::Shape::Record(record) if kind.plain_path() == "core::pin::Pin" => {
                let member = record.members.first()?;
                spot = spot.at(member.offset?);
                kind = view.read_type(member.kind?);
            }
            _ => return None,
        }
    }
    None
}

/// The register that an entry value asks for.
fn register_of(view: &View<'_>, function: Die, expression: Expression<Reader<'_>>) -> Result<u16, Absent> {
    let unit = view.unit(function.unit).ok_or(Absent::Damaged)?;
    let mut operations = expression.operations(unit.unit.encoding());
    match (operations.next()?, operations.next()?) {
        (Some(gimli::Operation::Register { register }), None) => Ok(register.0),
        _ => Err(Absent::OptimisedOut),
    }
}

struct CallSite {
    /// In the file.
    return_address: u64,
    register: u16,
}

struct Call<'a> {
    origin: Option<Die>,
    /// Where the target's address is, of a call through a pointer.
    target: Option<Expression<Reader<'a>>>,
    value: Option<Expression<Reader<'a>>>,
}

impl CallSite {
    /// The call in `function` that returns to the address, with what it passed in the register.
    fn find<'a>(&self, view: &View<'a>, function: Die) -> Option<Call<'a>> {
        let unit = view.unit(function.unit)?;
        let mut entries = unit.unit.entries_at_offset(function.offset).ok()?;
        let mut call: Option<(isize, Call<'a>)> = None;
        let mut base = None;
        for _ in 0..CALLER_ENTRIES_MAX {
            let Ok(Some(entry)) = entries.next_dfs() else { break };
            let base = *base.get_or_insert(entry.depth());
            if entry.depth() <= base && entry.offset() != function.offset {
                break;
            }
            if let Some((depth, call)) = &mut call {
                if entry.depth() <= *depth {
                    break;
                }
                let is_parameter = matches!(
                    entry.tag(),
                    gimli::DW_TAG_call_site_parameter | gimli::DW_TAG_GNU_call_site_parameter
                );
                let place = entry.attr_value(gimli::DW_AT_location).and_then(|place| place.exprloc_value());
                let passed = place.and_then(|place| register_of(view, function, place).ok());
                if is_parameter && passed == Some(self.register) {
                    let value = entry.attr_value(gimli::DW_AT_call_value);
                    let value = value.or_else(|| entry.attr_value(gimli::DW_AT_GNU_call_site_value));
                    call.value = value.and_then(|value| value.exprloc_value());
                }
                continue;
            }
            let returns_to = match entry.tag() {
                gimli::DW_TAG_call_site => entry.attr_value(gimli::DW_AT_call_return_pc),
                gimli::DW_TAG_GNU_call_site => entry.attr_value(gimli::DW_AT_low_pc),
                _ => continue,
            };
            let returns_to = returns_to.and_then(|at| unit.dwarf.attr_address(&unit.unit, at).ok().flatten());
            if returns_to == Some(self.return_address) {
                let origin = entry.attr_value(gimli::DW_AT_call_origin);
                let origin = origin.or_else(|| entry.attr_value(gimli::DW_AT_abstract_origin));
                let origin = origin.and_then(|origin| view.resolve(function.unit, origin));
                let target = entry.attr_value(gimli::DW_AT_call_target);
                let target = target.or_else(|| entry.attr_value(gimli::DW_AT_GNU_call_site_target));
                let target = target.and_then(|target| target.exprloc_value());
                call = Some((entry.depth(), Call { origin, target, value: None }));
            }
        }
        call.map(|(_, call)| call)
    }
}

fn evaluate_value<'a>(expression: Expression<Reader<'a>>, context: &Context<'_, 'a>) -> Result<u64, Absent> {
    evaluate_address(expression, context.unit.unit.encoding(), context, None)
}
