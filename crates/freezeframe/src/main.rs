//! The `freezeframe` binary: subcommands, configuration, composition. It wires everything and decides nothing.
//!
//! Reading order for the path of a crash: `daemon` (its module docs tell it step by step), then the crates that it names.

mod captured;
mod client;
mod commands;
mod config;
mod daemon;
mod debuginfod;
mod error;
mod export;
mod mcp;
mod register;
mod reload;
mod render;
mod token;
mod top;

use clap::Parser;

/// The system's; only the gate's threads keep blocks (docs/decisions/0006).
#[global_allocator]
static ALLOCATOR: freezeframe_blocks::Allocator = freezeframe_blocks::Allocator;

fn main() {
    commands::complete();
    let arguments = commands::Arguments::parse();
    let code = match commands::run(arguments) {
        Ok(code) => code,
        Err(error) => {
            commands::complain(&error);
            error.exit_code()
        }
    };
    std::process::exit(code);
}
