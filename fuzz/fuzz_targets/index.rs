//! Indexes on disk: tables of units and functions, numbers, and whole files.
#![no_main]

use freezeframe_debuginfo::fuzzing;
use freezeframe_fuzz::scratch;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((kind, rest)) = input.split_first() else { return };
    match kind % 4 {
        0 | 1 => {
            let asked = rest.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
            assert_ne!(fuzzing::stored_tables(rest, asked), Some(false));
        }
        2 => assert_ne!(fuzzing::numbers(rest), Some(false)),
        _ => whole_file(rest),
    }
});

/// The input as a file, and as the contents of a sound file of which one byte was changed.
fn whole_file(input: &[u8]) {
    scratch::file(input).ok().and_then(fuzzing::read_index);
    let [at, flip, blocks @ ..] = input else { return };
    let blocks: Vec<&[u8]> = blocks.split(|byte| *byte == 0xff).take(20).collect();
    let Ok(file) = scratch::file(&[]) else { return };
    let Ok(copy) = file.try_clone() else { return };
    let Ok(length) = fuzzing::write_index(copy, &blocks, b"hand") else { return };
    let whole = blocks.iter().map(|block| block.len()).sum::<usize>() + 4;
    let read = |file: &std::fs::File| fuzzing::read_index(file.try_clone().ok()?);
    assert_eq!(read(&file), Some(whole));
    let place = u64::from(*at) * length / 256;
    use std::os::unix::fs::FileExt;
    let mut byte = [0];
    if *flip != 0 && file.read_exact_at(&mut byte, place).is_ok() {
        let _changed = file.write_all_at(&[byte[0] ^ flip], place);
        // A rotten byte stands in a block, which is missing then, or in the table, and then everything is. Empty blocks are not missed.
        assert!(read(&file).is_none_or(|rest| rest < whole));
    }
}
