//! `GET /api/v1/incidents/{id}/dap`: an incident as a debug adapter, over a WebSocket.

use std::sync::Arc;

use axum::Extension;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{Path, State, WebSocketUpgrade};
use axum::response::Response;
use freezeframe_model::Role;
use tokio::sync::Semaphore;

use super::{Problem, Shared, incident_id};
use crate::access::{Admitted, Credential};
use crate::control::ControlError;
use crate::dap::{MESSAGE_BYTES_MAX, OverControl, Session, Terms, serve};

/// Sessions at the same time: each keeps a capture in memory.
const SESSIONS_MAX: usize = 16;

static PLACES: Semaphore = Semaphore::const_new(SESSIONS_MAX);

pub(super) async fn dap(
    State(shared): State<Arc<Shared>>,
    Extension(admitted): Extension<Admitted>,
    credential: Option<Extension<Credential>>,
    Path(id): Path<String>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    let incident = incident_id(&id)?;
    let upgrade = upgrade.map_err(|error| Problem::BadRequest(error.body_text()))?;
    // Whoever asks for an upgrade has one; see the guard.
    let Extension(credential) = credential.ok_or(Problem::Unauthorized)?;
    let place = PLACES.try_acquire().map_err(|_| {
        let why = format!("{SESSIONS_MAX} editors look at incidents already; close one of them");
        Problem::Control(ControlError::Conflict(why))
    })?;
    let may_reveal = admitted.roles.has(Role::Reveal);
    let (control, who) = (Arc::clone(&shared.control), admitted.caller.0);
    let subject = OverControl { control, incident, who, may_reveal };
    let upgrade = upgrade.max_message_size(MESSAGE_BYTES_MAX).max_frame_size(MESSAGE_BYTES_MAX);
    Ok(upgrade.on_upgrade(move |mut socket| async move {
        let _place = place;
        let mut session = Session::new(Terms::default());
        tokio::select! {
            served = serve(&mut session, &subject, &mut socket) => if let Err(error) = served {
                tracing::debug!(%error, %incident, "an editor's session ended");
            },
            () = credential.ended() => tracing::info!(%incident, "an editor's session ended with its login"),
        }
    }))
}
