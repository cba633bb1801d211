//! PostgreSQL: a few connections, and statements that are prepared once per connection.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, NoTls, Row, Statement};

use super::{
    AccountRow, ClaimedOrder, Credentials, Error, KEPT_ROWS, Line, LotRow, Order, Product, Session, Summary,
    User, seed,
};

const CONNECTIONS: usize = 8;
/// How long a request waits for a connection.
const WAIT: Duration = Duration::from_secs(5);
/// Any number that no other application uses: serialises the first start of several processes.
const SETUP_LOCK: i64 = 0x0073_686f_7000;

type Parameters<'a> = &'a [&'a (dyn ToSql + Sync)];

/// One session with the server.
#[derive(Debug)]
struct Connection {
    client: Client,
    prepared: HashMap<&'static str, Statement>,
}

impl Connection {
    /// Connects; the connection's own task ends with the client.
    async fn open(url: &str) -> Result<Self, Error> {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::warn!(%error, "lost a database connection");
            }
        });
        Ok(Self { client, prepared: HashMap::new() })
    }

    async fn statement(&mut self, sql: &'static str) -> Result<Statement, Error> {
        if let Some(statement) = self.prepared.get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.client.prepare(sql).await?;
        self.prepared.insert(sql, statement.clone());
        Ok(statement)
    }

    async fn rows(&mut self, sql: &'static str, parameters: Parameters<'_>) -> Result<Vec<Row>, Error> {
        let statement = self.statement(sql).await?;
        Ok(self.client.query(&statement, parameters).await?)
    }

    async fn execute(&mut self, sql: &'static str, parameters: Parameters<'_>) -> Result<(), Error> {
        let statement = self.statement(sql).await?;
        self.client.execute(&statement, parameters).await?;
        Ok(())
    }
}

#[derive(Debug)]
pub(crate) struct Postgres {
    url: String,
    idle: Mutex<Vec<Connection>>,
    free: Semaphore,
}

/// A connection out of the pool; goes back when dropped, unless it is broken or inside a transaction.
#[derive(Debug)]
struct Pooled<'a> {
    pool: &'a Postgres,
    connection: Option<Connection>,
    _permit: SemaphorePermit<'a>,
}

impl Drop for Pooled<'_> {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take()
            && !connection.client.is_closed()
        {
            self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        }
    }
}

impl Postgres {
    /// Connects, and creates and fills what is missing.
    pub(super) async fn open(url: &str) -> Result<Self, Error> {
        let connection = Connection::open(url).await?;
        let client = &connection.client;
        client.execute("SELECT pg_advisory_lock($1)", &[&SETUP_LOCK]).await?;
        let filled = async {
            client.batch_execute(include_str!("schema.postgres.sql")).await?;
            fill(client).await
        }
        .await;
        client.execute("SELECT pg_advisory_unlock($1)", &[&SETUP_LOCK]).await?;
        filled?;
        Ok(Self {
            url: url.to_owned(),
            idle: Mutex::new(vec![connection]),
            free: Semaphore::new(CONNECTIONS),
        })
    }

