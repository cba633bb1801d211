//! Source lines around the site, where the file happens to be readable on this machine.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use freezeframe_model::SourceLine;
use freezeframe_redact::Redactor;

/// Files larger than this are not the source of anything that a person wrote.
const FILE_BYTES_MAX: u64 = 4 << 20;
/// Longer lines are cut.
const LINE_CHARACTERS_MAX: usize = 400;

/// The lines from `line - around` to `line + around`; the reason where there are none.
pub(crate) fn read(path: &str, line: u32, around: u32) -> Result<Vec<SourceLine>, String> {
    if !path.starts_with('/') {
        return Err("the path of the file is not recorded in full".to_owned());
    }
    let file = File::open(Path::new(path)).map_err(|error| format!("{path}: {error}"))?;
    // The path comes from the executable: it may name a device or a pipe that never ends.
    let kind = file.metadata().map_err(|error| format!("{path}: {error}"))?;
    if !kind.is_file() || kind.len() > FILE_BYTES_MAX {
        return Err(format!("{path}: not a source file"));
    }
    let mut text = Vec::new();
    file.take(FILE_BYTES_MAX).read_to_end(&mut text).map_err(|error| format!("{path}: {error}"))?;
    let text = String::from_utf8_lossy(&text);
    let (first, last) = (line.saturating_sub(around).max(1), line.saturating_add(around));
    let numbered = text.lines().zip(1u32..).skip_while(|(_, number)| *number < first);
    let lines: Vec<SourceLine> = numbered
        .take_while(|(_, number)| *number <= last)
        .map(|(text, number)| SourceLine { number, text: text.chars().take(LINE_CHARACTERS_MAX).collect() })
        .collect();
    if !lines.iter().any(|found| found.number == line) {
        return Err(format!("{path} has no line {line}: it is not the version that was built"));
    }
    Ok(lines)
}

/// A line of source without its secrets. In code a secret stands in a string literal; `session_token = request.token()` is
/// none, whatever its name says.
pub(crate) fn redact(line: &str, redactor: &Redactor) -> String {
    let mut redacted = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((before, after)) = rest.split_once('"') {
        let end = closing_quote(after);
        let (literal, behind) = (after.get(..end).unwrap_or(after), after.get(end..).unwrap_or_default());
        redacted.push_str(before);
        redacted.push('"');
        match names_before(before).chain([""]).find_map(|name| redactor.variable(name, literal)) {
            Some(reason) => redacted.push_str(&format!("‹redacted: {reason}›")),
            None => redacted.push_str(&redactor.text(literal)),
        }
        let Some(behind) = behind.strip_prefix('"') else { return redacted };
        redacted.push('"');
        rest = behind;
    }
    redacted.push_str(rest);
    redacted
}

/// Where the literal ends, escapes skipped; the end of the line where it goes on in the next one.
fn closing_quote(text: &str) -> usize {
    let mut escaped = false;
    for (at, character) in text.char_indices() {
        match character {
            '"' if !escaped => return at,
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    text.len()
}

/// The names that a literal is assigned to, compared with or passed beside, its type among them.
fn names_before(before: &str) -> impl Iterator<Item = &str> {
    let piece = before.rsplit([',', ';', '(', '{']).next().unwrap_or_default();
    piece.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_left_alone_and_literals_are_not() {
        let redactor = Redactor::default();
        for line in [
            "    let session_token = basket.buyer.session_token.clone();",
            "tracing::debug!(user_id, session = %session_token, total_weight, \"spreading\");",
            "let path = \"/usr/share/\\\"quoted\\\"\"; // password = typed later",
        ] {
            assert_eq!(redact(line, &redactor), line);
        }
        for line in [
            "const PASSWORD: &str = \"correct horse battery\";",
            "connect(\"postgres://shop:hunter22@db/shop\")",
            "let key = \"AKIAIOSFODNN7EXAMPLE",
        ] {
            let redacted = redact(line, &redactor);
            assert!(redacted.contains("redacted"), "{redacted}");
            for secret in ["correct horse", "hunter22", "IOSFODNN"] {
                assert!(!redacted.contains(secret), "{redacted}");
            }
        }
    }
}
