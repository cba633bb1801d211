//! `incidents` and `show`: what is in the store, for people, for tickets and as JSON. They work with and without a daemon.

use freezeframe_api::dto::{IncidentList, IncidentView};
use freezeframe_api::words::Report;
use freezeframe_model::{IncidentId, Timestamp};
use freezeframe_store::Store;

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
    /// As Markdown, for a ticket or a chat.
    #[arg(long, conflicts_with_all = ["json", "tasks", "expand"])]
    markdown: bool,
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
    if arguments.markdown {
        return markdown(arguments);
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

fn show_remote(arguments: &Arguments, client: &Client) -> Result<i32, CommandError> {
    if arguments.json {
        return super::print_json(&client.incident(arguments.id)?);
    }
    let (incident, capture) = super::transfer::fetch(client, arguments.id)?;
    let style = render::Style { tasks: arguments.tasks, ..super::style() };
    super::print(&render::incident(&incident, capture.as_ref(), style))
}

/// The report that the page's button copies. Only a daemon knows the address of the page; without one it is left out.
fn markdown(arguments: &Arguments) -> Result<i32, CommandError> {
    let client = arguments.daemon.client()?;
    if !client.is_answered() {
        return super::print(&report(&arguments.daemon.data.store()?, arguments.id)?);
    }
    let text = client.text(&format!("/api/v1/incidents/{}/markdown", arguments.id))?;
    // Ours is clean; what another machine says is not known to be.
    let lines = text.lines().map(|line| render::clean_to(line, line.len()));
    super::print(&lines.collect::<Vec<_>>().join("\n"))
}

fn report(store: &Store, id: IncidentId) -> Result<String, CommandError> {
    let incident = store.incident(id)?.ok_or_else(|| not_found(id))?;
    let capture = store.capture(id)?;
    let report = Report {
        capture: capture.as_ref(),
        record: &store.record(id)?,
        sightings: &store.sightings(&incident)?,
        incident: &incident,
        link: None,
        with_values: true,
    };
    Ok(report.markdown(Timestamp::now()))
}

fn not_stored(id: IncidentId) -> CommandError {
    CommandError::failed(format!("the daemon has {id}, but could not store it yet"))
        .hint("its log says why; `--json` shows what it knows")
}

pub(crate) fn not_found(id: IncidentId) -> CommandError {
    CommandError::new(Kind::NotFound, format!("there is no incident {id}"))
        .hint("`freezeframe incidents` lists them")
}

#[cfg(test)]
mod tests {
    use freezeframe_api::words::is_deceptive;
    use freezeframe_model::IncidentState;
    use freezeframe_store::Quota;

    use super::*;
    use crate::render::tests::sample::sample;

    /// The report of the sample incident from a store without a daemon, its every text passed through `t`.
    fn report_of(t: impl Fn(&str) -> String) -> String {
        let data = tempfile::tempdir().expect("a temporary directory");
        let (mut incident, capture) = sample(&t);
        incident.state = IncidentState::Killed;
        let store = Store::open(data.path(), Quota::default()).expect("a store");
        store.insert(&mut incident, Some(&capture)).expect("stored");
        store.note(incident.id, &t("alice"), &t("looks like the rates")).expect("a note");
        drop(store);
        let store = Store::open_read_only(data.path()).expect("the store");
        report(&store, incident.id).expect("a report")
    }

    /// The headings of a report: those lines of code blocks that look like one are none.
    fn headings(text: &str) -> Vec<String> {
        let mut fence: Option<&str> = None;
        let mut found = Vec::new();
        for line in text.lines() {
            match fence {
                Some(end) if line == end => fence = None,
                Some(_) => {}
                None if line.starts_with("```") => fence = Some(line.trim_end_matches("text")),
                None if line.trim_start().starts_with('#') => found.push(line.to_owned()),
                None => {}
            }
        }
        assert_eq!(fence, None, "a code block that does not end in {text}");
        found
    }

    #[test]
    fn a_report_has_the_story_and_the_values() {
        let text = report_of(str::to_owned);
        for part in [
            "# INC-42: shop/2 panicked in shop::pricing::total (src/pricing.rs:118)",
            "attempt to divide by zero",
            "▶   118  ",
            "- `rate` = `0`",
            "looks like the rates",
        ] {
            assert!(text.contains(part), "{part} is missing in {text}");
        }
    }

    #[test]
    fn hostile_text_is_inert_in_a_report() {
        let evil =
            "\u{1b}[2J\u{9b}\u{202e}\u{200b}\n```\n# PLANTED\n<img src=x> [b](https://evil.example) @all";
        let text = report_of(|text| format!("{text}{evil}"));
        assert!(
            text.contains("# PLANTED") && text.contains("evil.example"),
            "it is there to be seen: {text}"
        );
        assert_eq!(text.chars().find(|c| *c != '\n' && is_deceptive(*c)), None, "{text}");
        // The first is the title, in which the text stands without its markup.
        let found = headings(&text);
        assert_eq!(found[1..], headings(&report_of(str::to_owned))[1..]);
        assert!(found[0].starts_with("# INC-42: ") && !found[0].contains(['<', '[', '@']), "{}", found[0]);
        let notes = text.split("## Notes").nth(1).expect("notes");
        assert!(notes.contains("looks like the rates") && !notes.contains(['<', '[', '@']), "{notes}");
    }
}
