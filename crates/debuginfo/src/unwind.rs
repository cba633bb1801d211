//! The walk along a stack, innermost frame first.
//!
//! Unwind tables lead where there are any; a frame pointer or the word at the stack pointer is followed only where there
//! are none, and the frame says so. Knows no symbols and no debug information.

use std::collections::HashSet;

use crate::arch::{self, Registers};
use crate::cfi::{self, Step};
use crate::expression::Absent;
use crate::memory::{Memory, Paged};
use crate::modules::{Modules, Place};

/// The frames of one thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stack {
    /// Innermost first.
    pub frames: Vec<StackFrame>,
    /// Whether that is all.
    pub end: StackEnd,
}

/// How a stack ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StackEnd {
    /// At the thread's outermost function.
    Complete,
    /// Before; why.
    Stopped(String),
}

/// What a frame's registers were recovered from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// The thread's own registers: the innermost frame.
    Thread,
    /// The unwind tables of the frame inside it.
    Tables,
    /// The registers that the kernel saved when it delivered a signal.
    Signal,
    /// The frame pointer of the frame inside it, which has no tables: a guess.
    FramePointer,
    /// The word at the stack pointer of the frame inside it, which has no tables: a guess.
    StackTop,
}

impl Recovery {
    /// Whether it may be wrong.
    pub fn is_guess(self) -> bool {
        matches!(self, Self::FramePointer | Self::StackTop)
    }
}

/// One function activation, without inlined functions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StackFrame {
    /// Registers as they are (innermost) or will be once everything inside has returned.
    pub registers: Registers,
    /// Program counter: the next instruction of this frame.
    pub pc: u64,
    /// Address to look up: one less for callers, whose call may be the last instruction of a function.
    pub lookup_pc: u64,
    /// Canonical frame address, where tables give one.
    pub cfa: Option<u64>,
    /// The frame through which the kernel delivered a signal.
    pub signal_frame: bool,
    /// Index of the module.
    pub module: Option<usize>,
    /// `pc` in the address space of the module's file; in the process where there is no module.
    pub module_offset: u64,
    /// What its registers were recovered from.
    pub recovery: Recovery,
}

/// A step and what it rests on.
struct Taken {
    step: Step,
    recovery: Recovery,
}

pub(crate) fn walk(
    modules: &Modules,
    memory: &dyn Memory,
    registers: &Registers,
    max_frames: usize,
) -> Stack {
    let memory: &dyn Memory = &Paged::new(memory);
    let mut walk = Walk { modules, memory, scratch: cfi::Scratch::new(), seen: HashSet::new() };
    let mut stack = Stack { frames: Vec::new(), end: StackEnd::Complete };
    let mut registers = registers.clone();
    let mut recovery = Recovery::Thread;
    // After a signal frame the program counter is exact, like in the innermost frame.
    let mut exact = true;
    loop {
        let Some(pc) = registers.pc() else {
            stack.end = StackEnd::Stopped("the return address is unknown".to_owned());
            return stack;
        };
        if stack.frames.len() >= max_frames {
            stack.end = StackEnd::Stopped(format!("more than {max_frames} frames"));
            return stack;
        }
        let lookup_pc = if exact { pc } else { pc.wrapping_sub(1) };
        let place = modules.place(lookup_pc, memory);
        let taken = walk.step(pc, place.as_ref(), &registers, exact);
        let (cfa, signal_frame) = match &taken {
            Ok(taken) => {
                (Some(taken.step.cfa).filter(|_| !taken.recovery.is_guess()), taken.step.signal_frame)
            }
            Err(_) => (None, false),
        };
        stack.frames.push(StackFrame {
            pc,
            lookup_pc,
            cfa,
            signal_frame,
            module: place.as_ref().map(|place| place.module),
            module_offset: place.as_ref().map_or(pc, |place| pc.wrapping_sub(place.bias)),
            registers: registers.clone(),
            recovery,
        });
        let taken = match taken.and_then(|taken| walk.check(taken, &registers)) {
            Ok(taken) => taken,
            Err(reason) => {
                stack.end = StackEnd::Stopped(reason);
                return stack;
            }
        };
        // Zero ends a stack by convention of many runtimes and of the ABI's process entry.
        if taken.step.outermost || taken.step.caller.pc() == Some(0) {
            return stack;
        }
        exact = taken.step.signal_frame;
        recovery = taken.recovery;
        let fs_base = registers.fs_base;
        registers = Registers { fs_base, ..taken.step.caller };
    }
}

