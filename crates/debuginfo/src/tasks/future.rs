//! From a future inwards to what it waits for: `async` functions, boxes, wrappers, alternatives, and the leaf.
//!
//! A coroutine says itself where it is suspended and what it awaits there; the layers that libraries put around futures are
//! told by having exactly one future in them. Where there are several, or none, the walk ends. Knows no runtime.

use std::rc::Rc;

use freezeframe_model::{Frame, FrameKind, Variable, VariableRole};

use super::layout::Thing;
use super::names;
use crate::dwarf::lines::join;
use crate::dwarf::location::Spot;
use crate::dwarf::types::{Member, Shape, Type};
use crate::dwarf::{Die, View};
use crate::language;
use crate::user_code::{Origin, UserCode};
use crate::values::Decoder;

/// Futures in futures that are followed.
const LAYERS_MAX: usize = 128;
/// Levels of members below a layer in which its future may be.
const INSIDE_MAX: usize = 4;
/// Alternatives of one `select!` or `join!`; the macros allow 64.
const BRANCHES_MAX: usize = 64;
/// Frames of one alternative that are named.
const BRANCH_FRAMES_MAX: usize = 8;
/// `select!` in `select!`.
const NESTING_MAX: usize = 3;
/// Variables of one frame, children counted, which its locals share evenly; but each has so many.
const FRAME_VARIABLES_MAX: usize = 500;
const VARIABLES_EACH_MIN: usize = 16;

/// How tokio, futures and tower call the one future in a wrapper, where its type alone does not show that it is one.
const INNER_NAMES: [&str; 5] = ["inner", "future", "fut", "value", "__0"];

/// The async stack of one future.
#[derive(Debug, Default)]
pub(super) struct Walked {
    /// Outermost first.
    pub(super) frames: Vec<Frame>,
    /// What stands at the end.
    pub(super) waits_for: Option<String>,
}

/// A place in the source.
#[derive(Clone, Debug, Default)]
struct Place {
    /// As recorded.
    file: String,
    /// Joined with the directory of compilation.
    full_path: String,
    line: u32,
}

/// Follows futures inwards.
pub(super) struct Walker<'w, 'd, 'a> {
    decoder: &'w mut Decoder<'d, 'a>,
    user_code: &'w UserCode,
    /// Path of the module.
    module: &'w str,
    /// Whether frames get their variables.
    with_variables: bool,
    /// How many alternatives this walk is in.
    nesting: usize,
    /// Where the macro is that the innermost coroutine so far is suspended in.
    in_macro: Option<Place>,
}

/// What the walk does next.
enum Next {
    /// Goes on with the future inside.
    Inner(Thing),
    /// Ends: what is waited for, where that is known.
    End(Option<String>),
}

impl<'w, 'd, 'a> Walker<'w, 'd, 'a> {
    pub(super) fn new(
        decoder: &'w mut Decoder<'d, 'a>,
        user_code: &'w UserCode,
        module: &'w str,
        with_variables: bool,
    ) -> Self {
        Self { decoder, user_code, module, with_variables, nesting: 0, in_macro: None }
    }

    pub(super) fn walk(&mut self, future: Thing) -> Walked {
        let mut walked = Walked::default();
        let mut at = future;
        for _ in 0..LAYERS_MAX {
            match self.layer(&at, &mut walked.frames) {
                Next::Inner(inner) => at = inner,
                Next::End(waits_for) => {
                    walked.waits_for = waits_for.map(|text| self.decoder.redacted(&text));
                    break;
                }
            }
        }
        walked
    }

    fn layer(&mut self, at: &Thing, frames: &mut Vec<Frame>) -> Next {
        if language::is_coroutine(&at.kind) {
            return self.coroutine(at, frames);
        }
        if let Some(inner) = self.transparent(at) {
            return inner.map_or_else(|| Next::End(Some(at.kind.name.clone())), Next::Inner);
        }
        if is_poll_fn(&at.kind) {
            return self.poll_function(at, frames);
        }
        let name = names::of_type(&at.kind);
        frames.push(self.frame(name.clone(), &Place::default()));
        let mut inner = self.futures_in(at);
        match (inner.pop(), inner.is_empty()) {
            (Some((_, future)), true) => Next::Inner(future),
            _ => Next::End(Some(name)),
        }
    }

