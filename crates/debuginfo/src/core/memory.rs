//! The memory of a core: what it stores, and for the rest the files that were mapped there.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::backing::Backing;
use super::headers::Load;
use crate::maps::Mapping;
use crate::memory::{Memory, Unreadable};

/// Reads from the core's file by position: a file that is cut short under us gives errors, not faults.
pub(super) struct CoreMemory {
    file: Arc<File>,
    loads: Vec<Load>,
    /// Ascending by address.
    mappings: Vec<Mapping>,
    backing: Option<Arc<Backing>>,
}

impl CoreMemory {
    pub(super) fn new(file: Arc<File>, loads: Vec<Load>) -> Self {
        Self { file, loads, mappings: Vec::new(), backing: None }
    }

    pub(super) fn backed_by(self, mappings: Vec<Mapping>, backing: Arc<Backing>) -> Self {
        Self { mappings, backing: Some(backing), ..self }
    }

    pub(super) fn loads(&self) -> &[Load] {
        &self.loads
    }

    /// Reads the beginning of `into` from one place; how much.
    fn read_part(&self, address: u64, into: &mut [u8]) -> Option<usize> {
        let at = self.loads.partition_point(|load| load.end <= address);
        let load = self.loads.get(at).filter(|load| load.start <= address);
        if let Some(load) = load {
            let within = address.checked_sub(load.start)?;
            if let Some(left) = load.stored.checked_sub(within).filter(|left| *left > 0) {
                let length = into.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                self.file.read_exact_at(into.get_mut(..length)?, load.offset.checked_add(within)?).ok()?;
                return Some(length);
            }
        }
        let at = self.mappings.partition_point(|mapping| mapping.end <= address);
        let mapping =
            self.mappings.get(at).filter(|mapping| mapping.start <= address && mapping.inode != 0)?;
        let left = usize::try_from(mapping.end.checked_sub(address)?).unwrap_or(usize::MAX);
        let length = into.len().min(left);
        let offset = mapping.offset.checked_add(address.checked_sub(mapping.start)?)?;
        self.backing.as_ref()?.read(mapping, offset, into.get_mut(..length)?)?;
        Some(length)
    }
}

impl Memory for CoreMemory {
    fn read(&self, address: u64, into: &mut [u8]) -> Result<(), Unreadable> {
        let mut at = address;
        let mut rest = into;
        while !rest.is_empty() {
            let missing = Unreadable { address: at };
            let length = self.read_part(at, rest).filter(|length| *length > 0).ok_or(missing)?;
            rest = rest.get_mut(length..).unwrap_or_default();
            at = at.checked_add(length as u64).ok_or(missing)?;
        }
        Ok(())
    }
}
