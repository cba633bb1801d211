//! Which requests belong to one user: a key made from the session cookie.
//!
//! The key is a hash under a secret of this process, so that it neither gives the cookie away nor can be matched with
//! another process's keys.

use std::hash::{BuildHasher, RandomState};

use http::HeaderMap;
use http::header::COOKIE;

use crate::config::SESSION_COOKIES;

/// Finds and hashes the session cookie.
pub(crate) struct Sessions {
    secret: RandomState,
    cookie: Option<String>,
}

impl Sessions {
    pub(crate) fn new(cookie: Option<String>) -> Self {
        Self { secret: RandomState::new(), cookie }
    }

    /// The key of the first session cookie with a value.
    pub(crate) fn key(&self, headers: &HeaderMap) -> Option<u64> {
        let pairs =
            headers.get_all(COOKIE).into_iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b';'));
        let value =
            pairs.filter_map(split_pair).find(|(name, _)| self.names(name)).map(|(_, value)| value)?;
        Some(self.secret.hash_one(value))
    }

    fn names(&self, name: &[u8]) -> bool {
        match &self.cookie {
            Some(cookie) => cookie.as_bytes() == name,
            None => SESSION_COOKIES.iter().any(|known| known.as_bytes() == name),
        }
    }
}

fn split_pair(pair: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = pair.iter().position(|byte| *byte == b'=')?;
    let (name, value) = (pair.get(..at)?.trim_ascii(), pair.get(at + 1..)?.trim_ascii());
    (!value.is_empty()).then_some((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn cookies(lines: &[&'static str]) -> HeaderMap {
        lines.iter().map(|line| (COOKIE, HeaderValue::from_static(line))).collect()
    }

    #[test]
    fn the_same_cookie_gives_the_same_key_wherever_it_stands() {
        let sessions = Sessions::new(None);
        let key = sessions.key(&cookies(&["sid=abc"]));
        assert!(key.is_some());
        assert_eq!(key, sessions.key(&cookies(&["theme=dark; sid=abc ;x=y"])));
        assert_eq!(key, sessions.key(&cookies(&["a=b", "session_id=abc"])));
        assert_ne!(key, sessions.key(&cookies(&["sid=abd"])));
        assert_ne!(key, Sessions::new(None).key(&cookies(&["sid=abc"])), "another process");
    }

    #[test]
    fn only_the_configured_cookie_counts() {
        let sessions = Sessions::new(Some("shop".to_owned()));
        assert_eq!(sessions.key(&cookies(&["sid=abc"])), None);
        assert!(sessions.key(&cookies(&["sid=abc; shop=1"])).is_some());
        for nothing in ["shop", "shop=", "", ";;=;", "Shop=1"] {
            assert_eq!(sessions.key(&cookies(&[nothing])), None, "{nothing:?}");
        }
    }
}
