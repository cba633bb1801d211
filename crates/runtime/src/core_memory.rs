//! What of a process's memory goes into its core: as the kernel decides for a core of its own (core(5), `coredump_filter`),
//! within a bound, and without what was never written to.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;

use freezeframe_debuginfo::Mapping;

const PAGE: u64 = 4096;
/// `PN_XNUM`: more program headers than this need an extended count.
const SEGMENTS_MAX: usize = 0xfff0;
/// Parts that one mapping is split into at most.
const PARTS_MAX: usize = 1024;
/// Holes smaller than this are written: as zeros, which cost next to nothing.
const HOLE: u64 = 1 << 20;

/// Which kinds of memory are written, by the bits of `/proc/PID/coredump_filter` (core(5)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoreFilter(pub u32);

impl CoreFilter {
    const ANONYMOUS_PRIVATE: u32 = 1;
    const ANONYMOUS_SHARED: u32 = 1 << 1;
    const FILE_PRIVATE: u32 = 1 << 2;
    const FILE_SHARED: u32 = 1 << 3;
    const ELF_HEADERS: u32 = 1 << 4;
    const HUGE_PRIVATE: u32 = 1 << 5;
    const HUGE_SHARED: u32 = 1 << 6;

    fn has(self, bit: u32) -> bool {
        self.0 & bit != 0
    }
}

impl Default for CoreFilter {
    /// The kernel's own: 0x33.
    fn default() -> Self {
        Self(Self::ANONYMOUS_PRIVATE | Self::ANONYMOUS_SHARED | Self::ELF_HEADERS | Self::HUGE_PRIVATE)
    }
}

/// A piece of a mapping, of which `stored` bytes are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Segment<'m> {
    pub(crate) mapping: &'m Mapping,
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) stored: u64,
}

/// What `/proc/PID/smaps` says of one mapping, besides what `maps` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Facts {
    /// It has pages of its own, in memory or swapped out.
    own_pages: bool,
    shared: bool,
    huge: bool,
    /// The program asked to leave it out (`MADV_DONTDUMP`).
    unwanted: bool,
}

/// What is written of each mapping, and how many bytes were left out because of the bound: the largest pieces go first.
/// `smaps` is the text of that file, empty where it cannot be read; `pagemap` tells which pages there are.
pub(crate) fn select<'m>(
    mappings: &'m [Mapping],
    smaps: &str,
    pagemap: Option<&File>,
    filter: CoreFilter,
    bytes_max: u64,
) -> (Vec<Segment<'m>>, u64) {
    let facts = parse_smaps(smaps);
    let mut segments = Vec::new();
    let mut omitted = 0u64;
    for mapping in mappings {
        if mapping.end <= mapping.start || matches!(mapping.path.as_str(), "[vvar]" | "[vsyscall]") {
            continue;
        }
        let stored = match facts.get(&mapping.start) {
            Some(facts) => stored(mapping, *facts, filter),
            None => stored_by_guess(mapping),
        };
        let whole = Segment { mapping, start: mapping.start, end: mapping.end, stored };
        if segments.len().saturating_add(PARTS_MAX) >= SEGMENTS_MAX {
            omitted = omitted.saturating_add(stored);
            continue;
        }
        match pagemap.filter(|_| is_anonymous(mapping) && stored > HOLE) {
            Some(pagemap) => segments.extend(without_holes(whole, pagemap)),
            None => segments.push(whole),
        }
    }
    let mut by_size: Vec<usize> = (0..segments.len()).collect();
    by_size.sort_by_key(|at| segments.get(*at).map(|segment| segment.stored));
    let mut total = 0u64;
    for at in by_size {
        let Some(segment) = segments.get_mut(at) else { continue };
        if total.saturating_add(segment.stored) > bytes_max {
            omitted = omitted.saturating_add(segment.stored);
            segment.stored = 0;
        }
        total = total.saturating_add(segment.stored);
    }
    (segments, omitted)
}

fn is_anonymous(mapping: &Mapping) -> bool {
    mapping.path.is_empty() || mapping.path.starts_with('[')
}

