//! What is measured of the gate, over HTTP: for Prometheus, for heat maps, for plots. And the whole of what a gate without a
//! daemon answers on its admin port.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use freezeframe_histogram::{Histogram, Series, family, hgrm};

use crate::access::names_loopback;
use crate::control::{Change, ControlError};
use crate::dto::{ErrorAnswer, ErrorShape, GateStatus, ReloadAnswer, ReloadQuery};
use crate::http::Problem;

const NAME: &str = "freezeframe_gate_request_duration_seconds";
const HELP: &str =
    "Duration of requests through the gate by route, outcome and part (queue, processing, total).";
const PROTOBUF: &str =
    "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";

/// A gate without a daemon, as seen from here.
pub trait GateControl: Send + Sync + 'static {
    /// Histograms with the labels `route`, `outcome` and `part`.
    fn durations(&self) -> Vec<Series>;

    /// Its services and upstreams.
    fn status(&self) -> GateStatus;

    /// As [`Control::reload`](crate::Control::reload); may block.
    ///
    /// # Errors
    /// [`ControlError::Invalid`] where it cannot be used; then nothing was changed.
    fn reload(&self, dry_run: bool) -> Result<Vec<Change>, ControlError>;
}

/// `/metrics`, status and reload of a gate without a daemon. To be served on a loopback port: whoever is on this machine may ask.
/// Browsers may not: what a page has a browser send is refused, whatever the name that it was made to believe to be ours.
pub fn gate_router(gate: Arc<dyn GateControl>) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/metrics", get(gate_metrics))
        .route("/api/v1/gate", get(gate_status))
        .route("/api/v1/gate/histograms", get(gate_histograms))
        .route("/api/v1/gate/histograms.hgrm", get(gate_hgrm))
        .route("/api/v1/gate/reload", post(gate_reload))
        .layer(axum::middleware::from_fn(no_browsers))
        .with_state(gate)
}

type Gate = State<Arc<dyn GateControl>>;

async fn gate_metrics(State(gate): Gate, headers: HeaderMap) -> Response {
    metrics(&headers, &gate.durations())
}

async fn gate_status(State(gate): Gate) -> Json<GateStatus> {
    Json(gate.status())
}

async fn gate_histograms(State(gate): Gate) -> Response {
    histograms(&gate.durations())
}

async fn gate_hgrm(State(gate): Gate, Query(wanted): Query<BTreeMap<String, String>>) -> Response {
    percentiles(&gate.durations(), &wanted)
}

async fn gate_reload(
    State(gate): Gate,
    Query(ReloadQuery { dry_run }): Query<ReloadQuery>,
) -> Result<Json<ReloadAnswer>, Problem> {
    let failed = |_| ControlError::Failed("reading the configuration failed; see the gate's log".to_owned());
    let reloaded = tokio::task::spawn_blocking(move || gate.reload(dry_run)).await;
    let changes = reloaded.map_err(failed).and_then(|reloaded| reloaded).map_err(Problem::Control)?;
    Ok(Json(ReloadAnswer::new(dry_run, changes)))
}

async fn no_browsers(request: Request, next: Next) -> Response {
    let headers = request.headers();
    let is_of_page = headers.contains_key(header::ORIGIN) || headers.contains_key("sec-fetch-site");
    if is_of_page || !names_loopback(request.uri(), headers) {
        let message = "only programs on this machine are answered, by the name of a loopback address";
        let error =
            ErrorShape { kind: "denied".to_owned(), message: message.to_owned(), ..ErrorShape::default() };
        return (StatusCode::FORBIDDEN, Json(ErrorAnswer { error, ..ErrorAnswer::default() }))
            .into_response();
    }
    next.run(request).await
}

/// The answer to a scrape, in the format that it asks for: native histograms where it names the protobuf format, else text.
pub(crate) fn metrics(headers: &HeaderMap, series: &[Series]) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    if accept.contains("application/vnd.google.protobuf") {
        let body = family::protobuf(NAME, HELP, series);
        return ([(header::CONTENT_TYPE, PROTOBUF)], body).into_response();
    }
    let body = family::text(NAME, HELP, series);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], body).into_response()
}

/// Every histogram, compact.
pub(crate) fn histograms(series: &[Series]) -> Response {
    let body =
        format!("{{\"schema\":\"freezeframe-gate-histograms/1\",\"series\":{}}}", family::json(series));
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// One histogram of all those with these labels; without `part`, of the whole time.
pub(crate) fn percentiles(series: &[Series], wanted: &BTreeMap<String, String>) -> Response {
    let fits = |series: &&Series| {
        series.labels.iter().all(|(name, value)| match wanted.get(*name) {
            Some(wanted) => wanted == value,
            None => *name != "part" || value == "total",
        })
    };
    let mut sum = Histogram::new();
    series.iter().filter(fits).for_each(|series| sum.merge(&series.histogram));
    ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], hgrm::text(&sum)).into_response()
}
