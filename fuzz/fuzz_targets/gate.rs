//! The gate's own readers of what clients send: framing of HTTP/1, `traceparent`, lines of the access log.
#![no_main]

use freezeframe_fuzz::text;
use freezeframe_gate::fuzzing::{log_lines, offence, traceparent};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let [kind, piece, rest @ ..] = input else { return };
    match kind % 4 {
        0 | 1 => {
            // In whatever pieces the stream comes, the same offence is found in the same line.
            let whole = offence(rest, rest.len());
            assert_eq!(offence(rest, usize::from(*piece)), whole);
            assert_eq!(offence(rest, 1), whole);
        }
        2 => {
            if let Some(again) = traceparent(rest) {
                assert_eq!(traceparent(&again).as_ref(), Some(&again));
            }
        }
        _ => {
            let (path, header) = rest.split_at(rest.len() / 2);
            let at_us = rest.first_chunk().map_or(0, |bytes| i64::from_le_bytes(*bytes) / 1000);
            let [json, combined] = log_lines(&text(path), header, at_us);
            for line in [&json, &combined] {
                assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
                assert!(line.iter().all(|byte| *byte == b'\n' || (b' '..=b'~').contains(byte)));
            }
            serde_json::from_slice::<serde_json::Value>(&json).expect("JSON");
        }
    }
});
