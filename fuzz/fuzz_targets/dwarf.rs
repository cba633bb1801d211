//! A whole capture of a process whose debug information, memory and registers are the input's.
#![no_main]

use freezeframe_debuginfo::capture;
use freezeframe_fuzz::parts::parts;
use freezeframe_fuzz::process::{Process, options};
use freezeframe_redact::Redactor;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some(process) = Process::of(&parts(input)) else { return };
    let options = options();
    let capture =
        capture(&process.memory, &process.modules, &process.threads, &options, &Redactor::default());
    assert_eq!(capture.threads.len(), process.threads.len());
});
