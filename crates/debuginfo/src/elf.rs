//! One ELF file: where its parts lie, its build id, its sections.
//!
//! Reads tables from the file (mapped read-only), never from the process; the vdso, which has no file, is a copy.
//! Knows nothing of what is inside the sections.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::File;
use std::ops::Range;
use std::sync::OnceLock;

use object::elf;
use object::read::elf::{ElfFile64, ProgramHeader, SectionHeader, Sym};
use object::{CompressionFormat, LittleEndian, Object, ObjectSection, ObjectSymbol, SymbolKind};
use sha2::{Digest, Sha256};

use freezeframe_model::BuildId;

/// Why a mapped file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenElfError {
    /// The file could not be opened or mapped.
    #[error("the file cannot be opened")]
    Open(#[source] std::io::Error),
    /// It is not a 64-bit little-endian ELF file, or its headers contradict each other.
    #[error("not a readable ELF file")]
    Parse(#[source] object::read::Error),
}

enum Image {
    Mapped(memmap2::Mmap),
    Copied(Vec<u8>),
}

impl std::ops::Deref for Image {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Copied(bytes) => bytes,
        }
    }
}

/// A loadable part (`PT_LOAD`).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    pub(crate) address: u64,
    pub(crate) offset: u64,
    pub(crate) file_size: u64,
    pub(crate) executable: bool,
}

/// The template of thread-local storage (`PT_TLS`).
#[derive(Clone, Copy, Debug)]
pub(crate) struct ThreadStorage {
    pub(crate) address: u64,
    /// In memory.
    pub(crate) size: u64,
    pub(crate) alignment: u64,
}

#[derive(Clone, Debug)]
struct SectionPlace {
    name: String,
    address: u64,
    range: Option<Range<usize>>,
    compressed: bool,
}

/// A function or object by name.
#[derive(Clone, Debug)]
pub(crate) struct Symbol {
    pub(crate) address: u64,
    pub(crate) size: u64,
    /// Where in the file its name begins.
    name: usize,
}

/// An ELF file with its headers read.
pub(crate) struct Elf {
    image: Image,
    pub(crate) segments: Vec<Segment>,
    /// Address of `PT_GNU_EH_FRAME`.
    pub(crate) eh_frame_header: Option<(u64, Range<usize>)>,
    /// `.eh_frame`: address and place in the file.
    pub(crate) eh_frame: Option<(u64, Range<usize>)>,
    /// Addresses of `.text` and `.got`, which encoded pointers may be relative to.
    pub(crate) text_and_got: (Option<u64>, Option<u64>),
    sections: Vec<SectionPlace>,
    build_id: Option<BuildId>,
    thread_storage: Option<ThreadStorage>,
    is_program: bool,
    file_hash: OnceLock<BuildId>,
    symbols: OnceLock<Vec<Symbol>>,
}

/// More sections than this are not looked at (a C++ object with `-ffunction-sections` stays below in its linked form).
const SECTIONS_MAX: usize = 100_000;
/// More symbols than this are not indexed (Chromium has about 1.5 million).
const SYMBOLS_MAX: usize = 8_000_000;
/// A longer name is none.
const SYMBOL_BYTES_MAX: usize = 64 << 10;
/// Inflated sections of one file together: the largest programs stay below.
const INFLATED_BYTES_MAX: u64 = 4 << 30;
/// Debug information shrinks to a half or a quarter; a section that claims to have shrunk more than this is a bomb.
const COMPRESSION_MAX: u64 = 100;
/// Small sections may shrink as they like.
const INFLATED_BYTES_FREE: u64 = 1 << 20;
/// Debug sections that nothing here reads, or that are inflated by themselves.
const NOT_INFLATED: [&str; 5] =
    [".debug_frame", ".debug_macro", ".debug_pub", ".debug_gnu_pub", ".debug_names"];
/// A file without a build id is hashed up to this many bytes.
const HASHED_BYTES_MAX: usize = 64 << 20;

impl Elf {
    /// Maps the file and reads its headers.
    pub(crate) fn open(file: &File) -> Result<Self, OpenElfError> {
        // SAFETY: the mapping is private and read-only, and bytes that change under us are only ever decoded as hostile
        // input. Truncating a file while it is mapped raises SIGBUS; the kernel refuses that for running executables
        // (ETXTBSY), and package managers and linkers replace libraries by rename, which leaves this file intact.
        let map = unsafe { memmap2::Mmap::map(file) }.map_err(OpenElfError::Open)?;
        Self::parse(Image::Mapped(map))
    }

