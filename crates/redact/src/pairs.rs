//! Values whose name stands next to them: `password=…`, `"token": "…"`, `--secret …`, `<pin>…</pin>`, headers.
//!
//! One walk over the words of the text. A word that is followed by a separator is a key; where the key's name means a
//! secret, the value is parsed just far enough to know where it ends: quoted, in brackets, wrapped as in `Some("…")`, the
//! rest of a header line, or a bare word.

use crate::names::{self, Names};
use crate::shape::is_placeholder;
use crate::span::{Reason, Spans, is_marker, marker_len};

/// A quoted value is not longer than this, in bytes; without an end it goes to the end of the line.
const QUOTED_BYTES_MAX: usize = 64 * 1024;
/// A value in brackets is not longer than this, in bytes; without an end it goes to the end of the line.
const BRACKET_BYTES_MAX: usize = 512;

#[derive(Clone, Copy, PartialEq)]
enum Separator {
    Colon,
    Equals,
    /// `--password value`
    Flag,
    /// `<password>value<`
    Tag,
}

/// Finds the values of secret names.
pub(crate) fn named_values(text: &str, names: &Names, spans: &mut Spans) {
    let bytes = text.as_bytes();
    let mut at = 0;
    let mut before: Option<(usize, usize)> = None;
    while at < bytes.len() {
        if let Some(len) = marker_at(text, at) {
            at += len;
            continue;
        }
        let end = scan(bytes, at, is_key);
        if end == at {
            at += 1;
            continue;
        }
        let adjacent = before.filter(|&(_, end)| end + 1 == at && bytes.get(end) == Some(&b' '));
        before = Some((at, end));
        let key_start = at;
        at = end;
        let Some((separator, value)) = separator(bytes, key_start, end) else { continue };
        let Some(reason) = reason(text, names, adjacent, key_start, end) else { continue };
        let header = separator == Separator::Colon && is_header(text.get(key_start..end).unwrap_or_default());
        let quote_before = key_start.checked_sub(1).and_then(|at| bytes.get(at)).copied();
        let (start, end) =
            value_range(text, value, reason, separator, header.then_some(quote_before).flatten(), header);
        if text.get(start..end).is_some_and(|value| !is_marker(value) && !is_harmless(value)) {
            spans.add(start, end, reason);
            at = end.max(at);
        }
    }
}

/// Values that cannot be a secret: nothing, truth values, placeholders.
pub(crate) fn is_harmless(value: &str) -> bool {
    let value = value.trim().trim_matches(['"', '\'', '`']);
    let words = [
        "",
        "true",
        "false",
        "null",
        "none",
        "nil",
        "undefined",
        "()",
        "[]",
        "{}",
        "nan",
        "redacted",
        "[redacted]",
        "[filtered]",
    ];
    words.iter().any(|word| value.eq_ignore_ascii_case(word)) || is_placeholder(value)
}

fn marker_at(text: &str, at: usize) -> Option<usize> {
    // The first byte of the opening mark, compared first because this is asked at every position.
    if text.as_bytes().get(at) != Some(&0xe2) {
        return None;
    }
    text.get(at..).and_then(marker_len)
}

fn is_key(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn scan(bytes: &[u8], start: usize, belongs: fn(u8) -> bool) -> usize {
    bytes.iter().skip(start).position(|&byte| !belongs(byte)).map_or(bytes.len(), |len| start + len)
}

/// At most `limit` bytes that belong, from `start` on.
fn scan_some(bytes: &[u8], start: usize, limit: usize, belongs: fn(u8) -> bool) -> usize {
    start + bytes.iter().skip(start).take(limit).take_while(|&&byte| belongs(byte)).count()
}

/// The name's reason, alone or with the word before it (`api key: …`).
fn reason(
    text: &str,
    names: &Names,
    adjacent: Option<(usize, usize)>,
    start: usize,
    end: usize,
) -> Option<Reason> {
    // Only the end of an overlong key can be its last words.
    let key = text.get(end.saturating_sub(96).max(start)..end)?;
    let joined = adjacent
        .and_then(|(from, to)| Some(format!("{}_{key}", text.get(to.saturating_sub(96).max(from)..to)?)));
    let alone = names.reason(key);
    match joined {
        Some(joined) if alone.is_some() => names.reason(&joined),
        Some(joined) => {
            let completes = ["key", "keys", "code", "id", "number", "phrase"];
            names::words(key).last().filter(|last| completes.contains(&last.as_str()))?;
            names.reason(&joined)
        }
        None => alone,
    }
}

/// What separates the key `start..end` from its value, and where the value begins.
fn separator(bytes: &[u8], start: usize, end: usize) -> Option<(Separator, usize)> {
    let byte = |at: usize| bytes.get(at).copied().unwrap_or(b'\n');
    if byte(end) == b'>' && start > 0 && byte(start - 1) == b'<' {
        return Some((Separator::Tag, end + 1));
    }
    let closed = scan_some(bytes, end, 6, |b| matches!(b, b'\\' | b'"' | b'\'' | b'`' | b']'));
    let at = scan_some(bytes, closed, 8, is_blank);
    let (separator, after) = match (byte(at), byte(at + 1)) {
        (b':', b':' | b'/') => return None,
        (b':', b'=') => (Separator::Equals, at + 2),
        (b':', _) => (Separator::Colon, at + 1),
        (b'=', b'=' | b'>') => (Separator::Equals, at + 2),
        (b'=', _) => (Separator::Equals, at + 1),
        _ => {
            let flag = byte(start) == b'-' && byte(start + 1) == b'-' && closed == end && at == end + 1;
            return (flag && byte(at) != b'-').then_some((Separator::Flag, at));
        }
    };
    Some((separator, scan_some(bytes, after, 16, is_blank)))
}

/// Headers whose whole line is the value.
fn is_header(key: &str) -> bool {
    let words = names::words(key);
    matches!(words.last().map(String::as_str), Some("authorization" | "cookie"))
}

/// Where the value at `start` begins and ends, without its quotes.
fn value_range(
    text: &str,
    start: usize,
    reason: Reason,
    separator: Separator,
    quote_before: Option<u8>,
    header: bool,
) -> (usize, usize) {
    let bytes = text.as_bytes();
    if separator == Separator::Tag {
        return (start, scan(bytes, start, |b| !matches!(b, b'<' | b'\n')));
    }
    // `Some("…")`, `b"…"`, `Secret(…)`, `Credentials { … }`
    let wrapper = scan_some(bytes, start, 48, |b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b':'));
    // Only what is certainly no part of the secret stays to be read.
    let wrapped = match (text.get(start..wrapper), bytes.get(wrapper)) {
        (Some("Some" | "Ok"), Some(b'(')) => {
            Some(scan_some(bytes, wrapper + 1, 64, |b| b.is_ascii_whitespace()))
        }
        (Some("b" | "c" | "r" | "f" | "u" | "br"), Some(b'"' | b'\'')) => Some(wrapper),
        _ => None,
    };
    let inner = wrapped.unwrap_or(start);
    if let Some(range) = quoted(bytes, inner) {
        return range;
    }
    let open = if wrapper > start { scan_some(bytes, wrapper, 1, is_blank) } else { start };
    if matches!(bytes.get(open), Some(b'{' | b'[' | b'(')) {
        // The fields of a session are told apart by their own names: most of them are what one wants to see.
        let structure = bytes.get(open) != Some(&b'(');
        if structure && reason == Reason::Session {
            return (start, start);
        }
        return (start, bracket_end(bytes, open));
    }
    if header {
        return (start, header_end(bytes, start, quote_before));
    }
    let end = word_end(text, start);
    let scheme = text.get(start..end).unwrap_or_default();
    let schemes = ["bearer", "basic", "digest", "token", "negotiate", "apikey"];
    if schemes.iter().any(|known| scheme.eq_ignore_ascii_case(known)) && bytes.get(end) == Some(&b' ') {
        return (start, word_end(text, end + 1));
    }
    (start, end)
}

