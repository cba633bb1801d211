//! A whole capture: every thread's frames and variables, the site, and a list of what is missing.

use std::cell::OnceCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use freezeframe_model::{Capture, Frame, FrameKind, Site, Thread, ThreadState, Value, Variable};
use freezeframe_redact::Redactor;

use crate::arch::Registers;
use crate::blocked::{Locks, blocked_on};
use crate::decoded::Budget;
use crate::frames::{Located, Session};
use crate::memory::Memory;
use crate::modules::Modules;
use crate::scope::Reading;
use crate::source;
use crate::tasks;
use crate::unwind::{Stack, StackEnd, StackFrame};
use crate::user_code::{Origin, UserCode, is_error_machinery};
use crate::values::Bounds;

/// Frames that may lie between two functions of one panic's machinery.
const MACHINERY_GAP: usize = 16;
/// Threads of one process that are captured.
const THREADS_MAX: usize = 4096;

/// A thread as it was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoppedThread {
    /// The kernel's thread id.
    pub id: i32,
    /// Its name (`comm`).
    pub name: String,
    /// Whether the error happened on it.
    pub failing: bool,
    /// What it was doing.
    pub state: ThreadState,
    /// The system call it was in, by name.
    pub syscall: Option<String>,
    /// Its general registers.
    pub registers: Registers,
    /// Address of the futex word that it waits on.
    pub futex: Option<u64>,
    /// Where its thread-local variables are (x86-64: `fs_base`).
    pub thread_pointer: Option<u64>,
}

/// Bounds of a capture.
#[derive(Clone, Debug)]
pub struct Options {
    /// Frames per thread, inlined ones not counted.
    pub max_frames: usize,
    /// Pointers and structures that are followed inwards.
    pub depth: usize,
    /// Elements and fields of one value.
    pub breadth: usize,
    /// Bytes of one text.
    pub string_bytes: usize,
    /// Variables in all, children counted.
    pub variables_max: usize,
    /// Time for everything; what is not done by then is left out and said so.
    pub time: Duration,
    /// Lines of source on either side of the site.
    pub source_lines: u32,
    /// Whose code a frame is.
    pub user_code: UserCode,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_frames: 256,
            depth: 6,
            breadth: 64,
            string_bytes: 4096,
            variables_max: 20_000,
            time: Duration::from_secs(2),
            source_lines: 5,
            user_code: UserCode::default(),
        }
    }
}

/// Decodes stopped threads into frames and values. All texts have passed `redactor`.
///
/// What matters most comes first, so that a short budget cuts the least: the failing thread's stack and the variables of its
/// user frames; the stacks of all threads; the variables of their user frames; last the failing thread's library frames,
/// shallowly. Each may use what those before it left, and no single value more than a part of what is left.
///
/// Never fails as a whole: what could not be had is in [`Capture::not_captured`] or stands in the variable's place.
pub fn capture(
    memory: &dyn Memory,
    modules: &Modules,
    threads: &[StoppedThread],
    options: &Options,
    redactor: &Redactor,
) -> Capture {
    let begun = Instant::now();
    let session = Session::new(modules);
    let mut work = Work {
        memory,
        session: &session,
        options,
        redactor,
        begun,
        variables_spent: 0,
        out: Capture::default(),
        seen: Vec::new(),
        locks: OnceCell::new(),
    };
    let mut ordered: Vec<&StoppedThread> = threads.iter().collect();
    ordered.sort_by_key(|thread| (!thread.failing, thread.id));
    if ordered.len() > THREADS_MAX {
        let left = ordered.len() - THREADS_MAX;
        work.out.lose(format!("{left} threads"), format!("only {THREADS_MAX} threads are captured"));
        ordered.truncate(THREADS_MAX);
    }
    let behind = ordered.iter().take_while(|thread| thread.failing).count();
    let (failing, others) = ordered.split_at(behind);
    let mut walked: Vec<Walked<'_>> = failing.iter().map(|thread| work.stack(thread, STACKS)).collect();
    for walked in &mut walked {
        work.out.site = site(&walked.shown);
        work.source(&walked.shown);
        work.variables(walked, &FAILING);
    }
    walked.extend(others.iter().map(|thread| work.stack(thread, STACKS)));
    for walked in walked.iter_mut().skip(behind) {
        work.variables(walked, &OTHERS);
    }
    for walked in walked.iter_mut().take(behind) {
        work.variables(walked, &LIBRARIES);
    }
    for walked in walked {
        work.finish(walked, threads);
    }
    work.site();
    work.module_losses();
    let deadline = work.deadline(100);
    let mut capture = work.out;
    let scene = tasks::Scene { session: &session, memory, redactor, options, threads, deadline };
    tasks::read(&scene, &mut capture);
    capture.decode_us = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
    capture
}

