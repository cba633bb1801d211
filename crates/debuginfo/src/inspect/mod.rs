//! Asking a stopped process again: values beyond the bounds of its capture, and expressions over what it holds.
//!
//! [`Inspection`] reads live memory, or a core, through the same [`Memory`] as a capture does and counts frames as
//! [`Capture`] does. [`evaluate_captured`] knows the same expressions over a stored capture alone. Both only read: no code
//! of the process ever runs for them.
//!
//! To expand a value is to evaluate its path with other [`Bounds`]: `Bounds { breadth: 100, offset: 1000, .. }` gives the
//! elements 1000 to 1099. [`path_of`] joins the names of a capture to such a path.
//!
//! With a redactor, what it takes for a secret is answered as [`Value::Redacted`](freezeframe_model::Value::Redacted), and no
//! expression leads into it or computes with it. Without one, nothing is hidden: whoever calls it so writes the audit log.
//!
//! The language is described where it is parsed, in `syntax`; a frame of either kind is a `Ground`; `evaluate` walks.

mod captured;
mod error;
mod evaluate;
mod ground;
mod listing;
mod live;
mod path;
mod scalar;
mod syntax;

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Instant;

use freezeframe_model::{Capture, Variable};
use freezeframe_redact::Redactor;

use crate::capture::{Options, StoppedThread};
use crate::decoded::Budget;
use crate::frames::{Located, Session};
use crate::memory::Memory;
use crate::modules::Modules;
use crate::scope::Reading;
use crate::unwind::Stack;
use crate::values;
use captured::Captured;
use error::Failure;
use live::Live;

pub use error::{EvaluateError, Obstacle};
pub(crate) use listing::Listing;
pub use path::path_of;

/// How much of a value an answer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Pointers and structures that are followed inwards; at most 16.
    pub depth: usize,
    /// Elements and fields of one value; at most 10,000.
    pub breadth: usize,
    /// The first element or field of the outermost value.
    pub offset: usize,
    /// Bytes of one text; at most 1 MiB.
    pub text_bytes: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { depth: 3, breadth: 100, offset: 0, text_bytes: 64 << 10 }
    }
}

impl Bounds {
    fn clamped(self) -> Self {
        Self {
            depth: self.depth.min(16),
            breadth: self.breadth.clamp(1, 10_000),
            offset: self.offset,
            text_bytes: self.text_bytes.min(1 << 20),
        }
    }
}

/// A stopped process that can be asked. Cheap to make; what it learns of stacks and types it keeps.
pub struct Inspection<'a> {
    memory: &'a dyn Memory,
    session: Session<'a>,
    threads: &'a [StoppedThread],
    options: &'a Options,
    stacks: RefCell<HashMap<i32, Rc<Frames>>>,
}

/// The frames of one thread, as a capture counts them.
struct Frames {
    stack: Stack,
    /// Index of the physical frame and what stands there.
    located: Vec<(usize, Rc<Located>)>,
}

impl<'a> Inspection<'a> {
    /// `options` gives the bounds of [`variables`](Self::variables) and the time for each answer.
    pub fn new(
        memory: &'a dyn Memory,
        modules: &'a Modules,
        threads: &'a [StoppedThread],
        options: &'a Options,
    ) -> Self {
        Self { memory, session: Session::new(modules), threads, options, stacks: RefCell::default() }
    }

    /// Arguments and locals of a frame, as a capture shows them.
    ///
    /// # Errors
    /// [`Obstacle::NotFound`] where there is no such thread or frame.
    pub fn variables(
        &self,
        thread: i32,
        frame: usize,
        redactor: Option<&Redactor>,
    ) -> Result<Vec<Variable>, EvaluateError> {
        let frames = self.frames(thread)?;
        let mut budget = Budget::new(self.options.variables_max, self.deadline());
        self.with_frame(&frames, frame, redactor, |reading, at| {
            reading.variables(at.physical, at.activation, at.outermost, at.line, &mut budget)
        })
        .map(Option::unwrap_or_default)
    }

