//! The ELF files that a process has mapped, each opened when it is first needed.
//!
//! Knows which file an address belongs to. Opens nothing by itself: files come from the caller's function.

use std::fs::File;
use std::io;
use std::sync::{Arc, OnceLock};

use freezeframe_model::{BuildId, Fingerprint};
use sha2::{Digest, Sha256};

use crate::arch::Registers;
use crate::cfi::Tables;
use crate::dwarf::{DebugFile, stored};
use crate::elf::{Elf, OpenElfError};
use crate::index::IndexDirectory;
use crate::maps::Mapping;
use crate::memory::Memory;
use crate::separate::{DebugSources, Files};
use crate::unwind::{self, Stack};

/// Gives the file behind a mapping.
pub(crate) type Open = dyn Fn(&Mapping) -> io::Result<File> + Send + Sync;

/// The vdso is two pages; anything much larger is something else.
const VDSO_BYTES_MAX: u64 = 256 * 1024;

/// Frames that enter a fingerprint: enough to tell errors apart, few enough that one error is not taken for many.
const FINGERPRINT_FRAMES: usize = 16;

/// The ELF files of one process. Cheap until asked; what was parsed is kept.
pub struct Modules {
    mappings: Vec<Mapping>,
    modules: Vec<Arc<Module>>,
    /// By mapping: its module.
    module_of: Vec<Option<usize>>,
    open: Arc<Open>,
    indexes: Option<Arc<IndexDirectory>>,
    sources: DebugSources,
}

/// One ELF file that is mapped executable.
pub(crate) struct Module {
    pub(crate) mapping: Mapping,
    file: OnceLock<Result<Loaded, OpenElfError>>,
    debug: OnceLock<Option<DebugFile>>,
    /// Where its debug information was looked for in vain.
    tried: OnceLock<String>,
}

struct Loaded {
    elf: Elf,
    tables: Tables,
}

/// An address, seen from the file that it belongs to.
pub(crate) struct Place<'a> {
    pub(crate) module: usize,
    /// In the file's address space.
    pub(crate) address: u64,
    /// Difference between addresses in the process and in the file.
    pub(crate) bias: u64,
    loaded: Option<&'a Loaded>,
}

impl<'a> Place<'a> {
    pub(crate) fn elf(&self) -> Option<&'a Elf> {
        self.loaded.map(|loaded| &loaded.elf)
    }
    pub(crate) fn tables(&self) -> Option<&'a Tables> {
        self.loaded.map(|loaded| &loaded.tables)
    }
}

impl Module {
    fn new(mapping: Mapping) -> Self {
        Self { mapping, file: OnceLock::new(), debug: OnceLock::new(), tried: OnceLock::new() }
    }

    fn is_vdso(&self) -> bool {
        self.mapping.path == "[vdso]"
    }

    fn same_file(&self, mapping: &Mapping) -> bool {
        let own = &self.mapping;
        (own.device, own.inode, &own.path) == (mapping.device, mapping.inode, &mapping.path)
    }
}

impl Modules {
    /// Groups the mappings by file. `open` gives the file behind a mapping, as the process sees it; for separate debug
    /// files it is asked with a mapping of which only the path is set.
    pub fn new(mappings: Vec<Mapping>, open: Box<Open>) -> Self {
        Self::grouped(mappings, Arc::from(open), None, DebugSources::default(), &[])
    }

    /// Where else to look for debug information in files of its own. To be called before anything is asked.
    #[must_use]
    pub fn with_debug_sources(mut self, sources: DebugSources) -> Self {
        self.sources = sources;
        self
    }

    /// Looks for indexes of debug information in this directory, and writes them there.
    #[must_use]
    pub fn with_indexes(mut self, indexes: Option<Arc<IndexDirectory>>) -> Self {
        self.indexes = indexes;
        self
    }

    /// Writes the indexes that are missing, which takes seconds for a hundred megabytes of debug information; how many it wrote.
    /// May be called beside everything else, from a thread of low priority: it shares nothing that others would wait for.
    ///
    /// # Errors
    /// Of the directory's file system; also where an index is larger than the room for all.
    pub fn write_indexes(&self) -> io::Result<usize> {
        let Some(indexes) = &self.indexes else { return Ok(0) };
        let own = Self::grouped(self.mappings.clone(), self.open.clone(), None, self.sources.clone(), &[]);
        let mut written = 0;
        for index in 0..own.modules.len() {
            if let (Some(debug), Some(elf)) = (own.debug(index), own.elf(index)) {
                written += usize::from(stored::write(indexes, debug.separate().unwrap_or(elf))?);
            }
        }
        Ok(written)
    }

    /// The same process with other mappings; files that are still mapped keep what was parsed of them.
    #[must_use]
    pub fn with_mappings(&self, mappings: Vec<Mapping>) -> Self {
        Self::grouped(mappings, self.open.clone(), self.indexes.clone(), self.sources.clone(), &self.modules)
    }

