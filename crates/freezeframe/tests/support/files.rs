//! Looking through everything that was written.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// Everything that was written, with what is compressed opened. The daemon lives on meanwhile: what it removes between
/// the listing and the reading (a half-written file, now under its name) is no longer there to be found.
pub(crate) fn every_byte(directory: &Path, found: &mut Vec<(PathBuf, Vec<u8>)>) {
    for entry in there(fs::read_dir(directory), directory).into_iter().flatten() {
        let path = entry.expect("an entry").path();
        let Some(kind) = there(fs::symlink_metadata(&path), &path).map(|metadata| metadata.file_type())
        else {
            continue;
        };
        if kind.is_dir() {
            every_byte(&path, found);
        } else if kind.is_file()
            && let Some(bytes) = there(fs::read(&path), &path)
        {
            if path.extension().is_some_and(|extension| extension == "zst") {
                let opened = zstd::decode_all(&bytes[..])
                    .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                found.push((path.with_extension("opened"), opened));
            }
            found.push((path, bytes));
        }
    }
}

/// What was read, or nothing where the file is gone.
fn there<T>(read: io::Result<T>, path: &Path) -> Option<T> {
    match read {
        Ok(read) => Some(read),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => panic!("{}: {error}", path.display()),
    }
}
