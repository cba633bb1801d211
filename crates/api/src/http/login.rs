//! Signing in and out.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, FormRejection, QueryRejection};
use axum::extract::{Form, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::{Extension, Json};
use serde::Deserialize;

use super::json::{is_json, parse};
use super::{Problem, Shared};
use crate::access::{Admitted, Proof, Refusal, same_origin};
use crate::dto::{LoginBody, SessionAnswer};
use crate::page::{self, Viewer};

/// `GET /api/v1/session`
pub(super) async fn session(Extension(admitted): Extension<Admitted>) -> Json<SessionAnswer> {
    Json(answer(&admitted))
}

fn answer(admitted: &Admitted) -> SessionAnswer {
    SessionAnswer {
        schema: "freezeframe-session/1".to_owned(),
        user: admitted.caller.0.clone(),
        roles: admitted.roles.iter().map(|role| role.to_string()).collect(),
        by: admitted.by.as_str().to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

/// `POST /api/v1/login`
pub(super) async fn log_in(
    State(shared): State<Arc<Shared>>,
    uri: Uri,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    if is_of_strange_page(&uri, &headers) {
        return Err(Problem::CrossSite);
    }
    if !is_json(&headers) {
        return Err(Problem::NotJson);
    }
    let body = body.map_err(|error| Problem::BadRequest(error.body_text()))?;
    let body: LoginBody = parse(&body)?;
    let proof = match &body {
        LoginBody { token: Some(token), user: None, password: None, once: None } => Proof::Token(token),
        LoginBody { once: Some(once), user: None, password: None, token: None } => Proof::Once(once),
        LoginBody { user: Some(_), password: Some(_), token: None, once: None } => {
            return Err(Problem::Unauthorized);
        }
        _ => {
            let wanted = "the body must have `user` and `password`, or `token`, or `once`";
            return Err(Problem::BadRequest(wanted.to_owned()));
        }
    };
    let (admitted, cookie) =
        shared.access.log_in(proof, &headers, &uri, Instant::now()).map_err(|refusal| {
            tracing::warn!("a login was refused");
            match refusal {
                Refusal::Unknown => Problem::Unauthorized,
                Refusal::TooMany => Problem::TooManyAttempts,
            }
        })?;
    Ok(with_cookie(Json(answer(&admitted)).into_response(), &cookie))
}

/// `POST /api/v1/logout`
pub(super) async fn log_out(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    with_cookie(StatusCode::NO_CONTENT.into_response(), &shared.access.log_out(&headers))
}

/// A stranger's page must not be able to use up the attempts, or to sign somebody in as somebody else. What says nothing of its
/// origin is no browser's page.
fn is_of_strange_page(uri: &Uri, headers: &HeaderMap) -> bool {
    let from_a_page = headers.contains_key("sec-fetch-site") || headers.contains_key(header::ORIGIN);
    from_a_page && !same_origin(uri, headers)
}

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
pub(super) async fn submit(
    State(shared): State<Arc<Shared>>,
    uri: Uri,
    headers: HeaderMap,
    form: Result<Form<LoginForm>, FormRejection>,
) -> Response {
    if is_of_strange_page(&uri, &headers) {
        let (status, error) = Problem::CrossSite.shape();
        return (status, Html(page::problem(&error, Viewer { can_sign_out: false }))).into_response();
    }
    let Ok(Form(form)) = form else {
        return (StatusCode::BAD_REQUEST, Html(page::login("/", Some("The form was not complete."))))
            .into_response();
    };
    let next = own_path(&form.next);
    match shared.access.log_in(Proof::Token(&form.token), &headers, &uri, Instant::now()) {
        Ok((_, cookie)) => with_cookie(Redirect::to(next).into_response(), &cookie),
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
pub(super) async fn leave(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    with_cookie(Redirect::to("/login").into_response(), &shared.access.log_out(&headers))
}

fn with_cookie(mut answer: Response, cookie: &str) -> Response {
    if let Ok(value) = HeaderValue::from_str(cookie) {
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