    fn coroutine(&mut self, at: &Thing, frames: &mut Vec<Frame>) -> Next {
        let name = names::of_coroutine(&at.kind);
        let Some((case, state)) = at.active(self.decoder) else {
            frames.push(self.frame(name, &Place::default()));
            return Next::End(None);
        };
        let suspended = self.place(&at.kind, |member| member.name == case);
        let declared = self.place(&at.kind, |member| member.name == "0");
        let mut frame = self.frame(name.clone(), &suspended);
        // Within a library's macro, such as `select!`: the function stands where it was written, the macro in the frame of
        // what it made.
        self.in_macro = None;
        if frame.kind != FrameKind::User && suspended.file != declared.file {
            let own = self.frame(name, &declared);
            if own.kind == FrameKind::User {
                (frame, self.in_macro) = (own, Some(suspended));
            }
        }
        let is_suspended = last_part(&state.kind).starts_with("Suspend");
        let awaited = state.member(self.decoder, "__awaitee").filter(|_| is_suspended);
        if self.with_variables && frame.kind == FrameKind::User {
            frame.variables = self.variables(at, &state);
        }
        frames.push(frame);
        awaited.map_or(Next::End(None), Next::Inner)
    }

    /// Where a state of a coroutine was declared: for a suspended one, where it waits.
    fn place(&self, kind: &Type, is_it: impl Fn(&Member) -> bool) -> Place {
        let view = self.decoder.view;
        let found = || {
            let cases = &kind.record()?.variants.as_ref()?.cases;
            let case = cases.iter().find(|case| case.member.as_ref().is_some_and(&is_it))?;
            let file = view.source_file(kind.die.unit, case.file);
            let full_path = join(&view.unit(kind.die.unit)?.directory, &file);
            Some(Place { file, full_path, line: case.line })
        };
        found().unwrap_or_default()
    }

    /// What the coroutine keeps, as locals; what it was created with, as arguments.
    fn variables(&mut self, at: &Thing, state: &Thing) -> Vec<Variable> {
        let Some(record) = state.kind.record() else { return Vec::new() };
        let captured = captured(self.decoder.view, &at.kind);
        let mut kept: Vec<Member> = Vec::new();
        for member in &record.members {
            // An argument is also the local that it was moved to, which comes first; nameless are the compiler's own.
            let is_known = kept.iter().any(|other| other.name == member.name);
            if !is_known && !member.name.starts_with("__") {
                kept.push(member.clone());
            }
        }
        let each = FRAME_VARIABLES_MAX / kept.len().max(1);
        let mut variables = self.decoder.locals(&kept, &state.spot, each.max(VARIABLES_EACH_MIN));
        for variable in variables.iter_mut().filter(|variable| captured.contains(&variable.name)) {
            variable.role = VariableRole::Argument;
        }
        variables.sort_by_key(|variable| variable.role != VariableRole::Argument);
        variables
    }

    fn frame(&self, function: String, place: &Place) -> Frame {
        let kind = self.user_code.kind(&Origin {
            function: &function,
            file: &place.file,
            full_path: &place.full_path,
            module: self.module,
            in_main_executable: true,
            module_is_described: true,
        });
        let function = self.decoder.redacted(&function);
        Frame { function, file: place.file.clone(), line: place.line, kind, ..Frame::default() }
    }

    /// Looks through pointers and what the core library wraps around values; the inner `None` where that leads nowhere.
    fn transparent(&self, at: &Thing) -> Option<Option<Thing>> {
        if let Shape::Pointer(_) = at.kind.shape {
            return Some(at.pointee(self.decoder));
        }
        let record = at.kind.record()?;
        if record.member("pointer").is_some() && record.member("vtable").is_some() {
            return Some(self.dynamic(at));
        }
        if !is_wrapper(&at.kind) {
            return None;
        }
        let sized = |(_, inner): &(String, Thing)| inner.kind.size != Some(0);
        Some(at.members(self.decoder).into_iter().find(sized).map(|(_, inner)| inner))
    }

