//! The site with its source and values, the failing stack, and what the other threads were doing.

use freezeframe_api::words::{self, StackPart};
use freezeframe_model::{Capture, Frame, FrameKind, Incident, Value, Variable};

use super::page::Page;
use super::page::Tone::{Bad, Good, Plain, Soft, Strong, Warn};
use super::page::{clean, cut};
use super::values::{Asking, variables};

/// Source lines on the page.
const MAX_SOURCE: usize = 40;
/// Values of one frame.
const MAX_VALUES: usize = 60;
/// The same for the frames that are not the site.
pub(super) const MAX_VALUES_OUTER: usize = 20;
/// Frames of a stack, and threads.
const MAX_FRAMES: usize = 128;
const MAX_THREADS: usize = 64;
/// Values that are shown at the end of the failing source line.
const MAX_BESIDE: usize = 4;

/// Source around the site with the values that stand in the failing line, then all variables of the frame.
pub(super) fn site(page: &mut Page, incident: &Incident, capture: Option<&Capture>) {
    page.heading("Site", &incident.site.to_string());
    let Some(capture) = capture else {
        page.line(2, &[(Soft, "nothing was captured of this incident")]);
        return;
    };
    let frame = words::site_frame(capture).map(|(_, frame)| frame);
    if capture.source.is_empty() {
        page.line(2, &[(Soft, "the source file could not be read when the capture was made")]);
    }
    for line in capture.source.iter().take(MAX_SOURCE) {
        let number = format!("{:>5} ", line.number);
        if line.number == incident.site.line {
            let values = frame.map(|frame| beside(&line.text, &frame.variables)).unwrap_or_default();
            page.line(0, &[(Bad, ">"), (Bad, &number), (Soft, "│ "), (Strong, &line.text), (Good, &values)]);
        } else {
            page.line(0, &[(Soft, " "), (Soft, &number), (Soft, "│ "), (Plain, &line.text)]);
        }
    }
    let Some(frame) = frame else { return };
    page.blank();
    if frame.variables.is_empty() {
        page.line(2, &[(Soft, "this frame has no variables, or its debug information has none")]);
    }
    let asking = incident.state.is_live().then_some(Asking { frame: None });
    variables(page, 2, &frame.variables, MAX_VALUES, asking);
}

/// `   rate = 0`: plain values whose names stand in the line as words.
fn beside(line: &str, variables: &[Variable]) -> String {
    let is_in_line =
        |name: &str| line.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == name);
    let values = variables.iter().filter(|variable| is_in_line(&variable.name)).filter_map(|variable| {
        let Value::Text(value) = &variable.value else { return None };
        variable.children.is_empty().then(|| format!("   {} = {}", variable.name, cut(value, 40)))
    });
    values.take(MAX_BESIDE).collect()
}

/// The stack of the failing thread without what is not the user's.
pub(super) fn failing(page: &mut Page, incident: &Incident, capture: &Capture) {
    let Some(thread) = capture.failing_thread() else { return };
    page.heading("Stack", &format!("thread {} {}", thread.id, thread.name));
    let site = words::site_frame(capture).map(|(number, _)| number);
    let shown = thread.frames.get(..MAX_FRAMES).unwrap_or(&thread.frames);
    for part in words::stack_parts(shown) {
        match part {
            StackPart::Own(number, frame) => {
                own_frame(page, number, frame, site == Some(number));
                if site != Some(number) {
                    let asking = incident.state.is_live().then_some(Asking { frame: Some(number) });
                    variables(page, 7, &frame.variables, MAX_VALUES_OUTER, asking);
                }
            }
            StackPart::Library(_, run) => {
                page.line(5, &[(Soft, &format!("… {}", words::counted(run.len(), "library frame")))]);
            }
        }
    }
    let left_out = thread.frames.len() - shown.len();
    if left_out > 0 {
        page.line(5, &[(Soft, &format!("… {} more", words::counted(left_out, "frame")))]);
    }
    if let Some(why) = &thread.truncated {
        page.line(5, &[(Warn, &format!("the stack ends here: {why}"))]);
    }
}

pub(super) fn own_frame(page: &mut Page, number: usize, frame: &Frame, is_site: bool) {
    let mark = if is_site { (Bad, ">") } else { (Plain, " ") };
    let place = words::place(&frame.file, frame.line);
    let inlined = if frame.inlined { " (inlined)" } else { "" };
    page.line(
        0,
        &[
            mark,
            (Soft, &format!("{number:>3} ")),
            (Strong, &frame.function),
            (Plain, "  "),
            (Soft, &place),
            (Soft, inlined),
        ],
    );
}

/// One line per thread: what it does, who it waits for, and where in the user's own code.
pub(super) fn others(page: &mut Page, capture: &Capture) {
    let others: Vec<_> = capture.threads.iter().filter(|thread| !thread.failing).collect();
    if others.is_empty() {
        return;
    }
    page.heading("Other threads", &others.len().to_string());
    for thread in others.iter().take(MAX_THREADS) {
        let tone = if thread.blocked_on.is_some() { Warn } else { Soft };
        let own = thread.frames.iter().find(|frame| frame.kind == FrameKind::User);
        let place = own.map(|frame| format!("  in {}", frame.function)).unwrap_or_default();
        page.line(
            2,
            &[
                (Plain, &format!("{:>7} {:<16} ", thread.id, clean(&thread.name))),
                (tone, &words::thread_activity(thread)),
                (Plain, &place),
            ],
        );
    }
    if let Some(more) = others.len().checked_sub(MAX_THREADS).filter(|more| *more > 0) {
        page.line(2, &[(Soft, &format!("… {} more", words::counted(more, "thread")))]);
    }
}
