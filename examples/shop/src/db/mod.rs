//! The shop's data: rows, and one set of operations over SQLite or PostgreSQL.
//!
//! Knows tables, not rules: prices, stock and sessions are decided elsewhere.
//!
//! To add a database: a schema, a module like `sqlite.rs`, a variant of [`Database`], and a run of
//! `tests/journeys.rs` over it.

mod postgres;
pub(crate) mod seed;
mod sqlite;

use serde::Serialize;

pub(crate) use seed::LotRow;

use crate::config::DatabaseUrl;

/// A product.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Product {
    pub(crate) id: i64,
    pub(crate) name: String,
    pub(crate) category: String,
    pub(crate) price_cents: i64,
    /// 0 for what is delivered by mail or download.
    pub(crate) weight_grams: i64,
}

/// A customer.
#[derive(Clone, Debug)]
pub(crate) struct User {
    pub(crate) id: i64,
    pub(crate) name: String,
    pub(crate) email: String,
    pub(crate) points: i64,
    pub(crate) months_inactive: i64,
    pub(crate) is_admin: bool,
}

/// What a login is checked against.
#[derive(Debug)]
pub(crate) struct Credentials {
    pub(crate) user_id: i64,
    pub(crate) salt: String,
    pub(crate) password_sha256: String,
}

/// A browser that comes back, logged in or not.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) id: i64,
    pub(crate) token: String,
    pub(crate) user: Option<User>,
}

/// One line of a cart or an order.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Line {
    pub(crate) product: Product,
    pub(crate) quantity: i64,
}

/// A voucher that a customer types in.
#[derive(Clone, Debug)]
pub(crate) struct Coupon {
    pub(crate) code: String,
    pub(crate) kind: CouponKind,
}

/// What a coupon takes off.
#[derive(Clone, Copy, Debug)]
pub(crate) enum CouponKind {
    /// Percent of the goods.
    Percent(i64),
    /// Cents of the freight, spread over the goods by weight.
    Freight(i64),
}

/// An order as its customer sees it.
#[derive(Debug, Serialize)]
pub(crate) struct Order {
    pub(crate) id: i64,
    pub(crate) status: String,
    pub(crate) total_cents: i64,
    pub(crate) coupon: Option<String>,
}

/// An order that the worker has taken on: `(quantity, unit price in cents)` per line.
#[derive(Debug)]
pub(crate) struct ClaimedOrder {
    pub(crate) id: i64,
    pub(crate) user_id: Option<i64>,
    pub(crate) lines: Vec<(i64, i64)>,
}

/// Store credit of one user in one pot.
#[derive(Debug)]
pub(crate) struct AccountRow {
    pub(crate) user_id: i64,
    pub(crate) pot: String,
    pub(crate) cents: i64,
}

/// Counts for the admin page.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    pub(crate) orders: i64,
    pub(crate) orders_waiting: i64,
    pub(crate) reviews: i64,
    pub(crate) sessions: i64,
}

/// How many guest sessions, guest orders and reviews are kept.
const KEPT_ROWS: i64 = 50_000;

