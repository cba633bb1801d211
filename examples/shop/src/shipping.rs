//! Freight by weight.

use freezeframe_sdk::hold;

use crate::db::Line;

const LETTER_CENTS: i64 = 390;
const PARCEL_CENTS: i64 = 590;
const BULKY_CENTS: i64 = 1290;
const PALLET_CENTS: i64 = 4900;
const PALLET_MAX_GRAMS: i64 = 400_000;

/// Freight of an order in cents; nothing for what weighs nothing.
pub(crate) fn freight_cents(lines: &[Line]) -> i64 {
    let grams = lines.iter().map(|line| line.product.weight_grams * line.quantity).sum::<i64>();
    match grams {
        0 => 0,
        1..=500 => LETTER_CENTS,
        501..=5000 => PARCEL_CENTS,
        5001..=31_500 => BULKY_CENTS,
        31_501.. => (grams / PALLET_MAX_GRAMS + 1) * PALLET_CENTS,
        _ => {
            hold!("a parcel of {grams} grams");
            PARCEL_CENTS
        }
    }
}

#[cfg(test)]
mod tests {
    use super::freight_cents;
    use crate::db::{Line, seed};

    #[test]
    fn grows_with_the_weight() {
        let machine = seed::seeded_products().into_iter().find(|product| product.id == 40).unwrap();
        let freight = |quantity| freight_cents(&[Line { product: machine.clone(), quantity }]);
        assert_eq!([freight(0), freight(1), freight(3), freight(100)], [0, 1290, 4900, 4 * 4900]);
    }
}
