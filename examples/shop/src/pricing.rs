//! What an order costs: goods, coupon, freight.
//!
//! All amounts are cents; rates are thousandths of a cent. Knows neither stock nor database.

use serde::Serialize;

use crate::db::{Coupon, CouponKind, Line};
use crate::shipping;

/// For whom a price is calculated.
#[derive(Clone, Debug)]
pub(crate) struct Buyer {
    pub(crate) user_id: Option<i64>,
    pub(crate) email: Option<String>,
    pub(crate) session_token: String,
}

/// Goods as they are being priced.
#[derive(Clone, Debug)]
pub(crate) struct Basket {
    pub(crate) buyer: Buyer,
    pub(crate) items: Vec<Line>,
}

/// A calculated price.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Quote {
    pub(crate) goods_cents: i64,
    pub(crate) discount_cents: i64,
    pub(crate) freight_cents: i64,
    pub(crate) total_cents: i64,
    /// What each line bears of a freight coupon, in the order of the lines.
    pub(crate) freight_shares_cents: Vec<i64>,
}

/// Prices a basket.
#[inline(never)] // its own frame in profiles
pub(crate) fn quote(basket: &Basket, coupon: Option<&Coupon>) -> Quote {
    let goods_cents: i64 = basket.items.iter().map(|line| line.product.price_cents * line.quantity).sum();
    let freight_cents = shipping::freight_cents(&basket.items);
    let mut discount_cents = 0;
    let mut freight_shares_cents = Vec::new();
    match coupon.map(|coupon| coupon.kind) {
        Some(CouponKind::Percent(percent)) => discount_cents = goods_cents * percent / 100,
        Some(CouponKind::Freight(cents)) => {
            freight_shares_cents = spread_by_weight(basket, cents);
            discount_cents = cents.min(freight_cents);
        }
        None => {}
    }
    let total_cents = goods_cents + freight_cents - discount_cents;
    Quote { goods_cents, discount_cents, freight_cents, total_cents, freight_shares_cents }
}

/// Bookkeeping wants to know which line bears how much of a freight coupon: by weight.
#[inline(never)] // its own frame in profiles
fn spread_by_weight(basket: &Basket, coupon_cents: i64) -> Vec<i64> {
    let user_id = basket.buyer.user_id;
    let session_token = basket.buyer.session_token.as_str();
    let items = &basket.items;
    let weights: Vec<i64> = items.iter().map(|line| line.product.weight_grams * line.quantity).collect();
    let total_weight: i64 = weights.iter().sum();
    let session = session_token.get(..4);
    tracing::debug!(user_id, session, ?items, ?weights, total_weight, "spreading a freight coupon");
    let rate = coupon_cents * 1000 / total_weight;
    weights.iter().map(|weight| weight * rate / 1000).collect()
}

#[cfg(test)]
mod tests {
    use super::{Basket, Buyer, Quote, quote};
    use crate::db::{Coupon, CouponKind, Line, seed};

    fn basket(items: &[(i64, i64)]) -> Basket {
        let products = seed::seeded_products();
        let find = |id| products.iter().find(|product| product.id == id).unwrap().clone();
        let items = items.iter().map(|&(id, quantity)| Line { product: find(id), quantity }).collect();
        Basket { buyer: Buyer { user_id: Some(3), email: None, session_token: "0".repeat(32) }, items }
    }

    fn coupon(kind: CouponKind) -> Coupon {
        Coupon { code: "TEST".into(), kind }
    }

    #[test]
    fn percent_is_taken_off_the_goods() {
        let quote = quote(&basket(&[(1, 2), (2, 1)]), Some(&coupon(CouponKind::Percent(10))));
        assert_eq!((quote.goods_cents, quote.discount_cents, quote.freight_cents), (4170, 417, 590));
        assert_eq!(quote.total_cents, 4170 - 417 + 590);
    }

    #[test]
    fn freight_coupon_is_spread_by_weight_and_never_pays_more_than_the_freight() {
        let quote = quote(&basket(&[(15, 3), (1, 1)]), Some(&coupon(CouponKind::Freight(500))));
        assert_eq!(quote.freight_shares_cents, [375, 125]);
        assert_eq!((quote.freight_cents, quote.discount_cents), (590, 500));
    }

    #[test]
    fn downloads_have_no_freight() {
        let Quote { freight_cents, total_cents, .. } = quote(&basket(&[(19, 1), (24, 2)]), None);
        assert_eq!((freight_cents, total_cents), (0, 999 + 2 * 499));
    }
}