    fn grouped(
        mut mappings: Vec<Mapping>,
        open: Arc<Open>,
        indexes: Option<Arc<IndexDirectory>>,
        sources: DebugSources,
        known: &[Arc<Module>],
    ) -> Self {
        mappings.sort_by_key(|mapping| mapping.start);
        let mut modules: Vec<Arc<Module>> = Vec::new();
        let mut module_of = Vec::with_capacity(mappings.len());
        let mut by_file = std::collections::HashMap::new();
        for mapping in &mappings {
            let is_module = mapping.executable && (mapping.inode != 0 || mapping.path == "[vdso]");
            let index = is_module.then(|| {
                let file = (mapping.device, mapping.inode, mapping.path.clone());
                *by_file.entry(file).or_insert_with(|| {
                    let parsed =
                        known.iter().find(|module| module.same_file(mapping) && module.file.get().is_some());
                    modules.push(parsed.cloned().unwrap_or_else(|| Arc::new(Module::new(mapping.clone()))));
                    modules.len() - 1
                })
            });
            module_of.push(index);
        }
        Self { mappings, modules, module_of, open, indexes, sources }
    }

    /// All mappings, sorted by address.
    pub fn mappings(&self) -> &[Mapping] {
        &self.mappings
    }

    /// Build id of the main executable, which is the first file in the address space; a hash of the file where the linker
    /// wrote none, and empty where the file cannot be read.
    pub fn main_build_id(&self) -> BuildId {
        self.modules.first().map(|module| self.build_id(module)).unwrap_or_default()
    }

    /// The stack that these registers stand on.
    pub fn unwind(&self, memory: &dyn Memory, registers: &Registers, max_frames: usize) -> Stack {
        unwind::walk(self, memory, registers, max_frames)
    }

    /// Identity of the error: `kind` and the innermost frames from the first one in the main executable on, each by its
    /// module's build id and address in the file. The same across restarts and address-space randomisation.
    pub fn fingerprint(&self, stack: &Stack, kind: &str) -> Fingerprint {
        let own = stack.frames.iter().position(|frame| frame.module == Some(0)).unwrap_or(0);
        let mut hash = Sha256::new();
        hash.update((kind.len() as u64).to_le_bytes());
        hash.update(kind.as_bytes());
        for frame in stack.frames.iter().skip(own).take(FINGERPRINT_FRAMES) {
            // Generated code has no stable address: only that it was there counts.
            let module = frame.module.and_then(|index| self.modules.get(index));
            let (id, address) = match module {
                Some(module) => (self.build_id(module).0, frame.module_offset),
                None => (Vec::new(), 0),
            };
            hash.update((id.len() as u64).to_le_bytes());
            hash.update(&id);
            hash.update(address.to_le_bytes());
        }
        let mut fingerprint = Fingerprint([0; 16]);
        for (to, from) in fingerprint.0.iter_mut().zip(hash.finalize().iter()) {
            *to = *from;
        }
        fingerprint
    }

    fn build_id(&self, module: &Module) -> BuildId {
        self.load(module, None).map(|loaded| loaded.elf.build_id()).unwrap_or_default()
    }

