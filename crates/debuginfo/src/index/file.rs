//! One index as a file: a header with the key, blocks that are read when they are needed, and a table of them at the end.
//!
//! ```text
//! magic and version (8) · key (32) · place of the table (8) · its length (8) · its seal (8) · seal of all this (8)
//! block … block
//! table: what the caller keeps at hand, then length and seal of every block
//! ```
//!
//! Seals are the first bytes of a SHA-256: they find what is torn or rotten, not what is forged. The directory belongs to us alone.
//! Blocks are read, or, where they are large and little of them is needed, mapped. An index is never changed once it has its name:
//! another one takes its place.

use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;

use memmap2::{Mmap, MmapOptions};
use sha2::{Digest, Sha256};

use super::bytes::{Put, Take};

/// Another layout gets another number.
const MAGIC: [u8; 8] = *b"ffindex\x01";
const HEADER_BYTES: usize = 72;
/// The part of the header that its seal covers.
const SEALED_BYTES: usize = HEADER_BYTES - 8;
/// Tables and blocks over this are not read.
const BLOCK_BYTES_MAX: u64 = 512 << 20;
/// A block that is mapped is looked through in such pieces first.
const PIECE_BYTES: usize = 128 << 10;

/// What an index is of: two keys differ where the files do.
pub(crate) type Key = [u8; 32];
type Seal = [u8; 8];

fn seal(bytes: &[u8]) -> Seal {
    finish(Sha256::new_with_prefix(bytes))
}

fn finish(hash: Sha256) -> Seal {
    let mut seal = Seal::default();
    for (to, from) in seal.iter_mut().zip(hash.finalize()) {
        *to = from;
    }
    seal
}

struct Block {
    offset: u64,
    length: u64,
    seal: Seal,
}

/// An index that was opened.
pub(crate) struct IndexFile {
    file: File,
    blocks: Vec<Block>,
}

impl IndexFile {
    /// The index in this file and what its writer wanted at hand; `None` where it is damaged or of something else.
    pub(crate) fn open(file: File, key: &Key) -> Option<(Self, Vec<u8>)> {
        let mut header = [0; HEADER_BYTES];
        file.read_exact_at(&mut header, 0).ok()?;
        let mut fields = Take::new(&header);
        let (magic, of) = (fields.raw::<8>()?, fields.raw::<32>()?);
        let offset = u64::from_le_bytes(fields.raw()?);
        let length = u64::from_le_bytes(fields.raw()?);
        let (table_seal, own_seal) = (fields.raw::<8>()?, fields.raw::<8>()?);
        if magic != MAGIC || of != *key || own_seal != seal(header.get(..SEALED_BYTES)?) {
            return None;
        }
        let whole = offset.checked_add(length)? == file.metadata().ok()?.len();
        let table = if whole { read(&file, offset, length, table_seal)? } else { return None };
        let mut fields = Take::new(&table);
        let at_hand = fields.list(|fields| fields.raw::<1>())?.into_flattened();
        let mut next = HEADER_BYTES as u64;
        let blocks = fields.list(|fields| {
            let (begin, length) = (next, fields.number()?);
            next = begin.checked_add(length)?;
            Some(Block { offset: begin, length, seal: fields.raw()? })
        })?;
        (next == offset && fields.is_empty()).then_some((Self { file, blocks }, at_hand))
    }

    /// A block by number.
    pub(crate) fn block(&self, number: usize) -> Option<Vec<u8>> {
        let block = self.blocks.get(number)?;
        read(&self.file, block.offset, block.length, block.seal)
    }

    /// A block by number, without a copy of it in memory.
    pub(crate) fn map(&self, number: usize) -> Option<Mmap> {
        let block = self.blocks.get(number)?;
        let (mut hash, mut at, mut left) = (Sha256::new(), block.offset, block.length);
        let mut piece = vec![0; PIECE_BYTES];
        while left > 0 {
            let length = usize::try_from(left).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
            let piece = piece.get_mut(..length)?;
            self.file.read_exact_at(piece, at).ok()?;
            hash.update(&*piece);
            at = at.checked_add(length as u64)?;
            left = left.checked_sub(length as u64)?;
        }
        if finish(hash) != block.seal {
            return None;
        }
        let mut options = MmapOptions::new();
        options.offset(block.offset).len(usize::try_from(block.length).ok()?);
        // SAFETY: the mapping is private and read-only. The file belongs to us alone and is never written to again or cut once it
        // has its name: it is only removed, which leaves it to whoever has it open. Its bytes are decoded as hostile input anyway.
        unsafe { options.map(&self.file) }.ok()
    }
}

