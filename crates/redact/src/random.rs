//! Secrets that nothing gives away but their randomness.
//!
//! Entropy alone cannot tell a key from `HttpRequestBuilder2Factory`: both use many different characters. What differs
//! is the rhythm. Names are made of words, so the kind of character (capital, small, digit) changes every four to six
//! characters; in a random key it changes every other one. Pieces that a name explains (a word, a number, a short hash)
//! are set aside, the rest is judged by entropy and by rhythm.
//!
//! Of random keys of 22 characters 9 in 10 are found this way, of 43 characters 49 in 50.
//!
//! Hexadecimal digits say less. UUIDs and the shorter hashes identify things far more often than they open them and are
//! left alone; from 32 digits on they are taken for a key, except after a word such as `commit`, `trace_id` or `sha256`.

use crate::names::{self, Names};
use crate::span::{Reason, Spans};

/// Shortest token that is judged, in bytes.
const TOKEN_MIN: usize = 20;
/// Shortest run of hexadecimal digits that counts as a key.
const HEX_MIN: usize = 32;
/// Shannon entropy from which a token may be random, in bits per character. 20 random base64 characters have about 4.0,
/// English and identifiers of that length 3.2 to 3.7.
const ENTROPY_MIN: f64 = 3.45;
/// So far back is looked for the word that introduces a token, in bytes.
const CONTEXT_BYTES: usize = 48;

/// Finds tokens that look random. `identifies`: the text is the value of something that identifies, so a hexadecimal
/// token is expected.
pub(crate) fn tokens(text: &str, identifies: bool, spans: &mut Spans) {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let len = bytes.iter().skip(at).position(|&b| !is_token(b)).unwrap_or(bytes.len() - at);
        if len < TOKEN_MIN {
            at += len + 1;
            continue;
        }
        let end = at + len;
        judge(text, at, end, identifies, spans);
        at = end;
    }
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'_' | b'-')
}

/// Judges the token `start..end`, which is a maximal run of token characters.
fn judge(text: &str, start: usize, end: usize, identifies: bool, spans: &mut Spans) {
    let Some(token) = text.get(start..end) else { return };
    if is_mangled(token) || is_traceparent(token) || is_ulid(token) {
        return;
    }
    let mut hex_found = false;
    let mut at = start;
    for piece in token.split(is_separator) {
        let piece_end = at + piece.len();
        if piece.len() >= HEX_MIN && is_hex(piece) && is_mixed(piece) {
            hex_found = true;
            if !identifies && !introduced(text, at, true) {
                spans.add(at, piece_end, Reason::HighEntropy);
            }
        }
        at = piece_end + 1;
    }
    if !hex_found && is_random(token) && !introduced(text, start, false) && !token.starts_with("sha") {
        let padding = text.as_bytes().iter().skip(end).take(2).take_while(|&&b| b == b'=').count();
        spans.add(start, end + padding, Reason::HighEntropy);
    }
}

fn is_separator(c: char) -> bool {
    matches!(c, '+' | '/' | '_' | '-')
}

