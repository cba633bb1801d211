//! Stacks by unwind tables of the input, from many places of its program.
#![no_main]

use freezeframe_fuzz::parts::parts;
use freezeframe_fuzz::process::Process;
use libfuzzer_sys::fuzz_target;

const FRAMES_MAX: usize = 40;
/// Where else each thread might stand, in bytes from where it is.
const AROUND: [u64; 6] = [0, 1, 4, 16, 64, 256];

fuzz_target!(|input: &[u8]| {
    let Some(process) = Process::of(&parts(input)) else { return };
    for thread in &process.threads {
        for away in AROUND {
            let mut registers = thread.registers.clone();
            registers.set(16, registers.pc().map(|pc| pc.wrapping_add(away)));
            let stack = process.modules.unwind(&process.memory, &registers, FRAMES_MAX);
            assert!(stack.frames.len() <= FRAMES_MAX);
            let again = process.modules.unwind(&process.memory, &registers, FRAMES_MAX);
            let fingerprint = |stack| process.modules.fingerprint(stack, "SIGSEGV");
            assert_eq!(fingerprint(&stack), fingerprint(&again));
        }
    }
});
