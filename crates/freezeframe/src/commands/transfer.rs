//! `export`, `import`, `open`: an incident as one file. Reading it needs neither the service nor its debug information.
//! `open` reads cores as well.

use std::fs::File;
use std::io::{BufReader, BufWriter, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use freezeframe_api::dto::{IncidentView, VariableShape};
use freezeframe_debuginfo::{Bounds, Options};
use freezeframe_model::{Capture, Incident, IncidentId};
use freezeframe_redact::Redactor;
use freezeframe_store::Store;

use super::{DataDirectory, WhichDaemon, post_mortem};
use crate::client::Client;
use crate::error::{CommandError, Kind};
use crate::render;

#[derive(clap::Args)]
pub(crate) struct ExportArguments {
    #[command(flatten)]
    daemon: WhichDaemon,
    /// For example INC-42.
    #[arg(add = super::completions::incidents())]
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
    /// An exported file, or an ELF core (plain or zstd).
    file: PathBuf,
    /// As JSON.
    #[arg(long)]
    json: bool,
    /// Show the value of this expression instead, for example `order.items[3].price`.
    #[arg(long, value_name = "EXPRESSION")]
    eval: Option<String>,
    /// Thread in which to evaluate [default: the failing one].
    #[arg(long, value_name = "ID", requires = "eval")]
    thread: Option<i32>,
    /// Number of the frame in which to evaluate [default: that of the site].
    #[arg(long, value_name = "NUMBER", requires = "eval")]
    frame: Option<usize>,
    /// First element or field of the value to show.
    #[arg(long, default_value_t = 0, value_name = "NUMBER", requires = "eval")]
    offset: usize,
    /// How many of them.
    #[arg(long, default_value_t = 100, value_name = "NUMBER", requires = "eval")]
    count: usize,
}

/// Whole or not at all: a file that exists is replaced only by a complete one.
pub(crate) fn export(arguments: &ExportArguments) -> Result<i32, CommandError> {
    let id = arguments.id;
    let output = arguments.output.clone().unwrap_or_else(|| PathBuf::from(format!("{id}.capsule")));
    match arguments.daemon.remote()? {
        Some(_) if arguments.with_core => {
            let why = "--with-core is only possible on the daemon's own machine";
            return Err(CommandError::new(Kind::Usage, why)
                .hint(format!("freezeframe core {id} --output FILE fetches the core by itself")));
        }
        Some(client) => write_whole(&output, |to| client.download(&remote_path(id), to))?,
        None => {
            let store = arguments.daemon.data.store()?;
            store.incident(id)?.ok_or_else(|| super::show::not_found(id))?;
            write_whole(&output, |to| Ok(store.export(id, arguments.with_core, to)?))?;
        }
    }
    super::print(&output.display().to_string())
}

/// An incident of a daemon somewhere else, from its file as `export` would write it.
pub(crate) fn fetch(client: &Client, id: IncidentId) -> Result<(Incident, Option<Capture>), CommandError> {
    let mut file = tempfile::tempfile()?;
    client.download(&remote_path(id), &mut file)?;
    file.rewind()?;
    Ok(freezeframe_store::read_capsule(&mut BufReader::new(file))?)
}

/// Where a daemon has an incident as one file.
fn remote_path(id: IncidentId) -> String {
    format!("/api/v1/incidents/{id}/capsule")
}

fn write_whole(
    output: &Path,
    write: impl FnOnce(&mut dyn Write) -> Result<(), CommandError>,
) -> Result<(), CommandError> {
    let temporary = output.with_extension("partial");
    let written = File::create(&temporary).map_err(CommandError::from).and_then(|file| {
        let mut to = BufWriter::new(file);
        write(&mut to)?;
        to.flush()?;
        to.get_ref().sync_all()?;
        Ok(std::fs::rename(&temporary, output)?)
    });
    if written.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    written
}

pub(super) fn open_file(path: &Path) -> Result<BufReader<File>, CommandError> {
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
    let options = post_mortem_options();
    let core = post_mortem::open(&arguments.file, &options)?;
    let (incident, capture) = match &core {
        Some(core) => (core.incident.clone(), Some(core.capture.clone())),
        None => freezeframe_store::read_capsule(&mut open_file(&arguments.file)?)?,
    };
    if let Some(expression) = &arguments.eval {
        return evaluate(arguments, expression, &incident, core.as_ref(), capture.as_ref(), &options);
    }
    match arguments.json {
        true => {
            let mut view = IncidentView::from((&incident, capture.as_ref()));
            view.id = render::label(&incident);
            super::print_json(&view)
        }
        false => super::print(&render::incident(&incident, capture.as_ref(), super::style())),
    }
}

/// Nobody waits for a process that is dead: a large core may take longer than a live one.
const POST_MORTEM_TIME: Duration = Duration::from_secs(10);

/// How cores are read.
pub(super) fn post_mortem_options() -> Options {
    Options { time: POST_MORTEM_TIME, ..Options::default() }
}

/// In a core all of its memory can be asked for; of an exported incident, what was captured.
fn evaluate(
    arguments: &OpenArguments,
    expression: &str,
    incident: &Incident,
    core: Option<&post_mortem::PostMortem>,
    capture: Option<&Capture>,
    options: &Options,
) -> Result<i32, CommandError> {
    let capture =
        capture.ok_or_else(|| CommandError::new(Kind::NotFound, "nothing was captured of this incident"))?;
    let (thread, frame) =
        freezeframe_api::words::default_frame(incident, Some(capture), arguments.thread, arguments.frame);
    let bounds = Bounds { offset: arguments.offset, breadth: arguments.count, ..Bounds::default() };
    let value = match core {
        Some(found) => {
            let redactor = Redactor::default();
            found.core.inspection(options).evaluate(thread, frame, expression, bounds, Some(&redactor))
        }
        None => freezeframe_debuginfo::evaluate_captured(capture, thread, frame, expression),
    };
    let value = value.map_err(|error| super::ask::no_value(&error, expression))?;
    match arguments.json {
        true => super::print_json(&VariableShape::from(&value)),
        false => super::print(&render::variable(&value, None, super::style())),
    }
}
