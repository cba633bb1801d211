//! Secrets that are known by their shape: PEM blocks, JSON Web Tokens, HTTP credentials, URLs with passwords, vendors' keys.

use std::sync::LazyLock;

use regex::Regex;

use crate::span::{Reason, Spans};

/// A PEM block is not longer than this, in bytes; a certificate chain has several blocks.
const PEM_BYTES_MAX: usize = 64 * 1024;
/// So much of a JOSE header is decoded, in characters.
const JOSE_HEADER_MAX: usize = 512;
/// Positions in one segment at which a JOSE header is looked for.
const JOSE_STARTS_MAX: usize = 4;

/// PEM blocks (RFC 7468), with their end or without: a log line or a buffer may have cut it off.
pub(crate) fn pem_blocks(text: &str, spans: &mut Spans) {
    let mut at = 0;
    // Where the next end mark is, so that a text full of beginnings is searched for ends only once.
    let mut next_end: Option<Option<usize>> = None;
    while let Some(start) = text.get(at..).and_then(|rest| rest.find("-----BEGIN ")).map(|found| at + found) {
        let Some(body) = pem_label_end(text, start + "-----BEGIN ".len()) else {
            at = start + "-----BEGIN ".len();
            continue;
        };
        if next_end.is_none_or(|end| end.is_some_and(|end| end < body)) {
            next_end =
                Some(text.get(body..).and_then(|rest| rest.find("-----END ")).map(|found| body + found));
        }
        let complete = next_end.flatten().filter(|end| end - body <= PEM_BYTES_MAX);
        at = match complete {
            Some(end) => pem_label_end(text, end + "-----END ".len()).unwrap_or(end + "-----END ".len()),
            None => pem_body_end(text, body),
        };
        spans.add(start, at, Reason::Pem);
    }
}

/// Where the five dashes after a PEM label end, for example after `RSA PRIVATE KEY-----`.
pub(crate) fn pem_label_end(text: &str, label: usize) -> Option<usize> {
    let rest = text.as_bytes().get(label..)?;
    let len = rest.iter().take(64).position(|byte| !matches!(byte, b'A'..=b'Z' | b'0'..=b'9' | b' '))?;
    rest.get(len..)?.starts_with(b"-----").then_some(label + len + 5)
}

/// End of the lines after `body` that still look like the inside of a PEM block.
fn pem_body_end(text: &str, body: usize) -> usize {
    let mut end = body;
    for line in text.get(body..).unwrap_or_default().split_inclusive('\n') {
        if end - body > PEM_BYTES_MAX || (end > body && !is_pem_line(line)) {
            break;
        }
        if end == body && !is_pem_line(line) {
            // `-----BEGIN X-----\nMIIE…` with escaped line ends, or with the body on the same line.
            return end + line.find(|c: char| !is_pem_char(c) && c != '\\').unwrap_or(line.len());
        }
        end += line.len();
    }
    end
}

/// Whether a line may stand inside a PEM block: base64, nothing, or one of the old encryption headers (RFC 1421).
pub(crate) fn is_pem_line(line: &str) -> bool {
    let line = line.trim();
    line.starts_with("Proc-Type:") || line.starts_with("DEK-Info:") || line.chars().all(is_pem_char)
}

fn is_pem_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=')
}

fn is_base64url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

/// JSON Web Signatures and Encryptions in compact form (RFC 7515, RFC 7516): a header that decodes to a JSON object with
/// `alg` or `enc`, then at least a payload.
pub(crate) fn json_web_tokens(text: &str, spans: &mut Spans) {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let end = run_end(bytes, at, is_base64url);
        if end == at {
            at += 1;
            continue;
        }
        if let Some(start) = jose_header(bytes, at, end) {
            let mut token_end = end;
            for _ in 0..4 {
                if bytes.get(token_end) != Some(&b'.') {
                    break;
                }
                token_end = run_end(bytes, token_end + 1, is_base64url);
            }
            // A header alone (or one at the end of a sentence) tells nothing secret.
            if token_end > end + 1 {
                spans.add(start, token_end, Reason::Jwt);
                at = token_end;
                continue;
            }
        }
        at = end;
    }
}

fn run_end(bytes: &[u8], start: usize, belongs: fn(u8) -> bool) -> usize {
    bytes.iter().skip(start).position(|&byte| !belongs(byte)).map_or(bytes.len(), |len| start + len)
}

