//! Threads, frames and variables.

use freezeframe_model::{BlockedOn, Frame, FrameKind, Thread, ThreadState, Value, Variable};
use serde::{Deserialize, Serialize};

/// Deeper variables are cut off: serialising recurses, and JSON readers commonly give up at 128 levels.
const MAX_DEPTH: usize = 24;

/// One thread whole: `freezeframe-thread/1`. Where it has more values than an answer can carry, the rest is left out and can be asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct ThreadAnswer {
    /// `freezeframe-thread/1`.
    pub schema: String,
    /// Of which incident.
    pub incident: String,
    /// The thread.
    #[serde(flatten)]
    pub thread: ThreadShape,
}

/// One thread.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct ThreadShape {
    /// The kernel's thread id.
    pub id: i32,
    /// Its name.
    pub name: String,
    /// Whether the error happened on it.
    pub failing: bool,
    /// `running`, `sleeping`, `blocked`, `dead`.
    pub state: String,
    /// The system call it was in, where it was in one.
    pub syscall: Option<String>,
    /// The lock it waits for.
    pub blocked_on: Option<BlockedOnShape>,
    /// Why the stack ends early, where it does.
    pub truncated: Option<String>,
    /// Innermost first.
    pub frames: Vec<FrameShape>,
}

/// A lock that a thread waits for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct BlockedOnShape {
    /// `futex`.
    pub kind: String,
    /// Hexadecimal: JSON numbers lose the low bits of addresses.
    pub address: String,
    /// Thread that owns it, where known.
    pub owner: Option<i32>,
    /// Whether the owner is a guess.
    pub guessed: bool,
}

/// One function activation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct FrameShape {
    /// Demangled name.
    pub function: String,
    /// Source file; empty where unknown.
    pub file: String,
    /// Counted from 1; 0 where unknown.
    pub line: u32,
    /// Whether the compiler merged it into the next frame outwards.
    pub inlined: bool,
    /// `user`, `library`, `signal_trampoline`.
    pub kind: String,
    /// Program counter, hexadecimal.
    pub address: String,
    /// Arguments, then locals.
    pub variables: Vec<VariableShape>,
}

/// A named value. Exactly one of the three holds: `value` is a text; `unavailable` says why there is none; neither, and the
/// children say it all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct VariableShape {
    /// Name in the source.
    pub name: String,
    /// Type in the words of the language.
    #[serde(rename = "type")]
    pub type_name: String,
    /// As the language would write it.
    pub value: Option<String>,
    /// Fields, elements, pointee.
    #[cfg_attr(test, schema(no_recursion))]
    pub children: Vec<VariableShape>,
    /// Why there is no value: `optimised out`, `redacted: …`, `left out: …`.
    pub unavailable: Option<String>,
    /// Whether the value, or the rest of its parent's parts, was only cut off: asking again with larger bounds shows it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[cfg_attr(test, ts(as = "Option<bool>", optional))]
    pub expandable: bool,
}

impl From<&Thread> for ThreadShape {
    fn from(thread: &Thread) -> Self {
        Self { frames: thread.frames.iter().map(FrameShape::from).collect(), ..Self::bare(thread) }
    }
}

impl From<&BlockedOn> for BlockedOnShape {
    fn from(lock: &BlockedOn) -> Self {
        Self {
            kind: lock.kind.clone(),
            address: format!("{:#x}", lock.address),
            owner: lock.owner,
            guessed: lock.guessed,
        }
    }
}

impl From<&Frame> for FrameShape {
    fn from(frame: &Frame) -> Self {
        Self { variables: frame.variables.iter().map(VariableShape::from).collect(), ..Self::bare(frame) }
    }
}

impl From<&Variable> for VariableShape {
    fn from(variable: &Variable) -> Self {
        Room::EVERYTHING.variable(variable)
    }
}

impl ThreadShape {
    /// Without its stack.
    fn bare(thread: &Thread) -> Self {
        Self {
            id: thread.id,
            name: thread.name.clone(),
            failing: thread.failing,
            state: thread_state(thread.state).to_owned(),
            syscall: thread.syscall.clone(),
            blocked_on: thread.blocked_on.as_ref().map(BlockedOnShape::from),
            truncated: thread.truncated.clone(),
            frames: Vec::new(),
        }
    }

