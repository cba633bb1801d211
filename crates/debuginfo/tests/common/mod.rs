//! Builds small programs, runs them until they stop, and reads them: the smallest tracer that does (`PTRACE_TRACEME`).
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part of this module")]

pub mod seized;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use freezeframe_debuginfo::{
    Mapping, Memory, Modules, Options, Registers, StoppedThread, Unreadable, Vectors, parse_maps,
};
use freezeframe_model::{Capture, Value, Variable};
use freezeframe_redact::Redactor;

/// A temporary directory with one compiled program in it.
pub struct Program {
    pub directory: tempfile::TempDir,
    pub path: PathBuf,
}

/// Compiles `tests/fixtures/NAME` with the compiler and the flags given.
pub fn build(source: &str, compiler: &str, flags: &[&str]) -> Program {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let directory = tempfile::tempdir().expect("a temporary directory");
    // Compiled from a copy: paths are the same on every machine, relative to where the compiler runs.
    std::fs::copy(fixtures.join(source), directory.path().join(source)).expect("the fixture is there");
    let path = directory.path().join("program");
    let mut command = Command::new(compiler);
    command.current_dir(directory.path()).arg(source).args(flags).arg("-o").arg("program");
    let output =
        command.output().unwrap_or_else(|error| panic!("{compiler} is needed for this test: {error}"));
    assert!(output.status.success(), "{compiler}: {}", String::from_utf8_lossy(&output.stderr));
    Program { directory, path }
}

/// Runs a tool on the program.
pub fn run_tool(program: &Program, tool: &str, arguments: &[&str]) {
    let status = Command::new(tool).current_dir(program.directory.path()).args(arguments).status();
    assert!(status.unwrap_or_else(|error| panic!("{tool} is needed for this test: {error}")).success());
}

/// A process that stands still at a signal.
pub struct Stopped {
    child: Child,
    memory: File,
    pub signal: i32,
    pub registers: Registers,
}

impl Memory for Stopped {
    fn read(&self, address: u64, into: &mut [u8]) -> Result<(), Unreadable> {
        self.memory.read_exact_at(into, address).map_err(|_| Unreadable { address })
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        let _already_gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// Runs the program until a signal other than the one of `exec` stops its main thread.
pub fn run_until_stop(path: &Path) -> Stopped {
    run_until_nth_stop(path, 1)
}

/// The same, with the first signals delivered to the program, so that its handlers run.
pub fn run_until_nth_stop(path: &Path, nth: usize) -> Stopped {
    let mut command = Command::new(path);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    // SAFETY: ptrace(PTRACE_TRACEME) is a plain system call, allowed between fork and exec.
    unsafe {
        command.pre_exec(|| match libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) {
            -1 => Err(std::io::Error::last_os_error()),
            _ => Ok(()),
        });
    }
    let child = command.spawn().expect("the program starts");
    let pid = i32::try_from(child.id()).expect("a pid");
    let mut seen = 0;
    let mut deliver = 0;
    let signal = loop {
        let mut status = 0;
        // SAFETY: `status` is ours; the child is traced by this very thread.
        let waited = unsafe { libc::waitpid(pid, &mut status, 0) };
        assert_eq!(waited, pid);
        assert!(libc::WIFSTOPPED(status), "the program ended instead of stopping: status {status:#x}");
        let signal = libc::WSTOPSIG(status);
        if signal != libc::SIGTRAP {
            seen += 1;
            if seen == nth {
                break signal;
            }
            deliver = signal;
        }
        // SAFETY: the child is in a ptrace stop of this thread.
        let continued = unsafe { libc::ptrace(libc::PTRACE_CONT, pid, 0, deliver) };
        assert_eq!(continued, 0);
        deliver = 0;
    };
    let memory = File::open(format!("/proc/{pid}/mem")).expect("a traced child's memory");
    Stopped { memory, signal, registers: registers(pid), child }
}

pub fn registers(pid: i32) -> Registers {
    all_registers(pid).0
}

/// The general registers, and the thread pointer.
fn all_registers(pid: i32) -> (Registers, u64) {
    // SAFETY: all zeroes is a valid register set; the kernel fills exactly this structure.
    let r = unsafe {
        let mut registers: libc::user_regs_struct = std::mem::zeroed();
        let read = libc::ptrace(libc::PTRACE_GETREGS, pid, 0, &raw mut registers);
        assert_eq!(read, 0);
        registers
    };
    let values = [
        r.rax, r.rdx, r.rcx, r.rbx, r.rsi, r.rdi, r.rbp, r.rsp, r.r8, r.r9, r.r10, r.r11, r.r12, r.r13,
        r.r14, r.r15, r.rip,
    ];
    let registers = Registers { values: values.map(Some), fs_base: Some(r.fs_base), vectors: vectors(pid) };
    (registers, r.fs_base)
}

fn vectors(pid: i32) -> Option<Arc<Vectors>> {
    let mut state = vec![0u8; 16 * 1024];
    let mut part = libc::iovec { iov_base: state.as_mut_ptr().cast(), iov_len: state.len() };
    const NT_X86_XSTATE: usize = 0x202;
    // SAFETY: the kernel writes at most `iov_len` bytes into `state`, which outlives the call.
    let read = unsafe { libc::ptrace(libc::PTRACE_GETREGSET, pid, NT_X86_XSTATE, &raw mut part) };
    assert_eq!(read, 0);
    Vectors::from_xsave(&state[..part.iov_len]).map(Arc::new)
}

impl Stopped {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn modules(&self) -> Modules {
        let pid = self.child.id();
        let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).expect("a child's maps");
        Modules::new(
            parse_maps(&maps),
            Box::new(move |mapping: &Mapping| File::open(format!("/proc/{pid}/root{}", mapping.path))),
        )
    }