    async fn take(&self) -> Result<Pooled<'_>, Error> {
        let permit = match tokio::time::timeout(WAIT, self.free.acquire()).await {
            Ok(Ok(permit)) => permit,
            Ok(Err(_)) | Err(_) => return Err(Error::Busy),
        };
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match idle {
            Some(connection) if !connection.client.is_closed() => connection,
            _ => Connection::open(&self.url).await?,
        };
        Ok(Pooled { pool: self, connection: Some(connection), _permit: permit })
    }

    async fn rows(&self, sql: &'static str, parameters: Parameters<'_>) -> Result<Vec<Row>, Error> {
        let mut pooled = self.take().await?;
        let connection = pooled.connection.as_mut().ok_or(Error::Busy)?;
        connection.rows(sql, parameters).await
    }

    async fn row(&self, sql: &'static str, parameters: Parameters<'_>) -> Result<Option<Row>, Error> {
        Ok(self.rows(sql, parameters).await?.into_iter().next())
    }

    async fn id(&self, sql: &'static str, parameters: Parameters<'_>) -> Result<i64, Error> {
        let row = self.row(sql, parameters).await?;
        Ok(row.ok_or(Error::Row { what: "absence of", value: "id".into() })?.try_get(0)?)
    }

    pub(super) async fn ping(&self) -> Result<(), Error> {
        self.rows("SELECT 1", &[]).await.map(drop)
    }

    pub(super) async fn products(&self) -> Result<Vec<Product>, Error> {
        let sql =
            "SELECT p.id, p.name, p.category, p.price_cents, p.weight_grams FROM products p ORDER BY p.id";
        self.rows(sql, &[]).await?.iter().map(|row| product(row, 0)).collect()
    }

    pub(super) async fn product(&self, id: i64) -> Result<Option<Product>, Error> {
        let sql =
            "SELECT p.id, p.name, p.category, p.price_cents, p.weight_grams FROM products p WHERE p.id = $1";
        self.row(sql, &[&id]).await?.map(|row| product(&row, 0)).transpose()
    }

    pub(super) async fn lots(&self) -> Result<Vec<LotRow>, Error> {
        let rows =
            self.rows("SELECT product_id, received_day, quantity, ships_in_days FROM lots", &[]).await?;
        rows.iter()
            .map(|row| {
                Ok(LotRow {
                    product_id: row.try_get(0)?,
                    received_day: row.try_get(1)?,
                    quantity: row.try_get(2)?,
                    ships_in_days: row.try_get(3)?,
                })
            })
            .collect()
    }

    pub(super) async fn accounts(&self) -> Result<Vec<AccountRow>, Error> {
        let rows = self.rows("SELECT user_id, pot, cents FROM accounts", &[]).await?;
        rows.iter()
            .map(|row| {
                Ok(AccountRow { user_id: row.try_get(0)?, pot: row.try_get(1)?, cents: row.try_get(2)? })
            })
            .collect()
    }

    pub(super) async fn bought_together(&self) -> Result<Vec<(i64, i64)>, Error> {
        let sql = "SELECT DISTINCT a.product_id, b.product_id FROM order_lines a JOIN order_lines b
                   ON a.order_id = b.order_id AND a.product_id <> b.product_id
                   ORDER BY 1, 2";
        self.rows(sql, &[]).await?.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
    }

    pub(super) async fn user(&self, id: i64) -> Result<Option<User>, Error> {
        let sql = "SELECT u.id, u.name, u.email, u.points, u.months_inactive, u.is_admin FROM users u WHERE u.id = $1";
        self.row(sql, &[&id]).await?.map(|row| user(&row, 0)).transpose()
    }

    pub(super) async fn credentials(&self, login: &str) -> Result<Option<Credentials>, Error> {
        let row = self.row("SELECT id, salt, password_sha256 FROM users WHERE login = $1", &[&login]).await?;
        row.map(|row| {
            Ok(Credentials {
                user_id: row.try_get(0)?,
                salt: row.try_get(1)?,
                password_sha256: row.try_get(2)?,
            })
        })
        .transpose()
    }

    pub(super) async fn create_session(&self, token: &str, user_id: Option<i64>) -> Result<i64, Error> {
        self.id("INSERT INTO sessions (token, user_id) VALUES ($1, $2) RETURNING id", &[&token, &user_id])
            .await
    }

    pub(super) async fn session(&self, token: &str) -> Result<Option<Session>, Error> {
        let sql = "SELECT s.id, u.id, u.name, u.email, u.points, u.months_inactive, u.is_admin
                   FROM sessions s LEFT JOIN users u ON u.id = s.user_id WHERE s.token = $1";
        self.row(sql, &[&token])
            .await?
            .map(|row| {
                let user = row.try_get::<_, Option<i64>>(1)?.map(|_| user(&row, 1)).transpose()?;
                Ok(Session { id: row.try_get(0)?, token: token.to_owned(), user })
            })
            .transpose()
    }

    pub(super) async fn cart(&self, session_id: i64) -> Result<Vec<Line>, Error> {
        lines(&self.rows(CART, &[&session_id]).await?)
    }

    pub(super) async fn put_in_cart(
        &self,
        session_id: i64,
        product_id: i64,
        quantity: i64,
    ) -> Result<(), Error> {
        let sql = "INSERT INTO carts (session_id, product_id, quantity) VALUES ($1, $2, $3)
                   ON CONFLICT (session_id, product_id) DO UPDATE SET quantity = carts.quantity + excluded.quantity";
        self.rows(sql, &[&session_id, &product_id, &quantity]).await.map(drop)
    }

    pub(super) async fn coupon(&self, code: &str) -> Result<Option<(String, i64)>, Error> {
        let row = self.row("SELECT kind, value FROM coupons WHERE code = $1", &[&code]).await?;
        row.map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).transpose()
    }

    /// Begins a transaction, inserts the order as a draft and reads the cart.
    pub(super) async fn begin_checkout(
        &self,
        session_id: i64,
        user_id: Option<i64>,
    ) -> Result<(OpenOrder<'_>, Vec<Line>), Error> {
        let pooled = self.take().await?;
        let mut open = OpenOrder { pooled, order_id: 0, finished: false };
        let connection = open.connection()?;
        connection.client.batch_execute("BEGIN").await?;
        let sql = "INSERT INTO orders (user_id, status, total_cents) VALUES ($1, 'draft', 0) RETURNING id";
        let inserted = connection.rows(sql, &[&user_id]).await?;
        let cart = lines(&connection.rows(CART, &[&session_id]).await?)?;
        for row in inserted {
            open.order_id = row.try_get(0)?;
        }
        Ok((open, cart))
    }

    pub(super) async fn order(&self, id: i64) -> Result<Option<Order>, Error> {
        let row =
            self.row("SELECT id, status, total_cents, coupon FROM orders WHERE id = $1", &[&id]).await?;
        row.map(|row| {
            Ok(Order {
                id: row.try_get(0)?,
                status: row.try_get(1)?,
                total_cents: row.try_get(2)?,
                coupon: row.try_get(3)?,
            })
        })
        .transpose()
    }

    pub(super) async fn add_review(&self, product_id: i64, rating: i64, body: &str) -> Result<i64, Error> {
        let sql = "INSERT INTO reviews (product_id, rating, body) VALUES ($1, $2, $3) RETURNING id";
        self.id(sql, &[&product_id, &rating, &body]).await
    }

    pub(super) async fn book(&self, user_id: i64, pot: &str, cents: i64) -> Result<(), Error> {
        let sql = "UPDATE accounts SET cents = cents + $3 WHERE user_id = $1 AND pot = $2";
        self.rows(sql, &[&user_id, &pot, &cents]).await.map(drop)
    }

    pub(super) async fn claim_orders(&self, limit: i64) -> Result<Vec<ClaimedOrder>, Error> {
        let sql = "UPDATE orders SET status = 'packing' WHERE id IN
                   (SELECT id FROM orders WHERE status = 'placed' ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED)
                   RETURNING id, user_id";
        let mut orders = Vec::new();
        for claimed in self.rows(sql, &[&limit]).await? {
            let id: i64 = claimed.try_get(0)?;
            let rows =
                self.rows("SELECT quantity, unit_cents FROM order_lines WHERE order_id = $1", &[&id]).await?;
            let lines = rows
                .iter()
                .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
                .collect::<Result<_, Error>>()?;
            orders.push(ClaimedOrder { id, user_id: claimed.try_get(1)?, lines });
        }
        Ok(orders)
    }

    pub(super) async fn ship_order(&self, id: i64, user_id: Option<i64>, points: i64) -> Result<(), Error> {
        // One statement, hence one transaction.
        let sql = "WITH shipped AS (UPDATE orders SET status = 'shipped' WHERE id = $1)
                   UPDATE users SET points = points + $3, months_inactive = 0 WHERE id = $2";
        self.rows(sql, &[&id, &user_id, &points]).await.map(drop)
    }

    pub(super) async fn prune(&self) -> Result<(), Error> {
        let kept: Parameters<'_> = &[&KEPT_ROWS];
        self.rows(
            "DELETE FROM sessions WHERE user_id IS NULL AND id < (SELECT max(id) FROM sessions) - $1",
            kept,
        )
        .await?;
        self.rows("DELETE FROM carts WHERE session_id NOT IN (SELECT id FROM sessions)", &[]).await?;
        self.rows(
            "DELETE FROM order_lines WHERE order_id IN
             (SELECT id FROM orders WHERE user_id IS NULL AND id < (SELECT max(id) FROM orders) - $1)",
            kept,
        )
        .await?;
        self.rows(
            "DELETE FROM orders WHERE user_id IS NULL AND id < (SELECT max(id) FROM orders) - $1",
            kept,
        )
        .await?;
        self.rows("DELETE FROM reviews WHERE id < (SELECT max(id) FROM reviews) - $1", kept).await.map(drop)
    }

    pub(super) async fn summary(&self) -> Result<Summary, Error> {
        let sql =
            "SELECT (SELECT count(*) FROM orders), (SELECT count(*) FROM orders WHERE status = 'placed'),
                   (SELECT count(*) FROM reviews), (SELECT count(*) FROM sessions)";
        let row = self.row(sql, &[]).await?.ok_or(Error::Busy)?;
        Ok(Summary {
            orders: row.try_get(0)?,
            orders_waiting: row.try_get(1)?,
            reviews: row.try_get(2)?,
            sessions: row.try_get(3)?,
        })
    }
}

