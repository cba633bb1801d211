//! Accounts and script tokens: kept by a [`Register`], known in memory.
//!
//! The data directory has one writer, the daemon; so what it knows in memory is what is there, and no request waits for a disk
//! to learn whether its session still holds.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use freezeframe_model::{Account, Roles, ScriptToken, Timestamp, is_name};
use tokio::sync::Semaphore;

use super::passwords;
use super::provider::{Busy, Identity, IdentityProvider};
use super::{hash, random};
use crate::control::BoxFuture;

/// Passwords that are looked at at the same time; each takes 19 MiB and a processor.
const TURNS: usize = 2;
/// Logins that wait for their turn, those that have it included; more are refused at once.
const WAITING: usize = 16;
/// What a token begins with, so that whoever finds one knows what it is.
const TOKEN_PREFIX: &str = "fft_";

/// Where accounts, tokens and the audit log are kept. All methods block.
pub trait Register: Send + Sync + 'static {
    /// All accounts.
    ///
    /// # Errors
    /// [`RegisterError`], as of every method.
    fn accounts(&self) -> Result<Vec<Account>, RegisterError>;
    /// Adds an account, or replaces the one of its name.
    fn put_account(&self, account: &Account) -> Result<(), RegisterError>;
    /// Removes the account of this name.
    fn remove_account(&self, name: &str) -> Result<(), RegisterError>;
    /// All tokens.
    fn tokens(&self) -> Result<Vec<ScriptToken>, RegisterError>;
    /// Adds a token, or replaces the one of its name.
    fn put_token(&self, token: &ScriptToken) -> Result<(), RegisterError>;
    /// Removes the token of this name.
    fn remove_token(&self, name: &str) -> Result<(), RegisterError>;
    /// Writes into the audit log that `who` did `what`.
    fn record(&self, who: &str, what: &str, detail: &str) -> Result<(), RegisterError>;
}

/// The register cannot be read or written; says why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RegisterError(pub String);

