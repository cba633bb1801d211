//! Buying: the cart, or a few articles at once without one.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Failure, Shared, catalog};
use crate::db::{Line, Order, Session};
use crate::pricing::{self, Basket, Buyer};
use crate::session;
use crate::state::Shop;

const ITEMS_MAX: usize = 50;

#[derive(Debug, Deserialize)]
pub(super) struct NewOrder {
    coupon: Option<String>,
    /// Buy these now; without them the cart is bought.
    #[serde(default)]
    items: Vec<NewItem>,
}

#[derive(Debug, Deserialize)]
struct NewItem {
    product_id: i64,
    quantity: u32,
}

pub(super) async fn checkout(
    State(shop): Shared,
    headers: HeaderMap,
    Json(new): Json<NewOrder>,
) -> Result<(StatusCode, Json<Value>), Failure> {
    let session = match session::find(&shop.database, &headers).await? {
        Some(session) => session,
        None => session::start(&shop.database, None).await?.0,
    };
    let coupon = match new.coupon.as_deref() {
        Some(code) => Some(shop.database.coupon(code).await?.ok_or_else(|| Failure::not_found("coupon"))?),
        None => None,
    };
    let ordered_now = articles(&shop, &new.items).await?;
    let from_cart = ordered_now.is_empty();

    let checkout = shop.database.begin_checkout(&session).await?;
    let items = if from_cart { checkout.lines.clone() } else { ordered_now };
    if items.is_empty() {
        return Err(Failure::bad_request("the cart is empty"));
    }
    let basket = Basket { buyer: buyer(&session), items };
    let quote = pricing::quote(&basket, coupon.as_ref());
    let complete = shop.inventory.reserve(&basket.items);
    if !complete {
        tracing::warn!(buyer = basket.buyer.email, "part of the order goes on back-order");
    }
    let code = coupon.as_ref().map(|coupon| coupon.code.as_str());
    let order_id = match checkout.place(&basket.items, quote.total_cents, code, from_cart).await {
        Ok(order_id) => order_id,
        Err(error) => {
            shop.inventory.release(&basket.items);
            return Err(error.into());
        }
    };
    shop.inventory.hand_over(&basket.items);
    shop.worker.ring();
    let answer = json!({ "order": order_id, "total_cents": quote.total_cents, "complete": complete });
    Ok((StatusCode::CREATED, Json(answer)))
}

pub(super) async fn order(State(shop): Shared, Path(id): Path<i64>) -> Result<Json<Order>, Failure> {
    Ok(Json(shop.database.order(id).await?.ok_or_else(|| Failure::not_found("order"))?))
}

async fn articles(shop: &Shop, items: &[NewItem]) -> Result<Vec<Line>, Failure> {
    if items.len() > ITEMS_MAX {
        return Err(Failure::bad_request("too many articles at once"));
    }
    let mut lines: Vec<Line> = Vec::with_capacity(items.len());
    for item in items {
        let quantity = i64::from(item.quantity);
        if quantity == 0 || lines.iter().any(|line| line.product.id == item.product_id) {
            return Err(Failure::bad_request("each article once, and at least one of it"));
        }
        let product = catalog::find(shop, item.product_id).await?;
        shop.inventory.promise(product.id, quantity).map_err(|few| Failure::conflict(few.to_string()))?;
        lines.push(Line { product, quantity });
    }
    Ok(lines)
}

fn buyer(session: &Session) -> Buyer {
    Buyer {
        user_id: session.user.as_ref().map(|user| user.id),
        email: session.user.as_ref().map(|user| user.email.clone()),
        session_token: session.token.clone(),
    }
}
