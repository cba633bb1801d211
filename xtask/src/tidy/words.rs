//! Words that must not land: notes to oneself, and paths of somebody's machine.

use super::{Problem, Source};

/// The list itself.
const EXEMPT: &[&str] = &["xtask/src/tidy/words.rs"];

const NOTES: &[&str] = &["TODO", "FIXME", "XXX", "todo!(", "unimplemented!("];
const PLACES: &[&str] = &["/work/", "../shared"];

pub(super) fn check(source: &Source) -> Vec<Problem> {
    if EXEMPT.contains(&source.path.as_str()) {
        return Vec::new();
    }
    let mut problems = Vec::new();
    for (line, number) in source.text.lines().zip(1_u32..) {
        let at = || format!("{}:{number}", source.path);
        for word in NOTES.iter().filter(|word| stands_in(line, word)) {
            problems.push(Problem::new(
                at(),
                format!("`{word}` is left"),
                "do it now, or write an issue about it",
            ));
        }
        for place in PLACES.iter().filter(|place| begins_in(line, place)) {
            let what = format!("`{place}` is a path of one machine");
            problems.push(Problem::new(at(), what, "use a path relative to the project, or say it in words"));
        }
    }
    problems
}

/// As a word of its own: `XXX` is not in `XXXXXX`.
fn stands_in(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let joins = |c: char| c.is_alphanumeric() || c == '_';
        let before = line.get(..at).and_then(|text| text.chars().next_back());
        let after = line.get(at + word.len()..).and_then(|text| text.chars().next());
        !before.is_some_and(joins) && (word.ends_with('(') || !after.is_some_and(joins))
    })
}

/// As the beginning of a path: `/work/` is not in `src/work/`.
fn begins_in(line: &str, place: &str) -> bool {
    line.match_indices(place).any(|(at, _)| {
        let before = line.get(..at).and_then(|text| text.chars().next_back());
        !before.is_some_and(|c| c.is_alphanumeric() || "._-~}*".contains(c))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_their_own_are_found_with_their_line() {
        let text =
            "fine\n// TODO: later\nmktemp XXXXXX METHODXXX todo!()\nsrc/work/x target=/work/main ../shared";
        let problems = check(&Source { path: "a.rs".to_owned(), text: text.to_owned() });
        let texts: Vec<String> =
            problems.iter().map(|problem| format!("{} {}", problem.at, problem.what)).collect();
        assert_eq!(
            texts,
            [
                "a.rs:2 `TODO` is left",
                "a.rs:3 `todo!(` is left",
                "a.rs:4 `/work/` is a path of one machine",
                "a.rs:4 `../shared` is a path of one machine",
            ]
        );
    }
}
