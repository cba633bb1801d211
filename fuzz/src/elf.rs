//! The smallest executable that holds given sections: an ELF header, one loadable segment over the whole file, and the sections.

use crate::parts::Part;

/// Where the file begins in the process; the programs that the seeds are of are linked there.
pub const BASE: u64 = 0x40_0000;
/// Room of the program in the process.
pub const LENGTH: u64 = 0x10_0000;

const HEADER: usize = 64;
const PROGRAM_HEADER: usize = 56;
const PT_LOAD: u32 = 1;
const PT_GNU_EH_FRAME: u32 = 0x6474_e550;

struct Section {
    name: u32,
    kind: u32,
    address: u64,
    offset: u64,
    length: u64,
    link: u32,
    entry: u64,
}

/// The file. Sections are where their parts say, whatever the loadable segment says.
pub fn executable(parts: &[Part<'_>]) -> Vec<u8> {
    let sections: Vec<(&'static str, &Part<'_>)> =
        parts.iter().filter_map(|part| Some((part.section()?, part))).collect();
    let mut file = vec![0; HEADER + 2 * PROGRAM_HEADER];
    let mut names = vec![0u8];
    let empty = Section { name: 0, kind: 0, address: 0, offset: 0, length: 0, link: 0, entry: 0 };
    let mut table = vec![empty];
    let mut eh_frame_header = None;
    let strings = sections.iter().position(|(name, _)| *name == ".strtab").map_or(0, |at| at as u32 + 1);
    for (name, part) in sections {
        let (offset, length) = (file.len() as u64, part.bytes.len() as u64);
        let (kind, link, entry) = match name {
            ".symtab" => (2, strings, 24),
            ".strtab" => (3, 0, 0),
            ".note.gnu.build-id" => (7, 0, 0),
            _ => (1, 0, 0),
        };
        table.push(Section {
            name: names.len() as u32,
            kind,
            address: part.address,
            offset,
            length,
            link,
            entry,
        });
        if name == ".eh_frame_hdr" {
            eh_frame_header = Some((offset, part.address, length));
        }
        names.extend(name.bytes().chain([0]));
        file.extend(part.bytes);
    }
    table.push(Section {
        name: 0,
        kind: 3,
        address: 0,
        offset: file.len() as u64,
        length: names.len() as u64,
        link: 0,
        entry: 0,
    });
    file.extend(names);
    let sections_at = file.len() as u64;
    for section in &table {
        file.extend(section.name.to_le_bytes());
        file.extend(section.kind.to_le_bytes());
        for word in [0, section.address, section.offset, section.length] {
            file.extend(word.to_le_bytes());
        }
        file.extend(section.link.to_le_bytes());
        file.extend(0u32.to_le_bytes());
        file.extend(1u64.to_le_bytes());
        file.extend(section.entry.to_le_bytes());
    }
    let (count, length) = (table.len() as u16, file.len() as u64);
    put(&mut file, 0, &header(sections_at, count, if eh_frame_header.is_some() { 2 } else { 1 }));
    put(&mut file, HEADER, &segment(PT_LOAD, 0, BASE, length));
    if let Some((offset, address, length)) = eh_frame_header {
        put(&mut file, HEADER + PROGRAM_HEADER, &segment(PT_GNU_EH_FRAME, offset, address, length));
    }
    file
}

fn put(file: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = file.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}

fn header(sections_at: u64, sections: u16, segments: u16) -> Vec<u8> {
    let mut bytes = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    bytes.extend([2, 0, 62, 0, 1, 0, 0, 0]);
    for word in [BASE, HEADER as u64, sections_at] {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend([0; 4]);
    for half in [HEADER as u16, PROGRAM_HEADER as u16, segments, 64, sections, sections.saturating_sub(1)] {
        bytes.extend(half.to_le_bytes());
    }
    bytes
}

fn segment(kind: u32, offset: u64, address: u64, length: u64) -> Vec<u8> {
    let mut bytes = kind.to_le_bytes().to_vec();
    bytes.extend(5u32.to_le_bytes());
    for word in [offset, address, address, length, length.max(LENGTH), 1] {
        bytes.extend(word.to_le_bytes());
    }
    bytes
}
