//! The few things that are done to a file system, behind a trait so that tests can fill the disk.
//!
//! Everything here is about durability (fsync of files and of directories); what the files contain is not known here.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// Where new files are written.
pub(crate) trait Medium: Send + Sync {
    /// Creates a file (mode 0600) that must not exist yet.
    fn create(&self, path: &Path) -> io::Result<Box<dyn Sink>>;
}

/// A file that is being written.
pub(crate) trait Sink: Write + Send {
    /// Returns when all bytes are on stable storage.
    fn sync(&mut self) -> io::Result<()>;
}

/// The real one.
pub(crate) struct Disk;

impl Medium for Disk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn Sink>> {
        Ok(Box::new(OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?))
    }
}

impl Sink for File {
    fn sync(&mut self) -> io::Result<()> {
        self.sync_all()
    }
}

/// Creates a directory with mode 0700; one that exists is left as it is.
pub(crate) fn create_directory(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

/// Makes creations, renames and removals inside the directory durable.
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Writes and syncs a new file.
pub(crate) fn write_new(medium: &dyn Medium, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut sink = medium.create(path)?;
    sink.write_all(bytes)?;
    sink.sync()
}

/// Replaces or creates `directory/name` so that a crash leaves the old or the new content, nothing between.
pub(crate) fn replace(medium: &dyn Medium, directory: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let temporary = directory.join(format!("{TEMPORARY}{name}"));
    remove_file(&temporary)?;
    let written = write_new(medium, &temporary, bytes)
        .and_then(|()| fs::rename(&temporary, directory.join(name)))
        .and_then(|()| sync_directory(directory));
    if written.is_err() {
        // The error that led here is the one to report; the next `open` sweeps what stays.
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// Removes a file; one that is not there counts as removed.
pub(crate) fn remove_file(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Removes a directory with its files; one that is not there counts as removed.
pub(crate) fn remove_tree(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Prefix of names that are half-written or half-removed.
pub(crate) const TEMPORARY: &str = ".tmp-";
