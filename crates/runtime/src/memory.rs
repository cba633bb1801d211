//! Reading another process's memory: through `/proc/PID/mem` (single values) and process_vm_readv (in bulk), and
//! following its pointers.

use std::collections::{BTreeSet, HashSet};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use freezeframe_debuginfo::{Mapping, Memory, Snapshot, Unreadable};

/// The memory of a live process, stopped or not.
pub struct ProcessMemory {
    file: File,
}

impl ProcessMemory {
    /// Needs the right to trace the process.
    pub fn open(pid: i32) -> io::Result<Self> {
        Ok(Self { file: File::open(format!("/proc/{pid}/mem"))? })
    }
}

impl Memory for ProcessMemory {
    fn read(&self, address: u64, into: &mut [u8]) -> Result<(), Unreadable> {
        self.file.read_exact_at(into, address).map_err(|_| Unreadable { address })
    }
}

/// Regions per system call (the kernel's UIO_MAXIOV).
const REGIONS_PER_CALL: usize = 1024;

/// Copies the regions `(address, length)` into `into`; what is not mapped is left out.
pub(crate) fn copy(pid: i32, regions: &[(u64, usize)], into: &mut Snapshot) {
    let mut rest = regions;
    while !rest.is_empty() {
        let regions = rest.get(..REGIONS_PER_CALL).unwrap_or(rest);
        let mut buffers: Vec<Vec<u8>> = regions.iter().map(|(_, length)| vec![0; *length]).collect();
        // The call stops at the first region that it cannot read, perhaps in its middle.
        let mut left = match read_regions(pid, regions, &mut buffers) {
            Ok(read) => read,
            Err(error) if error.raw_os_error() == Some(libc::EFAULT) => 0,
            // Not this call (a seccomp profile may know ptrace, but not it).
            Err(_) => return copy_one_by_one(pid, rest, into),
        };
        let mut done = 0;
        for ((address, length), mut bytes) in regions.iter().zip(buffers) {
            bytes.truncate(left);
            left -= bytes.len();
            done += 1;
            let whole = bytes.len() == *length;
            if !bytes.is_empty() {
                into.add(*address, bytes);
            }
            if !whole {
                break;
            }
        }
        rest = rest.get(done..).unwrap_or_default();
    }
}

fn copy_one_by_one(pid: i32, regions: &[(u64, usize)], into: &mut Snapshot) {
    let Ok(memory) = ProcessMemory::open(pid) else { return };
    for (address, length) in regions {
        let mut bytes = vec![0; *length];
        if memory.read(*address, &mut bytes).is_ok() {
            into.add(*address, bytes);
        }
    }
}

fn read_regions(pid: i32, regions: &[(u64, usize)], buffers: &mut [Vec<u8>]) -> io::Result<usize> {
    let local: Vec<libc::iovec> = buffers
        .iter_mut()
        .map(|b| libc::iovec { iov_base: b.as_mut_ptr().cast(), iov_len: b.len() })
        .collect();
    let remote: Vec<libc::iovec> = regions
        .iter()
        .map(|(address, length)| libc::iovec { iov_base: *address as *mut libc::c_void, iov_len: *length })
        .collect();
    // SAFETY: `local` describes buffers that live and are ours for the time of the call; `remote` is only read by the
    // kernel as addresses of the other process.
    let read = unsafe {
        libc::process_vm_readv(
            pid,
            local.as_ptr(),
            local.len() as u64,
            remote.as_ptr(),
            remote.len() as u64,
            0,
        )
    };
    usize::try_from(read).map_err(|_| io::Error::last_os_error())
}

/// Bounds of following pointers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reach {
    /// Copied from each address that is pointed to.
    pub(crate) bytes_each: usize,
    /// Copied in all.
    pub(crate) bytes_max: usize,
    /// Pointers followed from the stack.
    pub(crate) depth: usize,
    /// Time after which no further system call is begun.
    pub(crate) time: Duration,
}

