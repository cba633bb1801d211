//! The page: files that never change while we run. They have no data in them and are open to everybody; what they show comes by the API.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::{Problem, Shared};

/// A file of the page, as the binary hands it in.
#[derive(Clone, Copy, Debug)]
pub struct PageFile {
    /// `/index.html`, `/assets/index-BwylM.js`.
    pub path: &'static str,
    /// As it is.
    pub body: &'static [u8],
    /// Compressed (RFC 1952), where that makes it smaller.
    pub gzip: Option<&'static [u8]>,
}

/// All of them; without an index there is no page, only the API.
pub type Page = Arc<[PageFile]>;

/// Names of scripts and styles carry a digest of what is in them.
const FOREVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

/// Every address of the page: which view it is, the page reads from its address.
pub(super) async fn shell(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    match find(&shared.page, "/index.html") {
        Some(file) => answer(file, &headers),
        None => Problem::NoSuchPath.into_response(),
    }
}

/// `GET /assets/{name}`
pub(super) async fn asset(
    State(shared): State<Arc<Shared>>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Response {
    let Some(file) = find(&shared.page, &format!("/assets/{name}")) else {
        return Problem::NoSuchPath.into_response();
    };
    let mut answer = answer(file, &headers);
    if file.path.ends_with(".js") || file.path.ends_with(".css") {
        answer.headers_mut().insert(header::CACHE_CONTROL, FOREVER);
    }
    answer
}

/// An address that is none of the page's: the page says so.
pub(super) fn nowhere(shared: &Shared, headers: &HeaderMap) -> Response {
    match find(&shared.page, "/index.html") {
        Some(file) => (StatusCode::NOT_FOUND, answer(file, headers)).into_response(),
        None => Problem::NoSuchPath.into_response(),
    }
}

fn find<'a>(page: &'a Page, path: &str) -> Option<&'a PageFile> {
    page.iter().find(|file| file.path == path)
}

fn answer(file: &PageFile, headers: &HeaderMap) -> Response {
    let kind = match file.path.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    };
    let kind = [(header::CONTENT_TYPE, kind), (header::VARY, "accept-encoding")];
    match file.gzip.filter(|_| takes_gzip(headers)) {
        Some(gzip) => (kind, [(header::CONTENT_ENCODING, "gzip")], Bytes::from_static(gzip)).into_response(),
        None => (kind, Bytes::from_static(file.body)).into_response(),
    }
}

/// RFC 9110, section 12.5.3, as far as browsers use it: `gzip`, unless with a weight of nothing.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let is_gzip = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
        let refused = parts.any(|part| matches!(part, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"));
        is_gzip && !refused
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_sent_to_whoever_takes_it() {
        let takes = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(value));
            takes_gzip(&headers)
        };
        assert!(takes("gzip, deflate, br") && takes("br;q=1, GZIP;q=0.5"));
        assert!(!takes("br") && !takes("gzip;q=0") && !takes("identity"));
        assert!(!takes_gzip(&HeaderMap::new()));
    }
}
