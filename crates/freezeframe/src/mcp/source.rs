//! Where incidents are read: the store, which needs no daemon, and the daemon for what only it knows.

use freezeframe_api::dto::{IncidentList, IncidentView, InspectBody, ValueAnswer};
use freezeframe_model::IncidentId;

use crate::client::Client;
use crate::commands::{DataDirectory, value_of};
use crate::error::{CommandError, Kind};

/// A data directory, opened anew for each question: its daemon may come and go.
pub(crate) struct Source {
    data: DataDirectory,
}

impl Source {
    pub(crate) fn new(data: DataDirectory) -> Self {
        Self { data }
    }

    /// The newest incidents.
    pub(super) fn list(&self, limit: usize) -> Result<IncidentList, CommandError> {
        Ok(IncidentList::from(self.data.store()?.list(limit)?.as_slice()))
    }

    /// One incident, whole.
    pub(super) fn incident(&self, id: IncidentId) -> Result<IncidentView, CommandError> {
        let store = self.data.store()?;
        if let Some(incident) = store.incident(id)? {
            return Ok(IncidentView::from((&incident, store.capture(id)?.as_ref())));
        }
        // The daemon may know it before the disk does.
        let known = Client::new(&self.data.data_dir).incident(id).map_err(|_| {
            CommandError::new(Kind::NotFound, format!("there is no incident {id}"))
                .hint("call list_incidents for those that there are")
        })?;
        serde_json::from_value(known)
            .map_err(|error| CommandError::failed(format!("the daemon's answer is not as expected: {error}")))
    }

    /// A value by its path. What is redacted stays so.
    pub(super) fn value(&self, id: IncidentId, body: &InspectBody) -> Result<ValueAnswer, CommandError> {
        value_of(&self.data, id, body, false).map_err(|error| {
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