/// Why the database did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("sqlite failed")]
    Sqlite(#[from] rusqlite::Error),
    #[error("postgresql failed")]
    Postgres(#[from] tokio_postgres::Error),
    #[error("stored row has the unknown {what} {value:?}")]
    Row { what: &'static str, value: String },
    #[error("no database connection became free")]
    Busy,
}

/// One of the two databases.
#[derive(Debug)]
pub(crate) enum Database {
    Sqlite(sqlite::Sqlite),
    Postgres(postgres::Postgres),
}

/// Sends one call to whichever database there is.
macro_rules! on {
    ($database:expr, $name:ident ( $($argument:expr),* )) => {
        match $database {
            Database::Sqlite(sqlite) => sqlite.$name($($argument),*),
            Database::Postgres(postgres) => postgres.$name($($argument),*).await,
        }
    };
}

impl Database {
    /// Connects, creates missing tables and fills them.
    pub(crate) async fn open(url: &DatabaseUrl) -> Result<Self, Error> {
        Ok(match url {
            DatabaseUrl::Memory => Self::Sqlite(sqlite::Sqlite::open(None)?),
            DatabaseUrl::File(path) => Self::Sqlite(sqlite::Sqlite::open(Some(path))?),
            DatabaseUrl::Postgres(url) => Self::Postgres(postgres::Postgres::open(url).await?),
        })
    }

    pub(crate) async fn ping(&self) -> Result<(), Error> {
        on!(self, ping())
    }

    pub(crate) async fn products(&self) -> Result<Vec<Product>, Error> {
        on!(self, products())
    }

    pub(crate) async fn product(&self, id: i64) -> Result<Option<Product>, Error> {
        on!(self, product(id))
    }

    pub(crate) async fn lots(&self) -> Result<Vec<LotRow>, Error> {
        on!(self, lots())
    }

    pub(crate) async fn accounts(&self) -> Result<Vec<AccountRow>, Error> {
        on!(self, accounts())
    }

    /// Pairs of products that were ordered together.
    pub(crate) async fn bought_together(&self) -> Result<Vec<(i64, i64)>, Error> {
        on!(self, bought_together())
    }

    pub(crate) async fn user(&self, id: i64) -> Result<Option<User>, Error> {
        on!(self, user(id))
    }

    pub(crate) async fn credentials(&self, login: &str) -> Result<Option<Credentials>, Error> {
        on!(self, credentials(login))
    }

    pub(crate) async fn create_session(&self, token: &str, user_id: Option<i64>) -> Result<i64, Error> {
        on!(self, create_session(token, user_id))
    }

    pub(crate) async fn session(&self, token: &str) -> Result<Option<Session>, Error> {
        on!(self, session(token))
    }

    pub(crate) async fn cart(&self, session_id: i64) -> Result<Vec<Line>, Error> {
        on!(self, cart(session_id))
    }

    pub(crate) async fn put_in_cart(
        &self,
        session_id: i64,
        product_id: i64,
        quantity: i64,
    ) -> Result<(), Error> {
        on!(self, put_in_cart(session_id, product_id, quantity))
    }

    pub(crate) async fn coupon(&self, code: &str) -> Result<Option<Coupon>, Error> {
        let row = on!(self, coupon(code))?;
        row.map(|(kind, value)| {
            let kind = match kind.as_str() {
                "percent" => CouponKind::Percent(value),
                "freight" => CouponKind::Freight(value),
                _ => return Err(Error::Row { what: "coupon kind", value: kind }),
            };
            Ok(Coupon { code: code.to_owned(), kind })
        })
        .transpose()
    }

    /// Opens an order and reads the session's cart in the same transaction.
    pub(crate) async fn begin_checkout(&self, session: &Session) -> Result<Checkout<'_>, Error> {
        let user_id = session.user.as_ref().map(|user| user.id);
        Ok(match self {
            Self::Sqlite(sqlite) => {
                let lines = sqlite.cart(session.id)?;
                Checkout { lines, session_id: session.id, user_id, transaction: Transaction::Sqlite(sqlite) }
            }
            Self::Postgres(postgres) => {
                let (open, lines) = postgres.begin_checkout(session.id, user_id).await?;
                Checkout {
                    lines,
                    session_id: session.id,
                    user_id,
                    transaction: Transaction::Postgres(Box::new(open)),
                }
            }
        })
    }

    pub(crate) async fn order(&self, id: i64) -> Result<Option<Order>, Error> {
        on!(self, order(id))
    }

    pub(crate) async fn add_review(&self, product_id: i64, rating: i64, body: &str) -> Result<i64, Error> {
        on!(self, add_review(product_id, rating, body))
    }

    /// Adds `cents`, which may be negative, to one account.
    pub(crate) async fn book(&self, user_id: i64, pot: &str, cents: i64) -> Result<(), Error> {
        on!(self, book(user_id, pot, cents))
    }

    /// Takes at most `limit` placed orders on. No other process gets the same.
    pub(crate) async fn claim_orders(&self, limit: i64) -> Result<Vec<ClaimedOrder>, Error> {
        on!(self, claim_orders(limit))
    }

    pub(crate) async fn ship_order(&self, id: i64, user_id: Option<i64>, points: i64) -> Result<(), Error> {
        on!(self, ship_order(id, user_id, points))
    }

    /// Drops the oldest guest sessions, guest orders and reviews beyond [`KEPT_ROWS`] each.
    pub(crate) async fn prune(&self) -> Result<(), Error> {
        on!(self, prune())
    }

    pub(crate) async fn summary(&self) -> Result<Summary, Error> {
        on!(self, summary())
    }
}

/// An order that is being priced. Dropping it leaves the cart as it was.
#[derive(Debug)]
pub(crate) struct Checkout<'a> {
    /// The cart as of the beginning.
    pub(crate) lines: Vec<Line>,
    session_id: i64,
    user_id: Option<i64>,
    transaction: Transaction<'a>,
}

#[derive(Debug)]
enum Transaction<'a> {
    /// The file has one writer for all processes: nothing is kept open while prices are calculated.
    Sqlite(&'a sqlite::Sqlite),
    /// Open since [`Database::begin_checkout`], with the new order's row in it.
    Postgres(Box<postgres::OpenOrder<'a>>),
}

impl Checkout<'_> {
    /// Stores the order, empties the cart where the order came from there, and returns the order's number.
    pub(crate) async fn place(
        self,
        lines: &[Line],
        total_cents: i64,
        coupon: Option<&str>,
        from_cart: bool,
    ) -> Result<i64, Error> {
        let session_id = from_cart.then_some(self.session_id);
        match self.transaction {
            Transaction::Sqlite(sqlite) => {
                sqlite.place_order(self.user_id, session_id, lines, total_cents, coupon)
            }
            Transaction::Postgres(open) => open.place(session_id, lines, total_cents, coupon).await,
        }
    }
}
