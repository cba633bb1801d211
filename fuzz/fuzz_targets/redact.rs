//! Redaction: nothing panics, and what was redacted stays as it is.
#![no_main]

use freezeframe_fuzz::text;
use freezeframe_redact::{LineRedactor, Redactor};
use libfuzzer_sys::fuzz_target;

thread_local! {
    static REDACTOR: Redactor = Redactor::default();
}

fuzz_target!(|input: &[u8]| {
    let text = text(input);
    REDACTOR.with(|redactor| {
        let once = redactor.text(&text);
        assert_eq!(redactor.text(&once), once, "of {text:?}");
        let mut lines = LineRedactor::default();
        text.lines().for_each(|line| drop(lines.line(redactor, line)));
        let (name, value) = text.split_once('=').unwrap_or(("", &text));
        redactor.variable(name, value);
        redactor.type_path(name);
        // A value that is to be hidden is not hidden twice.
        assert_eq!(redactor.variable("", &redactor.text(value)), None, "of {value:?}");
    });
});
