//! `export`, `import`, `open`: an incident as one file. Reading it needs neither the service nor its debug information.

use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use freezeframe_api::dto::IncidentView;
use freezeframe_model::IncidentId;
use freezeframe_store::Store;

use super::DataDirectory;
use crate::error::CommandError;
use crate::render;

#[derive(clap::Args)]
pub(crate) struct ExportArguments {
    #[command(flatten)]
    data: DataDirectory,
    /// For example INC-42.
    id: IncidentId,
    /// File to write [default: INC-42.capsule].
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// With its ELF core, where there is one.
    #[arg(long)]
    with_core: bool,
}

#[derive(clap::Args)]
pub(crate) struct ImportArguments {
    #[command(flatten)]
    data: DataDirectory,
    /// An exported file.
    file: PathBuf,
}

#[derive(clap::Args)]
pub(crate) struct OpenArguments {
    /// An exported file.
    file: PathBuf,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

/// Whole or not at all: a file that exists is replaced only by a complete one.
pub(crate) fn export(arguments: &ExportArguments) -> Result<i32, CommandError> {
    let store = arguments.data.store()?;
    store.incident(arguments.id)?.ok_or_else(|| super::show::not_found(arguments.id))?;
    let output =
        arguments.output.clone().unwrap_or_else(|| PathBuf::from(format!("{}.capsule", arguments.id)));
    let temporary = output.with_extension("partial");
    let written =
        write_whole(&store, arguments, &temporary).and_then(|()| Ok(std::fs::rename(&temporary, &output)?));
    if let Err(error) = written {
        let _ = std::fs::remove_file(&temporary);
        return Err(error);
    }
    super::print(&output.display().to_string())
}

fn write_whole(store: &Store, arguments: &ExportArguments, path: &Path) -> Result<(), CommandError> {
    let mut to = BufWriter::new(File::create(path)?);
    store.export(arguments.id, arguments.with_core, &mut to)?;
    to.flush()?;
    to.get_ref().sync_all()?;
    Ok(())
}

fn open_file(path: &Path) -> Result<BufReader<File>, CommandError> {
    let file = File::open(path).map_err(|error| {
        let error = std::io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        CommandError::from(error)
    })?;
    Ok(BufReader::new(file))
}

/// Into a data directory that no daemon writes to at the moment.
pub(crate) fn import(arguments: &ImportArguments) -> Result<i32, CommandError> {
    let mut from = open_file(&arguments.file)?;
    let store = Store::open(&arguments.data.data_dir, freezeframe_store::Quota::default())?;
    let id = store.import(&mut from)?;
    super::print(&id.to_string())
}

pub(crate) fn open(arguments: &OpenArguments) -> Result<i32, CommandError> {
    let (incident, capture) = freezeframe_store::read_capsule(&mut open_file(&arguments.file)?)?;
    match arguments.json {
        true => super::print_json(&IncidentView::from((&incident, capture.as_ref()))),
        false => super::print(&render::incident(&incident, capture.as_ref(), super::style())),
    }
}
