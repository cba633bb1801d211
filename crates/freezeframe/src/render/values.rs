//! Values as an indented tree; what was cut off says how it is asked for.

use freezeframe_api::words;
use freezeframe_model::{Question, Value, Variable, path_of, step};

use super::page::Page;
use super::page::Tone::{Good, Plain, Soft};
use super::page::clean;

/// Levels below a variable of a frame.
const MAX_DEPTH: usize = 4;
/// Values of an answer, and levels below it.
const MAX_ANSWER: usize = 10_000;
const MAX_ANSWER_DEPTH: usize = 16;

/// How the variables of a table are asked for again: by `--expand` and this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asking {
    /// To be named, because it is not the one that is meant anyway.
    pub(super) frame: Option<usize>,
}

/// One value that was asked for, whole.
pub(super) fn value(page: &mut Page, variable: &Variable, question: Option<&Question>) {
    let column = variable.name.chars().count().clamp(8, 40);
    let mut tree = Tree { page, column, left: MAX_ANSWER, skipped: 0, frame: None };
    let spot = question.map(|question| Spot { path: base(&question.expression), offset: question.offset });
    tree.show(0, variable, MAX_ANSWER_DEPTH, spot.as_ref());
    tree.finish(0);
}

/// Steps lead on from a path as it stands, and from anything else in parentheses.
pub(crate) fn base(expression: &str) -> String {
    let is_path = |c: char| c.is_alphanumeric() || "_$.:`[]\"".contains(c);
    let expression = expression.trim();
    if expression.chars().all(is_path) { expression.to_owned() } else { format!("({expression})") }
}

/// Variables of a frame.
pub(super) fn variables(
    page: &mut Page,
    indent: usize,
    variables: &[Variable],
    max: usize,
    asking: Option<Asking>,
) {
    let widest = variables.iter().map(|variable| variable.name.chars().count()).max().unwrap_or(0);
    let column = (widest + 1).clamp(8, 24);
    let frame = asking.and_then(|asking| asking.frame);
    let mut tree = Tree { page, column, left: max, skipped: 0, frame };
    for variable in variables {
        let spot = asking.map(|_| Spot { path: path_of(&[&variable.name]), offset: 0 });
        tree.show(indent, variable, MAX_DEPTH, spot.as_ref());
    }
    tree.finish(indent);
}

/// A value's path, and the first of its parts that is shown.
struct Spot {
    path: String,
    offset: usize,
}

impl Spot {
    /// What stands for the parts that were cut off is asked for by the whole.
    fn child(&self, at: usize, child: &Variable) -> Self {
        if child.name == "…" && matches!(child.value, Value::Cut(_)) {
            return Self { path: self.path.clone(), offset: self.offset.saturating_add(at) };
        }
        let mut path = self.path.clone();
        step(&mut path, &child.name);
        Self { path, offset: 0 }
    }
}

struct Tree<'p> {
    page: &'p mut Page,
    column: usize,
    left: usize,
    skipped: usize,
    frame: Option<usize>,
}

impl Tree<'_> {
    fn show(&mut self, indent: usize, variable: &Variable, depth: usize, spot: Option<&Spot>) {
        if self.left == 0 {
            self.skipped += 1;
            return;
        }
        self.left -= 1;
        let name = format!("{:<column$} ", clean(&variable.name), column = self.column);
        let type_name = format!("  {}", variable.type_name);
        let value = match &variable.value {
            Value::Text(text) => (Good, text.clone()),
            Value::Redacted(why) => (Soft, format!("redacted: {why}")),
            Value::Unavailable(why) => (Soft, format!("‹{why}›")),
            Value::Cut(why) => (Soft, format!("‹left out: {why}›{}", self.how(spot))),
            Value::Composite if depth == 0 && !variable.children.is_empty() => {
                (Soft, format!("…{}", self.how(spot)))
            }
            Value::Composite => (Soft, String::new()),
        };
        let type_name = if value.1.is_empty() { type_name.trim_start() } else { &type_name };
        self.page.line(indent, &[(Plain, &name), (value.0, &value.1), (Soft, type_name)]);
        let Some(depth) = depth.checked_sub(1) else {
            self.skipped += variable.children.len();
            return;
        };
        for (at, child) in variable.children.iter().enumerate() {
            if self.left == 0 {
                return self.stop(indent + 2, variable.children.len() - at, at, spot);
            }
            let spot = spot.map(|spot| spot.child(at, child));
            self.show(indent + 2, child, depth, spot.as_ref());
        }
    }

    /// The page is full: `more` parts of a value, of which `shown` stand there, are not shown.
    fn stop(&mut self, indent: usize, more: usize, shown: usize, spot: Option<&Spot>) {
        self.skipped += more;
        let Some(spot) = spot else { return };
        let rest = Spot { path: spot.path.clone(), offset: spot.offset.saturating_add(shown) };
        let name = format!("{:<column$} ", "…", column = self.column);
        let how = format!("{more} more{}", self.how(Some(&rest)));
        self.page.line(indent, &[(Plain, &name), (Soft, &how)]);
    }

    /// The words that get it.
    fn how(&self, spot: Option<&Spot>) -> String {
        let Some(Spot { path, offset }) = spot else { return String::new() };
        let frame = self.frame.map(|frame| format!(" --frame {frame}")).unwrap_or_default();
        let offset = if *offset > 0 { format!(" --offset {offset}") } else { String::new() };
        format!("  --expand {}{frame}{offset}", quoted(path))
    }

    fn finish(self, indent: usize) {
        if self.skipped > 0 {
            let more = words::counted(self.skipped, "value");
            self.page.line(indent, &[(Soft, &format!("… {more} more; `--json` has them all"))]);
        }
    }
}

/// As a shell takes it for one word.
fn quoted(path: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | ':');
    if path.chars().all(is_plain) { path.to_owned() } else { format!("'{}'", path.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cut_off_says_how_it_is_asked_for() {
        let cut = |name: &str| Variable {
            name: name.to_owned(),
            value: Value::Cut("36 more".to_owned()),
            ..Variable::default()
        };
        let element = Variable { name: "[0]".to_owned(), value: Value::Text("1".to_owned()), ..cut("") };
        let list = |name: &str| Variable {
            name: name.to_owned(),
            value: Value::Composite,
            children: vec![element.clone(), cut("…")],
            ..Variable::default()
        };
        let style = crate::render::Style { color: false, width: 100, tasks: false };
        let mut page = Page::new(style);
        let order = Variable { children: vec![list("{items}"), cut("next")], ..list("order") };
        variables(&mut page, 0, &[order], 20, Some(Asking { frame: Some(3) }));
        let question = Question { expression: "a.b as u8".to_owned(), offset: 100, ..Question::default() };
        value(&mut page, &list("v"), Some(&question));
        expect_test::expect![[r#"
            order
              {items}
                [0]      1
                …        ‹left out: 36 more›  --expand 'order.`{items}`' --frame 3 --offset 1
              next     ‹left out: 36 more›  --expand order.next --frame 3
            v
              [0]      1
              …        ‹left out: 36 more›  --expand '(a.b as u8)' --offset 101
        "#]]
        .assert_eq(&page.finish());
    }
}
