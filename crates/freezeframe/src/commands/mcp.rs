//! `mcp`: an assistant asks, over standard input and output, for as long as it likes.

use super::WhichDaemon;
use crate::error::CommandError;
use crate::mcp::{Source, serve};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    daemon: WhichDaemon,
}

pub(crate) fn run(arguments: Arguments) -> Result<i32, CommandError> {
    super::log_to_stderr("warn");
    let (client, data) = arguments.daemon.found()?;
    let source = Source::new(client, data);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let served = runtime.block_on(serve(source));
    // An answer that nobody waits for any more must not keep us.
    runtime.shutdown_background();
    served.map(|()| 0)
}
