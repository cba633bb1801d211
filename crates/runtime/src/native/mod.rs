//! Native code (Rust, C, C++; Go's fatal paths) under ptrace. While nothing is wrong nothing of this runs: no single
//! steps, no system-call stops; the kernel wakes us for new threads, new programs and signals only.
//!
//! Reading order: [`Native::start`] → [`Native::poll`] → a trap → `stop_all` → `sighting` → `snapshot` → `drain` → `hold`.

mod arch;
mod hold;
mod image;
mod launch;
mod message;
mod ptrace;
mod sight;
mod stop;

use std::collections::HashMap;
use std::io;
use std::time::{Duration, Instant};

use freezeframe_model::{ExitReason, HoldFacts};
use freezeframe_redact::Redactor;

use crate::process::{self, ProcessId};
use crate::{Cgroup, DebugFiles, Event, Indexing, Launch, Runtime, Sighting, Snapshot, StartError, Started};
use image::{Image, TrapKind};
use ptrace::Status;

pub(crate) use hold::{ELF_MACHINE, EXTENDED_STATE_NOTE, HeldThread, describe, examine_held};
pub(crate) use image::opener;
pub(crate) use sight::probe;

/// Signals that end a program at the place of an error.
const FATAL: [i32; 6] =
    [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGABRT, libc::SIGSYS];

/// Threads stop within microseconds, on a busy machine within milliseconds. One in uninterruptible sleep (fsync, a vfork parent, a dead NFS server) cannot be stopped; nobody waits longer for it.
const STOP_LIMIT: Duration = Duration::from_millis(50);

/// Why a traced thread does not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stand {
    Running,
    /// At an event of ours: continue without a signal.
    Event,
    /// A signal waits to be delivered.
    Signal(i32),
    /// At one of our breakpoints.
    Breakpoint(u64),
    /// In a job-control stop.
    Group,
}

#[derive(Clone, Copy, Debug)]
struct Task {
    pid: i32,
    stand: Stand,
}

/// Why everything stands still.
#[derive(Clone, Copy, Debug)]
enum Cause {
    Breakpoint(TrapKind),
    Signal(i32),
    Stall,
}

/// The trap being dealt with.
#[derive(Clone, Copy, Debug)]
struct Trap {
    pid: i32,
    tid: i32,
    cause: Cause,
    /// All threads stand still; otherwise only `tid` does.
    all_stopped: bool,
    noticed: Instant,
    /// When all stood still.
    stopped: Option<Instant>,
}

/// One instance of native code.
#[derive(Default)]
pub struct Native {
    main: Option<ProcessId>,
    cgroup: Option<Cgroup>,
    tasks: HashMap<i32, Task>,
    images: HashMap<i32, Image>,
    armed: bool,
    trap: Option<Trap>,
    /// Something that happened while threads were being stopped, for the next `poll`.
    missed: Option<Event>,
    /// Why its program could not be read.
    unreadable: Option<String>,
    /// Why the instance is not traced at all.
    untraced: Option<String>,
    debug: DebugFiles,
}

impl Native {
    /// A runtime that looks for debug information here, too.
    pub fn with_debug_files(debug: DebugFiles) -> Self {
        Self { debug, ..Self::default() }
    }
}

impl Runtime for Native {
    fn start(&mut self, launch: &Launch) -> Result<Started, StartError> {
        let waiting = launch::fork(launch)?;
        match ptrace::seize(waiting.pid, ptrace::OPTIONS_TETHERED) {
            Ok(()) => {
                self.tasks.insert(waiting.pid, Task { pid: waiting.pid, stand: Stand::Running });
            }
            Err(error) => {
                self.untraced =
                    Some(format!("ptrace is not permitted here ({error}); see `freezeframe doctor`"))
            }
        }
        let (pid, stdout, stderr) = waiting.go()?;
        let process = ProcessId::of(pid).unwrap_or(ProcessId { pid, start: 0 });
        self.main = Some(process);
        self.cgroup.clone_from(&launch.cgroup);
        Ok(Started { process, stdout, stderr })
    }

    fn arm(&mut self) {
        self.armed = self.untraced.is_none();
        self.plant_everywhere();
    }

    fn limits(&self) -> Vec<String> {
        let image = self.main.and_then(|main| self.images.get(&main.pid));
        let limits = image.into_iter().flat_map(|image| &image.limits);
        limits.chain(&self.untraced).chain(&self.unreadable).cloned().collect()
    }

    fn disarm(&mut self) {
        self.armed = false;
        self.plant_everywhere();
        // Threads of other processes that hit a breakpoint while one was being dealt with.
        let hit: Vec<i32> = self
            .tasks
            .iter()
            .filter(|(_, t)| matches!(t.stand, Stand::Breakpoint(_)))
            .map(|(tid, _)| *tid)
            .collect();
        hit.into_iter().for_each(|tid| self.resume_unless_stopped(tid));
    }

