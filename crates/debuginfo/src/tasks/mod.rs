//! The asynchronous tasks of a stopped process, each with its async stack: tokio's, so far.
//!
//! Found and decoded from the debug information of the service's own crates alone, in which generic code of the runtime is
//! described with everything it touches; the runtime itself is usually built without. Nothing is guessed: where a layout
//! does not fit, that runtime's remaining tasks are left out and the capture says so. A process without tokio has no tasks
//! and nothing is said.

mod cell;
mod future;
mod layout;
mod names;
mod runtime;

use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use freezeframe_model::{Capture, Frame, FrameKind, Task, TaskState};
use freezeframe_redact::Redactor;

use crate::capture::{Options, StoppedThread};
use crate::decoded::Budget;
use crate::dwarf::types::Type;
use crate::dwarf::{Die, View};
use crate::frames::Session;
use crate::memory::{Memory, Paged};
use crate::values::{Bounds, Decoder};
use future::Walker;
use layout::Thing;
pub(crate) use runtime::TYPES as RUNTIME_TYPES;
use runtime::{CONTEXT_SYMBOL, Inside, Layouts, POLL_SYMBOL};

/// Tasks of a process that are read.
const TASKS_MAX: usize = 4_096;
/// Tasks whose variables are decoded.
const WITH_VARIABLES_MAX: usize = 256;
/// The main executable: the file first in the address space.
const MAIN: usize = 0;
/// Part of a capture's time that its tasks may take.
const SHARE_OF_TIME: u32 = 4;
/// Part of a capture's variables that may come on top for its tasks.
const SHARE_OF_VARIABLES: usize = 2;
/// Kinds of tasks whose functions point to the units that are searched first.
const UNITS_FIRST_MAX: usize = 64;

/// What tasks are read from.
pub(crate) struct Scene<'s, 'a> {
    pub(crate) session: &'s Session<'a>,
    pub(crate) memory: &'s dyn Memory,
    pub(crate) redactor: &'s Redactor,
    pub(crate) options: &'s Options,
    pub(crate) threads: &'s [StoppedThread],
    /// End of the whole capture's time.
    pub(crate) deadline: Instant,
}

/// Adds the tasks to the capture, whose threads have been read by then.
pub(crate) fn read(scene: &Scene<'_, '_>, capture: &mut Capture) {
    let time = scene.options.time.checked_div(SHARE_OF_TIME).unwrap_or(Duration::ZERO);
    let deadline = Instant::now().checked_add(time).map_or(scene.deadline, |end| end.min(scene.deadline));
    let reader = Reader { scene, deadline };
    if let Err(why) = reader.read(capture) {
        capture.lose("asynchronous tasks", why);
    }
    capture.tasks.sort_by_key(|task| (task.state != TaskState::Running, task.id.unwrap_or(u64::MAX)));
}

struct Reader<'r, 's, 'a> {
    scene: &'r Scene<'s, 'a>,
    deadline: Instant,
}

/// What is known of all tasks of one type.
#[derive(Clone)]
struct Sort {
    cell: Rc<Type>,
    future: Option<Rc<Type>>,
}

impl<'a> Reader<'_, '_, 'a> {
    fn read(&self, capture: &mut Capture) -> Result<(), String> {
        let Some(polls) = self.poll_functions() else { return Ok(()) };
        let modules = self.scene.session.modules;
        let variable = modules.files(MAIN).find_map(|elf| elf.thread_local(CONTEXT_SYMBOL));
        let variable =
            variable.ok_or("the symbol of tokio's thread-local context is missing (a stripped binary?)")?;
        let threads: Vec<(i32, u64)> = self
            .scene
            .threads
            .iter()
            .filter_map(|thread| Some((thread.id, thread.thread_pointer?)))
            .collect();
        if threads.is_empty() {
            return Err("where the threads keep their own variables is not known".to_owned());
        }
        let view = self
            .scene
            .session
            .view(MAIN)
            .ok_or("the program has no debug information; build with debug = 2")?;
        let bias =
            modules.bias(MAIN, self.scene.memory).ok_or("the program's place in memory is not known")?;
        let memory = Paged::new(self.scene.memory);
        let variables = self.scene.options.variables_max / SHARE_OF_VARIABLES;
        let mut budget = Budget::new(variables, self.deadline);
        let type_of_vtable = |table: u64| concrete_type(&view, &memory, table, bias);
        let function_at = |address| self.scene.session.name_at(address, self.scene.memory);
        let options = self.scene.options;
        let mut decoder = Decoder {
            view: &view,
            memory: &memory,
            redactor: Some(self.scene.redactor),
            budget: &mut budget,
            bounds: Bounds {
                depth: options.depth,
                breadth: options.breadth,
                string_bytes: options.string_bytes,
            },
            type_of_vtable: &type_of_vtable,
            function_at: &function_at,
            listing: None,
        };
        let mut first: Vec<usize> = polls.iter().filter_map(|address| view.unit_at(*address)).collect();
        first.dedup();
        let layouts = Layouts::find(&decoder, &first, self.deadline)?;
        let inside = runtime::contexts(&decoder, &layouts, variable, &threads);
        let found = runtime::owned_tasks(&decoder, &layouts, &inside, TASKS_MAX, self.deadline);
        for why in found.losses {
            capture.lose("some asynchronous tasks", why);
        }
        if found.more {
            capture.lose("some asynchronous tasks", format!("only {TASKS_MAX} are read"));
        }
        let place = |address: u64| Some(address.wrapping_sub(bias));
        let mut sorts: HashMap<u64, Option<Sort>> = HashMap::new();
        for (number, listed) in found.tasks.iter().enumerate() {
            let header = &listed.header;
            let sort = runtime::vtable(&decoder, header).and_then(|table| {
                let read = || {
                    let cell = cell::cell_type(&decoder, &table, &place)?;
                    Some(Sort { future: cell::future_type(&view, &cell), cell })
                };
                sorts.entry(table.address()?).or_insert_with(read).clone()
            });
            let with_variables = number < WITH_VARIABLES_MAX;
            let task = self.task(&mut decoder, header, sort.as_ref(), &inside, with_variables, capture);
            capture.tasks.push(task);
        }
        self.losses(found.tasks.len(), &sorts, capture);
        Ok(())
    }

