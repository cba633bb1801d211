//! Signing in and out.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::rejection::{FormRejection, QueryRejection};
use axum::extract::{Form, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::{Problem, Shared};
use crate::access::{Refusal, same_origin};
use crate::page::{self, Viewer};

/// Query of the form.
#[derive(Deserialize)]
pub(super) struct FormQuery {
    #[serde(default)]
    next: String,
}

/// What the form sends.
#[derive(Deserialize)]
pub(super) struct LoginForm {
    token: String,
    #[serde(default)]
    next: String,
}

/// `GET /login?next=/i/INC-42`
pub(super) async fn form(query: Result<Query<FormQuery>, QueryRejection>) -> Html<String> {
    let next = query.map(|Query(query)| query.next).unwrap_or_default();
    Html(page::login(own_path(&next), None))
}

/// `POST /login`
pub(super) async fn log_in(
    State(shared): State<Arc<Shared>>,
    uri: Uri,
    headers: HeaderMap,
    form: Result<Form<LoginForm>, FormRejection>,
) -> Response {
    // A stranger's page must not be able to use up the attempts. What says nothing of its origin is no browser's page.
    let from_a_page = headers.contains_key("sec-fetch-site") || headers.contains_key(header::ORIGIN);
    if from_a_page && !same_origin(&uri, &headers) {
        let (status, error) = Problem::CrossSite.shape();
        return (status, Html(page::problem(&error, Viewer { can_sign_out: false }))).into_response();
    }
    let Ok(Form(form)) = form else {
        return (StatusCode::BAD_REQUEST, Html(page::login("/", Some("The form was not complete."))))
            .into_response();
    };
    let next = own_path(&form.next);
    match shared.access.log_in(&form.token, &headers, &uri, Instant::now()) {
        Ok(cookie) => with_cookie(Redirect::to(next).into_response(), cookie),
        Err(Refusal::Unknown) => {
            tracing::warn!("a wrong token was given at the login page");
            (StatusCode::UNAUTHORIZED, Html(page::login(next, Some("That is not the token."))))
                .into_response()
        }
        Err(Refusal::TooMany) => {
            let complaint = "Too many wrong tokens; wait a minute.";
            (StatusCode::TOO_MANY_REQUESTS, Html(page::login(next, Some(complaint)))).into_response()
        }
    }
}

/// `POST /logout`
pub(super) async fn log_out(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    with_cookie(Redirect::to("/login").into_response(), shared.access.log_out(&headers))
}

fn with_cookie(mut answer: Response, cookie: Option<String>) -> Response {
    if let Some(value) = cookie.and_then(|cookie| HeaderValue::from_str(&cookie).ok()) {
        answer.headers_mut().insert(header::SET_COOKIE, value);
    }
    answer
}

/// The path where it is one of ours, else `/`: a link to the login page must not lead anywhere else afterwards. Browsers take `//host`
/// and `/\host` for another host, and skip tabs and line ends in between.
pub(super) fn own_path(path: &str) -> &str {
    let plain = path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    let ours = path.starts_with('/') && !path.starts_with("//") && !path.starts_with("/login");
    if plain && ours && path.len() <= 512 { path } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::own_path;

    #[test]
    fn a_login_leads_only_to_our_own_pages() {
        for path in ["/", "/i/INC-42", "/i/INC-42?thread=1&frame=0"] {
            assert_eq!(own_path(path), path);
        }
        for path in [
            "",
            "//evil.example",
            "/\\evil.example",
            "/\t/evil.example",
            "https://evil.example",
            "javascript:alert(1)",
            "evil",
            "/a b",
            "/ä",
            "/login?next=/login",
        ] {
            assert_eq!(own_path(path), "/", "{path:?}");
        }
        assert_eq!(own_path(&"/".repeat(600)), "/");
    }
}
