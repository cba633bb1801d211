//! Where the program under test is.

use std::path::PathBuf;

use crate::error::BenchError;

/// This executable, which is also the service that breaks.
pub(crate) fn own() -> Result<PathBuf, BenchError> {
    std::env::current_exe().map_err(BenchError::io("this executable"))
}

/// `freezeframe`, built in the same profile: beside this executable.
pub(crate) fn freezeframe() -> Result<PathBuf, BenchError> {
    let path = own()?.with_file_name("freezeframe");
    if path.is_file() { Ok(path) } else { Err(BenchError::NoBinary(path)) }
}