    /// A boxed future: its table of functions tells the type.
    fn dynamic(&self, at: &Thing) -> Option<Thing> {
        let table = at.member(self.decoder, "vtable")?.word(self.decoder)?;
        let data = at.member(self.decoder, "pointer")?.word(self.decoder).filter(|data| *data != 0)?;
        let concrete = (self.decoder.type_of_vtable)(table)?;
        Some(Thing { kind: self.decoder.view.read_type(concrete), spot: Spot::Memory(data) })
    }

    /// The members that are futures.
    fn futures_in(&self, at: &Thing) -> Vec<(String, Thing)> {
        let view = self.decoder.view;
        let members = at.members(self.decoder);
        let futures: Vec<_> =
            members.iter().filter(|(_, member)| holds_future(view, &member.kind, 0)).cloned().collect();
        if !futures.is_empty() {
            return futures;
        }
        // A leaf in a wrapper: `Timeout<Receiver>`.
        let parameters: Vec<Die> = at
            .kind
            .record()
            .map(|record| record.parameters.iter().map(|(_, kind)| *kind).collect())
            .unwrap_or_default();
        let is_parameter = |(name, member): &&(String, Thing)| {
            INNER_NAMES.contains(&name.as_str())
                && member.kind.record().is_some()
                && !member.kind.name.starts_with("{closure")
                && parameters.contains(&member.kind.die)
        };
        members.iter().filter(is_parameter).cloned().collect()
    }

    /// `poll_fn`: waits for what the function around its closure does. `select!` and `join!` are made of it.
    fn poll_function(&mut self, at: &Thing, frames: &mut Vec<Frame>) -> Next {
        let place = self.in_macro.take().unwrap_or_default();
        let closure = at.members(self.decoder).into_iter().map(|(_, member)| member).next();
        let Some(closure) = closure else { return Next::End(Some(names::of_type(&at.kind))) };
        let name = names::of_type(&closure.kind);
        // The macros keep the futures in one tuple that the closure refers to.
        let captured = closure.members(self.decoder).into_iter().filter_map(|(_, member)| {
            let mut target = member;
            for _ in 0..INSIDE_MAX {
                let Shape::Pointer(_) = target.kind.shape else { break };
                target = target.pointee(self.decoder)?;
            }
            (target.kind.name.starts_with('(') && target.kind.record().is_some()).then_some(target)
        });
        let Some(tuple) = captured.into_iter().next().filter(|_| self.nesting < NESTING_MAX) else {
            return Next::End(Some(
                name.rsplit_once("::{closure#").map_or(name.as_str(), |(outer, _)| outer).to_owned(),
            ));
        };
        frames.push(self.frame(name, &place));
        let branches: Vec<Thing> =
            tuple.members(self.decoder).into_iter().map(|(_, branch)| branch).take(BRANCHES_MAX).collect();
        let is_join = branches.iter().any(|branch| branch.kind.plain_path().ends_with("::MaybeDone"));
        let told: Vec<String> = branches.into_iter().filter_map(|branch| self.branch(branch)).collect();
        let how = if is_join { "all of" } else { "any of" };
        Next::End(Some(format!("{how}: {}", told.join("; "))))
    }

