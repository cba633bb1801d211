//! The state behind all listeners of one daemon: what proves who somebody is, and who has proved it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::http::Uri;
use freezeframe_model::{Roles, Timestamp, is_name};

use super::attempts::{Attempts, AttemptsByName, Sampled};
use super::links::Links;
use super::provider::{Busy, Identity, IdentityProvider};
use super::sessions::{Session, Sessions};
use super::{Accounts, Admitted, By, Caller, Refusal, hash, random};

/// Longest token that is looked at, in bytes.
const MAX_TOKEN: usize = 1024;

/// What proves who somebody is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Proof<'a> {
    /// A name and a password.
    Password {
        /// Who.
        user: &'a str,
        /// What only they know.
        password: &'a str,
    },
    /// The data directory's token.
    Token(&'a str),
    /// The secret of a link that works once.
    Once(&'a str),
}

/// The door of one daemon.
pub struct Door {
    /// Hash of the data directory's token; `None` refuses everybody.
    token: Option<[u8; 32]>,
    /// Hosts of the addresses under which people reach it from outside, in lower case, and whether by HTTPS.
    public_hosts: Vec<(String, bool)>,
    accounts: Option<Arc<Accounts>>,
    provider: Option<Arc<dyn IdentityProvider>>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    sessions: Sessions,
    links: Links,
    /// Wrong tokens at the login, and in headers: kept apart, so that a client with an old token in an endless loop does
    /// not hide what happens at the login. The right one is let in whatever happened before it: a secret of 256 bits is
    /// not found by trying, and whoever tries must not be able to lock others out.
    logins: Attempts,
    headers: Attempts,
    /// Passwords can be found by trying, so here the right one has to wait as well: for one name, and for all.
    passwords: AttemptsByName,
    all_passwords: Attempts,
    /// Refused logins that the audit log hears of: nobody should be able to drown the rest of it.
    refused: Sampled,
}

impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Door").field("public_hosts", &self.public_hosts).finish_non_exhaustive()
    }
}

impl Door {
    /// A door that `token` opens, the one of the data directory; an empty one opens it for nobody. `public_urls` are the
    /// addresses under which people reach the listener through a proxy, where there is one: their hosts are accepted
    /// besides loopback names. What is no URL with a host is ignored.
    pub fn new(token: &str, public_urls: Vec<String>) -> Self {
        let host = |url: &String| {
            let url = url.parse::<Uri>().ok()?;
            Some((url.host()?.to_ascii_lowercase(), url.scheme_str() == Some("https")))
        };
        let minute = Duration::from_secs(60);
        Self {
            token: (!token.is_empty()).then(|| hash(token)),
            public_hosts: public_urls.iter().filter_map(host).collect(),
            accounts: None,
            provider: None,
            state: Mutex::new(State {
                sessions: Sessions::default(),
                links: Links::default(),
                logins: Attempts::new(10, minute),
                headers: Attempts::new(10, minute),
                passwords: AttemptsByName::new(10, 5 * minute),
                all_passwords: Attempts::new(100, minute),
                refused: Sampled::new(20, 60 * minute),
            }),
        }
    }

    /// The same, which these people and these scripts can open as well.
    #[must_use]
    pub fn with_accounts(mut self, accounts: Arc<Accounts>) -> Self {
        self.provider = Some(Arc::clone(&accounts) as _);
        self.accounts = Some(accounts);
        self
    }

    /// The same, where somebody else knows the people.
    #[must_use]
    pub fn with_provider(mut self, provider: Arc<dyn IdentityProvider>) -> Self {
        self.provider = Some(provider);
        self
    }

    /// Accounts and tokens, where they are kept.
    pub fn accounts(&self) -> Option<&Arc<Accounts>> {
        self.accounts.as_ref()
    }

    /// A secret with which one browser can sign in once, within a quarter of an hour, with all roles; `None` where the
    /// system has no randomness.
    pub fn issue_link(&self) -> Option<String> {
        let secret = random()?;
        self.lock().links.add(hash(&secret), Instant::now());
        Some(secret)
    }

    pub(super) fn is_public(&self, host: &str) -> bool {
        self.public_hosts.iter().any(|(public, _)| public == host)
    }

    pub(super) fn is_https(&self, host: &str) -> bool {
        self.public_hosts.iter().any(|(public, https)| *https && public == host)
    }

    /// Whose token it is.
    pub(super) fn by_token(&self, token: &str, now: Instant) -> Result<Admitted, Refusal> {
        let taken = self.takes_token(token, Timestamp::now());
        let (caller, roles) = taken.ok_or_else(|| self.lock().headers.failed(now))?;
        Ok(Admitted { caller, roles, by: By::Token })
    }

    /// Who calls with this token, and what they may do.
    pub(super) fn takes_token(&self, token: &str, now: Timestamp) -> Option<(Caller, Roles)> {
        if self.is_token(token) {
            return Some((Caller("token".to_owned()), Roles::all()));
        }
        let accounts = self.accounts.as_ref().filter(|_| token.len() <= MAX_TOKEN)?;
        let script = accounts.known_script(token, now)?;
        Some((Caller(format!("token {}", script.name)), script.roles))
    }

