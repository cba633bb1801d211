//! The tasks of a real program on tokio: states, async stacks, lines and variables, in a debug and in a release build.

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use common::seized::Seized;
use expect_test::expect;
use freezeframe_debuginfo::{Memory, Modules, Options, Registers, Unreadable, capture};
use freezeframe_model::{Capture, Frame, FrameKind, Task, TaskState, Value};
use freezeframe_redact::Redactor;

const PACKAGE: &str = "freezeframe-tasks-program";

/// How the program is compiled.
#[derive(Clone, Copy)]
enum Build {
    /// Without optimisation; tokio records where tasks are spawned.
    Debug,
    /// Optimised; of tokio itself there are line tables only.
    Release,
}

/// Builds the program as a user would; cargo does nothing where it is up to date.
fn build(build: Build) -> PathBuf {
    let (name, profile, flags) = match build {
        Build::Debug => ("tasks-debug", "debug", "--cfg tokio_unstable"),
        Build::Release => ("tasks-release", "release", ""),
    };
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let mut command = Command::new(env!("CARGO"));
    command.args(["build", "--quiet", "--locked", "-p", PACKAGE]).arg("--target-dir").arg(&target);
    command.current_dir(env!("CARGO_MANIFEST_DIR")).env("RUSTFLAGS", flags);
    if let Build::Release = build {
        command.arg("--release");
    }
    let status = command.status().expect("cargo runs");
    assert!(status.success(), "{PACKAGE} cannot be built");
    target.join(profile).join(PACKAGE)
}

/// Runs the program until every task but the failing one waits.
fn start(build_as: Build, mode: &str) -> (Seized, Capture) {
    let mut seized = Seized::start(&build(build_as), &[mode]);
    for _ in 0..100 {
        let capture = seized.capture();
        let busy = capture.tasks.iter().filter(|task| task.state != TaskState::Idle).count();
        if busy <= 1 {
            return (seized, capture);
        }
        // The other worker had not come to rest.
        seized.again();
    }
    panic!("the tasks never came to rest");
}

fn place(frame: &Frame) -> String {
    let file = frame.file.rsplit('/').next().unwrap_or_default();
    match frame.kind {
        FrameKind::User => format!(" {file}:{}", frame.line),
        // Lines of libraries change with their releases.
        _ if file.is_empty() => String::new(),
        _ => format!(" {file}"),
    }
}

fn show_task(task: &Task) -> String {
    let mut text = format!("{} {:?}", task.name.replace("freezeframe_tasks_program", "program"), task.state);
    if let Some(waits_for) = &task.waits_for {
        text += &format!(" for {}", waits_for.replace("freezeframe_tasks_program", "program"));
    }
    text += "\n";
    // How a panic gets to its hook is the standard library's affair, and how far the hook got a matter of chance.
    let is_own = |frame: &Frame| frame.kind == FrameKind::User && !frame.function.ends_with("::stand_still");
    let shown = task.frames.iter().filter(|frame| task.state == TaskState::Idle || is_own(frame));
    for frame in shown {
        let function = frame.function.replace("freezeframe_tasks_program", "program");
        text += &format!("  {function}{}\n", place(frame));
        for variable in &frame.variables {
            let value = match &variable.value {
                Value::Text(value) if !value.starts_with("0x") => format!(" = {value}"),
                _ => String::new(),
            };
            text += &format!("    {}{value}\n", variable.name);
        }
    }
    text
}

fn show(capture: &Capture) -> String {
    let mut shown: Vec<String> = capture.tasks.iter().map(show_task).collect();
    shown.sort();
    shown.concat()
}

fn losses(capture: &Capture) -> Vec<String> {
    let about_tasks = |what: &str| what.contains("task") || what.contains("async");
    let losses = capture.not_captured.iter().filter(|loss| about_tasks(&loss.what));
    losses.map(|loss| format!("{}: {}", loss.what, loss.why)).collect()
}

