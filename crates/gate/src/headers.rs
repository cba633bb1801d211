//! Header fields between client, gate and instance (RFC 9110 section 7.6, RFC 9112, RFC 7239).
//!
//! One pass over a message's fields finds everything that has to be decided or removed; most messages then need no further
//! look-up. It does not know about connections or bodies.

use std::cell::RefCell;
use std::net::IpAddr;

use http::header::{
    CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, FORWARDED, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE,
    TRANSFER_ENCODING, UPGRADE,
};
use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version, request};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
/// Time that is left for an answer, in milliseconds from when the request is sent on: set for instances where the route or the
/// client names one, and believed of clients as far as it shortens the route's.
pub(crate) const X_DEADLINE: HeaderName = HeaderName::from_static("x-freezeframe-deadline-ms");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
/// Fields that no client may set, because applications believe them: they name where a request came from, or end up as
/// the environment variable `HTTP_PROXY` of a CGI program.
const NOT_FROM_CLIENTS: [&str; 8] = [
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-server",
    "x-forwarded-prefix",
    "x-real-ip",
    "proxy",
];
/// Fields between two neighbours, besides those that `Connection` names. (`Proxy-Status`, RFC 9209, is not one of them.)
const NEIGHBOUR_FIELDS: [&str; 3] = ["proxy-connection", "proxy-authentication-info", "http2-settings"];
/// Further fields that must not come under a name with `_` for `-`: CGI and its heirs do not tell them apart.
const NOT_UNDERSCORED: [&str; 7] = [
    "content-length",
    "transfer-encoding",
    "content-type",
    "forwarded",
    "idempotency-key",
    "traceparent",
    "x-freezeframe-deadline-ms",
];

/// Fields that a request gets on its way: host, where it came from, its trace and its time.
const FIELDS_ADDED: usize = 7;

/// What one pass over the fields found.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    hosts: usize,
    cookies: usize,
    connection: bool,
    transfer_encodings: usize,
    /// Its value is exactly `chunked`.
    chunked: bool,
    te: bool,
    /// Anything else that has to go.
    others: bool,
    upgrade: bool,
    /// A name has a `_`.
    underscored: bool,
    pub(crate) traceparent: bool,
    tracestate: bool,
    pub(crate) idempotency_key: bool,
    deadline: bool,
    pub(crate) content_length: Option<u64>,
}

/// A request that the gate does not pass on, and what it says instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Objection(pub(crate) StatusCode, pub(crate) &'static str);

/// What stays the same for every request of a client's connection.
#[derive(Debug)]
pub(crate) struct Origin {
    pub(crate) peer: IpAddr,
    forwarded_for: HeaderValue,
    /// `http` or `https`.
    proto: &'static str,
    /// The last `Host`, and the `Forwarded` made of it: a connection seldom uses more than one.
    last: RefCell<Option<(HeaderValue, HeaderValue)>>,
}

impl Origin {
    pub(crate) fn new(peer: IpAddr, is_tls: bool) -> Self {
        // An IPv4 client on a dual-stack socket is still an IPv4 client.
        let peer = peer.to_canonical();
        let forwarded_for = HeaderValue::try_from(peer.to_string());
        let forwarded_for = forwarded_for.unwrap_or_else(|_| HeaderValue::from_static("unknown"));
        let proto = if is_tls { "https" } else { "http" };
        Self { peer, forwarded_for, proto, last: RefCell::new(None) }
    }

    /// The `Forwarded` for a host; `None` where that is no authority.
    fn forwarded(&self, host: &HeaderValue) -> Option<HeaderValue> {
        if let Some((last, forwarded)) = &*self.last.borrow()
            && last == host
        {
            return Some(forwarded.clone());
        }
        Authority::try_from(host.as_bytes()).ok().filter(|authority| !authority.as_str().contains('@'))?;
        let host_text = host.to_str().ok()?;
        let node = match self.peer {
            IpAddr::V4(peer) => peer.to_string(),
            IpAddr::V6(peer) => format!("\"[{peer}]\""),
        };
        // An authority contains neither quotes nor backslashes, so nothing has to be escaped.
        let forwarded = format!("for={node};host=\"{host_text}\";proto={}", self.proto);
        let forwarded = HeaderValue::try_from(forwarded).ok()?;
        *self.last.borrow_mut() = Some((host.clone(), forwarded.clone()));
        Some(forwarded)
    }
}