/// Copies what can be reached from `roots`, level by level.
pub(crate) fn copy_reachable(
    pid: i32,
    mappings: &[Mapping],
    roots: &[u64],
    reach: Reach,
    into: &mut Snapshot,
) {
    let begun = Instant::now();
    let mut seen = HashSet::new();
    let mut level: Vec<u64> = roots.to_vec();
    let mut left = reach.bytes_max;
    for left_to_follow in (0..reach.depth).rev() {
        let mut regions = Vec::new();
        for pointer in level.drain(..) {
            let Some(end) = data_end(mappings, pointer) else { continue };
            let start = pointer & !63;
            let length = reach.bytes_each.min(usize::try_from(end - start).unwrap_or(usize::MAX));
            if left < length || begun.elapsed() > reach.time {
                break;
            }
            if seen.insert(start / 64) {
                left -= length;
                regions.push((start, length));
            }
        }
        if regions.is_empty() {
            return;
        }
        let mut found = Snapshot::default();
        for regions in regions.chunks(REGIONS_PER_CALL) {
            if begun.elapsed() > reach.time {
                break;
            }
            copy(pid, regions, &mut found);
        }
        for (start, length) in regions {
            let mut bytes = vec![0; length];
            if found.read(start, &mut bytes).is_ok() {
                if left_to_follow > 0 {
                    level.extend(words(&bytes));
                }
                into.add(start, bytes);
            }
        }
    }
}

/// End of the writable mapping that `address` lies in; code and constants are read from files.
fn data_end(mappings: &[Mapping], address: u64) -> Option<u64> {
    let at = mappings.partition_point(|mapping| mapping.end <= address);
    let mapping = mappings.get(at)?;
    (mapping.start <= address && mapping.writable && mapping.readable).then_some(mapping.end)
}

/// The little-endian words of a piece of memory that begins at a multiple of eight.
pub(crate) fn words(bytes: &[u8]) -> impl Iterator<Item = u64> + '_ {
    bytes.chunks_exact(8).map(|chunk| u64::from_le_bytes(chunk.try_into().unwrap_or_default()))
}

const NEAREST_DEPTH: usize = 6;
const NEAREST_BYTES_EACH: usize = 1024;
const NEAREST_REGIONS_MAX: usize = 40_000;
const NEAREST_TIME: Duration = Duration::from_millis(250);

/// A piece of memory that is looked through.
struct Region {
    /// What led there.
    pointer: u64,
    start: u64,
    length: usize,
}

/// Breadth-first from a stack `(start, end)`: the texts on the first level on which something points at the first byte of any.
///
/// What only stands in the kilobyte behind a pointer may be a neighbour's: memory of one size lies side by side. That counts where
/// nothing points at a text, on that level and the next (some runtimes have a header before the characters). More than one
/// text means that it cannot be told.
pub(crate) fn nearest(
    memory: &dyn Memory,
    mappings: &[Mapping],
    stack: (u64, u64),
    candidates: &[String],
) -> Vec<String> {
    let begun = Instant::now();
    let wanted: HashSet<&[u8]> = candidates.iter().map(|text| text.as_bytes()).collect();
    let mut seen = HashSet::new();
    let stack_length = usize::try_from(stack.1.saturating_sub(stack.0)).unwrap_or(0).min(256 * 1024);
    let mut level = vec![Region { pointer: 0, start: stack.0, length: stack_length }];
    let mut beside: Vec<String> = Vec::new();
    let mut visited = 0;
    for _ in 0..NEAREST_DEPTH {
        let (mut pointed_at, mut found, mut next) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
        for Region { pointer, start, length } in level {
            let mut bytes = vec![0; length];
            if memory.read(start, &mut bytes).is_err() {
                continue;
            }
            visited += 1;
            if visited > NEAREST_REGIONS_MAX || begun.elapsed() > NEAREST_TIME {
                // What was found on this level so far may have an equal on it.
                return beside;
            }
            for (at, text) in texts_in(&bytes, &wanted) {
                let is_target = start.saturating_add(at as u64) == pointer;
                if is_target { &mut pointed_at } else { &mut found }.insert(text);
            }
            for pointer in words(&bytes) {
                let Some(end) = data_end(mappings, pointer) else { continue };
                let start = pointer & !7;
                if seen.insert(start) {
                    let length = NEAREST_BYTES_EACH.min(usize::try_from(end - start).unwrap_or(0));
                    next.push(Region { pointer, start, length });
                }
            }
        }
        if !pointed_at.is_empty() {
            return pointed_at.into_iter().collect();
        }
        if !beside.is_empty() {
            return beside;
        }
        beside = found.into_iter().collect();
        level = next;
    }
    beside
}