struct Walk<'a> {
    modules: &'a Modules,
    memory: &'a dyn Memory,
    scratch: cfi::Scratch,
    seen: HashSet<(u64, u64)>,
}

impl Walk<'_> {
    fn step(
        &mut self,
        pc: u64,
        place: Option<&Place<'_>>,
        registers: &Registers,
        innermost: bool,
    ) -> Result<Taken, String> {
        let code = place.and_then(|place| place.elf()?.at_address(pc.wrapping_sub(place.bias)));
        if code.is_some_and(|code| code.starts_with(arch::SIGNAL_RETURN_CODE)) {
            return self.step_over_signal(registers);
        }
        let failure = match self.step_by_tables(place, registers) {
            Some(Ok(step)) => {
                let recovery = if step.signal_frame { Recovery::Signal } else { Recovery::Tables };
                return Ok(Taken { step, recovery });
            }
            Some(Err(Absent::Unreadable(unreadable))) => return Err(unreadable.to_string()),
            Some(Err(_)) => format!("the unwind table for {pc:#x} cannot be followed"),
            None => format!("no unwind table for {pc:#x}"),
        };
        // Without tables. A wild jump leaves its return address on top of the stack, and touched nothing else.
        let wild = place.is_none() && !self.modules.is_executable(pc);
        let guesses = if innermost && wild {
            [Some(Recovery::StackTop), Some(Recovery::FramePointer)]
        } else if innermost {
            [Some(Recovery::FramePointer), Some(Recovery::StackTop)]
        } else {
            [Some(Recovery::FramePointer), None]
        };
        let guessed = guesses.into_iter().flatten().find_map(|recovery| self.guess(recovery, registers));
        guessed.ok_or(failure)
    }

    fn step_by_tables(
        &mut self,
        place: Option<&Place<'_>>,
        registers: &Registers,
    ) -> Option<Result<Step, Absent>> {
        let place = place?;
        let from = cfi::From { memory: self.memory, registers, bias: place.bias };
        place.tables()?.step(place.elf()?, place.address, &from, &mut self.scratch)
    }

    fn step_over_signal(&self, registers: &Registers) -> Result<Taken, String> {
        let caller =
            arch::interrupted_by_signal(self.memory, registers).map_err(|error| error.to_string())?;
        // As the C library's tables have it: where the interrupted function's stack ends.
        let cfa = caller.sp().unwrap_or_default();
        Ok(Taken {
            step: Step { caller, cfa, signal_frame: true, outermost: false },
            recovery: Recovery::Signal,
        })
    }

    /// A step without tables, taken only where it leads to code.
    fn guess(&self, recovery: Recovery, registers: &Registers) -> Option<Taken> {
        let caller = match recovery {
            Recovery::FramePointer => arch::step_by_frame_pointer(self.memory, registers),
            _ => arch::step_from_entry(self.memory, registers),
        };
        let caller = caller.ok()?;
        let pc = caller.pc()?;
        if pc != 0 && !self.modules.is_executable(pc.wrapping_sub(1)) {
            return None;
        }
        // Both must lie on one stack; only tables and signals lead to another one.
        if !self.modules.same_mapping(registers.sp()?, caller.sp()?.wrapping_sub(8)) {
            return None;
        }
        let cfa = caller.sp()?;
        Some(Taken { step: Step { caller, cfa, signal_frame: false, outermost: false }, recovery })
    }

    /// Refuses steps that lead nowhere or in circles.
    fn check(&mut self, taken: Taken, registers: &Registers) -> Result<Taken, String> {
        if taken.step.outermost {
            return Ok(taken);
        }
        let (Some(pc), Some(sp)) = (taken.step.caller.pc(), taken.step.caller.sp()) else {
            return Err("the caller's registers are unknown".to_owned());
        };
        let inner = registers.sp().unwrap_or_default();
        // Stacks grow downwards, so callers lie higher; except where a stack was switched: signals, coroutines.
        let switched = taken.step.signal_frame || !self.modules.same_mapping(inner, sp);
        if sp <= inner && !switched {
            return Err(format!("the stack does not grow at {pc:#x}"));
        }
        if !self.seen.insert((pc, sp)) {
            return Err(format!("the stack leads in a circle at {pc:#x}"));
        }
        if pc != 0 && !taken.step.signal_frame && !self.modules.is_executable(pc.wrapping_sub(1)) {
            return Err(format!("the return address {pc:#x} is not code"));
        }
        Ok(taken)
    }
}
