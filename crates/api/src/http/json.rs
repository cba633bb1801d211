//! The JSON handlers.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, header};
use axum::{Extension, Json};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{Problem, Shared};
use crate::access::Admitted;
use crate::control::Act;
use crate::dto::{
    ActionAnswer, CoreBody, ExtendBody, HandOverBody, IncidentList, IncidentView, InstanceList,
};

/// Incidents in a list where the query says nothing, and at most.
const LIMIT: (usize, usize) = (100, 1000);

/// Query of the list.
#[derive(Deserialize)]
pub(super) struct ListQuery {
    limit: Option<usize>,
}

/// `GET /api/v1/incidents?limit=N`
pub(super) async fn incidents(
    State(shared): State<Arc<Shared>>,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Json<IncidentList>, Problem> {
    let Query(query) = query.map_err(|error| Problem::BadRequest(error.body_text()))?;
    let (default, max) = LIMIT;
    let limit = query.limit.unwrap_or(default).min(max);
    let incidents = shared.read(move |control| control.incidents(limit)).await?;
    Ok(Json(IncidentList::from(incidents.as_slice())))
}

/// `GET /api/v1/incidents/{id}`
pub(super) async fn incident(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
) -> Result<Json<IncidentView>, Problem> {
    let (incident, capture) = shared.incident(&id).await?;
    Ok(Json(IncidentView::from((&incident, capture.as_deref()))))
}

/// `GET /api/v1/instances`
pub(super) async fn instances(State(shared): State<Arc<Shared>>) -> Json<InstanceList> {
    Json(InstanceList::from(shared.control.instances().await.as_slice()))
}

/// `POST /api/v1/incidents/{id}/core`
pub(super) async fn core(
    State(shared): State<Arc<Shared>>,
    Extension(admitted): Extension<Admitted>,
    Path(id): Path<String>,
    body: Result<Bytes, axum::extract::rejection::BytesRejection>,
) -> Result<Json<ActionAnswer>, Problem> {
    let path = Path((id, "core".to_owned()));
    act(State(shared), Extension(admitted), path, body).await
}

/// `POST /api/v1/incidents/{id}/{act}`
pub(super) async fn act(
    State(shared): State<Arc<Shared>>,
    Extension(admitted): Extension<Admitted>,
    Path((id, act)): Path<(String, String)>,
    body: Result<Bytes, axum::extract::rejection::BytesRejection>,
) -> Result<Json<ActionAnswer>, Problem> {
    let body = body.map_err(|error| Problem::BadRequest(error.body_text()))?;
    let act = match act.as_str() {
        "release" => Act::Release,
        "kill" => Act::Kill,
        "extend" => Act::Extend { by_ms: parse::<ExtendBody>(&body)?.by_ms },
        "hand-over" => Act::HandOver { client_pid: parse::<HandOverBody>(&body)?.client_pid },
        "reclaim" => Act::Reclaim,
        "core" if body.is_empty() => Act::WriteCore { filter: None },
        "core" => Act::WriteCore { filter: parse::<CoreBody>(&body)?.filter },
        _ => return Err(Problem::NoSuchPath),
    };
    let outcome = shared.act(admitted.caller.0, &id, act).await?;
    Ok(Json(ActionAnswer::new(act, outcome)))
}

/// Whether a body says of itself that it is JSON, which a form of a stranger's page cannot.
pub(super) fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json")
}

pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(body)
        .map_err(|error| Problem::BadRequest(format!("the body is not as expected: {error}")))
}
