//! For those who run the shop.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::{Failure, Shared};
use crate::session;

/// Healthy is: the database answers, and the books can be read.
pub(super) async fn health(State(shop): Shared) -> Result<Json<Value>, Failure> {
    shop.database.ping().await?;
    let books = shop.clone();
    let owed_cents = tokio::task::spawn_blocking(move || books.ledger.owed_cents());
    let owed_cents = owed_cents.await.map_err(|_| Failure::Internal)?;
    Ok(Json(json!({
        "status": "ok",
        "uptime_s": shop.started.elapsed().as_secs(),
        "store_credit_cents": owed_cents,
    })))
}

pub(super) async fn summary(State(shop): Shared, headers: HeaderMap) -> Result<Json<Value>, Failure> {
    let session = session::find(&shop.database, &headers).await?;
    let user = session.and_then(|session| session.user).ok_or_else(Failure::not_logged_in)?;
    if !user.is_admin {
        return Err(Failure::Refused(StatusCode::FORBIDDEN, "for the staff".into()));
    }
    let summary = shop.database.summary().await?;
    Ok(Json(json!({ "summary": summary, "uptime_s": shop.started.elapsed().as_secs() })))
}