    pub fn thread(&self) -> StoppedThread {
        let id = i32::try_from(self.child.id()).expect("a pid");
        StoppedThread { id, failing: true, registers: self.registers.clone(), ..StoppedThread::default() }
    }

    pub fn capture(&self) -> Capture {
        self.capture_with(&Options::default())
    }

    pub fn capture_with(&self, options: &Options) -> Capture {
        freezeframe_debuginfo::capture(self, &self.modules(), &[self.thread()], options, &Redactor::default())
    }
}

/// Functions and lines of the failing thread, one per line.
pub fn show_frames(capture: &Capture) -> String {
    let thread = capture.failing_thread().expect("a failing thread");
    let mut text = String::new();
    for frame in &thread.frames {
        let inlined = if frame.inlined { " (inlined)" } else { "" };
        text += &format!("{:?} {} {}:{}{inlined}\n", frame.kind, frame.function, frame.file, frame.line);
    }
    text += &format!("{:?}\n", thread.truncated);
    text
}

/// The frames of the program's own code: those of libraries differ from machine to machine.
pub fn show_own_frames(capture: &Capture) -> String {
    show_frames(capture)
        .lines()
        .filter(|line| !line.starts_with("Library"))
        .map(|line| format!("{line}\n"))
        .collect()
}

/// Variables of the innermost frame whose function ends with `function`, indented by depth, addresses masked.
pub fn show_variables(capture: &Capture, function: &str) -> String {
    let thread = capture.failing_thread().expect("a failing thread");
    let mut frames = thread.frames.iter();
    let frame =
        frames.find(|frame| frame.function.split('(').next().is_some_and(|name| name.ends_with(function)));
    let frame = frame.unwrap_or_else(|| panic!("no frame of {function} in\n{}", show_frames(capture)));
    let mut text = String::new();
    for variable in &frame.variables {
        show(variable, 0, &mut text);
    }
    text
}

pub fn show(variable: &Variable, depth: usize, text: &mut String) {
    let value = match &variable.value {
        Value::Text(value) => mask(value),
        Value::Redacted(reason) => format!("<redacted: {reason}>"),
        Value::Unavailable(reason) => format!("<{}>", mask(reason)),
        Value::Cut(why) => format!("<left out: {why}>"),
        Value::Composite => String::new(),
    };
    let line = format!("{}{}: {} = {value}", "  ".repeat(depth), variable.name, variable.type_name);
    *text += line.trim_end_matches([' ', '=']);
    *text += "\n";
    for child in &variable.children {
        show(child, depth + 1, text);
    }
}

/// Addresses differ from run to run.
pub fn mask(text: &str) -> String {
    let Some((before, after)) = text.split_once("0x") else { return text.to_owned() };
    let rest = after.trim_start_matches(|c: char| c.is_ascii_hexdigit());
    if after.len() - rest.len() < 6 { text.to_owned() } else { format!("{before}0x…{}", mask(rest)) }
}