/// Looks at every field once.
pub(crate) fn survey(headers: &HeaderMap) -> Survey {
    let mut survey = Survey::default();
    for (name, value) in headers {
        match *name {
            HOST => survey.hosts += 1,
            COOKIE => survey.cookies += 1,
            CONNECTION => survey.connection = true,
            TRANSFER_ENCODING => {
                survey.transfer_encodings += 1;
                survey.chunked = value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked");
            }
            CONTENT_LENGTH => survey.content_length = value.to_str().ok().and_then(|text| text.parse().ok()),
            TE => survey.te = true,
            UPGRADE => survey.upgrade = true,
            EXPECT | FORWARDED | PROXY_AUTHENTICATE | PROXY_AUTHORIZATION => survey.others = true,
            _ => match name.as_str() {
                "traceparent" => survey.traceparent = true,
                "tracestate" => survey.tracestate = true,
                "idempotency-key" => survey.idempotency_key = true,
                "x-freezeframe-deadline-ms" => survey.deadline = true,
                other if other == KEEP_ALIVE || is_listed(other) => survey.others = true,
                other => survey.underscored |= other.as_bytes().contains(&b'_'),
            },
        }
    }
    survey
}

fn is_listed(name: &str) -> bool {
    // Two first letters decide for almost every name.
    matches!(name.as_bytes(), [b'x', b'-', ..] | [b'p', b'r', ..] | [b'h', b't', ..])
        && (NOT_FROM_CLIENTS.contains(&name) || NEIGHBOUR_FIELDS.contains(&name))
}

impl Survey {
    /// Whether the client said how long its body is, and that is no more than `limit` bytes.
    pub(crate) fn announces_at_most(&self, limit: usize) -> bool {
        self.content_length.is_some_and(|length| usize::try_from(length).is_ok_and(|length| length <= limit))
    }

    /// Takes the time that the client itself gives its request, in milliseconds.
    pub(crate) fn take_deadline_ms(&self, headers: &mut HeaderMap) -> Option<u64> {
        let value = if self.deadline { headers.remove(X_DEADLINE)? } else { return None };
        value.to_str().ok()?.trim().parse().ok()
    }

    /// Whether a client asks for another protocol. Not for another HTTP: in a tunnel those would be requests that nobody looks at
    /// (`h2c`, which RFC 9113 took back; RFC 2817).
    pub(crate) fn wants_upgrade(&self, headers: &HeaderMap, version: Version) -> bool {
        self.upgrade
            && self.connection
            && version == Version::HTTP_11
            && names_option(headers, b"upgrade")
            && !names_http(headers)
    }

