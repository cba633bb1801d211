//! The cart. Guests get a session with their first article.

use axum::Json;
use axum::extract::State;
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{AppendHeaders, IntoResponse};
use serde::Deserialize;
use serde_json::json;

use super::{Failure, Shared, catalog};
use crate::session;

pub(super) async fn show(State(shop): Shared, headers: HeaderMap) -> Result<impl IntoResponse, Failure> {
    let lines = match session::find(&shop.database, &headers).await? {
        Some(session) => shop.database.cart(session.id).await?,
        None => Vec::new(),
    };
    Ok(Json(lines))
}

#[derive(Debug, Deserialize)]
pub(super) struct NewLine {
    product_id: i64,
    quantity: u32,
}

pub(super) async fn add(
    State(shop): Shared,
    headers: HeaderMap,
    Json(line): Json<NewLine>,
) -> Result<impl IntoResponse, Failure> {
    if line.quantity == 0 {
        return Err(Failure::bad_request("quantity is zero"));
    }
    let quantity = i64::from(line.quantity);
    let product = catalog::find(&shop, line.product_id).await?;
    let ships_in_days =
        shop.inventory.promise(product.id, quantity).map_err(|few| Failure::conflict(few.to_string()))?;
    let (session, cookie) = match session::find(&shop.database, &headers).await? {
        Some(session) => (session, None),
        None => {
            let (session, cookie) = session::start(&shop.database, None).await?;
            (session, Some(cookie))
        }
    };
    shop.database.put_in_cart(session.id, product.id, quantity).await?;
    let answer = json!({ "product": product.name, "quantity": quantity, "ships_in_days": ships_in_days });
    let cookie = AppendHeaders(cookie.map(|cookie| (SET_COOKIE, cookie)));
    Ok((StatusCode::CREATED, cookie, Json(answer)))
}
