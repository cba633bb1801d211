//! What the kernel and the linker write as text: mappings and mangled names.
#![no_main]

use freezeframe_debuginfo::{fuzzing, parse_maps};
use freezeframe_fuzz::text;
use libfuzzer_sys::fuzz_target;

const NAME_BYTES_MAX: usize = 4096;

fuzz_target!(|input: &[u8]| {
    let Some((kind, rest)) = input.split_first() else { return };
    let text = text(rest);
    if kind % 2 == 0 {
        let mappings = parse_maps(&text);
        assert!(mappings.iter().all(|mapping| mapping.start < mapping.end));
        assert!(mappings.is_sorted_by_key(|mapping| mapping.start));
    } else {
        assert!(fuzzing::demangle(&text).len() <= NAME_BYTES_MAX);
    }
});
