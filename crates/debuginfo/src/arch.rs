//! Everything that depends on the processor: x86-64 with the System V calling convention.
//!
//! DWARF numbers of registers, which of them survive a call, how to step outwards without unwind tables, and what a
//! signal frame looks like. Nothing else in the crate may know a register by name.

use crate::memory::{Memory, Unreadable};

/// How many registers have a place in [`Registers`].
pub(crate) const REGISTERS: usize = 17;

const RBX: u16 = 3;
const RBP: u16 = 6;
const RSP: u16 = 7;
const RIP: u16 = 16;

/// Stack pointer, in DWARF numbering.
pub(crate) const STACK_POINTER: u16 = RSP;
/// Return address column, in DWARF numbering.
pub(crate) const RETURN_ADDRESS: u16 = RIP;
/// Bytes of an address.
pub(crate) const ADDRESS_SIZE: u8 = 8;

/// The general registers of one frame, in DWARF numbering (System V ABI, figure 3.36): rax rdx rcx rbx rsi rdi rbp rsp
/// r8 to r15, and at index 16 the program counter. `None` where a register's value was lost on the way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registers {
    /// By DWARF number.
    pub values: [Option<u64>; REGISTERS],
}

impl Registers {
    /// The program counter.
    pub fn pc(&self) -> Option<u64> {
        self.get(RIP)
    }

    /// The stack pointer.
    pub fn sp(&self) -> Option<u64> {
        self.get(RSP)
    }

    /// A register by its DWARF number; `None` also for numbers that have no place here (vector registers and others).
    pub fn get(&self, dwarf: u16) -> Option<u64> {
        self.values.get(usize::from(dwarf)).copied().flatten()
    }

    /// Sets a register; numbers without a place are ignored.
    pub fn set(&mut self, dwarf: u16, value: Option<u64>) {
        if let Some(place) = self.values.get_mut(usize::from(dwarf)) {
            *place = value;
        }
    }
}

/// Whether the called function must hand the register back unchanged: rbx, rbp, r12 to r15.
pub(crate) fn survives_calls(dwarf: u16) -> bool {
    matches!(dwarf, RBX | RBP | 12..=15)
}

/// Steps outwards along the chain of frame pointers: `[rbp]` is the caller's rbp, `[rbp + 8]` the return address.
pub(crate) fn step_by_frame_pointer(
    memory: &dyn Memory,
    registers: &Registers,
) -> Result<Registers, Unreadable> {
    let frame = registers.get(RBP).unwrap_or_default();
    let sp = registers.sp().unwrap_or_default();
    // A frame pointer below the stack pointer is some other value that the function keeps there.
    if !frame.is_multiple_of(8) || frame < sp {
        return Err(Unreadable { address: frame });
    }
    let beyond = frame.checked_add(16).ok_or(Unreadable { address: frame })?;
    let mut caller = Registers::default();
    caller.set(RBP, Some(memory.read_u64(frame)?));
    caller.set(RIP, Some(memory.read_u64(frame.wrapping_add(8))?));
    caller.set(RSP, Some(beyond));
    Ok(caller)
}

/// Steps out of a function that has not touched the stack yet: the return address is at the stack pointer. True right
/// after a call, so also after a call of a null pointer.
pub(crate) fn step_from_entry(memory: &dyn Memory, registers: &Registers) -> Result<Registers, Unreadable> {
    let sp = registers.sp().ok_or(Unreadable { address: 0 })?;
    let mut caller = registers.clone();
    caller.set(RIP, Some(memory.read_u64(sp)?));
    caller.set(RSP, Some(sp.checked_add(8).ok_or(Unreadable { address: sp })?));
    Ok(caller)
}

/// `mov $15, %rax; syscall`: what every libc and the Go runtime return from signal handlers through (`rt_sigreturn`).
pub(crate) const SIGNAL_RETURN_CODE: &[u8] = &[0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05];

/// Offset of `uc_mcontext` in `ucontext_t` (`arch/x86/include/uapi/asm/ucontext.h`).
const UCONTEXT_REGISTERS: u64 = 40;

/// DWARF numbers in the order of `struct sigcontext`: r8 to r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip.
const SIGCONTEXT_ORDER: [u16; 17] = [8, 9, 10, 11, 12, 13, 14, 15, 5, 4, 6, 3, 1, 0, 2, 7, 16];

/// The registers that the signal interrupted, with the stack pointer at the `ucontext_t` as it is when
/// [`SIGNAL_RETURN_CODE`] runs.
pub(crate) fn interrupted_by_signal(
    memory: &dyn Memory,
    registers: &Registers,
) -> Result<Registers, Unreadable> {
    let context = registers.sp().ok_or(Unreadable { address: 0 })?;
    let start = context.checked_add(UCONTEXT_REGISTERS).ok_or(Unreadable { address: context })?;
    let mut interrupted = Registers::default();
    for (number, address) in SIGCONTEXT_ORDER.iter().zip((start..).step_by(8)) {
        interrupted.set(*number, Some(memory.read_u64(address)?));
    }
    Ok(interrupted)
}
