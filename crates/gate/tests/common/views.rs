//! What a server makes of a stream of requests: a strict reader, two lenient ones that forgive what attackers count on, and
//! hyper. Where they agree about what the gate sent, no server behind it can be made to see something else.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use http_body_util::BodyExt;
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;

/// One request, as far as servers could disagree about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Method and target.
    pub line: String,
    pub host: Option<String>,
    pub body: Vec<u8>,
}

/// How a reader takes what the standard forbids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// RFC 9112 to the letter; everything else is the end.
    Strict,
    /// Bare LF ends a line, whitespace before a colon is ignored, folded lines belong together, the first length counts, and a length
    /// counts more than a coding.
    LengthFirst,
    /// The same, but any coding that contains `chunked` counts more than a length, and chunk sizes may have prefixes.
    ChunkedFirst,
}

impl Reader {
    /// The first request of a stream and its length in bytes; `None` where there is no whole one.
    pub fn first(self, bytes: &[u8]) -> Option<(Seen, usize)> {
        let mut at = 0;
        let mut lines = Vec::new();
        loop {
            let line = self.line(bytes, &mut at)?;
            if !line.is_empty() {
                lines.push(line);
            } else if !lines.is_empty() {
                break;
            }
        }
        let (length, chunked, host) = self.fields(lines.get(1..)?)?;
        let body = if chunked {
            self.chunks(bytes, &mut at)?
        } else {
            let body = bytes.get(at..at.checked_add(length)?)?.to_vec();
            at += length;
            body
        };
        let line = String::from_utf8_lossy(&lines[0]).into_owned();
        let line = line.rsplit_once(' ').map_or(line.clone(), |(line, _)| line.to_owned());
        Some((Seen { line, host, body }, at))
    }

    /// Every request of a stream, and the bytes that are left.
    pub fn all(self, mut bytes: &[u8]) -> (Vec<Seen>, Vec<u8>) {
        let mut seen = Vec::new();
        while let Some((request, length)) = self.first(bytes) {
            seen.push(request);
            bytes = &bytes[length..];
        }
        (seen, bytes.to_vec())
    }

    fn is_strict(self) -> bool {
        self == Self::Strict
    }

    /// A line without its end.
    fn line(self, bytes: &[u8], at: &mut usize) -> Option<Vec<u8>> {
        let rest = bytes.get(*at..)?;
        let end = rest.iter().position(|byte| *byte == b'\n')?;
        *at += end + 1;
        let line = &rest[..end];
        match line.strip_suffix(b"\r") {
            Some(line) if self.is_strict() && line.contains(&b'\r') => None,
            Some(line) => Some(line.to_vec()),
            None if self.is_strict() => None,
            None => Some(line.to_vec()),
        }
    }

