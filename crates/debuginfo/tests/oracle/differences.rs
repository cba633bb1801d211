//! What our reading and a debugger's disagree about, and the checked list of those that are known and why.

use std::fmt;

use serde::Deserialize;

/// One disagreement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    /// Source and build.
    pub(crate) case: String,
    pub(crate) tool: &'static str,
    /// Function of the frame, in our words where we have any.
    pub(crate) frame: String,
    /// A variable's name, or `<function>`, `<file>`, `<line>`, `<frames>`, `<pc>`, `<cfa>`, `<register>`.
    pub(crate) variable: String,
    pub(crate) ours: String,
    pub(crate) theirs: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { case, tool, frame, variable, ours, theirs } = self;
        writeln!(f, "[[difference]]")?;
        for (key, value) in
            [("case", case.as_str()), ("tool", tool), ("frame", frame), ("variable", variable)]
        {
            writeln!(f, "{key} = '{value}'")?;
        }
        write!(f, "ours = '{ours}'\ntheirs = '{theirs}'")
    }
}

/// An entry of `differences.toml`; `*` stands for any text in every field but the last.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Known {
    case: String,
    tool: String,
    frame: String,
    variable: String,
    ours: String,
    theirs: String,
    reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    difference: Vec<Known>,
}

/// The checked list.
pub(crate) fn known() -> Vec<Known> {
    let path = crate::corpus::directory().join("differences.toml");
    let text = std::fs::read_to_string(path).expect("the list is there");
    let file: File = toml::from_str(&text).expect("the list is well-formed");
    for known in &file.difference {
        assert!(!known.reason.trim().is_empty(), "no reason is given for {known:?}");
    }
    file.difference
}

impl Known {
    pub(crate) fn explains(&self, difference: &Difference) -> bool {
        matches(&self.case, &difference.case)
            && matches(&self.tool, difference.tool)
            && matches(&self.frame, &difference.frame)
            && matches(&self.variable, &difference.variable)
            && matches(&self.ours, &difference.ours)
            && matches(&self.theirs, &difference.theirs)
    }
}

fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[test]
fn patterns() {
    for (pattern, text, expected) in [
        ("a", "a", true),
        ("a", "ab", false),
        ("*", "", true),
        ("a*c", "abc", true),
        ("a*c", "ab", false),
        ("*b*", "abc", true),
        ("ab*ba", "aba", false),
    ] {
        assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
    }
}