    /// Reads the headers of a copied image (the vdso).
    pub(crate) fn from_bytes(bytes: Vec<u8>) -> Result<Self, OpenElfError> {
        Self::parse(Image::Copied(bytes))
    }

    fn parse(image: Image) -> Result<Self, OpenElfError> {
        let bytes: &[u8] = &image;
        let file = ElfFile64::<LittleEndian>::parse(bytes).map_err(OpenElfError::Parse)?;
        let mut segments = Vec::new();
        let mut eh_frame_header = None;
        let mut thread_storage = None;
        for header in file.elf_program_headers() {
            let kind = header.p_type(LittleEndian);
            let (address, offset) = (header.p_vaddr(LittleEndian), header.p_offset(LittleEndian));
            let size = header.p_filesz(LittleEndian);
            if kind == elf::PT_LOAD {
                let executable = header.p_flags(LittleEndian).contains(elf::PF_X);
                segments.push(Segment { address, offset, file_size: size, executable });
            } else if kind == elf::PT_GNU_EH_FRAME {
                eh_frame_header = file_range(bytes, offset, size).map(|range| (address, range));
            } else if kind == elf::PT_TLS {
                let (size, alignment) = (header.p_memsz(LittleEndian), header.p_align(LittleEndian));
                thread_storage = Some(ThreadStorage { address, size, alignment });
            }
        }
        let sections = file.sections().take(SECTIONS_MAX).map(|section| {
            let range = section.compressed_file_range().ok();
            // The form before SHF_COMPRESSED: known by its name alone.
            let name = section.name().unwrap_or_default();
            let name = name.strip_prefix(".zdebug_").map_or(name.to_owned(), |rest| format!(".debug_{rest}"));
            SectionPlace {
                name,
                address: section.address(),
                compressed: range.is_some_and(|range| range.format != CompressionFormat::None),
                range: section.file_range().and_then(|(offset, size)| file_range(bytes, offset, size)),
            }
        });
        let sections: Vec<SectionPlace> = sections.collect();
        let named = |name: &str| sections.iter().find(|section| section.name == name && !section.compressed);
        let address = |name: &str| named(name).map(|section| section.address);
        let text_and_got = (address(".text"), address(".got"));
        let eh_frame = named(".eh_frame").and_then(|section| Some((section.address, section.range.clone()?)));
        let eh_frame = eh_frame.filter(|(_, range)| !range.is_empty());
        let build_id = file.build_id().ok().flatten().filter(|id| !id.is_empty() && id.len() <= 64);
        let build_id = build_id.map(|id| BuildId(id.to_vec()));
        // A position-independent program looks like a library but for a flag.
        let is_program = file.elf_header().e_type.get(LittleEndian) == elf::ET_EXEC
            || is_position_independent_program(&file);
        let (file_hash, symbols) = (OnceLock::new(), OnceLock::new());
        Ok(Self {
            segments,
            eh_frame_header,
            eh_frame,
            text_and_got,
            sections,
            build_id,
            thread_storage,
            is_program,
            file_hash,
            symbols,
            image,
        })
    }

    /// The linker's build id; where there is none, a hash of the file (of its first 64 MiB and its length).
    pub(crate) fn build_id(&self) -> BuildId {
        if let Some(id) = &self.build_id {
            return id.clone();
        }
        let hash = || {
            let mut hash = Sha256::new();
            hash.update(self.image.get(..HASHED_BYTES_MAX).unwrap_or(&self.image));
            hash.update((self.image.len() as u64).to_le_bytes());
            BuildId(hash.finalize().iter().copied().take(20).collect())
        };
        self.file_hash.get_or_init(hash).clone()
    }

    /// The build id as the linker wrote it.
    pub(crate) fn linked_build_id(&self) -> Option<&BuildId> {
        self.build_id.as_ref()
    }

    /// Gives the pages that were read back to the system; they come again when they are read again.
    pub(crate) fn forget_pages(&self) {
        if let Image::Mapped(map) = &self.image {
            // SAFETY: the mapping is of a file and read-only: what is dropped is a page of the file's cache, which the next
            // read maps again with the same bytes.
            let _ = unsafe { map.unchecked_advise(memmap2::UncheckedAdvice::DontNeed) };
        }
    }

    /// Length of the file in bytes.
    pub(crate) fn length(&self) -> usize {
        self.image.len()
    }

