//! Looking at what stands still: who failed, with what words, and a copy of the memory that matters.

use std::io;
use std::time::Duration;

use freezeframe_debuginfo::{Mapping, Memory, StoppedThread};
use freezeframe_model::{Fingerprint, IncidentKind};
use freezeframe_redact::Redactor;

use super::image::TrapKind;
use super::{Cause, Native, Trap, arch, message, ptrace};
use crate::memory::{self, ProcessMemory, Reach};
use crate::process;
use crate::{Sighting, Snapshot};

/// The ABI's red zone below the stack pointer.
const RED_ZONE: u64 = 128;
const FAILING_STACK_MAX: u64 = 1 << 20;
const OTHER_STACK_MAX: u64 = 64 << 10;
const STACKS_MAX: usize = 128 << 20;
const REACH: Reach = Reach { bytes_each: 512, bytes_max: 8 << 20, depth: 3, time: Duration::from_millis(50) };
/// How deep the fingerprint's stack goes: beyond this two errors are told apart by their inner frames or not at all.
const FINGERPRINT_FRAMES: usize = 64;

impl Native {
    pub(super) fn sight(&mut self, redactor: &Redactor) -> Option<Sighting> {
        let trap = self.trap?;
        let mut diagnostics = Vec::new();
        let live = ProcessMemory::open(trap.pid);
        let (kind, message, traceparent) = match &live {
            Ok(memory) => self.words(trap, memory, &mut diagnostics),
            Err(error) => {
                diagnostics.push(format!("/proc/{}/mem: {error}", trap.pid));
                (IncidentKind::Hold, String::new(), None)
            }
        };
        let fingerprint = match &live {
            Ok(memory) => self.fingerprint(trap, memory, &kind).unwrap_or_else(|error| {
                diagnostics.push(format!("fingerprint without a stack: {error}"));
                Fingerprint([0; 16])
            }),
            Err(_) => Fingerprint([0; 16]),
        };
        Some(Sighting {
            kind,
            message: redactor.text(&message).into_owned(),
            fingerprint,
            pid: trap.pid,
            tid: trap.tid,
            resident_bytes: process::resident_bytes(trap.pid),
            traceparent,
            noticed: trap.noticed,
            stopped: trap.stopped,
            diagnostics,
        })
    }

    fn words(
        &self,
        trap: Trap,
        memory: &dyn Memory,
        diagnostics: &mut Vec<String>,
    ) -> (IncidentKind, String, Option<String>) {
        let arguments = ptrace::registers(trap.tid).map(|registers| arch::arguments(&registers));
        match (trap.cause, arguments) {
            (Cause::Stall, _) => (IncidentKind::Stall, "no progress".to_owned(), None),
            (Cause::Signal(signal), _) => {
                let info = ptrace::signal_info(trap.tid).ok();
                let text = message::of_signal(info.as_ref(), signal);
                (IncidentKind::Signal(message::signal_name(signal)), text, None)
            }
            (Cause::Breakpoint(TrapKind::RustPanic), Ok((payload, _))) => {
                let text = message::of_panic(memory, payload);
                if text.is_none() {
                    diagnostics.push("panic message: the payload is not a text".to_owned());
                }
                (IncidentKind::Panic, text.unwrap_or_default(), None)
            }
            (Cause::Breakpoint(TrapKind::Sdk), Ok((report, _))) => match message::of_sdk(memory, report) {
                Ok(report) => (report.kind, report.message, report.traceparent),
                Err(why) => {
                    diagnostics.push(why);
                    (IncidentKind::Hold, String::new(), None)
                }
            },
            (Cause::Breakpoint(TrapKind::GoFatal), _) => {
                (IncidentKind::Panic, "Go fatal error".to_owned(), None)
            }
            (Cause::Breakpoint(_), Err(error)) => {
                diagnostics.push(format!("registers of the failing thread: {error}"));
                (IncidentKind::Panic, String::new(), None)
            }
        }
    }

    fn fingerprint(
        &mut self,
        trap: Trap,
        memory: &dyn Memory,
        kind: &IncidentKind,
    ) -> io::Result<Fingerprint> {
        let registers = arch::to_dwarf(&self.registers_at_site(trap.tid)?);
        let image =
            self.images.get_mut(&trap.pid).ok_or_else(|| io::Error::other("the program is not known"))?;
        let modules = image.modules()?;
        let stack = match trap.cause {
            // Wherever the threads happen to be, it is the same stall.
            Cause::Stall => modules.unwind(memory, &registers, 0),
            _ => modules.unwind(memory, &registers, FINGERPRINT_FRAMES),
        };
        Ok(modules.fingerprint(&stack, &kind.to_string()))
    }

    /// The registers of a stopped thread, as if our breakpoint had not been there.
    fn registers_at_site(&self, tid: i32) -> io::Result<arch::RawRegisters> {
        let mut registers = ptrace::registers(tid)?;
        if let Some(super::Stand::Breakpoint(address)) = self.tasks.get(&tid).map(|task| task.stand) {
            arch::set_program_counter(&mut registers, address);
        }
        Ok(registers)
    }

