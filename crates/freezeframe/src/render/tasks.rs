//! Asynchronous tasks: in a few lines, or with their stacks.

use freezeframe_api::words::{self, StackPart};
use freezeframe_model::Task;

use super::page::Page;
use super::page::Tone::{Plain, Soft, Strong, Warn};
use super::stack::{MAX_VALUES_OUTER, own_frame};
use super::values::variables;

/// Groups in the summary, and with their stacks.
const MAX_FOLDED: usize = 8;
const MAX_GROUPS: usize = 512;
/// Frames of a stack.
const MAX_FRAMES: usize = 128;

/// Tasks with the same stack are shown once; `whole` asks for the stacks.
pub(super) fn tasks(page: &mut Page, tasks: &[Task], whole: bool) {
    if tasks.is_empty() {
        return;
    }
    page.heading("Tasks", &words::task_counts(tasks));
    let groups = words::task_groups(tasks);
    let most = if whole { MAX_GROUPS } else { MAX_FOLDED };
    for group in groups.iter().take(most) {
        let task = group.first;
        let site = words::task_site(task);
        let place =
            site.map(|frame| format!("  {}", words::place(&frame.file, frame.line))).unwrap_or_default();
        let tone = if task.thread.is_some() { Warn } else { Soft };
        let count = format!("{:>5} × ", group.count());
        let activity = format!("  {}", words::task_activity(task));
        if !whole {
            page.line(0, &[(Soft, &count), (Strong, &task.name), (tone, &activity), (Soft, &place)]);
            continue;
        }
        page.line(0, &[(Soft, &count), (Strong, &task.name), (tone, &activity)]);
        let spawned = task.spawned_at.as_ref().map(|site| words::place(&site.file, site.line));
        let spawned = spawned.map(|place| format!(", spawned at {place}")).unwrap_or_default();
        page.line(8, &[(Soft, &words::task_ids(group)), (Soft, &spawned)]);
        stack(page, task);
        page.blank();
    }
    let left = groups.get(most..).unwrap_or_default();
    let left_tasks: usize = left.iter().map(words::TaskGroup::count).sum();
    if left_tasks > 0 {
        page.line(5, &[(Soft, &format!("… {} more", words::counted(left_tasks, "task")))]);
    }
    if !whole {
        page.line(5, &[(Soft, "`--tasks` has their stacks")]);
    }
}

fn stack(page: &mut Page, task: &Task) {
    let shown = task.frames.get(..MAX_FRAMES).unwrap_or(&task.frames);
    for part in words::stack_parts(shown) {
        match part {
            StackPart::Own(number, frame) => {
                own_frame(page, number, frame, false);
                variables(page, 7, &frame.variables, MAX_VALUES_OUTER, None);
            }
            StackPart::Library(number, [only]) => {
                let place = words::place(&only.file, only.line);
                page.line(
                    1,
                    &[(Soft, &format!("{number:>3} {}", only.function)), (Plain, "  "), (Soft, &place)],
                );
            }
            StackPart::Library(_, run) => {
                page.line(5, &[(Soft, &format!("… {}", words::counted(run.len(), "library frame")))]);
            }
        }
    }
    let left_out = task.frames.len() - shown.len();
    if left_out > 0 {
        page.line(5, &[(Soft, &format!("… {} more", words::counted(left_out, "frame")))]);
    }
}
