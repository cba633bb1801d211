//! The threads and frames of an opened incident, as numbers of the protocol and back.

use std::sync::Arc;

use freezeframe_model::{Capture, Frame, FrameKind, Incident, Thread};

use super::protocol;
use super::text::{line, short};
use crate::words;

/// Frames in one answer.
const FRAMES_MAX: usize = 1000;
/// Characters of a function's name.
const NAME_MAX: usize = 1000;

/// A frame of the capture: the number of its thread, and its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct FrameAt {
    pub(super) thread: usize,
    pub(super) frame: usize,
}

/// What the session looks at.
pub(super) struct Opened {
    pub(super) incident: Incident,
    pub(super) capture: Arc<Capture>,
    /// The protocol's number of each thread's innermost frame.
    first_frames: Vec<i64>,
}

impl Opened {
    pub(super) fn new(incident: Incident, mut capture: Arc<Capture>) -> Self {
        // Editors show the first one first. It is, except in files that others wrote.
        if !capture.threads.is_sorted_by_key(|thread| !thread.failing) {
            Arc::make_mut(&mut capture).threads.sort_by_key(|thread| !thread.failing);
        }
        let mut next = 1;
        let first_frames = capture.threads.iter().map(|thread| {
            let first = next;
            next += count(thread.frames.len());
            first
        });
        let first_frames = first_frames.collect();
        Self { incident, capture, first_frames }
    }

    pub(super) fn threads(&self) -> Vec<protocol::Thread> {
        let shown = |thread: &Thread| {
            let what = if thread.failing { "failed here".to_owned() } else { words::thread_activity(thread) };
            let name = short(&format!("{} ({}) {what}", thread.name, thread.id), NAME_MAX);
            protocol::Thread { id: i64::from(thread.id), name }
        };
        self.capture.threads.iter().map(shown).collect()
    }

    /// A thread by the protocol's number of it, which is the kernel's.
    pub(super) fn thread(&self, id: i64) -> Option<(usize, &Thread)> {
        self.capture.threads.iter().enumerate().find(|(_, thread)| i64::from(thread.id) == id)
    }

    pub(super) fn frame(&self, at: FrameAt) -> Option<&Frame> {
        self.capture.threads.get(at.thread)?.frames.get(at.frame)
    }

    /// A frame by the protocol's number of it.
    pub(super) fn frame_at(&self, id: i64) -> Option<FrameAt> {
        let thread = self.first_frames.partition_point(|first| *first <= id).checked_sub(1)?;
        // Threads without frames begin where the next one does: the last of them is meant, which has some.
        let frame = usize::try_from(id - self.first_frames.get(thread)?).ok()?;
        let at = FrameAt { thread, frame };
        self.frame(at).map(|_| at)
    }

    /// The frame that is meant where none is named: that of the site.
    pub(super) fn site(&self) -> FrameAt {
        let frame = words::site_frame(&self.capture).map_or(0, |(number, _)| number);
        FrameAt { thread: 0, frame }
    }

    /// The kernel's number of a frame's thread.
    pub(super) fn kernel_thread(&self, at: FrameAt) -> i32 {
        self.capture.threads.get(at.thread).map_or(0, |thread| thread.id)
    }

    /// A part of a thread's stack; all of it, or as much as fits, where `levels` is 0.
    pub(super) fn stack(
        &self,
        number: usize,
        thread: &Thread,
        start: usize,
        levels: usize,
        mut source: impl FnMut(&Frame) -> Option<protocol::Source>,
        first_line: i64,
    ) -> Vec<protocol::StackFrame> {
        let levels = if levels == 0 { FRAMES_MAX } else { levels.min(FRAMES_MAX) };
        let first = self.first_frames.get(number).copied().unwrap_or_default();
        let shown = |(at, frame): (usize, &Frame)| protocol::StackFrame {
            id: first + count(at),
            name: name(frame),
            source: source(frame),
            line: match frame.line {
                0 => 0,
                line => i64::from(line) - 1 + first_line,
            },
            column: first_line,
            instruction_pointer_reference: (frame.address != 0).then(|| format!("{:#x}", frame.address)),
            module_id: frame.module,
            presentation_hint: if frame.kind == FrameKind::User { "normal" } else { "subtle" },
            can_restart: false,
        };
        thread.frames.iter().enumerate().skip(start).take(levels).map(shown).collect()
    }

    pub(super) fn modules(&self, start: usize, wanted: usize) -> Vec<protocol::Module> {
        let wanted = if wanted == 0 { FRAMES_MAX } else { wanted.min(FRAMES_MAX) };
        let modules = self.capture.modules.iter().enumerate().skip(start).take(wanted);
        modules
            .map(|(id, module)| protocol::Module {
                id,
                name: line(module.path.rsplit('/').next().unwrap_or_default()).into_owned(),
                path: line(&module.path).into_owned(),
                version: module.build_id.to_string(),
                symbol_status: line(&module.debug_info).into_owned(),
            })
            .collect()
    }
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn name(frame: &Frame) -> String {
    let name = short(&frame.function, NAME_MAX);
    if frame.inlined { format!("{name} [inlined]") } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_have_numbers_that_lead_back() {
        let thread = |id, frames: usize, failing| Thread {
            id,
            failing,
            frames: vec![Frame::default(); frames],
            ..Thread::default()
        };
        let threads =
            vec![thread(7, 2, false), thread(8, 0, false), thread(9, 3, true), thread(10, 1, false)];
        let incident = serde_json::json!({
            "id": "INC-1", "kind": "panic", "state": "held", "message": "", "fingerprint": "0".repeat(32), "site": {}, "service": "s",
            "instance": 1, "build_id": "", "captured_at": 0, "updated_at": 0, "count": 1, "timings": {}, "hold": {}, "request": {},
            "logs": [], "requests_lost": 0, "not_captured": [],
        });
        let incident = serde_json::from_value(incident).expect("an incident");
        let opened = Opened::new(incident, Arc::new(Capture { threads, ..Capture::default() }));
        let ids: Vec<i32> = opened.capture.threads.iter().map(|thread| thread.id).collect();
        assert_eq!(ids, [9, 7, 8, 10], "the failing one first");
        let at = |id| opened.frame_at(id).map(|at| (opened.kernel_thread(at), at.frame));
        let found: Vec<_> = (0..8).map(at).collect();
        let expected =
            [None, Some((9, 0)), Some((9, 1)), Some((9, 2)), Some((7, 0)), Some((7, 1)), Some((10, 0)), None];
        assert_eq!(found, expected);
        assert_eq!((at(i64::MIN), at(i64::MAX)), (None, None));
        let stack = |start, levels| -> Vec<i64> {
            let (number, thread) = opened.thread(9).expect("there");
            opened.stack(number, thread, start, levels, |_| None, 1).iter().map(|frame| frame.id).collect()
        };
        assert_eq!(
            (stack(0, 0), stack(1, 1), stack(2, 9), stack(5, 1)),
            (vec![1, 2, 3], vec![2], vec![3], vec![])
        );
    }
}
