//! Requests that wait or are in flight, each in a cell that is used again. Bounded by what may wait and be in flight.

use crate::request::Ticket;

/// No cell.
pub(crate) const NIL: u32 = u32::MAX;

/// What a request is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Free,
    Queued,
    Running,
    /// Its client has been answered or is gone; its slot is still in use.
    Lingering,
}

/// A place in a doubly linked list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link {
    pub(crate) older: u32,
    pub(crate) younger: u32,
}

impl Link {
    pub(crate) const NONE: Self = Self { older: NIL, younger: NIL };
}

/// A request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) generation: u32,
    pub(crate) state: State,
    pub(crate) cohort: u8,
    /// It was reported late.
    pub(crate) late: bool,
    /// It tries whether a broken route works again.
    pub(crate) probe: bool,
    pub(crate) lane: u16,
    /// Index of its instance, while it has a slot.
    pub(crate) instance: u16,
    pub(crate) arrived_us: u64,
    pub(crate) started_us: u64,
    pub(crate) deadline_us: u64,
    /// When the head of its response was there; 0 before.
    pub(crate) answered_us: u64,
    /// When it has to be looked at again.
    pub(crate) timer_us: u64,
    /// Among those of its lane.
    pub(crate) in_lane: Link,
    /// Among those of its tier and cohort.
    pub(crate) in_cohort: Link,
}

const FREE: Entry = Entry {
    generation: 0,
    state: State::Free,
    cohort: 0,
    late: false,
    probe: false,
    lane: 0,
    instance: 0,
    arrived_us: 0,
    started_us: 0,
    deadline_us: 0,
    answered_us: 0,
    timer_us: 0,
    in_lane: Link::NONE,
    in_cohort: Link::NONE,
};

#[derive(Debug, Default)]
pub(crate) struct Slab {
    cells: Vec<Entry>,
    free: Vec<u32>,
}

impl Slab {
    pub(crate) fn insert(&mut self, entry: Entry) -> Ticket {
        let index = self.free.pop().unwrap_or_else(|| {
            self.cells.push(FREE);
            self.cells.len() as u32 - 1
        });
        let generation = self.cells[index as usize].generation.wrapping_add(1);
        self.cells[index as usize] = Entry { generation, ..entry };
        Ticket { index, generation }
    }

    pub(crate) fn remove(&mut self, index: u32) {
        let cell = &mut self.cells[index as usize];
        *cell = Entry { generation: cell.generation, ..FREE };
        self.free.push(index);
    }

    /// The request under a ticket, unless it has ended.
    pub(crate) fn find(&self, ticket: Ticket) -> Option<&Entry> {
        let entry = self.cells.get(ticket.index())?;
        (entry.generation == ticket.generation && entry.state != State::Free).then_some(entry)
    }

    pub(crate) fn ticket(&self, index: u32) -> Ticket {
        Ticket { index, generation: self.at(index).generation }
    }

    /// A cell that is known to be in use.
    pub(crate) fn at(&self, index: u32) -> &Entry {
        &self.cells[index as usize]
    }

    /// A cell that is known to be in use.
    pub(crate) fn at_mut(&mut self, index: u32) -> &mut Entry {
        &mut self.cells[index as usize]
    }

    pub(crate) fn live(&self) -> usize {
        self.cells.len() - self.free.len()
    }

    pub(crate) fn new_entry(lane: u16, cohort: u8, arrived_us: u64, deadline_us: u64) -> Entry {
        Entry { state: State::Queued, lane, cohort, arrived_us, deadline_us, ..FREE }
    }
}
