//! Which name a request calls us by, and which site it comes from (RFC 9110 section 7.2, RFC 6454, Fetch Metadata).

use std::net::{Ipv4Addr, Ipv6Addr};

use axum::http::uri::Authority;
use axum::http::{HeaderMap, Uri, header};

/// The name that the client calls this server by; `None` where there is none, or more than one, or it is malformed.
pub(super) fn authority_of(uri: &Uri, headers: &HeaderMap) -> Option<Authority> {
    // An absolute request target takes precedence over Host (RFC 9112 section 3.2.2).
    let authority = match uri.authority() {
        Some(authority) => authority.clone(),
        None => {
            let mut hosts = headers.get_all(header::HOST).iter();
            let (first, second) = (hosts.next()?, hosts.next());
            second.is_none().then(|| first.to_str().ok()?.parse().ok())??
        }
    };
    (!authority.as_str().contains('@')).then_some(authority)
}

/// Whether the host names this machine only.
pub(super) fn is_loopback(host: &str) -> bool {
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    host == "localhost"
        || host.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
        || address.and_then(|host| host.parse::<Ipv6Addr>().ok()).is_some_and(|address| address.is_loopback())
}

/// Whether a browser says that one of our own pages made the request. Silence is not consent: a request that says nothing about
/// where it comes from is not from one of our pages.
pub(crate) fn same_origin(uri: &Uri, headers: &HeaderMap) -> bool {
    if let Some(site) = headers.get("sec-fetch-site") {
        return site.as_bytes() == b"same-origin";
    }
    let origin = headers.get(header::ORIGIN).and_then(|origin| origin.to_str().ok());
    let from = origin.and_then(|origin| origin.strip_prefix("http://").or(origin.strip_prefix("https://")));
    match (from, authority_of(uri, headers)) {
        (Some(from), Some(ours)) => from.eq_ignore_ascii_case(ours.as_str()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_pages_are_same_origin() {
        let check = |pairs: &[(&'static str, &'static str)]| {
            let mut headers: HeaderMap =
                pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
            headers.insert("host", "localhost:9800".parse().unwrap());
            same_origin(&Uri::from_static("/login"), &headers)
        };
        assert!(check(&[("sec-fetch-site", "same-origin"), ("origin", "null")]));
        assert!(check(&[("origin", "http://localhost:9800")]));
        assert!(!check(&[]));
        assert!(!check(&[("origin", "null")]));
        assert!(!check(&[("origin", "http://localhost:8080")]), "another port is another origin");
        assert!(!check(&[("origin", "http://evil.example")]));
        for site in ["same-site", "cross-site", "none"] {
            assert!(!check(&[("sec-fetch-site", site), ("origin", "http://localhost:9800")]), "{site}");
        }
    }
}
