//! Customers: login, store credit, loyalty points.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::http::StatusCode;
use axum::http::header::SET_COOKIE;
use axum::response::{AppendHeaders, IntoResponse};
use serde::Deserialize;
use serde_json::{Value, json};
use tracing::Span;

use super::{Failure, Shared};
use crate::db::seed::password_digest;
use crate::{native, session};

#[derive(Deserialize)]
pub(super) struct Login {
    login: String,
    password: String,
}

pub(super) async fn login(
    State(shop): Shared,
    Json(login): Json<Login>,
) -> Result<impl IntoResponse, Failure> {
    let known = shop.database.credentials(&login.login).await?;
    let user_id = known
        .filter(|known| password_digest(&known.salt, &login.password) == known.password_sha256)
        .map(|known| known.user_id)
        .ok_or_else(|| Failure::Refused(StatusCode::UNAUTHORIZED, "wrong login or password".into()))?;
    let (session, cookie) = session::start(&shop.database, Some(user_id)).await?;
    let name = session.user.map(|user| user.name);
    Ok((AppendHeaders([(SET_COOKIE, cookie)]), Json(json!({ "welcome": name }))))
}

#[derive(Debug, Deserialize)]
pub(super) struct Transfer {
    from: String,
    to: String,
    cents: u32,
}

pub(super) async fn transfer(
    State(shop): Shared,
    headers: HeaderMap,
    Json(transfer): Json<Transfer>,
) -> Result<Json<Value>, Failure> {
    let session = session::find(&shop.database, &headers).await?;
    let user = session.and_then(|session| session.user).ok_or_else(Failure::not_logged_in)?;
    let cents = i64::from(transfer.cents);
    let booking = {
        let (shop, span) = (shop.clone(), Span::current());
        let (from, to) = (transfer.from.clone(), transfer.to.clone());
        // The bank may take its time.
        tokio::task::spawn_blocking(move || {
            span.in_scope(|| shop.ledger.transfer(user.id, &from, &to, cents))
        })
    };
    booking
        .await
        .map_err(|_| Failure::Internal)?
        .map_err(|refused| Failure::conflict(refused.to_string()))?;
    shop.database.book(user.id, &transfer.from, -cents).await?;
    shop.database.book(user.id, &transfer.to, cents).await?;
    Ok(Json(json!({ "moved_cents": cents })))
}

pub(super) async fn loyalty(State(shop): Shared, Path(user): Path<i64>) -> Result<Json<Value>, Failure> {
    let user = shop.database.user(user).await?.ok_or_else(|| Failure::not_found("customer"))?;
    let statement = native::statement(user.id, user.points, user.months_inactive);
    Ok(Json(json!({ "customer": user.name, "statement": statement })))
}