/// Why an account or a token is not as it was wished to be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccountError {
    /// Name, password or roles cannot be.
    #[error("{0}")]
    Invalid(String),
    /// There is one already.
    #[error("there is already a {0} of that name")]
    Exists(&'static str),
    /// There is none.
    #[error("there is no {0} of that name")]
    NotFound(&'static str),
    /// It could not be kept.
    #[error(transparent)]
    Register(#[from] RegisterError),
}

/// People with their passwords, and scripts with their tokens.
pub struct Accounts {
    register: Box<dyn Register>,
    /// One change at a time: what is written is made of what was read.
    changing: Mutex<()>,
    known: Mutex<Known>,
    /// Permits to look at a password, and to wait for that.
    turns: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

#[derive(Default)]
struct Known {
    accounts: HashMap<String, Account>,
    tokens: HashMap<[u8; 32], ScriptToken>,
}

impl std::fmt::Debug for Accounts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Accounts").finish_non_exhaustive()
    }
}

/// All methods but those that begin with `known` block. Changes return what happened, in a sentence.
impl Accounts {
    /// Reads the register.
    ///
    /// # Errors
    /// [`RegisterError`]
    pub fn load(register: Box<dyn Register>) -> Result<Self, RegisterError> {
        let known = Known {
            accounts: register
                .accounts()?
                .into_iter()
                .map(|account| (account.name.clone(), account))
                .collect(),
            tokens: register.tokens()?.into_iter().map(|token| (token.hash, token)).collect(),
        };
        Ok(Self {
            register,
            changing: Mutex::default(),
            known: Mutex::new(known),
            turns: Arc::new(Semaphore::new(TURNS)),
            waiting: Arc::new(Semaphore::new(WAITING)),
        })
    }

    /// All accounts, by name.
    pub fn known_accounts(&self) -> Vec<Account> {
        let mut accounts: Vec<_> = lock(&self.known).accounts.values().cloned().collect();
        accounts.sort_by(|one, other| one.name.cmp(&other.name));
        accounts
    }

    /// All tokens, by name, those that have expired too.
    pub fn known_tokens(&self) -> Vec<ScriptToken> {
        let mut tokens: Vec<_> = lock(&self.known).tokens.values().cloned().collect();
        tokens.sort_by(|one, other| one.name.cmp(&other.name));
        tokens
    }

    /// The script whose token it is.
    pub(super) fn known_script(&self, token: &str, now: Timestamp) -> Option<ScriptToken> {
        let hash = token.starts_with(TOKEN_PREFIX).then(|| hash(token))?;
        lock(&self.known).tokens.get(&hash).filter(|token| token.is_valid(now)).cloned()
    }

    /// Makes an account. `who` asks for it.
    ///
    /// # Errors
    /// [`AccountError`]
    pub fn add(&self, who: &str, name: &str, password: &str, roles: Roles) -> Result<String, AccountError> {
        check(name, roles)?;
        let password = hash_of(password)?;
        let _one_at_a_time = lock(&self.changing);
        if lock(&self.known).accounts.contains_key(name) {
            return Err(AccountError::Exists("user"));
        }
        let now = Timestamp::now();
        let account = Account { name: name.to_owned(), roles, password, created_at: now, changed_at: now };
        self.put(who, "user add", account)?;
        Ok(format!("{name} may sign in, with the roles {roles}"))
    }

    /// Gives an account another password, which ends its sessions.
    ///
    /// # Errors
    /// [`AccountError`]
    pub fn set_password(&self, who: &str, name: &str, password: &str) -> Result<String, AccountError> {
        let password = hash_of(password)?;
        self.change(who, "user password", name, |account| account.password = password)?;
        Ok(format!("{name} has another password; all their sessions have ended"))
    }

    /// Gives an account other roles, which ends its sessions.
    ///
    /// # Errors
    /// [`AccountError`]
    pub fn set_roles(&self, who: &str, name: &str, roles: Roles) -> Result<String, AccountError> {
        check(name, roles)?;
        self.change(who, "user roles", name, |account| account.roles = roles)?;
        Ok(format!("{name} has the roles {roles}; all their sessions have ended"))
    }

    /// Removes an account, which ends its sessions.
    ///
    /// # Errors
    /// [`AccountError`]
    pub fn remove(&self, who: &str, name: &str) -> Result<String, AccountError> {
        let _one_at_a_time = lock(&self.changing);
        if !lock(&self.known).accounts.contains_key(name) {
            return Err(AccountError::NotFound("user"));
        }
        self.register.record(who, "user remove", name)?;
        self.register.remove_account(name)?;
        lock(&self.known).accounts.remove(name);
        Ok(format!("{name} may not sign in any more; all their sessions have ended"))
    }

    /// Makes a token for a script and returns it; it cannot be had a second time. `expires_in_ms` from now it is refused.
    ///
    /// # Errors
    /// [`AccountError`]
    pub fn add_token(
        &self,
        who: &str,
        name: &str,
        roles: Roles,
        expires_in_ms: Option<u64>,
    ) -> Result<(String, ScriptToken), AccountError> {
        check(name, roles)?;
        let random =
            random().ok_or_else(|| AccountError::Invalid("the system has no randomness".to_owned()))?;
        let secret = format!("{TOKEN_PREFIX}{random}");
        let _one_at_a_time = lock(&self.changing);
        if lock(&self.known).tokens.values().any(|token| token.name == name) {
            return Err(AccountError::Exists("token"));
        }
        let created_at = Timestamp::now();
        let expires_at = expires_in_ms.map(|ms| created_at.plus_ms(ms));
        let token = ScriptToken { name: name.to_owned(), roles, hash: hash(&secret), created_at, expires_at };
        self.register.record(who, "token add", &format!("{name} {roles}"))?;
        self.register.put_token(&token)?;
        lock(&self.known).tokens.insert(token.hash, token.clone());
        Ok((secret, token))
    }

    /// Removes a token; its scripts are refused from now on.
    ///
    /// # Errors
    /// [`AccountError`]
    pub fn remove_token(&self, who: &str, name: &str) -> Result<String, AccountError> {
        let _one_at_a_time = lock(&self.changing);
        let hash = lock(&self.known).tokens.values().find(|token| token.name == name).map(|token| token.hash);
        let hash = hash.ok_or(AccountError::NotFound("token"))?;
        self.register.record(who, "token remove", name)?;
        self.register.remove_token(name)?;
        lock(&self.known).tokens.remove(&hash);
        Ok(format!("the token {name} is refused from now on"))
    }

    /// Writes into the audit log; what cannot be written is in the daemon's log at least.
    pub(super) fn record(&self, who: &str, what: &str, detail: &str) {
        if let Err(error) = self.register.record(who, what, detail) {
            tracing::error!(%error, who, what, detail, "the audit log could not be written to");
        }
    }

    fn change(
        &self,
        who: &str,
        what: &str,
        name: &str,
        change: impl FnOnce(&mut Account),
    ) -> Result<(), AccountError> {
        let _one_at_a_time = lock(&self.changing);
        let known = lock(&self.known).accounts.get(name).cloned();
        let mut account = known.ok_or(AccountError::NotFound("user"))?;
        change(&mut account);
        // Sessions know an account's state by this time, so it must differ, whatever the clock says.
        account.changed_at = Timestamp(Timestamp::now().0.max(account.changed_at.0.saturating_add(1)));
        self.put(who, what, account)
    }

    fn put(&self, who: &str, what: &str, account: Account) -> Result<(), AccountError> {
        self.register.record(who, what, &format!("{} {}", account.name, account.roles))?;
        self.register.put_account(&account)?;
        lock(&self.known).accounts.insert(account.name.clone(), account);
        Ok(())
    }

    async fn verify(&self, user: &str, password: &str) -> Result<Option<Identity>, Busy> {
        let waiting = Arc::clone(&self.waiting).try_acquire_owned().map_err(|_| Busy)?;
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(|_| Busy)?;
        let account = lock(&self.known).accounts.get(user).cloned();
        let (password, stored) =
            (password.to_owned(), account.as_ref().map(|account| account.password.clone()));
        // The permits go with the work: whoever goes away meanwhile does not make room for more of it.
        let looked_at = tokio::task::spawn_blocking(move || {
            let is_right = passwords::is_right(&password, stored.as_deref());
            drop((turn, waiting));
            is_right
        });
        let is_right = looked_at.await.unwrap_or(false);
        Ok(account.filter(|_| is_right).map(|account| identity(&account)))
    }
}

impl IdentityProvider for Accounts {
    fn identify<'a>(
        &'a self,
        user: &'a str,
        password: &'a str,
    ) -> BoxFuture<'a, Result<Option<Identity>, Busy>> {
        Box::pin(self.verify(user, password))
    }

    fn is_current(&self, of_session: &Identity) -> bool {
        lock(&self.known)
            .accounts
            .get(&of_session.user)
            .is_some_and(|account| identity(account) == *of_session)
    }
}

fn identity(account: &Account) -> Identity {
    Identity { user: account.name.clone(), roles: account.roles, version: account.changed_at.0 }
}

/// What else acts is named so in the audit log.
const RESERVED: [&str; 5] = ["token", "local", "demo", "daemon", "lease"];

fn check(name: &str, roles: Roles) -> Result<(), AccountError> {
    let wrong = match name {
        name if !is_name(name) => {
            "a name has 1 to 64 letters, digits and `.`, `_`, `-`, `@`, and begins with a letter or digit"
        }
        name if RESERVED.contains(&name) => "that name stands for something else in the audit log",
        _ if roles.is_empty() => "at least one role is needed: view, reveal, act or sql",
        _ => return Ok(()),
    };
    Err(AccountError::Invalid(wrong.to_owned()))
}

fn hash_of(password: &str) -> Result<String, AccountError> {
    passwords::hash(password).map_err(|error| AccountError::Invalid(error.to_string()))
}

/// What is locked is whole at any moment, whatever panicked meanwhile.
fn lock<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}
