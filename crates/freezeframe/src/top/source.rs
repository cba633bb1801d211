//! What the daemon says of its fleet, asked each second.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::Duration;

use freezeframe_api::dto::{FleetAnswer, HistoryAnswer, IncidentList, IncidentSummary};
use freezeframe_model::IncidentId;
use serde_json::json;

use crate::client::Client;
use crate::commands::{DataDirectory, fetch};
use crate::error::{CommandError, Kind};
use crate::render::{self, Line, Style};

/// Between two looks.
const PERIOD: Duration = Duration::from_secs(1);
/// Incidents that are listed.
const INCIDENTS_MAX: usize = 100;
/// What a confirmed `e` adds to a lease.
const EXTEND_MS: u64 = 4 * 3_600_000;

/// The fleet at a moment.
pub(crate) struct Fleet {
    /// What runs.
    pub(crate) answer: FleetAnswer,
    /// How the last hour went.
    pub(crate) history: HistoryAnswer,
    /// Those that are held first, then the newest of the others.
    pub(crate) incidents: Vec<IncidentSummary>,
}

/// What the person wants.
pub(super) enum Ask {
    /// The page of an incident, so many columns wide.
    Page(IncidentId, usize),
    /// Four hours more.
    Extend(IncidentId),
}

/// What came of it.
pub(super) enum Told {
    /// The fleet.
    Fleet(Box<Fleet>),
    /// The page of an incident.
    Page(IncidentId, Vec<Line>),
    /// Something that was done.
    Done(String),
    /// Something that could not be done.
    Trouble(String),
}

/// A daemon.
pub(crate) struct Source {
    client: Client,
    /// Its data directory; `None` where it is on another machine.
    data: Option<DataDirectory>,
}

impl Source {
    pub(crate) fn new(client: Client, data: Option<DataDirectory>) -> Self {
        Self { client, data }
    }

    /// The fleet as it is now.
    pub(crate) fn fleet(&self) -> Result<Fleet, CommandError> {
        let answer: FleetAnswer = self.client.get("/api/v1/fleet")?;
        let history: HistoryAnswer = self.client.get("/api/v1/fleet/history")?;
        let list: IncidentList = self.client.get(&format!("/api/v1/incidents?limit={INCIDENTS_MAX}"))?;
        let mut incidents = list.incidents;
        incidents.sort_by_key(|incident| !is_open(incident));
        Ok(Fleet { answer, history, incidents })
    }

    /// Answers and looks until nobody listens any more.
    pub(super) fn answer(&self, asked: &Receiver<Ask>, tell: &SyncSender<Told>) {
        loop {
            let told = match asked.recv_timeout(PERIOD) {
                Ok(Ask::Page(id, width)) => self.page(id, width).map(|lines| Told::Page(id, lines)),
                Ok(Ask::Extend(id)) => self.extend(id).map(Told::Done),
                Err(RecvTimeoutError::Timeout) => self.fleet().map(|fleet| Told::Fleet(Box::new(fleet))),
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let told = told.unwrap_or_else(|error| Told::Trouble(error.parts().1.to_owned()));
            if tell.send(told).is_err() {
                return;
            }
        }
    }

    fn page(&self, id: IncidentId, width: usize) -> Result<Vec<Line>, CommandError> {
        let (incident, capture) = match &self.data {
            Some(data) => {
                let store = data.store()?;
                let missing = || CommandError::new(Kind::NotFound, format!("{id} is not in the store yet"));
                (store.incident(id)?.ok_or_else(missing)?, store.capture(id)?)
            }
            None => fetch(&self.client, id)?,
        };
        let style = Style { color: true, width, tasks: false };
        Ok(render::incident_lines(&incident, capture.as_ref(), style))
    }

    fn extend(&self, id: IncidentId) -> Result<String, CommandError> {
        let body = json!({ "by_ms": EXTEND_MS });
        self.client.act(id, "extend", &body).map(|(message, _)| message)
    }
}

/// Whether its process is still there.
pub(super) fn is_open(incident: &IncidentSummary) -> bool {
    matches!(incident.state.as_str(), "draining" | "held")
}
