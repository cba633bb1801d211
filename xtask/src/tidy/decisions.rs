//! `docs/decisions/NNNN-title.md`: numbered without gaps, each with a title.

use super::{Problem, Source};

const DIRECTORY: &str = "docs/decisions/";

pub(super) fn check(sources: &[Source]) -> Vec<Problem> {
    let mut decisions: Vec<(&str, &Source)> =
        sources.iter().filter_map(|source| Some((source.path.strip_prefix(DIRECTORY)?, source))).collect();
    decisions.sort_by_key(|(name, _)| *name);
    let mut problems = Vec::new();
    let mut expected = 1;
    for (name, source) in decisions {
        match number(name) {
            Some(number) if number == expected => expected += 1,
            Some(number) => {
                let what = format!("has number {number:04} where {expected:04} is next");
                problems.push(Problem::new(
                    &source.path,
                    what,
                    "decisions are numbered in order, each number once",
                ));
                expected = number + 1;
            }
            None => problems.push(Problem::new(
                &source.path,
                "is not named like a decision",
                "name it NNNN-title-in-small-letters.md, with the next free number",
            )),
        }
        if !source.text.starts_with("# ") {
            problems.push(Problem::new(
                &source.path,
                "has no title",
                "begin it with `# ` and the decision in a few words",
            ));
        }
    }
    problems
}

fn number(name: &str) -> Option<u32> {
    let (digits, title) = name.strip_suffix(".md")?.split_once('-')?;
    let well_named = digits.len() == 4
        && !title.is_empty()
        && title.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    well_named.then(|| digits.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_numbers_and_titles() {
        let source =
            |name: &str, text: &str| Source { path: format!("{DIRECTORY}{name}"), text: text.to_owned() };
        let problems = check(&[
            source("0001-first.md", "# First"),
            source("0003-gap.md", "# Gap"),
            source("0003-twice.md", "# Twice"),
            source("0004-untitled.md", "Nothing"),
            source("notes.md", "# Notes"),
            Source { path: "docs/configuration.md".to_owned(), text: String::new() },
        ]);
        let texts: Vec<String> =
            problems.iter().map(|problem| format!("{}: {}", problem.at, problem.what)).collect();
        assert_eq!(
            texts,
            [
                "docs/decisions/0003-gap.md: has number 0003 where 0002 is next",
                "docs/decisions/0003-twice.md: has number 0003 where 0004 is next",
                "docs/decisions/0004-untitled.md: has no title",
                "docs/decisions/notes.md: is not named like a decision",
            ]
        );
    }
}
