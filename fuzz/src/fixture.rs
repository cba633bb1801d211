//! A real program and its core from the corpus of the debuginfo crate, read once.

use std::fs::File;
use std::io::{self, Seek, Write};

use freezeframe_debuginfo::{Core, Mapping};

/// A program with its core, packed.
pub struct Fixture {
    name: &'static str,
    core: &'static [u8],
    program: &'static [u8],
}

macro_rules! fixture {
    ($name:literal) => {
        Fixture {
            name: $name,
            core: include_bytes!(concat!("../../crates/debuginfo/tests/cores/", $name, ".core.zst")),
            program: include_bytes!(concat!("../../crates/debuginfo/tests/cores/", $name, ".program.zst")),
        }
    };
}

/// One of each language.
pub const ALL: [Fixture; 4] =
    [fixture!("plain-dwarf4"), fixture!("objects"), fixture!("threads"), fixture!("tiny")];

impl Fixture {
    /// What it is called.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Its core, opened.
    ///
    /// # Errors
    /// Where there is no room for the unpacked files, or the corpus is damaged.
    pub fn open(&self) -> io::Result<Core> {
        let (program, name) = (unpacked(self.program)?, self.name);
        let open = move |mapping: &Mapping| {
            let is_program = mapping.path.ends_with(name);
            if is_program { program.try_clone() } else { Err(io::ErrorKind::NotFound.into()) }
        };
        Core::open(unpacked(self.core)?, open).map_err(io::Error::other)
    }

    /// The program's file, unpacked.
    ///
    /// # Errors
    /// Where the corpus is damaged.
    pub fn program(&self) -> io::Result<Vec<u8>> {
        zstd::stream::decode_all(self.program)
    }

    /// The core's file, unpacked.
    ///
    /// # Errors
    /// Where the corpus is damaged.
    pub fn core(&self) -> io::Result<Vec<u8>> {
        zstd::stream::decode_all(self.core)
    }
}

fn unpacked(packed: &[u8]) -> io::Result<File> {
    let mut file = tempfile::tempfile()?;
    file.write_all(&zstd::stream::decode_all(packed)?)?;
    file.rewind()?;
    Ok(file)
}
