//! From names as they are shown to an expression that leads there.

/// The expression for a variable and then its children, by the names that a capture shows: `["order", "items", "[3]", "*"]`
/// gives `order.items[3].*`. A name that is no plain word stands in backquotes; one in brackets stays as it is.
pub fn path_of(names: &[&str]) -> String {
    let mut path = String::new();
    for (at, name) in names.iter().enumerate() {
        if at > 0 {
            step(&mut path, name);
        } else if is_plain_root(name) {
            path += name;
        } else {
            quote(&mut path, name);
        }
    }
    path
}

/// Leads a path on to a child of this name.
pub fn step(path: &mut String, name: &str) {
    let is_index = name.starts_with('[') && name.ends_with(']');
    if is_index {
        *path += name;
        return;
    }
    path.push('.');
    let is_number = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
    if name == "*" || is_number || is_word(name) {
        *path += name;
    } else {
        quote(path, name);
    }
}

fn quote(path: &mut String, name: &str) {
    path.push('`');
    // A name cannot contain the quote itself: no language's does.
    path.extend(name.chars().filter(|c| *c != '`'));
    path.push('`');
}

fn is_plain_root(name: &str) -> bool {
    !matches!(name, "true" | "false" | "null" | "nullptr") && name.split("::").all(is_word)
}

fn is_word(word: &str) -> bool {
    let is_name = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
    !word.is_empty() && word.chars().all(is_name) && !word.starts_with(|c: char| c.is_ascii_digit())
}
