//! The durable queue between an incident and the people: what waits, what was delivered lately, what was given up.
//!
//! One row is one alert for one channel. Notices of one fingerprint and channel are coalesced:
//!
//! | the last alert | a further occurrence | a resolution |
//! |---|---|---|
//! | waits or is under way | is added to its count | waits behind it |
//! | was delivered, or given up, within the window | waits until the window ends, then one alert for all | replaces what waits |
//! | is older, resolved, or there is none | is a new alert, at once | is sent |
//!
//! This file knows rows and the clock that it is given; sending is `delivery`'s.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use freezeframe_model::{Fingerprint, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use tokio::sync::watch;

use crate::{Alert, Notice, NoticeEvent, Timing};

/// Alerts that may wait; beyond it the oldest is given up.
const MAX_PENDING: i64 = 10_000;
/// Given-up alerts that are kept for people to see.
const MAX_FAILED: i64 = 1_000;
/// Delivered alerts are forgotten after this, unless the window is longer.
const KEEP_DELIVERED: Duration = Duration::from_secs(24 * 3600);
/// Characters of an error that are kept.
const MAX_ERROR: usize = 500;
const VERSION: i64 = 1;

const SCHEMA: &str = "
    CREATE TABLE alerts (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        channel TEXT NOT NULL,
        fingerprint TEXT NOT NULL,
        state TEXT NOT NULL,          -- pending, delivered, failed
        resolved INTEGER NOT NULL,
        follow_up INTEGER NOT NULL,   -- waits for the end of a window
        count INTEGER NOT NULL,
        attempts INTEGER NOT NULL,
        created_at INTEGER NOT NULL,
        due_at INTEGER NOT NULL,
        settled_at INTEGER NOT NULL,  -- delivered or given up
        error TEXT NOT NULL,
        notice TEXT NOT NULL
    ) STRICT;
    CREATE INDEX alerts_by_fingerprint ON alerts (channel, fingerprint, id);
    CREATE INDEX alerts_by_state ON alerts (state, channel, due_at);
    PRAGMA user_version = 1;
";

const COLUMNS: &str =
    "id, channel, state, resolved, count, attempts, created_at, due_at, settled_at, error, notice";

/// Why the outbox could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    /// SQLite refused.
    #[error("cannot {doing} the outbox")]
    Database {
        /// Verb.
        doing: &'static str,
        /// Why.
        #[source]
        source: rusqlite::Error,
    },
    /// The file cannot be created.
    #[error("cannot create the outbox")]
    Create(#[source] std::io::Error),
    /// Written by a newer version of Freezeframe.
    #[error(
        "the outbox has format version {0}, but only versions up to {VERSION} are understood: upgrade freezeframe"
    )]
    NewerFormat(i64),
    /// The runtime is ending, or a worker panicked.
    #[error("a worker of the outbox ended early")]
    Worker(#[source] tokio::task::JoinError),
}

impl OutboxError {
    pub(crate) fn database(doing: &'static str) -> impl FnOnce(rusqlite::Error) -> Self {
        move |source| Self::Database { doing, source }
    }
}

/// An alert in the outbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queued {
    pub(crate) id: i64,
    /// Name of the channel.
    pub channel: String,
    /// What is to be said.
    pub alert: Alert,
    /// Failed attempts so far.
    pub attempts: u32,
    /// When it was first noticed.
    pub created_at: Timestamp,
    /// When it is tried (again).
    pub due_at: Timestamp,
    /// Why the last attempt failed; empty before the first.
    pub error: String,
}

/// What a worker does next.
pub(crate) enum Next {
    Send(Box<Queued>),
    Wait(Duration),
    Nothing,
}

/// The durable queue. Methods that are not `async` block: call them from a thread that may.
pub struct Outbox {
    db: Mutex<Connection>,
    pub(crate) timing: Timing,
    /// Changes whenever there may be something to send.
    pub(crate) changed: watch::Sender<u64>,
    /// Is told of every delivery.
    pub(crate) on_delivery: OnceLock<OnDelivery>,
}

/// Is told that a channel, by its name, has accepted a notice. Called from a task: it must not block.
pub type OnDelivery = Box<dyn Fn(&str, &Notice) + Send + Sync>;

impl std::fmt::Debug for Outbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outbox").field("timing", &self.timing).finish_non_exhaustive()
    }
}

impl Outbox {
    /// Opens or creates the file (mode 0600) with the usual [`Timing`].
    pub fn open(path: &Path) -> Result<Self, OutboxError> {
        Self::open_with(path, Timing::default())
    }

