//! What was read of a stopped process, as neutral data: no language, no debugger, no addresses that need the process to mean something.

use serde::{Deserialize, Serialize};

use crate::{BuildId, Site};

/// Everything that was read of one process while it stood still.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Capture {
    /// The failing thread first, then by thread id.
    pub threads: Vec<Thread>,
    /// Asynchronous tasks of the runtimes that were recognised: those that are running first, then by id.
    pub tasks: Vec<Task>,
    /// Executable and shared objects that appear in a frame.
    pub modules: Vec<Module>,
    /// The user's own frame that the error is attributed to.
    pub site: Site,
    /// Source around the site, where the file could be read when the capture was made.
    pub source: Vec<SourceLine>,
    /// What is missing and why; empty means that nothing is.
    pub not_captured: Vec<Loss>,
    /// Time for which every thread stood still, in microseconds.
    pub all_stop_us: u64,
    /// Time from the trap to the finished capture, in microseconds.
    pub decode_us: u64,
}

/// One thing that could not be captured.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Loss {
    /// What is missing, for example `variables of frame 3`.
    pub what: String,
    /// Why, in words that lead to a remedy.
    pub why: String,
}

/// A mapped ELF file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Module {
    /// Path as the process sees it.
    pub path: String,
    /// Its build id; empty where the file has none.
    pub build_id: BuildId,
    /// Difference between addresses in the process and in the file.
    pub load_bias: u64,
    /// `full`, `line tables only`, `symbols only`, `none`.
    pub debug_info: String,
}

/// A line of source text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceLine {
    /// Counted from 1.
    pub number: u32,
    /// Without the line end.
    pub text: String,
}

/// What a thread was doing when everything stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ThreadState {
    /// On a processor or ready to be.
    #[default]
    Running,
    /// Waiting in a system call.
    Sleeping,
    /// In uninterruptible sleep (state D).
    Blocked,
    /// Ended, not yet collected.
    Dead,
}

/// A lock that a thread waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockedOn {
    /// `futex`, so far.
    pub kind: String,
    /// Address of the futex word in the process.
    pub address: u64,
    /// The thread that owns the lock, where that is known or can be guessed.
    pub owner: Option<i32>,
    /// True where the owner was inferred (a guard of this lock stands on that thread's stack) rather than read.
    pub guessed: bool,
}

/// One operating-system thread.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Thread {
    /// The kernel's thread id.
    pub id: i32,
    /// `/proc/PID/task/TID/comm`.
    pub name: String,
    /// Whether the error happened on this thread.
    pub failing: bool,
    /// What it was doing.
    pub state: ThreadState,
    /// The system call it was in, by name, where it was in one.
    pub syscall: Option<String>,
    /// The lock it waits for.
    pub blocked_on: Option<BlockedOn>,
    /// Innermost first; inlined functions are frames of their own.
    pub frames: Vec<Frame>,
    /// Why the stack ends early, where it does.
    pub truncated: Option<String>,
}

/// What an asynchronous task was doing when everything stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// A thread is polling it.
    Running,
    /// Woken, and waiting for a thread to poll it.
    Scheduled,
    /// Waiting for something that is to wake it.
    #[default]
    Idle,
    /// Told to end; it will the next time it is polled.
    Cancelled,
    /// Ended; its result may not have been taken yet.
    Complete,
}

/// One asynchronous task.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Task {
    /// The runtime's id of it, where it keeps one.
    pub id: Option<u64>,
    /// The outermost `async` function or block of it, else the type of its future.
    pub name: String,
    /// What it was doing.
    pub state: TaskState,
    /// Where it was spawned, where the runtime keeps that; the function is not known.
    pub spawned_at: Option<Site>,
    /// What it waits for: the type of the innermost future, or the alternatives of a `select!` or `join!`.
    pub waits_for: Option<String>,
    /// The thread that is polling it.
    pub thread: Option<i32>,
    /// Innermost first. Of a waiting task the `async` functions and the futures in them, each at the line where it waits
    /// (`address` is 0: no code is being run); of a running one what its thread is doing, without variables.
    pub frames: Vec<Frame>,
}

/// Whose code a frame is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FrameKind {
    /// The code of the service itself.
    #[default]
    User,
    /// Standard library, dependencies, C library, kernel entry.
    Library,
    /// The frame through which the kernel delivered a signal.
    SignalTrampoline,
}

/// One function activation; an inlined function counts as one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Frame {
    /// Demangled name; `module+0x1234` where there is no symbol.
    pub function: String,
    /// Source file as the compiler recorded it; empty where unknown.
    pub file: String,
    /// Counted from 1; 0 where unknown.
    pub line: u32,
    /// Whether the compiler merged it into the next frame outwards.
    pub inlined: bool,
    /// Whose code it is.
    pub kind: FrameKind,
    /// Program counter in the process.
    pub address: u64,
    /// Index into `Capture::modules`.
    pub module: Option<u32>,
    /// Address within the module's file: stable across restarts of one build.
    pub module_offset: u64,
    /// Arguments, then locals, in the order of their declaration.
    pub variables: Vec<Variable>,
}

/// What a variable is to its frame or parent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VariableRole {
    /// A parameter of the function.
    Argument,
    /// A local variable.
    #[default]
    Local,
    /// A field, element or pointee of its parent.
    Member,
}

/// A named value.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Variable {
    /// Name in the source; `[3]` for elements, `0` for tuple fields, `*` for what a pointer points to.
    pub name: String,
    /// Type in the words of the language.
    pub type_name: String,
    /// What it is to its parent.
    pub role: VariableRole,
    /// The value, or why there is none.
    pub value: Value,
    /// Fields, elements, pointee.
    pub children: Vec<Variable>,
}

/// A value as text for people, or the reason for its absence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Value {
    /// As the language would write it: `42`, `"text"`, `Some`, `0x7f…`.
    Text(String),
    /// A secret was here; why it was taken for one.
    Redacted(String),
    /// Optimised out, unreadable, of a type that is not decoded yet …
    Unavailable(String),
    /// It is there, but a limit cut it off; which one. Whoever asks again with larger bounds gets it.
    Cut(String),
    /// Only its children say something (a struct, an array).
    Composite,
}

impl Default for Value {
    fn default() -> Self {
        Self::Unavailable("not read".to_owned())
    }
}

impl Capture {
    /// The thread on which the error happened.
    pub fn failing_thread(&self) -> Option<&Thread> {
        self.threads.iter().find(|thread| thread.failing)
    }

    /// Records what is missing, once.
    pub fn lose(&mut self, what: impl Into<String>, why: impl Into<String>) {
        let loss = Loss { what: what.into(), why: why.into() };
        if !self.not_captured.contains(&loss) {
            self.not_captured.push(loss);
        }
    }
}