    /// A thread with as much of its stack and values as there is room for: the frame `first` comes before the others, and the user's own
    /// before those of libraries.
    pub(crate) fn within(thread: &Thread, first: Option<usize>, mut room: Room) -> Self {
        let shown = thread.frames.get(..room.frames).unwrap_or(&thread.frames);
        let mut frames: Vec<FrameShape> = shown.iter().map(FrameShape::bare).collect();
        let of_kind = |own: bool| {
            let fits = move |(_, frame): &(usize, &Frame)| (frame.kind == FrameKind::User) == own;
            shown.iter().enumerate().filter(fits).map(|(number, _)| number)
        };
        let others = of_kind(true).chain(of_kind(false)).filter(|number| Some(*number) != first);
        for number in first.into_iter().chain(others) {
            if let (Some(frame), Some(shape)) = (shown.get(number), frames.get_mut(number)) {
                shape.variables = room.variables(&frame.variables);
            }
        }
        let left_out = thread.frames.len() - shown.len();
        let cut = (left_out > 0).then(|| format!("{left_out} more frames were captured than are shown"));
        Self { frames, truncated: cut.or(thread.truncated.clone()), ..Self::bare(thread) }
    }
}

impl FrameShape {
    /// Without variables.
    pub(crate) fn bare(frame: &Frame) -> Self {
        Self {
            function: frame.function.clone(),
            file: frame.file.clone(),
            line: frame.line,
            inlined: frame.inlined,
            kind: match frame.kind {
                FrameKind::User => "user",
                FrameKind::Library => "library",
                FrameKind::SignalTrampoline => "signal_trampoline",
            }
            .to_owned(),
            address: format!("{:#x}", frame.address),
            variables: Vec::new(),
        }
    }
}

/// How much of a stack and its values goes into an answer. What does not fit is left out in a way that can be asked for.
#[derive(Clone, Debug)]
pub(crate) struct Room {
    /// Frames of the stack.
    pub(crate) frames: usize,
    /// Values that are left, of all frames together.
    pub(crate) values: usize,
    /// Fields or elements of one value.
    pub(crate) parts: usize,
    /// Levels below a variable.
    pub(crate) depth: usize,
    /// Characters of one text.
    pub(crate) text: usize,
}

impl Room {
    const EVERYTHING: Self = Self {
        frames: usize::MAX,
        values: usize::MAX,
        parts: usize::MAX,
        depth: MAX_DEPTH,
        text: usize::MAX,
    };

    fn variables(&mut self, variables: &[Variable]) -> Vec<VariableShape> {
        self.children(variables, self.depth, usize::MAX)
    }

    fn variable(mut self, variable: &Variable) -> VariableShape {
        let depth = self.depth;
        self.within(variable, depth)
    }

    fn children(&mut self, variables: &[Variable], depth: usize, parts: usize) -> Vec<VariableShape> {
        let mut shapes = Vec::new();
        for (at, variable) in variables.iter().enumerate() {
            if self.values == 0 || at >= parts {
                let why = Value::Cut(format!("{} more", variables.len() - at));
                shapes
                    .push(shape_of(&Variable { name: "…".to_owned(), value: why, ..Variable::default() }));
                break;
            }
            self.values -= 1;
            shapes.push(self.within(variable, depth));
        }
        shapes
    }

    fn within(&mut self, variable: &Variable, depth: usize) -> VariableShape {
        let mut shape = shape_of(variable);
        if let Some(text) = &mut shape.value
            && let Some((cut, _)) = text.char_indices().nth(self.text)
        {
            text.truncate(cut);
            text.push('…');
            shape.expandable = true;
        }
        match depth.checked_sub(1) {
            Some(depth) => shape.children = self.children(&variable.children, depth, self.parts),
            None if variable.children.is_empty() => {}
            None => {
                shape.expandable = true;
                if shape.value.is_none() {
                    shape.unavailable = Some("nested too deeply to be shown".to_owned());
                }
            }
        }
        shape
    }
}

