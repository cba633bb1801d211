//! The command line. To add one: a module with `Arguments` and `run`, and a line in [`Command`] and [`run`].

mod act;
mod ask;
mod attach;
mod completions;
mod dap;
mod dap_subject;
mod demo;
mod demo_story;
mod doctor;
mod gate;
mod gate_admin;
mod mcp;
mod people;
mod post_mortem;
mod reload;
mod run;
mod secret;
mod shim;
mod show;
mod stop;
mod top;
mod transfer;

use std::io::{IsTerminal, Write};
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use freezeframe_store::Store;

pub(crate) use ask::{no_value_of, value_of};
pub(crate) use completions::complete;
use stop::StopSignals;
pub(crate) use transfer::fetch;

use crate::client::Client;
use crate::error::CommandError;
use crate::render::Style;

/// Hold a failing server exactly where it broke, keep production healthy without it.
#[derive(Parser)]
#[command(name = "freezeframe", version, propagate_version = true, disable_help_subcommand = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Show the main job on a sample shop that breaks on real traffic.
    Demo(demo::Arguments),
    /// Run a service under supervision, behind the gate.
    Run(run::Arguments),
    /// The gate alone, in front of fixed upstreams, without supervision.
    Gate(gate::Arguments),
    /// Have a running `run` read its configuration again: routes, limits and certificates change without a lost request.
    Reload(reload::Arguments),
    /// List incidents, newest first.
    Incidents(show::ListArguments),
    /// Show one incident: what broke, where, with which values.
    Show(show::Arguments),
    /// Evaluate an expression over the values of an incident.
    Eval(ask::Arguments),
    /// Attach gdb or lldb to a held process; it is held as before when the debugger leaves.
    Attach(attach::Arguments),
    /// Serve an incident to an editor: the Debug Adapter Protocol on standard input and output.
    Dap(dap::Arguments),
    /// Let a held process run on. It gets no new requests and is ended in good order.
    Release(act::Arguments),
    /// End a held process.
    Kill(act::Arguments),
    /// Make the lease of a hold longer.
    Extend(act::ExtendArguments),
    /// Write an ELF core of a held process, which stays held.
    Core(act::CoreArguments),
    /// Write an incident to one file that can be read anywhere.
    Export(transfer::ExportArguments),
    /// Take an exported incident into this data directory.
    Import(transfer::ImportArguments),
    /// Show an exported incident without importing it, or an ELF core of any program.
    Open(transfer::OpenArguments),
    /// Tell what this host can do, and how to get the rest.
    Doctor(doctor::Arguments),
    /// Watch the fleet in the terminal: what serves, how long requests take, what is held.
    Top(top::Arguments),
    /// Serve incidents to an AI assistant over the Model Context Protocol, on standard input and output. Read-only.
    Mcp(mcp::Arguments),
    /// Let people sign in, by name and password, and say what they may do.
    User(people::UserArguments),
    /// Print the data directory's token, which may do everything; or make tokens for scripts, which may do less.
    Token(people::TokenArguments),
    /// Print the script that has a shell complete commands, options and numbers of incidents.
    Completions(completions::CompletionsArguments),
    /// Print the manual page, or write those of all commands.
    Man(completions::ManArguments),
    /// One instance's parent and tracer; started by `run`.
    #[command(hide = true)]
    Shim(shim::Arguments),
    /// The demo's sample shop.
    #[command(hide = true)]
    Shop,
}

/// The data directory where none is named.
const DATA_DIRECTORY: &str = ".freezeframe";

/// Where the daemon and its store are.
#[derive(Args, Clone, Debug)]
pub(crate) struct DataDirectory {
    /// Data directory of the daemon.
    #[arg(
        long,
        env = "FREEZEFRAME_DATA_DIR",
        default_value = DATA_DIRECTORY,
        value_name = "DIR",
        global = true
    )]
    pub(crate) data_dir: PathBuf,
}

/// Which daemon is meant: that of a data directory on this machine, or one at a URL.
#[derive(Args, Clone, Debug)]
pub(crate) struct WhichDaemon {
    #[command(flatten)]
    data: DataDirectory,
    /// A daemon on another machine, by the address of its page; instead of --data-dir.
    #[arg(long, env = "FREEZEFRAME_URL", value_name = "URL")]
    url: Option<String>,
    /// File with the token for --url [default: the variable FREEZEFRAME_TOKEN].
    #[arg(long, env = "FREEZEFRAME_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Certificates (PEM) to trust besides the system's for --url.
    #[arg(long, env = "FREEZEFRAME_CA_FILE", value_name = "FILE")]
    ca_file: Option<PathBuf>,
}

