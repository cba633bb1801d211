//! What runs, and how the last hour went.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use freezeframe_model::Timestamp;
use serde::Deserialize;

use super::{Problem, Shared};
use crate::dto::{FleetAnswer, HistoryAnswer};
use crate::words::parse_rfc3339;

/// `GET /api/v1/fleet`
pub(super) async fn fleet(State(shared): State<Arc<Shared>>) -> Json<FleetAnswer> {
    Json(shared.control.fleet().await)
}

/// Query of the history.
#[derive(Deserialize)]
pub(super) struct HistoryQuery {
    from: Option<String>,
    to: Option<String>,
}

/// `GET /api/v1/fleet/history?from=TIME&to=TIME`
pub(super) async fn history(
    State(shared): State<Arc<Shared>>,
    query: Result<Query<HistoryQuery>, QueryRejection>,
) -> Result<Json<HistoryAnswer>, Problem> {
    let Query(query) = query.map_err(|error| Problem::BadRequest(error.body_text()))?;
    let time = |text: Option<String>, otherwise| match text {
        None => Ok(Timestamp(otherwise)),
        Some(text) => parse_rfc3339(&text)
            .ok_or_else(|| Problem::BadRequest("a time is written like 2026-11-21T03:11:58Z".to_owned())),
    };
    let (from, to) = (time(query.from, i64::MIN)?, time(query.to, i64::MAX)?);
    shared.read(move |control| control.history(from, to)).await.map(Json)
}
