//! One program image under trace: where its traps go, found in the symbol table, and planting them.
//!
//! Planting writes single bytes through `/proc/PID/mem`: no thread has to stop for it. A private copy of the page is made
//! by the first write; each further one is a single store, which the processor sees whole or not at all.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::sync::Arc;

use freezeframe_debuginfo::{Mapping, Modules, parse_maps};
use object::{Object, ObjectSymbol};

use super::arch::BREAKPOINT;
use crate::DebugFiles;

/// Why a breakpoint is where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TrapKind {
    /// `rust_panic`: after the hook has printed the message, before anything unwinds.
    RustPanic,
    /// `freezeframe_trap` of the SDK.
    Sdk,
    /// Go's fatal paths.
    GoFatal,
}

#[derive(Clone, Debug)]
struct Breakpoint {
    address: u64,
    kind: TrapKind,
    /// Read when the program had just begun: later a vfork child could already have planted in the same memory.
    original: u8,
}

/// A program image in a process.
pub(super) struct Image {
    pid: i32,
    memory: File,
    breakpoints: Vec<Breakpoint>,
    /// The SDK's `freezeframe_armed`.
    armed_word: Option<u64>,
    planted: bool,
    /// Signals that this language's runtime uses for itself.
    pub(super) runtime_owns_sigsegv: bool,
    /// What will not be noticed, and why.
    pub(super) limits: Vec<String>,
    modules: Option<Arc<Modules>>,
    debug: DebugFiles,
}

/// Addresses in the file, before relocation.
#[derive(Default)]
struct Symbols {
    breakpoints: Vec<(u64, TrapKind)>,
    armed_word: Option<u64>,
    entry: u64,
    go: bool,
    any: bool,
}

fn find_symbols(file: &File) -> io::Result<Symbols> {
    // SAFETY: the mapping is private and read-only. A file that is truncated meanwhile raises SIGBUS; executables that run
    // cannot be written to (ETXTBSY), and being replaced by rename leaves this one intact.
    let map = unsafe { memmap2::Mmap::map(file)? };
    let elf = object::File::parse(&*map)
        .map_err(|error| io::Error::other(format!("not an ELF executable: {error}")))?;
    let mut symbols = Symbols { entry: elf.entry(), ..Symbols::default() };
    symbols.go =
        elf.section_by_name(".go.buildinfo").is_some() || elf.section_by_name(".gopclntab").is_some();
    for symbol in elf.symbols().chain(elf.dynamic_symbols()) {
        let Ok(name) = symbol.name_bytes() else { continue };
        if !symbol.is_definition() {
            continue;
        }
        symbols.any = true;
        let kind = match name {
            b"freezeframe_trap" => TrapKind::Sdk,
            b"freezeframe_armed" => {
                symbols.armed_word = Some(symbol.address());
                continue;
            }
            b"runtime.fatalpanic" | b"runtime.fatalthrow" => TrapKind::GoFatal,
            // v0 mangling of `__rustc::rust_panic`; older compilers export the plain name.
            _ if name == b"rust_panic" || name.ends_with(b"10rust_panic") => TrapKind::RustPanic,
            _ => continue,
        };
        if !symbols.breakpoints.contains(&(symbol.address(), kind)) {
            symbols.breakpoints.push((symbol.address(), kind));
        }
    }
    Ok(symbols)
}

/// Difference between the addresses in the process and in the file, from the auxiliary vector's `AT_ENTRY`.
fn load_bias(pid: i32, entry: u64) -> io::Result<u64> {
    let auxv = std::fs::read(format!("/proc/{pid}/auxv"))?;
    let word = |bytes: &[u8]| u64::from_ne_bytes(bytes.try_into().unwrap_or_default());
    let actual =
        auxv.chunks_exact(16).find(|pair| word(&pair[..8]) == libc::AT_ENTRY).map(|pair| word(&pair[8..]));
    actual.map(|actual| actual.wrapping_sub(entry)).ok_or_else(|| io::Error::other("no AT_ENTRY"))
}

