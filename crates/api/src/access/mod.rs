//! Who may call. It knows tokens, sessions, host names and origins; it does not know routes.
//!
//! There are two ways in. The Unix socket in the data directory is [`Access::Local`]: whoever can connect to it has the
//! daemon's own user id. The TCP port is [`Access::Token`]: a client shows the token with every request, a browser once, for
//! a session. Cookies are not kept apart by port, so a browser also shows the session to other services of the same
//! host name; the session is therefore bound to nothing but this process's memory and ends with it.

mod attempts;
mod origin;
mod sessions;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use axum::http::{HeaderMap, Uri, header};
use sha2::{Digest, Sha256};

use attempts::Attempts;
pub(crate) use origin::same_origin;
use origin::{authority_of, is_loopback};
use sessions::Sessions;

/// Whether a request calls us by the name of a loopback address.
pub(crate) fn names_loopback(uri: &Uri, headers: &HeaderMap) -> bool {
    authority_of(uri, headers).is_some_and(|authority| is_loopback(&authority.host().to_ascii_lowercase()))
}

/// Name of the session's cookie.
const COOKIE: &str = "freezeframe_session";

/// Longest token that is looked at, in bytes.
const MAX_TOKEN: usize = 1024;

/// Who is asking, for the audit log. [`serve_unix`](crate::serve_unix) puts one into every request's extensions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller(pub String);

/// How the callers of one listener prove that they may.
#[derive(Debug)]
pub enum Access {
    /// The listener itself keeps strangers out.
    Local,
    /// By the token, or by a session got with it.
    Token(TokenAccess),
}

/// State of a listener that asks for the token.
#[derive(Debug)]
pub struct TokenAccess {
    /// Hash of the token; `None` refuses everybody.
    token: Option<[u8; 32]>,
    /// Hosts of the addresses under which people reach it from outside, in lower case, and whether by HTTPS.
    public_hosts: Vec<(String, bool)>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    sessions: Sessions,
    /// Wrong tokens in the login form, and in headers: kept apart, so that a client with an old token in an endless loop
    /// cannot lock people out of the form.
    forms: Attempts,
    headers: Attempts,
}

/// Whom the guard let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Admitted {
    pub(crate) caller: Caller,
    /// By a cookie, which a browser also sends when another site told it to.
    pub(crate) by_cookie: bool,
}

/// Why somebody was not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// No token and no session, or a wrong one.
    Unknown,
    /// Too many wrong tokens in the last minute.
    TooMany,
}

impl Access {
    /// Asks for nothing: the listener itself keeps strangers out.
    pub fn local() -> Self {
        Self::Local
    }

    /// Asks for `token`; an empty one lets nobody in. `public_urls` are the addresses under which people reach the listener through a
    /// proxy, where there is one: their hosts are accepted besides loopback names. What is no URL with a host is ignored.
    pub fn token(token: &str, public_urls: Vec<String>) -> Self {
        let host = |url: &String| {
            let url = url.parse::<Uri>().ok()?;
            Some((url.host()?.to_ascii_lowercase(), url.scheme_str() == Some("https")))
        };
        Self::Token(TokenAccess {
            token: (!token.is_empty()).then(|| hash(token)),
            public_hosts: public_urls.iter().filter_map(host).collect(),
            state: Mutex::new(State {
                sessions: Sessions::default(),
                forms: Attempts::default(),
                headers: Attempts::default(),
            }),
        })
    }

    /// Whether a request that calls this server by this name may be looked at. A page of a stranger that resolves its own name to
    /// 127.0.0.1 (DNS rebinding) is same-origin for the browser; its host name gives it away.
    pub(crate) fn host_is_ours(&self, uri: &Uri, headers: &HeaderMap) -> bool {
        let Self::Token(access) = self else { return true };
        let Some(authority) = authority_of(uri, headers) else { return false };
        let host = authority.host().to_ascii_lowercase();
        is_loopback(&host) || access.public_hosts.iter().any(|(public, _)| *public == host)
    }

    /// Who is asking, by token or session.
    pub(crate) fn admit(
        &self,
        headers: &HeaderMap,
        peer: Option<&Caller>,
        now: Instant,
    ) -> Result<Admitted, Refusal> {
        let access = match self {
            Self::Local => {
                let caller = peer.cloned().unwrap_or_else(|| Caller("local".to_owned()));
                return Ok(Admitted { caller, by_cookie: false });
            }
            Self::Token(access) => access,
        };
        let mut state = access.lock();
        if let Some(given) = bearer(headers) {
            state.headers.check(now)?;
            if !access.is_token(given) {
                state.headers.failed(now);
                return Err(Refusal::Unknown);
            }
            return Ok(Admitted { caller: Caller("token".to_owned()), by_cookie: false });
        }
        let session =
            cookie(headers).and_then(|id| state.sessions.find(&hash(id), now)).ok_or(Refusal::Unknown)?;
        Ok(Admitted { caller: Caller(format!("session {session}")), by_cookie: true })
    }

