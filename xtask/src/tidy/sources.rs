//! What holds for each Rust file: it opens by saying what it is, it is not too long, and `unsafe` stands only where it belongs.

use super::{Problem, Source, code};

const LINES_MAX: usize = 600;

/// Crates whose business is the operating system's and the process's own memory.
const UNSAFE_IN: &[&str] = &["crates/runtime/", "crates/shim/", "crates/sdk/"];

/// Files and directories elsewhere, and why.
const UNSAFE_ALSO: &[(&str, &str)] = &[
    ("crates/blocks/", "an allocator: what it hands out is raw memory"),
    ("crates/debuginfo/src/elf.rs", "maps ELF files into memory: they are too large to copy"),
    ("crates/debuginfo/src/index/file.rs", "maps what an index holds inflated: it is too large to copy"),
    ("crates/debuginfo/tests/common/", "stops real processes to be read"),
    ("crates/debuginfo/tests/cores.rs", "lets the programs that it crashes leave a core"),
    ("crates/debuginfo/corpus/", "programs that are broken on purpose, compiled by the tests alone"),
    ("crates/debuginfo/tests/cores/", "programs of the corpus, which have no standard library"),
    ("fuzz/src/bounded.rs", "an allocator that bounds what an input may take"),
    ("crates/freezeframe/tests/", "signals and waits for real processes"),
    ("bench/src/", "drives sockets and signals by hand, so that it measures others and not itself"),
    (
        "examples/shop/src/native.rs",
        "calls the shop's C library, so that the demo has frames of both languages",
    ),
];

pub(super) fn check(source: &Source) -> Vec<Problem> {
    let mut problems = Vec::new();
    if !source.path.ends_with(".rs") {
        return problems;
    }
    let path = source.path.as_str();
    if is_ours(path) {
        if !source.text.starts_with("//!") {
            let remedy = "begin it with `//!`: what it is, and what it deliberately does not know";
            problems.push(Problem::new(path, "does not say what it is", remedy));
        }
        let lines = source.text.lines().count();
        if lines > LINES_MAX {
            let what = format!("{lines} lines are more than one story ({LINES_MAX})");
            problems.push(Problem::new(path, what, "split it where the second story begins"));
        }
    }
    let allowed = UNSAFE_IN.iter().any(|place| path.starts_with(place))
        || UNSAFE_ALSO.iter().any(|(place, _)| path.starts_with(place));
    if !allowed && let Some(line) = code::line_of_word(&source.text, "unsafe") {
        problems.push(Problem::new(
            format!("{path}:{line}"),
            "`unsafe` outside of runtime, shim and sdk",
            "move it there behind a safe function, or list the file with a reason in xtask/src/tidy/sources.rs",
        ));
    }
    problems
}

/// Under a `src` directory of a crate; tests and fixtures are as long as what they show.
fn is_ours(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    match parts.as_slice() {
        ["crates" | "examples", _, "src", ..] | ["xtask" | "bench", "src", ..] => !parts.contains(&"tests"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(path: &str, text: &str) -> Vec<String> {
        let found = check(&Source { path: path.to_owned(), text: text.to_owned() });
        found.iter().map(|problem| format!("{}: {}", problem.at, problem.what)).collect()
    }

    #[test]
    fn every_source_file_says_what_it_is() {
        assert_eq!(problems("crates/gate/src/a.rs", "//! A.\n"), Vec::<String>::new());
        assert_eq!(
            problems("crates/gate/src/a.rs", "use b;\n"),
            ["crates/gate/src/a.rs: does not say what it is"]
        );
        assert_eq!(problems("crates/gate/tests/fixtures/a.rs", "use b;\n"), Vec::<String>::new());
        assert_eq!(problems("crates/gate/src/a.css", "a {}\n"), Vec::<String>::new());
    }

    #[test]
    fn a_file_has_a_length() {
        let text = format!("//! A.\n{}", "\n".repeat(LINES_MAX));
        assert_eq!(
            problems("xtask/src/a.rs", &text),
            ["xtask/src/a.rs: 601 lines are more than one story (600)"]
        );
        assert_eq!(problems("crates/gate/tests/a.rs", &text), Vec::<String>::new());
    }

    #[test]
    fn unsafe_code_has_its_places() {
        let text = "//! Not unsafe.\nfn a() {\n    unsafe { b() }\n}\n";
        assert_eq!(problems("crates/runtime/src/a.rs", text), Vec::<String>::new());
        assert_eq!(problems("examples/shop/src/native.rs", text), Vec::<String>::new());
        assert_eq!(
            problems("crates/gate/src/a.rs", text),
            ["crates/gate/src/a.rs:3: `unsafe` outside of runtime, shim and sdk"]
        );
        assert_eq!(
            problems("crates/gate/src/a.rs", "//! `unsafe`.\nconst A: &str = \"unsafe\";\n"),
            Vec::<String>::new()
        );
    }
}
