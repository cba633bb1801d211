//! The state behind all listeners of one daemon: what proves who somebody is, and who has proved it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::http::Uri;
use freezeframe_model::Roles;
use sha2::{Digest, Sha256};

use super::attempts::Attempts;
use super::links::Links;
use super::sessions::Sessions;
use super::{Admitted, By, Caller, Refusal};

/// Longest token that is looked at, in bytes.
const MAX_TOKEN: usize = 1024;

/// What proves who somebody is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Proof<'a> {
    /// The data directory's token.
    Token(&'a str),
    /// The secret of a link that works once.
    Once(&'a str),
}

/// The door of one daemon.
#[derive(Debug)]
pub struct Door {
    /// Hash of the data directory's token; `None` refuses everybody.
    token: Option<[u8; 32]>,
    /// Hosts of the addresses under which people reach it from outside, in lower case, and whether by HTTPS.
    public_hosts: Vec<(String, bool)>,
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
        let attempts = || Attempts::new(10, Duration::from_secs(60));
        Self {
            token: (!token.is_empty()).then(|| hash(token)),
            public_hosts: public_urls.iter().filter_map(host).collect(),
            state: Mutex::new(State {
                sessions: Sessions::default(),
                links: Links::default(),
                logins: attempts(),
                headers: attempts(),
            }),
        }
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
        if self.is_token(token) {
            return Ok(Admitted { caller: Caller("token".to_owned()), roles: Roles::all(), by: By::Token });
        }
        Err(self.lock().headers.failed(now))
    }

    /// Whose session it is.
    pub(super) fn by_session(&self, id: &str, now: Instant) -> Result<Admitted, Refusal> {
        self.lock().sessions.find(&hash(id), now).map(of_session).ok_or(Refusal::Unknown)
    }

    /// Begins a session: whose it is, and its id.
    pub(super) fn begin(&self, proof: Proof<'_>, now: Instant) -> Result<(Admitted, String), Refusal> {
        let mut state = self.lock();
        let is_right = match proof {
            Proof::Token(token) => self.is_token(token.trim()),
            Proof::Once(secret) => secret.len() <= MAX_TOKEN && state.links.take(&hash(secret.trim()), now),
        };
        if !is_right {
            return Err(state.logins.failed(now));
        }
        // Without randomness there is no session that could not be guessed.
        let id = random().ok_or(Refusal::Unknown)?;
        let number = state.sessions.begin(hash(&id), now);
        Ok((of_session(number), id))
    }

    pub(super) fn end(&self, id: &str) {
        self.lock().sessions.end(&hash(id));
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

fn of_session(number: u64) -> Admitted {
    Admitted { caller: Caller(format!("session {number}")), roles: Roles::all(), by: By::Session }
}

/// 256 random bits in hexadecimal digits.
fn random() -> Option<String> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).ok()?;
    Some(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn hash(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}
