//! Accounts, tokens and the audit log, in the store.

use freezeframe_api::{Register, RegisterError};
use freezeframe_model::{Account, ScriptToken, chain};
use freezeframe_store::{Store, StoreError};

/// The store, as the door sees it.
pub(crate) struct Kept(pub(crate) Store);

fn failed(error: StoreError) -> RegisterError {
    RegisterError(chain(error))
}

impl Register for Kept {
    fn accounts(&self) -> Result<Vec<Account>, RegisterError> {
        self.0.accounts().map_err(failed)
    }

    fn put_account(&self, account: &Account) -> Result<(), RegisterError> {
        self.0.put_account(account).map_err(failed)
    }

    fn remove_account(&self, name: &str) -> Result<(), RegisterError> {
        self.0.remove_account(name).map(drop).map_err(failed)
    }

    fn tokens(&self) -> Result<Vec<ScriptToken>, RegisterError> {
        self.0.script_tokens().map_err(failed)
    }

    fn put_token(&self, token: &ScriptToken) -> Result<(), RegisterError> {
        self.0.put_script_token(token).map_err(failed)
    }

    fn remove_token(&self, name: &str) -> Result<(), RegisterError> {
        self.0.remove_script_token(name).map(drop).map_err(failed)
    }

    fn record(&self, who: &str, what: &str, detail: &str) -> Result<(), RegisterError> {
        self.0.audit(who, what, None, detail).map(drop).map_err(failed)
    }
}
