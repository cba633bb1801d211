//! Store credit: every customer has a wallet and a pot for gifts, and may move money between them.
//!
//! Balances are kept in memory, one lock each; the database gets every booking afterwards.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use crate::db::AccountRow;

/// Transfers from here on are confirmed by the bank.
const CONFIRM_FROM_CENTS: i64 = 10_000;

/// All balances.
#[derive(Debug)]
pub(crate) struct Ledger {
    accounts: HashMap<(i64, String), Mutex<Account>>,
    bank: Bank,
}

#[derive(Debug)]
struct Account {
    cents: i64,
}

/// Stands in for the bank's test system, which is slow and agrees to everything.
#[derive(Debug)]
struct Bank {
    answers_after: Duration,
}

impl Bank {
    fn confirm(&self, cents: i64) {
        tracing::debug!(cents, "asking the bank");
        std::thread::sleep(self.answers_after);
    }
}

/// Why a transfer was refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("no pot named {0:?}")]
    NoSuchPot(String),
    #[error("from and to are the same pot")]
    SamePot,
    #[error("only {0} cents left")]
    TooLittle(i64),
}

impl Ledger {
    pub(crate) fn new(rows: Vec<AccountRow>, bank_delay: Duration) -> Self {
        let accounts = rows
            .into_iter()
            .map(|row| ((row.user_id, row.pot), Mutex::new(Account { cents: row.cents })))
            .collect();
        Self { accounts, bank: Bank { answers_after: bank_delay } }
    }

    /// Moves money between two pots of a customer. Blocks while the bank thinks.
    #[inline(never)] // its own frame in profiles
    pub(crate) fn transfer(&self, user_id: i64, from: &str, to: &str, cents: i64) -> Result<(), Refused> {
        if from == to {
            return Err(Refused::SamePot);
        }
        let mut source = self.lock(user_id, from)?;
        if source.cents < cents {
            return Err(Refused::TooLittle(source.cents));
        }
        if cents >= CONFIRM_FROM_CENTS {
            self.bank.confirm(cents);
        }
        let mut destination = self.lock(user_id, to)?;
        source.cents -= cents;
        destination.cents += cents;
        Ok(())
    }

    /// Sum of all balances: what the shop owes to its customers.
    pub(crate) fn owed_cents(&self) -> i64 {
        self.accounts.values().map(|account| account.lock().unwrap().cents).sum()
    }

    fn lock(&self, user_id: i64, pot: &str) -> Result<MutexGuard<'_, Account>, Refused> {
        let account = self.accounts.get(&(user_id, pot.to_owned()));
        Ok(account.ok_or_else(|| Refused::NoSuchPot(pot.to_owned()))?.lock().unwrap())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Ledger, Refused};
    use crate::db::AccountRow;

    fn ledger() -> Ledger {
        let row = |pot: &str, cents| AccountRow { user_id: 2, pot: pot.into(), cents };
        Ledger::new(vec![row("wallet", 500), row("gifts", 100)], Duration::ZERO)
    }

    #[test]
    fn money_is_moved_not_made() {
        let ledger = ledger();
        assert_eq!(ledger.transfer(2, "wallet", "gifts", 450), Ok(()));
        assert_eq!(ledger.transfer(2, "wallet", "gifts", 100), Err(Refused::TooLittle(50)));
        assert_eq!(ledger.owed_cents(), 600);
    }

    #[test]
    fn refuses_pots_that_are_not_there() {
        let ledger = ledger();
        assert_eq!(ledger.transfer(2, "wallet", "wallet", 1), Err(Refused::SamePot));
        assert_eq!(ledger.transfer(2, "wallet", "sock", 1), Err(Refused::NoSuchPot("sock".into())));
        assert_eq!(ledger.transfer(3, "wallet", "gifts", 1), Err(Refused::NoSuchPot("wallet".into())));
    }
}