    /// Begins a session and returns the value of its `Set-Cookie` header; `None` where this listener needs none.
    pub(crate) fn log_in(
        &self,
        token: &str,
        headers: &HeaderMap,
        uri: &Uri,
        now: Instant,
    ) -> Result<Option<String>, Refusal> {
        let Self::Token(access) = self else { return Ok(None) };
        let mut state = access.lock();
        state.forms.check(now)?;
        if !access.is_token(token.trim()) {
            state.forms.failed(now);
            return Err(Refusal::Unknown);
        }
        let mut id = [0_u8; 32];
        // Without randomness there is no session that could not be guessed.
        getrandom::fill(&mut id).map_err(|_| Refusal::Unknown)?;
        let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
        state.sessions.begin(hash(&id), now);
        let host = authority_of(uri, headers).map(|authority| authority.host().to_ascii_lowercase());
        let secure = access
            .public_hosts
            .iter()
            .any(|(public, https)| *https && host.as_deref() == Some(public.as_str()));
        Ok(Some(format!(
            "{COOKIE}={id}; HttpOnly; SameSite=Strict; Path=/; Max-Age={}{}",
            sessions::LIFETIME.as_secs(),
            if secure { "; Secure" } else { "" }
        )))
    }

    /// Ends the session and returns the value of the `Set-Cookie` header that makes the browser forget it.
    pub(crate) fn log_out(&self, headers: &HeaderMap) -> Option<String> {
        let Self::Token(access) = self else { return None };
        if let Some(id) = cookie(headers) {
            access.lock().sessions.end(&hash(id));
        }
        Some(format!("{COOKIE}=; HttpOnly; SameSite=Strict; Path=/; Max-Age=0"))
    }
}

impl TokenAccess {
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

fn hash(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

/// The token of `Authorization: Bearer TOKEN` (RFC 6750); the scheme's case does not matter (RFC 9110 section 11.1).
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The session id, from the first cookie of our name (RFC 6265 section 4.2).
fn cookie(headers: &HeaderMap) -> Option<&str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(name, value)| (name == COOKIE && value.len() == 64).then_some(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_str(value).unwrap()))
            .collect()
    }

    #[test]
    fn only_loopback_names_and_the_public_host_are_ours() {
        let access = Access::token("t", vec!["https://freeze.example.org:8443/x".to_owned()]);
        let ours = |host: &str| access.host_is_ours(&Uri::from_static("/"), &headers(&[("host", host)]));
        for host in [
            "localhost",
            "LOCALHOST:9800",
            "127.0.0.1:9800",
            "127.8.8.8",
            "[::1]:9800",
            "freeze.example.org",
            "Freeze.Example.org:8443",
        ] {
            assert!(ours(host), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "localhost@evil.example",
            "user@localhost",
            "10.0.0.1",
            "0.0.0.0",
            "[::]",
            "a b",
        ] {
            assert!(!ours(host), "{host}");
        }
        assert!(!access.host_is_ours(&Uri::from_static("/"), &HeaderMap::new()));
        assert!(
            !access
                .host_is_ours(&Uri::from_static("http://evil.example/"), &headers(&[("host", "localhost")]))
        );
        let mut two = headers(&[("host", "localhost")]);
        two.append("host", HeaderValue::from_static("evil.example"));
        assert!(!access.host_is_ours(&Uri::from_static("/"), &two));
    }

    #[test]
    fn an_empty_token_lets_nobody_in() {
        let access = Access::token("", vec![]);
        let refused = access.admit(&headers(&[("authorization", "Bearer ")]), None, Instant::now());
        assert_eq!(refused, Err(Refusal::Unknown));
        let uri = Uri::from_static("/login");
        assert_eq!(access.log_in("", &HeaderMap::new(), &uri, Instant::now()), Err(Refusal::Unknown));
    }

    #[test]
    fn the_cookie_is_marked_secure_only_where_people_come_by_https() {
        let access = Access::token("t", vec!["https://freeze.example.org".to_owned()]);
        let uri = Uri::from_static("/login");
        let outside = access.log_in("t", &headers(&[("host", "freeze.example.org")]), &uri, Instant::now());
        assert!(outside.unwrap().unwrap().ends_with("; Secure"));
        let inside = access.log_in(" t\n", &headers(&[("host", "localhost:9800")]), &uri, Instant::now());
        assert!(inside.unwrap().unwrap().ends_with("Max-Age=43200"));
    }
}
