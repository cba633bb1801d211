//! What all requests share.

use std::time::Instant;

use crate::config::Config;
use crate::db::{Database, Error};
use crate::inventory::Inventory;
use crate::ledger::Ledger;
use crate::recommend::Recommender;
use crate::worker::Bell;

/// The shop at run time.
#[derive(Debug)]
pub(crate) struct Shop {
    pub(crate) database: Database,
    pub(crate) inventory: Inventory,
    pub(crate) recommender: Recommender,
    pub(crate) ledger: Ledger,
    pub(crate) worker: Bell,
    pub(crate) started: Instant,
}

impl Shop {
    /// Opens the database and reads what is kept in memory.
    pub(crate) async fn open(config: &Config, worker: Bell) -> Result<Self, Error> {
        let database = Database::open(&config.database).await?;
        let products = database.products().await?;
        Ok(Self {
            inventory: Inventory::new(&products, &database.lots().await?),
            recommender: Recommender::new(&products, &database.bought_together().await?),
            ledger: Ledger::new(database.accounts().await?, config.bank_delay),
            worker,
            started: Instant::now(),
            database,
        })
    }
}
