//! SQLite: one connection that writes, and for a file a few that only read.
//!
//! Calls take microseconds and run where they are made. In memory there is one connection for everything.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, Transaction, TransactionBehavior, params};

use super::{
    AccountRow, ClaimedOrder, Credentials, Error, KEPT_ROWS, Line, LotRow, Order, Product, Session, Summary,
    User, seed,
};

const READERS: usize = 4;
/// How long one process waits for another one's write.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Several processes may start on a new file at once; switching it to WAL does not wait by itself.
const WAL_ATTEMPTS: u32 = 100;

const PRODUCT: &str = "p.id, p.name, p.category, p.price_cents, p.weight_grams";
const USER: &str = "u.id, u.name, u.email, u.points, u.months_inactive, u.is_admin";

#[derive(Debug)]
pub(crate) struct Sqlite {
    writer: Mutex<Connection>,
    readers: Vec<Mutex<Connection>>,
    next_reader: AtomicUsize,
}

impl Sqlite {
    /// Opens a file, or memory, and creates and fills what is missing.
    pub(super) fn open(path: Option<&Path>) -> Result<Self, Error> {
        let mut writer = match path {
            Some(path) => Connection::open(path)?,
            None => Connection::open_in_memory()?,
        };
        writer.busy_timeout(BUSY_TIMEOUT)?;
        writer.set_prepared_statement_cache_capacity(64);
        if path.is_some() {
            switch_to_wal(&writer)?;
        }
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(include_str!("schema.sqlite.sql"))?;
        fill(&transaction)?;
        transaction.commit()?;

        let mut readers = Vec::new();
        if let Some(path) = path {
            for _ in 0..READERS {
                let reader = Connection::open_with_flags(
                    path,
                    OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
                )?;
                reader.busy_timeout(BUSY_TIMEOUT)?;
                reader.set_prepared_statement_cache_capacity(64);
                readers.push(Mutex::new(reader));
            }
        }
        Ok(Self { writer: Mutex::new(writer), readers, next_reader: AtomicUsize::new(0) })
    }

    /// The connection is never left in a half-done state, so a panic of its last holder means nothing.
    fn writer(&self) -> MutexGuard<'_, Connection> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Any reader that is free; else waits for the next one in turn.
    fn reader(&self) -> MutexGuard<'_, Connection> {
        let start = self.next_reader.fetch_add(1, Ordering::Relaxed);
        let in_turn = || {
            (0..self.readers.len()).filter_map(|step| self.readers.get((start + step) % self.readers.len()))
        };
        for reader in in_turn() {
            match reader.try_lock() {
                Ok(free) => return free,
                Err(TryLockError::Poisoned(free)) => return free.into_inner(),
                Err(TryLockError::WouldBlock) => {}
            }
        }
        in_turn().next().unwrap_or(&self.writer).lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn ping(&self) -> Result<(), Error> {
        Ok(self.reader().prepare_cached("SELECT 1")?.query_row([], |_| Ok(()))?)
    }

    pub(super) fn products(&self) -> Result<Vec<Product>, Error> {
        self.list(&format!("SELECT {PRODUCT} FROM products p ORDER BY p.id"), [], |row| product(row, 0))
    }

    pub(super) fn product(&self, id: i64) -> Result<Option<Product>, Error> {
        let reader = self.reader();
        let mut statement = reader.prepare_cached(
            "SELECT p.id, p.name, p.category, p.price_cents, p.weight_grams FROM products p WHERE p.id = ?1",
        )?;
        Ok(statement.query_row([id], |row| product(row, 0)).optional()?)
    }

    pub(super) fn lots(&self) -> Result<Vec<LotRow>, Error> {
        self.list("SELECT product_id, received_day, quantity, ships_in_days FROM lots", [], |row| {
            Ok(LotRow {
                product_id: row.get(0)?,
                received_day: row.get(1)?,
                quantity: row.get(2)?,
                ships_in_days: row.get(3)?,
            })
        })
    }