/// A variable without what is below it.
fn shape_of(variable: &Variable) -> VariableShape {
    let (value, unavailable) = match &variable.value {
        Value::Text(text) => (Some(text.clone()), None),
        Value::Redacted(why) => (None, Some(format!("redacted: {why}"))),
        Value::Unavailable(why) => (None, Some(why.clone())),
        Value::Cut(why) => (None, Some(format!("left out: {why}"))),
        Value::Composite => (None, None),
    };
    VariableShape {
        name: variable.name.clone(),
        type_name: variable.type_name.clone(),
        value,
        children: Vec::new(),
        unavailable,
        expandable: matches!(variable.value, Value::Cut(_)),
    }
}

/// A thread's state, as in JSON.
pub(super) fn thread_state(state: ThreadState) -> &'static str {
    match state {
        ThreadState::Running => "running",
        ThreadState::Sleeping => "sleeping",
        ThreadState::Blocked => "blocked",
        ThreadState::Dead => "dead",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deep_value_is_cut_off_and_says_so() {
        let mut variable = Variable { value: Value::Composite, ..Variable::default() };
        for _ in 0..100 {
            variable = Variable { value: Value::Composite, children: vec![variable], ..Variable::default() };
        }
        let mut shape = &VariableShape::from(&variable);
        let mut depth = 0;
        while let Some(child) = shape.children.first() {
            (shape, depth) = (child, depth + 1);
        }
        assert_eq!(depth, MAX_DEPTH);
        assert_eq!(shape.unavailable.as_deref(), Some("nested too deeply to be shown"));
    }

    #[test]
    fn what_does_not_fit_is_left_out_and_can_be_asked_for() {
        let leaf = |n: usize| Variable {
            name: format!("[{n}]"),
            value: Value::Text("x".repeat(20)),
            ..Variable::default()
        };
        let many = Variable {
            name: "many".to_owned(),
            value: Value::Composite,
            children: (0..100_000).map(leaf).collect(),
            ..Variable::default()
        };
        let frame = |kind, variables| Frame { kind, variables, ..Frame::default() };
        let thread = Thread {
            frames: vec![
                frame(FrameKind::Library, vec![leaf(1)]),
                frame(FrameKind::User, vec![leaf(2), leaf(3)]),
                frame(FrameKind::User, vec![many]),
                frame(FrameKind::User, vec![]),
            ],
            ..Thread::default()
        };
        let room = Room { frames: 3, values: 7, parts: 5, depth: 2, text: 8 };
        let shape = ThreadShape::within(&thread, Some(2), room);
        assert_eq!(shape.truncated.as_deref(), Some("1 more frames were captured than are shown"));
        let said = |number: usize| -> Vec<String> {
            let all = shape.frames[number]
                .variables
                .iter()
                .flat_map(|known| std::iter::once(known).chain(known.children.iter()));
            all.map(|known| {
                format!("{} {:?}", known.name, known.value.as_ref().or(known.unavailable.as_ref()))
            })
            .collect()
        };
        let site = said(2);
        assert_eq!(site.len(), 7, "{site:?}");
        assert_eq!(site[6], "… Some(\"left out: 99995 more\")");
        assert_eq!(site[1], "[0] Some(\"xxxxxxxx…\")");
        // The user's other frame gets what is left: one value, and the word that there are more. The library gets nothing.
        assert_eq!(said(1), ["[2] Some(\"xxxxxxxx…\")", "… Some(\"left out: 1 more\")"]);
        assert_eq!(said(0), ["… Some(\"left out: 1 more\")"]);
        assert!(shape.frames[0].variables[0].expandable);
    }

    #[test]
    fn a_redacted_value_keeps_only_its_reason() {
        let variable =
            Variable { value: Value::Redacted("looks like a jwt".to_owned()), ..Variable::default() };
        let shape = VariableShape::from(&variable);
        assert_eq!((shape.value, shape.unavailable), (None, Some("redacted: looks like a jwt".to_owned())));
    }

    #[test]
    fn what_was_cut_off_can_be_expanded() {
        let shape = |value| VariableShape::from(&Variable { value, ..Variable::default() });
        let cut = shape(Value::Cut("36 more".to_owned()));
        assert_eq!((cut.unavailable.as_deref(), cut.expandable), (Some("left out: 36 more"), true));
        let json = serde_json::to_string(&shape(Value::Text("1".to_owned()))).expect("serialises");
        assert!(!json.contains("expandable"), "{json}");
    }
}
