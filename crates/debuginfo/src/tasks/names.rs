//! Futures in the words of the source: what the compiler calls `shop::run::{async_fn_env#0}<T>` is `shop::run`.

use crate::dwarf::types::Type;

/// The `async` function or block that a coroutine is of.
pub(super) fn of_coroutine(kind: &Type) -> String {
    tidied(&kind.path)
}

/// A type without its parameters; a closure by the function that it is in.
pub(super) fn of_type(kind: &Type) -> String {
    // A tuple or reference has no path, but a name.
    if kind.path.is_empty() { kind.name.clone() } else { tidied(&kind.path) }
}

fn tidied(path: &str) -> String {
    let path = without_parameters(path);
    let mut parts: Vec<String> = Vec::new();
    for part in path.split("::") {
        match part.strip_suffix('}').and_then(|part| part.strip_prefix('{')) {
            // Nobody knows an implementation by its number, nor a function's future by any name but the function's.
            Some(inner) if inner.starts_with("impl#") || inner.starts_with("async_fn_env#") => {}
            Some(inner) if inner.starts_with("async_fn#") => {}
            Some(inner) => parts.push(format!("{{{}}}", inner.replace("_env#", "#"))),
            None => parts.push(part.to_owned()),
        }
    }
    parts.join("::")
}

/// Everything between angle brackets left out.
fn without_parameters(path: &str) -> String {
    let mut depth = 0usize;
    let mut before = ' ';
    let mut kept = String::new();
    for character in path.chars() {
        match character {
            '<' => depth = depth.saturating_add(1),
            // The arrow of a function's type closes nothing.
            '>' if before != '-' => depth = depth.saturating_sub(1),
            character if depth == 0 => kept.push(character),
            _ => {}
        }
        before = character;
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::tidied;

    #[test]
    fn names_as_people_write_them() {
        for (path, expected) in [
            ("shop::worker::run::{async_fn_env#0}", "shop::worker::run"),
            ("tokio::sync::mutex::{impl#5}::lock::{async_fn_env#0}<u64>", "tokio::sync::mutex::lock"),
            ("shop::main::{async_fn#0}::{async_block_env#1}", "shop::main::{async_block#1}"),
            ("shop::run::{async_fn#0}::{closure_env#0}<fn() -> u8>", "shop::run::{closure#0}"),
            ("tokio::time::timeout::Timeout<shop::run::{async_fn_env#0}>", "tokio::time::timeout::Timeout"),
        ] {
            assert_eq!(tidied(path), expected);
        }
    }
}
