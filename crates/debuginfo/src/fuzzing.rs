//! What the fuzz targets reach of the inside. No part of the interface: it changes whenever they do.

use std::fs::File;

use crate::dwarf::stored;
use crate::index::bytes::{Put, Take};
use crate::index::file::{IndexFile, IndexWriter};

/// The key of every index here.
const KEY: [u8; 32] = [7; 32];
/// Blocks of a file that are read.
const BLOCKS_MAX: usize = 64;

/// See `demangle`.
pub fn demangle(name: &str) -> String {
    crate::demangle::demangle(name)
}

/// Reads what an index's file holds, if these bytes are one.
pub fn read_index(file: File) -> Option<usize> {
    let (index, at_hand) = IndexFile::open(file, &KEY)?;
    let blocks = (0..BLOCKS_MAX).filter_map(|number| index.block(number)).map(|block| block.len());
    Some(blocks.sum::<usize>().saturating_add(at_hand.len()))
}

/// Writes a whole index with these blocks into an empty file.
///
/// # Errors
/// Of the file system.
pub fn write_index(file: File, blocks: &[&[u8]], at_hand: &[u8]) -> std::io::Result<u64> {
    let mut writer = IndexWriter::new(file, u64::MAX)?;
    for block in blocks {
        writer.block(block)?;
    }
    writer.finish(&KEY, at_hand)
}

/// Reads a stored table of units or of a unit's functions and asks it. What was accepted is written and read again: is it the
/// same? `None` where it was refused.
pub fn stored_tables(bytes: &[u8], asked: u64) -> Option<bool> {
    stored::fuzzing(bytes, asked)
}

/// Numbers of an index: whatever is read is written as something that reads the same.
pub fn numbers(bytes: &[u8]) -> Option<bool> {
    let numbers = Take::new(bytes).list(Take::number)?;
    let mut put = Put::default();
    put.size(numbers.len());
    numbers.iter().for_each(|number| put.number(*number));
    Some(Take::new(&put.finish()).list(Take::number).as_ref() == Some(&numbers))
}
