//! A stopped process put together from the parts of an input.

use std::time::Duration;

use freezeframe_debuginfo::{Mapping, Modules, Options, Registers, Snapshot, StoppedThread};

use crate::elf::{BASE, LENGTH, executable};
use crate::parts::{MEMORY, Part, REGISTERS};
use crate::scratch;

/// Threads of one process.
const THREADS_MAX: usize = 4;

/// A process whose program, memory and registers are an input's.
pub struct Process {
    /// The program that its sections make.
    pub modules: Modules,
    /// What is mapped besides.
    pub memory: Snapshot,
    /// By its registers; the first one fails.
    pub threads: Vec<StoppedThread>,
}

impl Process {
    /// Of these parts; `None` where no file can be made here.
    pub fn of(parts: &[Part<'_>]) -> Option<Self> {
        let file = scratch::file(&executable(parts)).ok()?;
        let mapping = Mapping {
            start: BASE,
            end: BASE + LENGTH,
            readable: true,
            executable: true,
            inode: 1,
            path: "/program".to_owned(),
            ..Mapping::default()
        };
        let open = move |mapping: &Mapping| match mapping.path.as_str() {
            "/program" => file.try_clone(),
            _ => Err(std::io::ErrorKind::NotFound.into()),
        };
        let modules = Modules::new(vec![mapping], Box::new(open));
        Some(Self { modules, memory: memory(parts), threads: threads(parts) })
    }
}

/// The memory of an input.
pub fn memory(parts: &[Part<'_>]) -> Snapshot {
    let mut memory = Snapshot::default();
    for part in parts.iter().filter(|part| part.kind == MEMORY || part.section().is_some()) {
        // Sections of the debug information are not in the process.
        if part.address != 0 {
            memory.add(part.address, part.bytes.to_vec());
        }
    }
    memory
}

/// The threads of an input.
pub fn threads(parts: &[Part<'_>]) -> Vec<StoppedThread> {
    let given = parts.iter().filter(|part| part.kind == REGISTERS).take(THREADS_MAX);
    given.zip(1..).map(|(part, id)| thread(id, part.bytes)).collect()
}

fn thread(id: i32, bytes: &[u8]) -> StoppedThread {
    let mut registers = Registers::default();
    for (place, bytes) in registers.values.iter_mut().zip(bytes.chunks_exact(8)) {
        *place = bytes.try_into().ok().map(u64::from_le_bytes);
    }
    StoppedThread { id, failing: id == 1, registers, ..StoppedThread::default() }
}

/// Bounds that an input cannot spend minutes within.
pub fn options() -> Options {
    Options { max_frames: 32, variables_max: 2000, time: Duration::from_millis(500), ..Options::default() }
}
