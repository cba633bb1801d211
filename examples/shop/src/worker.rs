//! Processes orders: one thread that takes placed orders out of the database, books loyalty points and ships.
//!
//! The database is the queue, so nothing is lost with the process; the bell only saves waiting.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::Handle;

use crate::db::{ClaimedOrder, Error};
use crate::native;
use crate::state::Shop;

/// Orders per turn.
const BATCH: i64 = 32;
/// How long orders of another process wait at most.
const POLL: Duration = Duration::from_secs(1);
/// Old rows go at the start, and then about once a minute.
const TURNS_BETWEEN_PRUNING: u32 = 60;

/// Tells the worker that there is something to do. Ringing twice is as good as once.
#[derive(Debug)]
pub(crate) struct Bell(SyncSender<()>);

impl Bell {
    pub(crate) fn new() -> (Self, Receiver<()>) {
        let (sender, receiver) = sync_channel(1);
        (Self(sender), receiver)
    }

    pub(crate) fn ring(&self) {
        let _ = self.0.try_send(());
    }
}

/// Starts the worker; it ends when `stop` disconnects.
pub(crate) fn start(
    shop: Arc<Shop>,
    rings: Receiver<()>,
    stop: Receiver<()>,
    runtime: Handle,
) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name("shop-orders".into()).spawn(move || run(&shop, &rings, &stop, &runtime))
}

fn run(shop: &Shop, rings: &Receiver<()>, stop: &Receiver<()>, runtime: &Handle) {
    let mut idle_turns: u32 = 0;
    loop {
        match stop.try_recv() {
            Ok(()) | Err(std::sync::mpsc::TryRecvError::Disconnected) => return,
            Err(std::sync::mpsc::TryRecvError::Empty) => {}
        }
        match runtime.block_on(process_batch(shop)) {
            Ok(0) => {}
            Ok(processed) => {
                tracing::debug!(processed, "orders shipped");
                continue;
            }
            Err(error) => tracing::warn!(%error, "orders wait"),
        }
        if idle_turns.is_multiple_of(TURNS_BETWEEN_PRUNING)
            && let Err(error) = runtime.block_on(shop.database.prune())
        {
            tracing::warn!(%error, "old rows stay");
        }
        idle_turns = idle_turns.wrapping_add(1);
        match rings.recv_timeout(POLL) {
            Ok(()) | Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

async fn process_batch(shop: &Shop) -> Result<usize, Error> {
    let orders = shop.database.claim_orders(BATCH).await?;
    for order in &orders {
        let points = points_of(order);
        shop.database.ship_order(order.id, order.user_id, points).await?;
    }
    Ok(orders.len())
}

/// Guests collect no points.
fn points_of(order: &ClaimedOrder) -> i64 {
    if order.user_id.is_none() {
        return 0;
    }
    i64::try_from(native::award(&order.lines)).unwrap_or(i64::MAX)
}
