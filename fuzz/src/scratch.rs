//! Bytes as a file, because that is what executables and cores are opened from.

use std::cell::OnceCell;
use std::fs::File;
use std::io::{self, Seek};
use std::os::unix::fs::FileExt;

thread_local! {
    static FILE: OnceCell<File> = const { OnceCell::new() };
}

/// A file with these bytes. There is one per thread: what was given before changes with it, and must be done with.
pub fn file(bytes: &[u8]) -> io::Result<File> {
    FILE.with(|cell| {
        let file = match cell.get() {
            Some(file) => file,
            None => {
                let made = tempfile::tempfile()?;
                cell.get_or_init(|| made)
            }
        };
        file.set_len(0)?;
        file.write_all_at(bytes, 0)?;
        (&*file).rewind()?;
        file.try_clone()
    })
}