/// The inside of the quotes at `start`, which may be escaped because the text is itself inside of a string.
fn quoted(bytes: &[u8], start: usize) -> Option<(usize, usize)> {
    let quote_at = scan_some(bytes, start, 8, |b| b == b'\\');
    let quote = *bytes.get(quote_at).filter(|b| matches!(b, b'"' | b'\'' | b'`'))?;
    let escapes = quote_at - start;
    let inside = quote_at + 1;
    let mut backslashes = 0;
    for (len, &byte) in bytes.iter().skip(inside).take(QUOTED_BYTES_MAX).enumerate() {
        if byte == b'\\' {
            backslashes += 1;
            continue;
        }
        let closes = if escapes == 0 { backslashes % 2 == 0 } else { backslashes == escapes };
        if byte == quote && closes {
            return Some((inside, inside + len - escapes.min(len)));
        }
        backslashes = 0;
    }
    Some((inside, scan(bytes, inside, |b| b != b'\n')))
}

fn bracket_end(bytes: &[u8], start: usize) -> usize {
    let mut depth = 0_u32;
    for (len, &byte) in bytes.iter().skip(start).take(BRACKET_BYTES_MAX).enumerate() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return start + len + 1;
        }
    }
    scan(bytes, start, |b| b != b'\n')
}

/// A header goes to the end of the line, be it escaped, or to the quote that was opened before its name.
fn header_end(bytes: &[u8], start: usize, quote_before: Option<u8>) -> usize {
    let quote = quote_before.filter(|byte| matches!(byte, b'"' | b'\'' | b'`'));
    let mut escaped = false;
    for (len, &byte) in bytes.iter().skip(start).enumerate() {
        if matches!(byte, b'\n' | b'\r') || Some(byte) == quote {
            return start + len;
        }
        if escaped && matches!(byte, b'n' | b'r') {
            return start + len - 1;
        }
        escaped = byte == b'\\';
    }
    bytes.len()
}

/// End of a bare value. Punctuation ends it where it separates, not inside of a password.
fn word_end(text: &str, start: usize) -> usize {
    let bytes = text.as_bytes();
    let mut at = start;
    while let Some(&byte) = bytes.get(at) {
        if let Some(len) = marker_at(text, at) {
            at += len;
            continue;
        }
        let next = bytes.get(at + 1).copied().unwrap_or(b'\n');
        let ends = match byte {
            b',' | b';' | b'&' | b'|' => next.is_ascii_whitespace() || begins_pair(bytes, at + 1),
            b')' | b']' | b'}' | b'>' | b'"' | b'\'' | b'`' => !next.is_ascii_alphanumeric(),
            b'\\' => matches!(next, b'n' | b'r' | b't' | b'"'),
            _ => byte.is_ascii_whitespace(),
        };
        if ends {
            break;
        }
        at += 1;
    }
    at
}

/// Whether the next key begins at `at`, as in `a=1&b=2`.
fn begins_pair(bytes: &[u8], at: usize) -> bool {
    let quote = scan_some(bytes, at, 2, |b| matches!(b, b'"' | b'\''));
    let end = scan_some(bytes, quote, 64, is_key);
    let closed = scan_some(bytes, end, 2, |b| matches!(b, b'"' | b'\''));
    end > quote && matches!(bytes.get(closed), Some(b'=' | b':'))
}