fn is_hex(piece: &str) -> bool {
    piece.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Digits and letters both, and several of each: no number, no word, no filler.
fn is_mixed(piece: &str) -> bool {
    let digits = piece.bytes().filter(u8::is_ascii_digit).count();
    digits * 8 >= piece.len() && (piece.len() - digits) * 8 >= piece.len() && entropy(piece.bytes()) >= 2.8
}

/// Symbols of C++ and Rust (legacy and v0): random only to look at.
fn is_mangled(token: &str) -> bool {
    token.starts_with("_ZN")
        || token.starts_with("ZN")
        || token.starts_with("_RN")
        || token.starts_with("_RI")
        || token.starts_with("_Z")
        || token.starts_with("_RM")
        || token.starts_with("_RX")
}

/// `00-<32>-<16>-<2>` (W3C Trace Context).
fn is_traceparent(token: &str) -> bool {
    let sizes: Vec<usize> = token.split('-').map(str::len).take(5).collect();
    sizes == [2, 32, 16, 2] && token.split('-').all(is_hex)
}

/// 26 characters of Crockford's base 32 that begin with a time of this century.
fn is_ulid(token: &str) -> bool {
    token.len() == 26
        && token.starts_with("01")
        && token.bytes().all(|b| b.is_ascii_digit() || (b.is_ascii_uppercase() && !b"ILOU".contains(&b)))
}

fn is_random(token: &str) -> bool {
    let pieces: Vec<&str> = token.split(is_separator).collect();
    if token.len() < pieces.len() * 5 {
        return false;
    }
    let rest: Vec<&str> = pieces.into_iter().filter(|piece| !is_explained(piece)).collect();
    let len: usize = rest.iter().map(|piece| piece.len()).sum();
    if len < 16 || len * 2 < token.len() {
        return false;
    }
    let fragments: usize = rest.iter().map(|piece| fragments(piece)).sum();
    let digits = rest.iter().flat_map(|piece| piece.bytes()).filter(u8::is_ascii_digit).count();
    let in_words: usize = rest.iter().map(|piece| in_words(piece)).sum();
    // Characters per fragment, in tenths: a token without digits must be the more restless.
    let most = if digits * 16 >= len { 36 } else { 24 };
    (len - digits) * 10 >= len * 3
        && in_words * 20 <= len * 9
        && len * 10 <= fragments * most
        && entropy(rest.iter().flat_map(|piece| piece.bytes())) >= ENTROPY_MIN
}

/// Characters that belong to words of four and more letters, as in `Http2ServerV1`.
fn in_words(piece: &str) -> usize {
    let (mut total, mut word) = (0, 0);
    for byte in piece.bytes().chain([b'0']) {
        if byte.is_ascii_lowercase() {
            word += 1;
            continue;
        }
        total += if word >= 4 { word } else { 0 };
        word = usize::from(byte.is_ascii_uppercase());
    }
    total
}

/// A word, a number, or a hash too short to be a key.
fn is_explained(piece: &str) -> bool {
    fragments(piece) <= 1 || (is_hex(piece) && (6..HEX_MIN).contains(&piece.len()))
}

/// Runs of one kind of character; a capital belongs to the small letters after it.
fn fragments(piece: &str) -> usize {
    let kind = |b: u8| match b {
        b'A'..=b'Z' => 'A',
        b'a'..=b'z' => 'a',
        _ => '0',
    };
    let bytes = piece.as_bytes();
    let changes = bytes.windows(2).filter(|pair| {
        let (before, after) = (pair.first().copied().map(kind), pair.last().copied().map(kind));
        before != after && !(before == Some('A') && after == Some('a'))
    });
    changes.count() + usize::from(!bytes.is_empty())
}

/// Shannon entropy in bits per byte.
fn entropy(bytes: impl Iterator<Item = u8>) -> f64 {
    let mut counts = [0_u32; 256];
    let mut total = 0_u32;
    for byte in bytes {
        if let Some(count) = counts.get_mut(usize::from(byte)) {
            *count += 1;
        }
        total = total.saturating_add(1);
    }
    let total = f64::from(total.max(1));
    counts
        .iter()
        .filter(|&&count| count > 0)
        .map(|&count| f64::from(count) / total)
        .map(|p| -p * p.log2())
        .sum()
}

/// Whether the word before `start` says that the token identifies something, as in `commit 1f3a…` or `"trace_id": "…"`.
fn introduced(text: &str, start: usize, hex: bool) -> bool {
    let from =
        (start.saturating_sub(CONTEXT_BYTES)..=start).find(|&at| text.is_char_boundary(at)).unwrap_or(start);
    let Some(before) = text.get(from..start) else { return false };
    let line = before.rsplit('\n').next().unwrap_or_default();
    let mut names =
        line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '-').filter(|w| !w.is_empty());
    let Some(last) = names.next_back() else { return false };
    let only_id = names::words(last) == ["id"];
    if only_id && !hex {
        return false;
    }
    // `session id 4f9a…` identifies and opens at the same time.
    let joined = names.next_back().map(|name| format!("{name}_{last}"));
    let opens = joined.is_some_and(|joined| only_id && Names::default().reason(&joined).is_some());
    names::identifies(last) && !opens
}
