//! The processes that `run` and `demo` start of this same binary.

use std::path::PathBuf;

use crate::error::{CommandError, Kind};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Directory of the instance.
    directory: PathBuf,
}

/// One instance's parent and tracer.
pub(crate) fn run(arguments: &Arguments) -> Result<i32, CommandError> {
    super::log_to_stderr("info");
    freezeframe_shim::run(&arguments.directory, &crate::debuginfod::fetcher)
        .map_err(|error| CommandError::caused(Kind::Failed, &error))?;
    Ok(0)
}

/// The sample shop.
pub(crate) fn shop() -> Result<i32, CommandError> {
    let config = shop::Config::from_env().map_err(|error| CommandError::caused(Kind::Usage, &error))?;
    shop::serve(config).map_err(|error| CommandError::caused(Kind::Failed, &error))?;
    Ok(0)
}