/// A part of the work on variables.
struct Phase {
    /// Whose variables, for the list of losses.
    what: &'static str,
    /// Library frames, rather than the user's.
    libraries: bool,
    /// Parts of a hundred of the time and of the variables after which it ends; what was not used before is its, too.
    until: u32,
    /// Bounds of its values, where the options allow more.
    depth: usize,
    breadth: usize,
    string_bytes: usize,
}

const FAILING: Phase = Phase {
    what: "some frames of the failing thread",
    libraries: false,
    until: 45,
    depth: usize::MAX,
    breadth: usize::MAX,
    string_bytes: usize::MAX,
};
/// Parts of a hundred of the time after which frames are named by their symbols alone.
const STACKS: u32 = 65;
const OTHERS: Phase = Phase {
    what: "some frames of the other threads",
    libraries: false,
    until: 80,
    depth: 4,
    breadth: 32,
    string_bytes: 1024,
};
const LIBRARIES: Phase = Phase {
    what: "some library frames",
    libraries: true,
    until: 88,
    depth: 2,
    breadth: 16,
    string_bytes: 512,
};

/// Part of what is left that one frame may take.
const FRAME_SHARE: u32 = 2;
/// Variables that a frame may always have, as long as there are any.
const FRAME_VARIABLES_MIN: usize = 200;

struct Work<'w, 'a> {
    memory: &'w dyn Memory,
    session: &'w Session<'a>,
    options: &'w Options,
    redactor: &'w Redactor,
    begun: Instant,
    variables_spent: usize,
    out: Capture,
    /// By module of the capture: its index in the session.
    seen: Vec<usize>,
    locks: OnceCell<Locks>,
}

/// A thread whose stack is known.
struct Walked<'t> {
    thread: &'t StoppedThread,
    stack: Stack,
    shown: Vec<Shown>,
}

/// A frame of the capture with what is needed to go on with it.
struct Shown {
    frame: Frame,
    located: Rc<Located>,
    /// Index of the physical frame.
    physical: usize,
}

impl Work<'_, '_> {
    /// When so many hundredths of the time are over.
    fn deadline(&self, hundredths: u32) -> Instant {
        let part = self.options.time.saturating_mul(hundredths) / 100;
        self.begun.checked_add(part).unwrap_or(self.begun)
    }

