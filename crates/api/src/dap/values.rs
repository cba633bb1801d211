//! Values as an editor's tree: which part of which value each of its numbers stands for, and what a value looks like on one line.
//!
//! What the capture holds is shown from it. What it left out is asked for: from the process while it is held.

use std::collections::VecDeque;

use freezeframe_model::{Frame, Question, Value, Variable, VariableRole, step};

use super::protocol::{self, VariablesArguments};
use super::stacks::FrameAt;
use super::text::short;

/// Values that can be open at once; the oldest are forgotten first.
const OPEN_MAX: usize = 100_000;
/// Parts of one value in one answer.
const PARTS_MAX: usize = 1000;
/// The same where the editor does not say how many it wants.
const PARTS: usize = 100;
/// Characters of a value on one line, and of the parts that stand for a value that is none itself.
const LINE_MAX: usize = 2000;
const PREVIEW_MAX: usize = 120;
const TYPE_MAX: usize = 400;
/// Levels that are asked for: the value's parts, and their parts for the one line that stands for each.
const DEPTH: usize = 2;

/// What one of the editor's numbers stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Node {
    /// The arguments or the locals of a frame.
    Scope(FrameAt, VariableRole),
    /// A value of the capture: its number in the frame, then that of the part, and so on.
    Captured { at: FrameAt, steps: Vec<usize>, path: String },
    /// A value that is asked for, from its `offset`th part on.
    Asked { at: FrameAt, path: String, offset: usize },
}

/// The values that the editor can open.
pub(super) struct Nodes {
    open: VecDeque<Node>,
    /// The number of the oldest one that is still known.
    first: i64,
    /// Whether the editor asks for long values in pages.
    pub(super) paging: bool,
}

impl Default for Nodes {
    fn default() -> Self {
        Self { open: VecDeque::new(), first: 1, paging: false }
    }
}

/// The parts of a value, or the question that leads to them.
pub(super) enum Parts {
    Here(Vec<protocol::Variable>),
    Ask { at: FrameAt, path: String, offset: usize, limit: usize },
}

impl Nodes {
    pub(super) fn open(&mut self, node: Node) -> i64 {
        if self.open.len() >= OPEN_MAX {
            self.open.pop_front();
            self.first = self.first.saturating_add(1);
        }
        self.open.push_back(node);
        self.first.saturating_add(i64::try_from(self.open.len()).unwrap_or(i64::MAX) - 1)
    }

    /// What a number stands for; `None` where it was never given out, or too long ago.
    pub(super) fn get(&self, reference: i64) -> Option<Node> {
        let at = usize::try_from(reference.checked_sub(self.first)?).ok()?;
        self.open.get(at).cloned()
    }

    /// The parts of an open value; `None` where its frame has no such value.
    pub(super) fn parts(&mut self, node: &Node, frame: &Frame, wanted: &VariablesArguments) -> Option<Parts> {
        // Nothing has both kinds: what is not of the wanted one is nothing.
        let limit = if wanted.count == 0 { PARTS } else { wanted.count.min(PARTS_MAX) };
        match node {
            Node::Scope(at, role) => {
                let of_role = |variable: &&Variable| {
                    (variable.role == VariableRole::Argument) == (*role == VariableRole::Argument)
                };
                let all = frame.variables.iter().enumerate().filter(|(_, variable)| of_role(variable));
                let limit = if wanted.count == 0 { PARTS_MAX } else { limit };
                let some = all.skip(wanted.start).take(limit);
                let some: Vec<_> = some
                    .map(|(number, variable)| {
                        let path = freezeframe_model::path_of(&[&variable.name]);
                        self.shown(variable, Place::Captured(*at, vec![number]), path)
                    })
                    .collect();
                Some(Parts::Here(some))
            }
            Node::Captured { at, steps, path } => {
                let variable = walk(&frame.variables, steps)?;
                let (rest, parts) = split(&variable.children);
                let end = wanted.start.saturating_add(if wanted.count == 0 { 0 } else { limit });
                if rest.is_some() && end > parts.len() {
                    return Some(Parts::Ask { at: *at, path: path.clone(), offset: wanted.start, limit });
                }
                let take = if wanted.count == 0 { PARTS_MAX } else { limit };
                let some = parts.iter().enumerate().skip(wanted.start).take(take);
                let mut some: Vec<_> = some
                    .map(|(number, part)| {
                        let mut path = path.clone();
                        step(&mut path, &part.name);
                        let steps = steps.iter().copied().chain([number]).collect();
                        self.shown(part, Place::Captured(*at, steps), path)
                    })
                    .collect();
                let left_out = (wanted.count == 0).then_some(rest).flatten();
                some.extend(left_out.map(|why| self.rest(*at, path, parts.len(), why)));
                Some(Parts::Here(some))
            }
            Node::Asked { at, path, offset } => Some(Parts::Ask {
                at: *at,
                path: path.clone(),
                offset: offset.saturating_add(wanted.start),
                limit,
            }),
        }
    }

