//! What the fuzz targets share: a bound of memory, files out of bytes, and processes put together from parts of an input.
//!
//! Every target promises that no input panics, hangs (the runner's `-timeout`) or takes more memory than [`bounded`] allows; some
//! check a property besides. A target knows the crates' public interfaces and their `fuzzing` modules, nothing else of them.

pub mod bounded;
pub mod elf;
pub mod fixture;
pub mod parts;
pub mod process;
pub mod scratch;

/// A text that is to be read within a fuzz target: invalid UTF-8 is replaced, as every reader of ours does.
pub fn text(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}
