//! `release`, `kill`, `extend`, `core`: what a person does with a held process. The daemon does it and keeps the books.

use std::path::{Path, PathBuf};

use freezeframe_model::IncidentId;
use freezeframe_store::Store;
use serde_json::json;

use super::DataDirectory;
use crate::client::Client;
use crate::error::CommandError;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    data: DataDirectory,
    /// For example INC-42.
    id: IncidentId,
}

#[derive(clap::Args)]
pub(crate) struct ExtendArguments {
    #[command(flatten)]
    data: DataDirectory,
    /// For example INC-42.
    id: IncidentId,
    /// By how much, for example 2h or 90m.
    #[arg(long = "by", default_value = "4h", value_parser = crate::config::parse_duration_ms)]
    by_ms: u64,
}

#[derive(clap::Args)]
pub(crate) struct CoreArguments {
    #[command(flatten)]
    data: DataDirectory,
    /// For example INC-42.
    id: IncidentId,
    /// Write the core, uncompressed and ready for a debugger, to this file.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments, action: &str) -> Result<i32, CommandError> {
    let (message, _) = Client::new(&arguments.data.data_dir).act(arguments.id, action, &json!({}))?;
    super::print(&message)
}

pub(crate) fn extend(arguments: &ExtendArguments) -> Result<i32, CommandError> {
    let body = json!({ "by_ms": arguments.by_ms });
    let (message, _) = Client::new(&arguments.data.data_dir).act(arguments.id, "extend", &body)?;
    super::print(&message)
}

/// A core that is there already (the lease's end leaves one) is used; otherwise the daemon has one written.
pub(crate) fn core(arguments: &CoreArguments) -> Result<i32, CommandError> {
    let store = arguments.data.store()?;
    let incident = store.incident(arguments.id)?.ok_or_else(|| super::show::not_found(arguments.id))?;
    let path = match store.core_path(arguments.id) {
        Some(path) if !incident.state.is_live() => path,
        _ => {
            let client = Client::new(&arguments.data.data_dir);
            let (message, _) = client.act(arguments.id, "core", &json!({}))?;
            super::say(&message);
            store
                .core_path(arguments.id)
                .ok_or_else(|| CommandError::failed("the core is not in the store"))?
        }
    };
    match &arguments.output {
        Some(output) => {
            unpack(&store, arguments.id, output)?;
            super::print(&output.display().to_string())
        }
        None => super::print(&path.display().to_string()),
    }
}

fn unpack(store: &Store, id: IncidentId, to: &Path) -> Result<(), CommandError> {
    let mut file = std::fs::File::create(to)?;
    store.copy_core(id, u64::MAX, &mut file)?;
    file.sync_all()?;
    Ok(())
}