    fn stack<'t>(&mut self, thread: &'t StoppedThread, until: u32) -> Walked<'t> {
        let stack = self.session.modules.unwind(self.memory, &thread.registers, self.options.max_frames);
        let shown = self.frames(thread, &stack, self.deadline(until));
        Walked { thread, stack, shown }
    }

    fn finish(&mut self, walked: Walked<'_>, threads: &[StoppedThread]) {
        let Walked { thread, stack, shown } = walked;
        let truncated = match &stack.end {
            StackEnd::Complete => None,
            StackEnd::Stopped(reason) => {
                self.out.lose(format!("outer frames of thread {}", thread.id), reason.clone());
                Some(reason.clone())
            }
        };
        if stack.frames.iter().any(|frame| frame.recovery.is_guess()) {
            self.out.lose(
                format!("certainty of some frames of thread {}", thread.id),
                "there was no unwind table: the frame pointer or the top of the stack was followed",
            );
        }
        self.out.threads.push(Thread {
            id: thread.id,
            name: self.redactor.text(&thread.name).into_owned(),
            failing: thread.failing,
            state: thread.state,
            syscall: thread.syscall.clone(),
            blocked_on: blocked_on(thread, threads, self.memory, &self.locks),
            frames: shown.into_iter().map(|shown| shown.frame).collect(),
            truncated,
        });
    }

    fn frames(&mut self, thread: &StoppedThread, stack: &Stack, deadline: Instant) -> Vec<Shown> {
        let mut shown = Vec::new();
        for (physical, frame) in stack.frames.iter().enumerate() {
            let located = if Instant::now() < deadline {
                self.session.locate(frame)
            } else {
                self.out.lose(format!("lines of thread {}", thread.id), "time ran out");
                vec![Rc::new(self.session.locate_coarsely(frame))]
            };
            let module = frame.module.map(|module| self.module(module));
            for located in located {
                let kind = self.kind(frame, &located);
                let frame = Frame {
                    function: self.redactor.text(&located.function).into_owned(),
                    file: located.file.clone(),
                    line: located.line,
                    inlined: located.inlined,
                    kind,
                    address: frame.pc,
                    module,
                    module_offset: frame.module_offset,
                    variables: Vec::new(),
                };
                shown.push(Shown { frame, located, physical });
            }
        }
        shown
    }

    fn kind(&self, frame: &StackFrame, located: &Located) -> FrameKind {
        if frame.signal_frame {
            return FrameKind::SignalTrampoline;
        }
        let module = frame.module.and_then(|module| self.session.modules.module(module));
        self.options.user_code.kind(&Origin {
            function: &located.function,
            file: &located.file,
            full_path: &located.full_path,
            module: module.map_or("", |module| module.mapping.path.as_str()),
            in_main_executable: frame.module == Some(0),
            module_is_described: frame.module.is_some_and(|module| self.session.view(module).is_some()),
        })
    }

    /// Index in the capture of a module, which is entered when it is first met.
    fn module(&mut self, index: usize) -> u32 {
        let known = self.seen.iter().position(|seen| *seen == index);
        let at = known.unwrap_or_else(|| {
            self.seen.push(index);
            self.out.modules.push(self.session.modules.describe(index));
            self.seen.len().saturating_sub(1)
        });
        u32::try_from(at).unwrap_or(u32::MAX)
    }

    /// Variables of the user's frames of a thread, or of the others, as far as the phase's budget goes.
    fn variables(&mut self, walked: &mut Walked<'_>, phase: &Phase) {
        let deadline = self.deadline(phase.until);
        let share = self.options.variables_max.saturating_mul(phase.until as usize) / 100;
        let Walked { stack, shown, .. } = walked;
        let reading = Reading {
            session: self.session,
            memory: self.memory,
            redactor: Some(self.redactor),
            bounds: Bounds {
                depth: self.options.depth.min(phase.depth),
                breadth: self.options.breadth.min(phase.breadth),
                string_bytes: self.options.string_bytes.min(phase.string_bytes),
            },
            frames: &stack.frames,
        };
        for index in 0..shown.len() {
            let Some(Shown { frame, located, physical }) = shown.get(index) else { break };
            let (physical, kind, line) = (*physical, frame.kind, frame.line);
            let Some(activation) = located.activation.clone() else { continue };
            if (kind != FrameKind::User) != phase.libraries {
                continue;
            }
            let left = share.saturating_sub(self.variables_spent);
            let now = Instant::now();
            if left == 0 || now >= deadline {
                let why = if left == 0 { "the limit of variables is reached" } else { "time ran out" };
                self.out.lose(format!("variables of {}", phase.what), why);
                return;
            }
            // The activations of one physical frame lie together; its own function is the last of them.
            let last = shown.iter().rev().find(|other| other.physical == physical);
            let outermost =
                last.and_then(|last| last.located.activation.clone()).unwrap_or_else(|| activation.clone());
            let own = (left / FRAME_SHARE as usize).max(FRAME_VARIABLES_MIN).min(left);
            let mut budget = Budget::new(own, now + deadline.saturating_duration_since(now) / FRAME_SHARE);
            let variables = reading.variables(physical, &activation, &outermost, line, &mut budget);
            self.variables_spent = self.variables_spent.saturating_add(own.saturating_sub(budget.variables));
            if !phase.libraries && variables.iter().any(was_cut) {
                self.out.lose("parts of some variables", "larger than the limits; each place is marked");
            }
            if let Some(shown) = shown.get_mut(index) {
                shown.frame.variables = variables;
            }
        }
    }

    /// Where no thread was marked as failing, the first one with a site speaks for all.
    fn site(&mut self) {
        if self.out.threads.iter().all(|thread| !thread.failing) && !self.out.threads.is_empty() {
            self.out.lose("site", "no thread is known to have failed");
        }
    }

    fn source(&mut self, shown: &[Shown]) {
        let site = &self.out.site;
        let at_site = |shown: &&Shown| {
            shown.frame.file == site.file
                && shown.frame.line == site.line
                && shown.frame.function == site.function
        };
        let Some(found) = shown.iter().find(at_site).filter(|found| found.frame.line > 0) else { return };
        match source::read(&found.located.full_path, found.frame.line, self.options.source_lines) {
            Ok(mut lines) => {
                for line in &mut lines {
                    line.text = source::redact(&line.text, self.redactor);
                }
                self.out.source = lines;
            }
            Err(why) => self.out.lose("source around the site", why),
        }
    }

    fn module_losses(&mut self) {
        let failing = self.out.failing_thread();
        let user_modules: Vec<u32> = failing
            .into_iter()
            .flat_map(|thread| &thread.frames)
            .filter(|frame| frame.kind == FrameKind::User)
            .filter_map(|frame| frame.module)
            .collect();
        // A program's crates may be built each in its own way, and only some of its units were looked at to tell.
        let frames = failing.into_iter().flat_map(|thread| &thread.frames);
        let with_variables: Vec<u32> =
            frames.filter(|frame| !frame.variables.is_empty()).filter_map(|frame| frame.module).collect();
        for (at, index) in self.seen.clone().into_iter().enumerate() {
            let Some(module) = self.out.modules.get_mut(at) else { continue };
            if u32::try_from(at).is_ok_and(|at| with_variables.contains(&at)) {
                "full".clone_into(&mut module.debug_info);
            }
            let (path, debug_info) = (module.path.clone(), module.debug_info.clone());
            if let Some(error) = self.session.modules.open_error(index) {
                self.out.lose(format!("names and unwind tables of {path}"), error);
                continue;
            }
            let losses = self.session.view(index).map(|view| view.losses()).unwrap_or_default();
            for (what, why) in losses {
                self.out.lose(self.redactor.text(&what).into_owned(), self.redactor.text(&why).into_owned());
            }
            let is_user = u32::try_from(at).is_ok_and(|at| user_modules.contains(&at));
            if !is_user {
                continue;
            }
            match debug_info.as_str() {
                "full" => {}
                "line tables only" => self.out.lose(
                    format!("variables of {path}"),
                    "it was built with line tables only; build with debug = 2 (Rust) or -g (C, C++)",
                ),
                _ => {
                    let tried = self.session.modules.tried(index);
                    let tried =
                        if tried.is_empty() { String::new() } else { format!("; looked for it in {tried}") };
                    self.out.lose(
                        format!("lines and variables of {path}"),
                        format!(
                            "it has no debug information (a stripped binary?); build with debug = 2 (Rust) or -g (C, C++){tried}"
                        ),
                    );
                }
            }
        }
    }
}

