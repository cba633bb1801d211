//! Who may call. It knows tokens, sessions, roles, host names and origins; it does not know routes.
//!
//! There are two ways in. The Unix socket in the data directory ([`Access::local`]): whoever can connect to it has the
//! daemon's own user id, and every role. The TCP port ([`Access::remote`]): a client shows a token with every request, a
//! browser proves once who sits before it, for a session. Cookies are not kept apart by port, so a browser also shows the
//! session to other services of the same host name; the session is therefore bound to nothing but this process's memory
//! and ends with it.

mod accounts;
mod attempts;
mod credential;
mod door;
mod links;
mod need;
mod origin;
mod passwords;
mod provider;
mod sessions;

use std::sync::Arc;
use std::time::Instant;

use axum::http::{HeaderMap, Uri, header};
use freezeframe_model::Roles;
use sha2::{Digest, Sha256};

pub use accounts::{AccountError, Accounts, Register, RegisterError};
pub(crate) use credential::Credential;
pub use door::Door;
pub(crate) use door::Proof;
pub(crate) use need::{Admitted, By, Need};
pub(crate) use origin::same_origin;
use origin::{authority_of, is_loopback};
pub use provider::{Busy, Identity, IdentityProvider};

/// Whether a request calls us by the name of a loopback address.
pub(crate) fn names_loopback(uri: &Uri, headers: &HeaderMap) -> bool {
    authority_of(uri, headers).is_some_and(|authority| is_loopback(&authority.host().to_ascii_lowercase()))
}

/// Name of the session's cookie.
const COOKIE: &str = "freezeframe_session";

/// Who is asking, for the audit log. [`serve_unix`](crate::serve_unix) puts one into every request's extensions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller(pub String);

/// How the callers of one listener prove that they may.
#[derive(Clone, Debug)]
pub struct Access {
    door: Arc<Door>,
    /// The listener itself keeps strangers out.
    is_local: bool,
}

/// Why somebody was not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// No proof of who they are, or a wrong one.
    Unknown,
    /// Wrong, like too many before it.
    TooMany,
    /// Not looked at: too many others are signing in at this moment.
    Busy,
}

impl Access {
    /// Asks for nothing: the listener itself keeps strangers out.
    pub fn local() -> Self {
        Self::local_of(&Arc::new(Door::new("", vec![])))
    }

    /// The same, where the accounts of this door can be changed.
    pub fn local_of(door: &Arc<Door>) -> Self {
        Self { door: Arc::clone(door), is_local: true }
    }

    /// Asks for `token`; an empty one lets nobody in. `public_urls` are as of [`Door::new`].
    pub fn token(token: &str, public_urls: Vec<String>) -> Self {
        Self::remote(&Arc::new(Door::new(token, public_urls)))
    }

    /// Asks for what this door wants to see.
    pub fn remote(door: &Arc<Door>) -> Self {
        Self { door: Arc::clone(door), is_local: false }
    }

    /// Whether a request that calls this server by this name may be looked at. A page of a stranger that resolves its own name to
    /// 127.0.0.1 (DNS rebinding) is same-origin for the browser; its host name gives it away.
    pub(crate) fn host_is_ours(&self, uri: &Uri, headers: &HeaderMap) -> bool {
        if self.is_local {
            return true;
        }
        let Some(authority) = authority_of(uri, headers) else { return false };
        let host = authority.host().to_ascii_lowercase();
        is_loopback(&host) || self.door.is_public(&host)
    }

    /// Who is asking, by token or session.
    pub(crate) fn admit(
        &self,
        headers: &HeaderMap,
        peer: Option<&Caller>,
        now: Instant,
    ) -> Result<Admitted, Refusal> {
        if self.is_local {
            let caller = peer.cloned().unwrap_or_else(|| Caller("local".to_owned()));
            return Ok(Admitted { caller, roles: Roles::all(), by: By::Local });
        }
        match bearer(headers) {
            Some(token) => self.door.by_token(token, now),
            None => self.door.by_session(cookie(headers).ok_or(Refusal::Unknown)?, now),
        }
    }

    /// What [`Self::admit`] let somebody in by.
    pub(crate) fn credential(&self, headers: &HeaderMap) -> Credential {
        match (bearer(headers), cookie(headers)) {
            _ if self.is_local => Credential::lasting(&self.door),
            (Some(token), _) => Credential::token(&self.door, token),
            (None, id) => Credential::session(&self.door, id.unwrap_or_default()),
        }
    }