    pub(super) fn accounts(&self) -> Result<Vec<AccountRow>, Error> {
        self.list("SELECT user_id, pot, cents FROM accounts", [], |row| {
            Ok(AccountRow { user_id: row.get(0)?, pot: row.get(1)?, cents: row.get(2)? })
        })
    }

    pub(super) fn bought_together(&self) -> Result<Vec<(i64, i64)>, Error> {
        self.list(
            "SELECT DISTINCT a.product_id, b.product_id FROM order_lines a JOIN order_lines b
             ON a.order_id = b.order_id AND a.product_id <> b.product_id
             ORDER BY 1, 2",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
    }

    pub(super) fn user(&self, id: i64) -> Result<Option<User>, Error> {
        let sql = format!("SELECT {USER} FROM users u WHERE u.id = ?1");
        Ok(self.reader().prepare_cached(&sql)?.query_row([id], |row| user(row, 0)).optional()?)
    }

    pub(super) fn credentials(&self, login: &str) -> Result<Option<Credentials>, Error> {
        let reader = self.reader();
        let mut statement =
            reader.prepare_cached("SELECT id, salt, password_sha256 FROM users WHERE login = ?1")?;
        let row = statement.query_row([login], |row| {
            Ok(Credentials { user_id: row.get(0)?, salt: row.get(1)?, password_sha256: row.get(2)? })
        });
        Ok(row.optional()?)
    }

    pub(super) fn create_session(&self, token: &str, user_id: Option<i64>) -> Result<i64, Error> {
        let writer = self.writer();
        writer
            .prepare_cached("INSERT INTO sessions (token, user_id) VALUES (?1, ?2)")?
            .execute(params![token, user_id])?;
        Ok(writer.last_insert_rowid())
    }

    pub(super) fn session(&self, token: &str) -> Result<Option<Session>, Error> {
        let sql = format!(
            "SELECT s.id, {USER} FROM sessions s LEFT JOIN users u ON u.id = s.user_id WHERE s.token = ?1"
        );
        let reader = self.reader();
        let mut statement = reader.prepare_cached(&sql)?;
        let row = statement.query_row([token], |row| {
            let user = row.get::<_, Option<i64>>(1)?.map(|_| user(row, 1)).transpose()?;
            Ok(Session { id: row.get(0)?, token: token.to_owned(), user })
        });
        Ok(row.optional()?)
    }

    pub(super) fn cart(&self, session_id: i64) -> Result<Vec<Line>, Error> {
        let sql = format!(
            "SELECT c.quantity, {PRODUCT} FROM carts c JOIN products p ON p.id = c.product_id
             WHERE c.session_id = ?1 ORDER BY p.id"
        );
        self.list(&sql, [session_id], |row| Ok(Line { quantity: row.get(0)?, product: product(row, 1)? }))
    }

    pub(super) fn put_in_cart(&self, session_id: i64, product_id: i64, quantity: i64) -> Result<(), Error> {
        self.writer()
            .prepare_cached(
                "INSERT INTO carts (session_id, product_id, quantity) VALUES (?1, ?2, ?3)
                 ON CONFLICT (session_id, product_id) DO UPDATE SET quantity = quantity + excluded.quantity",
            )?
            .execute([session_id, product_id, quantity])?;
        Ok(())
    }

    pub(super) fn coupon(&self, code: &str) -> Result<Option<(String, i64)>, Error> {
        let reader = self.reader();
        let mut statement = reader.prepare_cached("SELECT kind, value FROM coupons WHERE code = ?1")?;
        Ok(statement.query_row([code], |row| Ok((row.get(0)?, row.get(1)?))).optional()?)
    }

    pub(super) fn place_order(
        &self,
        user_id: Option<i64>,
        session_id: Option<i64>,
        lines: &[Line],
        total_cents: i64,
        coupon: Option<&str>,
    ) -> Result<i64, Error> {
        let mut writer = self.writer();
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction
            .prepare_cached(
                "INSERT INTO orders (user_id, status, total_cents, coupon) VALUES (?1, 'placed', ?2, ?3)",
            )?
            .execute(params![user_id, total_cents, coupon])?;
        let order_id = transaction.last_insert_rowid();
        for line in lines {
            transaction
                .prepare_cached("INSERT INTO order_lines (order_id, product_id, quantity, unit_cents) VALUES (?1, ?2, ?3, ?4)")?
                .execute([order_id, line.product.id, line.quantity, line.product.price_cents])?;
        }
        if let Some(session_id) = session_id {
            transaction.prepare_cached("DELETE FROM carts WHERE session_id = ?1")?.execute([session_id])?;
        }
        transaction.commit()?;
        Ok(order_id)
    }

    pub(super) fn order(&self, id: i64) -> Result<Option<Order>, Error> {
        let reader = self.reader();
        let mut statement =
            reader.prepare_cached("SELECT id, status, total_cents, coupon FROM orders WHERE id = ?1")?;
        let row = statement.query_row([id], |row| {
            Ok(Order { id: row.get(0)?, status: row.get(1)?, total_cents: row.get(2)?, coupon: row.get(3)? })
        });
        Ok(row.optional()?)
    }

    pub(super) fn add_review(&self, product_id: i64, rating: i64, body: &str) -> Result<i64, Error> {
        let writer = self.writer();
        writer
            .prepare_cached("INSERT INTO reviews (product_id, rating, body) VALUES (?1, ?2, ?3)")?
            .execute(params![product_id, rating, body])?;
        Ok(writer.last_insert_rowid())
    }

    pub(super) fn book(&self, user_id: i64, pot: &str, cents: i64) -> Result<(), Error> {
        self.writer()
            .prepare_cached("UPDATE accounts SET cents = cents + ?3 WHERE user_id = ?1 AND pot = ?2")?
            .execute(params![user_id, pot, cents])?;
        Ok(())
    }

    pub(super) fn claim_orders(&self, limit: i64) -> Result<Vec<ClaimedOrder>, Error> {
        let waiting: bool = self
            .reader()
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM orders WHERE status = 'placed')")?
            .query_row([], |row| row.get(0))?;
        if !waiting {
            return Ok(Vec::new()); // an idle worker takes no write lock
        }
        let writer = self.writer();
        let mut claim = writer.prepare_cached(
            "UPDATE orders SET status = 'packing'
             WHERE id IN (SELECT id FROM orders WHERE status = 'placed' ORDER BY id LIMIT ?1) RETURNING id, user_id",
        )?;
        let claimed: Vec<(i64, Option<i64>)> =
            claim.query_map([limit], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
        let mut read =
            writer.prepare_cached("SELECT quantity, unit_cents FROM order_lines WHERE order_id = ?1")?;
        let mut orders = Vec::with_capacity(claimed.len());
        for (id, user_id) in claimed {
            let lines =
                read.query_map([id], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
            orders.push(ClaimedOrder { id, user_id, lines });
        }
        Ok(orders)
    }

    pub(super) fn ship_order(&self, id: i64, user_id: Option<i64>, points: i64) -> Result<(), Error> {
        let mut writer = self.writer();
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.prepare_cached("UPDATE orders SET status = 'shipped' WHERE id = ?1")?.execute([id])?;
        if let Some(user_id) = user_id {
            transaction
                .prepare_cached("UPDATE users SET points = points + ?2, months_inactive = 0 WHERE id = ?1")?
                .execute([user_id, points])?;
        }
        Ok(transaction.commit()?)
    }

    pub(super) fn prune(&self) -> Result<(), Error> {
        let mut writer = self.writer();
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for sql in [
            "DELETE FROM sessions WHERE user_id IS NULL AND id < (SELECT max(id) FROM sessions) - ?1",
            "DELETE FROM carts WHERE session_id NOT IN (SELECT id FROM sessions)",
            "DELETE FROM order_lines WHERE order_id IN
             (SELECT id FROM orders WHERE user_id IS NULL AND id < (SELECT max(id) FROM orders) - ?1)",
            "DELETE FROM orders WHERE user_id IS NULL AND id < (SELECT max(id) FROM orders) - ?1",
            "DELETE FROM reviews WHERE id < (SELECT max(id) FROM reviews) - ?1",
        ] {
            let mut statement = transaction.prepare_cached(sql)?;
            match statement.parameter_count() {
                0 => statement.execute([])?,
                _ => statement.execute([KEPT_ROWS])?,
            };
        }
        Ok(transaction.commit()?)
    }

    pub(super) fn summary(&self) -> Result<Summary, Error> {
        let reader = self.reader();
        let mut statement = reader.prepare_cached(
            "SELECT (SELECT count(*) FROM orders), (SELECT count(*) FROM orders WHERE status = 'placed'),
                    (SELECT count(*) FROM reviews), (SELECT count(*) FROM sessions)",
        )?;
        Ok(statement.query_row([], |row| {
            Ok(Summary {
                orders: row.get(0)?,
                orders_waiting: row.get(1)?,
                reviews: row.get(2)?,
                sessions: row.get(3)?,
            })
        })?)
    }

    fn list<T>(
        &self,
        sql: &str,
        parameters: impl rusqlite::Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, Error> {
        let reader = self.reader();
        let mut statement = reader.prepare_cached(sql)?;
        Ok(statement.query_map(parameters, read)?.collect::<Result<_, _>>()?)
    }
}

fn product(row: &Row<'_>, first: usize) -> rusqlite::Result<Product> {
    Ok(Product {
        id: row.get(first)?,
        name: row.get(first + 1)?,
        category: row.get(first + 2)?,
        price_cents: row.get(first + 3)?,
        weight_grams: row.get(first + 4)?,
    })
}

fn user(row: &Row<'_>, first: usize) -> rusqlite::Result<User> {
    Ok(User {
        id: row.get(first)?,
        name: row.get(first + 1)?,
        email: row.get(first + 2)?,
        points: row.get(first + 3)?,
        months_inactive: row.get(first + 4)?,
        is_admin: row.get(first + 5)?,
    })
}

fn switch_to_wal(connection: &Connection) -> Result<(), Error> {
    let mut attempt = 0;
    loop {
        match connection.pragma_update(None, "journal_mode", "WAL") {
            Ok(()) => break,
            Err(error) if attempt == WAL_ATTEMPTS => return Err(error.into()),
            Err(_) => {
                attempt += 1;
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
    Ok(connection.pragma_update(None, "synchronous", "NORMAL")?)
}

fn fill(transaction: &Transaction<'_>) -> Result<(), Error> {
    let mut insert =
        transaction.prepare("INSERT INTO products VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING")?;
    for product in seed::products() {
        insert.execute(params![
            product.id,
            product.name,
            product.category,
            product.price_cents,
            product.weight_grams
        ])?;
    }
    let mut insert =
        transaction.prepare("INSERT INTO lots VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING")?;
    for lot in seed::lots() {
        insert.execute([lot.product_id, lot.received_day, lot.quantity, lot.ships_in_days])?;
    }
    let mut insert = transaction
        .prepare("INSERT INTO users VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT DO NOTHING")?;
    let mut account =
        transaction.prepare("INSERT INTO accounts VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING")?;
    for user in seed::users() {
        insert.execute(params![
            user.id,
            user.login,
            user.name,
            user.email,
            user.salt,
            user.password_sha256,
            user.points,
            user.months_inactive,
            user.is_admin
        ])?;
        account.execute(params![user.id, "wallet", user.wallet_cents])?;
        account.execute(params![user.id, "gifts", user.gifts_cents])?;
    }
    let mut insert = transaction.prepare("INSERT INTO coupons VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING")?;
    for (code, kind, value) in seed::coupons() {
        insert.execute(params![code, kind, value])?;
    }
    let mut insert = transaction
        .prepare("INSERT INTO orders VALUES (?1, ?2, 'shipped', ?3, NULL) ON CONFLICT DO NOTHING")?;
    let mut line =
        transaction.prepare("INSERT INTO order_lines VALUES (?1, ?2, 1, ?3) ON CONFLICT DO NOTHING")?;
    for (order, user, one, other) in seed::orders() {
        insert.execute([order, user, one.price_cents + other.price_cents])?;
        line.execute([order, one.id, one.price_cents])?;
        line.execute([order, other.id, other.price_cents])?;
    }
    Ok(())
}