    /// Name, place in the file, and whether it is compressed, of every section that has content.
    pub(crate) fn sections(&self) -> impl Iterator<Item = (&str, Range<usize>, bool)> {
        self.sections
            .iter()
            .filter_map(|section| Some((section.name.as_str(), section.range.clone()?, section.compressed)))
    }

    /// A section's address and content as stored in the file; `None` for absent, empty and compressed ones.
    pub(crate) fn section(&self, name: &str) -> Option<(u64, &[u8])> {
        let place = self.sections.iter().find(|section| section.name == name && !section.compressed)?;
        let bytes = self.image.get(place.range.clone()?)?;
        (!bytes.is_empty()).then_some((place.address, bytes))
    }

    /// Whether there is a section of that name with content, compressed or not.
    pub(crate) fn has_section(&self, name: &str) -> bool {
        self.sections
            .iter()
            .any(|s| s.name == name && s.range.as_ref().is_some_and(|range| !range.is_empty()))
    }

    /// A compressed section's content, inflated.
    pub(crate) fn inflate(&self, name: &str) -> Option<Vec<u8>> {
        if !self.sections.iter().any(|section| section.name == name && section.compressed) {
            return None;
        }
        let file = ElfFile64::<LittleEndian>::parse(&*self.image).ok()?;
        inflate(&file.section_by_name(name)?, INFLATED_BYTES_MAX).map(Cow::into_owned)
    }

    /// The debug sections that are not in the file as they must be read, as far as the bound on all of them allows:
    /// compressed ones, inflated, and those of objects that come in several parts of one name, joined.
    pub(crate) fn prepare_debug_sections(&self) -> HashMap<String, Vec<u8>> {
        let mut prepared: HashMap<String, Vec<u8>> = HashMap::new();
        let is_read = |place: &SectionPlace| {
            place.name.starts_with(".debug_")
                && !NOT_INFLATED.iter().any(|prefix| place.name.starts_with(prefix))
        };
        let mut counts: HashMap<&str, u32> = HashMap::new();
        for place in self.sections.iter().filter(|place| is_read(place)) {
            let parts = if place.compressed { 2 } else { 1 };
            counts.entry(&place.name).and_modify(|count| *count = 2).or_insert(parts);
        }
        counts.retain(|_, parts| *parts > 1);
        if counts.is_empty() {
            return prepared;
        }
        let Ok(file) = ElfFile64::<LittleEndian>::parse(&*self.image) else { return prepared };
        let mut left = INFLATED_BYTES_MAX;
        for (section, place) in file.sections().zip(&self.sections) {
            if !counts.contains_key(place.name.as_str()) {
                continue;
            }
            if let Some(bytes) = inflate(&section, left) {
                left = left.saturating_sub(bytes.len() as u64);
                prepared.entry(place.name.clone()).or_default().extend_from_slice(&bytes);
            }
        }
        prepared
    }

    /// Size in memory and alignment of the thread-local storage that the file asks for (`PT_TLS`).
    pub(crate) fn thread_storage(&self) -> Option<ThreadStorage> {
        self.thread_storage
    }

    /// Whether this is a program, not a library: its thread-local storage has a fixed place.
    pub(crate) fn is_program(&self) -> bool {
        self.is_program
    }

    /// Whether it was linked against glibc.
    pub(crate) fn is_for_glibc(&self) -> bool {
        // A library that needs nothing of the C library itself still needs its dynamic linker.
        const NAMES: [&[u8]; 2] = [b"\0libc.so.6\0", b"\0ld-linux-x86-64.so.2\0"];
        let has = |names: &[u8], name: &[u8]| names.windows(name.len()).any(|found| found == name);
        self.section(".dynstr").is_some_and(|(_, names)| NAMES.iter().any(|name| has(names, name)))
    }

    /// Value of a dynamic symbol that is defined here, by its number.
    pub(crate) fn dynamic_symbol_value(&self, number: u32) -> Option<u64> {
        let (_, bytes) = self.section(".dynsym")?;
        let symbol = bytes.as_chunks::<24>().0.get(usize::try_from(number).ok()?)?;
        let [.., section_low, section_high, a, b, c, d, e, f, g, h, _, _, _, _, _, _, _, _] = *symbol;
        let value = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
        (u16::from_le_bytes([section_low, section_high]) != elf::SHN_UNDEF.0).then_some(value)
    }

    /// The CRC-32 of the whole file (the one of Ethernet and gzip), which `.gnu_debuglink` names a debug file by.
    pub(crate) fn crc32(&self) -> u32 {
        const TABLE: [u32; 256] = crc_table();
        let entry = |crc: u32, byte: u8| TABLE.get(usize::from((crc as u8) ^ byte)).copied().unwrap_or(0);
        !self.image.iter().fold(!0u32, |crc, byte| (crc >> 8) ^ entry(crc, *byte))
    }

