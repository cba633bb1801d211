//! Receivers on loopback that behave as told: one for HTTP, one for SMTP, each with or without TLS.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

/// What to do with the next attempt; the last one is repeated.
#[derive(Clone, Debug)]
pub(crate) enum Behaviour {
    Accept,
    /// Status 500 with these header lines (each ended by CRLF), or SMTP 451.
    Fail(&'static str),
    /// Status 400, or SMTP 550.
    Reject,
    /// Takes the connection and never says a word.
    Hang,
    /// Answers with more than anybody wants to read.
    Flood,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http,
    Smtp,
}

pub(crate) struct Receiver {
    pub(crate) port: u16,
    /// Head and body of each attempt, as soon as it was answered (or will never be).
    pub(crate) seen: mpsc::UnboundedReceiver<(String, String)>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) fn certificate(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tls").join(name)
}

fn acceptor() -> TlsAcceptor {
    let chain = CertificateDer::pem_file_iter(certificate("server.pem")).expect("the certificate");
    let chain: Vec<_> = chain.collect::<Result<_, _>>().expect("a certificate");
    let key = PrivateKeyDer::from_pem_file(certificate("server.key")).expect("the key");
    let config =
        rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("protocol versions")
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .expect("a key that fits");
    TlsAcceptor::from(Arc::new(config))
}

impl Receiver {
    pub(crate) async fn start(protocol: Protocol, tls: bool, script: &[Behaviour]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (told, seen) = mpsc::unbounded_channel();
        let script = script.to_vec();
        let acceptor = tls.then(acceptor);
        let task = tokio::spawn(async move {
            // Connections that hang stay open until the test ends.
            let mut hanging = Vec::new();
            for attempt in 0.. {
                let Ok((stream, _)) = listener.accept().await else { return };
                let behaviour = script.get(attempt).or(script.last()).cloned().unwrap_or(Behaviour::Accept);
                if matches!(behaviour, Behaviour::Hang) {
                    hanging.push(stream);
                    let _ = told.send((String::new(), String::new()));
                    continue;
                }
                let exchanged = match &acceptor {
                    Some(acceptor) => match acceptor.accept(stream).await {
                        Ok(stream) => exchange(protocol, stream, behaviour).await,
                        Err(_) => None,
                    },
                    None => exchange(protocol, stream, behaviour).await,
                };
                let _ = told.send(exchanged.unwrap_or_default());
            }
        });
        Self { port, seen, task }
    }

    /// The next attempt's head and body.
    pub(crate) async fn next(&mut self) -> (String, String) {
        let limit = std::time::Duration::from_secs(30);
        tokio::time::timeout(limit, self.seen.recv()).await.expect("an attempt in time").expect("a receiver")
    }
}

async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(
    protocol: Protocol,
    stream: S,
    behaviour: Behaviour,
) -> Option<(String, String)> {
    let stream = BufReader::new(stream);
    match protocol {
        Protocol::Http => http(stream, behaviour).await,
        Protocol::Smtp => smtp(stream, behaviour).await,
    }
}

async fn http<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: BufReader<S>,
    behaviour: Behaviour,
) -> Option<(String, String)> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).await.ok()? == 0 {
            return None;
        }
    }
    let length =
        head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length?];
    stream.read_exact(&mut body).await.ok()?;
    let answer = match behaviour {
        Behaviour::Accept | Behaviour::Hang => {
            "HTTP/1.1 202 Accepted\r\ncontent-length: 2\r\n\r\nok".to_owned()
        }
        Behaviour::Fail(headers) => {
            format!("HTTP/1.1 500 Internal Server Error\r\n{headers}content-length: 5\r\n\r\noops\n")
        }
        Behaviour::Reject => "HTTP/1.1 400 Bad Request\r\ncontent-length: 3\r\n\r\nbad".to_owned(),
        Behaviour::Flood => {
            format!("HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n{}", "x".repeat(1_000_000))
        }
    };
    // A client that has read enough may close before everything is written.
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.flush().await;
    Some((head, String::from_utf8_lossy(&body).into_owned()))
}

/// RFC 5321, as much of it as a client needs.
async fn smtp<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: BufReader<S>,
    behaviour: Behaviour,
) -> Option<(String, String)> {
    stream.write_all(b"220 localhost ESMTP\r\n").await.ok()?;
    stream.flush().await.ok()?;
    let (mut head, mut body) = (String::new(), String::new());
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
            return Some((head, body));
        }
        head.push_str(&line);
        let word = line.get(..4).unwrap_or_default().to_uppercase();
        let answer = match (word.as_str(), &behaviour) {
            ("EHLO", Behaviour::Flood) => format!("250-{}\r\n", "x".repeat(900)).repeat(1000),
            ("MAIL", Behaviour::Fail(_)) => "451 try again later\r\n".to_owned(),
            ("MAIL", Behaviour::Reject) => "550 not wanted\r\n".to_owned(),
            ("DATA", _) => {
                stream.write_all(b"354 go on\r\n").await.ok()?;
                stream.flush().await.ok()?;
                while !body.ends_with("\r\n.\r\n") {
                    if stream.read_line(&mut body).await.ok()? == 0 {
                        return None;
                    }
                }
                "250 taken\r\n".to_owned()
            }
            ("QUIT", _) => {
                let _ = stream.write_all(b"221 bye\r\n").await;
                return Some((head, body));
            }
            _ => "250 ok\r\n".to_owned(),
        };
        stream.write_all(answer.as_bytes()).await.ok()?;
        stream.flush().await.ok()?;
    }
}