    /// The parts of a value that was asked for from `offset` on.
    pub(super) fn answered(
        &mut self,
        at: FrameAt,
        path: &str,
        offset: usize,
        wanted: &VariablesArguments,
        value: &Variable,
    ) -> Vec<protocol::Variable> {
        let (rest, parts) = split(&value.children);
        let mut shown: Vec<_> = parts
            .iter()
            .map(|part| {
                let mut path = path.to_owned();
                step(&mut path, &part.name);
                self.shown(part, Place::Asked(at), path)
            })
            .collect();
        let rest = (wanted.count == 0).then_some(rest).flatten();
        shown.extend(rest.map(|why| self.rest(at, path, offset.saturating_add(parts.len()), why)));
        shown
    }

    /// What an expression came to: the number to open it by, and how many parts are told beforehand.
    pub(super) fn opened(
        &mut self,
        at: FrameAt,
        expression: &str,
        value: &Variable,
    ) -> (i64, Option<usize>, Option<usize>) {
        if !can_open(value) {
            return (0, None, None);
        }
        let (named, indexed) = counts(value, self.paging);
        (self.open(Node::Asked { at, path: base(expression), offset: 0 }), named, indexed)
    }

    fn shown(&mut self, variable: &Variable, place: Place, path: String) -> protocol::Variable {
        let (named_variables, indexed_variables) = counts(variable, self.paging);
        let variables_reference = match place {
            _ if !can_open(variable) => 0,
            Place::Captured(at, steps) if !variable.children.is_empty() => {
                self.open(Node::Captured { at, steps, path: path.clone() })
            }
            Place::Captured(at, _) | Place::Asked(at) => {
                self.open(Node::Asked { at, path: path.clone(), offset: 0 })
            }
        };
        protocol::Variable {
            name: short(&variable.name, TYPE_MAX),
            value: value_line(variable),
            type_name: short(&variable.type_name, TYPE_MAX),
            evaluate_name: Some(path),
            variables_reference,
            named_variables,
            indexed_variables,
            presentation_hint: match &variable.value {
                Value::Redacted(_) | Value::Unavailable(_) => {
                    Some(serde_json::json!({ "kind": "virtual", "attributes": ["readOnly"] }))
                }
                _ => None,
            },
        }
    }

    /// The line that stands for parts that were left out, and opens them.
    fn rest(&mut self, at: FrameAt, path: &str, offset: usize, why: &str) -> protocol::Variable {
        let variables_reference = self.open(Node::Asked { at, path: path.to_owned(), offset });
        let value = short(why, LINE_MAX);
        protocol::Variable {
            name: "…".to_owned(),
            value,
            variables_reference,
            ..protocol::Variable::default()
        }
    }
}

/// Where a value was read.
enum Place {
    Captured(FrameAt, Vec<usize>),
    Asked(FrameAt),
}

/// The question behind [`Parts::Ask`].
pub(super) fn question(thread: i32, frame: usize, expression: &str, offset: usize, limit: usize) -> Question {
    Question {
        thread,
        frame,
        expression: expression.to_owned(),
        depth: DEPTH,
        limit,
        offset,
        text_bytes: 64 << 10,
        reveal: false,
    }
}

/// A value on one line.
pub(super) fn value_line(variable: &Variable) -> String {
    short(&whole(variable), LINE_MAX)
}

/// The same at any length.
pub(super) fn whole(variable: &Variable) -> String {
    match &variable.value {
        Value::Text(text) => text.clone(),
        Value::Redacted(why) => format!("‹redacted: {why}›"),
        Value::Unavailable(why) => format!("‹{why}›"),
        Value::Cut(why) => format!("‹left out: {why}›"),
        Value::Composite => preview(variable),
    }
}

/// A value and all that is in it, an indented line each; no more than `left` lines.
pub(super) fn tree(variable: &Variable, indent: usize, left: &mut usize, text: &mut String) {
    if *left == 0 {
        return;
    }
    *left -= 1;
    let value = if variable.value == Value::Composite { String::new() } else { whole(variable) };
    let name = &variable.name;
    *text += &format!("{:indent$}{name}: {value}", "");
    if *left == 0 {
        *text += " …";
    }
    text.push('\n');
    variable.children.iter().for_each(|child| tree(child, indent + 2, left, text));
}

