//! Expressions, asked of real processes and of their captures.
//!
//! First byte: program and thread; second: frame; the rest is the expression. No secret of the programs gets out, whatever is asked;
//! paths that are printed are understood.
#![no_main]

use freezeframe_debuginfo::{Bounds, Core, EvaluateError, Obstacle, evaluate_captured, path_of};
use freezeframe_fuzz::{fixture::ALL, process::options, text};
use freezeframe_model::{Capture, Variable};
use freezeframe_redact::Redactor;
use libfuzzer_sys::fuzz_target;

/// What the programs call `password` and `secret`.
const SECRETS: [&str; 2] = ["hunter2", "not for you"];
/// Bytes and names of a path, so that it stays within what an expression may be.
const PATH_BYTES_MAX: usize = 1000;
const PATH_NAMES_MAX: usize = 50;

struct Target {
    core: Core,
    capture: Capture,
}

thread_local! {
    static TARGETS: [std::cell::OnceCell<Target>; ALL.len()] = Default::default();
}

fuzz_target!(|input: &[u8]| {
    let [which, frame, rest @ ..] = input else { return };
    let number = usize::from(*which) % ALL.len();
    let expression = text(rest);
    TARGETS.with(|targets| {
        let target = targets[number].get_or_init(|| {
            let core = ALL[number].open().expect("the corpus is sound");
            let capture = core.capture(&options(), &Redactor::default());
            Target { core, capture }
        });
        run(target, usize::from(*which) / ALL.len(), usize::from(*frame), &expression);
    });
    path(&expression);
});

fn run(target: &Target, thread: usize, frame: usize, expression: &str) {
    let threads = target.core.threads();
    let thread = threads[thread % threads.len()].id;
    let options = options();
    let inspection = target.core.inspection(&options);
    let redactor = Redactor::default();
    let bounds = Bounds { depth: 4, breadth: 20, ..Bounds::default() };
    for redactor in [Some(&redactor), None] {
        check(
            inspection.evaluate(thread, frame, expression, bounds, redactor),
            expression,
            redactor.is_some(),
        );
    }
    check(evaluate_captured(&target.capture, thread, frame, expression), expression, true);
}

fn check(answer: Result<Variable, EvaluateError>, expression: &str, redacted: bool) {
    match answer {
        Ok(variable) => {
            let shown = format!("{variable:?}");
            for secret in SECRETS {
                assert!(!redacted || expression.contains(secret) || !shown.contains(secret), "{shown}");
            }
        }
        Err(error) => {
            assert!(expression.get(error.span.clone()).is_some(), "{:?} of {expression:?}", error.span);
            error.explain(expression);
        }
    }
}

/// The input's lines as names of a path: what is printed parses.
fn path(names: &str) {
    let names: Vec<&str> =
        names.lines().filter(|name| !name.contains(['[', ']'])).take(PATH_NAMES_MAX).collect();
    let path = path_of(&names);
    if names.is_empty() || path.len() > PATH_BYTES_MAX {
        return;
    }
    // Nothing is there; but what is asked for is understood.
    let thread = freezeframe_model::Thread { frames: vec![Default::default()], ..Default::default() };
    let capture = Capture { threads: vec![thread], ..Capture::default() };
    if let Err(error) = evaluate_captured(&capture, 0, 0, &path) {
        assert_ne!(error.obstacle, Obstacle::Syntax, "{}", error.explain(&path));
    }
}