/// The user's own frame that the error is attributed to: the first one outwards from the machinery of panics and aborts.
fn site(shown: &[Shown]) -> Site {
    let mut behind = 0usize;
    for (at, shown) in shown.iter().enumerate() {
        if at > behind.saturating_add(MACHINERY_GAP) {
            break;
        }
        if is_error_machinery(&shown.located.function) {
            behind = at.saturating_add(1);
        }
    }
    let is_own = |shown: &&Shown| shown.frame.kind == FrameKind::User;
    let outer = || shown.iter().skip(behind);
    let own_with_file = |shown: &&Shown| is_own(shown) && !shown.frame.file.is_empty();
    let found = outer()
        .find(own_with_file)
        .or_else(|| shown.iter().find(own_with_file))
        .or_else(|| outer().find(|shown| is_own(shown) && shown.located.named))
        .or_else(|| outer().find(|shown| shown.located.named))
        .or_else(|| shown.first());
    found.map_or_else(Site::default, |found| Site {
        function: found.frame.function.clone(),
        file: found.frame.file.clone(),
        line: found.frame.line,
    })
}

fn was_cut(variable: &Variable) -> bool {
    matches!(variable.value, Value::Cut(_)) || variable.children.iter().any(was_cut)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Snapshot;

    #[test]
    fn the_failing_thread_comes_first_and_what_is_missing_is_listed() {
        let modules = Modules::new(Vec::new(), Box::new(|_| Err(std::io::ErrorKind::NotFound.into())));
        let thread = |id, failing| {
            let mut registers = Registers::default();
            registers.set(crate::arch::RETURN_ADDRESS, Some(0x1234));
            StoppedThread { id, failing, name: format!("worker {id}"), registers, ..StoppedThread::default() }
        };
        let threads = [thread(3, false), thread(1, false), thread(2, true)];
        let capture =
            capture(&Snapshot::default(), &modules, &threads, &Options::default(), &Redactor::default());
        let ids: Vec<i32> = capture.threads.iter().map(|thread| thread.id).collect();
        assert_eq!(ids, [2, 1, 3]);
        let failing = capture.failing_thread().expect("marked as failing");
        assert_eq!(failing.frames.len(), 1);
        assert_eq!(failing.truncated.as_deref(), Some("no unwind table for 0x1234"));
        let losses: Vec<&str> = capture.not_captured.iter().map(|loss| loss.what.as_str()).collect();
        assert_eq!(
            losses,
            ["outer frames of thread 2", "outer frames of thread 1", "outer frames of thread 3"]
        );
    }

    #[test]
    fn a_thread_without_registers_is_harmless() {
        let modules = Modules::new(Vec::new(), Box::new(|_| Err(std::io::ErrorKind::NotFound.into())));
        let threads = [StoppedThread { failing: true, ..StoppedThread::default() }];
        let capture =
            capture(&Snapshot::default(), &modules, &threads, &Options::default(), &Redactor::default());
        assert_eq!(capture.threads.len(), 1);
        assert_eq!(capture.site, Site::default());
    }
}