    /// The fields of a request in the form in which every instance may get it, except for `traceparent`.
    pub(crate) fn prepare_request(
        &self,
        parts: &mut request::Parts,
        origin: &Origin,
        upgrade: bool,
    ) -> Result<(), Objection> {
        self.check(parts)?;
        // The map grows once, not twice.
        parts.headers.reserve(FIELDS_ADDED);
        let authority = parts.uri.authority().filter(|_| parts.uri.scheme().is_some());
        if let Some(authority) = authority {
            self.adopt_authority(&authority.clone(), parts)?;
        }
        let trailers = self.te && names_trailers(&parts.headers);
        let protocol = if upgrade { parts.headers.get(UPGRADE).cloned() } else { None };
        let headers = &mut parts.headers;
        self.strip(headers);
        if self.cookies > 1 && parts.version == Version::HTTP_2 {
            join_cookies(headers);
        }
        if trailers {
            headers.insert(TE, HeaderValue::from_static("trailers"));
            headers.insert(CONNECTION, HeaderValue::from_static("te"));
        }
        if let Some(protocol) = protocol {
            headers.insert(UPGRADE, protocol);
            headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        }
        if let Some(host) = headers.get(HOST).cloned() {
            let bad_host = Objection(StatusCode::BAD_REQUEST, "the Host field is not valid");
            let forwarded = origin.forwarded(&host).ok_or(bad_host)?;
            headers.insert(X_FORWARDED_HOST, host);
            headers.insert(FORWARDED, forwarded);
        }
        headers.insert(X_FORWARDED_FOR, origin.forwarded_for.clone());
        headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(origin.proto));
        parts.uri = origin_form(&parts.uri);
        parts.version = Version::HTTP_11;
        Ok(())
    }

    fn check(&self, parts: &request::Parts) -> Result<(), Objection> {
        let bad = |text| Err(Objection(StatusCode::BAD_REQUEST, text));
        if parts.method == Method::CONNECT {
            return Err(Objection(StatusCode::METHOD_NOT_ALLOWED, "this is a gateway, not a forward proxy"));
        }
        if self.hosts > 1 {
            return bad("more than one Host field");
        }
        if self.hosts == 0 && parts.version == Version::HTTP_11 {
            return bad("the Host field is missing");
        }
        if self.transfer_encodings > 0 && self.content_length.is_some() {
            return bad("both Content-Length and Transfer-Encoding");
        }
        if self.transfer_encodings > 1 || (self.transfer_encodings == 1 && !self.chunked) {
            return Err(Objection(StatusCode::NOT_IMPLEMENTED, "the only transfer coding here is chunked"));
        }
        Ok(())
    }

    /// The target's authority is the host (RFC 9112 section 3.2.2, RFC 9113 section 8.3.1).
    fn adopt_authority(&self, authority: &Authority, parts: &mut request::Parts) -> Result<(), Objection> {
        let host = parts.headers.get(HOST);
        let agrees = |host: &HeaderValue| host.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes());
        if host.is_some_and(|host| !agrees(host)) {
            return Err(Objection(StatusCode::BAD_REQUEST, "the target and the Host field do not agree"));
        }
        let bad = |_| Objection(StatusCode::BAD_REQUEST, "the target's host is not valid");
        parts.headers.insert(HOST, HeaderValue::try_from(authority.as_str()).map_err(bad)?);
        Ok(())
    }

    /// Removes what concerns only the neighbour that sent it, and what clients must not say.
    fn strip(&self, headers: &mut HeaderMap) {
        if self.connection {
            strip_named(headers);
        }
        if self.transfer_encodings > 0 {
            headers.remove(TRANSFER_ENCODING);
        }
        if self.te {
            headers.remove(TE);
        }
        if self.upgrade {
            headers.remove(UPGRADE);
        }
        if self.others {
            // The gate itself answers `Expect: 100-continue` once it begins to read the body.
            for name in [KEEP_ALIVE, EXPECT, FORWARDED, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION] {
                headers.remove(name);
            }
            NOT_FROM_CLIENTS.iter().chain(&NEIGHBOUR_FIELDS).for_each(|name| drop(headers.remove(*name)));
        }
        if self.underscored {
            strip_underscored(headers);
        }
    }
}

/// Sets the trace ids of one attempt. A trace of our own has no use for another vendor's state.
pub(crate) fn set_trace(headers: &mut HeaderMap, survey: &Survey, text: &[u8], is_clients_trace: bool) {
    if survey.tracestate && !is_clients_trace {
        headers.remove(TRACESTATE);
    }
    if let Ok(value) = HeaderValue::from_bytes(text) {
        headers.insert(TRACEPARENT, value);
    }
}

/// A number as a field's value.
pub(crate) fn decimal(number: u64) -> HeaderValue {
    let mut digits = [0; 20];
    let (mut rest, mut at) = (number, digits.len());
    for digit in digits.iter_mut().rev() {
        // A remainder of ten fits.
        *digit = b'0' + (rest % 10) as u8;
        (rest, at) = (rest / 10, at - 1);
        if rest == 0 {
            break;
        }
    }
    let digits = digits.get(at..).unwrap_or_default();
    HeaderValue::from_bytes(digits).unwrap_or_else(|_| HeaderValue::from(number))
}

/// The only `traceparent` of a request; several are as good as none.
pub(crate) fn traceparent(headers: &HeaderMap) -> Option<&[u8]> {
    let mut values = headers.get_all(TRACEPARENT).into_iter();
    let first = values.next()?;
    values.next().is_none().then(|| first.as_bytes())
}

