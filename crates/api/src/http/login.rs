//! Signing in and out.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};

use super::json::{is_json, parse};
use super::{Problem, Shared};
use crate::access::{Admitted, Proof, Refusal, same_origin};
use crate::dto::{LoginBody, SessionAnswer, names};

/// `GET /api/v1/session`
pub(super) async fn session(Extension(admitted): Extension<Admitted>) -> Json<SessionAnswer> {
    Json(answer(&admitted))
}

fn answer(admitted: &Admitted) -> SessionAnswer {
    SessionAnswer {
        schema: "freezeframe-session/1".to_owned(),
        user: admitted.caller.0.clone(),
        roles: names(admitted.roles),
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
        LoginBody { user: Some(user), password: Some(password), token: None, once: None } => {
            Proof::Password { user, password }
        }
        _ => {
            let wanted = "the body must have `user` and `password`, or `token`, or `once`";
            return Err(Problem::BadRequest(wanted.to_owned()));
        }
    };
    let entered = shared.access.log_in(proof, &headers, &uri, Instant::now()).await;
    let (admitted, cookie) = entered.map_err(|refusal| match refusal {
        Refusal::Unknown => Problem::LoginRefused,
        other => other.into(),
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

fn with_cookie(mut answer: Response, cookie: &str) -> Response {
    if let Ok(value) = HeaderValue::from_str(cookie) {
        answer.headers_mut().insert(header::SET_COOKIE, value);
    }
    answer
}
