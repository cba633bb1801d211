//! HTTP: one module per part of the shop, and how failures become answers.

mod account;
mod admin;
mod cart;
mod catalog;
mod checkout;

use std::error::Error as _;
use std::fmt::Write;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use tracing::Instrument;

use crate::db;
use crate::state::Shop;

/// What every handler gets.
type Shared = State<Arc<Shop>>;

/// All routes of the shop.
pub(crate) fn router(shop: Arc<Shop>) -> Router {
    Router::new()
        .route("/", get(catalog::index))
        .route("/health", get(admin::health))
        .route("/admin/summary", get(admin::summary))
        .route("/products", get(catalog::products))
        .route("/products/{id}", get(catalog::product))
        .route("/price/{id}", get(catalog::price))
        .route("/recommendations/{id}", get(catalog::recommendations))
        .route("/reviews", post(catalog::review))
        .route("/login", post(account::login))
        .route("/transfer", post(account::transfer))
        .route("/loyalty/{user}", get(account::loyalty))
        .route("/cart", get(cart::show).post(cart::add))
        .route("/checkout", post(checkout::checkout))
        .route("/orders/{id}", get(checkout::order))
        .layer(middleware::from_fn(in_span))
        .with_state(shop)
}

/// Logs of a request say which one it was, and to which trace it belongs.
async fn in_span(request: Request, next: Next) -> Response {
    let traceparent = request.headers().get("traceparent").and_then(|value| value.to_str().ok());
    let span =
        tracing::info_span!("request", method = %request.method(), path = request.uri().path(), traceparent);
    next.run(request).instrument(span).await
}

/// An answer that is not the one asked for.
#[derive(Debug)]
enum Failure {
    /// The client's fault: status and reason.
    Refused(StatusCode, String),
    /// Ours; the log knows why.
    Internal,
}

impl Failure {
    fn bad_request(reason: impl Into<String>) -> Self {
        Self::Refused(StatusCode::BAD_REQUEST, reason.into())
    }

    fn not_found(what: &str) -> Self {
        Self::Refused(StatusCode::NOT_FOUND, format!("no such {what}"))
    }

    fn conflict(reason: impl Into<String>) -> Self {
        Self::Refused(StatusCode::CONFLICT, reason.into())
    }

    fn not_logged_in() -> Self {
        Self::Refused(StatusCode::UNAUTHORIZED, "log in first".into())
    }
}

impl From<db::Error> for Failure {
    fn from(error: db::Error) -> Self {
        let mut chain = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let _ = write!(chain, ": {cause}");
            source = cause.source();
        }
        tracing::error!("request failed: {chain}");
        Self::Internal
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let (status, reason) = match self {
            Self::Refused(status, reason) => (status, reason),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal error".into()),
        };
        (status, Json(serde_json::json!({ "error": reason }))).into_response()
    }
}
