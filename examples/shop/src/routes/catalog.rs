//! Browsing: products, prices, recommendations, reviews.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Failure, Shared};
use crate::db::{Line, Product};
use crate::pricing::{self, Basket, Buyer, Quote};
use crate::state::Shop;

const INDEX: &str = "\
Coffee shop

GET  /products                    all products
GET  /products/{id}               one product
GET  /price/{id}?coupon=CODE      its price, freight included
GET  /recommendations/{id}        what others bought with it
POST /reviews                     {\"product_id\": 1, \"rating\": 5, \"body\": \"...\"}
POST /login                       {\"login\": \"ada\", \"password\": \"ada-secret\"}
GET  /cart, POST /cart            {\"product_id\": 1, \"quantity\": 2}
POST /checkout                    {\"coupon\": \"WELCOME10\"} or {\"items\": [{\"product_id\": 1, \"quantity\": 1}]}
GET  /orders/{id}                 how far an order is
GET  /loyalty/{user}              points
POST /transfer                    {\"from\": \"wallet\", \"to\": \"gifts\", \"cents\": 500}
";

pub(super) async fn index() -> &'static str {
    INDEX
}

pub(super) async fn products(State(shop): Shared) -> Result<Json<Vec<Product>>, Failure> {
    Ok(Json(shop.database.products().await?))
}

pub(super) async fn product(State(shop): Shared, Path(id): Path<i64>) -> Result<Json<Product>, Failure> {
    Ok(Json(find(&shop, id).await?))
}

#[derive(Debug, Deserialize)]
pub(super) struct PriceQuery {
    coupon: Option<String>,
}

pub(super) async fn price(
    State(shop): Shared,
    Path(id): Path<i64>,
    Query(query): Query<PriceQuery>,
) -> Result<Json<Quote>, Failure> {
    let product = find(&shop, id).await?;
    let coupon = match query.coupon.as_deref() {
        Some(code) => Some(shop.database.coupon(code).await?.ok_or_else(|| Failure::not_found("coupon"))?),
        None => None,
    };
    let buyer = Buyer { user_id: None, email: None, session_token: String::new() };
    let basket = Basket { buyer, items: vec![Line { product, quantity: 1 }] };
    Ok(Json(pricing::quote(&basket, coupon.as_ref())))
}

#[derive(Debug, Serialize)]
pub(super) struct Recommendations {
    product: String,
    others_bought: Vec<i64>,
}

pub(super) async fn recommendations(
    State(shop): Shared,
    Path(id): Path<i64>,
) -> Result<Json<Recommendations>, Failure> {
    let product = find(&shop, id).await?;
    let others_bought = shop.recommender.suggestions(&product).to_vec();
    Ok(Json(Recommendations { product: product.name, others_bought }))
}

#[derive(Debug, Deserialize)]
pub(super) struct NewReview {
    product_id: i64,
    rating: i64,
    body: String,
}

const REVIEW_MAX_BYTES: usize = 4096;

pub(super) async fn review(
    State(shop): Shared,
    Json(review): Json<NewReview>,
) -> Result<(StatusCode, Json<Value>), Failure> {
    if review.body.len() > REVIEW_MAX_BYTES {
        return Err(Failure::bad_request("review is too long"));
    }
    let product = find(&shop, review.product_id).await?;
    let id = shop.database.add_review(product.id, review.rating, &review.body).await?;
    Ok((StatusCode::CREATED, Json(json!({ "review": id }))))
}

pub(super) async fn find(shop: &Shop, id: i64) -> Result<Product, Failure> {
    shop.database.product(id).await?.ok_or_else(|| Failure::not_found("product"))
}
