//! Stacks and threads: the user's own frames first, library frames folded away.

use freezeframe_model::{Capture, Frame, FrameKind, Incident, Thread};

use super::ask::Place;
use super::html::Html;
use super::variables::frame_variables;
use crate::words::{self, StackPart};

/// Frames per stack on the page.
const MAX_FRAMES: usize = 256;
/// Threads on the page.
const MAX_THREADS: usize = 256;
/// Longest function name, in characters.
pub(super) const MAX_NAME: usize = 300;

/// The failing thread's stack.
pub(super) fn failing_stack(h: &mut Html, incident: &Incident, thread: &Thread, site: Option<usize>) {
    h.raw("<section class=\"card\"><h2>Stack <span class=\"hint\">thread ").text(thread.id);
    h.raw(" ").text_up_to(&thread.name, 64).raw("</span></h2>");
    stack(h, incident, thread, site);
    h.raw("</section>");
}

/// Every other thread, folded.
pub(super) fn other_threads(h: &mut Html, incident: &Incident, capture: &Capture) {
    let others: Vec<_> = capture.threads.iter().filter(|thread| !thread.failing).collect();
    if others.is_empty() {
        return;
    }
    h.raw("<section class=\"card\"><h2>Other threads <span class=\"hint\">")
        .text(others.len())
        .raw("</span></h2>");
    for thread in others.iter().take(MAX_THREADS) {
        let waits = if thread.blocked_on.is_some() { "warning" } else { "hint" };
        h.raw("<details><summary><code>")
            .text(thread.id)
            .raw("</code> <strong>")
            .text_up_to(&thread.name, 64);
        h.raw("</strong> <span class=\"").raw(waits).raw("\">").text(words::thread_activity(thread));
        h.raw("</span>");
        if let Some(frame) = thread.frames.iter().find(|frame| frame.kind == FrameKind::User) {
            h.raw(" <span class=\"hint\">in</span> <code>")
                .text_up_to(&frame.function, MAX_NAME)
                .raw("</code>");
        }
        h.raw("</summary>");
        stack(h, incident, thread, None);
        h.raw("</details>");
    }
    left_out(h, others.len(), MAX_THREADS, "thread");
    h.raw("</section>");
}

fn stack(h: &mut Html, incident: &Incident, thread: &Thread, site: Option<usize>) {
    let place = |frame| Some(Place::new(incident, thread.id, frame));
    frames(h, &thread.frames, site, &place);
    if let Some(why) = &thread.truncated {
        h.raw("<p class=\"hint\">The stack ends here: ").text_up_to(why, MAX_NAME).raw("</p>");
    }
}

/// Frames with those of libraries folded away. `place` makes a frame's number into what can be asked, where it can.
pub(super) fn frames(
    h: &mut Html,
    frames: &[Frame],
    site: Option<usize>,
    place: &dyn Fn(usize) -> Option<Place>,
) {
    let shown = frames.get(..MAX_FRAMES).unwrap_or(frames);
    h.raw("<ul class=\"stack\">");
    for part in words::stack_parts(shown) {
        match part {
            StackPart::Own(number, frame) => own_frame(h, number, frame, site == Some(number), place(number)),
            StackPart::Library(first, run) => {
                h.raw("<li class=\"library\"><details><summary>");
                h.text(words::counted(run.len(), "library frame")).raw("</summary><ul class=\"stack\">");
                for (number, frame) in (first..).zip(run) {
                    h.raw("<li>");
                    title(h, number, frame);
                    h.raw("</li>");
                }
                h.raw("</ul></details></li>");
            }
        }
    }
    h.raw("</ul>");
    left_out(h, frames.len(), MAX_FRAMES, "frame");
}

/// The variables of the site's frame stand beside the source already.
fn own_frame(h: &mut Html, number: usize, frame: &Frame, is_site: bool, place: Option<Place>) {
    h.raw(if is_site { "<li class=\"own site\">" } else { "<li class=\"own\">" });
    if is_site || frame.variables.is_empty() {
        title(h, number, frame);
    } else {
        h.raw("<details><summary>");
        title(h, number, frame);
        h.raw("</summary>");
        frame_variables(h, "Variables of this frame", &frame.variables, place);
        h.raw("</details>");
    }
    h.raw("</li>");
}

fn title(h: &mut Html, number: usize, frame: &Frame) {
    h.raw("<span class=\"frame-number\">").text(number).raw("</span> <code class=\"function\">");
    h.text_up_to(&frame.function, MAX_NAME).raw("</code>");
    let place = words::place(&frame.file, frame.line);
    if !place.is_empty() {
        h.raw(" <span class=\"place\">").text_up_to(&place, MAX_NAME).raw("</span>");
    }
    if frame.inlined {
        h.raw(" <span class=\"tag\">inlined</span>");
    }
    if frame.kind == FrameKind::SignalTrampoline {
        h.raw(" <span class=\"tag\">signal</span>");
    }
}

pub(super) fn left_out(h: &mut Html, all: usize, max: usize, what: &'static str) {
    if let Some(more) = all.checked_sub(max).filter(|more| *more > 0) {
        h.raw("<p class=\"hint\">").text(words::counted(more, what));
        h.raw(" more in the JSON of this incident.</p>");
    }
}
