//! The routes, and what holds for all of them.

mod gate;
mod guard;
mod inspect;
mod json;
mod login;
mod pages;
mod problem;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::header;
use axum::routing::{get, post};
use freezeframe_model::{Capture, Incident, IncidentId};

use crate::control::{Act, ActOutcome, Control, ControlError};
use crate::{Access, page};
use problem::Problem;

/// Largest request body in bytes; the real ones have some dozens.
const MAX_BODY: usize = 16 * 1024;

/// What the handlers share.
struct Shared {
    control: Arc<dyn Control>,
    access: Access,
}

/// All routes over one daemon, for one listener. A listener with other [`Access`] needs a router of its own.
pub fn router(state: Arc<dyn Control>, access: Access) -> Router {
    let shared = Arc::new(Shared { control: state, access });
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route(
            "/style.css",
            get(|| async { ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], page::STYLE) }),
        )
        .route("/icon.svg", get(|| async { ([(header::CONTENT_TYPE, "image/svg+xml")], page::ICON) }))
        .route("/login", get(login::form).post(login::log_in))
        .route("/logout", post(login::log_out))
        .route("/", get(pages::list))
        .route("/i/{id}", get(pages::incident))
        .route("/i/{id}/inspect", post(inspect::page))
        .route("/i/{id}/reveal", post(inspect::reveal_page))
        .route("/i/{id}/{act}", post(pages::act))
        .route("/api/v1/incidents", get(json::incidents))
        .route("/api/v1/incidents/{id}", get(json::incident))
        .route("/api/v1/incidents/{id}/inspect", post(inspect::value))
        .route("/api/v1/incidents/{id}/reveal", post(inspect::reveal))
        .route("/api/v1/incidents/{id}/{act}", post(json::act))
        .route("/api/v1/instances", get(json::instances))
        .route("/metrics", get(gate::metrics))
        .route("/api/v1/gate/histograms", get(gate::histograms))
        .route("/api/v1/gate/histograms.hgrm", get(gate::percentiles))
        .fallback(guard::nothing_here)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(axum::middleware::from_fn_with_state(Arc::clone(&shared), guard::guard))
        .with_state(shared)
}

impl Shared {
    /// Reads from a thread that may block.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&dyn Control) -> Result<T, ControlError> + Send + 'static,
    ) -> Result<T, Problem> {
        let control = Arc::clone(&self.control);
        match tokio::task::spawn_blocking(move || read(&*control)).await {
            Ok(result) => result.map_err(Problem::Control),
            Err(error) => {
                tracing::error!(%error, "reading failed");
                Err(Problem::Control(ControlError::Failed("reading failed; see the daemon's log".to_owned())))
            }
        }
    }

    /// Reads the incident that a path names.
    async fn incident(&self, id: &str) -> Result<(Incident, Option<Capture>), Problem> {
        let id = incident_id(id)?;
        self.read(move |control| control.incident(id)).await?.ok_or(Problem::Control(ControlError::NotFound))
    }

    /// Acts in a task of its own: a browser that is closed in the middle must not leave a release half done.
    async fn act(&self, who: String, id: &str, act: Act) -> Result<ActOutcome, Problem> {
        let id = incident_id(id)?;
        let control = Arc::clone(&self.control);
        match tokio::spawn(async move { control.act(&who, id, act).await }).await {
            Ok(result) => result.map_err(Problem::Control),
            Err(error) => {
                tracing::error!(%error, %id, act = act.name(), "an action failed");
                Err(Problem::Control(ControlError::Failed(
                    "the action failed; see the daemon's log".to_owned(),
                )))
            }
        }
    }
}

fn incident_id(text: &str) -> Result<IncidentId, Problem> {
    text.parse().map_err(|error: freezeframe_model::ParseIdError| Problem::BadRequest(error.to_string()))
}
