//! `attach`: a debugger on a held process. The daemon hands the process over and takes it back when the debugger has left,
//! also when this command is killed.

use std::process::Command;

use freezeframe_model::IncidentId;
use serde_json::json;

use super::DataDirectory;
use crate::client::Client;
use crate::error::{CommandError, Kind};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    data: DataDirectory,
    /// For example INC-42.
    #[arg(add = super::completions::incidents())]
    id: IncidentId,
    /// gdb or lldb [default: whichever is installed].
    #[arg(long, value_parser = ["gdb", "lldb"])]
    debugger: Option<String>,
    /// More arguments for the debugger.
    #[arg(last = true, value_name = "ARG")]
    arguments: Vec<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<i32, CommandError> {
    let debugger = choose(arguments.debugger.as_deref())?;
    let tid = failing_thread(arguments)?;
    let client = Client::new(&arguments.data.data_dir);
    let body = json!({ "client_pid": std::process::id() });
    let (message, pid) = client.act(arguments.id, "hand-over", &body)?;
    let pid = pid.ok_or_else(|| CommandError::failed("the daemon named no process"))?;
    super::say(&message);
    let debugged = debug(&debugger, pid, tid, &arguments.arguments);
    let (message, _) = client.act(arguments.id, "reclaim", &json!({}))?;
    super::say(&message);
    debugged
}

/// The debugger gets the terminal; Ctrl-C is for it, not for us.
fn debug(debugger: &str, pid: i32, tid: i32, more: &[String]) -> Result<i32, CommandError> {
    let mut command = Command::new(debugger);
    match debugger {
        "lldb" => {
            command.args([
                "-p",
                &pid.to_string(),
                "-O",
                "settings set target.process.thread.step-avoid-libraries libc",
            ]);
        }
        _ => {
            // The thread that failed, by its kernel id: gdb counts threads its own way.
            let select = format!(
                "python [t.switch() for t in gdb.selected_inferior().threads() if t.ptid[1] == {tid}]"
            );
            command.args(["-q", "-p", &pid.to_string(), "-ex", &select]);
        }
    }
    command.args(more);
    let _ignored = IgnoreInterrupts::begin();
    let status = command.status().map_err(|error| CommandError::failed(format!("{debugger}: {error}")))?;
    Ok(status.code().unwrap_or(1))
}

fn failing_thread(arguments: &Arguments) -> Result<i32, CommandError> {
    let incident = arguments.data.store()?.incident(arguments.id)?;
    Ok(incident.ok_or_else(|| super::show::not_found(arguments.id))?.hold.failing_tid)
}

fn choose(wanted: Option<&str>) -> Result<String, CommandError> {
    let installed = |name: &&str| {
        let paths = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&paths).any(|directory| directory.join(name).is_file())
    };
    let candidates = wanted.map_or(vec!["gdb", "lldb"], |name| vec![name]);
    candidates.iter().find(|name| installed(name)).map(|name| (*name).to_owned()).ok_or_else(|| {
        CommandError::new(Kind::NotFound, format!("{} is not installed", candidates.join(" or ")))
            .hint("apt-get install gdb")
    })
}

/// While the debugger runs, Ctrl-C must not end us before the process is taken back.
struct IgnoreInterrupts {
    _runtime: Option<tokio::runtime::Runtime>,
}

impl IgnoreInterrupts {
    fn begin() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().ok();
        if let Some(runtime) = &runtime {
            runtime.spawn(async { while tokio::signal::ctrl_c().await.is_ok() {} });
        }
        Self { _runtime: runtime }
    }
}