/// Which of the wanted texts stand in the bytes, and where; one pass, however many are wanted.
fn texts_in(bytes: &[u8], wanted: &HashSet<&[u8]>) -> Vec<(usize, String)> {
    let firsts: BTreeSet<u8> = wanted.iter().filter_map(|text| text.first().copied()).collect();
    let lengths: BTreeSet<usize> = wanted.iter().map(|text| text.len()).collect();
    let candidates = bytes.iter().enumerate().filter(|(_, byte)| firsts.contains(byte));
    let found = candidates.flat_map(|(at, _)| {
        let here = lengths.iter().filter_map(move |length| bytes.get(at..at + length));
        here.filter_map(|text| wanted.get(text)).map(move |text| (at, text))
    });
    found.map(|(at, text)| (at, String::from_utf8_lossy(text).into_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_are_copied_around_one_that_is_not_mapped() {
        let one = [7u8; 100];
        let two = [9u8; 50];
        let regions = [(one.as_ptr() as u64, 100), (8, 16), (two.as_ptr() as u64, 50)];
        let mut snapshot = Snapshot::default();
        copy(std::process::id() as i32, &regions, &mut snapshot);
        let mut bytes = [0; 50];
        assert!(snapshot.read(two.as_ptr() as u64, &mut bytes).is_ok_and(|()| bytes == two));
        assert!(snapshot.read(one.as_ptr() as u64 + 50, &mut bytes).is_ok_and(|()| bytes == [7; 50]));
        assert!(snapshot.read(8, &mut bytes).is_err());
    }

    fn nearest_of(stack: &[u64], candidates: &[&str]) -> Vec<String> {
        let pid = std::process::id() as i32;
        let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).expect("own maps");
        let memory = ProcessMemory::open(pid).expect("own memory");
        let bounds = (stack.as_ptr() as u64, stack.as_ptr() as u64 + 8 * stack.len() as u64);
        let candidates: Vec<String> = candidates.iter().map(|text| (*text).to_owned()).collect();
        nearest(&memory, &freezeframe_debuginfo::parse_maps(&maps), bounds, &candidates)
    }

    /// A text in the middle of so much that no neighbour is within reach.
    fn alone(text: &str) -> Box<[u8; 2048]> {
        let mut bytes = Box::new([0; 2048]);
        bytes[512..512 + text.len()].copy_from_slice(text.as_bytes());
        bytes
    }

    #[test]
    fn the_text_nearest_to_the_stack_wins() {
        let (near, far) = (alone("00-near"), alone("00-far"));
        let link: Box<[u64; 256]> = Box::new([far[512..].as_ptr() as u64; 256]);
        let stack = [near[512..].as_ptr() as u64, link.as_ptr() as u64];
        assert_eq!(nearest_of(&stack, &["00-near", "00-far", "nowhere"]), ["00-near"]);
    }

    #[test]
    fn what_is_pointed_at_wins_over_its_neighbours() {
        let (own, other) = (alone("00-own"), alone("00-other"));
        let link: Box<[u64; 256]> = Box::new([own[512..].as_ptr() as u64; 256]);
        let stack = [other.as_ptr() as u64, own.as_ptr() as u64, link.as_ptr() as u64];
        assert_eq!(nearest_of(&stack, &["00-own", "00-other"]), ["00-own"]);
        assert_eq!(nearest_of(&stack[..1], &["00-own", "00-other"]), ["00-other"]);
        assert_eq!(
            nearest_of(&stack[..2], &["00-own", "00-other"]),
            ["00-other", "00-own"],
            "it cannot be told"
        );
    }
}