    fn warm_up(&mut self) {
        let Some(image) = self.main.and_then(|main| self.images.get_mut(&main.pid)) else { return };
        let Ok(modules) = image.modules() else { return };
        // One frame in each file of code, over memory that holds nothing, loads its tables and no more.
        for mapping in modules.mappings().iter().filter(|mapping| mapping.executable) {
            let mut registers = freezeframe_debuginfo::Registers::default();
            registers
                .set(arch::DWARF_PROGRAM_COUNTER, Some(mapping.start + (mapping.end - mapping.start) / 2));
            registers.set(arch::DWARF_STACK_POINTER, Some(0));
            modules.unwind(&freezeframe_debuginfo::Snapshot::default(), &registers, 2);
        }
        modules.main_build_id();
    }

    fn indexing(&mut self) -> Option<Indexing> {
        self.debug.indexes.as_ref()?;
        let modules = self.main.and_then(|main| self.images.get_mut(&main.pid))?.modules().ok()?;
        Some(Box::new(move || modules.write_indexes()))
    }

    fn poll(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.missed.take() {
                return Some(event);
            }
            let (tid, status) = ptrace::wait(-1)?;
            if let Some(event) = self.take_in(tid, status) {
                return Some(event);
            }
        }
    }

    fn stop_all(&mut self) -> io::Result<()> {
        let main = self.main.ok_or_else(|| io::Error::other("not started"))?;
        if let Some(why) = &self.untraced {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, why.clone()));
        }
        if self.trap.is_none() {
            self.stop_for(main.pid, main.pid, Cause::Stall);
        }
        Ok(())
    }

    fn settle(&mut self) -> Option<Instant> {
        self.await_all_stopped(STOP_LIMIT);
        self.trap?.stopped
    }

    fn sighting(&mut self, redactor: &Redactor) -> Option<Sighting> {
        self.sight(redactor)
    }

    fn snapshot(&mut self) -> io::Result<Snapshot> {
        self.copy_state()
    }

    fn drain(&mut self) {
        self.disarm();
        if let Some(trap) = &mut self.trap {
            trap.all_stopped = false;
            let trap = *trap;
            self.step_back(trap.tid);
            self.resume_threads(trap.pid, Some(trap.tid));
        }
    }

    fn pass(&mut self) {
        self.disarm();
        if let Some(trap) = self.trap.take() {
            self.resume_threads(trap.pid, None);
        }
    }

    fn hold(&mut self, limit: Duration) -> io::Result<HoldFacts> {
        self.hold_trapped(limit)
    }

    fn take_back(&mut self) -> io::Result<()> {
        let main = self.main.ok_or_else(|| io::Error::other("not started"))?;
        self.trap = None;
        self.images.clear();
        let mut pids = self.cgroup.as_ref().map(crate::Cgroup::processes).unwrap_or_default();
        pids.retain(|pid| *pid != main.pid);
        self.seize_all(main.pid)?;
        self.images.insert(main.pid, Image::of_process(main.pid, self.debug.clone())?);
        // What is not traced is never planted in.
        for pid in pids {
            if self.seize_all(pid).is_ok()
                && let Ok(image) = Image::of_process(pid, self.debug.clone())
            {
                self.images.insert(pid, image);
            }
        }
        self.armed = true;
        self.plant_everywhere();
        Ok(())
    }
}

impl Native {
    /// Deals with one thing that the kernel reported.
    fn take_in(&mut self, tid: i32, status: Status) -> Option<Event> {
        match status {
            Status::Exited(code) => return self.ended(tid, ExitReason::Code(code)),
            Status::Signaled(signal) => return self.ended(tid, ExitReason::Signal(signal)),
            Status::Continued => return None,
            Status::Event(event, signal) => self.at_event(tid, event, signal),
            Status::Signal(signal) => {
                if let Some(event) = self.at_signal(tid, signal) {
                    return Some(event);
                }
            }
        }
        self.resume_unless_stopped(tid);
        None
    }

    fn ended(&mut self, tid: i32, reason: ExitReason) -> Option<Event> {
        let task = self.tasks.remove(&tid);
        if task.is_some_and(|task| task.pid == tid) {
            self.images.remove(&tid);
        }
        if self.trap.is_some_and(|trap| trap.pid == tid) {
            self.trap = None;
        }
        self.main.is_some_and(|main| main.pid == tid).then_some(Event::Exited(reason))
    }

