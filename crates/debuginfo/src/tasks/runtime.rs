//! The tokio runtimes of a process and the tasks that each of them owns.
//!
//! A thread that is inside a runtime keeps a handle to it in a thread-local variable, `tokio::runtime::context::CONTEXT`.
//! The handle leads to the scheduler's `OwnedTasks`: intrusive linked lists of task headers. Every header carries the
//! list's id, which proves each step. Seen to fit tokio 1.32, 1.38, 1.44 and 1.54; 1.21 has no such context yet.
//!
//! Knows nothing of what is in a task. Tasks of a `LocalSet` are in lists of their own, which are not looked for.

use std::collections::HashSet;
use std::time::Instant;

use super::layout::{Thing, find_structs, pointer_target};
use crate::dwarf::Die;
use crate::dwarf::location::Spot;
use crate::dwarf::types::{Shape, Type};
use crate::values::Decoder;

/// Linked lists of one runtime; tokio makes four per worker thread, and never more than this.
const LISTS_MAX: u64 = 65_536;
/// Runtimes of one process: some servers have one per processor.
const RUNTIMES_MAX: usize = 1_024;

/// In every mangling of the symbol of the thread-local variable.
pub(super) const CONTEXT_SYMBOL: &str = "5tokio7runtime7context7CONTEXT";
/// In every mangling of the symbols of the functions that poll a task.
pub(super) const POLL_SYMBOL: &str = "5tokio7runtime4task3raw4poll";

/// The types from which everything else is reached.
pub(crate) const TYPES: [&str; 2] =
    ["tokio::runtime::context::Context", "tokio::runtime::task::core::Trailer"];

/// Where they are described.
pub(super) struct Layouts {
    context: Die,
    trailer: Die,
}

impl Layouts {
    /// Looks for them, in these units first.
    pub(super) fn find(
        decoder: &Decoder<'_, '_>,
        first: &[usize],
        deadline: Instant,
    ) -> Result<Self, String> {
        let [context, trailer] = find_structs(decoder.view, TYPES, first, deadline);
        let missing = |path: &str| match Instant::now() >= deadline {
            true => "time ran out while the runtime's types were looked for".to_owned(),
            false => format!(
                "the debug information does not describe {path}: an early tokio, or not built with debug = 2"
            ),
        };
        let [context_path, trailer_path] = TYPES;
        Ok(Self {
            context: context.ok_or_else(|| missing(context_path))?,
            trailer: trailer.ok_or_else(|| missing(trailer_path))?,
        })
    }
}

/// What a thread knows of its runtime.
pub(super) struct Inside {
    pub(super) thread: i32,
    /// The task that it is polling.
    pub(super) task: Option<u64>,
    owned: Option<Thing>,
}

/// Reads the contexts of all threads. `variable` tells how far below the thread pointer the variable lies, and its size:
/// the context itself and a flag, in an order that is the standard library's own.
pub(super) fn contexts(
    decoder: &Decoder<'_, '_>,
    layouts: &Layouts,
    variable: (u64, u64),
    threads: &[(i32, u64)],
) -> Vec<Inside> {
    let kind = decoder.view.read_type(layouts.context);
    let slack = kind.size.and_then(|size| variable.1.checked_sub(size)).unwrap_or(0).min(64);
    let at = |shift: u64| {
        let inside = threads.iter().filter_map(|(thread, pointer)| {
            let address = pointer.checked_sub(variable.0)?.checked_add(shift)?;
            read_context(decoder, *thread, &Thing { kind: kind.clone(), spot: Spot::Memory(address) })
        });
        inside.collect::<Vec<_>>()
    };
    let places = (0..=slack).step_by(8).map(at);
    places
        .max_by_key(|inside| inside.iter().filter(|inside| inside.owned.is_some()).count())
        .unwrap_or_default()
}

fn read_context(decoder: &Decoder<'_, '_>, thread: i32, context: &Thing) -> Option<Inside> {
    let is_number = |kind: &Type| matches!(kind.shape, Shape::Number(_));
    let task = context.member(decoder, "current_task_id").and_then(|id| id.find(decoder, &is_number));
    let task = task.and_then(|id| id.word(decoder)).filter(|id| *id != 0);
    let is_shared_handle = |kind: &Type| {
        kind.plain_path() == "alloc::sync::Arc" && kind.name.contains("tokio::runtime::scheduler::")
    };
    let owned = context.find(decoder, &is_shared_handle).and_then(|handle| {
        let shared = handle.pointee(decoder)?.member(decoder, "data")?;
        shared.find(decoder, &|kind| kind.plain_path() == "tokio::runtime::task::list::OwnedTasks")
    });
    context.address().filter(|address| decoder.memory.read_u64(*address).is_ok())?;
    Some(Inside { thread, task, owned })
}

/// A task in its list.
pub(super) struct Listed {
    /// `tokio::runtime::task::core::Header`.
    pub(super) header: Thing,
}

/// The tasks of all runtimes that threads are in, newest first within a list.
#[derive(Default)]
pub(super) struct Found {
    pub(super) tasks: Vec<Listed>,
    /// What could not be read, and why.
    pub(super) losses: Vec<String>,
    /// More tasks than `most` are there.
    pub(super) more: bool,
}