const CART: &str = "SELECT c.quantity, p.id, p.name, p.category, p.price_cents, p.weight_grams
                    FROM carts c JOIN products p ON p.id = c.product_id WHERE c.session_id = $1 ORDER BY p.id";

/// A transaction with a draft order in it. Dropped before [`OpenOrder::place`], its connection is closed, and with it
/// the transaction ends.
#[derive(Debug)]
pub(crate) struct OpenOrder<'a> {
    pooled: Pooled<'a>,
    order_id: i64,
    finished: bool,
}

impl OpenOrder<'_> {
    fn connection(&mut self) -> Result<&mut Connection, Error> {
        self.pooled.connection.as_mut().ok_or(Error::Busy)
    }

    pub(super) async fn place(
        mut self,
        session_id: Option<i64>,
        lines: &[Line],
        total_cents: i64,
        coupon: Option<&str>,
    ) -> Result<i64, Error> {
        let order_id = self.order_id;
        let connection = self.connection()?;
        let sql = "UPDATE orders SET status = 'placed', total_cents = $2, coupon = $3 WHERE id = $1";
        connection.execute(sql, &[&order_id, &total_cents, &coupon]).await?;
        for line in lines {
            let sql = "INSERT INTO order_lines (order_id, product_id, quantity, unit_cents) VALUES ($1, $2, $3, $4)";
            connection
                .execute(sql, &[&order_id, &line.product.id, &line.quantity, &line.product.price_cents])
                .await?;
        }
        if let Some(session_id) = session_id {
            connection.execute("DELETE FROM carts WHERE session_id = $1", &[&session_id]).await?;
        }
        connection.client.batch_execute("COMMIT").await?;
        self.finished = true;
        Ok(order_id)
    }
}