/// Where in `start..end` a JOSE header begins that reaches to `end`.
fn jose_header(bytes: &[u8], start: usize, end: usize) -> Option<usize> {
    let segment = bytes.get(start..end)?;
    let starts = (0..segment.len()).filter(|&at| {
        let fresh = at
            .checked_sub(1)
            .and_then(|before| segment.get(before))
            .is_none_or(|b| !b.is_ascii_alphanumeric());
        // What `{` becomes in base64, followed by a quote or white space.
        fresh && matches!(segment.get(at..at + 2), Some(b"ey" | b"ew"))
    });
    starts
        .take(JOSE_STARTS_MAX)
        .find(|&at| segment.get(at..).is_some_and(is_jose_header))
        .map(|at| start + at)
}

fn is_jose_header(segment: &[u8]) -> bool {
    let bytes = base64(segment.get(..JOSE_HEADER_MAX).unwrap_or(segment), Alphabet::Url)
        .map(|byte| byte.filter(|byte| *byte >= 0x20 || byte.is_ascii_whitespace()));
    let Some(decoded) = bytes.collect::<Option<Vec<u8>>>() else { return false };
    let has = |key: &[u8]| decoded.windows(key.len()).any(|window| window == key);
    decoded.first() == Some(&b'{') && (has(b"\"alg\"") || has(b"\"enc\""))
}

/// Which of the two alphabets of base64 (RFC 4648) is taken.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Alphabet {
    /// The one that is safe in URLs.
    Url,
    /// Both.
    Any,
}

/// What base64 digits stand for, without padding; `None` in the place of what is no digit.
fn base64(digits: &[u8], alphabet: Alphabet) -> impl Iterator<Item = Option<u8>> + '_ {
    let (mut bits, mut held) = (0_u32, 0);
    digits.iter().filter_map(move |&digit| {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'-' => 62,
            b'_' => 63,
            b'+' if alphabet == Alphabet::Any => 62,
            b'/' if alphabet == Alphabet::Any => 63,
            _ => return Some(None),
        };
        bits = ((bits << 6) | u32::from(value)) & 0xffff;
        held += 6;
        if held < 8 {
            return None;
        }
        held -= 8;
        Some(u8::try_from((bits >> held) & 0xff).ok())
    })
}

static CREDENTIALS: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"(?-u)\b(?i:(bearer)|(basic))[ \t]+([A-Za-z0-9._~+/=-]+)").ok());

/// `Bearer …` (RFC 6750) and `Basic …` (RFC 7617) outside of a header, told from the English words by what follows.
pub(crate) fn credentials(text: &str, spans: &mut Spans) {
    let Some(pattern) = CREDENTIALS.as_ref() else { return };
    for found in pattern.captures_iter(text) {
        let Some(value) = found.get(3) else { continue };
        let token = value.as_str();
        if found.get(1).is_some() {
            let mixed = token.bytes().any(|b| b.is_ascii_digit()) && token.len() >= 8;
            if mixed || token.len() >= 24 {
                spans.add(value.start(), value.end(), Reason::Bearer);
            }
        } else if decodes_to_user_and_password(token) {
            spans.add(value.start(), value.end(), Reason::Basic);
        }
    }
}

fn decodes_to_user_and_password(token: &str) -> bool {
    let colon = base64(token.trim_end_matches('=').as_bytes(), Alphabet::Any)
        .try_fold(false, |colon, byte| byte.filter(|byte| *byte >= 0x20).map(|byte| colon || byte == b':'));
    colon == Some(true)
}

