//! From "the failing thread stands still" to "held": freeze or stop the whole process, then let go of every thread.
//!
//! The hold must not rest on a tracer, which can be killed: after this the freezer (or SIGSTOP) alone holds.

use std::io;
use std::time::{Duration, Instant};

use freezeframe_model::{HoldFacts, HoldStrength};
use object::elf::{NT_FPREGSET, NT_PRSTATUS, NoteType};

use super::ptrace::{self, Status};
use super::{Cause, FATAL, Native, Stand, Task, Trap, arch, stop};
use crate::Runtime;
use crate::process::{self, ProcessId};

/// Until then SIGSTOP is expected to reach every thread by itself.
const GRACE: Duration = Duration::from_millis(50);

impl Native {
    /// On failure the process runs on, traced as before: it is never left half held.
    pub(super) fn hold_trapped(&mut self, limit: Duration) -> io::Result<HoldFacts> {
        let trap = self.trap.ok_or_else(|| io::Error::other("the process has ended"))?;
        let process = ProcessId::of(trap.pid).ok_or_else(|| io::Error::other("the process has ended"))?;
        let resident_bytes = process::resident_bytes(trap.pid);
        let pending_signal = pending_signal(trap);
        let signal = if let Cause::Signal(signal) = trap.cause { signal } else { 0 };
        self.disarm();
        self.step_back(trap.tid);
        match self.stop_firmly(trap, process, limit) {
            Ok(strength) => {
                self.trap = None;
                // Nothing is planted any more, and nobody traces: forget all but the main program's limits.
                let main = self.main.map(|main| main.pid);
                self.images.retain(|pid, _| Some(*pid) == main);
                Ok(HoldFacts {
                    strength,
                    pid: trap.pid,
                    pid_start: process.start,
                    failing_tid: trap.tid,
                    pending_signal,
                    signal,
                    cgroup: self.cgroup.as_ref().map(|cgroup| cgroup.path().display().to_string()),
                    resident_bytes,
                    ..HoldFacts::default()
                })
            }
            Err(error) => {
                if let Some(cgroup) = &self.cgroup {
                    let _ = cgroup.thaw(limit);
                }
                let _ = process.signal(libc::SIGCONT);
                self.pass();
                let left: Vec<i32> = self.tasks.keys().copied().collect();
                left.into_iter().for_each(|tid| self.resume_unless_stopped(tid));
                Err(error)
            }
        }
    }

    fn stop_firmly(&mut self, trap: Trap, process: ProcessId, limit: Duration) -> io::Result<HoldStrength> {
        let end = Instant::now() + limit;
        let strength = match self.cgroup.clone() {
            Some(cgroup) => {
                cgroup.freeze(limit)?;
                HoldStrength::Frozen
            }
            None => {
                process.signal(libc::SIGSTOP)?;
                HoldStrength::Stopped
            }
        };
        self.let_go(trap, strength, end);
        if !process.is_alive() {
            return Err(io::Error::other("the process ended while it was being held"));
        }
        if !self.tasks.is_empty() {
            let threads = self.tasks.len();
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("{threads} threads could not be let go of"),
            ));
        }
        Ok(strength)
    }

    /// Ends tracing of every thread of the instance. Each must be in a ptrace stop for that; frozen threads get there too.
    ///
    /// With SIGSTOP the failing thread may only be let go of when the stop has reached the process: one of the threads that
    /// ran took the signal out of the queue, and from then on every other one stops before it runs any further. Threads that
    /// were in a job-control stop already do not report it again: after a short grace they are asked.
    fn let_go(&mut self, trap: Trap, strength: HoldStrength, end: Instant) {
        let grace = Instant::now() + GRACE;
        loop {
            self.find_newborn(trap);
            if self.tasks.is_empty() || Instant::now() >= end {
                return;
            }
            let late = Instant::now() >= grace;
            for (tid, task) in self.tasks.clone() {
                let stops_by_itself = !late && strength == HoldStrength::Stopped && task.pid == trap.pid;
                if task.stand == Stand::Running && !stops_by_itself {
                    let _ = ptrace::interrupt(tid);
                }
            }
            self.await_stopped(strength, if late { end } else { grace.min(end) });
            let mut tasks: Vec<(i32, Task)> = self.tasks.iter().map(|(tid, task)| (*tid, *task)).collect();
            tasks.sort_by_key(|(tid, _)| *tid == trap.tid);
            let waiting = tasks.iter().any(|(_, task)| task.stand == Stand::Running && task.pid == trap.pid);
            for (tid, task) in tasks {
                if stop::is_dead(task.pid, tid) {
                    self.tasks.remove(&tid);
                } else if task.stand != Stand::Running
                    && !(waiting && strength == HoldStrength::Stopped && tid == trap.tid)
                {
                    self.let_go_of(tid, task.stand, trap);
                }
            }
        }
    }

    /// Threads and children that were born traced in this very moment.
    fn find_newborn(&mut self, trap: Trap) {
        let own = i32::try_from(std::process::id()).ok();
        let mut pids = self.cgroup.as_ref().map(crate::Cgroup::processes).unwrap_or_default();
        pids.push(trap.pid);
        for pid in pids {
            for tid in process::threads(pid) {
                if process::tracer_of(tid) == own && !stop::is_dead(pid, tid) {
                    self.tasks.entry(tid).or_insert(Task { pid, stand: Stand::Running });
                }
            }
        }
    }

    fn let_go_of(&mut self, tid: i32, stand: Stand, trap: Trap) {
        let signal = match stand {
            Stand::Signal(signal) if tid != trap.tid && (!FATAL.contains(&signal) || was_sent(tid)) => signal,
            _ => 0,
        };
        if let Stand::Breakpoint(_) = stand {
            self.step_back(tid);
        }
        // ESRCH: it was killed; either way it is not ours any more.
        let _ = ptrace::detach(tid, signal);
        self.tasks.remove(&tid);
    }

    /// Takes in the stops that were asked for. By SIGSTOP: the signal itself has to be let through first.
    fn await_stopped(&mut self, strength: HoldStrength, end: Instant) {
        let mut idle_rounds = 0u32;
        while self.tasks.values().any(|task| task.stand == Stand::Running) && Instant::now() < end {
            let Some((tid, status)) = ptrace::wait(-1) else {
                std::thread::sleep(Duration::from_micros(50));
                idle_rounds += 1;
                // Looking at every thread costs more than waiting for the last of them.
                if idle_rounds.is_multiple_of(100)
                    && self.tasks.iter().any(|(tid, task)| stop::is_dead(task.pid, *tid))
                {
                    return;
                }
                continue;
            };
            match status {
                Status::Signal(libc::SIGSTOP) if strength == HoldStrength::Stopped => {
                    let _ = ptrace::cont(tid, libc::SIGSTOP);
                }
                Status::Signal(signal) => {
                    let pid = self.process_of(tid);
                    self.tasks.insert(tid, Task { pid, stand: Stand::Signal(signal) });
                }
                Status::Event(..) => {
                    let pid = self.process_of(tid);
                    self.tasks.insert(tid, Task { pid, stand: Stand::Event });
                }
                Status::Exited(_) | Status::Signaled(_) => {
                    if let Some(event) = self.take_in(tid, status) {
                        self.missed = Some(event);
                    }
                }
                Status::Continued => {}
            }
        }
    }
}