fn read(file: &File, offset: u64, length: u64, expected: Seal) -> Option<Vec<u8>> {
    if length > BLOCK_BYTES_MAX {
        return None;
    }
    let mut bytes = vec![0; usize::try_from(length).ok()?];
    file.read_exact_at(&mut bytes, offset).ok()?;
    (seal(&bytes) == expected).then_some(bytes)
}

/// An index that is being written.
pub(crate) struct IndexWriter {
    file: BufWriter<File>,
    offset: u64,
    bytes_max: u64,
    blocks: Vec<(u64, Seal)>,
}

impl IndexWriter {
    /// Into an empty file; the header comes last, so that what is not finished is nothing.
    pub(crate) fn new(file: File, bytes_max: u64) -> io::Result<Self> {
        let mut file = BufWriter::new(file);
        file.write_all(&[0; HEADER_BYTES])?;
        Ok(Self { file, offset: HEADER_BYTES as u64, bytes_max, blocks: Vec::new() })
    }

    /// How many bytes there is room for in all.
    pub(crate) fn room(&self) -> u64 {
        self.bytes_max
    }

    /// Adds the next block.
    pub(crate) fn block(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.blocks.push((bytes.len() as u64, seal(bytes)));
        self.append(bytes)
    }

    /// Writes table and header, and waits until all is on disk.
    pub(crate) fn finish(mut self, key: &Key, at_hand: &[u8]) -> io::Result<u64> {
        let mut table = Put::default();
        table.size(at_hand.len());
        table.raw(at_hand);
        table.size(self.blocks.len());
        for (length, seal) in &self.blocks {
            table.number(*length);
            table.raw(seal);
        }
        let (table, offset) = (table.finish(), self.offset);
        self.append(&table)?;
        let mut header = Put::default();
        header.raw(&MAGIC);
        header.raw(key);
        header.raw(&offset.to_le_bytes());
        header.raw(&(table.len() as u64).to_le_bytes());
        header.raw(&seal(&table));
        let mut header = header.finish();
        header.extend(seal(&header));
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&header)?;
        self.file.flush()?;
        self.file.get_ref().sync_all()?;
        Ok(self.offset)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.offset = self.offset.saturating_add(bytes.len() as u64);
        if self.offset > self.bytes_max {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "the index does not fit into its room"));
        }
        self.file.write_all(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEY: Key = [7; 32];

    fn written(blocks: &[&[u8]], bytes_max: u64) -> io::Result<Vec<u8>> {
        let file = tempfile::tempfile()?;
        let mut writer = IndexWriter::new(file.try_clone()?, bytes_max)?;
        for block in blocks {
            writer.block(block)?;
        }
        let length = writer.finish(&KEY, b"at hand")?;
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
        file.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    }

    type Blocks = Vec<Option<Vec<u8>>>;

    fn all(bytes: &[u8], key: &Key) -> Option<(Vec<u8>, Blocks)> {
        let file = tempfile::tempfile().ok()?;
        file.write_all_at(bytes, 0).ok()?;
        let (index, at_hand) = IndexFile::open(file, key)?;
        for number in 0..4 {
            let mapped = index.map(number).map(|bytes| bytes.to_vec());
            assert_eq!(mapped, index.block(number));
        }
        Some((at_hand, (0..4).map(|number| index.block(number)).collect()))
    }

    #[test]
    fn what_was_written_is_read_by_its_key_only() {
        let bytes = written(&[b"one", b"", b"three"], 1000).expect("room enough");
        let (at_hand, blocks) = all(&bytes, &KEY).expect("whole");
        assert_eq!(at_hand, b"at hand");
        assert_eq!(blocks, [Some(b"one".to_vec()), Some(Vec::new()), Some(b"three".to_vec()), None]);
        assert!(all(&bytes, &[8; 32]).is_none());
        let error = written(&[&[0; 1000]], 1000).expect_err("too large");
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
    }

    proptest! {
        #[test]
        fn damage_is_noticed(at in 0usize..200, flip in 1u8.., cut in 0usize..200) {
            let whole = written(&[&[1; 40], &[2; 40]], 1000).expect("room enough");
            let good = all(&whole, &KEY);
            let mut torn = whole.clone();
            torn.truncate(cut);
            if cut < whole.len() {
                prop_assert!(all(&torn, &KEY).is_none());
            }
            let mut rotten = whole.clone();
            if let Some(byte) = rotten.get_mut(at) {
                *byte ^= flip;
                let (_, good) = good.expect("whole");
                // A rotten block is missing; anything else makes the whole file useless.
                let blocks = all(&rotten, &KEY).map(|(_, blocks)| blocks).unwrap_or_default();
                prop_assert!(blocks != good);
                prop_assert!(blocks.iter().zip(&good).all(|(block, good)| block.is_none() || block == good));
            }
        }
    }
}
