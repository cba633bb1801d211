//! Cores of the kernel and of gdb: the same stacks as gdb shows, all threads, values, expressions; and hostile files.

mod common;

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::{Program, build, show};
use expect_test::expect;
use freezeframe_debuginfo::{Bounds, Core, Mapping, OpenCoreError, Options, is_core, unpack_core};
use freezeframe_model::{Capture, FrameKind, Thread, Value, Variable};
use freezeframe_redact::Redactor;

fn program() -> Program {
    build("threads.cpp", "c++", &["-g", "-O0", "-pthread"])
}

fn open(path: &Path) -> Core {
    let file = File::open(path).expect("the core is there");
    Core::open(file, |mapping: &Mapping| File::open(&mapping.path)).expect("a readable core")
}

/// However busy the machine is.
fn patient() -> Options {
    Options { time: std::time::Duration::from_secs(60), ..Options::default() }
}

fn capture(core: &Core) -> Capture {
    core.capture(&patient(), &Redactor::default())
}

/// The kernel's core of the program, which ends by a signal. `None` where this host gives cores to another program.
fn kernel_core(program: &Program) -> Option<PathBuf> {
    let pattern = std::fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap_or_default();
    let pattern = pattern.trim();
    if pattern.contains(['|', '/', '%']) {
        let required = std::env::var_os("FREEZEFRAME_REQUIRE_ALL").is_some();
        assert!(!required, "cores of the kernel go elsewhere here (core_pattern is {pattern:?})");
        // Not through the macros that the test harness captures: a skipped test must be seen.
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: cores of the kernel go elsewhere here (core_pattern is {pattern:?})"
        );
        return None;
    }
    let mut command = Command::new(&program.path);
    command.current_dir(program.directory.path()).stdout(Stdio::null()).stderr(Stdio::null());
    // SAFETY: setrlimit is a plain system call, allowed between fork and exec; the limit lives on our stack.
    unsafe {
        command.pre_exec(|| {
            let limit = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
            match libc::setrlimit(libc::RLIMIT_CORE, &raw const limit) {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            }
        });
    }
    let mut child = command.spawn().expect("the program starts");
    let pid = child.id();
    assert!(!child.wait().expect("it ends").success(), "it should have crashed");
    let places =
        [pattern.to_owned(), format!("{pattern}.{pid}")].map(|name| program.directory.path().join(name));
    let found = places.into_iter().find(|path| path.exists());
    Some(found.unwrap_or_else(|| panic!("the kernel wrote no core called {pattern:?}")))
}

/// The core that gdb writes where the program stops at its signal.
fn gdb_core(program: &Program) -> PathBuf {
    let path = program.directory.path().join("gdb.core");
    let write = format!("generate-core-file {}", path.display());
    gdb(program, &["-ex", "run", "-ex", &write, "-ex", "kill", "program"]);
    path
}

fn gdb(program: &Program, arguments: &[&str]) -> String {
    let mut command = Command::new("gdb");
    command.current_dir(program.directory.path()).args([
        "-nx",
        "-batch",
        "-ex",
        "set debuginfod enabled off",
    ]);
    let output = command.args(arguments).output().expect("gdb is needed for this test");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Functions of one thread, innermost first, as gdb names them.
fn functions_of_gdb(program: &Program, core: &Path) -> Vec<String> {
    let core = core.display().to_string();
    let shown = gdb(program, &["-ex", "set backtrace past-main on", "-ex", "bt", "program", &core]);
    // Opening the core shows its innermost frame as well.
    let stack = shown.rfind("#0 ").and_then(|at| shown.get(at..)).unwrap_or_default();
    let frames = stack.lines().filter(|line| line.starts_with('#'));
    let name = |line: &str| {
        let place = line.split_once(" in ").map_or_else(|| line.split_once("  "), Some)?.1;
        Some(bare(place))
    };
    frames.filter_map(name).collect()
}

/// A name without arguments and namespaces of the standard library's versions.
fn bare(function: &str) -> String {
    function.split(['(', '<']).next().unwrap_or_default().trim().to_owned()
}

fn functions(thread: &Thread) -> Vec<String> {
    thread.frames.iter().map(|frame| bare(&frame.function)).collect()
}

fn frame<'c>(thread: &'c Thread, function: &str) -> Option<(usize, &'c [Variable])> {
    let named = |name: &str| bare(name) == function;
    let at = thread.frames.iter().position(|frame| named(&frame.function))?;
    Some((at, &thread.frames[at].variables))
}