    /// File name and identity of the file that this one shares parts with (`.gnu_debugaltlink`, or `.debug_sup` of DWARF 5).
    pub(crate) fn supplementary_link(&self) -> Option<(String, BuildId)> {
        if let Some((_, bytes)) = self.section(".gnu_debugaltlink") {
            let (name, id) = terminated(bytes)?;
            return Some((name.to_owned(), BuildId(id.to_vec())));
        }
        self.supplementary_section(0)
    }

    /// Whether this is the supplementary file of that identity.
    pub(crate) fn is_supplementary(&self, id: &BuildId) -> bool {
        let own = || self.supplementary_section(1).map(|(_, own)| own);
        !id.0.is_empty() && (self.build_id.as_ref() == Some(id) || own().as_ref() == Some(id))
    }

    /// `.debug_sup` (DWARF 5, section 7.3.6) of the file that refers (0) or of the one referred to (1).
    fn supplementary_section(&self, side: u8) -> Option<(String, BuildId)> {
        let (_, bytes) = self.section(".debug_sup")?;
        let (name, checksum) = terminated(bytes.strip_prefix(&[5, 0, side])?)?;
        let (length, id) = checksum.split_first()?;
        Some((name.to_owned(), BuildId(id.get(..usize::from(*length))?.to_vec())))
    }

    /// The file name of `.gnu_debuglink`, and the CRC-32 of that file.
    pub(crate) fn debug_link(&self) -> Option<(String, u32)> {
        let (_, bytes) = self.section(".gnu_debuglink")?;
        let (name, _) = terminated(bytes)?;
        let at = name.len().checked_add(1)?.checked_next_multiple_of(4)?;
        let crc = u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?);
        // A name, not a path: it must not lead anywhere else.
        (!name.is_empty() && !name.contains('/') && name != "..").then(|| (name.to_owned(), crc))
    }

    /// The bytes that lie at an address of the file's address space.
    pub(crate) fn at_address(&self, address: u64) -> Option<&[u8]> {
        let within = |segment: &&Segment| {
            address.checked_sub(segment.address).is_some_and(|offset| offset < segment.file_size)
        };
        let segment = self.segments.iter().find(within)?;
        let delta = address.checked_sub(segment.address)?;
        let start = usize::try_from(segment.offset.checked_add(delta)?).ok()?;
        let length = usize::try_from(segment.file_size.checked_sub(delta)?).ok()?;
        self.image.get(start..start.checked_add(length)?.min(self.image.len()))
    }

    /// Bytes at a place of the file.
    pub(crate) fn bytes(&self, range: Range<usize>) -> Option<&[u8]> {
        self.image.get(range)
    }

    /// Functions and objects of both symbol tables, by address.
    pub(crate) fn symbols(&self) -> &[Symbol] {
        self.symbols.get_or_init(|| self.read_symbols())
    }

    /// A symbol's name as it is in the file.
    pub(crate) fn symbol_name(&self, symbol: &Symbol) -> &str {
        let rest = self.image.get(symbol.name..).unwrap_or_default();
        let name = terminated(rest.get(..SYMBOL_BYTES_MAX).unwrap_or(rest));
        name.map_or("", |(name, _)| name)
    }

    fn read_symbols(&self) -> Vec<Symbol> {
        let Ok(file) = ElfFile64::<LittleEndian>::parse(&*self.image) else { return Vec::new() };
        let tables = file.elf_section_table();
        let mut symbols = Vec::new();
        for kind in [elf::SHT_SYMTAB, elf::SHT_DYNSYM] {
            // Names are not looked at here: there are many of them, and few are ever asked for.
            let table = tables.symbols(LittleEndian, &*self.image, kind).unwrap_or_default();
            let names =
                tables.section(table.string_section()).ok().map(|names| names.sh_offset(LittleEndian));
            let Some(names) = names.and_then(|names| usize::try_from(names).ok()) else { continue };
            let defined = table.iter().filter_map(|symbol| {
                let name = usize::try_from(symbol.st_name(LittleEndian)).ok().filter(|name| *name != 0)?;
                let is_code_or_data = matches!(symbol.st_type(), elf::STT_FUNC | elf::STT_OBJECT);
                let section = symbol.st_shndx(LittleEndian);
                let is_defined = !section.is_special() || section == elf::SHN_XINDEX;
                (is_code_or_data && is_defined).then_some(Symbol {
                    address: symbol.st_value(LittleEndian),
                    size: symbol.st_size(LittleEndian),
                    name: names.checked_add(name)?,
                })
            });
            symbols.extend(defined.take(SYMBOLS_MAX.saturating_sub(symbols.len())));
        }
        // Of several names for one place the first one of the table stays: aliases come after it, mostly.
        symbols.sort_by_key(|symbol| symbol.address);
        symbols
    }

    /// The thread-local variable whose symbol's name has `part` in it: how far below the thread pointer it begins in a
    /// main executable (ELF Handling For Thread-Local Storage, variant II), and its size.
    pub(crate) fn thread_local(&self, part: &str) -> Option<(u64, u64)> {
        let ThreadStorage { size, alignment, .. } = self.thread_storage?;
        let file = ElfFile64::<LittleEndian>::parse(&*self.image).ok()?;
        let symbol = file.symbols().take(SYMBOLS_MAX).find(|symbol| {
            !symbol.is_undefined()
                && symbol.kind() == SymbolKind::Tls
                && symbol.name().is_ok_and(|name| name.contains(part))
        })?;
        let block = size.checked_next_multiple_of(alignment.max(1))?;
        Some((block.checked_sub(symbol.address())?, symbol.size()))
    }

    /// The symbol that covers an address, with the distance from its beginning.
    pub(crate) fn symbol_at(&self, address: u64) -> Option<(&Symbol, u64)> {
        let symbols = self.symbols();
        let behind = symbols.partition_point(|symbol| symbol.address <= address);
        // Symbols nest rarely and aliases share an address: a short look backwards finds the covering one.
        let candidates = symbols.get(behind.saturating_sub(16)..behind)?;
        candidates.iter().rev().find_map(|symbol| {
            let distance = address.checked_sub(symbol.address)?;
            (distance < symbol.size.max(1)).then_some((symbol, distance))
        })
    }
}

