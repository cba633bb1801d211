//! Real programs whose stacks, data and registers were overwritten: what an input is, is which words become what.
//!
//! First byte: the program. Then 11 bytes each: which part of memory (the last ones: registers), which word of it, and the value; a value
//! that begins with 0x01 stands for the address of a word of that memory, so that lists and trees get cycles.
#![no_main]

use freezeframe_debuginfo::{Core, Layered, Snapshot, StoppedThread, capture};
use freezeframe_fuzz::fixture::ALL;
use freezeframe_fuzz::process::options;
use freezeframe_redact::Redactor;
use libfuzzer_sys::fuzz_target;

/// Bytes of a stack, and of each other part, that are overwritten.
const PART: u64 = 4096;
const STROKES_MAX: usize = 200;
const REGISTERS: u8 = 0xf0;

struct Target {
    core: Core,
    /// Begin and length of what may be overwritten.
    parts: Vec<(u64, u64)>,
}

impl Target {
    fn open(number: usize) -> Self {
        let core = ALL[number].open().expect("the corpus is sound");
        let stacks = core.threads().iter().filter_map(|thread| Some((thread.registers.sp()? & !7, PART)));
        let mut parts: Vec<(u64, u64)> = stacks.collect();
        let data =
            core.modules().mappings().iter().filter(|mapping| mapping.writable && mapping.start < 1 << 32);
        parts.extend(data.map(|mapping| (mapping.start, (mapping.end - mapping.start).min(4 * PART))));
        Self { core, parts }
    }

    fn word(&self, part: u8, word: u16) -> u64 {
        let (begin, length) = self.parts[usize::from(part) % self.parts.len()];
        begin + u64::from(word) * 8 % length
    }
}

thread_local! {
    static TARGETS: [std::cell::OnceCell<Target>; ALL.len()] = Default::default();
}

fuzz_target!(|input: &[u8]| {
    let Some((program, strokes)) = input.split_first() else { return };
    let number = usize::from(*program) % ALL.len();
    TARGETS.with(|targets| run(targets[number].get_or_init(|| Target::open(number)), strokes));
});

fn run(target: &Target, strokes: &[u8]) {
    let mut over = Snapshot::default();
    let mut threads: Vec<StoppedThread> = target.core.threads().to_vec();
    for stroke in strokes.chunks_exact(11).take(STROKES_MAX) {
        let word = u16::from_le_bytes([stroke[1], stroke[2]]);
        let mut value = stroke[3..].iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
        if stroke[3] == 1 {
            value =
                target.word(stroke[4], u16::from_le_bytes([stroke[5], stroke[6]])).wrapping_add(value & 0xf);
        }
        if stroke[0] >= REGISTERS {
            let number = threads.len();
            threads[usize::from(stroke[0] - REGISTERS) % number].registers.set(word % 17, Some(value));
        } else {
            over.add(target.word(stroke[0], word), value.to_le_bytes().to_vec());
        }
    }
    let memory = Layered { first: &over, then: target.core.memory() };
    let captured = capture(&memory, target.core.modules(), &threads, &options(), &Redactor::default());
    assert_eq!(captured.threads.len(), threads.len());
}