    fn at_event(&mut self, tid: i32, event: i32, signal: i32) {
        let pid = self.process_of(tid);
        self.tasks.insert(tid, Task { pid, stand: Stand::Event });
        match event {
            libc::PTRACE_EVENT_CLONE | libc::PTRACE_EVENT_FORK | libc::PTRACE_EVENT_VFORK => {
                let Some(child) = ptrace::event_message(tid).ok().and_then(|id| i32::try_from(id).ok())
                else {
                    return;
                };
                let child_pid = process::process_of(child).unwrap_or(child);
                // Its first stop may have been reported before this event.
                self.tasks.entry(child).or_insert(Task { pid: child_pid, stand: Stand::Running });
                if child_pid != pid {
                    self.inherit_image(child_pid, pid);
                }
            }
            libc::PTRACE_EVENT_EXEC => {
                // The other threads are gone without a word, and whoever called it has the leader's id now.
                self.tasks.retain(|other, task| *other == tid || task.pid != pid);
                // What failed in the old program has gone with it.
                self.trap = self.trap.filter(|trap| trap.pid != pid);
                self.images.remove(&pid);
                match Image::of_process(pid, self.debug.clone()) {
                    Ok(image) => {
                        self.images.insert(pid, image);
                        self.plant_everywhere();
                    }
                    Err(error) => self.unreadable = Some(format!("only fatal signals are noticed: {error}")),
                }
            }
            libc::PTRACE_EVENT_STOP if signal != libc::SIGTRAP => self.set(tid, Stand::Group),
            // A forked child is often heard of before its parent's event.
            libc::PTRACE_EVENT_STOP if !self.images.contains_key(&pid) => {
                if let Some(parent) = process::parent_of(pid) {
                    self.inherit_image(pid, parent);
                }
            }
            _ => {}
        }
    }

    /// A forked child's memory is a copy of its parent's at some moment (after vfork it is its parent's): what is planted in it
    /// is brought to what is wanted now, while it still stands.
    fn inherit_image(&mut self, child: i32, parent: i32) {
        if let Some(Ok(mut image)) = self.images.get(&parent).map(|image| image.forked(child)) {
            let _ = image.set_planted(self.armed);
            self.images.entry(child).or_insert(image);
        }
    }

    fn at_signal(&mut self, tid: i32, signal: i32) -> Option<Event> {
        let pid = self.process_of(tid);
        self.tasks.insert(tid, Task { pid, stand: Stand::Signal(signal) });
        if signal == libc::SIGTRAP {
            let (address, kind) = self.breakpoint_hit(tid, pid)?;
            self.set(tid, Stand::Breakpoint(address));
            let planted = self.images.get(&pid).is_some_and(Image::is_planted);
            // Hit in the moment of disarming, or a second thread's: goes on as if it had not been there.
            return if planted && self.trap.is_none() {
                self.begin_trap(pid, tid, Cause::Breakpoint(kind))
            } else {
                None
            };
        }
        if !FATAL.contains(&signal) || process::ignores(pid, signal) {
            return None;
        }
        if matches!(signal, libc::SIGSEGV | libc::SIGBUS)
            && self.images.get_mut(&pid).is_some_and(|image| image.runtime_owns_sigsegv || image.has_jvm())
        {
            return None;
        }
        match self.trap {
            None if self.armed => self.begin_trap(pid, tid, Cause::Signal(signal)),
            Some(trap) if trap.pid == pid => Some(Event::DrainBroken).filter(|_| !trap.all_stopped),
            _ => None,
        }
    }

    fn begin_trap(&mut self, pid: i32, tid: i32, cause: Cause) -> Option<Event> {
        self.stop_for(pid, tid, cause);
        // Somebody may have killed it while it was being stopped.
        self.trap.map(|_| Event::Trapped)
    }

    fn stop_for(&mut self, pid: i32, tid: i32, cause: Cause) {
        let noticed = Instant::now();
        self.trap = Some(Trap { pid, tid, cause, all_stopped: true, noticed, stopped: None });
        // The failing thread stands, and its stack is all that an answer needs: the others are stopped while it is on its way.
        if matches!(cause, Cause::Stall) {
            self.await_all_stopped(STOP_LIMIT);
        }
    }

    fn await_all_stopped(&mut self, limit: Duration) {
        let Some(Trap { pid, stopped: None, .. }) = self.trap else { return };
        let complete = self.stop_threads(pid, limit);
        if let Some(trap) = self.trap.as_mut().filter(|_| complete) {
            trap.stopped = Some(Instant::now());
        }
    }

    /// Whether this SIGTRAP is one of our breakpoints: raised by the kernel, behind an address that we know.
    fn breakpoint_hit(&self, tid: i32, pid: i32) -> Option<(u64, TrapKind)> {
        /// `SI_KERNEL`: what x86 reports for `int3`.
        const SI_KERNEL: i32 = 0x80;
        let info = ptrace::signal_info(tid).ok()?;
        if !matches!(info.si_code, SI_KERNEL | libc::TRAP_BRKPT) {
            return None;
        }
        let address = arch::breakpoint_address(&ptrace::registers(tid).ok()?);
        self.images.get(&pid)?.trap_at(address).map(|kind| (address, kind))
    }

    /// The process that a thread belongs to, also where we hear of it for the first time.
    fn process_of(&self, tid: i32) -> i32 {
        match self.tasks.get(&tid) {
            Some(task) => task.pid,
            None => process::process_of(tid).unwrap_or(tid),
        }
    }

    fn set(&mut self, tid: i32, stand: Stand) {
        if let Some(task) = self.tasks.get_mut(&tid) {
            task.stand = stand;
        }
    }

    /// Brings every image to what is wanted. Images that cannot be written to have ended: waitpid will tell.
    fn plant_everywhere(&mut self) {
        for image in self.images.values_mut() {
            if image.is_planted() != self.armed {
                let _ = image.set_planted(self.armed);
            }
        }
    }
}