    /// The same with another timing.
    pub fn open_with(path: &Path, timing: Timing) -> Result<Self, OutboxError> {
        use std::os::unix::fs::OpenOptionsExt;
        let mut options = std::fs::OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        options.open(path).map_err(OutboxError::Create)?;
        let db = Connection::open(path).map_err(OutboxError::database("open"))?;
        configure(&db).map_err(OutboxError::database("configure"))?;
        let found = db.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0));
        match found.map_err(OutboxError::database("read"))? {
            0 => db
                .execute_batch(&format!("BEGIN; {SCHEMA} COMMIT;"))
                .map_err(OutboxError::database("create"))?,
            found if found > VERSION => return Err(OutboxError::NewerFormat(found)),
            _ => {}
        }
        let changed = watch::Sender::new(0);
        Ok(Self { db: Mutex::new(db), timing, changed, on_delivery: OnceLock::new() })
    }

    /// Has `told` told of every delivery from now on. Only the first call counts.
    pub fn on_delivery(&self, told: OnDelivery) {
        let _ = self.on_delivery.set(told);
    }

    /// Puts the notice into the outbox for each of the channels; durable on return.
    ///
    /// Where it only adds to the count of an alert that already waits, a power failure (not a crash) may lose the count.
    pub fn enqueue(&self, notice: &Notice, channels: &[String]) -> Result<(), OutboxError> {
        self.enqueue_at(notice, channels, Timestamp::now())
    }

    pub(crate) fn enqueue_at(
        &self,
        notice: &Notice,
        channels: &[String],
        now: Timestamp,
    ) -> Result<(), OutboxError> {
        let notice = notice.tidied();
        let db = self.lock();
        let failed = OutboxError::database("write to");
        let write = || {
            let mut plans = Vec::with_capacity(channels.len());
            for channel in channels {
                plans.push((channel, self.plan(&db, channel, &notice, now)?));
            }
            // In a storm almost every notice only adds to a count. That is not worth an fsync each.
            let counts_only = plans.iter().all(|(_, plan)| matches!(plan, Plan::Count { .. }));
            db.pragma_update(None, "synchronous", if counts_only { "NORMAL" } else { "FULL" })?;
            let transaction = db.unchecked_transaction()?;
            for (channel, plan) in plans {
                carry_out(&transaction, channel, &notice, plan, now)?;
            }
            transaction.commit()
        };
        write().map_err(failed)?;
        drop(db);
        self.changed.send_modify(|generation| *generation = generation.wrapping_add(1));
        Ok(())
    }

    fn plan(
        &self,
        db: &Connection,
        channel: &str,
        notice: &Notice,
        now: Timestamp,
    ) -> rusqlite::Result<Plan> {
        let Some(last) = last(db, channel, notice.fingerprint)? else {
            return Ok(Plan::Send { count: notice.count.max(1) });
        };
        let count = last.count.saturating_add(1).max(notice.count);
        let resolves = notice.event == NoticeEvent::Resolved;
        Ok(match (last.state.as_str(), last.resolved, resolves) {
            ("pending", true, true) => Plan::Count { id: last.id, count: last.count.max(notice.count) },
            ("pending", false, false) => Plan::Count { id: last.id, count },
            (_, _, true) => Plan::Resolve { count: last.count.max(notice.count) },
            ("delivered" | "failed", false, false)
                if now.since_ms(last.settled_at) < millis(self.timing.window) =>
            {
                Plan::FollowUp { count, due_at: last.settled_at.plus_ms(millis(self.timing.window)) }
            }
            _ => Plan::Send { count: notice.count.max(1) },
        })
    }

    /// Alerts that wait or are being sent, the next one first.
    pub fn pending(&self) -> Result<Vec<Queued>, OutboxError> {
        self.queued("pending", "due_at, id")
    }

    /// Alerts that were given up, the last one first.
    pub fn failed(&self) -> Result<Vec<Queued>, OutboxError> {
        self.queued("failed", "id DESC")
    }

    fn queued(&self, state: &str, order: &str) -> Result<Vec<Queued>, OutboxError> {
        let read = |db: &Connection| {
            let sql = format!("SELECT {COLUMNS} FROM alerts WHERE state = ?1 ORDER BY {order}");
            let mut statement = db.prepare_cached(&sql)?;
            statement.query_map([state], read_queued)?.collect::<rusqlite::Result<Vec<_>>>()
        };
        read(&self.lock()).map_err(OutboxError::database("read"))
    }

    /// The next alert of a channel. Alerts of one fingerprint keep their order: a resolution never overtakes.
    pub(crate) fn next(&self, channel: &str, now: Timestamp) -> Result<Next, OutboxError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM alerts AS a WHERE state = 'pending' AND channel = ?1
               AND NOT EXISTS (SELECT 1 FROM alerts AS b WHERE b.state = 'pending' AND b.channel = a.channel
                                 AND b.fingerprint = a.fingerprint AND b.id < a.id)
             ORDER BY due_at, id LIMIT 1"
        );
        let read = |db: &Connection| db.prepare_cached(&sql)?.query_row([channel], read_queued).optional();
        let Some(next) = read(&self.lock()).map_err(OutboxError::database("read"))? else {
            return Ok(Next::Nothing);
        };
        let wait = next.due_at.since_ms(now);
        if next.due_at <= now || wait > millis(self.timing.longest_wait()) {
            return Ok(Next::Send(Box::new(next)));
        }
        // Rounded up, so that it is really due when the time is over.
        Ok(Next::Wait(Duration::from_millis(wait.saturating_add(1))))
    }

    /// The channel accepted it. What was added while it was under way becomes a follow-up.
    pub(crate) fn delivered(&self, sent: &Queued, now: Timestamp) -> Result<(), OutboxError> {
        let db = self.lock();
        let write = || {
            db.pragma_update(None, "synchronous", "FULL")?;
            let transaction = db.unchecked_transaction()?;
            let sql = "UPDATE alerts SET state = 'delivered', settled_at = ?2 WHERE id = ?1 RETURNING count";
            let count = transaction.prepare_cached(sql)?.query_row(params![sent.id, now.0], |row| row.get(0));
            let count = count.optional()?.map_or(0, unsigned);
            let notice = &sent.alert.notice;
            if count > notice.count && notice.event != NoticeEvent::Resolved {
                let due_at = now.plus_ms(millis(self.timing.window));
                carry_out(&transaction, &sent.channel, notice, Plan::FollowUp { count, due_at }, now)?;
            }
            transaction.commit()
        };
        write().map_err(OutboxError::database("note a delivery in"))
    }

    /// It was not accepted: tried again later, or given up. Returns whether it was given up.
    pub(crate) fn failed_attempt(
        &self,
        sent: &Queued,
        why: &str,
        after: Option<Duration>,
        for_good: bool,
        now: Timestamp,
    ) -> Result<bool, OutboxError> {
        let give_up = for_good || now.since_ms(sent.created_at) >= millis(self.timing.give_up_after);
        let pause = self.pause(sent.attempts).max(after.unwrap_or_default());
        let why: String = why.chars().take(MAX_ERROR).collect();
        let state = if give_up { "failed" } else { "pending" };
        let sql =
            "UPDATE alerts SET state = ?2, attempts = attempts + 1, error = ?3, due_at = ?4, settled_at = ?5,
                                     follow_up = 0 WHERE id = ?1";
        let db = self.lock();
        let write = || {
            let values = params![sent.id, state, why, now.plus_ms(millis(pause)).0, now.0];
            db.prepare_cached(sql)?.execute(values).map(drop)
        };
        write().map_err(OutboxError::database("note a failure in"))?;
        Ok(give_up)
    }

    /// Exponential, between half and the whole of the nominal pause, so that many outboxes do not come in step.
    fn pause(&self, attempts: u32) -> Duration {
        let doubled =
            self.timing.first_retry.saturating_mul(1u32.checked_shl(attempts.min(30)).unwrap_or(u32::MAX));
        doubled.min(self.timing.longest_retry).mul_f64(0.5 + fastrand::f64() / 2.0)
    }

    /// Forgets what is over, and gives up what waits for a channel that no longer exists. Returns the latter.
    pub(crate) fn tidy(&self, channels: &[String], now: Timestamp) -> Result<Vec<Queued>, OutboxError> {
        let pending = self.pending()?;
        let give_up = millis(self.timing.give_up_after);
        let orphaned = |queued: &Queued| {
            !channels.contains(&queued.channel) && now.since_ms(queued.created_at) >= give_up
        };
        let orphans: Vec<Queued> = pending.into_iter().filter(orphaned).collect();
        for orphan in &orphans {
            self.failed_attempt(orphan, "its channel is no longer configured", None, true, now)?;
        }
        let db = self.lock();
        let forget = || {
            let keep = signed(millis(KEEP_DELIVERED.max(self.timing.window)).saturating_mul(1000));
            db.execute(
                "DELETE FROM alerts WHERE state = 'delivered' AND settled_at < ?1",
                [now.0.saturating_sub(keep)],
            )?;
            db.execute(
                "DELETE FROM alerts WHERE state = 'failed' AND id NOT IN (
                     SELECT id FROM alerts WHERE state = 'failed' ORDER BY id DESC LIMIT ?1)",
                [MAX_FAILED],
            )
        };
        forget().map_err(OutboxError::database("tidy"))?;
        Ok(orphans)
    }

    /// A thread that panicked cannot leave a transaction half done: dropping it rolled it back.
    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.db.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a notice does to the outbox of one channel.
