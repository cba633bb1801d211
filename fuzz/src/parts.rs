//! An input that consists of parts, each with a kind and an address. Parts begin at a mark, so that bytes that are put into one part
//! do not move the others to where they mean something else.
//!
//! ```text
//! mark (4) · kind (1) · address (8, little endian) · bytes up to the next mark
//! ```

const MARK: [u8; 4] = *b"\xfePT\xff";
const HEAD: usize = 9;

/// Sections that a part may be, by kind.
pub const SECTIONS: [&str; 22] = [
    ".debug_info",
    ".debug_abbrev",
    ".debug_line",
    ".debug_line_str",
    ".debug_str",
    ".debug_str_offsets",
    ".debug_addr",
    ".debug_aranges",
    ".debug_loc",
    ".debug_loclists",
    ".debug_ranges",
    ".debug_rnglists",
    ".debug_types",
    ".debug_frame",
    ".eh_frame",
    ".eh_frame_hdr",
    ".symtab",
    ".strtab",
    ".text",
    ".note.gnu.build-id",
    ".gnu_debuglink",
    ".data",
];
/// A part that is memory at its address.
pub const MEMORY: u8 = 0x80;
/// A part that is the registers of a thread, eight bytes each.
pub const REGISTERS: u8 = 0x81;
/// Parts that are looked at.
const PARTS_MAX: usize = 64;

/// One part.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// Index of a section, [`MEMORY`] or [`REGISTERS`].
    pub kind: u8,
    /// Where it is in the process.
    pub address: u64,
    /// What it holds.
    pub bytes: &'a [u8],
}

impl<'a> Part<'a> {
    fn of(bytes: &'a [u8]) -> Option<Self> {
        let (head, bytes) = bytes.split_first_chunk::<HEAD>()?;
        let (kind, address) = head.split_first()?;
        Some(Self { kind: *kind, address: u64::from_le_bytes(address.try_into().ok()?), bytes })
    }

    /// Name of the section that it is.
    pub fn section(&self) -> Option<&'static str> {
        SECTIONS.get(usize::from(self.kind)).copied()
    }

    /// Appends it to an input.
    pub fn write(&self, input: &mut Vec<u8>) {
        input.extend(MARK);
        input.push(self.kind);
        input.extend(self.address.to_le_bytes());
        input.extend(self.bytes);
    }
}

/// The parts of an input.
pub fn parts(input: &[u8]) -> Vec<Part<'_>> {
    let marks: Vec<usize> = input
        .windows(MARK.len())
        .enumerate()
        .filter(|(_, bytes)| *bytes == MARK)
        .map(|(at, _)| at)
        .take(PARTS_MAX + 1)
        .collect();
    let ends = marks.iter().skip(1).copied().chain([input.len()]);
    let between = marks.iter().zip(ends).filter_map(|(from, to)| input.get(from + MARK.len()..to));
    between.filter_map(Part::of).take(PARTS_MAX).collect()
}
