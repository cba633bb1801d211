//! Trapping, holding and reading processes: the privileged part.
//!
//! A [`Runtime`] starts one instance, notices that something breaks in it, and carries it through the path of a crash:
//! stop, look, copy, drain, hold. What is held after that needs no runtime any more: [`Held`] works from facts on disk,
//! so that it serves the shim that made the hold and any that comes later. Decisions (whether to hold at all) are made
//! by the caller; this crate knows no budget, no gate and no store.
//!
//! To add one: a module with a type that implements [`Runtime`], chosen in `shim`, and an example service that breaks.

pub mod cgroup;
mod core_file;
mod core_memory;
mod examined;
mod held;
pub mod host;
mod memory;
mod native;
pub mod netcut;
pub mod process;

use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use freezeframe_debuginfo::{DebugSources, IndexDirectory, Layered, Memory, Modules, Options, StoppedThread};
use freezeframe_model::{Capture, ExitReason, Fingerprint, HoldFacts, IncidentKind};
use freezeframe_redact::Redactor;

pub use cgroup::Cgroup;
pub use core_file::{CoreLimits, CoreSummary, write_compressed as write_compressed_core};
pub use core_memory::CoreFilter;
pub use examined::Examined;
pub use held::{Held, Reclaimed};
pub use memory::ProcessMemory;
pub use native::Native;
pub use process::{ProcessId, resident_bytes_of_tree};

/// What to start.
#[derive(Clone, Debug, Default)]
pub struct Launch {
    /// Program (looked up in `PATH`) and arguments.
    pub command: Vec<String>,
    /// Variables added to, or replacing those of, our own environment.
    pub environment: Vec<(String, String)>,
    /// Working directory; ours where `None`.
    pub directory: Option<PathBuf>,
    /// The cgroup that it lives in from its first instruction.
    pub cgroup: Option<Cgroup>,
}

/// A started instance.
#[derive(Debug)]
pub struct Started {
    /// The first process of its tree.
    pub process: ProcessId,
    /// What it writes to standard output.
    pub stdout: OwnedFd,
    /// What it writes to standard error.
    pub stderr: OwnedFd,
}

/// Why an instance could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// There is nothing to start.
    #[error("the command is empty")]
    EmptyCommand,
    /// A word of the command or environment cannot be passed to a program.
    #[error("{0:?} contains a zero byte")]
    ZeroByte(String),
    /// The program is missing, is not executable, has no interpreter …
    #[error("{program} could not be executed")]
    Execute {
        /// The program as it was given.
        program: String,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// Pipes, fork or the cgroup failed.
    #[error("the process could not be created")]
    Create(#[source] io::Error),
}

/// Where debug information is found besides the program's own files, and where is kept what was learnt of it.
#[derive(Clone, Default)]
pub struct DebugFiles {
    /// Indexes on disk.
    pub indexes: Option<Arc<IndexDirectory>>,
    /// Directories and servers.
    pub sources: DebugSources,
}

impl DebugFiles {
    pub(crate) fn used_by(&self, modules: Modules) -> Modules {
        modules.with_indexes(self.indexes.clone()).with_debug_sources(self.sources.clone())
    }
}

/// What a runtime reports of its instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A trap was hit: every thread of the failing process stands still (or is about to) until `drain` or `pass`.
    Trapped,
    /// While draining, another thread hit a fatal signal too: nothing can drain any further.
    DrainBroken,
    /// The first process ended, and with it the instance.
    Exited(ExitReason),
}

/// What can be said at once of a trap, with no debug information.
#[derive(Clone, Debug)]
pub struct Sighting {
    /// How the error was noticed.
    pub kind: IncidentKind,
    /// The error's own words, redacted.
    pub message: String,
    /// The same error across instances and restarts of one build.
    pub fingerprint: Fingerprint,
    /// The failing process (of the instance's tree).
    pub pid: i32,
    /// The failing thread.
    pub tid: i32,
    /// Its resident memory in bytes.
    pub resident_bytes: u64,
    /// The request's `traceparent`, where the SDK's span named it.
    pub traceparent: Option<String>,
    /// When the kernel's report of it was taken in.
    pub noticed: Instant,
    /// When every thread stood still; `None` where one does not yet: see [`Runtime::settle`].
    pub stopped: Option<Instant>,
    /// Why part of it is missing, where it is.
    pub diagnostics: Vec<String>,
}

/// Writes the indexes that are missing; how many it wrote.
pub type Indexing = Box<dyn FnOnce() -> io::Result<usize> + Send>;