    /// The body's length, whether it is chunked, and the host.
    fn fields(self, lines: &[Vec<u8>]) -> Option<(usize, bool, Option<String>)> {
        let mut unfolded: Vec<Vec<u8>> = Vec::new();
        for line in lines {
            if line.starts_with(b" ") || line.starts_with(b"\t") {
                if self.is_strict() {
                    return None;
                }
                unfolded.last_mut()?.extend(line);
            } else {
                unfolded.push(line.clone());
            }
        }
        let (mut lengths, mut codings, mut hosts) = (Vec::new(), Vec::new(), Vec::new());
        for line in &unfolded {
            let text = String::from_utf8_lossy(line).into_owned();
            let Some((name, value)) = text.split_once(':') else {
                if self.is_strict() {
                    return None;
                }
                continue;
            };
            if self.is_strict() && name.bytes().any(|byte| byte <= b' ') {
                return None;
            }
            // CGI and its heirs do not tell `-` from `_`.
            let name = name.trim().to_ascii_lowercase();
            let name = if self.is_strict() { name } else { name.replace('_', "-") };
            match name.as_str() {
                "content-length" => lengths.push(value.trim().to_owned()),
                "transfer-encoding" => codings.push(value.trim().to_ascii_lowercase()),
                "host" => hosts.push(value.trim().to_owned()),
                _ => {}
            }
        }
        let is_plain = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = |text: &String| {
            if self.is_strict() && !is_plain(text) {
                return None;
            }
            let digits = if self.is_strict() { text.as_str() } else { text.trim_start_matches('+') };
            digits.split(',').next().and_then(|digits| digits.trim().parse::<usize>().ok())
        };
        if self.is_strict() {
            lengths.dedup();
            let is_one = lengths.len() + codings.len() <= 1 && hosts.len() <= 1;
            let is_known = codings.iter().all(|coding| coding == "chunked");
            let length = lengths.first().map_or(Some(0), number)?;
            return (is_one && is_known).then(|| (length, !codings.is_empty(), hosts.pop()));
        }
        let chunked = codings.iter().any(|coding| coding.contains("chunked"));
        let length = lengths.iter().find_map(number);
        let host = hosts.into_iter().next();
        Some(match (self, chunked, length) {
            (Self::LengthFirst, _, Some(length)) => (length, false, host),
            (_, true, _) => (0, true, host),
            (_, false, length) => (length.unwrap_or(0), false, host),
        })
    }

    fn chunks(self, bytes: &[u8], at: &mut usize) -> Option<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.line(bytes, at)?;
            let digits = String::from_utf8_lossy(&line).into_owned();
            let digits = digits.split(';').next().unwrap_or_default().trim_end_matches([' ', '\t']);
            let digits = if self.is_strict() { digits } else { digits.trim().trim_start_matches("0x") };
            if self.is_strict() && !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                return None;
            }
            let size = usize::from_str_radix(digits, 16).ok()?;
            if size == 0 {
                while !self.line(bytes, at)?.is_empty() {}
                return Some(body);
            }
            body.extend(bytes.get(*at..at.checked_add(size)?)?);
            *at += size;
            if !self.line(bytes, at)?.is_empty() && self.is_strict() {
                return None;
            }
        }
    }
}

/// What hyper's server makes of a stream, up to a request that the gate would refuse by its fields.
pub async fn hyper_sees(bytes: &[u8]) -> Vec<Seen> {
    let (seen, over) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
    let (mut ours, theirs) = tokio::io::duplex(bytes.len() + 64 * 1024);
    ours.write_all(bytes).await.expect("room for it");
    ours.shutdown().await.expect("shut down");
    let service = service_fn(|request: Request<Incoming>| {
        let (seen, over) = (Arc::clone(&seen), Arc::clone(&over));
        async move {
            let (parts, body) = request.into_parts();
            let host =
                parts.headers.get("host").map(|host| String::from_utf8_lossy(host.as_bytes()).into_owned());
            let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
            let line = format!("{} {target}", parts.method);
            let all = |name| parts.headers.get_all(name).iter().collect::<Vec<_>>();
            let (codings, hosts) = (all("transfer-encoding"), all("host"));
            let is_chunked =
                |coding: &hyper::header::HeaderValue| coding.as_bytes().eq_ignore_ascii_case(b"chunked");
            if hosts.len() > 1 || codings.len() > 1 || !codings.iter().all(|coding| is_chunked(coding)) {
                over.store(true, Ordering::Relaxed);
            }
            if let Ok(body) = body.collect().await
                && !over.load(Ordering::Relaxed)
            {
                let body = body.to_bytes().to_vec();
                seen.lock().expect("not poisoned").push(Seen { line, host, body });
            }
            Ok::<_, Infallible>(hyper::Response::new(String::new()))
        }
    });
    let mut server = hyper::server::conn::http1::Builder::new();
    server.half_close(true);
    // How it ends says nothing: the stream is at its end.
    let _ = server.serve_connection(TokioIo::new(theirs), service).await;
    drop(ours);
    let seen = seen.lock().expect("not poisoned");
    seen.clone()
}