/// Walks the lists; reads at most `most` tasks.
pub(super) fn owned_tasks(
    decoder: &Decoder<'_, '_>,
    layouts: &Layouts,
    inside: &[Inside],
    most: usize,
    deadline: Instant,
) -> Found {
    let mut walk = Walk { decoder, layouts, most, deadline, seen: HashSet::new(), found: Found::default() };
    let mut known = HashSet::new();
    for owned in inside.iter().filter_map(|inside| inside.owned.as_ref()) {
        if known.len() >= RUNTIMES_MAX {
            walk.found.losses.push(format!("only {RUNTIMES_MAX} runtimes are read"));
            break;
        }
        if known.insert(owned.address())
            && let Err(why) = walk.runtime(owned)
        {
            walk.found.losses.push(why);
        }
    }
    walk.found
}

struct Walk<'w, 'd, 'a> {
    decoder: &'w Decoder<'d, 'a>,
    layouts: &'w Layouts,
    most: usize,
    deadline: Instant,
    seen: HashSet<u64>,
    found: Found,
}

impl Walk<'_, '_, '_> {
    fn runtime(&mut self, owned: &Thing) -> Result<(), String> {
        let id = owned.member(self.decoder, "id").and_then(|id| id.word(self.decoder));
        let id = id.filter(|id| *id != 0).ok_or("the id of a list of tasks cannot be read")?;
        let is_list = |kind: &Type| kind.plain_path() == "tokio::util::linked_list::LinkedList";
        if let Some(list) = owned.find(self.decoder, &is_list) {
            return self.list(&list, id);
        }
        let is_slice = |kind: &Type| {
            kind.record().is_some_and(|record| {
                record.member("data_ptr").is_some() && record.member("length").is_some()
            })
        };
        let slice = owned.find(self.decoder, &is_slice).ok_or("the lists of tasks have an unknown layout")?;
        let count = slice.member(self.decoder, "length").and_then(|length| length.word(self.decoder));
        let first = slice.member(self.decoder, "data_ptr").and_then(|data| data.pointee(self.decoder));
        let (Some(count), Some(first)) = (count, first) else {
            return Err("the lists of tasks cannot be read".to_owned());
        };
        let stride = first.kind.size.filter(|size| *size > 0).ok_or("lists of tasks of unknown size")?;
        if count > LISTS_MAX {
            return Err(format!("a runtime with {count} lists of tasks is damaged"));
        }
        for number in 0..count {
            if Instant::now() >= self.deadline {
                return Err("time ran out".to_owned());
            }
            let spot = first.spot.at(number.wrapping_mul(stride));
            let shard = Thing { kind: first.kind.clone(), spot };
            let list = shard.find(self.decoder, &is_list).ok_or("a list of tasks has an unknown layout")?;
            self.list(&list, id)?;
        }
        Ok(())
    }

    fn list(&mut self, list: &Thing, id: u64) -> Result<(), String> {
        let decoder = self.decoder;
        let head = list.member(decoder, "head").ok_or("a list of tasks has an unknown layout")?;
        let header =
            pointer_target(decoder.view, &head.kind, 0).ok_or("the type of tasks is not described")?;
        let header = decoder.view.read_type(header);
        let mut next = head.word(decoder).ok_or("a list of tasks cannot be read")?;
        while next != 0 {
            if Instant::now() >= self.deadline {
                return Err("time ran out".to_owned());
            }
            if !self.seen.insert(next) {
                return Err(format!("a list of tasks is damaged: it leads in a circle at {next:#x}"));
            }
            if self.found.tasks.len() >= self.most {
                self.found.more = true;
                return Ok(());
            }
            let task = Thing { kind: header.clone(), spot: Spot::Memory(next) };
            let owner = task.member(decoder, "owner_id").and_then(|owner| owner.word(decoder));
            if owner != Some(id) {
                return Err(format!("a list of tasks is damaged: at {next:#x} is no task of this runtime"));
            }
            let following = self.following(&task, next);
            self.found.tasks.push(Listed { header: task });
            next = following.ok_or_else(|| format!("the task behind the one at {next:#x} cannot be read"))?;
        }
        Ok(())
    }

    /// Address of the next task; 0 at the end.
    fn following(&self, task: &Thing, address: u64) -> Option<u64> {
        let decoder = self.decoder;
        let is_links = |kind: &Type| kind.record().is_some_and(|record| record.member("next").is_some());
        // Behind the future, whose size differs from task to task; in early releases in the header itself.
        let offset = vtable(decoder, task)?.member(decoder, "trailer_offset").and_then(|at| at.word(decoder));
        let holder = match offset {
            Some(offset) => Thing {
                kind: decoder.view.read_type(self.layouts.trailer),
                spot: Spot::Memory(address.checked_add(offset)?),
            },
            None => task.clone(),
        };
        let links = holder.member(decoder, "owned")?.find(decoder, &is_links)?;
        links.member(decoder, "next")?.word(decoder)
    }
}

/// The table of functions of a task.
pub(super) fn vtable(decoder: &Decoder<'_, '_>, header: &Thing) -> Option<Thing> {
    let pointer = header.member(decoder, "vtable")?;
    let Shape::Pointer(Some(_)) = pointer.kind.shape else { return None };
    pointer.pointee(decoder)
}