    /// The module that an executable address belongs to. `memory` is needed for the vdso alone, which has no file.
    pub(crate) fn place(&self, address: u64, memory: &dyn Memory) -> Option<Place<'_>> {
        let index = self.mapping_index(address)?;
        let mapping = self.mappings.get(index)?;
        let module_index = (*self.module_of.get(index)?)?;
        let module = self.modules.get(module_index)?;
        let loaded = self.load(module, Some(memory));
        // By the segment that this very mapping shows: right also where one file is mapped twice.
        let bias = loaded.and_then(|loaded| bias(&loaded.elf, mapping));
        let bias = bias.unwrap_or_else(|| mapping.start.wrapping_sub(mapping.offset));
        Some(Place { module: module_index, address: address.wrapping_sub(bias), bias, loaded })
    }

    /// The module and the address in its file that an address of its data belongs to.
    pub(crate) fn place_of_data(&self, address: u64) -> Option<(usize, u64)> {
        let mapping = self.mappings.get(self.mapping_index(address)?)?;
        let index = self.modules.iter().position(|module| module.same_file(mapping))?;
        let module = self.module(index)?;
        let bias = bias(&self.load(module, None)?.elf, &module.mapping)?;
        Some((index, address.wrapping_sub(bias)))
    }

    pub(crate) fn module(&self, index: usize) -> Option<&Module> {
        self.modules.get(index).map(Arc::as_ref)
    }

    /// Facts about a module for people.
    pub(crate) fn describe(&self, index: usize) -> freezeframe_model::Module {
        let Some(module) = self.module(index) else { return freezeframe_model::Module::default() };
        let loaded = self.load(module, None);
        let file_bias = loaded.and_then(|loaded| bias(&loaded.elf, &module.mapping));
        let debug_info = match (loaded, self.debug(index)) {
            (_, Some(debug)) => debug.kind(),
            (Some(loaded), None) if !loaded.elf.symbols().is_empty() => "symbols only",
            _ => "none",
        };
        freezeframe_model::Module {
            path: module.mapping.path.clone(),
            build_id: loaded.map(|loaded| loaded.elf.build_id()).unwrap_or_default(),
            load_bias: file_bias.unwrap_or_else(|| module.mapping.start.wrapping_sub(module.mapping.offset)),
            debug_info: debug_info.to_owned(),
        }
    }

    pub(crate) fn elf(&self, index: usize) -> Option<&Elf> {
        self.load(self.module(index)?, None).map(|loaded| &loaded.elf)
    }

    /// The files that describe a module: the separate one with its full symbol table, where there is one, and its own.
    pub(crate) fn files(&self, index: usize) -> impl Iterator<Item = &Elf> {
        let separate = self.debug(index).and_then(DebugFile::separate);
        separate.into_iter().chain(self.elf(index))
    }

    /// Difference between addresses in the process and in a module's file.
    pub(crate) fn bias(&self, index: usize, memory: &dyn Memory) -> Option<u64> {
        Some(self.place(self.module(index)?.mapping.start, memory)?.bias)
    }

    /// Why a module's file could not be read.
    pub(crate) fn open_error(&self, index: usize) -> Option<String> {
        self.module(index)?.file.get()?.as_ref().err().map(freezeframe_model::chain)
    }

    /// The module's debug information: in the file itself, or in the separate file that belongs to it.
    pub(crate) fn debug(&self, index: usize) -> Option<&DebugFile> {
        let module = self.module(index)?;
        let loaded = self.load(module, None)?;
        let debug = module.debug.get_or_init(|| {
            let mut files = Files::new(self.open.clone(), self.sources.clone(), &module.mapping.path);
            if DebugFile::has_debug_information(&loaded.elf) {
                return Some(DebugFile::new(None, files, self.indexes.clone()));
            }
            let (separate, tried) = files.separate(&loaded.elf);
            module.tried.get_or_init(|| tried.text());
            separate.map(|elf| DebugFile::new(Some(elf), files, self.indexes.clone()))
        });
        debug.as_ref()
    }

    /// Where the module's debug information was looked for in vain; empty where it was found or there was nowhere to look.
    pub(crate) fn tried(&self, index: usize) -> &str {
        self.module(index).and_then(|module| module.tried.get()).map_or("", String::as_str)
    }

    fn load<'a>(&'a self, module: &'a Module, memory: Option<&dyn Memory>) -> Option<&'a Loaded> {
        if module.is_vdso() && module.file.get().is_none() && memory.is_none() {
            return None;
        }
        let loaded = module.file.get_or_init(|| {
            let elf = match (module.is_vdso(), memory) {
                (true, Some(memory)) => copy_vdso(&module.mapping, memory),
                _ => {
                    (self.open)(&module.mapping).map_err(OpenElfError::Open).and_then(|file| Elf::open(&file))
                }
            };
            elf.map(|elf| Loaded { elf, tables: Tables::default() })
        });
        loaded.as_ref().ok()
    }

    fn mapping_index(&self, address: u64) -> Option<usize> {
        let at = self.mappings.partition_point(|mapping| mapping.end <= address);
        self.mappings.get(at).filter(|mapping| mapping.start <= address).map(|_| at)
    }

    /// Whether there is code at the address, of a file or generated.
    pub(crate) fn is_executable(&self, address: u64) -> bool {
        let mapping = self.mapping_index(address).and_then(|index| self.mappings.get(index));
        mapping.is_some_and(|mapping| mapping.executable)
    }

    /// Whether both addresses lie in one mapping.
    pub(crate) fn same_mapping(&self, one: u64, other: u64) -> bool {
        let one = self.mapping_index(one);
        one.is_some() && one == self.mapping_index(other)
    }
}

fn copy_vdso(mapping: &Mapping, memory: &dyn Memory) -> Result<Elf, OpenElfError> {
    let length = mapping.end.saturating_sub(mapping.start).min(VDSO_BYTES_MAX);
    let length = usize::try_from(length).unwrap_or_default();
    let bytes = memory.read_bytes(mapping.start, length, length);
    Elf::from_bytes(bytes.map_err(|error| OpenElfError::Open(io::Error::other(error)))?)
}

/// Difference between addresses in the process and in the file, from the segment that the mapping shows.
fn bias(elf: &Elf, mapping: &Mapping) -> Option<u64> {
    const PAGE: u64 = 4096;
    let segment =
        elf.segments.iter().filter(|segment| segment.executable == mapping.executable).find(|segment| {
            let begin = segment.offset & !(PAGE - 1);
            let end = segment.offset.saturating_add(segment.file_size);
            (begin..end).contains(&mapping.offset)
        })?;
    Some(
        mapping.start.wrapping_sub(mapping.offset.wrapping_sub(segment.offset).wrapping_add(segment.address)),
    )
}