impl Drop for OpenOrder<'_> {
    fn drop(&mut self) {
        if !self.finished {
            self.pooled.connection = None;
        }
    }
}

fn lines(rows: &[Row]) -> Result<Vec<Line>, Error> {
    rows.iter().map(|row| Ok(Line { quantity: row.try_get(0)?, product: product(row, 1)? })).collect()
}

fn product(row: &Row, first: usize) -> Result<Product, Error> {
    Ok(Product {
        id: row.try_get(first)?,
        name: row.try_get(first + 1)?,
        category: row.try_get(first + 2)?,
        price_cents: row.try_get(first + 3)?,
        weight_grams: row.try_get(first + 4)?,
    })
}

fn user(row: &Row, first: usize) -> Result<User, Error> {
    Ok(User {
        id: row.try_get(first)?,
        name: row.try_get(first + 1)?,
        email: row.try_get(first + 2)?,
        points: row.try_get(first + 3)?,
        months_inactive: row.try_get(first + 4)?,
        is_admin: row.try_get(first + 5)?,
    })
}

async fn fill(client: &Client) -> Result<(), Error> {
    let insert =
        client.prepare("INSERT INTO products VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING").await?;
    for row in seed::products() {
        client
            .execute(&insert, &[&row.id, &row.name, &row.category, &row.price_cents, &row.weight_grams])
            .await?;
    }
    let insert = client.prepare("INSERT INTO lots VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING").await?;
    for row in seed::lots() {
        client
            .execute(&insert, &[&row.product_id, &row.received_day, &row.quantity, &row.ships_in_days])
            .await?;
    }
    let sql = "INSERT INTO users VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING";
    let insert = client.prepare(sql).await?;
    let account = client.prepare("INSERT INTO accounts VALUES ($1, $2, $3) ON CONFLICT DO NOTHING").await?;
    for row in seed::users() {
        let columns: Parameters<'_> = &[
            &row.id,
            &row.login,
            &row.name,
            &row.email,
            &row.salt,
            &row.password_sha256,
            &row.points,
            &row.months_inactive,
            &row.is_admin,
        ];
        client.execute(&insert, columns).await?;
        client.execute(&account, &[&row.id, &"wallet", &row.wallet_cents]).await?;
        client.execute(&account, &[&row.id, &"gifts", &row.gifts_cents]).await?;
    }
    let insert = client.prepare("INSERT INTO coupons VALUES ($1, $2, $3) ON CONFLICT DO NOTHING").await?;
    for (code, kind, value) in seed::coupons() {
        client.execute(&insert, &[code, kind, value]).await?;
    }
    let insert = client
        .prepare("INSERT INTO orders VALUES ($1, $2, 'shipped', $3, NULL) ON CONFLICT DO NOTHING")
        .await?;
    let line =
        client.prepare("INSERT INTO order_lines VALUES ($1, $2, 1, $3) ON CONFLICT DO NOTHING").await?;
    for (order, user, one, other) in seed::orders() {
        client.execute(&insert, &[&order, &user, &(one.price_cents + other.price_cents)]).await?;
        client.execute(&line, &[&order, &one.id, &one.price_cents]).await?;
        client.execute(&line, &[&order, &other.id, &other.price_cents]).await?;
    }
    // The rows above brought their own numbers; the next ones must follow.
    client
        .batch_execute("SELECT setval(pg_get_serial_sequence('orders', 'id'), (SELECT max(id) FROM orders))")
        .await?;
    Ok(())
}