/// `vma_dump_size` of the kernel (fs/coredump.c), with two differences: what cannot be read is left out, and so is code of
/// files, which only our own breakpoints have changed, and they are out by now.
fn stored(mapping: &Mapping, facts: Facts, filter: CoreFilter) -> u64 {
    let length = mapping.end - mapping.start;
    let anonymous = is_anonymous(mapping);
    let whole = |bit| if filter.has(bit) { length } else { 0 };
    match facts {
        _ if mapping.path == "[vdso]" => length,
        _ if !mapping.readable || facts.unwanted => 0,
        Facts { huge: true, shared, .. } => {
            whole(if shared { CoreFilter::HUGE_SHARED } else { CoreFilter::HUGE_PRIVATE })
        }
        Facts { shared: true, .. } if anonymous || mapping.deleted => whole(CoreFilter::ANONYMOUS_SHARED),
        Facts { shared: true, .. } => whole(CoreFilter::FILE_SHARED),
        Facts { own_pages: true, .. }
            if filter.has(CoreFilter::ANONYMOUS_PRIVATE) && (anonymous || !mapping.executable) =>
        {
            length
        }
        _ if anonymous => 0,
        _ if filter.has(CoreFilter::FILE_PRIVATE) => length,
        _ if filter.has(CoreFilter::ELF_HEADERS) && mapping.offset == 0 => length.min(PAGE),
        _ => 0,
    }
}

/// Where nothing more is known than what `maps` says.
fn stored_by_guess(mapping: &Mapping) -> u64 {
    let length = mapping.end - mapping.start;
    match () {
        () if !mapping.readable => 0,
        () if mapping.writable || is_anonymous(mapping) => length,
        () if mapping.offset == 0 => length.min(PAGE),
        () => 0,
    }
}

/// By the mappings' starts.
fn parse_smaps(text: &str) -> HashMap<u64, Facts> {
    let mut all = HashMap::new();
    let mut start = None;
    for line in text.lines() {
        let Some((name, rest)) = line.split_once(':') else { continue };
        let present = || rest.split_whitespace().next().is_some_and(|kib| kib != "0");
        let facts: Option<&mut Facts> = start.and_then(|start| all.get_mut(&start));
        match (name, facts) {
            ("Anonymous" | "Swap", Some(facts)) => facts.own_pages |= present(),
            ("VmFlags", Some(facts)) => {
                for flag in rest.split_whitespace() {
                    match flag {
                        "sh" => facts.shared = true,
                        "ht" => facts.huge = true,
                        "dd" => facts.unwanted = true,
                        _ => {}
                    }
                }
            }
            _ => {
                // `7f00-7f10 rw-p 00000000 08:01 123 /path`: the colon is that of the device.
                let begun = line.split_once('-').and_then(|(head, _)| u64::from_str_radix(head, 16).ok());
                if let Some(begun) = begun.filter(|_| line.contains(' ')) {
                    all.insert(begun, Facts::default());
                    start = Some(begun);
                }
            }
        }
    }
    all
}

/// The pages of a large anonymous mapping that were ever written to; what lies between is part of the core without content.
fn without_holes<'m>(whole: Segment<'m>, pagemap: &File) -> Vec<Segment<'m>> {
    match populated(whole.start, whole.end, pagemap) {
        Some(runs) => split(&whole, &runs),
        None => vec![whole],
    }
}

/// Runs of pages that are there, in memory or swapped out (proc_pid_pagemap(5)); those nearer than [`HOLE`] are one.
fn populated(start: u64, end: u64, pagemap: &File) -> Option<Vec<(u64, u64)>> {
    const ENTRIES: usize = 64 * 1024;
    const PRESENT_OR_SWAPPED: u64 = 3 << 62;
    let mut runs: Vec<(u64, u64)> = Vec::new();
    let mut buffer = vec![0u8; ENTRIES * 8];
    let mut at = start;
    while at < end {
        let pages = usize::try_from((end - at) / PAGE).unwrap_or(ENTRIES).clamp(1, ENTRIES);
        let bytes = buffer.get_mut(..pages * 8)?;
        pagemap.read_exact_at(bytes, at / PAGE * 8).ok()?;
        for (page, entry) in (at..).step_by(PAGE as usize).zip(bytes.chunks_exact(8)) {
            if u64::from_le_bytes(entry.try_into().ok()?) & PRESENT_OR_SWAPPED == 0 {
                continue;
            }
            let is_full = runs.len() >= PARTS_MAX / 2;
            match runs.last_mut().filter(|(_, last)| page - *last < HOLE || is_full) {
                Some((_, last)) => *last = page + PAGE,
                None => runs.push((page, page + PAGE)),
            }
        }
        at += pages as u64 * PAGE;
    }
    Some(runs)
}

