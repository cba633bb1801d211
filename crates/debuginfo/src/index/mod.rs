//! Indexes of debug information on disk: what takes time to compute is computed once per build, for every process that comes later.
//!
//! An index is found by build id, size of the file and sizes of its sections, and ignored where anything is amiss: without it a capture
//! takes longer, and says the same. It is written to a file of another name first, so that there is never half a one. The directory
//! is bounded: the indexes that were used last stay.
//!
//! Knows nothing of what is in an index, and decides neither when one is written nor by which thread.

pub(crate) mod bytes;
pub(crate) mod file;

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use file::{IndexFile, IndexWriter, Key};

/// Ends the names of indexes.
const FINISHED: &str = "index";
/// Ends the names of those that are being written.
const UNFINISHED: &str = "unfinished";
/// Files that are looked at when room is made.
const FILES_MAX: usize = 10_000;

/// Where indexes are kept.
#[derive(Clone, Debug)]
pub struct IndexDirectory {
    path: PathBuf,
    bytes_max: u64,
}

/// Which index: the name of its file, and the key inside.
#[derive(Clone, Debug)]
pub(crate) struct IndexName {
    pub(crate) key: Key,
    /// The build id's first digits, for people.
    pub(crate) build: String,
}

impl IndexDirectory {
    /// A directory that is made when it is first needed, for at most `bytes_max` bytes. It has to belong to us alone: indexes
    /// are checked for damage, not for malice.
    pub fn new(path: impl Into<PathBuf>, bytes_max: u64) -> Self {
        Self { path: path.into(), bytes_max }
    }

    fn place(&self, name: &IndexName) -> PathBuf {
        let digits: String = name.key.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        self.path.join(format!("{}-{digits}.{FINISHED}", name.build))
    }

    /// The index of this name and what its writer wanted at hand, where there is a whole one.
    pub(crate) fn open(&self, name: &IndexName) -> Option<(IndexFile, Vec<u8>)> {
        IndexFile::open(File::open(self.place(name)).ok()?, &name.key)
    }

    /// Writes the index of this name by `write`, which gives what is to be at hand, unless there is a good one. One process at a
    /// time: the others wait, and find it done. The answer is whether it was written.
    pub(crate) fn write(
        &self,
        name: &IndexName,
        write: impl FnOnce(&mut IndexWriter) -> io::Result<Vec<u8>>,
    ) -> io::Result<bool> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.path)?;
        let lock =
            OpenOptions::new().create(true).write(true).truncate(false).open(self.path.join("lock"))?;
        lock.lock()?;
        let place = self.place(name);
        if self.open(name).is_some() {
            // Used again: it is not the next to make room.
            let _ = File::open(&place).and_then(|file| file.set_modified(SystemTime::now()));
            return Ok(false);
        }
        let unfinished = place.with_extension(UNFINISHED);
        let written = self.write_unfinished(&unfinished, name, write);
        let placed = written.and_then(|()| fs::rename(&unfinished, &place));
        if placed.is_err() {
            let _ = fs::remove_file(&unfinished);
        }
        placed?;
        self.make_room(&place)?;
        Ok(true)
    }

    fn write_unfinished(
        &self,
        path: &Path,
        name: &IndexName,
        write: impl FnOnce(&mut IndexWriter) -> io::Result<Vec<u8>>,
    ) -> io::Result<()> {
        let file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(path)?;
        let mut writer = IndexWriter::new(file, self.bytes_max)?;
        let at_hand = write(&mut writer)?;
        writer.finish(&name.key, &at_hand).map(|_| ())
    }

    /// Removes what a killed writer left, and then the longest unused indexes until the others fit. To be called under the lock.
    fn make_room(&self, newest: &Path) -> io::Result<()> {
        let mut indexes = Vec::new();
        for entry in fs::read_dir(&self.path)?.take(FILES_MAX).flatten() {
            let path = entry.path();
            match path.extension().and_then(|extension| extension.to_str()) {
                Some(FINISHED) => {
                    let facts = entry.metadata()?;
                    indexes.push((facts.modified()?, facts.len(), path));
                }
                Some(UNFINISHED) => fs::remove_file(path)?,
                _ => {}
            }
        }
        indexes.sort();
        let mut bytes = indexes.iter().fold(0u64, |sum, (_, length, _)| sum.saturating_add(*length));
        for (_, length, path) in indexes {
            if bytes > self.bytes_max && path != newest {
                fs::remove_file(path)?;
                bytes = bytes.saturating_sub(length);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(number: u8) -> IndexName {
        IndexName { key: [number; 32], build: format!("build{number}") }
    }

    fn write(directory: &IndexDirectory, number: u8, bytes: usize) -> io::Result<bool> {
        directory.write(&name(number), |writer| {
            writer.block(&vec![number; bytes])?;
            Ok(vec![number])
        })
    }

    fn has(directory: &IndexDirectory, number: u8) -> bool {
        directory.open(&name(number)).is_some_and(|(_, at_hand)| at_hand == [number])
    }

    #[test]
    fn an_index_is_written_once_and_again_where_it_is_damaged() {
        let scratch = tempfile::tempdir().expect("a directory");
        let directory = IndexDirectory::new(scratch.path().join("index"), 10_000);
        assert!(!has(&directory, 1));
        assert!(write(&directory, 1, 10).expect("written"));
        assert!(has(&directory, 1));
        assert!(!write(&directory, 1, 10).expect("there"));
        fs::write(directory.place(&name(1)), b"something else").expect("replaced");
        assert!(!has(&directory, 1));
        assert!(write(&directory, 1, 10).expect("written"));
        assert!(has(&directory, 1));
    }

    #[test]
    fn the_longest_unused_make_room_and_leftovers_go() {
        let scratch = tempfile::tempdir().expect("a directory");
        let directory = IndexDirectory::new(scratch.path(), 3000);
        let age = |number: u8, seconds: u64| {
            let file = File::open(directory.place(&name(number))).expect("there");
            file.set_modified(SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds)).expect("set");
        };
        for number in 1..=2 {
            write(&directory, number, 1000).expect("written");
            age(number, u64::from(number));
        }
        // Asked for again, the first one is the later one.
        assert!(!write(&directory, 1, 1000).expect("there"));
        fs::write(scratch.path().join("torn.unfinished"), b"").expect("written");
        write(&directory, 3, 1000).expect("written");
        assert_eq!([1, 2, 3].map(|number| has(&directory, number)), [true, false, true]);
        assert!(!scratch.path().join("torn.unfinished").exists());
        write(&directory, 4, 3000).expect_err("larger than the room for all");
        assert_eq!([1, 3, 4].map(|number| has(&directory, number)), [true, true, false]);
        assert!(fs::read_dir(scratch.path()).expect("there").count() <= 3);
    }
}
