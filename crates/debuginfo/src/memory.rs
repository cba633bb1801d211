//! Reading the memory of a process, a core or a stored copy through one trait.
//!
//! Knows nothing of what the bytes mean, nor where they come from.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Bound;

/// Bytes that could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("memory not readable at {address:#x}")]
pub struct Unreadable {
    /// Where the read began.
    pub address: u64,
}

/// Memory of a stopped x86-64 process, however it was kept.
pub trait Memory {
    /// Fills `into` from `address`, wholly or not at all.
    ///
    /// # Errors
    /// [`Unreadable`] where any byte of the range is missing.
    fn read(&self, address: u64, into: &mut [u8]) -> Result<(), Unreadable>;

    /// Puts what there is of the range from `address` over `into` and leaves the rest as it is.
    fn overlay(&self, address: u64, into: &mut [u8]) {
        let mut copy = vec![0; into.len()];
        if self.read(address, &mut copy).is_ok() {
            into.copy_from_slice(&copy);
        }
    }

    /// A little-endian word.
    ///
    /// # Errors
    /// [`Unreadable`] where any of its eight bytes is missing.
    fn read_u64(&self, address: u64) -> Result<u64, Unreadable> {
        let mut bytes = [0; 8];
        self.read(address, &mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// `length` bytes; refuses more than `max`, so that a length found in the process cannot exhaust our memory.
    ///
    /// # Errors
    /// [`Unreadable`] where any byte is missing or `length` is over `max`.
    fn read_bytes(&self, address: u64, length: usize, max: usize) -> Result<Vec<u8>, Unreadable> {
        if length > max {
            return Err(Unreadable { address });
        }
        let mut bytes = vec![0; length];
        self.read(address, &mut bytes)?;
        Ok(bytes)
    }

    /// The bytes up to a NUL, at most `max` of them; the flag tells whether the NUL was reached.
    ///
    /// # Errors
    /// [`Unreadable`] where memory ends before either.
    fn c_string(&self, address: u64, max: usize) -> Result<(Vec<u8>, bool), Unreadable> {
        // Steps end at multiples of 64: no page boundary is crossed before a string that ends in front of it.
        let mut text = Vec::new();
        let mut at = address;
        while text.len() < max {
            let step = usize::try_from(64 - at % 64).unwrap_or(64).min(max - text.len());
            let mut bytes = [0; 64];
            let bytes = bytes.get_mut(..step).ok_or(Unreadable { address: at })?;
            self.read(at, bytes)?;
            if let Some(end) = bytes.iter().position(|&byte| byte == 0) {
                text.extend(bytes.iter().take(end));
                return Ok((text, true));
            }
            text.extend_from_slice(bytes);
            at = at.checked_add(step as u64).ok_or(Unreadable { address: at })?;
        }
        Ok((text, false))
    }
}

/// Copied pieces of memory, sorted and without overlap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    segments: BTreeMap<u64, Vec<u8>>,
    bytes: usize,
}

impl Snapshot {
    /// Keeps `bytes` as the memory from `address`. Where something is known already, that stays: it was copied earlier.
    pub fn add(&mut self, address: u64, bytes: Vec<u8>) {
        let Some(end) = address.checked_add(bytes.len() as u64) else { return };
        let overlaps = self.following(address).is_some_and(|(start, _)| start < end)
            || self.covered_until(address) > address;
        if !overlaps {
            self.insert(address, bytes);
            return;
        }
        let mut at = address;
        while at < end {
            let covered = self.covered_until(at);
            if covered > at {
                at = covered;
                continue;
            }
            let gap_end = self.following(at).map_or(end, |(start, _)| start.min(end));
            let range = offset(address, at)..offset(address, gap_end);
            if let Some(part) = bytes.get(range) {
                self.insert(at, part.to_vec());
            }
            at = gap_end;
        }
    }

    /// How many bytes are kept.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The pieces in the order of their addresses.
    pub fn segments(&self) -> impl Iterator<Item = (u64, &[u8])> {
        self.segments.iter().map(|(address, bytes)| (*address, bytes.as_slice()))
    }