fn shown(variables: &[Variable]) -> String {
    let mut text = String::new();
    variables.iter().for_each(|variable| show(variable, 0, &mut text));
    text
}

fn check(program: &Program, path: &Path) {
    let core = open(path);
    assert_eq!(core.process().executable, program.path.canonicalize().expect("there").display().to_string());
    let signal = core.process().signal.expect("it crashed");
    assert_eq!(signal.words(), "SIGSEGV: address 0x0 is not mapped");
    assert!(core.process().uid.is_some());
    let capture = capture(&core);
    assert_eq!(capture.threads.len(), 3);
    assert_eq!(capture.site.function, "crash");
    let failing = capture.failing_thread().expect("a failing thread");
    assert_eq!(failing.truncated, None);
    assert_eq!(functions(failing).last().map(String::as_str), Some("_start"));
    assert_eq!(functions(failing), functions_of_gdb(program, path), "{:?}", capture.not_captured);
    let (_, variables) = frame(failing, "crash").expect("the frame is there");
    expect![[r#"
        target: int * = null
        password: const string & = <redacted: password>
        before: int = 7
    "#]]
    .assert_eq(&shown(variables));
    // The user's frames of the others, wherever their threads stood.
    let waiting = |thread: &&Thread| frame(thread, "wait_for_work").is_some();
    let waiting: Vec<&Thread> = capture.threads.iter().filter(waiting).collect();
    assert_eq!(waiting.len(), 2);
    let (_, variables) = frame(waiting[0], "worker").expect("the frame is there");
    expect![[r#"
        number: int = 1
        job: Job
          number: int = 1
          title: string = "job 1"
          sizes: vector<int, std::allocator<int> >
            [0]: int = 1
            [1]: int = 2
    "#]]
    .assert_eq(&shown(variables));
    let options = patient();
    let inspection = core.inspection(&options);
    let (at, _) = frame(failing, "main").expect("the frame is there");
    let bounds = Bounds { depth: 1, breadth: 2, offset: 4000, ..Bounds::default() };
    let page = inspection.evaluate(failing.id, at, "large", bounds, Some(&Redactor::default()));
    expect![[r#"
        large: vector<int, std::allocator<int> >
          [4000]: int = 16000000
          [4001]: int = 16008001
          …:  = <left out: 998 more>
    "#]]
    .assert_eq(&shown(&[page.unwrap_or_else(|error| panic!("{}", error.explain("large")))]));
    let library = failing.frames.iter().filter(|frame| frame.kind == FrameKind::Library);
    assert!(library.count() > 0);
}

#[test]
fn of_the_kernel() {
    let program = program();
    let Some(path) = kernel_core(&program) else { return };
    check(&program, &path);
}

#[test]
fn of_gdb() {
    let program = program();
    let path = gdb_core(&program);
    check(&program, &path);
}

#[test]
fn a_program_of_another_build_is_not_believed() {
    let program = program();
    let path = gdb_core(&program);
    let source = program.directory.path().join("threads.cpp");
    let text = std::fs::read_to_string(&source).expect("there").replace("number * 10", "number * 11");
    std::fs::write(&source, text).expect("written");
    std::fs::remove_file(&program.path).expect("removed");
    common::run_tool(&program, "c++", &["-g", "-O1", "-pthread", "threads.cpp", "-o", "program"]);
    let capture = capture(&open(&path));
    let why =
        capture.not_captured.iter().find(|loss| loss.what.contains("/program")).map(|loss| loss.why.as_str());
    assert!(why.is_some_and(|why| why.contains("another build")), "{:?}", capture.not_captured);
    assert!(capture.threads.iter().all(|thread| frame(thread, "wait_for_work").is_none()));
}

#[test]
fn one_huge_value_leaves_room_for_the_others() {
    let program = program();
    let core = open(&gdb_core(&program));
    let options = Options { variables_max: 400, breadth: 100_000, ..patient() };
    let capture = core.capture(&options, &Redactor::default());
    let failing = capture.failing_thread().expect("failing");
    let (_, main) = frame(failing, "main").expect("the frame is there");
    let large = main.iter().find(|variable| variable.name == "large").expect("it is a local");
    assert!(matches!(large.children.last().map(|child| &child.value), Some(Value::Cut(_))), "cut and marked");
    let of_workers = capture.threads.iter().filter_map(|thread| frame(thread, "worker"));
    let jobs: Vec<String> = of_workers.map(|(_, variables)| shown(variables)).collect();
    assert_eq!(jobs.len(), 2);
    assert!(jobs.iter().all(|job| job.contains("title")), "{jobs:?}");
    assert!(capture.not_captured.iter().any(|loss| loss.what == "parts of some variables"));
}

#[test]
fn without_time_there_are_still_stacks() {
    let program = program();
    let core = open(&gdb_core(&program));
    let options = Options { time: std::time::Duration::ZERO, ..Options::default() };
    let capture = core.capture(&options, &Redactor::default());
    assert_eq!(capture.threads.len(), 3);
    assert!(capture.threads.iter().all(|thread| thread.frames.len() > 1));
    assert!(capture.not_captured.iter().any(|loss| loss.why == "time ran out"), "{:?}", capture.not_captured);
}

#[test]
fn what_is_no_core_is_refused() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let refused = |bytes: &[u8]| {
        let path = directory.path().join("file");
        std::fs::write(&path, bytes).expect("written");
        let opened = Core::open(File::open(&path).expect("there"), |_: &Mapping| {
            Err(std::io::ErrorKind::NotFound.into())
        });
        opened.map(|_| ()).expect_err("refused")
    };
    assert!(matches!(refused(b""), OpenCoreError::NotACore));
    assert!(matches!(refused(b"\x7fELF and nothing else"), OpenCoreError::NotACore));
    assert!(matches!(
        refused(&std::fs::read("/proc/self/exe").expect("own program")),
        OpenCoreError::NotACore
    ));
    assert!(is_core(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x04\0"));
}

/// Damage anywhere in headers and notes, and a file that ends anywhere: answers or errors, never a panic or a hang.
#[test]
fn damaged_cores() {
    let program = program();
    let path = gdb_core(&program);
    let mut file = File::options().read(true).write(true).open(&path).expect("there");
    let mut headers = vec![0; 8192];
    file.read_exact(&mut headers).expect("headers and notes");
    let options = Options { time: std::time::Duration::from_millis(200), ..Options::default() };
    let mut opened = 0;
    for (round, at) in (0..headers.len()).step_by(251).enumerate() {
        let mut damaged = headers.clone();
        for (shift, byte) in damaged.iter_mut().skip(at).take(1 + round % 9).enumerate() {
            *byte = [0xff, 0, 0x80, 1, 0x7f][(round + shift) % 5];
        }
        file.seek(SeekFrom::Start(0)).expect("seeks");
        file.write_all(&damaged).expect("written");
        let copy = File::open(&path).expect("there");
        if let Ok(core) = Core::open(copy, |mapping: &Mapping| File::open(&mapping.path)) {
            opened += 1;
            core.capture(&options, &Redactor::default());
            let _ = core.memory().read_u64(u64::MAX - 3);
        }
    }
    assert!(opened > 5, "{opened}");
    file.seek(SeekFrom::Start(0)).expect("seeks");
    file.write_all(&headers).expect("written");
    let length = file.metadata().expect("there").len();
    for part in [length / 2, 20_000, 9_000, 5_000, 2_000, 200, 64, 30] {
        file.set_len(part).expect("cut");
        if let Ok(core) = Core::open(File::open(&path).expect("there"), |_: &Mapping| {
            Err(std::io::ErrorKind::NotFound.into())
        }) {
            let capture = core.capture(&options, &Redactor::default());
            assert!(capture.not_captured.iter().any(|loss| loss.why.contains("the file ends")));
        }
    }
}

#[test]
fn unpacking_is_bounded_and_leaves_out_zeros() {
    let mut bytes = vec![7; 100_000];
    bytes.extend(vec![0; 1 << 20]);
    bytes.extend([1, 2, 3]);
    bytes.extend(vec![0; 70_000]);
    let mut to = tempfile::tempfile().expect("a temporary file");
    let length = unpack_core(&mut bytes.as_slice(), &mut to, 1 << 21).expect("unpacks");
    assert_eq!(length, bytes.len() as u64);
    let mut back = Vec::new();
    to.seek(SeekFrom::Start(0)).expect("seeks");
    to.read_to_end(&mut back).expect("reads");
    assert!(back == bytes);
    let mut to = tempfile::tempfile().expect("a temporary file");
    let error = unpack_core(&mut bytes.as_slice(), &mut to, 1 << 20).expect_err("too long");
    assert_eq!(error.kind(), std::io::ErrorKind::FileTooLarge);
}
