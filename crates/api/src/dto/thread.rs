//! Threads, frames and variables.

use freezeframe_model::{BlockedOn, Frame, FrameKind, Thread, ThreadState, Value, Variable};
use serde::{Deserialize, Serialize};

/// Deeper variables are cut off: serialising recurses, and JSON readers commonly give up at 128 levels.
const MAX_DEPTH: usize = 24;

/// One thread.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
    pub children: Vec<VariableShape>,
    /// Why there is no value: `optimised out`, `redacted: …`, `left out: …`.
    pub unavailable: Option<String>,
    /// Whether the value, or the rest of its parent's parts, was only cut off: asking again with larger bounds shows it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub expandable: bool,
}

impl From<&Thread> for ThreadShape {
    fn from(thread: &Thread) -> Self {
        Self {
            id: thread.id,
            name: thread.name.clone(),
            failing: thread.failing,
            state: match thread.state {
                ThreadState::Running => "running",
                ThreadState::Sleeping => "sleeping",
                ThreadState::Blocked => "blocked",
                ThreadState::Dead => "dead",
            }
            .to_owned(),
            syscall: thread.syscall.clone(),
            blocked_on: thread.blocked_on.as_ref().map(BlockedOnShape::from),
            truncated: thread.truncated.clone(),
            frames: thread.frames.iter().map(FrameShape::from).collect(),
        }
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
            variables: frame.variables.iter().map(VariableShape::from).collect(),
        }
    }
}

impl From<&Variable> for VariableShape {
    fn from(variable: &Variable) -> Self {
        within(variable, MAX_DEPTH)
    }
}

fn within(variable: &Variable, depth: usize) -> VariableShape {
    let (value, unavailable) = match &variable.value {
        Value::Text(text) => (Some(text.clone()), None),
        Value::Redacted(why) => (None, Some(format!("redacted: {why}"))),
        Value::Unavailable(why) => (None, Some(why.clone())),
        Value::Cut(why) => (None, Some(format!("left out: {why}"))),
        Value::Composite => (None, None),
    };
    let shape = VariableShape {
        name: variable.name.clone(),
        type_name: variable.type_name.clone(),
        value,
        children: Vec::new(),
        unavailable,
        expandable: matches!(variable.value, Value::Cut(_)),
    };
    match depth.checked_sub(1) {
        Some(depth) => VariableShape {
            children: variable.children.iter().map(|child| within(child, depth)).collect(),
            ..shape
        },
        None if variable.children.is_empty() => shape,
        None => VariableShape {
            value: None,
            unavailable: Some("nested too deeply to be shown".to_owned()),
            expandable: true,
            ..shape
        },
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
