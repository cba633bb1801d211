//! A running program with several threads, stopped from outside (`PTRACE_SEIZE`) once it has said that it stands still.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use freezeframe_debuginfo::{Mapping, Memory, Modules, Options, StoppedThread, Unreadable, parse_maps};
use freezeframe_model::Capture;
use freezeframe_redact::Redactor;

/// A program all of whose threads are stopped.
pub struct Seized {
    child: Child,
    memory: File,
    pub threads: Vec<StoppedThread>,
}

impl Memory for Seized {
    fn read(&self, address: u64, into: &mut [u8]) -> Result<(), Unreadable> {
        self.memory.read_exact_at(into, address).map_err(|_| Unreadable { address })
    }
}

impl Drop for Seized {
    fn drop(&mut self) {
        let _already_gone = self.child.kill();
        // The process is not done before its tracer has collected every other thread.
        let leader = i32::try_from(self.child.id()).unwrap_or(0);
        for thread in self.threads.iter().filter(|thread| thread.id != leader) {
            // SAFETY: a plain system call; no status is asked for.
            unsafe { libc::waitpid(thread.id, std::ptr::null_mut(), libc::__WALL) };
        }
        let _reaped = self.child.wait();
    }
}

impl Seized {
    /// Runs the program until it prints the id of the thread that failed, then stops all its threads.
    pub fn start(program: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("the program starts");
        let mut line = String::new();
        let output = child.stdout.take().expect("a pipe");
        BufReader::new(output).read_line(&mut line).expect("it tells which thread failed");
        let failing: i32 = line.trim().parse().expect("a thread's id");
        let memory = File::open(format!("/proc/{}/mem", child.id())).expect("a child's memory");
        let mut seized = Self { child, memory, threads: Vec::new() };
        seized.stop(failing);
        seized
    }

    /// Lets the threads run on for as long as it takes to stop them again.
    pub fn again(&mut self) {
        let failing = self.threads.iter().find(|thread| thread.failing).map_or(0, |thread| thread.id);
        for thread in self.threads.drain(..) {
            // SAFETY: the thread is in a ptrace stop of this thread.
            let detached = unsafe { libc::ptrace(libc::PTRACE_DETACH, thread.id, 0, 0) };
            assert_eq!(detached, 0);
        }
        self.stop(failing);
    }

    fn stop(&mut self, failing: i32) {
        let directory = format!("/proc/{}/task", self.child.id());
        for entry in std::fs::read_dir(directory).expect("a child's threads") {
            let id = entry.expect("a thread").file_name();
            let id: i32 = id.to_string_lossy().parse().expect("a thread's id");
            let mut status = 0;
            // SAFETY: plain system calls on a thread of our own child; `status` is ours.
            let stopped = unsafe {
                libc::ptrace(libc::PTRACE_SEIZE, id, 0, 0) == 0
                    && libc::ptrace(libc::PTRACE_INTERRUPT, id, 0, 0) == 0
                    && libc::waitpid(id, &raw mut status, libc::__WALL) == id
            };
            assert!(stopped && libc::WIFSTOPPED(status), "thread {id} cannot be stopped");
            let (registers, pointer) = super::all_registers(id);
            self.threads.push(StoppedThread {
                id,
                failing: id == failing,
                registers,
                thread_pointer: Some(pointer),
                ..StoppedThread::default()
            });
        }
    }

    pub fn modules(&self) -> Modules {
        let pid = self.child.id();
        let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).expect("a child's maps");
        Modules::new(parse_maps(&maps), Box::new(|mapping: &Mapping| File::open(&mapping.path)))
    }

    pub fn capture(&self) -> Capture {
        let options = Options::default();
        freezeframe_debuginfo::capture(self, &self.modules(), &self.threads, &options, &Redactor::default())
    }
}
