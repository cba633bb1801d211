//! Measurements of the whole system, side by side within one run: what differs between two rounds a minute apart on a shared
//! machine is mostly the machine, so rounds alternate and results are ratios, medians and spreads.
//!
//! It uses the release binary as people would: `freezeframe run` in front of a service, the API over the daemon's socket, and
//! requests over loopback; and `freezeframe gate` beside other proxies. It links nothing of the system but the SDK, which is measured in this process, and admission, which
//! `simulate` plays in virtual time.
//!
//! `cargo run --release -p bench -- hold --json results.json`, `cargo run --release -p bench -- capture`.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod bare;
mod big;
mod binary;
mod capture;
mod daemon;
mod debugger;
mod error;
mod holds;
mod http;
mod load;
mod lost;
mod overhead;
mod process;
mod proxy;
mod report;
mod scratch;
mod service;
mod shed;
mod simulate;
mod statistics;
mod storm;
mod throughput;
mod values;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use error::BenchError;
use report::Report;

#[derive(Parser)]
#[command(name = "bench", about = "Side-by-side measurements of Freezeframe")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// What holding costs: while nothing is wrong, at an error, and in a storm of errors.
    Hold(HoldArguments),
    /// How long a readable capture takes and how much memory, beside gdb and lldb.
    Capture(Common),
    /// Requests per second and CPU per request of the gate, nginx and HAProxy.
    Proxy(proxy::Arguments),
    /// Load shedding over real sockets: the server alone, HAProxy, nginx, the gate.
    Shed(shed::Arguments),
    /// Load shedding in virtual time: hours of load in seconds.
    Simulate(simulate::Arguments),
    /// The small server that breaks on demand.
    #[command(hide = true)]
    Service(service::Arguments),
}

#[derive(Args)]
struct Common {
    /// Write the results to this file as well, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// A fraction of the rounds: to see whether it runs, not how fast.
    #[arg(long)]
    quick: bool,
}

#[derive(Args)]
struct HoldArguments {
    #[command(flatten)]
    common: Common,
    /// Only these, separated by commas.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "PART")]
    only: Vec<Part>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Requests per second, armed and bare.
    Throughput,
    /// From the trap to stopped, unrouted, replaced.
    Holds,
    /// Requests lost to holds.
    Lost,
    /// Thousands of panics per second.
    Storm,
    /// The SDK's calls.
    Sdk,
}

const PARTS: [Part; 5] = [Part::Throughput, Part::Holds, Part::Lost, Part::Storm, Part::Sdk];

fn main() {
    let done = match Arguments::parse().command {
        Command::Hold(arguments) => hold(&arguments),
        Command::Capture(arguments) => {
            measured(&arguments, "capture", |report| capture::measure(arguments.quick, report))
        }
        Command::Proxy(arguments) => {
            measured(&arguments.common, "proxy", |report| proxy::measure(&arguments, report))
        }
        Command::Shed(arguments) => shed::run(&arguments),
        Command::Simulate(arguments) => simulate::run(&arguments),
        Command::Service(arguments) => service::run(&arguments),
    };
    if let Err(error) = done {
        eprintln!("{}", error::chain(&error));
        std::process::exit(1);
    }
}

fn hold(arguments: &HoldArguments) -> Result<(), BenchError> {
    let quick = arguments.common.quick;
    measured(&arguments.common, "hold", |report| {
        for part in
            PARTS.into_iter().filter(|part| arguments.only.is_empty() || arguments.only.contains(part))
        {
            match part {
                Part::Throughput => throughput::measure(quick, report)?,
                Part::Holds => holds::measure(quick, report)?,
                Part::Lost => lost::measure(quick, report)?,
                Part::Storm => storm::measure(quick, report)?,
                Part::Sdk => overhead::measure(quick, report),
            }
        }
        Ok(())
    })
}

/// Measures, and tells what was measured also where it ended early.
fn measured(
    common: &Common,
    name: &str,
    measure: impl FnOnce(&mut Report) -> Result<(), BenchError>,
) -> Result<(), BenchError> {
    process::catch_interrupts();
    if cfg!(debug_assertions) {
        eprintln!("this is a debug build: its numbers mean nothing; use cargo run --release -p bench");
    }
    let mut report = Report::new(name, common.quick);
    let done = measure(&mut report);
    println!("{}", report.table());
    if let Some(path) = &common.json {
        report.write_json(path)?;
    }
    done
}
