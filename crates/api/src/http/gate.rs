//! What is measured of the gate.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::Response;

use super::Shared;
use crate::measured;

/// `GET /metrics`
pub(super) async fn metrics(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    measured::metrics(&headers, &shared.control.durations())
}

/// `GET /api/v1/gate/histograms`
pub(super) async fn histograms(State(shared): State<Arc<Shared>>) -> Response {
    measured::histograms(&shared.control.durations())
}

/// `GET /api/v1/gate/histograms.hgrm?route=NAME`
pub(super) async fn percentiles(
    State(shared): State<Arc<Shared>>,
    Query(wanted): Query<BTreeMap<String, String>>,
) -> Response {
    measured::percentiles(&shared.control.durations(), &wanted)
}
