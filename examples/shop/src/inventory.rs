//! What is on the shelves. Kept in memory, filled from the lots that the warehouse reports.
//!
//! Knows nothing of carts or customers.

use std::collections::HashMap;
use std::sync::Mutex;

use freezeframe_sdk::ensure;

use crate::db::{Line, LotRow, Product};

/// A delivery that arrived at the warehouse.
#[derive(Clone, Copy, Debug)]
struct Lot {
    received_day: i64,
    ships_in_days: i64,
}

/// The stock of one product.
#[derive(Clone, Debug, Default)]
struct Shelf {
    on_hand: i64,
    /// Part of `on_hand` that belongs to orders which are being placed.
    reserved: i64,
    /// The supplier fills the shelf up to here.
    target: i64,
    lots: Vec<Lot>,
}

impl Shelf {
    /// Goods leave in the order in which they came.
    fn oldest_lot(&self) -> Lot {
        *self.lots.iter().min_by_key(|lot| lot.received_day).unwrap()
    }
}

/// All shelves.
#[derive(Debug)]
pub(crate) struct Inventory {
    shelves: Mutex<HashMap<i64, Shelf>>,
}

/// Why a product cannot be promised.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("only {on_hand} on hand")]
pub(crate) struct TooFew {
    pub(crate) on_hand: i64,
}

impl Inventory {
    /// Builds the shelves. What is not digital has one, goods on pre-order included.
    pub(crate) fn new(products: &[Product], lots: &[LotRow]) -> Self {
        let mut shelves: HashMap<i64, Shelf> = products
            .iter()
            .filter(|product| product.weight_grams > 0)
            .map(|product| (product.id, Shelf::default()))
            .collect();
        for row in lots {
            let shelf = shelves.entry(row.product_id).or_default();
            shelf.on_hand += row.quantity;
            shelf.target += row.quantity;
            shelf.lots.push(Lot { received_day: row.received_day, ships_in_days: row.ships_in_days });
        }
        Self { shelves: Mutex::new(shelves) }
    }

    /// Days until a product leaves the house; `None` for what needs no shipping.
    pub(crate) fn promise(&self, product_id: i64, quantity: i64) -> Result<Option<i64>, TooFew> {
        let shelves = self.shelves.lock().unwrap();
        let Some(shelf) = shelves.get(&product_id) else { return Ok(None) };
        let lot = shelf.oldest_lot();
        if quantity > shelf.on_hand {
            return Err(TooFew { on_hand: shelf.on_hand });
        }
        Ok(Some(lot.ships_in_days))
    }

    /// Reserves the goods of an order. Returns whether all of it was there; the rest goes on back-order.
    pub(crate) fn reserve(&self, lines: &[Line]) -> bool {
        let mut shelves = self.shelves.lock().unwrap();
        let mut complete = true;
        for line in lines {
            let Some(shelf) = shelves.get_mut(&line.product.id) else { continue };
            shelf.reserved += line.quantity;
            let available = shelf.on_hand - shelf.reserved;
            // Every line was checked when it was put into the cart.
            complete &= ensure!(
                available >= 0,
                "product {} oversold: {} on hand, {} reserved",
                line.product.id,
                shelf.on_hand,
                shelf.reserved
            );
        }
        complete
    }

    /// Gives a reservation back.
    pub(crate) fn release(&self, lines: &[Line]) {
        let mut shelves = self.shelves.lock().unwrap();
        for line in lines {
            if let Some(shelf) = shelves.get_mut(&line.product.id) {
                shelf.reserved -= line.quantity;
            }
        }
    }

    /// Takes reserved goods off the shelf; the supplier refills it overnight.
    pub(crate) fn hand_over(&self, lines: &[Line]) {
        let mut shelves = self.shelves.lock().unwrap();
        for line in lines {
            if let Some(shelf) = shelves.get_mut(&line.product.id) {
                shelf.reserved -= line.quantity;
                shelf.on_hand -= line.quantity;
                if shelf.on_hand <= shelf.target / 2 {
                    shelf.on_hand = shelf.target;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Inventory, TooFew};
    use crate::db::{Line, seed};

    fn stocked() -> (Inventory, Vec<crate::db::Product>) {
        let products: Vec<_> = seed::seeded_products();
        (Inventory::new(&products, &seed::seeded_lots()), products)
    }

    fn line(products: &[crate::db::Product], id: i64, quantity: i64) -> Line {
        let product = products.iter().find(|product| product.id == id).unwrap().clone();
        Line { product, quantity }
    }

    #[test]
    fn promises_what_is_there() {
        let (inventory, _) = stocked();
        assert_eq!(inventory.promise(9, 5), Ok(Some(2)));
        assert_eq!(inventory.promise(9, 6), Err(TooFew { on_hand: 5 }));
        assert_eq!(inventory.promise(21, 900_000_000), Ok(None), "licences have no shelf");
    }

    #[test]
    fn reservations_come_and_go() {
        let (inventory, products) = stocked();
        let lines = [line(&products, 9, 3)];
        assert!(inventory.reserve(&lines));
        assert!(!inventory.reserve(&lines), "three and three of five");
        inventory.release(&lines);
        inventory.hand_over(&lines);
        assert_eq!(inventory.promise(9, 5), Ok(Some(2)), "refilled");
    }
}