    /// Whose session it is.
    pub(super) fn by_session(&self, id: &str, now: Instant) -> Result<Admitted, Refusal> {
        let mut state = self.lock();
        let session = state.sessions.find(&hash(id), now).ok_or(Refusal::Unknown)?;
        if self.is_current(&session) {
            return Ok(of_session(&session));
        }
        state.sessions.end(&hash(id));
        Err(Refusal::Unknown)
    }

    /// Whether it goes on. Asking is no use of it.
    pub(super) fn session_holds(&self, id: &str, now: Instant) -> bool {
        self.lock().sessions.peek(&hash(id), now).is_some_and(|session| self.is_current(session))
    }

    fn is_current(&self, session: &Session) -> bool {
        let is_current = |identity: &Identity| {
            self.provider.as_ref().is_some_and(|provider| provider.is_current(identity))
        };
        session.identity.as_ref().is_none_or(is_current)
    }

    /// Begins a session: whose it is, and its id.
    pub(super) async fn begin(&self, proof: Proof<'_>, now: Instant) -> Result<(Admitted, String), Refusal> {
        let begun = match proof {
            Proof::Password { user, password } => self.by_password(user, password, now).await.map(Some),
            Proof::Token(token) if self.is_token(token.trim()) => Ok(None),
            Proof::Once(secret) if self.takes_link(secret.trim(), now) => Ok(None),
            Proof::Token(_) | Proof::Once(_) => Err(self.lock().logins.failed(now)),
        };
        // Without randomness there is no session that could not be guessed.
        let begun = begun.and_then(|identity| Ok((identity, random().ok_or(Refusal::Unknown)?)));
        let (identity, id) = match begun {
            Ok(begun) => begun,
            Err(refusal) => {
                self.record_refused(proof, refusal, now).await;
                return Err(refusal);
            }
        };
        let admitted = of_session(&self.lock().sessions.begin(hash(&id), identity, now));
        let how = match proof {
            Proof::Password { .. } => "by password",
            Proof::Token(_) => "by the data directory's token",
            Proof::Once(_) => "by a link that works once",
        };
        self.record(&admitted.caller.0, "login", how.to_owned()).await;
        Ok((admitted, id))
    }

    pub(super) fn end(&self, id: &str) {
        self.lock().sessions.end(&hash(id));
    }

    /// A wrong attempt is counted before the password is looked at: many at the same time are no way around it.
    async fn by_password(&self, user: &str, password: &str, now: Instant) -> Result<Identity, Refusal> {
        let provider = self.provider.as_ref().ok_or(Refusal::Unknown)?;
        // What cannot be a name is counted as one, and looked at as long as any other.
        let user = if is_name(user) { user } else { "" };
        {
            let mut state = self.lock();
            state.all_passwords.check(now)?;
            state.passwords.check(user, now)?;
            state.all_passwords.failed(now);
            state.passwords.failed(user, now);
        }
        let identified = provider.identify(user, password).await;
        let mut state = self.lock();
        match identified {
            Ok(Some(identity)) => {
                state.all_passwords.forgive();
                state.passwords.forget(user);
                Ok(identity)
            }
            Ok(None) => Err(Refusal::Unknown),
            Err(Busy) => {
                state.all_passwords.forgive();
                state.passwords.forgive(user);
                Err(Refusal::Busy)
            }
        }
    }

    fn takes_link(&self, secret: &str, now: Instant) -> bool {
        secret.len() <= MAX_TOKEN && self.lock().links.take(&hash(secret), now)
    }

    async fn record_refused(&self, proof: Proof<'_>, refusal: Refusal, now: Instant) {
        let what = match proof {
            // What is no name may be anything, also a password that was typed too early.
            Proof::Password { user, .. } if is_name(user) => user,
            Proof::Password { .. } => "a name that cannot be",
            Proof::Token(_) => "a token",
            Proof::Once(_) => "a link",
        };
        let why = match refusal {
            Refusal::Unknown => "wrong",
            Refusal::TooMany => "too many wrong ones before",
            Refusal::Busy => "too many at the same time",
        };
        tracing::warn!(what, why, "a login was refused");
        let before = self.lock().refused.sample(now);
        if let Some(unrecorded) = before {
            let more =
                if unrecorded == 0 { String::new() } else { format!(", and {unrecorded} more before") };
            self.record("nobody", "login refused", format!("{what}: {why}{more}")).await;
        }
    }

    async fn record(&self, who: &str, what: &'static str, detail: String) {
        let Some(accounts) = self.accounts.clone() else { return };
        let who = who.to_owned();
        let recorded = tokio::task::spawn_blocking(move || accounts.record(&who, what, &detail)).await;
        if let Err(error) = recorded {
            tracing::error!(%error, what, "the audit log could not be written to");
        }
    }

    /// Whether it is the token, in a time that says nothing about how much of it is right.
    fn is_token(&self, given: &str) -> bool {
        let Some(token) = &self.token else { return false };
        if given.len() > MAX_TOKEN {
            return false;
        }
        let difference = token.iter().zip(hash(given)).fold(0, |all, (a, b)| all | (a ^ b));
        std::hint::black_box(difference) == 0
    }

    /// The state is valid at any moment, whatever panicked while it was locked.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// People act under their name; who came with a token or a link, under the number of the session.
fn of_session(session: &Session) -> Admitted {
    let (name, roles) = match &session.identity {
        Some(identity) => (identity.user.clone(), identity.roles),
        None => (format!("session {}", session.number), Roles::all()),
    };
    Admitted { caller: Caller(name), roles, by: By::Session }
}
