//! A server over a fake daemon, and requests that are written byte by byte.

use std::sync::Arc;

use freezeframe_api::{Access, PageFile, router, serve_tcp};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{Fake, sample};

/// The data directory's token.
pub const TOKEN: &str = "the-token-of-this-test";

/// A page of two files.
pub const PAGE: &[PageFile] = &[
    PageFile { path: "/index.html", body: b"<!doctype html>page", gzip: None },
    PageFile { path: "/assets/index-0a.js", body: b"let it = 1", gzip: Some(b"smaller") },
];

/// A server with one incident.
pub struct Server {
    pub address: std::net::SocketAddr,
    pub fake: Arc<Fake>,
    pub end: tokio::sync::watch::Sender<bool>,
    pub task: tokio::task::JoinHandle<()>,
}

/// What it answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    /// `freezeframe_session_PORT=…` as a browser sends it back.
    pub fn session(&self) -> String {
        self.header("set-cookie").and_then(|cookie| cookie.split(';').next()).expect("a cookie").to_owned()
    }
}

pub async fn start(access: Access, t: impl Fn(&str) -> String) -> Server {
    let fake = Arc::new(Fake::new(sample(t)));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (end, ended) = tokio::sync::watch::channel(false);
    let task = tokio::spawn(serve_tcp(listener, router(Arc::clone(&fake) as _, access, PAGE.into()), ended));
    Server { address, fake, end, task }
}

/// Writes a request as it stands and reads until the server closes.
pub async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &str) -> Answer {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").expect("a complete head");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

impl Server {
    pub async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let host = if headers.iter().any(|(name, _)| *name == "Host") { "" } else { "Host: localhost\r\n" };
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let request = format!(
            "{method} {path} HTTP/1.1\r\n{host}{headers}Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        exchange(TcpStream::connect(self.address).await.unwrap(), &request).await
    }

    pub async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.send("GET", path, headers, "").await
    }

    /// As the page does it with the data directory's token.
    pub async fn log_in(&self, token: &str) -> Answer {
        self.log_in_by_json(&serde_json::json!({ "token": token })).await
    }

    /// As the page does it.
    pub async fn log_in_by_json(&self, body: &serde_json::Value) -> Answer {
        let headers = [("Content-Type", "application/json"), ("Sec-Fetch-Site", "same-origin")];
        self.send("POST", "/api/v1/login", &headers, &body.to_string()).await
    }
}

pub fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}
