//! What every request passes before a handler sees it, and what every answer carries.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::Response;
use futures_util::StreamExt;

use super::{Problem, Shared, assets, json};
use crate::access::{Admitted, By, Caller, Credential, Need, Refusal, same_origin};

/// Asked for by whoever watches over us, under any name.
pub(super) const HEALTH: &str = "/healthz";

/// Scripts, styles and connections from here only; no markup from texts, not even by our own scripts.
const CONTENT: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
    font-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'";

/// Who it is, or why that is not known.
type Known = Result<Admitted, Refusal>;

/// Host, token or session, origin; then the route with what it asks; then the headers that keep the answer to ourselves, where
/// the handler has not chosen its own.
pub(super) async fn guard(State(shared): State<Arc<Shared>>, mut request: Request, next: Next) -> Response {
    let mut answer = match check(&shared, &mut request) {
        Ok(()) => {
            let credential = shared.access.credential(request.headers());
            end_with(credential, next.run(request).await)
        }
        Err(problem) => problem.answer(),
    };
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, CONTENT),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        answer.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    answer
}

/// What holds for every path. Who it is stands in the request's extensions afterwards.
fn check(shared: &Shared, request: &mut Request) -> Result<(), Problem> {
    let (uri, headers) = (request.uri(), request.headers());
    if uri.path() == HEALTH {
        return Ok(());
    }
    if !shared.access.host_is_ours(uri, headers) {
        return Err(Problem::ForeignHost);
    }
    let known = shared.access.admit(headers, request.extensions().get::<Caller>(), Instant::now());
    if let Ok(admitted) = &known {
        if admitted.by_cookie() && does_more_than_read(request) {
            if !same_origin(uri, headers) {
                return Err(Problem::CrossSite);
            }
            if is_json(uri.path()) && request.method() != Method::GET && !json::is_json(headers) {
                return Err(Problem::NotJson);
            }
        }
        if headers.contains_key(header::UPGRADE) {
            let credential = shared.access.credential(headers);
            request.extensions_mut().insert(credential);
        }
        request.extensions_mut().insert(admitted.clone());
    }
    request.extensions_mut().insert(known);
    Ok(())
}

/// Events may go on for hours: they end with what their reader was let in by.
fn end_with(credential: Credential, answer: Response) -> Response {
    let kind = answer.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    if !kind.starts_with(b"text/event-stream") {
        return answer;
    }
    let (parts, body) = answer.into_parts();
    let body = body.into_data_stream().take_until(Box::pin(credential.ended()));
    Response::from_parts(parts, Body::from_stream(body))
}

/// A GET that opens a channel both ways (RFC 6455) is not bound to its origin by the browser.
fn does_more_than_read(request: &Request) -> bool {
    !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS)
        || request.headers().contains_key(header::UPGRADE)
}

/// What one route asks, before its handler runs.
pub(super) async fn require(State(need): State<Need>, request: Request, next: Next) -> Response {
    let allowed = match need {
        Need::Open => Ok(()),
        Need::Known => known(&request).map(drop),
        Need::Role(role) => match known(&request) {
            Ok(admitted) if !admitted.roles.has(role) => Err(Problem::MissingRole(role)),
            other => other.map(drop),
        },
        Need::Socket => match known(&request) {
            Ok(admitted) if admitted.by != By::Local => Err(Problem::OnlyHere),
            other => other.map(drop),
        },
    };
    match allowed {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.answer(),
    }
}

fn known(request: &Request) -> Result<&Admitted, Problem> {
    match request.extensions().get::<Known>() {
        Some(Ok(admitted)) => Ok(admitted),
        Some(Err(refusal)) => Err((*refusal).into()),
        None => Err(Problem::Unauthorized),
    }
}

/// What a path with nothing at it answers: the page, which says so, and in the API only to those who may know.
pub(super) async fn nothing_here(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    if !is_json(request.uri().path()) {
        return assets::nowhere(&shared, request.headers());
    }
    match known(&request) {
        Ok(_) => Problem::NoSuchPath.answer(),
        Err(problem) => problem.answer(),
    }
}

fn is_json(path: &str) -> bool {
    path.starts_with("/api/")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{Access, Door, Proof};
    use axum::http::{HeaderMap, Uri};
    use axum::response::IntoResponse;

    /// An answer that never ends by itself.
    fn events() -> Response {
        let body =
            Body::from_stream(futures_util::stream::pending::<Result<axum::body::Bytes, std::io::Error>>());
        ([(header::CONTENT_TYPE, "text/event-stream")], body).into_response()
    }

    #[tokio::test(start_paused = true)]
    async fn events_end_with_the_session() {
        let door = Arc::new(Door::new("t", vec![]));
        let access = Access::remote(&door);
        let (uri, none) = (Uri::from_static("/"), HeaderMap::new());
        let entered = access.log_in(Proof::Token("t"), &none, &uri, Instant::now()).await;
        let cookie = entered.expect("the right token").1;
        let headers =
            HeaderMap::from_iter([(header::COOKIE, HeaderValue::from_str(&cookie).expect("a header"))]);
        let answer = end_with(access.credential(&headers), events());
        let reading = tokio::spawn(axum::body::to_bytes(answer.into_body(), 1));
        tokio::time::sleep(std::time::Duration::from_secs(3600)).await;
        assert!(!reading.is_finished(), "it goes on as long as the session");
        access.log_out(&headers);
        let read = tokio::time::timeout(std::time::Duration::from_secs(10), reading).await;
        assert!(read.expect("an end").expect("no panic").expect("a body").is_empty());
    }
}
