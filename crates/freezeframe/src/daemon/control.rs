//! The daemon as the API sees it.

use freezeframe_api::{Act, ActOutcome, BoxFuture, Control, ControlError};
use freezeframe_model::{Capture, Incident, IncidentId, InstanceView, chain};
use freezeframe_store::{Store, StoreError};
use tokio::sync::oneshot;

use super::actor::{Mailbox, Message};

/// A core of many gigabytes takes minutes.
const ACT_LIMIT: std::time::Duration = std::time::Duration::from_secs(600);

/// Reads go to the store, everything else to the actor.
pub(crate) struct Desk {
    pub(crate) store: Store,
    pub(crate) mailbox: Mailbox,
}

fn failed(error: StoreError) -> ControlError {
    ControlError::Failed(chain(error))
}

impl Control for Desk {
    fn incidents(&self, limit: usize) -> Result<Vec<Incident>, ControlError> {
        self.store.list(limit).map_err(failed)
    }

    fn incident(&self, id: IncidentId) -> Result<Option<(Incident, Option<Capture>)>, ControlError> {
        let Some(incident) = self.store.incident(id).map_err(failed)? else { return Ok(None) };
        Ok(Some((incident, self.store.capture(id).map_err(failed)?)))
    }

    fn instances(&self) -> BoxFuture<'_, Vec<InstanceView>> {
        Box::pin(async {
            let (answer, answered) = oneshot::channel();
            self.mailbox.send(Message::Instances(answer)).await;
            answered.await.unwrap_or_default()
        })
    }

    fn act(
        &self,
        who: &str,
        incident: IncidentId,
        action: Act,
    ) -> BoxFuture<'_, Result<ActOutcome, ControlError>> {
        let who = who.to_owned();
        Box::pin(async move {
            let (answer, answered) = oneshot::channel();
            self.mailbox.send(Message::Act { who, incident, action, answer }).await;
            match tokio::time::timeout(ACT_LIMIT, answered).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(_)) => Err(ControlError::Failed("the daemon is stopping".to_owned())),
                Err(_) => Err(ControlError::TimedOut("the instance's shim does not answer".to_owned())),
            }
        })
    }
}
