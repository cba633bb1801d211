//! The files that a process had mapped, as they are on this machine: opened once, and used only where they are of the build
//! that the core remembers, or where the core does not remember any.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, PoisonError};

use freezeframe_model::BuildId;

use super::headers::Load;
use super::memory::CoreMemory;
use super::notes::{self, MappedFile, Notes};
use super::{u16_at, u32_at, u64_at};
use crate::elf::Elf;
use crate::maps::Mapping;
use crate::memory::Memory;

type Open = dyn Fn(&Mapping) -> io::Result<File> + Send + Sync;

/// Bytes of a file's beginning that hold its headers.
const HEADER_PAGE: usize = 4096;
const NT_GNU_BUILD_ID: u32 = 3;
const PT_NOTE: u32 = 4;
const PROGRAM_HEADER: usize = 56;
const BUILD_ID_BYTES_MAX: usize = 64;

pub(super) struct Backing {
    open: Box<Open>,
    /// By path: the build id in the core's copy of the file's first page.
    builds: HashMap<String, BuildId>,
    /// By path, once it was asked for; or why it is not used.
    opened: Mutex<HashMap<String, Result<Arc<File>, String>>>,
    /// Paths of which contents were used although nothing tells that they are the same.
    unverified: Mutex<BTreeSet<String>>,
}

impl Backing {
    pub(super) fn new(open: Box<Open>, stored: &CoreMemory, files: &[MappedFile]) -> Self {
        let mut builds = HashMap::new();
        for file in files.iter().filter(|file| file.offset == 0) {
            if let Some(build) = build_id_at(stored, file.start) {
                builds.insert(file.path.clone(), build);
            }
        }
        Self { open, builds, opened: Mutex::default(), unverified: Mutex::default() }
    }

    /// A mapped file, or one that belongs to it.
    pub(super) fn open(&self, mapping: &Mapping) -> io::Result<File> {
        if mapping.inode == 0 {
            // A separate debug file: whoever asked compares its build id.
            return (self.open)(mapping);
        }
        self.shared(mapping).map_err(io::Error::other)?.try_clone()
    }

    fn shared(&self, mapping: &Mapping) -> Result<Arc<File>, String> {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = opened.get(&mapping.path) {
            return known.clone();
        }
        let file = self.verified(mapping).map(Arc::new);
        opened.insert(mapping.path.clone(), file.clone());
        file
    }

    fn verified(&self, mapping: &Mapping) -> Result<File, String> {
        let file = (self.open)(mapping).map_err(|error| error.to_string())?;
        let Some(wanted) = self.builds.get(&mapping.path) else {
            let mut unverified = self.unverified.lock().unwrap_or_else(PoisonError::into_inner);
            unverified.insert(mapping.path.clone());
            return Ok(file);
        };
        let elf = Elf::open(&file).map_err(|error| error.to_string())?;
        match elf.linked_build_id() {
            Some(found) if found == wanted => Ok(file),
            Some(found) => {
                Err(format!("the file here is of another build ({found}) than the core's ({wanted})"))
            }
            None => Err(format!("the file here has no build id, and the core's has {wanted}")),
        }
    }

    /// Bytes of a mapped file; nothing where it cannot be used or is shorter.
    pub(super) fn read(&self, mapping: &Mapping, offset: u64, into: &mut [u8]) -> Option<()> {
        self.shared(mapping).ok()?.read_exact_at(into, offset).ok()
    }

    /// What a reader should know of the files that were used so far.
    pub(super) fn losses(&self) -> Vec<(String, String)> {
        let unverified = self.unverified.lock().unwrap_or_else(PoisonError::into_inner);
        let certainty = |path: &String| {
            let why = "the core does not hold its build id: the file was read as it is on this machine now";
            (format!("certainty about {path}"), why.to_owned())
        };
        unverified.iter().map(certainty).collect()
    }
}

