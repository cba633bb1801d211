//! Asynchronous tasks: one fold per stack, with the tasks that share it counted.

use freezeframe_model::Task;

use super::html::Html;
use super::stack::{MAX_NAME, frames, left_out};
use crate::words;

/// Groups of tasks on the page.
const MAX_GROUPS: usize = 128;

/// Every task, folded; nothing where there are none.
pub(super) fn tasks(h: &mut Html, tasks: &[Task]) {
    if tasks.is_empty() {
        return;
    }
    h.raw("<section class=\"card\"><h2>Tasks <span class=\"hint\">")
        .text(words::task_counts(tasks))
        .raw("</span></h2>");
    let groups = words::task_groups(tasks);
    for group in groups.iter().take(MAX_GROUPS) {
        let task = group.first;
        h.raw("<details><summary>");
        if group.count() > 1 {
            h.raw("<span class=\"tag\">").text(group.count()).raw(" ×</span> ");
        }
        h.raw("<code>").text_up_to(&task.name, MAX_NAME).raw("</code> <span class=\"hint\">");
        h.text_up_to(&words::task_activity(task), MAX_NAME).raw("</span>");
        if let Some(frame) = words::task_site(task) {
            let place = words::place(&frame.file, frame.line);
            h.raw(" <span class=\"place\">").text_up_to(&place, MAX_NAME).raw("</span>");
        }
        h.raw("</summary><p class=\"hint\">").text(words::task_ids(group));
        if let Some(site) = &task.spawned_at {
            h.raw(", spawned at ").text_up_to(&words::place(&site.file, site.line), MAX_NAME);
        }
        if group.count() > 1 {
            h.raw("; the variables are those of the first");
        }
        h.raw("</p>");
        // Tasks are not asked again: no thread stands in their frames.
        frames(h, &task.frames, None, &|_| None);
        h.raw("</details>");
    }
    left_out(h, groups.len(), MAX_GROUPS, "group");
    h.raw("</section>");
}