fn check(build: Build, mode: &str) -> Capture {
    let (_seized, capture) = start(build, mode);
    expect![[r#"
        program::boxed::{async_block#0} Idle for tokio::time::sleep::Sleep
          tokio::time::sleep::Sleep
          program::sleeper main.rs:22
            customer = "boxed"
            attempts = 0
            label = "boxed#0"
          program::boxed::{async_block#0} main.rs:65
            depth = 0
          program::boxed::{async_block#0} main.rs:67
            depth = 1
          program::boxed::{async_block#0} main.rs:67
            depth = 2
        program::chooser Idle for any of: tokio::time::sleep::Sleep; tokio::sync::oneshot::Receiver; program::sleeper (main.rs:22) › tokio::time::sleep::Sleep
          program::chooser::{closure#0} select.rs
          program::chooser main.rs:48
            stop
            choice = 3
            disabled = 0
            futures
        program::consumer Idle for tokio::sync::mpsc::bounded::recv
          tokio::sync::mpsc::bounded::recv bounded.rs
          program::consumer main.rs:40
            orders
            sum = 100
        program::everything::{async_block#0} Idle for tokio::time::sleep::Sleep
          tokio::time::sleep::Sleep
          program::everything::{async_block#0} main.rs:130
            order
            stop
            held
        program::holder Idle for tokio::time::sleep::Sleep
          tokio::time::sleep::Sleep
          program::holder main.rs:28
            ledger
            total
        program::joiner Idle for all of: program::sleeper (main.rs:22) › tokio::time::sleep::Sleep; program::sleeper (main.rs:22) › tokio::time::sleep::Sleep
          program::joiner::{closure#0} join.rs
          program::joiner main.rs:57
            futures
        program::limited Idle for tokio::time::sleep::Sleep
          tokio::time::sleep::Sleep
          program::sleeper main.rs:22
            customer = "named"
            attempts = 5
            label = "named#5"
          program::Named
          tokio::time::timeout::Timeout
          program::limited main.rs:92
        program::locker Idle for tokio::sync::batch_semaphore::Acquire
          tokio::sync::batch_semaphore::Acquire
          tokio::sync::mutex::acquire mutex.rs
          tokio::sync::mutex::lock::{async_block#0} mutex.rs
          tokio::sync::mutex::lock mutex.rs
          program::locker main.rs:34
            ledger
            amount = 17
        program::outer Running
          program::main::{closure#0} main.rs:151
          program::inner::{async_fn#0} main.rs:110
          program::middle::{async_fn#0} main.rs:104
          program::outer::{async_fn#0} main.rs:96
        program::sleeper Idle for tokio::time::sleep::Sleep
          tokio::time::sleep::Sleep
          program::sleeper main.rs:22
            customer = "ada"
            attempts = 4
            label = "ada#4"
    "#]].assert_eq(&show(&capture));
    assert_eq!(losses(&capture), [""; 0]);
    assert_eq!(capture.tasks.len(), 10);
    let mut ids: Vec<u64> = capture.tasks.iter().filter_map(|task| task.id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 10, "{ids:?}");
    // The failing thread polls the failing task, and nothing else runs.
    let running: Vec<&Task> = capture.tasks.iter().filter(|task| task.thread.is_some()).collect();
    assert_eq!(running.len(), 1);
    assert_eq!(running[0].thread, capture.failing_thread().map(|thread| thread.id));
    assert_eq!(capture.tasks.first(), Some(running[0]));
    capture
}

#[test]
fn tasks_of_several_threads() {
    let capture = check(Build::Debug, "multi");
    let spawned: Vec<String> = capture
        .tasks
        .iter()
        .filter_map(|task| Some((task.name.rsplit("::").next()?, task.spawned_at.as_ref()?)))
        .map(|(name, site)| {
            format!("{name} {}:{}\n", site.file.rsplit('/').next().unwrap_or_default(), site.line)
        })
        .collect();
    expect![[r#"
        outer main.rs:136
        holder main.rs:119
        locker main.rs:120
        sleeper main.rs:122
        consumer main.rs:123
        chooser main.rs:124
        joiner main.rs:125
        {async_block#0} main.rs:126
        limited main.rs:127
        {async_block#0} main.rs:128
    "#]]
    .assert_eq(&spawned.concat());
}

#[test]
fn tasks_of_one_thread() {
    check(Build::Debug, "current");
}

#[test]
fn optimised_tasks_of_several_threads() {
    check(Build::Release, "multi");
}

#[test]
fn optimised_tasks_of_one_thread() {
    check(Build::Release, "current");
}

#[test]
fn thousands_of_tasks_are_read_within_bounds() {
    let seized = Seized::start(&build(Build::Release), &["many"]);
    // Counts are what is bounded here; how far the usual time goes depends on the machine.
    let options = Options { time: Duration::from_secs(60), ..Options::default() };
    let capture = capture(&seized, &seized.modules(), &seized.threads, &options, &Redactor::default());
    assert_eq!(capture.tasks.len(), 4_096);
    let with_variables = |task: &&Task| task.frames.iter().any(|frame| !frame.variables.is_empty());
    assert!(capture.tasks.iter().filter(with_variables).count() <= 256);
    assert!(capture.tasks.iter().filter(|task| task.waits_for.is_some()).count() > 4_000);
    let losses = losses(&capture);
    assert!(losses.contains(&"some asynchronous tasks: only 4096 are read".to_owned()), "{losses:?}");
    assert!(
        losses.contains(&"variables of some tasks: only those of 256 are decoded".to_owned()),
        "{losses:?}"
    );
}

#[test]
fn without_thread_pointers_nothing_is_guessed() {
    let (mut seized, _) = start(Build::Release, "current");
    for thread in &mut seized.threads {
        thread.thread_pointer = None;
    }
    let capture = seized.capture();
    assert!(capture.tasks.is_empty());
    assert_eq!(
        losses(&capture),
        ["asynchronous tasks: where the threads keep their own variables is not known"]
    );
}

#[test]
fn a_stripped_program_has_no_tasks() {
    let program = build(Build::Release);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let bare = directory.path().join("program");
    for (option, expected) in [
        ("--strip-debug", "asynchronous tasks: the program has no debug information; build with debug = 2"),
        ("--strip-all", ""),
    ] {
        let status = Command::new("strip").arg(option).arg("-o").arg(&bare).arg(&program).status();
        assert!(status.expect("binutils are needed for this test").success());
        let capture = Seized::start(&bare, &["current"]).capture();
        assert!(capture.tasks.is_empty());
        assert_eq!(losses(&capture).concat(), expected);
    }
}

/// Memory in which one word is another.
struct Changed<'a> {
    below: &'a Seized,
    at: u64,
    word: u64,
}

impl Memory for Changed<'_> {
    fn read(&self, address: u64, into: &mut [u8]) -> Result<(), Unreadable> {
        self.below.read(address, into)?;
        for (byte, new) in self.word.to_le_bytes().into_iter().enumerate() {
            let place = self.at.wrapping_add(byte as u64).wrapping_sub(address);
            if let Some(old) = usize::try_from(place).ok().and_then(|place| into.get_mut(place)) {
                *old = new;
            }
        }
        Ok(())
    }
}

/// Words on the program's heap that point to its heap, and what they are.
fn heap_pointers(seized: &Seized) -> Vec<(u64, u64)> {
    let modules = seized.modules();
    let heap = modules.mappings().iter().find(|mapping| mapping.path == "[heap]").expect("a heap");
    let (start, end) = (heap.start, heap.end);
    let words = (start..end).step_by(8).filter_map(|at| Some((at, seized.read_u64(at).ok()?)));
    words.filter(|(_, word)| (start..end).contains(word)).collect()
}

/// A program of which words can be changed, one at a time.
struct Target {
    seized: Seized,
    modules: Modules,
    pointers: Vec<(u64, u64)>,
}

impl Target {
    fn new() -> Self {
        let (mut seized, _) = start(Build::Release, "current");
        // Nothing but the tasks: the stacks are not what is damaged here.
        for thread in &mut seized.threads {
            thread.registers = Registers::default();
        }
        let (modules, pointers) = (seized.modules(), heap_pointers(&seized));
        assert!(pointers.len() > 100, "only {} pointers", pointers.len());
        Self { seized, modules, pointers }
    }

    /// Captures with another word at this address.
    fn capture(&self, at: u64, word: u64) -> Capture {
        let options = Options { time: Duration::from_secs(8), ..Options::default() };
        let memory = Changed { below: &self.seized, at, word };
        let begun = Instant::now();
        let threads = &self.seized.threads;
        let capture = capture(&memory, &self.modules, threads, &options, &Redactor::default());
        assert!(begun.elapsed() < Duration::from_secs(9), "{at:#x} took {:?}", begun.elapsed());
        assert!(capture.tasks.len() <= 10, "{} tasks came out of 10", capture.tasks.len());
        capture
    }
}

#[test]
fn any_damaged_pointer_is_harmless() {
    let target = Target::new();
    for (number, (at, word)) in target.pointers.iter().enumerate() {
        let other = target.pointers[(number + 7) % target.pointers.len()].1;
        // To another object, into the middle of one, to itself, to nowhere.
        let wild = [other, word + 8, *at, 1, u64::MAX - 3];
        target.capture(*at, wild[number % wild.len()]);
    }
}

#[test]
fn a_damaged_list_ends_and_says_so() {
    let target = Target::new();
    let damage = |capture: &Capture| {
        let losses = losses(capture).into_iter();
        losses.filter(|loss| loss.starts_with("some asynchronous tasks: ")).collect::<String>()
    };
    // The head of a list, or a task's link to the next one, is a word without which fewer tasks are found.
    let is_link = |(at, _): &&(u64, u64)| {
        let without = target.capture(*at, 0);
        (1..10).contains(&without.tasks.len()) && damage(&without).is_empty()
    };
    let links: Vec<_> = target.pointers.iter().filter(is_link).collect();
    assert_eq!(links.len(), 10, "{links:?}");
    let mut circles = 0;
    for (at, _) in &links {
        for (_, to) in &links {
            let told = damage(&target.capture(*at, *to));
            circles += usize::from(told.contains("a list of tasks is damaged: it leads in a circle at"));
        }
        let told = damage(&target.capture(*at, at + 1));
        assert!(told.contains("a list of tasks is damaged"), "{told}");
        let told = damage(&target.capture(*at, 0xdead_0000));
        assert!(
            told.contains("a list of tasks is damaged: at 0xdead0000 is no task of this runtime"),
            "{told}"
        );
    }
    // Of ten tasks in four lists, at least these can be led back to themselves or to one before them.
    assert!(circles >= 8, "{circles}");
}