    /// Addresses in the file of functions that poll tasks; `None` where the program has no such thing.
    fn poll_functions(&self) -> Option<Vec<u64>> {
        let mut found = Vec::new();
        for elf in self.scene.session.modules.files(MAIN) {
            let symbols = elf.symbols().iter().filter(|symbol| elf.symbol_name(symbol).contains(POLL_SYMBOL));
            found.extend(symbols.take(UNITS_FIRST_MAX).map(|symbol| symbol.address));
        }
        (!found.is_empty()).then_some(found)
    }

    fn task(
        &self,
        decoder: &mut Decoder<'_, 'a>,
        header: &Thing,
        sort: Option<&Sort>,
        inside: &[Inside],
        with_variables: bool,
        capture: &Capture,
    ) -> Task {
        let cell = sort.and_then(|sort| cell::cell(header, &sort.cell));
        let mut task = Task {
            id: cell::id(decoder, header, cell.as_ref()),
            state: cell::state_word(decoder, header).map(cell::state).unwrap_or_default(),
            spawned_at: cell.as_ref().and_then(|cell| cell::spawned_at(decoder, cell)),
            ..Task::default()
        };
        let future = sort.and_then(|sort| sort.future.clone());
        task.name =
            future.as_ref().map_or_else(|| UNKNOWN_FUTURE.to_owned(), |future| names::of_type(future));
        task.name = self.scene.redactor.text(&task.name).into_owned();
        let is_over = Instant::now() >= self.deadline;
        if let Some(future) = cell.as_ref().filter(|_| !is_over).and_then(|cell| cell::future(decoder, cell))
        {
            let module =
                self.scene.session.modules.module(MAIN).map_or("", |module| module.mapping.path.as_str());
            let with_variables = with_variables && task.state != TaskState::Running;
            let user_code = &self.scene.options.user_code;
            let mut walker = Walker::new(decoder, user_code, module, with_variables);
            let walked = walker.walk(future);
            let outermost = walked.frames.iter().find(|frame| frame.line > 0).or(walked.frames.first());
            if let Some(outermost) = outermost {
                task.name.clone_from(&outermost.function);
            }
            task.waits_for = walked.waits_for;
            task.frames = walked.frames.into_iter().rev().collect();
        }
        if task.state == TaskState::Running {
            // What the future says is where it waited last; where it is now, only its thread knows.
            task.waits_for = None;
            task.thread = inside
                .iter()
                .find(|inside| inside.task.is_some() && inside.task == task.id)
                .map(|i| i.thread);
            task.frames = task.thread.map(|thread| polled_frames(capture, thread)).unwrap_or_default();
        }
        task
    }

    fn losses(&self, tasks: usize, sorts: &HashMap<u64, Option<Sort>>, capture: &mut Capture) {
        if sorts.values().any(Option::is_none) {
            capture.lose(
                "async stacks of some tasks",
                "what they run was compiled without debug information (a library's task?)",
            );
        }
        if tasks > WITH_VARIABLES_MAX {
            capture
                .lose("variables of some tasks", format!("only those of {WITH_VARIABLES_MAX} are decoded"));
        }
        if Instant::now() >= self.deadline && tasks > 0 {
            capture.lose("async stacks of some tasks", "time ran out");
        }
        let lost = |task: &Task| task.state == TaskState::Running && task.frames.is_empty();
        if capture.tasks.iter().any(lost) {
            capture.lose("frames of some running tasks", "which thread polls them is not known");
        }
    }
}

/// Name of a task whose future is not described.
const UNKNOWN_FUTURE: &str = "(a future without debug information)";

/// The frames of a thread inwards from where it polls its task.
fn polled_frames(capture: &Capture, thread: i32) -> Vec<Frame> {
    let Some(thread) = capture.threads.iter().find(|other| other.id == thread) else { return Vec::new() };
    let machinery =
        ["tokio::runtime::task::raw::", "tokio::runtime::task::harness::", "tokio::runtime::task::core::"];
    let is_poll = |frame: &Frame| {
        frame.kind == FrameKind::Library && machinery.iter().any(|part| frame.function.contains(part))
    };
    let end = thread.frames.iter().position(is_poll).unwrap_or(0);
    let frames = thread.frames.iter().take(end);
    frames.map(|frame| Frame { variables: Vec::new(), ..frame.clone() }).collect()
}

/// The type behind a table of a trait's functions, by the units of its functions where no unit that was read knows it.
fn concrete_type(view: &View<'_>, memory: &dyn Memory, table: u64, bias: u64) -> Option<Die> {
    // Drop, size, alignment, then the trait's first function.
    const FUNCTIONS: [u64; 2] = [24, 0];
    let address = table.wrapping_sub(bias);
    if let Some(known) = view.type_of_vtable(address) {
        return Some(known);
    }
    FUNCTIONS.iter().find_map(|offset| {
        let function = memory.read_u64(table.checked_add(*offset)?).ok().filter(|function| *function != 0)?;
        let unit = view.unit_at(function.wrapping_sub(bias))?;
        // Reading the unit makes its tables known.
        view.functions(unit)?;
        view.type_of_vtable(address)
    })
}
