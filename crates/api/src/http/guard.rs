//! What every request passes before a handler sees it, and what every answer carries.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Response};

use super::{Problem, Shared};
use crate::access::{Admitted, Caller, Refusal, same_origin};
use crate::page::{self, Viewer};

/// Paths that show nothing of the service.
const OPEN: [&str; 3] = ["/login", "/style.css", "/icon.svg"];

/// Host, token or session, origin; then the handler; then the headers that keep the answer to ourselves.
pub(super) async fn guard(State(shared): State<Arc<Shared>>, mut request: Request, next: Next) -> Response {
    let mut answer = match check(&shared, &mut request) {
        Ok(()) => next.run(request).await,
        Err(problem) => refuse(&problem, &request),
    };
    for (name, value) in [
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    answer
}

fn check(shared: &Shared, request: &mut Request) -> Result<(), Problem> {
    let path = request.uri().path();
    if path == "/healthz" {
        return Ok(());
    }
    if !shared.access.host_is_ours(request.uri(), request.headers()) {
        return Err(Problem::ForeignHost);
    }
    if OPEN.contains(&path) {
        return Ok(());
    }
    let peer = request.extensions().get::<Caller>();
    let admitted =
        shared.access.admit(request.headers(), peer, Instant::now()).map_err(|refusal| match refusal {
            Refusal::Unknown => Problem::Unauthorized,
            Refusal::TooMany => Problem::TooManyAttempts,
        })?;
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if changes && admitted.by_cookie && !same_origin(request.uri(), request.headers()) {
        return Err(Problem::CrossSite);
    }
    request.extensions_mut().insert(admitted);
    Ok(())
}

/// Programs get JSON; people get a page, and the one that asks for the token where that is what is missing.
fn refuse(problem: &Problem, request: &Request) -> Response {
    let (status, error) = problem.shape();
    let mut answer = match (is_json(request.uri().path()), problem) {
        (true, _) => (status, axum::Json(crate::dto::ErrorAnswer { error, details: None })).into_response(),
        (false, Problem::Unauthorized) => {
            // Whoever posted without a session would not want that repeated by a redirect.
            let get = matches!(*request.method(), Method::GET | Method::HEAD);
            let wanted = request.uri().path_and_query().map(|path| path.as_str()).filter(|_| get);
            (status, Html(page::login(super::login::own_path(wanted.unwrap_or("/")), None))).into_response()
        }
        (false, _) => (status, Html(page::problem(&error, Viewer { can_sign_out: false }))).into_response(),
    };
    if status == StatusCode::UNAUTHORIZED {
        answer
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"freezeframe\""));
    }
    answer
}

/// What a path with nothing at it answers, to those who may know.
pub(super) async fn nothing_here(request: Request) -> Response {
    let signed_in = request.extensions().get::<Admitted>().is_some_and(|admitted| admitted.by_cookie);
    if is_json(request.uri().path()) {
        return Problem::NoSuchPath.into_response();
    }
    let (status, error) = Problem::NoSuchPath.shape();
    (status, Html(page::problem(&error, Viewer { can_sign_out: signed_in }))).into_response()
}

fn is_json(path: &str) -> bool {
    path.starts_with("/api/")
}
