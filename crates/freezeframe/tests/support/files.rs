//! Looking through everything that was written.

use std::path::{Path, PathBuf};

/// Everything that was written, with what is compressed opened.
pub(crate) fn every_byte(directory: &Path, found: &mut Vec<(PathBuf, Vec<u8>)>) {
    for entry in std::fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        let kind = std::fs::symlink_metadata(&path).expect("metadata").file_type();
        if kind.is_dir() {
            every_byte(&path, found);
        } else if kind.is_file() {
            let bytes = std::fs::read(&path).expect("readable");
            if path.extension().is_some_and(|extension| extension == "zst") {
                let opened = zstd::decode_all(&bytes[..])
                    .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                found.push((path.with_extension("opened"), opened));
            }
            found.push((path, bytes));
        }
    }
}