    /// One alternative in words; `None` where it is done.
    fn branch(&mut self, branch: Thing) -> Option<String> {
        if branch.kind.plain_path().ends_with("::MaybeDone")
            && branch.active(self.decoder).is_none_or(|(name, _)| name != "Future")
        {
            return None;
        }
        let mut walker = Walker {
            decoder: self.decoder,
            user_code: self.user_code,
            module: self.module,
            with_variables: false,
            nesting: self.nesting + 1,
            in_macro: None,
        };
        let walked = walker.walk(branch);
        // Of a library's own depths the entrance is enough.
        let has_own = walked.frames.iter().any(|frame| frame.kind == FrameKind::User);
        let told = walked.frames.iter().filter(|frame| frame.line > 0);
        let told = told.filter(|frame| !has_own || frame.kind == FrameKind::User);
        let most = if has_own { BRANCH_FRAMES_MAX } else { 1 };
        let places = told.take(most).map(|frame| {
            let file = frame.file.rsplit('/').next().unwrap_or_default();
            format!("{} ({file}:{})", frame.function, frame.line)
        });
        Some(places.chain(walked.waits_for).collect::<Vec<_>>().join(" › "))
    }
}

/// Names of what a coroutine was created with: its members before it first runs.
fn captured(view: &View<'_>, kind: &Rc<Type>) -> Vec<String> {
    let cases = kind.record().and_then(|record| record.variants.as_ref()).map(|variants| &variants.cases);
    let states = cases.into_iter().flatten().filter_map(|case| case.member.as_ref()?.kind);
    let unresumed = states.map(|state| view.read_type(state)).find(|state| last_part(state) == "Unresumed");
    let members = unresumed.as_ref().and_then(|state| state.record()).map(|record| record.members.as_slice());
    members.unwrap_or_default().iter().map(|member| member.name.clone()).collect()
}

/// A type's own name: `Suspend0`.
fn last_part(kind: &Type) -> &str {
    kind.path.rsplit("::").next().unwrap_or_default()
}

/// `core::future::PollFn` and what libraries had before it was there.
fn is_poll_fn(kind: &Type) -> bool {
    kind.plain_path().ends_with("::future::poll_fn::PollFn")
}

/// Types of the core library that are nothing but their content.
fn is_wrapper(kind: &Type) -> bool {
    matches!(
        kind.plain_path(),
        "core::pin::Pin"
            | "core::mem::manually_drop::ManuallyDrop"
            | "core::mem::maybe_uninit::MaybeUninit"
            | "core::mem::maybe_dangling::MaybeDangling"
            | "core::cell::UnsafeCell"
            | "core::cell::Cell"
            | "core::option::Option"
            | "core::panic::unwind_safe::AssertUnwindSafe"
            | "core::ptr::unique::Unique"
            | "core::ptr::non_null::NonNull"
    )
}

/// Whether a future that can be followed is in a value of this type.
fn holds_future(view: &View<'_>, kind: &Type, depth: usize) -> bool {
    if language::is_coroutine(kind) || is_poll_fn(kind) {
        return true;
    }
    if depth >= INSIDE_MAX {
        return false;
    }
    if let Shape::Pointer(target) = kind.shape {
        // References are how a future borrows; only what it owns or has pinned is part of it.
        let is_owned = kind.name.starts_with("alloc::boxed::Box<");
        return is_owned
            && target.is_some_and(|target| holds_future(view, &view.read_type(target), depth + 1));
    }
    let Some(record) = kind.record() else { return false };
    if record.member("vtable").is_some() && record.member("pointer").is_some() {
        return kind.name.contains("dyn core::future::future::Future");
    }
    if kind.plain_path() == "core::pin::Pin" {
        let target = record.members.first().and_then(|member| member.kind).map(|kind| view.read_type(kind));
        return target.is_some_and(|target| match target.shape {
            Shape::Pointer(Some(target)) => holds_future(view, &view.read_type(target), depth + 1),
            _ => holds_future(view, &target, depth + 1),
        });
    }
    let is_foreign = ["alloc::", "std::", "core::"].iter().any(|path| kind.path.starts_with(path));
    if is_foreign && !is_wrapper(kind) {
        return false;
    }
    let states = record.variants.iter().flat_map(|variants| &variants.cases);
    let members = record.members.iter().chain(states.filter_map(|case| case.member.as_ref()));
    members
        .filter_map(|member| member.kind)
        .any(|inner| holds_future(view, &view.read_type(inner), depth + 1))
}