/// A fault comes again by itself when its instruction runs again; what was sent must be sent again.
fn pending_signal(trap: Trap) -> i32 {
    match trap.cause {
        Cause::Signal(signal) if matches!(signal, libc::SIGABRT | libc::SIGSYS) || was_sent(trap.tid) => {
            signal
        }
        _ => 0,
    }
}

/// Whether the signal that the thread stands at came from a process (kill, tgkill …), not from the thread's own doing.
fn was_sent(tid: i32) -> bool {
    ptrace::signal_info(tid).is_ok_and(|info| info.si_code <= 0)
}

/// What a core file, or an inspection, needs of one thread.
pub(crate) struct HeldThread {
    pub(crate) tid: i32,
    registers: arch::RawRegisters,
    /// `NT_PRSTATUS` registers.
    pub(crate) general: Vec<u8>,
    /// `NT_FPREGSET`.
    pub(crate) floating: Option<Vec<u8>>,
    /// [`EXTENDED_STATE_NOTE`].
    pub(crate) extended: Option<Vec<u8>>,
}

/// Reads the registers of every thread of a held process and lets go again: it stays as it was.
pub(crate) fn examine_held(pid: i32, limit: Duration) -> io::Result<Vec<HeldThread>> {
    let end = Instant::now() + limit;
    let mut threads = Vec::new();
    for tid in process::threads(pid).into_iter().filter(|tid| !stop::is_dead(pid, *tid)) {
        match ptrace::seize(tid, 0) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => continue,
            Err(error) => return Err(error),
        }
        let _ = ptrace::interrupt(tid);
        while ptrace::wait(tid).is_none() {
            if Instant::now() > end {
                return Err(io::Error::new(io::ErrorKind::TimedOut, format!("thread {tid} did not stop")));
            }
            std::thread::sleep(Duration::from_micros(20));
        }
        let general = ptrace::register_set(tid, NT_PRSTATUS, 512);
        if let (Ok(general), Ok(registers)) = (general, ptrace::registers(tid)) {
            threads.push(HeldThread {
                tid,
                registers,
                general,
                floating: ptrace::register_set(tid, NT_FPREGSET, 1024).ok(),
                extended: ptrace::register_set(tid, arch::EXTENDED_STATE.0, arch::EXTENDED_STATE.1).ok(),
            });
        }
        let _ = ptrace::detach(tid, 0);
    }
    Ok(threads)
}

/// A thread of a held process as a capture sees it.
pub(crate) fn describe(pid: i32, failing: i32, thread: &HeldThread) -> freezeframe_debuginfo::StoppedThread {
    let in_call = arch::system_call(&thread.registers);
    let failing = thread.tid == failing;
    let mut stopped = super::sight::stopped_thread(pid, thread.tid, failing, &thread.registers, in_call);
    stopped.registers.vectors = thread.extended.as_deref().and_then(arch::vectors);
    stopped
}

/// `e_machine` for core files.
pub(crate) const ELF_MACHINE: u16 = arch::ELF_MACHINE;

/// Note of the extended register state in core files.
pub(crate) const EXTENDED_STATE_NOTE: NoteType = arch::EXTENDED_STATE.0;
