//! Stacks that are hard to walk, and the identity of errors.

mod common;

use common::{Program, build, run_until_nth_stop, run_until_stop};
use freezeframe_debuginfo::{Recovery, StackEnd};

fn stacks(mode: &str, flags: &[&str]) -> Program {
    let mode = format!("-DMODE=\"{mode}\"");
    build("stacks.c", "cc", &[&["-g", mode.as_str()], flags].concat())
}

#[test]
fn a_call_of_a_null_pointer() {
    let program = stacks("null", &["-O1", "-fno-inline"]);
    let stopped = run_until_stop(&program.path);
    let stack = stopped.modules().unwind(&stopped, &stopped.registers, 64);
    assert_eq!(stack.frames[0].pc, 0);
    assert_eq!(stack.frames[1].recovery, Recovery::StackTop);
    assert_eq!(stack.end, StackEnd::Complete);
    let capture = stopped.capture();
    assert_eq!(capture.site.function, "call");
    assert!(
        capture.not_captured.iter().any(|loss| loss.what.starts_with("certainty")),
        "{:?}",
        capture.not_captured
    );
}

#[test]
fn an_alternate_signal_stack() {
    let program = stacks("alternate", &["-O1", "-fno-inline"]);
    let stopped = run_until_nth_stop(&program.path, 2);
    let capture = stopped.capture();
    let names: Vec<&str> = capture.threads[0].frames.iter().map(|frame| frame.function.as_str()).collect();
    for name in ["on_signal", "call", "main"] {
        assert!(names.contains(&name), "{names:?}");
    }
    assert_eq!(capture.threads[0].truncated, None, "{names:?}");
}

#[test]
fn without_tables_the_frame_pointer_is_followed_and_it_says_so() {
    let flags =
        ["-O0", "-fno-omit-frame-pointer", "-fno-asynchronous-unwind-tables", "-fno-unwind-tables", "-g0"];
    let program = stacks("recurse", &flags);
    let stopped = run_until_stop(&program.path);
    let stack = stopped.modules().unwind(&stopped, &stopped.registers, 256);
    let guessed = stack.frames.iter().filter(|frame| frame.recovery == Recovery::FramePointer).count();
    assert!(guessed >= 40, "{guessed} of {} frames: {:?}", stack.frames.len(), stack.end);
}

#[test]
fn the_number_of_frames_is_bounded() {
    let program = stacks("deep", &["-O1"]);
    let stopped = run_until_stop(&program.path);
    let stack = stopped.modules().unwind(&stopped, &stopped.registers, 100);
    assert_eq!(stack.frames.len(), 100);
    assert_eq!(stack.end, StackEnd::Stopped("more than 100 frames".to_owned()));
}

#[test]
fn one_error_has_one_fingerprint() {
    let program = stacks("recurse", &["-O1"]);
    let fingerprint = |program: &Program, kind: &str| {
        let stopped = run_until_stop(&program.path);
        let modules = stopped.modules();
        let stack = modules.unwind(&stopped, &stopped.registers, 64);
        (modules.fingerprint(&stack, kind), stack.frames[0].pc)
    };
    let (first, first_pc) = fingerprint(&program, "SIGABRT");
    let (second, second_pc) = fingerprint(&program, "SIGABRT");
    assert_eq!(first, second, "at {first_pc:#x} and {second_pc:#x}");
    assert_ne!(first, fingerprint(&program, "SIGSEGV").0);
    let third = stacks("null", &["-O1", "-fno-inline"]);
    assert_ne!(first, fingerprint(&third, "SIGABRT").0);
}

#[test]
fn tables_survive_a_change_of_the_mappings() {
    let program = stacks("recurse", &["-O1"]);
    let stopped = run_until_stop(&program.path);
    let modules = stopped.modules();
    let stack = modules.unwind(&stopped, &stopped.registers, 64);
    let again = modules.with_mappings(modules.mappings().to_vec());
    assert_eq!(again.unwind(&stopped, &stopped.registers, 64), stack);
    assert_eq!(again.main_build_id(), modules.main_build_id());
}
