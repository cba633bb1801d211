//! Everything that depends on the processor: x86-64 with the System V calling convention.
//!
//! DWARF numbers of registers, which of them survive a call, how to step outwards without unwind tables, and what a
//! signal frame looks like. Nothing else in the crate may know a register by name.

use std::sync::Arc;

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

const FS_BASE: u16 = 58;
const VECTORS: std::ops::RangeInclusive<u16> = 17..=32;

/// Bytes of a vector register (AVX's ymm; its lower half is SSE's xmm).
const VECTOR_BYTES: usize = 32;

/// The vector registers xmm0 to xmm15 with their upper halves: floats and SIMD values of the innermost frame. No function
/// keeps them for its caller, so frames further outwards have none.
#[derive(Clone, PartialEq, Eq)]
pub struct Vectors {
    registers: [[u8; VECTOR_BYTES]; 16],
}

impl std::fmt::Debug for Vectors {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Vectors")
    }
}

impl Vectors {
    /// From the layout of the XSAVE instruction (Intel SDM, volume 1, section 13.4), which `PTRACE_GETREGSET` with
    /// `NT_X86_XSTATE` hands out and signal frames hold; the first 512 bytes are FXSAVE's and enough. `None` where it is
    /// shorter.
    pub fn from_xsave(state: &[u8]) -> Option<Self> {
        const XMM: usize = 160;
        const FEATURES: usize = 512;
        const UPPER: usize = 576;
        let mut registers = [[0; VECTOR_BYTES]; 16];
        let features = state.get(FEATURES..FEATURES + 8).and_then(|bytes| bytes.try_into().ok());
        let features = features.map(u64::from_le_bytes);
        let xmm = state.get(XMM..XMM + 256)?.as_chunks::<16>().0;
        let upper = state.get(UPPER..UPPER + 256).filter(|_| features.is_some_and(|bits| bits & 4 != 0));
        for (register, low) in registers.iter_mut().zip(xmm) {
            // A state that the header calls unused is all zeroes, whatever its bytes are.
            if features.is_none_or(|bits| bits & 2 != 0) {
                register.split_at_mut(16).0.copy_from_slice(low);
            }
        }
        for (register, high) in registers.iter_mut().zip(upper.unwrap_or_default().as_chunks::<16>().0) {
            register.split_at_mut(16).1.copy_from_slice(high);
        }
        Some(Self { registers })
    }
}

/// The general registers of one frame, in DWARF numbering (System V ABI, figure 3.36): rax rdx rcx rbx rsi rdi rbp rsp
/// r8 to r15, and at index 16 the program counter. `None` where a register's value was lost on the way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registers {
    /// By DWARF number.
    pub values: [Option<u64>; REGISTERS],
    /// Base of the segment that thread-local storage is addressed by: the same in all frames of a thread.
    pub fs_base: Option<u64>,
    /// The vector registers, where they are known.
    pub vectors: Option<Arc<Vectors>>,
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

    /// A vector register by its DWARF number (17 to 32).
    pub(crate) fn vector(&self, dwarf: u16) -> Option<&[u8]> {
        let index = dwarf.checked_sub(*VECTORS.start())?;
        self.vectors.as_ref()?.registers.get(usize::from(index)).map(<[u8; VECTOR_BYTES]>::as_slice)
    }

    /// A register by its DWARF number; of vector registers the lowest 8 bytes. `None` also for numbers that have no place
    /// here.
    pub fn get(&self, dwarf: u16) -> Option<u64> {
        if dwarf == FS_BASE {
            return self.fs_base;
        }
        if VECTORS.contains(&dwarf) {
            return self.vector(dwarf)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
        }
        self.values.get(usize::from(dwarf)).copied().flatten()
    }

    /// Sets a register; numbers without a place are ignored.
    pub fn set(&mut self, dwarf: u16, value: Option<u64>) {
        if let Some(place) = self.values.get_mut(usize::from(dwarf)) {
            *place = value;
        }
    }
}

/// Whether a register exists although it has no place here: x87 and mask registers, and AVX-512's upper sixteen. Vector
/// registers that no frame inside has saved are lost, not unread.
pub(crate) fn is_unread(dwarf: u16) -> bool {
    usize::from(dwarf) >= REGISTERS && !VECTORS.contains(&dwarf) && dwarf != FS_BASE
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
    const FLOATING_POINT: u64 = 184;
    const FLOATING_POINT_BYTES: usize = 832;
    let context = registers.sp().ok_or(Unreadable { address: 0 })?;
    let start = context.checked_add(UCONTEXT_REGISTERS).ok_or(Unreadable { address: context })?;
    let mut interrupted = Registers::default();
    for (number, address) in SIGCONTEXT_ORDER.iter().zip((start..).step_by(8)) {
        interrupted.set(*number, Some(memory.read_u64(address)?));
    }
    // `fpstate` of the same structure: a pointer to what XSAVE wrote.
    let state = memory.read_u64(start.wrapping_add(FLOATING_POINT)).ok();
    let state = state.and_then(|at| memory.read_bytes(at, FLOATING_POINT_BYTES, FLOATING_POINT_BYTES).ok());
    interrupted.vectors = state.and_then(|state| Vectors::from_xsave(&state)).map(Arc::new);
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
        registers.fs_base = self.thread_pointer();
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