/// The fields of a response as the client may get them.
///
/// # Errors
/// What is wrong with a response that cannot be passed on.
pub(crate) fn prepare_response(headers: &mut HeaderMap, tunnel: bool) -> Result<(), &'static str> {
    let mut found = Survey::default();
    for (name, value) in headers.iter() {
        match *name {
            CONNECTION => found.connection = true,
            TRANSFER_ENCODING => {
                found.transfer_encodings += 1;
                found.chunked = value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked");
            }
            CONTENT_LENGTH => found.content_length = Some(0),
            UPGRADE => found.upgrade = true,
            TE | PROXY_AUTHENTICATE | PROXY_AUTHORIZATION => found.others = true,
            _ => {
                let name = name.as_str();
                found.others |= name == KEEP_ALIVE || NEIGHBOUR_FIELDS.contains(&name);
            }
        }
    }
    if found.transfer_encodings > 1 || (found.transfer_encodings == 1 && !found.chunked) {
        return Err("the response uses a transfer coding other than chunked");
    }
    let protocol = if tunnel { headers.get(UPGRADE).cloned() } else { None };
    if found.connection {
        strip_named(headers);
    }
    if found.transfer_encodings > 0 {
        headers.remove(TRANSFER_ENCODING);
        headers.remove(CONTENT_LENGTH);
    }
    if found.upgrade {
        headers.remove(UPGRADE);
    }
    if found.others {
        for name in [KEEP_ALIVE, TE, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION] {
            headers.remove(name);
        }
        NEIGHBOUR_FIELDS.iter().for_each(|name| drop(headers.remove(*name)));
    }
    if tunnel {
        headers.insert(UPGRADE, protocol.ok_or("101 without an Upgrade field")?);
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    }
    Ok(())
}

/// Removes `Connection` and the fields that it names, except those without which a message loses its meaning.
fn strip_named(headers: &mut HeaderMap) {
    let lines = headers.get_all(CONNECTION).into_iter();
    let options = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
    // The usual options name no field of their own: mostly, nothing is collected.
    let is_usual =
        |option: &&[u8]| option.eq_ignore_ascii_case(b"keep-alive") || option.eq_ignore_ascii_case(b"close");
    let named =
        options.filter(|option| !is_usual(option)).filter_map(|option| HeaderName::from_bytes(option).ok());
    let named: Vec<HeaderName> = named.collect();
    headers.remove(CONNECTION);
    for name in named {
        if ![HOST, CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE].contains(&name) {
            headers.remove(name);
        }
    }
}

/// Removes fields under names that are others' with `_` for `-`.
fn strip_underscored(headers: &mut HeaderMap) {
    let is_others = |name: &&HeaderName| {
        let name = name.as_str();
        let dashed = name.contains('_').then(|| name.replace('_', "-"));
        dashed.is_some_and(|name| {
            NOT_FROM_CLIENTS.contains(&name.as_str()) || NOT_UNDERSCORED.contains(&name.as_str())
        })
    };
    let names: Vec<HeaderName> = headers.keys().filter(is_others).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

fn names_http(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(UPGRADE).into_iter();
    let mut protocols = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    protocols.any(|protocol| {
        let protocol = protocol.trim_ascii().to_ascii_lowercase();
        [&b"h2"[..], b"http", b"tls"].iter().any(|http| protocol.starts_with(http))
    })
}

fn names_option(headers: &HeaderMap, option: &[u8]) -> bool {
    let lines = headers.get_all(CONNECTION).into_iter();
    let mut options = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    options.any(|given| given.trim_ascii().eq_ignore_ascii_case(option))
}

fn names_trailers(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(TE).into_iter();
    let mut codings = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    codings.any(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"trailers"))
}

/// HTTP/2 clients may send one field per cookie; HTTP/1.1 has one for all (RFC 9113 section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let mut joined = Vec::new();
    for line in headers.get_all(COOKIE) {
        if !joined.is_empty() {
            joined.extend(b"; ");
        }
        joined.extend(line.as_bytes());
    }
    // Values were valid, and so is their concatenation.
    if let Ok(value) = HeaderValue::try_from(joined) {
        headers.insert(COOKIE, value);
    }
}

/// Path and query alone, as an origin server expects its target; `OPTIONS *` keeps its asterisk.
fn origin_form(uri: &Uri) -> Uri {
    if uri.scheme().is_none() && uri.authority().is_none() {
        return uri.clone();
    }
    Uri::from(uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/")))
}

/// The methods of RFC 9110 section 9.2.2: doing it twice is the same as doing it once.
pub(crate) fn is_idempotent(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE | Method::PUT | Method::DELETE
    )
}

#[cfg(test)]
#[path = "headers_tests.rs"]
mod tests;
