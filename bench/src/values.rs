//! How many of the variables of the user's own frames have a value: in a capture, and in what gdb wrote of the same process.

use std::collections::HashSet;

use serde::Deserialize;

/// A capture as the API tells of it.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Threads {
    pub(crate) threads: Vec<Thread>,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct Thread {
    failing: bool,
    pub(crate) frames: Vec<Frame>,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct Frame {
    file: String,
    kind: String,
    variables: Vec<Variable>,
}

#[derive(Debug, Default, Deserialize)]
struct Variable {
    unavailable: Option<String>,
}

/// Variables, and how many of them have a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Share {
    pub(crate) all: usize,
    pub(crate) known: usize,
}

impl Share {
    fn count(&mut self, known: bool) {
        self.all += 1;
        self.known += usize::from(known);
    }

    pub(crate) fn percent(self) -> f64 {
        100.0 * self.known as f64 / self.all as f64
    }
}

impl Threads {
    fn user_frames(&self) -> impl Iterator<Item = &Frame> {
        let failing = self.threads.iter().filter(|thread| thread.failing);
        failing.flat_map(|thread| &thread.frames).filter(|frame| frame.kind == "user")
    }

    /// Of the failing thread's own frames. What is withheld as a secret was read.
    pub(crate) fn share(&self) -> Share {
        let mut share = Share::default();
        for variable in self.user_frames().flat_map(|frame| &frame.variables) {
            let why = variable.unavailable.as_deref();
            share.count(why.is_none_or(|why| why.starts_with("redacted")));
        }
        share
    }

    /// Threads, and the frames of the deepest of them.
    pub(crate) fn size(&self) -> (usize, usize) {
        let deepest = self.threads.iter().map(|thread| thread.frames.len()).max();
        (self.threads.len(), deepest.unwrap_or(0))
    }

    /// The same frames in the words of gdb's `thread apply all bt full`: those of the thread that `marker` is on, in the same files.
    pub(crate) fn share_of_gdb(&self, text: &str, marker: &str) -> Share {
        let files: HashSet<&str> = self.user_frames().map(|frame| frame.file.as_str()).collect();
        let thread = text.split("\nThread ").find(|thread| thread.contains(marker)).unwrap_or_default();
        let mut share = Share::default();
        let mut own = false;
        for line in thread.lines() {
            if line.starts_with('#') {
                own = files.iter().any(|file| line.contains(&format!("{file}:")));
                for argument in arguments(line).filter(|_| own) {
                    share.count(!is_absent(argument));
                }
            } else if let Some(local) = line.strip_prefix("        ").filter(|_| own)
                // Deeper lines continue a value.
                && !local.starts_with([' ', '}'])
                && let Some((_, value)) = local.split_once(" = ")
            {
                share.count(!is_absent(value));
            }
        }
        share
    }
}

fn is_absent(value: &str) -> bool {
    value.contains("<optimized out>") || value.contains("<synthetic pointer>") || value.contains("<error")
}

/// `order=1`, `name="a, b"` of `#1  0x1 in shop::take (order=1, name="a, b") at src/main.rs:3`.
fn arguments(line: &str) -> impl Iterator<Item = &str> {
    let list = line.split_once(" (").map_or("", |(_, rest)| rest);
    let list = list.rsplit_once(") at ").map_or("", |(list, _)| list);
    let (mut depth, mut quoted, mut begin) = (0i32, false, 0);
    let mut found = Vec::new();
    for (at, character) in list.char_indices() {
        match character {
            '"' => quoted = !quoted,
            '{' | '(' | '[' if !quoted => depth += 1,
            '}' | ')' | ']' if !quoted => depth -= 1,
            ',' if !quoted && depth == 0 => {
                found.push(list.get(begin..at).unwrap_or_default());
                begin = at + 1;
            }
            _ => {}
        }
    }
    found.push(list.get(begin..).unwrap_or_default());
    found.into_iter().filter(|argument| argument.contains('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_failing_threads_own_frames_count() {
        let capture = r#"{"threads": [
            {"failing": false, "frames": [{"file": "src/main.rs", "kind": "user", "variables": [{"unavailable": null}]}]},
            {"failing": true, "frames": [
                {"file": "std/panicking.rs", "kind": "library", "variables": [{}]},
                {"file": "src/shop.rs", "kind": "user", "variables": [{}, {"unavailable": "optimised out"}, {"unavailable": "redacted: token"}]}
            ]}
        ]}"#;
        let capture: Threads = serde_json::from_str(capture).unwrap();
        assert_eq!(capture.share(), Share { all: 3, known: 2 });
        assert_eq!(capture.size(), (2, 2));
        let gdb = "\nThread 2 (LWP 5):\n#0  0x1 in wait (fd=3) at src/shop.rs:1\nNo locals.\n\
            \nThread 1 (LWP 4):\n#0  rust_panic (msg=...) at std/panicking.rs:2\n        a = 1\n\
            #1  0x2 in shop::take (order=1, name=\"a, b\", c=<optimized out>) at /home/x/src/shop.rs:3\n        stock = Stock {\n          shelf: 3,\n        }\n        \
            gone = <optimized out>\n#2  0x3 in main () at src/other.rs:4\n        b = 1\n";
        assert_eq!(capture.share_of_gdb(gdb, "rust_panic"), Share { all: 5, known: 3 });
        assert_eq!(capture.share_of_gdb("", "rust_panic"), Share::default());
    }
}
