//! The handlers of pages.

use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Redirect, Response};
use freezeframe_model::Timestamp;
use serde::Deserialize;

use super::{Problem, Shared, incident_id};
use crate::access::Admitted;
use crate::control::Act;
use crate::page::{self, Notice, Viewer};

/// Incidents on the front page.
const LISTED: usize = 100;
/// What the page's button adds to the lease.
const EXTENSION_MS: u64 = 3_600_000;

/// Query of an incident's page.
#[derive(Deserialize)]
pub(super) struct PageQuery {
    /// Action that led here, by name: only names we know are shown.
    done: Option<String>,
}

/// `GET /`
pub(super) async fn list(
    State(shared): State<Arc<Shared>>,
    Extension(admitted): Extension<Admitted>,
) -> Response {
    let viewer = viewer(&admitted);
    let instances = shared.control.instances().await;
    match shared.read(|control| control.incidents(LISTED)).await {
        Ok(incidents) => Html(page::list(&incidents, &instances, Timestamp::now(), viewer)).into_response(),
        Err(problem) => show(&problem, viewer),
    }
}

/// `GET /i/{id}`
pub(super) async fn incident(
    State(shared): State<Arc<Shared>>,
    Extension(admitted): Extension<Admitted>,
    Path(id): Path<String>,
    query: Result<Query<PageQuery>, QueryRejection>,
) -> Response {
    let viewer = viewer(&admitted);
    let done = query.ok().and_then(|Query(query)| query.done).and_then(|done| notice(&done));
    match shared.incident(&id).await {
        Ok((incident, capture)) => {
            Html(page::incident(&incident, capture.as_deref(), done, Timestamp::now(), viewer))
                .into_response()
        }
        Err(problem) => show(&problem, viewer),
    }
}

/// `POST /i/{id}/{act}`, from the page's buttons
pub(super) async fn act(
    State(shared): State<Arc<Shared>>,
    Extension(admitted): Extension<Admitted>,
    Path((id, act)): Path<(String, String)>,
) -> Response {
    let viewer = viewer(&admitted);
    let act = match act.as_str() {
        "release" => Act::Release,
        "kill" => Act::Kill,
        "extend" => Act::Extend { by_ms: EXTENSION_MS },
        "core" => Act::WriteCore { filter: None },
        _ => return show(&Problem::NoSuchPath, viewer),
    };
    match (incident_id(&id), shared.act(admitted.caller.0, &id, act).await) {
        (Ok(id), Ok(_)) => Redirect::to(&format!("/i/{id}?done={}", act.name())).into_response(),
        (Err(problem), _) | (_, Err(problem)) => show(&problem, viewer),
    }
}

pub(super) fn viewer(admitted: &Admitted) -> Viewer {
    Viewer { can_sign_out: admitted.by_cookie() }
}

pub(super) fn show(problem: &Problem, viewer: Viewer) -> Response {
    let (status, error): (StatusCode, _) = problem.shape();
    (status, Html(page::problem(&error, viewer))).into_response()
}

fn notice(done: &str) -> Option<Notice> {
    Some(Notice(match done {
        "release" => "Released: the process goes on.",
        "kill" => "Killed: the process has ended.",
        "extend" => "The lease ends one hour later.",
        "core" => "The core file has been written.",
        _ => return None,
    }))
}
