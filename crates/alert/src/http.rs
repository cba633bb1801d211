//! One HTTP POST at a time, over TCP or TLS: no pool, no redirects, no cookies.
//!
//! Alerts are rare and must not depend on a connection that died an hour ago, so every request opens its own. TLS uses
//! the ring provider explicitly; nothing here touches a process-wide default. The caller sets the time limit.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use freezeframe_model::Timestamp;
use http::header::{CONTENT_TYPE, HOST, RETRY_AFTER, USER_AGENT};
use http::uri::Scheme;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::ConfigError;

/// Bytes of an answer that are read; more is an error.
const MAX_ANSWER: usize = 64 << 10;
/// Characters of an answer that are quoted in an error.
const MAX_QUOTE: usize = 200;
/// A longer wish of the receiver is cut to this.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// Which certificates are trusted.
#[derive(Clone)]
pub struct Trust {
    tls: Arc<ClientConfig>,
    /// For transports that set up TLS by themselves.
    pub(crate) extra_pem: Option<Vec<u8>>,
}

impl Trust {
    /// The system's certificate authorities.
    pub fn system() -> Result<Self, ConfigError> {
        Self::build(None)
    }

    /// The same and those of a PEM file.
    pub fn with_extra_ca(path: &Path) -> Result<Self, ConfigError> {
        let pem = std::fs::read(path).map_err(|error| ConfigError::Tls(Box::new(error)))?;
        Self::build(Some(pem))
    }

    fn build(extra_pem: Option<Vec<u8>>) -> Result<Self, ConfigError> {
        let failed = |error: rustls::Error| ConfigError::Tls(Box::new(error));
        let mut roots = RootCertStore::empty();
        let native = rustls_native_certs::load_native_certs();
        for error in &native.errors {
            tracing::warn!(%error, "cannot read one of the system's certificates");
        }
        roots.add_parsable_certificates(native.certs);
        for certificate in CertificateDer::pem_slice_iter(extra_pem.as_deref().unwrap_or_default()) {
            let certificate = certificate.map_err(|error| ConfigError::Tls(Box::new(error)))?;
            roots.add(certificate).map_err(failed)?;
        }
        let tls = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(failed)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { tls: Arc::new(tls), extra_pem })
    }
}

/// Where to post to: a parsed and checked URL.
#[derive(Clone)]
pub(crate) struct Endpoint {
    host: String,
    port: u16,
    tls: bool,
    /// `host:port` as it stands in the URL.
    authority: String,
    path: String,
    trust: Trust,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<Duration>,
    /// The beginning of the body, on one line.
    pub(crate) quote: String,
}

