//! Requests to other servers, one at a time, over TCP, TLS or a Unix socket: no pool, no redirects, no cookies.
//!
//! They are rare and must not depend on a connection that died an hour ago, so every request opens its own. TLS uses
//! the ring provider explicitly; nothing here touches a process-wide default. The caller sets the time limit, and knows what
//! is sent and why: this crate does not.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use freezeframe_model::Timestamp;
use http::header::{CONTENT_TYPE, HOST, RETRY_AFTER, USER_AGENT};
use http::uri::Scheme;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

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
    extra_pem: Option<Vec<u8>>,
}

/// The certificates for TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up tls")]
pub struct TrustError(#[source] Box<dyn std::error::Error + Send + Sync>);

/// What is wrong with a URL. It does not repeat the URL, which may be a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UrlError(&'static str);

impl Trust {
    /// The system's certificate authorities.
    pub fn system() -> Result<Self, TrustError> {
        Self::build(None)
    }

    /// The same and those of a PEM file.
    pub fn with_extra_ca(path: &Path) -> Result<Self, TrustError> {
        let pem = std::fs::read(path).map_err(|error| TrustError(Box::new(error)))?;
        Self::build(Some(pem))
    }

    /// Certificates that are trusted besides the system's, for transports that set up TLS by themselves.
    pub fn extra_pem(&self) -> Option<&[u8]> {
        self.extra_pem.as_deref()
    }

    fn build(extra_pem: Option<Vec<u8>>) -> Result<Self, TrustError> {
        let failed = |error: rustls::Error| TrustError(Box::new(error));
        let mut roots = RootCertStore::empty();
        let native = rustls_native_certs::load_native_certs();
        for error in &native.errors {
            tracing::warn!(%error, "cannot read one of the system's certificates");
        }
        roots.add_parsable_certificates(native.certs);
        for certificate in CertificateDer::pem_slice_iter(extra_pem.as_deref().unwrap_or_default()) {
            let certificate = certificate.map_err(|error| TrustError(Box::new(error)))?;
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

/// A server, and a path there: a parsed and checked URL.
#[derive(Clone)]
pub struct Endpoint {
    host: String,
    port: u16,
    tls: bool,
    /// `host:port` as it stands in the URL.
    authority: String,
    path: String,
    trust: Option<Trust>,
    /// In place of `host` and `port`.
    socket: Option<PathBuf>,
}

impl std::fmt::Debug for Endpoint {
    /// Without the path, which may be a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoint").field("authority", &self.authority).finish_non_exhaustive()
    }
}

/// A request to an endpoint.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// `GET`, `POST`, …
    pub method: &'a str,
    /// Path relative to the endpoint's own, with the query where there is one.
    pub below: &'a str,
    /// Besides `Host` and `User-Agent`.
    pub headers: &'a [(&'a str, &'a str)],
    /// May be empty.
    pub body: &'a [u8],
}

/// The beginning of an answer.
#[derive(Clone, Debug)]
pub struct Head {
    /// The status.
    pub status: u16,
    /// All of them.
    pub headers: HeaderMap,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// How long the server wishes to be left alone (`Retry-After`), at most an hour.
    pub retry_after: Option<Duration>,
    /// The beginning of the body, on one line.
    pub quote: String,
}

/// Why nothing came back.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// Nothing listens there, or it cannot be reached.
    #[error("cannot connect")]
    Connect(#[source] io::Error),
    /// The server is not who it should be, or speaks no TLS.
    #[error("tls failed")]
    Tls(#[source] io::Error),
    /// The connection broke.
    #[error("the request failed")]
    Request(#[source] hyper::Error),
    /// A header or path cannot be sent.
    #[error("the request cannot be built")]
    Build(#[source] http::Error),
    /// What was received cannot be kept.
    #[error("the answer cannot be kept")]
    Keep(#[source] io::Error),
    /// Nothing came for too long.
    #[error("nothing was received for {} s", .0.as_secs())]
    Silence(Duration),
    /// The answer is longer than allowed, or broken.
    #[error("the answer cannot be read")]
    Answer(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Endpoint {
    /// Checks an `http://` or `https://` URL.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(url: &str, trust: &Trust) -> Result<Self, UrlError> {
        let uri: Uri = url.parse().map_err(|_| UrlError("is not a url"))?;
        let tls = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP => false,
            _ => return Err(UrlError("must begin with https:// or http://")),
        };
        let authority = uri.authority().map(|authority| authority.as_str().to_owned()).unwrap_or_default();
        if authority.contains('@') {
            return Err(UrlError("must not contain a user name or password"));
        }
        let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() {
            return Err(UrlError("has no host"));
        }
        let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        Ok(Self { host, port, tls, authority, path, trust: Some(trust.clone()), socket: None })
    }

    /// The same without TLS, by address.
    pub fn plain(address: std::net::SocketAddr) -> Self {
        Self {
            host: address.ip().to_string(),
            port: address.port(),
            tls: false,
            authority: address.to_string(),
            path: "/".to_owned(),
            trust: None,
            socket: None,
        }
    }

    /// A server that listens on a Unix socket.
    pub fn unix(socket: &Path) -> Self {
        Self {
            host: "localhost".to_owned(),
            port: 80,
            tls: false,
            authority: "localhost".to_owned(),
            path: "/".to_owned(),
            trust: None,
            socket: Some(socket.to_owned()),
        }
    }

    /// Whether what is sent can be read by others on its way: it goes to another machine, without TLS.
    pub fn is_open_to_others(&self) -> bool {
        let is_here = self.host == "localhost"
            || self.host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
        !self.tls && self.socket.is_none() && !is_here
    }

    /// Posts JSON. Any status is an answer; only the lack of one is an error.
    ///
    /// # Errors
    /// [`HttpError`].
    pub async fn post(&self, headers: &[(&str, &str)], body: Vec<u8>) -> Result<Answer, HttpError> {
        let request = Request::builder()
            .method(Method::POST)
            .uri(&self.path)
            .header(HOST, &self.authority)
            .header(CONTENT_TYPE, "application/json")
            .header(USER_AGENT, concat!("freezeframe/", env!("CARGO_PKG_VERSION")));
        let request = with_headers(request, headers)?;
        let request = request.body(Full::new(Bytes::from(body))).map_err(HttpError::Build)?;
        exchange(self.connect().await?, request, Duration::MAX, async |response| {
            let (head, body) = response.into_parts();
            let body = Limited::new(body, MAX_ANSWER).collect().await.map_err(HttpError::Answer)?.to_bytes();
            let text = String::from_utf8_lossy(&body);
            let quote = text.chars().take(MAX_QUOTE).map(|c| if c.is_control() { ' ' } else { c }).collect();
            Ok(Answer { status: head.status.as_u16(), retry_after: retry_after(&head.headers), quote })
        })
        .await
    }

    /// Gets `below`, a path relative to this one, and gives the body piece by piece to `keep` where the status is 200; the
    /// status. `silence` is how long nothing may come.
    ///
    /// # Errors
    /// [`HttpError`], also what `keep` says.
    pub async fn get(
        &self,
        below: &str,
        silence: Duration,
        mut keep: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<u16, HttpError> {
        let outgoing = Outgoing { method: "GET", below, headers: &[], body: &[] };
        let request = self.request(&outgoing)?;
        exchange(self.connect_within(silence).await?, request, silence, async |response| {
            let status = response.status().as_u16();
            if status == 200 {
                keep_body(response.into_body(), silence, &mut keep).await?;
            }
            Ok(status)
        })
        .await
    }

    /// Sends a request and gives the body of its answer, whatever the status, piece by piece to `keep`; the head. `silence` is
    /// how long nothing may come.
    ///
    /// # Errors
    /// [`HttpError`], also what `keep` says.
    pub async fn send(
        &self,
        outgoing: &Outgoing<'_>,
        silence: Duration,
        mut keep: impl FnMut(&Head, &[u8]) -> io::Result<()>,
    ) -> Result<Head, HttpError> {
        let request = self.request(outgoing)?;
        exchange(self.connect_within(silence).await?, request, silence, async |response| {
            let (parts, body) = response.into_parts();
            let head = Head { status: parts.status.as_u16(), headers: parts.headers };
            keep_body(body, silence, &mut |bytes| keep(&head, bytes)).await?;
            Ok(head)
        })
        .await
    }

    /// The same for an answer that fits into memory: at most `bytes_max`.
    ///
    /// # Errors
    /// [`HttpError`]
    pub async fn ask(
        &self,
        outgoing: &Outgoing<'_>,
        silence: Duration,
        bytes_max: usize,
    ) -> Result<(Head, Vec<u8>), HttpError> {
        let mut body = Vec::new();
        let head = self.send(outgoing, silence, |_, bytes| {
            if bytes.len() > bytes_max.saturating_sub(body.len()) {
                return Err(io::Error::new(
                    io::ErrorKind::FileTooLarge,
                    format!("it is longer than {bytes_max} bytes"),
                ));
            }
            body.extend_from_slice(bytes);
            Ok(())
        });
        let head = head.await?;
        Ok((head, body))
    }

    fn request(&self, outgoing: &Outgoing<'_>) -> Result<Request<Full<Bytes>>, HttpError> {
        let path = format!("{}/{}", self.path.trim_end_matches('/'), outgoing.below.trim_start_matches('/'));
        let request = Request::builder()
            .method(outgoing.method)
            .uri(path)
            .header(HOST, &self.authority)
            .header(USER_AGENT, concat!("freezeframe/", env!("CARGO_PKG_VERSION")));
        with_headers(request, outgoing.headers)?
            .body(Full::new(Bytes::copy_from_slice(outgoing.body)))
            .map_err(HttpError::Build)
    }

    async fn connect_within(&self, limit: Duration) -> Result<Box<dyn Stream>, HttpError> {
        tokio::time::timeout(limit, self.connect()).await.map_err(|_| HttpError::Silence(limit))?
    }

    async fn connect(&self) -> Result<Box<dyn Stream>, HttpError> {
        if let Some(socket) = &self.socket {
            return Ok(Box::new(UnixStream::connect(socket).await.map_err(HttpError::Connect)?));
        }
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await.map_err(HttpError::Connect)?;
        let Some(trust) = self.trust.as_ref().filter(|_| self.tls) else { return Ok(Box::new(stream)) };
        let name = ServerName::try_from(self.host.clone())
            .map_err(|error| HttpError::Tls(io::Error::new(io::ErrorKind::InvalidInput, error)))?;
        let connector = TlsConnector::from(Arc::clone(&trust.tls));
        Ok(Box::new(connector.connect(name, stream).await.map_err(HttpError::Tls)?))
    }
}

/// A connection, with TLS or without.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// One request on a fresh connection, and what `read` makes of its answer.
async fn exchange<T>(
    stream: Box<dyn Stream>,
    request: Request<Full<Bytes>>,
    head_within: Duration,
    read: impl AsyncFnOnce(Response<Incoming>) -> Result<T, HttpError>,
) -> Result<T, HttpError> {
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(HttpError::Request)?;
    // Both in this task: when the caller's time is up, the connection goes with it.
    let answer = async {
        let head = tokio::time::timeout(head_within, sender.send_request(request)).await;
        read(head.map_err(|_| HttpError::Silence(head_within))?.map_err(HttpError::Request)?).await
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

fn with_headers(
    request: http::request::Builder,
    headers: &[(&str, &str)],
) -> Result<http::request::Builder, HttpError> {
    headers.iter().try_fold(request, |request, (name, value)| {
        let name = HeaderName::try_from(*name).map_err(|error| HttpError::Build(error.into()))?;
        let value = HeaderValue::try_from(*value).map_err(|error| HttpError::Build(error.into()))?;
        Ok(request.header(name, value))
    })
}

async fn keep_body(
    mut body: Incoming,
    silence: Duration,
    keep: &mut impl FnMut(&[u8]) -> io::Result<()>,
) -> Result<(), HttpError> {
    loop {
        let frame = tokio::time::timeout(silence, body.frame()).await;
        let Some(frame) = frame.map_err(|_| HttpError::Silence(silence))? else { return Ok(()) };
        if let Some(bytes) = frame.map_err(HttpError::Request)?.data_ref() {
            keep(bytes).map_err(HttpError::Keep)?;
        }
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
            let error = Endpoint::parse(url, &trust).expect_err(url).to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
        let endpoint = Endpoint::parse("http://[::1]:8080/x?y=z", &trust).expect("a url");
        assert_eq!((endpoint.host.as_str(), endpoint.port, endpoint.tls), ("::1", 8080, false));
        assert_eq!((endpoint.authority.as_str(), endpoint.path.as_str()), ("[::1]:8080", "/x?y=z"));
    }

    /// A server that answers one request with these bytes; its URL.
    async fn server(answer: &'static [u8], and_then: impl Future<Output = ()> + Send + 'static) -> String {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut bytes = vec![0; 4096];
            let length = stream.read(&mut bytes).await.expect("a request");
            assert!(bytes[..length].starts_with(b"GET /base/buildid/ab HTTP/1.1\r\n"));
            stream.write_all(answer).await.expect("sent");
            and_then.await;
        });
        format!("http://{address}/base/")
    }

    async fn got(url: &str, silence: Duration) -> (Result<u16, HttpError>, Vec<u8>) {
        let trust = Trust::system().expect("the system's certificates");
        let endpoint = Endpoint::parse(url, &trust).expect("a url");
        let mut kept = Vec::new();
        let status = endpoint.get("/buildid/ab", silence, |bytes| {
            kept.extend_from_slice(bytes);
            if kept.len() > 8 { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(()) }
        });
        (status.await, kept)
    }

    #[tokio::test]
    async fn a_body_is_given_piece_by_piece() {
        let long = Duration::from_secs(20);
        let url = server(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nabcd", async {}).await;
        assert!(matches!(got(&url, long).await, (Ok(200), kept) if kept == b"abcd"));
        let url = server(b"HTTP/1.1 404 Not Found\r\ncontent-length: 4\r\n\r\nnone", async {}).await;
        assert!(matches!(got(&url, long).await, (Ok(404), kept) if kept.is_empty()));
        let url = server(b"HTTP/1.1 200 OK\r\n\r\nmuch too long", async {}).await;
        assert!(matches!(got(&url, long).await, (Err(HttpError::Keep(_)), _)));
        let url = server(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabcd", async {}).await;
        assert!(matches!(got(&url, long).await, (Err(HttpError::Request(_)), _)));
    }

    #[tokio::test]
    async fn a_server_that_falls_silent_is_left() {
        let silence = Duration::from_millis(50);
        let url = server(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabcd", std::future::pending()).await;
        assert!(matches!(got(&url, silence).await, (Err(HttpError::Silence(_)), _)));
        let url = server(b"", std::future::pending()).await;
        assert!(matches!(got(&url, silence).await, (Err(HttpError::Silence(_)), _)));
    }
}