fn split<'m>(whole: &Segment<'m>, runs: &[(u64, u64)]) -> Vec<Segment<'m>> {
    let piece = |start, end, stored| Segment { mapping: whole.mapping, start, end, stored };
    let mut pieces = Vec::new();
    let mut at = whole.start;
    for (start, end) in runs {
        let end = (*end).min(whole.end);
        if *start > at {
            pieces.push(piece(at, *start, 0));
        }
        pieces.push(piece(*start, end, end - start));
        at = end;
    }
    if at < whole.end {
        pieces.push(piece(at, whole.end, 0));
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;
    use freezeframe_debuginfo::parse_maps;

    const SMAPS: &str = "\
1000-3000 r-xp 00000000 08:01 7 /bin/shop
Anonymous:             4 kB
VmFlags: rd ex mr mw me
3000-5000 rw-p 00002000 08:01 7 /bin/shop
Anonymous:             8 kB
VmFlags: rd wr mr mw me ac
5000-7000 r--p 00004000 08:01 7 /bin/shop
Anonymous:             0 kB
VmFlags: rd mr mw me
10000-14000 rw-p 00000000 00:00 0 [heap]
Anonymous:             0 kB
Swap:                 16 kB
VmFlags: rd wr mr mw me ac
20000-28000 rw-p 00000000 00:00 0
Anonymous:             8 kB
VmFlags: rd wr mr mw me ac dd
30000-31000 rw-s 00000000 00:01 9 /dev/shm/x (deleted)
Anonymous:             0 kB
VmFlags: rd wr sh mr mw me ms
40000-42000 rw-s 00000000 08:01 8 /var/table
Anonymous:             0 kB
VmFlags: rd wr sh mr mw me ms
50000-60000 rw-p 00000000 00:10 5 /anon_hugepage (deleted)
Anonymous:             0 kB
VmFlags: rd wr mr mw me ht
70000-71000 ---p 00000000 00:00 0
Anonymous:             0 kB
VmFlags: mr mw me
80000-81000 rw-p 00000000 00:00 0
Anonymous:             0 kB
VmFlags: rd wr mr mw me ac
90000-91000 r-xp 00000000 00:00 0 [vdso]
VmFlags: rd ex mr mw me de
";

    fn stored_with(filter: u32, bytes_max: u64) -> (Vec<u64>, u64) {
        let heads: Vec<&str> =
            SMAPS.lines().filter(|line| line.contains("-") && line.contains(" 0")).collect();
        let mappings = parse_maps(&heads.join("\n"));
        let (segments, omitted) = select(&mappings, SMAPS, None, CoreFilter(filter), bytes_max);
        (segments.iter().map(|segment| segment.stored).collect(), omitted)
    }

    #[test]
    fn the_filter_means_what_it_means_to_the_kernel() {
        let all = u64::MAX;
        assert_eq!(CoreFilter::default(), CoreFilter(0x33));
        let own = [0x1000, 0x2000, 0, 0x4000, 0, 0x1000, 0, 0x10000, 0, 0, 0x1000];
        assert_eq!(stored_with(0x33, all), (own.to_vec(), 0));
        assert_eq!(stored_with(0, all).0, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x1000]);
        assert_eq!(
            stored_with(0x3f, all).0,
            [0x2000, 0x2000, 0x2000, 0x4000, 0, 0x1000, 0x2000, 0x10000, 0, 0, 0x1000]
        );
    }

    #[test]
    fn the_largest_pieces_are_left_out_first() {
        let (stored, omitted) = stored_with(0x33, 0x9000);
        assert_eq!((stored.get(7), omitted), (Some(&0), 0x10000));
        assert_eq!(stored.iter().sum::<u64>(), 0x9000);
    }

    #[test]
    fn what_was_never_written_to_is_no_content() {
        let length = 64 << 20;
        // SAFETY: a new private mapping of our own, of which two pages are written, and which is unmapped at the end.
        let start = unsafe {
            let start = libc::mmap(
                std::ptr::null_mut(),
                length,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            );
            assert_ne!(start, libc::MAP_FAILED);
            libc::madvise(start, length, libc::MADV_NOHUGEPAGE);
            start.cast::<u8>().add(4096).write(1);
            start.cast::<u8>().add(32 << 20).write(1);
            start as u64
        };
        let mapping = Mapping { start, end: start + length as u64, readable: true, ..Mapping::default() };
        let whole = Segment { mapping: &mapping, start, end: mapping.end, stored: length as u64 };
        let pagemap = File::open("/proc/self/pagemap").expect("our own");
        let pieces: Vec<(u64, u64)> = without_holes(whole, &pagemap)
            .iter()
            .map(|piece| (piece.end - piece.start, piece.stored))
            .collect();
        // SAFETY: the mapping of above; nothing refers to it any more.
        unsafe { libc::munmap(start as *mut libc::c_void, length) };
        let hole = (32 << 20) - 2 * 4096;
        assert_eq!(pieces, [(4096, 0), (4096, 4096), (hole, 0), (4096, 4096), ((32 << 20) - 4096, 0)]);
    }
}