/// What is mapped where: the core's parts with the files that they belong to, and files of which it stores nothing.
pub(super) fn mappings(stored: &CoreMemory, notes: &Notes, backing: &Backing) -> Vec<Mapping> {
    let mut inodes: HashMap<&str, u64> = HashMap::new();
    for file in &notes.files {
        let next = inodes.len() as u64 + 1;
        inodes.entry(file.path.as_str()).or_insert(next);
    }
    let of_file = |file: &MappedFile, start: u64, end: u64| Mapping {
        start,
        end,
        offset: file.offset.saturating_add(start.saturating_sub(file.start)),
        inode: inodes.get(file.path.as_str()).copied().unwrap_or_default(),
        path: file.path.clone(),
        ..Mapping::default()
    };
    let file_at = |address: u64| {
        let at = notes.files.partition_point(|file| file.end <= address);
        notes.files.get(at).filter(|file| file.start <= address)
    };
    let vdso = notes.vdso();
    let mut mappings = Vec::new();
    for load in stored.loads() {
        let (readable, writable, executable) = (load.readable, load.writable, load.executable);
        let plain = match file_at(load.start) {
            Some(file) => of_file(file, load.start, load.end),
            None => Mapping { start: load.start, end: load.end, ..Mapping::default() },
        };
        let is_vdso = vdso.is_some_and(|at| (load.start..load.end).contains(&at));
        let path = if is_vdso { "[vdso]".to_owned() } else { plain.path.clone() };
        mappings.push(Mapping { readable, writable, executable, path, ..plain });
    }
    for file in &notes.files {
        if covers(stored.loads(), file.start) {
            continue;
        }
        let mapping = of_file(file, file.start, file.end);
        let executable = holds_code(&mapping, backing);
        mappings.push(Mapping { readable: true, executable, ..mapping });
    }
    mappings.sort_by_key(|mapping| mapping.start);
    mappings
}

fn covers(loads: &[Load], address: u64) -> bool {
    let at = loads.partition_point(|load| load.end <= address);
    loads.get(at).is_some_and(|load| load.start <= address)
}

/// Whether this part of the file is code, where the core does not say: by the file's own headers. Of a file that cannot be
/// read everything may be code; it only makes stacks go on.
fn holds_code(mapping: &Mapping, backing: &Backing) -> bool {
    let Ok(file) = backing.open(mapping) else { return true };
    let Ok(elf) = Elf::open(&file) else { return false };
    elf.segments.iter().any(|segment| {
        let begin = segment.offset & !(HEADER_PAGE as u64 - 1);
        segment.executable
            && (begin..segment.offset.saturating_add(segment.file_size)).contains(&mapping.offset)
    })
}

/// The build id in an ELF file's first page, as the process had it in memory.
fn build_id_at(memory: &CoreMemory, start: u64) -> Option<BuildId> {
    let page = memory.read_bytes(start, HEADER_PAGE, HEADER_PAGE).ok()?;
    if !page.starts_with(&[0x7f, b'E', b'L', b'F', 2, 1]) {
        return None;
    }
    let at = usize::try_from(u64_at(&page, 32)?).ok()?;
    let count = usize::from(u16_at(&page, 56)?);
    let table = page.get(at..)?.chunks_exact(PROGRAM_HEADER).take(count);
    let mut parts = table.filter(|entry| u32_at(entry, 0) == Some(PT_NOTE));
    parts.find_map(|entry| {
        let (offset, length) = (u64_at(entry, 8)?, u64_at(entry, 32)?);
        let from = usize::try_from(offset).ok()?;
        let bytes = page.get(from..from.checked_add(usize::try_from(length).ok()?)?)?;
        let id = notes::each(bytes).find(|(name, kind, _)| *name == b"GNU" && *kind == NT_GNU_BUILD_ID)?.2;
        (!id.is_empty() && id.len() <= BUILD_ID_BYTES_MAX).then(|| BuildId(id.to_vec()))
    })
}