/// `{id: 1042, items: len 1, token: ‹redacted: …›}`, `[1, 2, …]`.
fn preview(variable: &Variable) -> String {
    let (rest, parts) = split(&variable.children);
    if parts.is_empty() && rest.is_none() {
        return "{}".to_owned();
    }
    let is_list = is_list(parts);
    let mut text = String::from(if is_list { "[" } else { "{" });
    let mut is_whole = rest.is_none();
    for (number, part) in parts.iter().enumerate() {
        if text.chars().count() >= PREVIEW_MAX {
            is_whole = false;
            break;
        }
        if number > 0 {
            text += ", ";
        }
        if !is_list {
            text += &short(&part.name, PREVIEW_MAX);
            text += ": ";
        }
        match &part.value {
            Value::Text(value) => text += &short(value, PREVIEW_MAX / 2),
            Value::Redacted(_) => text += "‹redacted›",
            Value::Unavailable(why) => text += &format!("‹{}›", short(why, PREVIEW_MAX / 2)),
            Value::Composite | Value::Cut(_) => text += "…",
        }
    }
    if !is_whole {
        text += if text.len() > 1 { ", …" } else { "…" };
    }
    text.push(if is_list { ']' } else { '}' });
    text
}

fn is_list(parts: &[Variable]) -> bool {
    let number = |name: &str| {
        let digits = name.strip_prefix('[')?.strip_suffix(']')?;
        digits.parse::<usize>().ok()
    };
    !parts.is_empty() && parts.iter().enumerate().all(|(at, part)| number(&part.name) == Some(at))
}

/// How many parts of either kind there are, where that is known and of use.
fn counts(variable: &Variable, paging: bool) -> (Option<usize>, Option<usize>) {
    let (rest, parts) = split(&variable.children);
    let more = match rest {
        None => Some(0),
        Some(why) => why.strip_suffix(" more").and_then(|more| more.parse::<usize>().ok()),
    };
    match more {
        Some(more) if paging && is_list(parts) => (None, Some(parts.len().saturating_add(more))),
        _ => (None, None),
    }
}

/// The parts, and why there are no more where that is so.
fn split(children: &[Variable]) -> (Option<&str>, &[Variable]) {
    match children.split_last() {
        Some((Variable { name, value: Value::Cut(why), .. }, parts)) if name == "…" => (Some(why), parts),
        _ => (None, children),
    }
}

fn can_open(variable: &Variable) -> bool {
    !variable.children.is_empty() || matches!(variable.value, Value::Cut(_))
}

/// The value that these numbers lead to.
fn walk<'v>(variables: &'v [Variable], steps: &[usize]) -> Option<&'v Variable> {
    let (first, more) = steps.split_first()?;
    more.iter().try_fold(variables.get(*first)?, |variable, step| variable.children.get(*step))
}

/// Steps lead on from a path as it stands, and from anything else in parentheses.
fn base(expression: &str) -> String {
    let is_path = |c: char| c.is_alphanumeric() || "_$.:`[]\"".contains(c);
    let expression = expression.trim();
    if expression.chars().all(is_path) { expression.to_owned() } else { format!("({expression})") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: FrameAt = FrameAt { thread: 0, frame: 0 };

    #[test]
    fn the_oldest_values_are_forgotten_first() {
        let mut nodes = Nodes::default();
        let node = |offset| Node::Asked { at: AT, path: "a".to_owned(), offset };
        let numbers: Vec<i64> = (0..OPEN_MAX + 2).map(|offset| nodes.open(node(offset))).collect();
        let found = |at: usize| nodes.get(numbers[at]);
        assert_eq!((found(0), found(1)), (None, None));
        assert_eq!((found(2), found(OPEN_MAX + 1)), (Some(node(2)), Some(node(OPEN_MAX + 1))));
        for unknown in [i64::MIN, -1, 0, numbers[OPEN_MAX + 1] + 1, i64::MAX] {
            assert_eq!(nodes.get(unknown), None);
        }
    }

    #[test]
    fn a_value_stands_on_one_line() {
        let text = |name: &str, value: &str| Variable {
            name: name.to_owned(),
            value: Value::Text(value.to_owned()),
            ..Variable::default()
        };
        let of =
            |children| value_line(&Variable { value: Value::Composite, children, ..Variable::default() });
        assert_eq!(of(vec![]), "{}");
        assert_eq!(of(vec![text("a", "1"), text("b", "\n")]), "{a: 1, b: \\u{a}}");
        assert_eq!(of(vec![text("[0]", "1"), text("[1]", "2")]), "[1, 2]");
        assert_eq!(of(vec![text("[7]", "1")]), "{[7]: 1}", "no list");
        let cut = Variable { value: Value::Cut("9 more".to_owned()), ..text("…", "") };
        assert_eq!(of(vec![text("[0]", "1"), cut.clone()]), "[1, …]");
        assert_eq!(of(vec![cut]), "{…}");
        let many = (0..500).map(|at| text(&format!("[{at}]"), "123456789")).collect();
        let line = of(many);
        assert!(line.ends_with(", …]") && line.chars().count() < 150, "{line}");
    }
}
