//! A program with all its threads: started under ptrace, stopped as a whole at a signal, and let go of without running on.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use freezeframe_debuginfo::{Mapping, Memory, Modules, StoppedThread, Unreadable, parse_maps};

/// Seconds after which a program that does not break is given up.
const TIME_S: u32 = 60;

/// A process whose threads all stand still, the failing one first.
pub(crate) struct StoppedProcess {
    child: Child,
    memory: File,
    pub(crate) threads: Vec<StoppedThread>,
}

impl Memory for StoppedProcess {
    fn read(&self, address: u64, into: &mut [u8]) -> Result<(), Unreadable> {
        self.memory.read_exact_at(into, address).map_err(|_| Unreadable { address })
    }
}

/// Ends the process with what it was stopped for.
pub(crate) struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _already_gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

impl Ended {
    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }
}

/// Starts the program at fixed addresses and runs it until a signal, after the first `deliver` of them, would reach it.
pub(crate) fn stop_all_at_signal(path: &Path, deliver: usize) -> Result<StoppedProcess, String> {
    let mut command = Command::new(path);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    // SAFETY: these are plain system calls, allowed between fork and exec; `personality` failing leaves addresses random.
    unsafe {
        command.pre_exec(|| {
            libc::personality(libc::ADDR_NO_RANDOMIZE as libc::c_ulong);
            libc::alarm(TIME_S);
            match libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) {
                -1 => Err(std::io::Error::last_os_error()),
                _ => Ok(()),
            }
        });
    }
    let child = command.spawn().map_err(|error| error.to_string())?;
    let pid = i32::try_from(child.id()).map_err(|error| error.to_string())?;
    let memory = File::open(format!("/proc/{pid}/mem")).map_err(|error| error.to_string())?;
    let mut process = StoppedProcess { child, memory, threads: Vec::new() };
    let failing = run_to_signal(pid, deliver)?;
    process.threads.push(stopped_thread(failing, true));
    for task in tasks(pid)? {
        if task != failing && stop_one(pid, task)? {
            process.threads.push(stopped_thread(task, false));
        }
    }
    Ok(process)
}

fn tasks(pid: i32) -> Result<Vec<i32>, String> {
    let listed = std::fs::read_dir(format!("/proc/{pid}/task")).map_err(|error| error.to_string())?;
    Ok(listed.filter_map(|task| task.ok()?.file_name().to_str()?.parse().ok()).collect())
}

fn run_to_signal(pid: i32, deliver: usize) -> Result<i32, String> {
    let mut seen = 0;
    let mut started = false;
    loop {
        // Only children and tracees of this very thread: other threads trace programs of their own.
        let (task, status) = wait(-1, libc::__WALL | libc::__WNOTHREAD)?;
        if !libc::WIFSTOPPED(status) {
            if task == pid {
                return Err(format!("the program ended instead of stopping: status {status:#x}"));
            }
            continue;
        }
        if !started {
            started = true;
            let options = libc::PTRACE_O_TRACECLONE | libc::PTRACE_O_EXITKILL;
            // SAFETY: the task is in a ptrace stop of this thread.
            unsafe { libc::ptrace(libc::PTRACE_SETOPTIONS, task, 0, options) };
        }
        // A new thread begins with SIGSTOP; SIGTRAP tells of clone and exec.
        let signal = libc::WSTOPSIG(status);
        let is_own = signal != libc::SIGTRAP && signal != libc::SIGSTOP;
        if signal == libc::SIGALRM {
            return Err(format!("nothing happened for {TIME_S} s"));
        }
        if is_own {
            seen += 1;
            if seen > deliver {
                return Ok(task);
            }
        }
        go_on(task, if is_own { signal } else { 0 });
    }
}

/// Stops one more thread; false where it has ended.
fn stop_one(pid: i32, task: i32) -> Result<bool, String> {
    // SAFETY: a plain system call with numbers.
    unsafe { libc::syscall(libc::SYS_tgkill, pid, task, libc::SIGSTOP) };
    loop {
        let (_, status) = wait(task, libc::__WALL)?;
        if !libc::WIFSTOPPED(status) {
            return Ok(false);
        }
        if libc::WSTOPSIG(status) != libc::SIGTRAP {
            return Ok(true);
        }
        go_on(task, 0);
    }
}

fn wait(task: i32, options: i32) -> Result<(i32, i32), String> {
    let mut status = 0;
    // SAFETY: `status` is ours; the task is a child or tracee of this thread.
    match unsafe { libc::waitpid(task, &mut status, options) } {
        -1 => Err(format!("waitpid: {}", std::io::Error::last_os_error())),
        task => Ok((task, status)),
    }
}

fn go_on(task: i32, signal: i32) {
    // SAFETY: the task is in a ptrace stop of this thread.
    unsafe { libc::ptrace(libc::PTRACE_CONT, task, 0, signal) };
}

fn stopped_thread(task: i32, failing: bool) -> StoppedThread {
    StoppedThread { id: task, failing, registers: crate::common::registers(task), ..StoppedThread::default() }
}

impl StoppedProcess {
    pub(crate) fn modules(&self) -> Modules {
        let pid = self.child.id();
        let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).expect("a child's maps");
        Modules::new(
            parse_maps(&maps),
            Box::new(move |mapping: &Mapping| File::open(format!("/proc/{pid}/root{}", mapping.path))),
        )
    }

    /// Ends tracing and leaves the process stopped, for other debuggers to attach to.
    pub(crate) fn let_go(self) -> Result<Ended, String> {
        let pid = i32::try_from(self.child.id()).map_err(|error| error.to_string())?;
        // SAFETY: plain system calls; every listed thread is in a ptrace stop of this thread. The failing one is first:
        // it stands where signals are taken and so stops the whole process before anything runs.
        unsafe {
            libc::kill(pid, libc::SIGSTOP);
            for thread in &self.threads {
                libc::ptrace(libc::PTRACE_DETACH, thread.id, 0, 0);
            }
        }
        let (_, status) = wait(pid, libc::WUNTRACED)?;
        if libc::WIFSTOPPED(status) {
            Ok(Ended(self.child))
        } else {
            Err(format!("the program did not stay stopped: status {status:#x}"))
        }
    }
}