enum Plan {
    /// An alert of its own, at once.
    Send { count: u64 },
    /// An alert of its own, when the window ends.
    FollowUp { count: u64, due_at: Timestamp },
    /// Adds to an alert that waits.
    Count { id: i64, count: u64 },
    /// Replaces follow-ups that nobody needs any more.
    Resolve { count: u64 },
}

fn carry_out(
    db: &Transaction<'_>,
    channel: &str,
    notice: &Notice,
    plan: Plan,
    now: Timestamp,
) -> rusqlite::Result<()> {
    match plan {
        Plan::Count { id, count } => {
            let sql = "UPDATE alerts SET count = ?2 WHERE id = ?1";
            db.prepare_cached(sql)?.execute(params![id, signed(count)]).map(drop)
        }
        Plan::Send { count } => add(db, channel, notice, count, now, now),
        Plan::FollowUp { count, due_at } => {
            let repeated = Notice { event: NoticeEvent::Repeated, ..notice.clone() };
            add(db, channel, &repeated, count, now, due_at)
        }
        Plan::Resolve { count } => {
            let sql = "DELETE FROM alerts WHERE channel = ?1 AND fingerprint = ?2 AND state = 'pending'
                                            AND follow_up AND attempts = 0";
            db.prepare_cached(sql)?.execute(params![channel, notice.fingerprint.to_string()])?;
            add(db, channel, notice, count, now, now)
        }
    }
}

