//! Who is asking: the `sid` cookie.

use std::fmt::Write;

use axum::http::HeaderMap;
use axum::http::header::COOKIE;

use crate::db::{Database, Error, Session};

const COOKIE_NAME: &str = "sid";
const TOKEN_BYTES: usize = 16;

/// The session that a request's cookie names, if it is one of ours.
pub(crate) async fn find(database: &Database, headers: &HeaderMap) -> Result<Option<Session>, Error> {
    match token(headers) {
        Some(token) => database.session(token).await,
        None => Ok(None),
    }
}

/// Starts a session; the second value is for `Set-Cookie`.
pub(crate) async fn start(database: &Database, user_id: Option<i64>) -> Result<(Session, String), Error> {
    let mut random = [0; TOKEN_BYTES];
    getrandom::fill(&mut random).expect("the kernel has random numbers");
    let token = random.iter().fold(String::new(), |mut token, byte| {
        let _ = write!(token, "{byte:02x}");
        token
    });
    let id = database.create_session(&token, user_id).await?;
    let user = match user_id {
        Some(user_id) => database.user(user_id).await?,
        None => None,
    };
    let cookie = format!("{COOKIE_NAME}={token}; Path=/; HttpOnly; SameSite=Lax");
    Ok((Session { id, token, user }, cookie))
}

fn token(headers: &HeaderMap) -> Option<&str> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(name, value)| (name == COOKIE_NAME).then_some(value))
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderValue, header::COOKIE};

    use super::token;

    #[test]
    fn finds_its_cookie_among_others() {
        let mut headers = HeaderMap::new();
        assert_eq!(token(&headers), None);
        headers.append(COOKIE, HeaderValue::from_static("theme=dark; sidebar=1"));
        headers.append(COOKIE, HeaderValue::from_static("a=b; sid=0123 ; =; x"));
        assert_eq!(token(&headers), Some("0123"));
    }

    #[test]
    fn survives_any_cookie() {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, HeaderValue::from_bytes(b"sid\xff=1; sid").unwrap());
        assert_eq!(token(&headers), None);
    }
}
