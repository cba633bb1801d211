//! What a new database starts with.

use sha2::{Digest, Sha256};

use super::Product;

/// `(id, name, category, price in cents, weight in grams)`. The numbers 25 to 39 went to products that were never
/// listed.
const PRODUCTS: &[(i64, &str, &str, i64, i64)] = &[
    (1, "Espresso beans, 1 kg", "coffee", 1890, 1000),
    (2, "Filter papers, 100", "accessories", 390, 220),
    (3, "Hand grinder", "equipment", 6900, 850),
    (4, "Gooseneck kettle", "equipment", 7900, 1300),
    (5, "Pour-over dripper", "equipment", 2400, 420),
    (6, "Scale with timer", "equipment", 3400, 480),
    (7, "Milk frother", "equipment", 2900, 390),
    (8, "Cups, set of four", "accessories", 3200, 1400),
    (9, "Roaster's apron, limited edition", "accessories", 5900, 600),
    (10, "Tamper, 58 mm", "accessories", 2600, 520),
    (11, "Cold brew bottle", "equipment", 2200, 610),
    (12, "Travel mug", "accessories", 2700, 340),
    (13, "Cleaning tablets", "care", 1200, 300),
    (14, "Descaler", "care", 990, 550),
    (15, "Decaf beans, 1 kg", "coffee", 2090, 1000),
    (16, "Ethiopia Sidamo, 500 g", "coffee", 1490, 500),
    (17, "Advent calendar, 24 coffees (pre-order)", "coffee", 4900, 1800),
    (18, "Knock box", "accessories", 2300, 900),
    (19, "E-book: Brewing by weight", "digital", 999, 0),
    (20, "E-book: Latte art", "digital", 1299, 0),
    (21, "Course licence: Barista basics", "digital", 1999, 0),
    (22, "Gift card, 25", "digital", 2500, 0),
    (23, "Gift card, 50", "digital", 5000, 0),
    (24, "Roasting diary (PDF)", "digital", 499, 0),
    (40, "Espresso machine Duetto", "equipment", 129_900, 14_500),
];

const LIMITED_EDITION: i64 = 9;
const PRE_ORDER: i64 = 17;

/// `(login, name, points, months since the last order)`.
const USERS: &[(&str, &str, i64, i64)] = &[
    ("admin", "Shop Admin", 0, 0),
    ("ada", "Ada Kowalska", 1250, 1),
    ("grace", "Grace Lindqvist", 310, 0),
    ("linus", "Linus Moreau", 80, 4),
    ("margaret", "Margaret Okafor", 7420, 0),
    ("dennis", "Dennis Huber", 515, 9),
    ("barbara", "Barbara Ferrari", 2100, 2),
    ("ken", "Ken Watanabe", 45, 14),
    ("radia", "Radia Nair", 990, 3),
    ("edsger", "Edsger de Wit", 130, 20),
    ("katherine", "Katherine Dubois", 5600, 1),
    ("alan", "Alan Novak", 640, 6),
    ("joan", "Joan Almeida", 870, 61),
    ("tony", "Tony Becker", 20, 11),
    ("frances", "Frances Oyelaran", 3300, 5),
    ("donald", "Donald Svensson", 400, 7),
];

/// `(code, kind, value)`: percent off the goods, or cents off the freight.
const COUPONS: &[(&str, &str, i64)] =
    &[("WELCOME10", "percent", 10), ("SPRING15", "percent", 15), ("FREIGHT5", "freight", 500)];

/// Seeded orders; two products each, so that there is something to recommend.
const ORDERS: i64 = 20;

/// A row of `lots`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LotRow {
    pub(crate) product_id: i64,
    pub(crate) received_day: i64,
    pub(crate) quantity: i64,
    pub(crate) ships_in_days: i64,
}

/// A row of `users`.
#[derive(Debug)]
pub(super) struct UserRow {
    pub(super) id: i64,
    pub(super) login: &'static str,
    pub(super) name: &'static str,
    pub(super) email: String,
    pub(super) salt: String,
    pub(super) password_sha256: String,
    pub(super) points: i64,
    pub(super) months_inactive: i64,
    pub(super) is_admin: bool,
    pub(super) wallet_cents: i64,
    pub(super) gifts_cents: i64,
}

/// `(order, user, product, other product)`.
pub(super) type OrderRow = (i64, i64, Product, Product);

pub(super) fn products() -> impl Iterator<Item = Product> {
    PRODUCTS.iter().map(|&(id, name, category, price_cents, weight_grams)| Product {
        id,
        name: name.into(),
        category: category.into(),
        price_cents,
        weight_grams,
    })
}

/// Two lots of everything that is on the shelf; goods on pre-order have none before they arrive.
pub(super) fn lots() -> impl Iterator<Item = LotRow> {
    products().filter(|product| product.weight_grams > 0 && product.id != PRE_ORDER).flat_map(|product| {
        let quantity = if product.id == LIMITED_EDITION { 5 } else { 1_000_000 };
        let older = LotRow { product_id: product.id, received_day: 20_300, quantity, ships_in_days: 2 };
        let newer = LotRow { received_day: 20_360, quantity: 0, ships_in_days: 4, ..older };
        [older, newer]
    })
}

/// Everybody's password is the login followed by `-secret`.
pub(super) fn users() -> impl Iterator<Item = UserRow> {
    USERS.iter().zip(1..).map(|(&(login, name, points, months_inactive), id)| {
        let salt = format!("{:08x}", (id * 0x9e37_79b9_i64) & 0xffff_ffff);
        UserRow {
            id,
            login,
            name,
            email: format!("{login}@example.net"),
            password_sha256: password_digest(&salt, &format!("{login}-secret")),
            salt,
            points,
            months_inactive,
            is_admin: id == 1,
            wallet_cents: 50_000,
            gifts_cents: 30_000,
        }
    })
}

pub(super) fn coupons() -> &'static [(&'static str, &'static str, i64)] {
    COUPONS
}

pub(super) fn orders() -> impl Iterator<Item = OrderRow> {
    let shelf: Vec<Product> = products().take_while(|product| product.id <= 24).collect();
    (1..=ORDERS).filter_map(move |order| {
        let pick = |step: i64| shelf.get(usize::try_from(order * step % 24).ok()?).cloned();
        let user = 2 + order % 15;
        Some((order, user, pick(5)?, pick(7)?)).filter(|(_, _, one, other)| one.id != other.id)
    })
}

/// SHA-256 of salt and password, in hexadecimal.
pub(crate) fn password_digest(salt: &str, password: &str) -> String {
    let digest = Sha256::new().chain_update(salt).chain_update(password).finalize();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
pub(crate) fn seeded_products() -> Vec<Product> {
    products().collect()
}

#[cfg(test)]
pub(crate) fn seeded_lots() -> Vec<LotRow> {
    lots().collect()
}
