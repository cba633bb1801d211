//! `incidents` and `show`: what is in the store, for people and as JSON. They work with and without a daemon.

use std::io::{BufReader, Seek};

use freezeframe_api::dto::{IncidentList, IncidentView};
use freezeframe_model::IncidentId;

use super::WhichDaemon;
use super::ask::{Asked, PlaceArguments};
use crate::client::Client;
use crate::error::{CommandError, Kind};
use crate::render;

#[derive(clap::Args)]
pub(crate) struct ListArguments {
    #[command(flatten)]
    daemon: WhichDaemon,
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
    daemon: WhichDaemon,
    /// For example INC-42.
    #[arg(add = super::completions::incidents())]
    id: IncidentId,
    /// With the stacks of asynchronous tasks.
    #[arg(long)]
    tasks: bool,
    /// As JSON.
    #[arg(long)]
    json: bool,
    /// Show one value alone, with what the page leaves out of it: a path as the page shows it.
    #[arg(long, value_name = "PATH")]
    expand: Option<String>,
    #[command(flatten)]
    place: PlaceArguments,
}

pub(crate) fn list(arguments: &ListArguments) -> Result<i32, CommandError> {
    let list: IncidentList = match arguments.daemon.remote()? {
        Some(client) => client.get(&format!("/api/v1/incidents?limit={}", arguments.limit))?,
        None => IncidentList::from(arguments.daemon.data.store()?.list(arguments.limit)?.as_slice()),
    };
    match arguments.json {
        true => super::print_json(&list),
        false => super::print(&render::incidents(&list.incidents, super::style())),
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<i32, CommandError> {
    if arguments.expand.is_none() && arguments.place.is_given() {
        let why = "--thread, --frame, --offset and --limit belong to --expand";
        return Err(CommandError::new(Kind::Usage, why));
    }
    if let Some(expression) = &arguments.expand {
        let Arguments { daemon, id, place, json, .. } = arguments;
        return Asked { daemon, id: *id, expression, place, json: *json }.answer(None);
    }
    if let Some(client) = arguments.daemon.remote()? {
        return show_remote(arguments, &client);
    }
    let store = arguments.daemon.data.store()?;
    let incident = match store.incident(arguments.id)? {
        Some(incident) => incident,
        // A client may know its number before the disk does: once the daemon has answered for it, it is there.
        None => {
            let known = Client::new(&arguments.daemon.data.data_dir).incident(arguments.id);
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

/// The page is written from the incident's file, as `open` would write it.
fn show_remote(arguments: &Arguments, client: &Client) -> Result<i32, CommandError> {
    if arguments.json {
        return super::print_json(&client.incident(arguments.id)?);
    }
    let mut file = tempfile::tempfile()?;
    client.download(&super::transfer::remote_path(arguments.id), &mut file)?;
    file.rewind()?;
    let (incident, capture) = freezeframe_store::read_capsule(&mut BufReader::new(file))?;
    let style = render::Style { tasks: arguments.tasks, ..super::style() };
    super::print(&render::incident(&incident, capture.as_ref(), style))
}

fn not_stored(id: IncidentId) -> CommandError {
    CommandError::failed(format!("the daemon has {id}, but could not store it yet"))
        .hint("its log says why; `--json` shows what it knows")
}

pub(crate) fn not_found(id: IncidentId) -> CommandError {
    CommandError::new(Kind::NotFound, format!("there is no incident {id}"))
        .hint("`freezeframe incidents` lists them")
}
