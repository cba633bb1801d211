//! "Customers who bought this also bought": ranked once at start, read for every product page.

use std::collections::HashSet;

use crate::db::Product;

const SUGGESTIONS: usize = 5;

/// Suggestions per product.
#[derive(Debug)]
pub(crate) struct Recommender {
    /// In the order of the product numbers.
    rows: Vec<Vec<i64>>,
}

impl Recommender {
    /// Ranks for each product first what was ordered together with it, then what is of its kind, nearest price first.
    pub(crate) fn new(products: &[Product], bought_together: &[(i64, i64)]) -> Self {
        let together: HashSet<(i64, i64)> = bought_together.iter().copied().collect();
        let rows = products
            .iter()
            .map(|product| {
                let mut others: Vec<&Product> =
                    products.iter().filter(|other| other.id != product.id).collect();
                others.sort_by_key(|other| {
                    (
                        !together.contains(&(product.id, other.id)),
                        other.category != product.category,
                        (other.price_cents - product.price_cents).abs(),
                        other.id,
                    )
                });
                others.iter().take(SUGGESTIONS).map(|other| other.id).collect()
            })
            .collect();
        Self { rows }
    }

    /// Numbers of the products to suggest next to this one.
    #[inline(never)] // its own frame in profiles
    pub(crate) fn suggestions(&self, product: &Product) -> &[i64] {
        let row = product.id as usize - 1;
        &self.rows[row]
    }
}

#[cfg(test)]
mod tests {
    use super::Recommender;
    use crate::db::seed;

    #[test]
    fn what_was_bought_together_comes_first() {
        let products = seed::seeded_products();
        let recommender = Recommender::new(&products, &[(1, 20), (20, 1)]);
        let suggestions = recommender.suggestions(&products[0]);
        assert_eq!((suggestions.len(), suggestions[0]), (5, 20));
        assert_eq!(&suggestions[1..3], [15, 16], "then coffee of a similar price");
    }
}