/// One instance in the hands of a runtime. Every method is called from the thread that called `start`.
pub trait Runtime {
    /// Starts the instance; it runs, unarmed, when this returns.
    fn start(&mut self, launch: &Launch) -> Result<Started, StartError>;
    /// Plants the traps, now and in every program that the instance executes from here on.
    fn arm(&mut self);
    /// Why errors of this program are not, or not all, noticed; empty where they are.
    fn limits(&self) -> Vec<String>;
    /// Reads ahead what looking at a trap needs (unwind tables of the mapped files), so that a trap does not wait for it.
    fn warm_up(&mut self);
    /// What may be done beside everything else, by a thread of low priority, so that a capture takes less time; `None` where
    /// there is nothing to do.
    fn indexing(&mut self) -> Option<Indexing>;
    /// Takes the traps out: the program runs as if we were not there.
    fn disarm(&mut self);
    /// Takes in what has happened, without waiting; call it when SIGCHLD arrives, until it answers `None`.
    fn poll(&mut self) -> Option<Event>;
    /// Stops every thread although nothing was trapped (a stall); `Trapped` semantics from here on.
    fn stop_all(&mut self) -> io::Result<()>;
    /// Stops the other threads too, and waits a little for those that cannot yet (in the middle of fsync, for example);
    /// when all stood still.
    fn settle(&mut self) -> Option<Instant>;
    /// What is trapped.
    fn sighting(&mut self, redactor: &Redactor) -> Option<Sighting>;
    /// Copies what decoding needs.
    fn snapshot(&mut self) -> io::Result<Snapshot>;
    /// Takes the traps out and lets all threads but the failing one run on.
    fn drain(&mut self);
    /// Lets everything go on exactly as without us: the signal is delivered, the breakpoint stepped over.
    fn pass(&mut self);
    /// Holds the process: frozen where `cgroup` is given, else by SIGSTOP. Tracing ends: the hold rests on nothing of ours.
    fn hold(&mut self, limit: Duration) -> io::Result<HoldFacts>;
    /// Begins to trace and arm again a process whose hold was given up.
    fn take_back(&mut self) -> io::Result<()>;
}

/// Registers and memory as of the moment when everything stood still; what it does not hold is read from the process.
pub struct Snapshot {
    pub(crate) pid: i32,
    pub(crate) memory: freezeframe_debuginfo::Snapshot,
    pub(crate) threads: Vec<StoppedThread>,
    pub(crate) modules: Arc<Modules>,
    pub(crate) diagnostics: Vec<(String, String)>,
    pub(crate) failing_stack: Option<(u64, u64)>,
    pub(crate) all_stopped: bool,
}

impl Snapshot {
    /// Whether every thread that lived stood still when it was taken.
    pub fn all_stopped(&self) -> bool {
        self.all_stopped
    }

    /// Build of the main executable.
    pub fn build_id(&self) -> freezeframe_model::BuildId {
        self.modules.main_build_id()
    }

    /// Frames and values. Takes from milliseconds to the budget in `options`; the failing thread must still stand still.
    pub fn decode(&self, options: &Options, redactor: &Redactor) -> Capture {
        let live = ProcessMemory::open(self.pid);
        let layered = live.as_ref().ok().map(|then| Layered { first: &self.memory, then });
        let memory: &dyn Memory = layered.as_ref().map_or(&self.memory, |layered| layered);
        let mut capture =
            freezeframe_debuginfo::capture(memory, &self.modules, &self.threads, options, redactor);
        if let Err(error) = &live {
            capture.lose("memory outside the stacks", format!("/proc/{}/mem: {error}", self.pid));
        }
        if live.is_ok() && self.threads.iter().any(|thread| !thread.failing) {
            capture.lose(
                "the exact moment of some values of the other threads",
                "what was not copied while all threads stood still was read later, when they may have run on",
            );
        }
        for (what, why) in &self.diagnostics {
            capture.lose(what, why);
        }
        capture
    }

    /// Which of the `candidates` (texts that the gate put into requests) lie nearest to the failing thread's frames:
    /// all that are found at the smallest number of pointers followed. More than one means that it cannot be told.
    pub fn find_nearest(&self, candidates: &[String]) -> Vec<String> {
        let (Some(stack), Ok(live)) = (self.failing_stack, ProcessMemory::open(self.pid)) else {
            return Vec::new();
        };
        let memory = Layered { first: &self.memory, then: &live };
        memory::nearest(&memory, self.modules.mappings(), stack, candidates)
    }
}
