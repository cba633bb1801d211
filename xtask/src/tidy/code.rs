//! Rust source without its comments and literals, just far enough to tell code from words.

/// The first line (from 1) on which `word` stands in the code itself.
pub(super) fn line_of_word(source: &str, word: &str) -> Option<usize> {
    let code = code_only(source);
    let is_part = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    let at = code.match_indices(word).map(|(at, _)| at).find(|&at| {
        let before = at.checked_sub(1).and_then(|at| code.as_bytes().get(at));
        !is_part(before) && !is_part(code.as_bytes().get(at + word.len()))
    })?;
    Some(code.get(..at)?.matches('\n').count() + 1)
}

/// `source` with a space for every character of a comment, a string or a character literal. Lines stay where they are.
fn code_only(source: &str) -> String {
    let chars: Vec<char> = source.chars().collect();
    let mut code = String::with_capacity(source.len());
    let mut at = 0;
    while let Some(&c) = chars.get(at) {
        let end = literal_end(&chars, at);
        if end == at {
            code.push(c);
            at += 1;
            continue;
        }
        let skipped = chars.get(at..end).unwrap_or_default();
        code.extend(skipped.iter().map(|&c| if c == '\n' { '\n' } else { ' ' }));
        at = end;
    }
    code
}

/// Where the comment or literal ends that begins at `at`; `at` itself where none does.
fn literal_end(chars: &[char], at: usize) -> usize {
    let is = |ahead: usize, c: char| chars.get(at + ahead) == Some(&c);
    if is(0, '/') && is(1, '/') {
        return find(chars, at, |rest| rest.first() == Some(&'\n'));
    }
    if is(0, '/') && is(1, '*') {
        return block_comment_end(chars, at);
    }
    if is(0, '"') {
        return quoted_end(chars, at + 1, '"');
    }
    let in_word =
        at.checked_sub(1).and_then(|at| chars.get(at)).is_some_and(|c| c.is_alphanumeric() || *c == '_');
    if !in_word && let Some(end) = raw_string_end(chars, at) {
        return end;
    }
    // `'a'` and `'\n'` are characters, `'a` is a lifetime.
    if is(0, '\'') && (is(1, '\\') || is(2, '\'')) {
        return quoted_end(chars, at + 1, '\'');
    }
    at
}

fn find(chars: &[char], from: usize, ends: impl Fn(&[char]) -> bool) -> usize {
    (from..chars.len()).find(|&at| chars.get(at..).is_some_and(&ends)).unwrap_or(chars.len())
}

fn block_comment_end(chars: &[char], at: usize) -> usize {
    let mut depth = 0_usize;
    let mut at = at;
    while at < chars.len() {
        match (chars.get(at), chars.get(at + 1)) {
            (Some('/'), Some('*')) => (depth, at) = (depth + 1, at + 2),
            (Some('*'), Some('/')) => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at.min(chars.len())
}

fn quoted_end(chars: &[char], from: usize, quote: char) -> usize {
    let mut at = from;
    while let Some(&c) = chars.get(at) {
        match c {
            '\\' => at += 2,
            _ if c == quote => return at + 1,
            _ => at += 1,
        }
    }
    chars.len()
}

/// `r"…"`, `r#"…"#`, `br"…"`, `cr"…"`.
fn raw_string_end(chars: &[char], at: usize) -> Option<usize> {
    let prefix = usize::from(matches!(chars.get(at), Some('b' | 'c')));
    if chars.get(at + prefix) != Some(&'r') {
        return None;
    }
    let hashes = chars.iter().skip(at + prefix + 1).take_while(|&&c| c == '#').count();
    let inside = at + prefix + 1 + hashes;
    if chars.get(inside) != Some(&'"') {
        return None;
    }
    let closes = |rest: &[char]| {
        rest.first() == Some(&'"')
            && rest.iter().skip(1).take(hashes).filter(|&&c| c == '#').count() == hashes
    };
    Some((find(chars, inside + 1, closes) + 1 + hashes).min(chars.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_no_code() {
        let text = "a // unsafe\n/* unsafe /* nested */ unsafe */ b\n\"unsafe \\\" unsafe\" r#\"unsafe \" unsafe\"# br\"unsafe\" 'u' '\\'' &'a str\nc";
        let code = code_only(text);
        assert!(!code.contains("unsafe"), "{code}");
        let words: Vec<&str> = code.split_whitespace().collect();
        assert_eq!(words, ["a", "b", "&'a", "str", "c"]);
        assert_eq!(code.lines().count(), text.lines().count());
    }

    #[test]
    fn the_word_is_found_where_it_is_code() {
        assert_eq!(line_of_word("//! unsafe\n\nfn a() { unsafe {} }", "unsafe"), Some(3));
        assert_eq!(line_of_word("unsafe_op_in_unsafe_fn", "unsafe"), None);
        assert_eq!(line_of_word("for r in x { 'outer: loop { unsafe {} } }", "unsafe"), Some(1));
        assert_eq!(line_of_word("let c = '\"'; unsafe {}", "unsafe"), Some(1));
    }

    #[test]
    fn unfinished_literals_do_not_run_over_the_end() {
        for text in ["\"", "\"\\", "r#\"", "/*", "/* /*", "'\\", "//", "br", "'", ""] {
            assert_eq!(code_only(text).chars().count(), text.chars().count(), "{text}");
        }
    }
}