/// The password in `scheme://user:password@host` (RFC 3986, 3.2.1), also with unescaped characters as people write them.
pub(crate) fn url_passwords(text: &str, spans: &mut Spans) {
    let bytes = text.as_bytes();
    let ends_url =
        |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b'"' | b'\'' | b'<' | b'>' | b'`' | b'\\');
    for (at, _) in text.match_indices("://") {
        let authority = at + 3;
        if at == 0 || !bytes.get(at - 1).is_some_and(u8::is_ascii_alphanumeric) {
            continue;
        }
        let rest = bytes.get(authority..).unwrap_or_default();
        let len =
            rest.iter().position(|b| ends_url(b) || matches!(b, b'/' | b'?' | b'#')).unwrap_or(rest.len());
        let within = rest.get(..len).unwrap_or_default();
        let Some(colon) = within.iter().position(|&b| b == b':') else { continue };
        if within.first() == Some(&b'[') {
            continue;
        }
        let at_sign = match within.iter().rposition(|&b| b == b'@') {
            Some(at_sign) => Some(at_sign),
            // `user:pa/ss@host`: what follows the colon is no port, so the slash belongs to the password.
            None => {
                let port = within.get(colon + 1..).unwrap_or_default();
                let more = rest.iter().take(256).take_while(|b| !ends_url(b)).position(|&b| b == b'@');
                more.filter(|_| !port.is_empty() && !port.iter().all(u8::is_ascii_digit))
            }
        };
        let Some(at_sign) = at_sign.filter(|&at_sign| at_sign > colon) else { continue };
        let (start, end) = (authority + colon + 1, authority + at_sign);
        if !text
            .get(start..end)
            .is_some_and(|password| crate::span::is_marker(password) || is_placeholder(password))
        {
            spans.add(start, end, Reason::UrlPassword);
        }
    }
}

/// `***`, `$PASSWORD`, `{password}`: somebody has already taken it out, or has not yet put it in.
pub(crate) fn is_placeholder(value: &str) -> bool {
    let enclosed = |open: char, close: char| {
        let inner = value.strip_prefix(open).and_then(|rest| rest.strip_suffix(close));
        inner.is_some_and(|inner| inner.chars().all(|c| c.is_ascii_alphanumeric() || "_-:#? ".contains(c)))
    };
    let variable = value.strip_prefix('$').map(|rest| rest.trim_matches(['{', '}']));
    !value.is_empty()
        && (value.chars().all(|c| matches!(c, '*' | '•' | '…' | '.'))
            || enclosed('{', '}')
            || enclosed('<', '>')
            || variable.is_some_and(|name| !name.is_empty() && name.bytes().all(is_shouted))
            || value == "%s")
}

fn is_shouted(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte == b'_'
}

/// Distinctive enough to be found anywhere.
static KEYS_ANYWHERE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r"(?x-u)
        gh[pousr]_[A-Za-z0-9]{20,}
        | github_pat_[A-Za-z0-9_]{20,}
        | glpat-[A-Za-z0-9_-]{16,}
        | (?:sk|rk)_(?:live|test)_[A-Za-z0-9]{10,}
        | whsec_[A-Za-z0-9+/=]{16,}
        | xox[abeoprs]-[A-Za-z0-9-]{10,}
        | xapp-[0-9]-[A-Za-z0-9-]{10,}
        | hooks\.slack\.com/services/[A-Za-z0-9/]{10,}
        | AIza[A-Za-z0-9_-]{30,}
        | ya29\.[A-Za-z0-9_-]{20,}
        | SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}
        | pypi-AgE[A-Za-z0-9_-]{20,}
        | dop_v1_[a-f0-9]{32,}
        | shp(?:at|ca|pa|ss)_[a-fA-F0-9]{16,}
        | lin_api_[A-Za-z0-9]{20,}
        | AGE-SECRET-KEY-1[A-Z0-9]{20,}
        ",
    )
    .ok()
});

/// Short or common prefixes, which count only at the beginning of a word.
static KEYS_AT_WORDS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r"(?x-u)\b(?:
        (?:AKIA|ASIA|AROA|AIDA)[A-Z0-9]{16}\b
        | sk-(?:ant-|proj-|svcacct-)?[A-Za-z0-9_-]*[0-9][A-Za-z0-9_-]{15,}
        | npm_[A-Za-z0-9]{30,}
        | hf_[A-Za-z0-9]{30,}
        )",
    )
    .ok()
});

/// Keys that their vendors made recognisable.
pub(crate) fn known_prefixes(text: &str, spans: &mut Spans) {
    for pattern in [&KEYS_ANYWHERE, &KEYS_AT_WORDS].into_iter().filter_map(|pattern| pattern.as_ref()) {
        for found in pattern.find_iter(text) {
            spans.add(found.start(), found.end(), Reason::KnownKey);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_patterns_compile() {
        assert!(CREDENTIALS.is_some() && KEYS_ANYWHERE.is_some() && KEYS_AT_WORDS.is_some());
    }
}