    fn insert(&mut self, address: u64, bytes: Vec<u8>) {
        if !bytes.is_empty() {
            self.bytes = self.bytes.saturating_add(bytes.len());
            self.segments.insert(address, bytes);
        }
    }

    fn following(&self, address: u64) -> Option<(u64, &Vec<u8>)> {
        self.segments
            .range((Bound::Excluded(address), Bound::Unbounded))
            .next()
            .map(|(start, bytes)| (*start, bytes))
    }

    /// End of the segment that holds `address`; `address` itself where none does.
    fn covered_until(&self, address: u64) -> u64 {
        let before = self.segments.range(..=address).next_back();
        before.map_or(address, |(start, bytes)| start.saturating_add(bytes.len() as u64).max(address))
    }
}

fn offset(from: u64, to: u64) -> usize {
    usize::try_from(to.saturating_sub(from)).unwrap_or(usize::MAX)
}

impl Memory for Snapshot {
    fn read(&self, address: u64, into: &mut [u8]) -> Result<(), Unreadable> {
        let mut at = address;
        let mut rest = into;
        while !rest.is_empty() {
            let missing = Unreadable { address: at };
            let (start, bytes) = self.segments.range(..=at).next_back().ok_or(missing)?;
            let available =
                bytes.get(offset(*start, at)..).filter(|bytes| !bytes.is_empty()).ok_or(missing)?;
            let length = available.len().min(rest.len());
            let (now, later) = rest.split_at_mut(length);
            now.copy_from_slice(available.get(..length).ok_or(missing)?);
            at = at.checked_add(length as u64).ok_or(missing)?;
            rest = later;
        }
        Ok(())
    }

    fn overlay(&self, address: u64, into: &mut [u8]) {
        let end = address.saturating_add(into.len() as u64);
        let from = self.segments.range(..=address).next_back().map_or(address, |(start, _)| *start);
        for (start, bytes) in self.segments.range(from..end) {
            let begin = address.max(*start);
            let stop = end.min(start.saturating_add(bytes.len() as u64));
            let part = bytes.get(offset(*start, begin)..offset(*start, stop));
            let place = into.get_mut(offset(address, begin)..offset(address, stop));
            if let (Some(part), Some(place)) = (part, place) {
                place.copy_from_slice(part);
            }
        }
    }
}

/// Two memories over each other: what `first` lacks is read from `then`.
#[derive(Clone, Copy)]
pub struct Layered<'a> {
    /// Asked first, for example a copy made while everything stood still.
    pub first: &'a dyn Memory,
    /// Asked for the rest.
    pub then: &'a dyn Memory,
}

impl Memory for Layered<'_> {
    fn read(&self, address: u64, into: &mut [u8]) -> Result<(), Unreadable> {
        if self.first.read(address, into).is_ok() {
            return Ok(());
        }
        self.then.read(address, into)?;
        // The copy is of an earlier moment than what lies below: prefer it for the part that it has.
        self.first.overlay(address, into);
        Ok(())
    }
}

/// Remembers the page that was read last: a stack is walked word by word, and each word may cost a system call.
pub(crate) struct Paged<'a> {
    below: &'a dyn Memory,
    page: RefCell<Option<(u64, Box<[u8; PAGE]>)>>,
}

const PAGE: usize = 4096;

impl<'a> Paged<'a> {
    pub(crate) fn new(below: &'a dyn Memory) -> Self {
        Self { below, page: RefCell::new(None) }
    }
}