    /// The value of an expression in a frame, as a variable that is called like the expression.
    ///
    /// # Errors
    /// [`EvaluateError`] with the part of the expression that is meant; its `obstacle` tells kinds apart.
    pub fn evaluate(
        &self,
        thread: i32,
        frame: usize,
        expression: &str,
        bounds: Bounds,
        redactor: Option<&Redactor>,
    ) -> Result<Variable, EvaluateError> {
        let frames = self.frames(thread)?;
        let deadline = self.deadline();
        let mut budget = Budget::new(usize::MAX, deadline);
        let listed = self.with_frame(&frames, frame, redactor, |reading, at| {
            reading.places(at.physical, at.activation, at.outermost, at.line, &mut budget)
        })?;
        let physical = frames.located.get(frame).and_then(|(physical, _)| frames.stack.frames.get(*physical));
        let view = physical.and_then(|frame| self.session.view(frame.module?));
        let (Some((variables, listing)), Some(physical), Some(view)) = (listed, physical, view) else {
            let failure = Failure::new(Obstacle::Unavailable, "nothing is known of this frame's variables");
            return Err(failure.why("its module has no debug information").at(0..expression.len()));
        };
        let roots = live::places(&view, variables, &listing);
        let unit =
            view.unit_at(physical.lookup_pc.wrapping_sub(physical.pc.wrapping_sub(physical.module_offset)));
        let ground = Live {
            session: &self.session,
            memory: self.memory,
            redactor,
            view,
            bias: physical.pc.wrapping_sub(physical.module_offset),
            roots,
            unit,
            variables_max: self.options.variables_max,
            deadline,
        };
        evaluate::evaluate(&ground, expression, &bounds.clamped())
    }

    /// The function that a frame stands in.
    ///
    /// # Errors
    /// [`Obstacle::NotFound`] where there is no such thread or frame.
    pub fn function(&self, thread: i32, frame: usize) -> Result<String, EvaluateError> {
        let frames = self.frames(thread)?;
        let found = frames.located.get(frame).ok_or_else(|| no_frame(frame, frames.located.len()))?;
        Ok(found.1.function.clone())
    }

    fn deadline(&self) -> Instant {
        let now = Instant::now();
        now.checked_add(self.options.time).unwrap_or(now)
    }

    fn frames(&self, thread: i32) -> Result<Rc<Frames>, EvaluateError> {
        if let Some(known) = self.stacks.borrow().get(&thread) {
            return Ok(known.clone());
        }
        let stopped = self.threads.iter().find(|stopped| stopped.id == thread).ok_or_else(|| {
            let failure = Failure::new(Obstacle::NotFound, format!("there is no thread {thread}"));
            failure.at(0..0)
        })?;
        let stack = self.session.modules.unwind(self.memory, &stopped.registers, self.options.max_frames);
        let mut located = Vec::new();
        for (physical, frame) in stack.frames.iter().enumerate() {
            located.extend(self.session.locate(frame).into_iter().map(|located| (physical, located)));
        }
        let frames = Rc::new(Frames { stack, located });
        self.stacks.borrow_mut().insert(thread, frames.clone());
        Ok(frames)
    }

    /// Runs with the frame's activation; `None` where it has no debug information.
    fn with_frame<T>(
        &self,
        frames: &Frames,
        frame: usize,
        redactor: Option<&Redactor>,
        run: impl FnOnce(&Reading<'_, 'a>, &Standing<'_>) -> T,
    ) -> Result<Option<T>, EvaluateError> {
        let (physical, located) =
            frames.located.get(frame).ok_or_else(|| no_frame(frame, frames.located.len()))?;
        let Some(activation) = &located.activation else { return Ok(None) };
        let own = frames.located.iter().rev().find(|(other, _)| other == physical);
        let outermost = own.and_then(|(_, own)| own.activation.as_ref()).unwrap_or(activation);
        let reading = Reading {
            session: &self.session,
            memory: self.memory,
            redactor,
            bounds: values::Bounds {
                depth: self.options.depth,
                breadth: self.options.breadth,
                string_bytes: self.options.string_bytes,
            },
            frames: &frames.stack.frames,
        };
        let at = Standing { physical: *physical, activation, outermost, line: located.line };
        Ok(Some(run(&reading, &at)))
    }
}

/// Where a frame stands.
struct Standing<'s> {
    physical: usize,
    activation: &'s crate::dwarf::functions::Activation,
    /// The function that this one was inlined into, or itself.
    outermost: &'s crate::dwarf::functions::Activation,
    line: u32,
}

fn no_frame(frame: usize, count: usize) -> EvaluateError {
    let failure = Failure::new(Obstacle::NotFound, format!("there is no frame {frame}"));
    failure.why(format!("the thread has {count}")).at(0..0)
}

/// The same language over a stored capture alone.
///
/// # Errors
/// Like [`Inspection::evaluate`]; [`Obstacle::NotCaptured`] where the path leads to what the capture does not hold.
pub fn evaluate_captured(
    capture: &Capture,
    thread: i32,
    frame: usize,
    expression: &str,
) -> Result<Variable, EvaluateError> {
    let found = capture.threads.iter().find(|found| found.id == thread).ok_or_else(|| {
        Failure::new(Obstacle::NotFound, format!("there is no thread {thread} in this capture")).at(0..0)
    })?;
    let at = found.frames.get(frame).ok_or_else(|| no_frame(frame, found.frames.len()))?;
    evaluate::evaluate(&Captured::new(at), expression, &Bounds { breadth: 10_000, ..Bounds::default() })
}
