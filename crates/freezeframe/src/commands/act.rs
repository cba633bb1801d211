//! `release`, `kill`, `extend`, `core`: what a person does with a held process. The daemon does it and keeps the books.

use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use freezeframe_model::IncidentId;
use freezeframe_store::Store;
use serde_json::json;

use super::DataDirectory;
use crate::client::Client;
use crate::error::CommandError;
use crate::render::clean_lines;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    data: DataDirectory,
    /// For example INC-42.
    #[arg(add = super::completions::incidents())]
    id: IncidentId,
}

#[derive(clap::Args)]
pub(crate) struct ExtendArguments {
    #[command(flatten)]
    data: DataDirectory,
    /// For example INC-42.
    #[arg(add = super::completions::incidents())]
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
    #[arg(add = super::completions::incidents())]
    id: IncidentId,
    /// Write the core, uncompressed and ready for a debugger, to this file.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Kinds of memory to write, as `/proc/PID/coredump_filter` has them (core(5)) [default: store.core_filter].
    #[arg(long, value_name = "MASK", value_parser = crate::config::parse_core_filter)]
    filter: Option<u32>,
}

pub(crate) fn run(arguments: &Arguments, action: &str) -> Result<i32, CommandError> {
    let (message, _) = Client::new(&arguments.data.data_dir).act(arguments.id, action, &json!({}))?;
    super::print(&clean_lines(&message))
}

pub(crate) fn extend(arguments: &ExtendArguments) -> Result<i32, CommandError> {
    let body = json!({ "by_ms": arguments.by_ms });
    let (message, _) = Client::new(&arguments.data.data_dir).act(arguments.id, "extend", &body)?;
    super::print(&clean_lines(&message))
}

/// A core that is there already (the lease's end leaves one) is used; otherwise the daemon has one written.
pub(crate) fn core(arguments: &CoreArguments) -> Result<i32, CommandError> {
    let store = arguments.data.store()?;
    let incident = store.incident(arguments.id)?.ok_or_else(|| super::show::not_found(arguments.id))?;
    let path = match store.core_path(arguments.id) {
        Some(path) if !incident.state.is_live() => path,
        _ => {
            let client = Client::new(&arguments.data.data_dir);
            let (message, _) = client.act(arguments.id, "core", &json!({ "filter": arguments.filter }))?;
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
    if !file.metadata()?.is_file() {
        store.copy_core(id, u64::MAX, &mut file)?;
        return Ok(());
    }
    store.copy_core(id, u64::MAX, &mut Sparse { file: &mut file, at: 0 })?;
    let length = file.stream_position()?;
    file.set_len(length)?;
    file.sync_all()?;
    Ok(())
}

/// Zeros become holes: most of what a process reserves it never uses.
struct Sparse<'f> {
    file: &'f mut std::fs::File,
    at: u64,
}

const BLOCK: u64 = 4096;

impl Write for Sparse<'_> {
    /// Up to the end of one block of the file.
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let left = usize::try_from(BLOCK - self.at % BLOCK).unwrap_or(bytes.len());
        let piece = bytes.get(..left).unwrap_or(bytes);
        if piece.iter().all(|byte| *byte == 0) {
            self.file.seek(SeekFrom::Current(i64::try_from(piece.len()).unwrap_or(0)))?;
        } else {
            self.file.write_all(piece)?;
        }
        self.at += piece.len() as u64;
        Ok(piece.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}
