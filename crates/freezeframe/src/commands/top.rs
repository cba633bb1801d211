//! `top`: the fleet page in the terminal, once or until it is left.

use super::WhichDaemon;
use crate::error::{CommandError, Kind};
use crate::top::{Fleet, Source, once, watch};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    daemon: WhichDaemon,
    /// Print the page once, as plain text.
    #[arg(long, conflicts_with = "json")]
    once: bool,
    /// Print the fleet once, as JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: Arguments) -> Result<i32, CommandError> {
    use std::io::IsTerminal;
    let (client, data) = arguments.daemon.found()?;
    let source = Source::new(client, data);
    if arguments.json {
        return super::print_json(&source.fleet()?.answer);
    }
    if arguments.once {
        let fleet: Fleet = source.fleet()?;
        return super::print(&once(fleet, super::style().width));
    }
    if !std::io::stdout().is_terminal() {
        return Err(CommandError::new(Kind::Usage, "standard output is no terminal")
            .hint("`freezeframe top --once` prints the page as text, `--json` as JSON"));
    }
    watch(source, super::style().color)
}