impl WhichDaemon {
    /// The one at a URL, where that is what is meant.
    fn remote(&self) -> Result<Option<Client>, CommandError> {
        let Self { url, token_file, ca_file, .. } = self;
        let client = |url: &String| Client::remote(url, token_file.as_deref(), ca_file.as_deref());
        url.as_ref().map(client).transpose()
    }

    /// Whichever is meant, and its data directory where that is on this machine.
    fn found(self) -> Result<(Client, Option<DataDirectory>), CommandError> {
        let client = self.client()?;
        Ok((client, self.url.is_none().then_some(self.data)))
    }

    /// Whichever is meant.
    fn client(&self) -> Result<Client, CommandError> {
        Ok(self.remote()?.unwrap_or_else(|| Client::new(&self.data.data_dir)))
    }
}

impl DataDirectory {
    /// Its store, for reading.
    pub(crate) fn store(&self) -> Result<Store, CommandError> {
        Store::open_read_only(&self.data_dir).map_err(|error| {
            CommandError::from(error)
                .hint("name the data directory of `freezeframe run` by --data-dir or FREEZEFRAME_DATA_DIR")
        })
    }
}

/// Runs a command; its exit code.
pub(crate) fn run(arguments: Arguments) -> Result<i32, CommandError> {
    match arguments.command {
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Run(arguments) => run::run(arguments),
        Command::Gate(arguments) => gate::run(arguments),
        Command::Reload(arguments) => reload::run(&arguments),
        Command::Incidents(arguments) => show::list(&arguments),
        Command::Show(arguments) => show::run(&arguments),
        Command::Eval(arguments) => ask::run(&arguments),
        Command::Attach(arguments) => attach::run(&arguments),
        Command::Dap(arguments) => dap::run(arguments),
        Command::Release(arguments) => act::run(&arguments, "release"),
        Command::Kill(arguments) => act::run(&arguments, "kill"),
        Command::Extend(arguments) => act::extend(&arguments),
        Command::Core(arguments) => act::core(&arguments),
        Command::Export(arguments) => transfer::export(&arguments),
        Command::Import(arguments) => transfer::import(&arguments),
        Command::Open(arguments) => transfer::open(&arguments),
        Command::Doctor(arguments) => Ok(doctor::run(arguments.json)),
        Command::Top(arguments) => top::run(arguments),
        Command::Mcp(arguments) => mcp::run(arguments),
        Command::User(arguments) => people::user(&arguments),
        Command::Token(arguments) => people::token(&arguments),
        Command::Completions(arguments) => completions::completions(&arguments),
        Command::Man(arguments) => completions::man(&arguments),
        Command::Shim(arguments) => shim::run(&arguments),
        Command::Shop => shim::shop(),
    }
}

/// The one place that writes results: a reader that has gone away (`| head`) is no error.
fn print(text: &str) -> Result<i32, CommandError> {
    let mut out = std::io::stdout().lock();
    match out
        .write_all(text.as_bytes())
        .and_then(|()| if text.ends_with('\n') { Ok(()) } else { out.write_all(b"\n") })
    {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(0),
    }
}

/// JSON, indented, on standard output.
fn print_json<T: serde::Serialize>(value: &T) -> Result<i32, CommandError> {
    print(&crate::render::json(value).map_err(|error| CommandError::failed(error.to_string()))?)
}

/// Messages to people while something goes on. They may quote what was captured.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{}", crate::render::clean_lines(text));
}

/// An error, as every command reports it.
pub(crate) fn complain(error: &CommandError) {
    say(&error.to_string());
}

/// How pages are written: in colour for a terminal that wants it (https://no-color.org).
fn style() -> Style {
    let color =
        std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let width = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok()).unwrap_or(110);
    Style { color, width, tasks: false }
}

/// Our own messages, on standard error; `FREEZEFRAME_LOG` filters them (`debug`, `freezeframe=trace` …).
fn log_to_stderr(default: &str) {
    let filter = tracing_subscriber::EnvFilter::try_from_env("FREEZEFRAME_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(default));
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // A line that cannot be written (a full disk) would be complained of by `eprintln!`, which panics for the same reason.
        .log_internal_errors(false)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .try_init();
}
