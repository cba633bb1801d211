//! Asynchronous tasks and where each waits.

use freezeframe_model::Task;

use super::{Known, Section, Wanted};
use crate::dto::{FrameShape, SectionItems, TaskShape};
use crate::words;

/// Frames of one task.
const MAX_FRAMES: usize = 16;

pub(super) const SECTION: Section =
    Section { name: "tasks", title: "Tasks", count: |known| tasks(known).len(), page };

fn tasks<'a>(known: &Known<'a>) -> &'a [Task] {
    known.capture.map(|capture| capture.tasks.as_slice()).unwrap_or_default()
}

fn page(known: &Known<'_>, wanted: &Wanted) -> (usize, SectionItems) {
    let fits = |task: &&Task| {
        let waits_for = task.waits_for.as_deref().unwrap_or_default();
        wanted.fits(&[&task.name, waits_for, words::task_state(task.state)])
    };
    let shape = |task: &Task| {
        let frames = task.frames.iter().take(MAX_FRAMES).map(FrameShape::bare).collect();
        TaskShape { frames, ..TaskShape::bare(task) }
    };
    let (total, tasks) = wanted.page(tasks(known), fits, shape);
    (total, SectionItems::Tasks(tasks))
}
