//! `release`, `kill`, `extend`, `core`: what a person does with a held process. The daemon does it and keeps the books.

use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use freezeframe_api::dto::{IncidentView, SessionAnswer};
use freezeframe_model::{IncidentId, IncidentState, Role};
use serde_json::json;

use super::WhichDaemon;
use crate::client::Client;
use crate::error::{CommandError, Kind};
use crate::render::clean_lines;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    daemon: WhichDaemon,
    /// For example INC-42.
    #[arg(add = super::completions::incidents())]
    id: IncidentId,
}

#[derive(clap::Args)]
pub(crate) struct ExtendArguments {
    #[command(flatten)]
    daemon: WhichDaemon,
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
    daemon: WhichDaemon,
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
    let (message, _) = arguments.daemon.client()?.act(arguments.id, action, &json!({}))?;
    super::print(&clean_lines(&message))
}

pub(crate) fn extend(arguments: &ExtendArguments) -> Result<i32, CommandError> {
    let body = json!({ "by_ms": arguments.by_ms });
    let (message, _) = arguments.daemon.client()?.act(arguments.id, "extend", &body)?;
    super::print(&clean_lines(&message))
}

/// A core that is there already (the lease's end leaves one) is used; otherwise the daemon has one written.
pub(crate) fn core(arguments: &CoreArguments) -> Result<i32, CommandError> {
    if let Some(client) = arguments.daemon.remote()? {
        return remote_core(arguments, &client);
    }
    let data = &arguments.daemon.data;
    let store = data.store()?;
    let incident = store.incident(arguments.id)?.ok_or_else(|| super::show::not_found(arguments.id))?;
    let path = match store.core_path(arguments.id) {
        Some(path) if !incident.state.is_live() => path,
        _ => {
            write_core(arguments, &Client::new(&data.data_dir))?;
            store
                .core_path(arguments.id)
                .ok_or_else(|| CommandError::failed("the core is not in the store"))?
        }
    };
    match &arguments.output {
        Some(output) => {
            unpack(output, |to| Ok(store.copy_core(arguments.id, u64::MAX, to).map(drop)?))?;
            super::print(&output.display().to_string())
        }
        None => super::print(&path.display().to_string()),
    }
}

fn write_core(arguments: &CoreArguments, client: &Client) -> Result<(), CommandError> {
    let (message, _) = client.act(arguments.id, "core", &json!({ "filter": arguments.filter }))?;
    super::say(&message);
    Ok(())
}

/// The same from another machine: the core comes compressed, and is unpacked here as it comes.
fn remote_core(arguments: &CoreArguments, client: &Client) -> Result<i32, CommandError> {
    let Some(output) = &arguments.output else {
        return Err(CommandError::new(Kind::Usage, "--url needs --output FILE: the core is to come here"));
    };
    let incident: IncidentView = client.get(&format!("/api/v1/incidents/{}", arguments.id))?;
    // Before gigabytes are written that could not be fetched then.
    let session: SessionAnswer = client.get("/api/v1/session")?;
    if !session.roles.iter().any(|role| role == Role::Reveal.as_str()) {
        let why = "a core is not redacted: the role `reveal` is needed to take it away";
        return Err(CommandError::new(Kind::Denied, why));
    }
    if IncidentState::named(&incident.state).is_some_and(IncidentState::is_live) {
        write_core(arguments, client)?;
    }
    unpack(output, |to| {
        let mut decoder = zstd::stream::write::Decoder::new(to)?;
        client.download(&format!("/api/v1/incidents/{}/core", arguments.id), &mut decoder)?;
        Ok(decoder.flush()?)
    })?;
    super::print(&output.display().to_string())
}

/// A file that is written by `write`, with holes where it can have them. What was begun and failed is not left behind.
fn unpack(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> Result<(), CommandError>,
) -> Result<(), CommandError> {
    let mut file = std::fs::File::create(path)?;
    if !file.metadata()?.is_file() {
        return write(&mut file);
    }
    let written = write(&mut Sparse { file: &mut file, at: 0 }).and_then(|()| {
        let length = file.stream_position()?;
        file.set_len(length)?;
        Ok(file.sync_all()?)
    });
    if written.is_err() {
        let _ = std::fs::remove_file(path);
    }
    written
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
