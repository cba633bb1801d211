//! `mcp`: an assistant asks, over standard input and output, for as long as it likes.

use super::DataDirectory;
use crate::error::CommandError;
use crate::mcp::{Source, serve};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    data: DataDirectory,
}

pub(crate) fn run(arguments: Arguments) -> Result<i32, CommandError> {
    super::log_to_stderr("warn");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let served = runtime.block_on(serve(Source::new(arguments.data)));
    // An answer that nobody waits for any more must not keep us.
    runtime.shutdown_background();
    served.map(|()| 0)
}