    pub(super) fn copy_state(&mut self) -> io::Result<Snapshot> {
        let trap = self.trap.ok_or_else(|| io::Error::other("nothing is trapped"))?;
        let image =
            self.images.get_mut(&trap.pid).ok_or_else(|| io::Error::other("the program is not known"))?;
        let modules = image.modules()?;
        let mut diagnostics = Vec::new();
        let mut threads = Vec::new();
        let mut stacks = Vec::new();
        let mut roots = Vec::new();
        let mut failing_stack = None;
        let mut left = STACKS_MAX;
        let mut all_stopped = true;
        for tid in process::threads(trap.pid) {
            let failing = tid == trap.tid && !matches!(trap.cause, Cause::Stall);
            let registers = match self.registers_at_site(tid) {
                Ok(registers) => registers,
                Err(error) => {
                    let state = process::thread_state(trap.pid, tid);
                    all_stopped &= state == freezeframe_model::ThreadState::Dead;
                    diagnostics.push((format!("thread {tid}"), format!("did not stop ({state:?}): {error}")));
                    continue;
                }
            };
            let in_call = arch::system_call(&registers);
            if let Some((start, end)) =
                stack_range(modules.mappings(), arch::stack_pointer(&registers), failing)
            {
                let length = usize::try_from(end - start).unwrap_or(0).min(left);
                left -= length;
                stacks.push((start, length));
                if failing {
                    failing_stack = Some((start, end));
                    roots.extend(arch::pointer_candidates(&registers));
                }
            }
            let mut thread = stopped_thread(trap.pid, tid, failing, &registers, in_call);
            // Floats of the innermost frame: one system call, and only where values are read at all.
            if failing {
                let state = ptrace::register_set(tid, arch::EXTENDED_STATE.0, arch::EXTENDED_STATE.1);
                thread.registers.vectors = state.ok().and_then(|state| arch::vectors(&state));
            }
            threads.push(thread);
        }
        let mut copied = freezeframe_debuginfo::Snapshot::default();
        memory::copy(trap.pid, &stacks, &mut copied);
        if let Some((start, end)) = failing_stack {
            let mut bytes = vec![0; usize::try_from(end - start).unwrap_or(0).min(256 << 10)];
            if copied.read(start, &mut bytes).is_ok() {
                roots.extend(memory::words(&bytes));
            }
        }
        memory::copy_reachable(trap.pid, modules.mappings(), &roots, REACH, &mut copied);
        let pid = trap.pid;
        Ok(Snapshot { pid, memory: copied, threads, modules, diagnostics, failing_stack, all_stopped })
    }
}

/// From below the stack pointer to the end of the stack's mapping, bounded.
fn stack_range(mappings: &[Mapping], pointer: u64, failing: bool) -> Option<(u64, u64)> {
    let at = mappings.partition_point(|mapping| mapping.end <= pointer);
    let mapping = mappings.get(at).filter(|mapping| mapping.start <= pointer && mapping.readable)?;
    let start = pointer.saturating_sub(RED_ZONE).max(mapping.start) & !7;
    let most = if failing { FAILING_STACK_MAX } else { OTHER_STACK_MAX };
    Some((start, mapping.end.min(start.saturating_add(most))))
}

/// `FUTEX_WAIT`, `FUTEX_LOCK_PI`, `FUTEX_WAIT_BITSET` and relatives, without the private and clock bits (futex(2)).
const FUTEX_WAITS: [u64; 4] = [0, 6, 9, 11];

pub(super) fn stopped_thread(
    pid: i32,
    tid: i32,
    failing: bool,
    registers: &arch::RawRegisters,
    in_call: Option<(u64, u64, u64)>,
) -> StoppedThread {
    let futex = in_call.and_then(|(number, address, operation)| {
        (number == arch::SYS_FUTEX && FUTEX_WAITS.contains(&(operation & 0x7f))).then_some(address)
    });
    let syscall = in_call.filter(|_| !failing).map(|(number, ..)| {
        arch::system_call_name(number).map_or_else(|| format!("system call {number}"), str::to_owned)
    });
    let state = match &syscall {
        Some(_) => freezeframe_model::ThreadState::Sleeping,
        None => freezeframe_model::ThreadState::Running,
    };
    StoppedThread {
        id: tid,
        name: process::thread_name(pid, tid),
        failing,
        state,
        syscall,
        registers: arch::to_dwarf(registers),
        futex,
        thread_pointer: Some(arch::thread_pointer(registers)),
    }
}

/// Whether tracing is permitted: seizes a child of ours, which does nothing but wait.
pub(crate) fn probe() -> io::Result<()> {
    // SAFETY: the child calls only pause and _exit, which are async-signal-safe.
    let pid = match unsafe { libc::fork() } {
        -1 => return Err(io::Error::last_os_error()),
        0 => loop {
            // SAFETY: as above.
            unsafe { libc::pause() };
        },
        pid => pid,
    };
    let seized = ptrace::seize(pid, ptrace::OPTIONS_TETHERED);
    // SAFETY: our own child, which has not been waited for: the number is still its.
    unsafe {
        libc::kill(pid, libc::SIGKILL);
        libc::waitpid(pid, std::ptr::null_mut(), libc::__WALL);
    }
    seized
}
