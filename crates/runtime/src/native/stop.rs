//! Stopping and resuming threads: all of a process, or all but the failing one.

use std::io;
use std::time::{Duration, Instant};

use freezeframe_model::ThreadState;

use super::image::Image;
use super::ptrace::{self, Status};
use super::{FATAL, Native, Stand, Task, arch};
use crate::process;

/// Between two looks for stops.
const STOP_PAUSE: Duration = Duration::from_micros(20);

/// Rounds of looking for threads that were born meanwhile.
const ROUNDS_MAX: usize = 64;

impl Native {
    /// Stops every thread of `pid`; false where time ran out: those that were not stopped yet are `Running` in the table.
    pub(super) fn stop_threads(&mut self, pid: i32, limit: Duration) -> bool {
        let end = Instant::now() + limit;
        for round in 0..ROUNDS_MAX {
            let mut waiting = 0;
            for tid in process::threads(pid) {
                let task = *self.tasks.entry(tid).or_insert(Task { pid, stand: Stand::Running });
                // Looking whether a thread is dead costs more than stopping it: only those that did not stop are looked at.
                let may_stop = task.stand == Stand::Running && (round == 0 || !is_dead(pid, tid));
                if may_stop && ptrace::interrupt(tid).is_ok() {
                    waiting += 1;
                }
            }
            if waiting == 0 {
                return true;
            }
            if !self.await_stops(pid, end) {
                return false;
            }
        }
        false
    }

    /// Takes in stops until no thread of `pid` in the table runs; false where time ran out.
    fn await_stops(&mut self, pid: i32, end: Instant) -> bool {
        let mut idle_rounds = 0u32;
        while self.tasks.values().any(|task| task.pid == pid && task.stand == Stand::Running) {
            match ptrace::wait(-1) {
                Some((tid, status)) => {
                    idle_rounds = 0;
                    self.take_in_while_stopping(tid, status);
                }
                None if Instant::now() > end => return false,
                None => {
                    // Stops arrive within microseconds: spin first. Then sleep rather than yield: a yielding thread is
                    // run again while what it waits for is queued behind it on the same processor, for whole slices.
                    idle_rounds += 1;
                    if idle_rounds > 50 {
                        std::thread::sleep(STOP_PAUSE);
                    }
                    if idle_rounds.is_multiple_of(64) {
                        let waits = |tid: i32, task: &Task| {
                            task.pid != pid || task.stand != Stand::Running || !is_dead(pid, tid)
                        };
                        self.tasks.retain(|tid, task| waits(*tid, task));
                    }
                }
            }
        }
        true
    }

    /// As `take_in`, but what breaks meanwhile is not a new trap: it waits where it is.
    fn take_in_while_stopping(&mut self, tid: i32, status: Status) {
        match status {
            Status::Signal(libc::SIGTRAP) => {
                let pid = self.process_of(tid);
                self.tasks.insert(tid, Task { pid, stand: Stand::Signal(libc::SIGTRAP) });
                if let Some((address, _)) = self.breakpoint_hit(tid, pid) {
                    self.set(tid, Stand::Breakpoint(address));
                }
                self.resume_unless_stopped(tid);
            }
            Status::Signal(signal) => {
                let pid = self.process_of(tid);
                self.tasks.insert(tid, Task { pid, stand: Stand::Signal(signal) });
                self.resume_unless_stopped(tid);
            }
            _ => {
                if let Some(event) = self.take_in(tid, status) {
                    self.missed = Some(event);
                }
            }
        }
    }

    /// Continues a thread as its stop demands, unless its process is being held still.
    pub(super) fn resume_unless_stopped(&mut self, tid: i32) {
        let Some(task) = self.tasks.get(&tid).copied() else { return };
        // Going back onto a planted breakpoint would hit it again at once: it waits for the next `disarm`.
        if matches!(task.stand, Stand::Breakpoint(_))
            && self.images.get(&task.pid).is_some_and(Image::is_planted)
        {
            return;
        }
        if let Some(trap) = self.trap
            && trap.pid == task.pid
        {
            let breaks_too = matches!(task.stand, Stand::Signal(signal) if FATAL.contains(&signal));
            if trap.all_stopped || trap.tid == tid || breaks_too {
                return;
            }
        }
        self.resume(tid, task.stand);
    }

    /// Lets the threads of `pid` run on, except `but`, and those that a fatal signal waits for while one is excepted.
    pub(super) fn resume_threads(&mut self, pid: i32, but: Option<i32>) {
        let threads: Vec<(i32, Stand)> = self
            .tasks
            .iter()
            .filter(|(_, task)| task.pid == pid)
            .map(|(tid, task)| (*tid, task.stand))
            .collect();
        for (tid, stand) in threads {
            let breaks_too = matches!(stand, Stand::Signal(signal) if FATAL.contains(&signal));
            if Some(tid) != but && !(but.is_some() && breaks_too) {
                self.resume(tid, stand);
            }
        }
    }

    fn resume(&mut self, tid: i32, stand: Stand) {
        let resumed = match stand {
            Stand::Running => return,
            Stand::Event => ptrace::cont(tid, 0),
            Stand::Signal(signal) => ptrace::cont(tid, signal),
            Stand::Group => ptrace::listen(tid),
            Stand::Breakpoint(_) => {
                self.step_back(tid);
                ptrace::cont(tid, 0)
            }
        };
        // ESRCH: it was killed while it stood still; waitpid will report its end.
        if resumed.is_ok() {
            self.set(tid, Stand::Running);
        }
    }

    /// Moves a thread from behind our breakpoint onto the instruction that it replaced. The breakpoint is out by now.
    pub(super) fn step_back(&mut self, tid: i32) {
        let Some(Stand::Breakpoint(address)) = self.tasks.get(&tid).map(|task| task.stand) else { return };
        if let Ok(mut registers) = ptrace::registers(tid) {
            arch::set_program_counter(&mut registers, address);
            if let Some(image) = self.tasks.get(&tid).and_then(|task| self.images.get(&task.pid)) {
                image.restore(address);
            }
            if ptrace::set_registers(tid, &registers).is_ok() {
                self.set(tid, Stand::Event);
            }
        }
    }

    /// Seizes every thread of a process that runs, until no new one appears.
    pub(super) fn seize_all(&mut self, pid: i32) -> io::Result<()> {
        for _ in 0..ROUNDS_MAX {
            let mut news = false;
            for tid in process::threads(pid) {
                if self.tasks.contains_key(&tid) {
                    continue;
                }
                match ptrace::seize(tid, ptrace::OPTIONS_TETHERED) {
                    Ok(()) => {
                        self.tasks.insert(tid, Task { pid, stand: Stand::Running });
                        news = true;
                    }
                    // Ended meanwhile, or already traced by us through its parent's PTRACE_EVENT_CLONE.
                    Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
                    Err(error) if tid == pid => return Err(error),
                    Err(_) => {}
                }
            }
            if !news {
                return Ok(());
            }
        }
        Ok(())
    }
}

/// Ended, collected or not: it will never stop.
pub(super) fn is_dead(pid: i32, tid: i32) -> bool {
    process::process_of(tid) != Some(pid) || process::thread_state(pid, tid) == ThreadState::Dead
}
