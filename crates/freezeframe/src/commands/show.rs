//! `incidents` and `show`: what is in the store, for people and as JSON. They work with and without a daemon.

use freezeframe_api::dto::{IncidentList, IncidentView};
use freezeframe_model::IncidentId;

use super::DataDirectory;
use crate::client::Client;
use crate::error::{CommandError, Kind};
use crate::render;

#[derive(clap::Args)]
pub(crate) struct ListArguments {
    #[command(flatten)]
    data: DataDirectory,
    /// As JSON.
    #[arg(long)]
    json: bool,
    /// How many at most.
    #[arg(long, default_value_t = 100)]
    limit: usize,
}

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    data: DataDirectory,
    /// For example INC-42.
    id: IncidentId,
    /// With the stacks of asynchronous tasks.
    #[arg(long)]
    tasks: bool,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn list(arguments: &ListArguments) -> Result<i32, CommandError> {
    let incidents = arguments.data.store()?.list(arguments.limit)?;
    match arguments.json {
        true => super::print_json(&IncidentList::from(incidents.as_slice())),
        false => super::print(&render::incidents(&incidents, super::style())),
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<i32, CommandError> {
    let store = arguments.data.store()?;
    let incident = match store.incident(arguments.id)? {
        Some(incident) => incident,
        // A client may know its number before the disk does: once the daemon has answered for it, it is there.
        None => {
            let known = Client::new(&arguments.data.data_dir).incident(arguments.id);
            let known = known.map_err(|_| not_found(arguments.id))?;
            match store.incident(arguments.id)? {
                Some(incident) => incident,
                None if arguments.json => return super::print_json(&known),
                None => return Err(not_stored(arguments.id)),
            }
        }
    };
    let capture = store.capture(arguments.id)?;
    match arguments.json {
        true => super::print_json(&IncidentView::from((&incident, capture.as_ref()))),
        false => {
            let style = render::Style { tasks: arguments.tasks, ..super::style() };
            super::print(&render::incident(&incident, capture.as_ref(), style))
        }
    }
}

fn not_stored(id: IncidentId) -> CommandError {
    CommandError::failed(format!("the daemon has {id}, but could not store it yet"))
        .hint("its log says why; `--json` shows what it knows")
}

pub(crate) fn not_found(id: IncidentId) -> CommandError {
    CommandError::new(Kind::NotFound, format!("there is no incident {id}"))
        .hint("`freezeframe incidents` lists them")
}
