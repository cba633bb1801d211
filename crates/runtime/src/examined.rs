//! A held process, read anew: registers of all its threads, its memory, its files. It stays held as it was, whatever becomes of us
//! meanwhile: each thread is traced for microseconds only, and what is not traced is frozen or stopped all the same.

use std::io;

use crate::native::{self, HeldThread};
use crate::{DebugFiles, ProcessMemory};
use freezeframe_debuginfo::{Inspection, Modules, Options, StoppedThread, parse_maps};

/// What is needed to ask a held process. It is right for as long as that process stands still.
pub struct Examined {
    memory: ProcessMemory,
    modules: Modules,
    threads: Vec<StoppedThread>,
}

impl Examined {
    pub(crate) fn new(
        pid: i32,
        failing: i32,
        threads: &[HeldThread],
        debug: &DebugFiles,
    ) -> io::Result<Self> {
        let memory = ProcessMemory::open(pid)?;
        let mappings = parse_maps(&std::fs::read_to_string(format!("/proc/{pid}/maps"))?);
        let modules = debug.used_by(Modules::new(mappings, Box::new(native::opener(pid))));
        let threads = threads.iter().map(|thread| native::describe(pid, failing, thread)).collect();
        Ok(Self { memory, modules, threads })
    }

    /// Ready to be asked; what it learns of stacks and types lasts as long as this does.
    pub fn inspection<'a>(&'a self, options: &'a Options) -> Inspection<'a> {
        Inspection::new(&self.memory, &self.modules, &self.threads, options)
    }
}