fn is_position_independent_program(file: &ElfFile64<'_, LittleEndian>) -> bool {
    let dynamic =
        file.section_by_name(".dynamic").and_then(|section| section.data().ok()).unwrap_or_default();
    let word = |bytes: &[u8]| bytes.try_into().map(u64::from_le_bytes).unwrap_or_default();
    let mut entries = dynamic.as_chunks::<16>().0.iter().map(|entry| entry.split_at(8));
    entries.any(|(tag, value)| {
        word(tag) == u64::try_from(elf::DT_FLAGS_1.0).unwrap_or_default()
            && word(value) & elf::DF_1_PIE.0 != 0
    })
}

/// A text up to its NUL, and what follows.
fn terminated(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let end = bytes.iter().position(|byte| *byte == 0)?;
    Some((std::str::from_utf8(bytes.get(..end)?).ok()?, bytes.get(end.checked_add(1)?..)?))
}

/// A section's content where it is not more than `left`.
fn inflate<'data>(section: &impl ObjectSection<'data>, left: u64) -> Option<Cow<'data, [u8]>> {
    let data = section.compressed_data().ok()?;
    let plausible = (data.data.len() as u64).saturating_mul(COMPRESSION_MAX).max(INFLATED_BYTES_FREE);
    if data.uncompressed_size > plausible.min(left) {
        return None;
    }
    let length = usize::try_from(data.uncompressed_size).ok()?;
    match data.format {
        CompressionFormat::None => Some(Cow::Borrowed(data.data)),
        CompressionFormat::Zlib => unzip(data.data, length).map(Cow::Owned),
        CompressionFormat::Zstandard => zstd::bulk::decompress(data.data, length).ok().map(Cow::Owned),
        _ => None,
    }
}

/// What a header says of the length is a promise: more is refused, less too.
fn unzip(bytes: &[u8], length: usize) -> Option<Vec<u8>> {
    let mut inflated = Vec::with_capacity(length);
    let mut decompress = flate2::Decompress::new(true);
    decompress.decompress_vec(bytes, &mut inflated, flate2::FlushDecompress::Finish).ok()?;
    (inflated.len() == length).then_some(inflated)
}

const fn crc_table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let (mut crc, mut bit) = (byte as u32, 0);
        while bit < 8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
}

fn file_range(bytes: &[u8], offset: u64, size: u64) -> Option<Range<usize>> {
    let start = usize::try_from(offset).ok()?;
    let end = start.checked_add(usize::try_from(size).ok()?)?;
    (end <= bytes.len()).then_some(start..end)
}
