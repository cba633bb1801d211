//! x86-64: the breakpoint instruction, the register file, the calling convention (System V ABI), system calls.

use std::sync::Arc;

use freezeframe_debuginfo::{Registers, Vectors};
use object::elf::{NT_X86_XSTATE, NoteType};

pub(in crate::native) type RawRegisters = libc::user_regs_struct;

/// `int3`: one byte, so that planting it is a single store.
pub(in crate::native) const BREAKPOINT: u8 = 0xcc;

/// `e_machine` of core files.
pub(in crate::native) const ELF_MACHINE: u16 = 62;

/// The register set beyond the general and floating-point ones, and its size limit.
pub(in crate::native) const EXTENDED_STATE: (NoteType, usize) = (NT_X86_XSTATE, 16 * 1024);

/// Where the breakpoint was whose trap this is: the processor stops behind the instruction.
pub(in crate::native) fn breakpoint_address(registers: &RawRegisters) -> u64 {
    registers.rip.wrapping_sub(1)
}

pub(in crate::native) fn set_program_counter(registers: &mut RawRegisters, address: u64) {
    registers.rip = address;
    // Leaving a system call with this set would rewind the program counter by a syscall instruction.
    registers.orig_rax = u64::MAX;
}

pub(in crate::native) fn stack_pointer(registers: &RawRegisters) -> u64 {
    registers.rsp
}

/// Where the thread's own variables are: the base of the `fs` segment.
pub(in crate::native) fn thread_pointer(registers: &RawRegisters) -> u64 {
    registers.fs_base
}

/// The first two arguments at a function's entry.
pub(in crate::native) fn arguments(registers: &RawRegisters) -> (u64, u64) {
    (registers.rdi, registers.rsi)
}

/// The general registers, in the order in which they may hold pointers.
pub(in crate::native) fn pointer_candidates(registers: &RawRegisters) -> [u64; 15] {
    let r = registers;
    [r.rdi, r.rsi, r.rdx, r.rcx, r.r8, r.r9, r.rax, r.rbx, r.rbp, r.r10, r.r11, r.r12, r.r13, r.r14, r.r15]
}

/// DWARF register numbers of the System V ABI: rax rdx rcx rbx rsi rdi rbp rsp r8 … r15, return address.
pub(in crate::native) fn to_dwarf(registers: &RawRegisters) -> Registers {
    let r = registers;
    let values = [
        r.rax, r.rdx, r.rcx, r.rbx, r.rsi, r.rdi, r.rbp, r.rsp, r.r8, r.r9, r.r10, r.r11, r.r12, r.r13,
        r.r14, r.r15, r.rip,
    ];
    Registers { values: values.map(Some), fs_base: Some(r.fs_base), vectors: None }
}

/// The vector registers of an extended register state.
pub(in crate::native) fn vectors(extended: &[u8]) -> Option<Arc<Vectors>> {
    Vectors::from_xsave(extended).map(Arc::new)
}

pub(in crate::native) const DWARF_STACK_POINTER: u16 = 7;
pub(in crate::native) const DWARF_PROGRAM_COUNTER: u16 = 16;

/// The system call that the thread is in: its number and first two arguments.
pub(in crate::native) fn system_call(registers: &RawRegisters) -> Option<(u64, u64, u64)> {
    (registers.orig_rax < 1024).then_some((registers.orig_rax, registers.rdi, registers.rsi))
}

/// Number of futex(2).
pub(in crate::native) const SYS_FUTEX: u64 = libc::SYS_futex as u64;

/// Names of the calls that threads of servers are usually found in (`arch/x86/entry/syscalls/syscall_64.tbl`).
pub(in crate::native) fn system_call_name(number: u64) -> Option<&'static str> {
    Some(match i64::try_from(number).ok()? {
        libc::SYS_read => "read",
        libc::SYS_write => "write",
        libc::SYS_poll => "poll",
        libc::SYS_ppoll => "ppoll",
        libc::SYS_select => "select",
        libc::SYS_pselect6 => "pselect6",
        libc::SYS_epoll_wait => "epoll_wait",
        libc::SYS_epoll_pwait => "epoll_pwait",
        libc::SYS_epoll_pwait2 => "epoll_pwait2",
        libc::SYS_accept => "accept",
        libc::SYS_accept4 => "accept4",
        libc::SYS_connect => "connect",
        libc::SYS_recvfrom => "recvfrom",
        libc::SYS_recvmsg => "recvmsg",
        libc::SYS_sendto => "sendto",
        libc::SYS_sendmsg => "sendmsg",
        libc::SYS_futex => "futex",
        libc::SYS_nanosleep => "nanosleep",
        libc::SYS_clock_nanosleep => "clock_nanosleep",
        libc::SYS_wait4 => "wait4",
        libc::SYS_waitid => "waitid",
        libc::SYS_fsync => "fsync",
        libc::SYS_fdatasync => "fdatasync",
        libc::SYS_openat => "openat",
        libc::SYS_flock => "flock",
        libc::SYS_fcntl => "fcntl",
        libc::SYS_pread64 => "pread64",
        libc::SYS_pwrite64 => "pwrite64",
        libc::SYS_readv => "readv",
        libc::SYS_writev => "writev",
        libc::SYS_rt_sigtimedwait => "rt_sigtimedwait",
        libc::SYS_rt_sigsuspend => "rt_sigsuspend",
        libc::SYS_pause => "pause",
        libc::SYS_io_uring_enter => "io_uring_enter",
        libc::SYS_restart_syscall => "restart_syscall",
        libc::SYS_tgkill => "tgkill",
        _ => return None,
    })
}