fn add(
    db: &Transaction<'_>,
    channel: &str,
    notice: &Notice,
    count: u64,
    now: Timestamp,
    due_at: Timestamp,
) -> rusqlite::Result<()> {
    let full = "UPDATE alerts SET state = 'failed', settled_at = ?2, error = 'too many alerts were waiting'
                WHERE id IN (SELECT id FROM alerts WHERE state = 'pending' ORDER BY id
                             LIMIT max(0, (SELECT count(*) FROM alerts WHERE state = 'pending') - ?1))";
    let dropped = db.prepare_cached(full)?.execute(params![MAX_PENDING - 1, now.0])?;
    if dropped > 0 {
        tracing::error!(dropped, "too many alerts were waiting; the oldest were given up");
    }
    let text = serde_json::to_string(&Notice { count, ..notice.clone() })
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    let sql =
        "INSERT INTO alerts (channel, fingerprint, state, resolved, follow_up, count, attempts, created_at,
                                   due_at, settled_at, error, notice)
               VALUES (?1, ?2, 'pending', ?3, ?4, ?5, 0, ?6, ?7, 0, '', ?8)";
    let values = params![
        channel,
        notice.fingerprint.to_string(),
        notice.event == NoticeEvent::Resolved,
        due_at > now,
        signed(count),
        now.0,
        due_at.0,
        text
    ];
    db.prepare_cached(sql)?.execute(values).map(drop)
}

/// The newest alert of a fingerprint and channel.
struct Last {
    id: i64,
    state: String,
    resolved: bool,
    count: u64,
    settled_at: Timestamp,
}

fn last(db: &Connection, channel: &str, fingerprint: Fingerprint) -> rusqlite::Result<Option<Last>> {
    let sql = "SELECT id, state, resolved, count, settled_at FROM alerts
               WHERE channel = ?1 AND fingerprint = ?2 ORDER BY id DESC LIMIT 1";
    let read = |row: &Row<'_>| {
        Ok(Last {
            id: row.get(0)?,
            state: row.get(1)?,
            resolved: row.get(2)?,
            count: unsigned(row.get(3)?),
            settled_at: Timestamp(row.get(4)?),
        })
    };
    db.prepare_cached(sql)?.query_row(params![channel, fingerprint.to_string()], read).optional()
}

fn read_queued(row: &Row<'_>) -> rusqlite::Result<Queued> {
    let (id, created_at): (i64, i64) = (row.get("id")?, row.get("created_at")?);
    let text: String = row.get("notice")?;
    let mut notice: Notice = serde_json::from_str(&text).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, Box::new(error))
    })?;
    notice.count = unsigned(row.get("count")?);
    Ok(Queued {
        id,
        channel: row.get("channel")?,
        alert: Alert { delivery: format!("{created_at:x}-{id}"), notice },
        attempts: row.get("attempts")?,
        created_at: Timestamp(created_at),
        due_at: Timestamp(row.get("due_at")?),
        error: row.get("error")?,
    })
}

fn configure(db: &Connection) -> rusqlite::Result<()> {
    db.busy_timeout(Duration::from_secs(2))?;
    db.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    db.pragma_update(None, "synchronous", "FULL")
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

#[cfg(test)]
mod tests;