impl Memory for Paged<'_> {
    fn read(&self, address: u64, into: &mut [u8]) -> Result<(), Unreadable> {
        let start = address & !(PAGE as u64 - 1);
        let from = offset(start, address);
        let range = from..from.saturating_add(into.len());
        if range.end > PAGE {
            return self.below.read(address, into);
        }
        let mut page = self.page.borrow_mut();
        if page.as_ref().is_none_or(|(known, _)| *known != start) {
            let mut bytes = Box::new([0; PAGE]);
            // A copy may hold only a part of the page.
            if self.below.read(start, bytes.as_mut_slice()).is_err() {
                return self.below.read(address, into);
            }
            *page = Some((start, bytes));
        }
        let bytes = page.as_ref().and_then(|(_, bytes)| bytes.get(range)).ok_or(Unreadable { address })?;
        into.copy_from_slice(bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(memory: &dyn Memory, address: u64, length: usize) -> Option<Vec<u8>> {
        memory.read_bytes(address, length, 1 << 20).ok()
    }

    #[test]
    fn overlapping_pieces_fill_the_gaps_and_the_first_copy_wins() {
        let mut snapshot = Snapshot::default();
        snapshot.add(100, vec![1; 10]);
        snapshot.add(120, vec![2; 10]);
        snapshot.add(95, vec![3; 40]);
        assert_eq!(snapshot.bytes(), 40);
        let all = read(&snapshot, 95, 40).expect("all of it is there");
        assert_eq!(all[..5], [3; 5]);
        assert_eq!(all[5..15], [1; 10]);
        assert_eq!(all[15..25], [3; 10]);
        assert_eq!(all[25..35], [2; 10]);
        assert_eq!(all[35..], [3; 5]);
        assert_eq!(snapshot.read(94, &mut [0]), Err(Unreadable { address: 94 }));
        assert_eq!(snapshot.read(134, &mut [0, 0]), Err(Unreadable { address: 135 }));
    }

    #[test]
    fn addresses_at_the_end_of_the_address_space_are_harmless() {
        let mut snapshot = Snapshot::default();
        snapshot.add(u64::MAX - 3, vec![1; 16]);
        snapshot.add(u64::MAX - 3, vec![1; 3]);
        assert_eq!(snapshot.bytes(), 3);
        assert!(snapshot.read(u64::MAX, &mut [0; 2]).is_err());
        assert!(snapshot.c_string(u64::MAX - 3, 100).is_err());
        assert_eq!(read(&snapshot, u64::MAX - 3, 3), Some(vec![1; 3]));
    }

    #[test]
    fn strings_end_at_nul_or_at_the_bound() {
        let mut snapshot = Snapshot::default();
        snapshot.add(0x1010, b"hello\0".to_vec());
        snapshot.add(0x1016, vec![0; 0x2a]);
        assert_eq!(snapshot.c_string(0x1010, 100), Ok((b"hello".to_vec(), true)));
        assert_eq!(snapshot.c_string(0x1010, 3), Ok((b"hel".to_vec(), false)));
        assert_eq!(snapshot.c_string(0x2000, 3), Err(Unreadable { address: 0x2000 }));
    }

    #[test]
    fn a_read_across_layers_takes_the_older_copy_where_there_is_one() {
        let (mut first, mut then) = (Snapshot::default(), Snapshot::default());
        first.add(16, vec![1; 16]);
        then.add(0, vec![2; 64]);
        let layered = Layered { first: &first, then: &then };
        let bytes = read(&layered, 0, 64).expect("covered by both");
        assert_eq!(bytes[..16], [2; 16]);
        assert_eq!(bytes[16..32], [1; 16]);
        assert_eq!(bytes[32..], [2; 32]);
        first.add(48, vec![3; 3]);
        first.add(60, vec![4; 100]);
        let layered = Layered { first: &first, then: &then };
        let bytes = read(&layered, 17, 47).expect("covered by both");
        let expected = [vec![1; 15], vec![2; 16], vec![3; 3], vec![2; 9], vec![4; 4]].concat();
        assert_eq!(bytes, expected);
        assert_eq!(read(&layered, 64, 4), Some(vec![4; 4]));
    }

    #[test]
    fn pages_are_remembered_and_partial_ones_read_through() {
        let mut snapshot = Snapshot::default();
        snapshot.add(0x1000, vec![1; 0x1000]);
        snapshot.add(0x2000, vec![2; 0x10]);
        let paged = Paged::new(&snapshot);
        assert_eq!(read(&paged, 0x1008, 8), Some(vec![1; 8]));
        assert_eq!(read(&paged, 0x2008, 8), Some(vec![2; 8]));
        assert_eq!(read(&paged, 0x1ffc, 8), Some([[1; 4], [2; 4]].concat()));
        assert_eq!(read(&paged, 0x200c, 8), None);
        assert_eq!(read(&paged, u64::MAX, 8), None);
    }
}