impl Image {
    /// Reads the program that the process has just begun to execute.
    pub(super) fn of_process(pid: i32, debug: DebugFiles) -> io::Result<Self> {
        let memory = open_memory(pid)?;
        let mut image = Self {
            pid,
            memory,
            breakpoints: Vec::new(),
            armed_word: None,
            planted: false,
            runtime_owns_sigsegv: false,
            limits: Vec::new(),
            modules: None,
            debug,
        };
        let symbols = File::open(format!("/proc/{pid}/exe")).and_then(|exe| find_symbols(&exe));
        let located = symbols.and_then(|symbols| Ok((load_bias(pid, symbols.entry)?, symbols)));
        match located {
            Err(error) => image.limits.push(format!("only fatal signals are noticed: {error}")),
            Ok((bias, symbols)) => {
                image.runtime_owns_sigsegv = symbols.go;
                image.armed_word = symbols.armed_word.map(|address| bias.wrapping_add(address));
                let relocate = |&(address, kind): &(u64, TrapKind)| {
                    let address = bias.wrapping_add(address);
                    let mut byte = [0];
                    image.memory.read_exact_at(&mut byte, address).ok()?;
                    (byte[0] != BREAKPOINT).then_some(Breakpoint { address, kind, original: byte[0] })
                };
                image.breakpoints = symbols.breakpoints.iter().filter_map(relocate).collect();
                if !symbols.any {
                    image.limits.push(
                        "stripped binary: panics are noticed only where they end in SIGABRT".to_owned(),
                    );
                }
            }
        }
        Ok(image)
    }

    /// The image of a forked child: the same memory, so the same planted bytes.
    pub(super) fn forked(&self, pid: i32) -> io::Result<Self> {
        Ok(Self {
            pid,
            memory: open_memory(pid)?,
            breakpoints: self.breakpoints.clone(),
            armed_word: self.armed_word,
            planted: self.planted,
            runtime_owns_sigsegv: self.runtime_owns_sigsegv,
            limits: self.limits.clone(),
            modules: None,
            debug: self.debug.clone(),
        })
    }

    /// Plants or takes out every breakpoint and tells the SDK.
    pub(super) fn set_planted(&mut self, planted: bool) -> io::Result<()> {
        for breakpoint in &self.breakpoints {
            let byte = if planted { BREAKPOINT } else { breakpoint.original };
            self.memory.write_all_at(&[byte], breakpoint.address)?;
        }
        if let Some(address) = self.armed_word {
            self.memory.write_all_at(&u32::from(planted).to_ne_bytes(), address)?;
        }
        self.planted = planted;
        Ok(())
    }

    /// Makes sure that a thread may run over this address: a forked child's memory may be older than what we know of it.
    pub(super) fn restore(&self, address: u64) {
        if let Some(breakpoint) = self.breakpoints.iter().find(|breakpoint| breakpoint.address == address) {
            let _ = self.memory.write_all_at(&[breakpoint.original], address);
        }
    }

    pub(super) fn is_planted(&self) -> bool {
        self.planted
    }

    /// The trap at this address, planted or not.
    pub(super) fn trap_at(&self, address: u64) -> Option<TrapKind> {
        self.breakpoints
            .iter()
            .find(|breakpoint| breakpoint.address == address)
            .map(|breakpoint| breakpoint.kind)
    }

    /// The ELF files of the process as they are mapped now; parsed tables are kept while the mappings stay the same.
    pub(super) fn modules(&mut self) -> io::Result<Arc<Modules>> {
        let mappings = parse_maps(&std::fs::read_to_string(format!("/proc/{}/maps", self.pid))?);
        let code = |mappings: &[Mapping]| -> Vec<(u64, u64)> {
            mappings.iter().filter(|m| m.executable).map(|m| (m.start, m.end)).collect()
        };
        if let Some(modules) = &self.modules
            && modules.mappings() == mappings
        {
            return Ok(modules.clone());
        }
        let modules = match self.modules.take() {
            Some(known) if code(known.mappings()) == code(&mappings) => {
                Arc::new(known.with_mappings(mappings))
            }
            _ => {
                let modules = Modules::new(mappings, Box::new(opener(self.pid)));
                Arc::new(self.debug.used_by(modules))
            }
        };
        self.modules = Some(modules.clone());
        Ok(modules)
    }

    /// Whether a Java virtual machine lives in it: that one raises and handles SIGSEGV in normal operation.
    pub(super) fn has_jvm(&mut self) -> bool {
        self.modules().is_ok_and(|modules| modules.mappings().iter().any(|m| m.path.ends_with("/libjvm.so")))
    }
}

/// Opens mapped files as the process sees them, also where they were deleted or lie in another mount namespace.
pub(crate) fn opener(pid: i32) -> impl Fn(&Mapping) -> io::Result<File> + Send + Sync + 'static {
    // Debug information names further files: opening a pipe must not wait for its writer.
    let open = |path: String| {
        std::fs::OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)
    };
    move |mapping| {
        open(format!("/proc/{pid}/map_files/{:x}-{:x}", mapping.start, mapping.end))
            .or_else(|_| open(format!("/proc/{pid}/root{}", mapping.path)))
    }
}

fn open_memory(pid: i32) -> io::Result<File> {
    std::fs::OpenOptions::new().read(true).write(true).open(format!("/proc/{pid}/mem"))
}