/// Why nothing came back.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    #[error("cannot connect")]
    Connect(#[source] io::Error),
    #[error("tls failed")]
    Tls(#[source] io::Error),
    #[error("the request failed")]
    Request(#[source] hyper::Error),
    #[error("the request cannot be built")]
    Build(#[source] http::Error),
    #[error("the answer cannot be read")]
    Answer(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Endpoint {
    /// Checks an `http://` or `https://` URL. Its error does not repeat the URL, which may be a secret.
    pub(crate) fn parse(field: &'static str, url: &str, trust: &Trust) -> Result<Self, ConfigError> {
        let uri: Uri = url.parse().map_err(|_| ConfigError::invalid(field, "is not a url"))?;
        let tls = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP => false,
            _ => return Err(ConfigError::invalid(field, "must begin with https:// or http://")),
        };
        let authority = uri.authority().map(|authority| authority.as_str().to_owned()).unwrap_or_default();
        if authority.contains('@') {
            return Err(ConfigError::invalid(field, "must not contain a user name or password"));
        }
        let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() {
            return Err(ConfigError::invalid(field, "has no host"));
        }
        let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        Ok(Self { host, port, tls, authority, path, trust: trust.clone() })
    }

    /// Posts JSON. Any status is an answer; only the lack of one is an error.
    pub(crate) async fn post(&self, headers: &[(&str, &str)], body: Vec<u8>) -> Result<Answer, HttpError> {
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(&self.path)
            .header(HOST, &self.authority)
            .header(CONTENT_TYPE, "application/json")
            .header(USER_AGENT, concat!("freezeframe/", env!("CARGO_PKG_VERSION")));
        for (name, value) in headers {
            let name = HeaderName::try_from(*name).map_err(|error| HttpError::Build(error.into()))?;
            let value = HeaderValue::try_from(*value).map_err(|error| HttpError::Build(error.into()))?;
            request = request.header(name, value);
        }
        let request = request.body(Full::new(Bytes::from(body))).map_err(HttpError::Build)?;
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await.map_err(HttpError::Connect)?;
        if !self.tls {
            return exchange(stream, request).await;
        }
        let name = ServerName::try_from(self.host.clone())
            .map_err(|error| HttpError::Tls(io::Error::new(io::ErrorKind::InvalidInput, error)))?;
        let connector = TlsConnector::from(Arc::clone(&self.trust.tls));
        exchange(connector.connect(name, stream).await.map_err(HttpError::Tls)?, request).await
    }
}

/// One request and its answer on a fresh connection.
async fn exchange<S>(stream: S, request: Request<Full<Bytes>>) -> Result<Answer, HttpError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(HttpError::Request)?;
    // Both in this task: when the caller's time is up, the connection goes with it.
    let answer = async {
        let response = sender.send_request(request).await.map_err(HttpError::Request)?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, MAX_ANSWER).collect().await.map_err(HttpError::Answer)?.to_bytes();
        let text = String::from_utf8_lossy(&body);
        let quote = text.chars().take(MAX_QUOTE).map(|c| if c.is_control() { ' ' } else { c }).collect();
        Ok(Answer { status: head.status.as_u16(), retry_after: retry_after(&head.headers), quote })
    };
    tokio::pin!(answer, connection);
    tokio::select! {
        answer = &mut answer => answer,
        ended = &mut connection => match ended {
            // The connection may end before its last bytes were looked at.
            Ok(()) => answer.await,
            Err(error) => Err(HttpError::Request(error)),
        },
    }
}

/// RFC 9110, section 10.2.3: seconds, or a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wish = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let then = OffsetDateTime::parse(text, &Rfc2822).ok()?.unix_timestamp();
            let now = Timestamp::now().0.div_euclid(1_000_000);
            Duration::from_secs(u64::try_from(then.saturating_sub(now)).unwrap_or(0))
        }
    };
    Some(wish.min(MAX_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(text: &str) -> Option<Duration> {
        let value = HeaderValue::from_str(text).expect("a header value");
        retry_after(&HeaderMap::from_iter([(RETRY_AFTER, value)]))
    }

    #[test]
    fn retry_after_takes_seconds_and_dates_and_ignores_the_rest() {
        assert_eq!(wish("7"), Some(Duration::from_secs(7)));
        assert_eq!(wish("99999999"), Some(MAX_RETRY_AFTER));
        assert_eq!(wish("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO));
        assert_eq!(wish("Fri, 06 Nov 2195 08:49:37 GMT"), Some(MAX_RETRY_AFTER));
        assert_eq!(wish("soon"), None);
        assert_eq!(wish("-5"), None);
    }

    #[test]
    fn urls_are_checked_and_never_repeated() {
        let trust = Trust::system().expect("the system's certificates");
        for url in
            ["", "hooks.example.com", "ftp://example.com/", "https://user:hunter2@example.com/", "http://"]
        {
            let error = Endpoint::parse("url", url, &trust).err().expect(url).to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
        let endpoint = Endpoint::parse("url", "http://[::1]:8080/x?y=z", &trust).expect("a url");
        assert_eq!((endpoint.host.as_str(), endpoint.port, endpoint.tls), ("::1", 8080, false));
        assert_eq!((endpoint.authority.as_str(), endpoint.path.as_str()), ("[::1]:8080", "/x?y=z"));
    }
}
