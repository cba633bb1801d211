//! One task's allocation: state, id, and where its future lies.
//!
//! The header is the same for all tasks; the type behind it is told by the functions of its table alone, which are generic
//! over the future and so are described where the future's author compiled them.

use std::rc::Rc;

use freezeframe_model::{Site, TaskState};

use super::layout::Thing;
use super::runtime::vtable;
use crate::dwarf::location::Spot;
use crate::dwarf::types::{Shape, Type};
use crate::dwarf::{Die, View};
use crate::values::Decoder;

/// Entries of one function that are looked at for its variables' types.
const ENTRIES_MAX: usize = 20_000;
/// Types between a variable of those functions and the cell.
const WRAPPERS_MAX: usize = 6;

const CELL: &str = "tokio::runtime::task::core::Cell";

// `tokio::runtime::task::state`, the same since 1.0: the low bits of the state's word; the rest counts references.
const RUNNING: u64 = 0b0001;
const COMPLETE: u64 = 0b0010;
const NOTIFIED: u64 = 0b0100;
const CANCELLED: u64 = 0b10_0000;

/// What the state's word says.
pub(super) fn state(word: u64) -> TaskState {
    // The bits are independent: a task that is being polled may be woken or cancelled meanwhile.
    match word {
        word if word & COMPLETE != 0 => TaskState::Complete,
        word if word & RUNNING != 0 => TaskState::Running,
        word if word & CANCELLED != 0 => TaskState::Cancelled,
        word if word & NOTIFIED != 0 => TaskState::Scheduled,
        _ => TaskState::Idle,
    }
}

/// The state's word of a task.
pub(super) fn state_word(decoder: &Decoder<'_, '_>, header: &Thing) -> Option<u64> {
    header
        .member(decoder, "state")?
        .find(decoder, &|kind| matches!(kind.shape, Shape::Number(_)))?
        .word(decoder)
}

/// The id that tokio gave it.
pub(super) fn id(decoder: &Decoder<'_, '_>, header: &Thing, cell: Option<&Thing>) -> Option<u64> {
    let by_offset = || {
        let offset = vtable(decoder, header)?.member(decoder, "id_offset")?.word(decoder)?;
        decoder.memory.read_u64(header.address()?.checked_add(offset)?).ok()
    };
    let by_name = || cell?.member(decoder, "core")?.member(decoder, "task_id")?.word(decoder);
    by_name().or_else(by_offset).filter(|id| *id != 0)
}

/// Where it was spawned, which tokio records when it is built with `tokio_unstable`.
pub(super) fn spawned_at(decoder: &Decoder<'_, '_>, cell: &Thing) -> Option<Site> {
    let location = cell.member(decoder, "core")?.member(decoder, "spawned_at")?.pointee(decoder)?;
    let line = location.member(decoder, "line")?.word(decoder)?;
    let file = location.find(decoder, &|kind| {
        kind.record()
            .is_some_and(|record| record.member("data_ptr").is_some() && record.member("length").is_some())
    })?;
    let length = usize::try_from(file.member(decoder, "length")?.word(decoder)?).ok()?;
    // The text may end in a NUL that is counted, for the sake of C.
    let file = file.member(decoder, "data_ptr")?.pointee(decoder)?.address()?;
    let file = decoder.memory.read_bytes(file, length, 4096).ok()?;
    let file = String::from_utf8_lossy(&file).trim_end_matches('\0').to_owned();
    let file = decoder.redacted(&file);
    Some(Site { function: String::new(), file, line: u32::try_from(line).ok()? })
}

/// The type of the cell that a table of functions belongs to. `place` turns an address of the process into one of the file.
pub(super) fn cell_type(
    decoder: &Decoder<'_, '_>,
    table: &Thing,
    place: &dyn Fn(u64) -> Option<u64>,
) -> Option<Rc<Type>> {
    let functions = table.members(decoder).into_iter().filter_map(|(_, member)| {
        let Shape::Pointer(_) = member.kind.shape else { return None };
        place(member.word(decoder)?)
    });
    functions.into_iter().find_map(|function| type_in_function(decoder.view, function))
}

/// The cell that the variables of a function have to do with.
fn type_in_function(view: &View<'_>, function: u64) -> Option<Rc<Type>> {
    let die = view.activations(function).last()?.die;
    // Functions of like content may have been merged into one: its types would be those of another task.
    let name = view.function_name(die)?;
    if !name.contains("tokio::runtime::task::") {
        return None;
    }
    let unit = view.unit(die.unit)?;
    let mut entries = unit.unit.entries_at_offset(die.offset).ok()?;
    let mut base = None;
    for _ in 0..ENTRIES_MAX {
        let entry = entries.next_dfs().ok()??;
        let base = *base.get_or_insert(entry.depth());
        if entry.depth() <= base && entry.offset() != die.offset {
            return None;
        }
        if matches!(entry.tag(), gimli::DW_TAG_formal_parameter | gimli::DW_TAG_variable) {
            let kind = view.type_of(Die { unit: die.unit, offset: entry.offset() });
            if let Some(cell) = kind.and_then(|kind| cell_behind(view, kind, 0)) {
                return Some(cell);
            }
        }
    }
    None
}

fn cell_behind(view: &View<'_>, kind: Die, depth: usize) -> Option<Rc<Type>> {
    let kind = view.read_type(kind);
    if kind.plain_path() == CELL {
        return Some(kind);
    }
    if depth >= WRAPPERS_MAX {
        return None;
    }
    if let Shape::Pointer(target) = kind.shape {
        return cell_behind(view, target?, depth + 1);
    }
    let leads_there =
        ["tokio::runtime::task::harness::", "core::ptr::"].iter().any(|path| kind.path.starts_with(path));
    let record = kind.record().filter(|_| leads_there)?;
    record.members.iter().find_map(|member| cell_behind(view, member.kind?, depth + 1))
}

/// The cell around a header.
pub(super) fn cell(header: &Thing, kind: &Rc<Type>) -> Option<Thing> {
    let offset = kind.record()?.member("header")?.offset?;
    let address = header.address()?.checked_sub(offset)?;
    Some(Thing { kind: kind.clone(), spot: Spot::Memory(address) })
}

/// The future in a cell; `None` where it ended.
pub(super) fn future(decoder: &Decoder<'_, '_>, cell: &Thing) -> Option<Thing> {
    let stage = cell
        .member(decoder, "core")?
        .find(decoder, &|kind| kind.plain_path() == "tokio::runtime::task::core::Stage")?;
    let (name, running) = stage.active(decoder)?;
    if name != "Running" {
        return None;
    }
    running.member(decoder, "__0")
}

/// The type of the future, whatever became of it.
pub(super) fn future_type(view: &View<'_>, cell: &Type) -> Option<Rc<Type>> {
    Some(view.read_type(cell.record()?.parameter("T")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bits_of_the_state() {
        const JOIN_INTEREST: u64 = 0b1000;
        const ONE_REFERENCE: u64 = 0b100_0000;
        let of = |bits: u64| state(bits | JOIN_INTEREST | (3 * ONE_REFERENCE));
        assert_eq!(of(0), TaskState::Idle);
        assert_eq!(of(NOTIFIED), TaskState::Scheduled);
        assert_eq!(of(RUNNING), TaskState::Running);
        assert_eq!(of(RUNNING | NOTIFIED), TaskState::Running);
        assert_eq!(of(RUNNING | CANCELLED), TaskState::Running);
        assert_eq!(of(NOTIFIED | CANCELLED), TaskState::Cancelled);
        assert_eq!(of(COMPLETE), TaskState::Complete);
    }
}
