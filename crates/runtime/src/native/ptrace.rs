//! The ptrace(2) calls that tracing needs, one thin function each. Nothing else in the project calls ptrace.
//!
//! All of them must come from the thread that seized the tracee: ptrace is per operating-system thread.

use std::io;

use libc::{c_int, c_long, c_void, pid_t};
use object::elf::NoteType;

use super::arch::RawRegisters;

/// Follow threads, children and new programs. Without EXITKILL: see [`OPTIONS_TETHERED`].
pub(super) const OPTIONS: c_int = libc::PTRACE_O_TRACECLONE
    | libc::PTRACE_O_TRACEFORK
    | libc::PTRACE_O_TRACEVFORK
    | libc::PTRACE_O_TRACEEXEC;

/// As [`OPTIONS`], and the tracee dies with its tracer: planted breakpoints without a tracer would turn into SIGTRAP.
pub(super) const OPTIONS_TETHERED: c_int = OPTIONS | libc::PTRACE_O_EXITKILL;

/// What waitpid reported of one tracee.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Exited(i32),
    Signaled(i32),
    /// Signal-delivery stop: the signal has not reached the program yet.
    Signal(i32),
    /// `PTRACE_EVENT_*`, and the signal that waitpid reported with it.
    Event(i32, i32),
    Continued,
}

impl Status {
    fn decode(status: c_int) -> Self {
        if libc::WIFEXITED(status) {
            Self::Exited(libc::WEXITSTATUS(status))
        } else if libc::WIFSIGNALED(status) {
            Self::Signaled(libc::WTERMSIG(status))
        } else if libc::WIFSTOPPED(status) {
            match status >> 16 {
                0 => Self::Signal(libc::WSTOPSIG(status)),
                event => Self::Event(event, libc::WSTOPSIG(status)),
            }
        } else {
            Self::Continued
        }
    }
}

fn call(request: libc::c_uint, tid: pid_t, address: usize, data: usize) -> io::Result<c_long> {
    // SAFETY: the requests used with this function take integers, or pointers to buffers that outlive the call and
    // are large enough; the kernel checks `tid` and answers ESRCH for anything that is not our stopped tracee.
    let result = unsafe { libc::ptrace(request, tid, address as *mut c_void, data as *mut c_void) };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Begins tracing without stopping the thread.
pub(super) fn seize(tid: pid_t, options: c_int) -> io::Result<()> {
    call(libc::PTRACE_SEIZE, tid, 0, options as usize).map(drop)
}

/// Asks the thread to stop; the stop is reported by [`wait`].
pub(super) fn interrupt(tid: pid_t) -> io::Result<()> {
    call(libc::PTRACE_INTERRUPT, tid, 0, 0).map(drop)
}

/// Lets a stopped thread go on, delivering `signal` (0 for none).
pub(super) fn cont(tid: pid_t, signal: i32) -> io::Result<()> {
    call(libc::PTRACE_CONT, tid, 0, signal as usize).map(drop)
}

/// Leaves a group-stopped thread stopped, but reports what happens to it.
pub(super) fn listen(tid: pid_t) -> io::Result<()> {
    call(libc::PTRACE_LISTEN, tid, 0, 0).map(drop)
}

/// Ends tracing of a stopped thread, delivering `signal` (0 for none).
pub(super) fn detach(tid: pid_t, signal: i32) -> io::Result<()> {
    call(libc::PTRACE_DETACH, tid, 0, signal as usize).map(drop)
}

/// The message of the event that the thread is stopped at: a new thread's id, for example.
pub(super) fn event_message(tid: pid_t) -> io::Result<u64> {
    let mut message: libc::c_ulong = 0;
    call(libc::PTRACE_GETEVENTMSG, tid, 0, (&raw mut message) as usize)?;
    Ok(message)
}

/// Why the signal came that the thread is stopped at.
pub(super) fn signal_info(tid: pid_t) -> io::Result<libc::siginfo_t> {
    // SAFETY: siginfo_t is plain data for which all zeros is a valid value.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    call(libc::PTRACE_GETSIGINFO, tid, 0, (&raw mut info) as usize)?;
    Ok(info)
}

/// The general registers of a stopped thread.
pub(super) fn registers(tid: pid_t) -> io::Result<RawRegisters> {
    // SAFETY: the register file is plain integers for which all zeros is a valid value.
    let mut registers: RawRegisters = unsafe { std::mem::zeroed() };
    call(libc::PTRACE_GETREGS, tid, 0, (&raw mut registers) as usize)?;
    Ok(registers)
}

/// Sets the general registers of a stopped thread.
pub(super) fn set_registers(tid: pid_t, registers: &RawRegisters) -> io::Result<()> {
    call(libc::PTRACE_SETREGS, tid, 0, (&raw const *registers) as usize).map(drop)
}

/// A register set by its ELF note type, as a core file wants it.
pub(super) fn register_set(tid: pid_t, note_type: NoteType, bytes_max: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0u8; bytes_max];
    let mut buffer = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    call(libc::PTRACE_GETREGSET, tid, note_type.0 as usize, (&raw mut buffer) as usize)?;
    bytes.truncate(buffer.iov_len);
    Ok(bytes)
}

/// What happened to `tid` (−1: to any), without waiting; `None` where nothing did. Only children and tracees of the
/// calling thread are looked at.
pub(super) fn wait(tid: pid_t) -> Option<(pid_t, Status)> {
    loop {
        let mut status: c_int = 0;
        // SAFETY: `status` is a valid place to write to.
        let waited =
            unsafe { libc::waitpid(tid, &raw mut status, libc::__WALL | libc::__WNOTHREAD | libc::WNOHANG) };
        match waited {
            0 => return None,
            -1 if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => {}
            -1 => return None,
            pid => return Some((pid, Status::decode(status))),
        }
    }
}
