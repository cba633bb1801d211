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

/// Registers of a thread as a core keeps them: `struct elf_prstatus`, `struct user_regs_struct` at byte 112.
#[derive(Clone, Debug)]
pub(crate) struct CoreRegisters {
    words: [u64; CORE_REGISTERS],
}

const CORE_REGISTERS: usize = 27;
const CORE_REGISTERS_AT: usize = 112;
/// DWARF numbers in that order; the gap is `orig_rax`, and what follows rsp has no number here.
const CORE_ORDER: [Option<u16>; 20] = [
    Some(15),
    Some(14),
    Some(13),
    Some(12),
    Some(RBP),
    Some(RBX),
    Some(11),
    Some(10),
    Some(9),
    Some(8),
    Some(0),
    Some(2),
    Some(1),
    Some(4),
    Some(5),
    None,
    Some(RIP),
    None,
    None,
    Some(RSP),
];
const CORE_RSI: usize = 13;
const CORE_RDI: usize = 14;
const CORE_ORIG_RAX: usize = 15;
const CORE_FS_BASE: usize = 21;
const SYS_FUTEX: u64 = 202;
/// `FUTEX_WAIT`, `FUTEX_LOCK_PI`, `FUTEX_WAIT_BITSET`, `FUTEX_WAIT_REQUEUE_PI` (futex(2)).
const FUTEX_WAITS: [u64; 4] = [0, 6, 9, 11];

impl CoreRegisters {
    /// Out of the description of an `NT_PRSTATUS` note.
    pub(crate) fn read(status: &[u8]) -> Option<Self> {
        let bytes = status.get(CORE_REGISTERS_AT..CORE_REGISTERS_AT + CORE_REGISTERS * 8)?;
        let mut words = [0; CORE_REGISTERS];
        for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(8)) {
            *word = u64::from_le_bytes(bytes.try_into().ok()?);
        }
        Some(Self { words })
    }

    fn word(&self, at: usize) -> u64 {
        self.words.get(at).copied().unwrap_or_default()
    }

    pub(crate) fn registers(&self) -> Registers {
        let mut registers = Registers::default();
        for (number, value) in CORE_ORDER.iter().zip(self.words) {
            if let Some(number) = number {
                registers.set(*number, Some(value));
            }
        }
        registers
    }

    /// In a system call or not: outside of one the kernel keeps -1 where its number would be.
    pub(crate) fn state(&self) -> freezeframe_model::ThreadState {
        if (self.word(CORE_ORIG_RAX) as i64) < 0 {
            freezeframe_model::ThreadState::Running
        } else {
            freezeframe_model::ThreadState::Sleeping
        }
    }

    /// Base of the thread's own variables.
    pub(crate) fn thread_pointer(&self) -> Option<u64> {
        Some(self.word(CORE_FS_BASE)).filter(|base| *base > 0)
    }

    /// Address of the futex word that the thread waits on.
    pub(crate) fn futex(&self) -> Option<u64> {
        let waits = FUTEX_WAITS.contains(&(self.word(CORE_RSI) & 0x7f));
        (self.word(CORE_ORIG_RAX) == SYS_FUTEX && waits).then(|| self.word(CORE_RDI))
    }
}
