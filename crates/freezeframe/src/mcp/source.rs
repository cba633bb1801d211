//! Where incidents are read: the store, which needs no daemon, and the daemon for what only it knows; of another machine the daemon
//! alone.

use freezeframe_api::dto::{IncidentList, IncidentView, InspectBody, ValueAnswer};
use freezeframe_model::IncidentId;

use crate::client::Client;
use crate::commands::{DataDirectory, value_of};
use crate::error::{CommandError, Kind};

/// A daemon, and its data directory where that is on this machine: opened anew for each question, as the daemon may come and go.
pub(crate) struct Source {
    client: Client,
    data: Option<DataDirectory>,
}

impl Source {
    pub(crate) fn new(client: Client, data: Option<DataDirectory>) -> Self {
        Self { client, data }
    }

    /// The newest incidents.
    pub(super) fn list(&self, limit: usize) -> Result<IncidentList, CommandError> {
        match &self.data {
            Some(data) => Ok(IncidentList::from(data.store()?.list(limit)?.as_slice())),
            None => self.client.get(&format!("/api/v1/incidents?limit={limit}")),
        }
    }

    /// One incident, whole.
    pub(super) fn incident(&self, id: IncidentId) -> Result<IncidentView, CommandError> {
        if let Some(data) = &self.data {
            let store = data.store()?;
            if let Some(incident) = store.incident(id)? {
                return Ok(IncidentView::from((&incident, store.capture(id)?.as_ref())));
            }
        }
        // The daemon may know it before the disk does; where there is none, nobody knows it.
        let known = self.client.incident(id).map_err(|error| match (error.parts().0, &self.data) {
            (Kind::NotFound, _) | (_, Some(_)) => {
                CommandError::new(Kind::NotFound, format!("there is no incident {id}"))
                    .hint("call list_incidents for those that there are")
            }
            _ => error,
        })?;
        serde_json::from_value(known)
            .map_err(|error| CommandError::failed(format!("the daemon's answer is not as expected: {error}")))
    }

    /// A value by its path. What is redacted stays so.
    pub(super) fn value(&self, id: IncidentId, body: &InspectBody) -> Result<ValueAnswer, CommandError> {
        let found = match &self.data {
            Some(data) => value_of(data, id, body, false),
            None => self.client.inspect(id, body, false),
        };
        found.map_err(|error| {
            let next: &[&str] = match error.parts().0 {
                Kind::NotFound => &[
                    "call incident_variables without `path` for the names of this frame",
                    "or another `frame`",
                ],
                Kind::Usage => {
                    &["`path` is a plain expression such as order.items[3].price, without calls of functions"]
                }
                Kind::Denied => &["redacted values cannot be had here: only a person can look behind them"],
                Kind::TimedOut => &["ask for a part of it: a longer `path`, or a smaller `limit`"],
                Kind::Failed => &["call incident_variables without `path` for what was captured"],
            };
            error.hints_instead(next)
        })
    }
}