    /// Accounts and tokens, where they are kept.
    pub(crate) fn accounts(&self) -> Option<Arc<Accounts>> {
        self.door.accounts().cloned()
    }

    /// Begins a session. Returns who they are now, and the value of the `Set-Cookie` header.
    pub(crate) async fn log_in(
        &self,
        proof: Proof<'_>,
        headers: &HeaderMap,
        uri: &Uri,
        now: Instant,
    ) -> Result<(Admitted, String), Refusal> {
        let (admitted, id) = self.door.begin(proof, now).await?;
        let host = authority_of(uri, headers).map(|authority| authority.host().to_ascii_lowercase());
        let secure = host.is_some_and(|host| self.door.is_https(&host));
        let cookie = format!(
            "{}={id}; HttpOnly; SameSite=Strict; Path=/; Max-Age={}{}",
            cookie_name(headers),
            sessions::LIFETIME.as_secs(),
            if secure { "; Secure" } else { "" }
        );
        Ok((admitted, cookie))
    }

    /// Ends the session and returns the value of the `Set-Cookie` header that makes the browser forget it.
    pub(crate) fn log_out(&self, headers: &HeaderMap) -> String {
        if let Some(id) = cookie(headers) {
            self.door.end(id);
        }
        format!("{}=; HttpOnly; SameSite=Strict; Path=/; Max-Age=0", cookie_name(headers))
    }
}

/// 256 random bits in hexadecimal digits; `None` where the system has no randomness.
fn random() -> Option<String> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).ok()?;
    Some(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// What is kept of a secret.
fn hash(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

/// The token of `Authorization: Bearer TOKEN` (RFC 6750); the scheme's case does not matter (RFC 9110 section 11.1).
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The name of the session's cookie. Ports do not keep cookies apart (RFC 6265 section 8.5), and on one host there may be a
/// daemon for each service: where the browser names a port, so does the cookie.
fn cookie_name(headers: &HeaderMap) -> String {
    let port = authority_of(&Uri::from_static("/"), headers).and_then(|authority| authority.port_u16());
    port.map_or_else(|| COOKIE.to_owned(), |port| format!("{COOKIE}_{port}"))
}

/// The session id, from the first cookie of our name (RFC 6265 section 4.2).
fn cookie(headers: &HeaderMap) -> Option<&str> {
    let ours = cookie_name(headers);
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(name, value)| (name == ours && value.len() == 64).then_some(value))
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

    #[tokio::test]
    async fn an_empty_token_lets_nobody_in() {
        let access = Access::token("", vec![]);
        let refused = access.admit(&headers(&[("authorization", "Bearer ")]), None, Instant::now());
        assert_eq!(refused, Err(Refusal::Unknown));
        let uri = Uri::from_static("/login");
        let refused = access.log_in(Proof::Token(""), &HeaderMap::new(), &uri, Instant::now()).await;
        assert_eq!(refused, Err(Refusal::Unknown));
    }

    #[test]
    fn daemons_on_one_host_have_cookies_of_their_own() {
        let (one, other) = ("1".repeat(64), "2".repeat(64));
        let both = format!("freezeframe_session_7070={one}; freezeframe_session_7071={other}");
        let of = |host: &str| cookie(&headers(&[("host", host), ("cookie", &both)])).map(str::to_owned);
        assert_eq!((of("127.0.0.1:7070"), of("[::1]:7071")), (Some(one), Some(other)));
        assert_eq!(of("freeze.example.org"), None);
    }

    #[tokio::test]
    async fn the_cookie_is_marked_secure_only_where_people_come_by_https() {
        let access = Access::token("t", vec!["https://freeze.example.org".to_owned()]);
        let uri = Uri::from_static("/login");
        let cookie = async |token, host| {
            let headers = headers(&[("host", host)]);
            access.log_in(Proof::Token(token), &headers, &uri, Instant::now()).await.unwrap().1
        };
        assert!(cookie("t", "freeze.example.org").await.ends_with("; Secure"));
        assert!(cookie(" t\n", "localhost:9800").await.ends_with("Max-Age=43200"));
    }
}
