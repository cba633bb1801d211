//! From names as they are shown to an expression that leads there.

use super::syntax::is_name;

/// The expression for a variable and then its children, by the names that a capture shows: `["order", "items", "[3]", "*"]`
/// gives `order.items[3].*`. A name that is no plain word stands in backquotes; one in brackets stays as it is.
pub fn path_of(names: &[&str]) -> String {
    let mut path = String::new();
    for (at, name) in names.iter().enumerate() {
        let is_index = name.starts_with('[') && name.ends_with(']');
        if at > 0 && !is_index {
            path.push('.');
        }
        if (at > 0 && (is_index || *name == "*")) || is_plain(name, at == 0) {
            path += name;
        } else {
            path.push('`');
            // A name cannot contain the quote itself: no language's does.
            path.extend(name.chars().filter(|c| *c != '`'));
            path.push('`');
        }
    }
    path
}

/// Whether the parser takes it for one name.
fn is_plain(name: &str, root: bool) -> bool {
    let word = |word: &str| {
        !word.is_empty() && word.chars().all(is_name) && !word.starts_with(|c: char| c.is_ascii_digit())
    };
    if root {
        let reserved = matches!(name, "true" | "false" | "null" | "nullptr");
        return !reserved && name.split("::").all(word);
    }
    word(name) || (!name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shown_name_is_a_step() {
        for (names, expected) in [
            (&["order", "items", "[3]", "price"][..], "order.items[3].price"),
            (&["self", "0", "*"], "self.0.*"),
            (&["shop::LIMIT"], "shop::LIMIT"),
            (&["map", "[\"a]\\\"b\"]", "x"], "map[\"a]\\\"b\"].x"),
            (&["{closure_env#0}", "std::_Vector_base<int>"], "`{closure_env#0}`.`std::_Vector_base<int>`"),
            (&["", "a"], "``.a"),
            (&["true", "as"], "`true`.as"),
        ] {
            let path = path_of(names);
            assert_eq!(path, expected);
            super::super::syntax::parse(&path).unwrap_or_else(|error| panic!("{}", error.explain(&path)));
        }
    }
}
