//! TLS with clients: protocols by ALPN, certificates by name, and certificates that change.
#![allow(missing_docs)]

mod common;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use common::*;
use freezeframe_gate::{CertificateFiles, Config, Gate, GateError, Observer, Tls};
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const OK: &str = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok";

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tls").join(name)
}

fn tls(names: &[&str]) -> Tls {
    let files = |name: &&str| CertificateFiles {
        chain: file(&format!("{name}.pem")),
        key: file(&format!("{name}.key")),
    };
    let mut tls = Tls::new("", "");
    tls.certificates = names.iter().map(files).collect();
    tls
}

async fn connect(gate: &Gate, name: &str, alpn: &[&[u8]]) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file("ca.pem")).expect("the authority") {
        roots.add(certificate.expect("a certificate")).expect("usable");
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let mut config = config.expect("versions").with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    let stream = TcpStream::connect(gate.local_addr()).await.expect("the gate listens");
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    patiently("a handshake", TlsConnector::from(Arc::new(config)).connect(name, stream)).await
}

/// The names of the certificate that a client is shown.
async fn shown(gate: &Gate, name: &str) -> Result<(), String> {
    connect(gate, name, &[]).await.map(|_| ()).map_err(|error| error.to_string())
}

#[tokio::test]
async fn both_protocols_are_spoken_and_instances_know_it_was_https() {
    let one = Backend::bind().await;
    let routes = one_route(&[one.addr], |_| ());
    let (gate, _) = start(Config { tls: Some(tls(&["shop"])), routes, ..config() });
    let stream = connect(&gate, "shop.example", &[b"h2", b"http/1.1"]).await.expect("TLS");
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .expect("HTTP/2");
    tokio::spawn(connection);
    let request = Request::get("https://shop.example/a").body(Empty::<Bytes>::new()).expect("valid");
    let response = tokio::spawn(client.send_request(request));
    let (mut instance, head) = one.request().await;
    assert_eq!(field(&head, "x-forwarded-proto"), Some("https"));
    assert_eq!(field(&head, "forwarded"), Some("for=127.0.0.1;host=\"shop.example\";proto=https"));
    instance.send(OK).await;
    let response = patiently("an answer", response).await.expect("no panic").expect("answered");
    assert_eq!(response.into_body().collect().await.expect("whole").to_bytes(), "ok");

    let stream = connect(&gate, "localhost", &[b"http/1.1"]).await.expect("TLS");
    let (mut client, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("HTTP/1");
    tokio::spawn(connection);
    let request = Request::get("/b").header("host", "localhost").body(Empty::<Bytes>::new()).expect("valid");
    let response = tokio::spawn(client.send_request(request));
    let (mut instance, _) = one.request().await;
    instance.send(OK).await;
    assert_eq!(patiently("an answer", response).await.expect("no panic").expect("answered").status(), 200);
}

#[tokio::test]
async fn the_certificate_is_the_one_for_the_name() {
    let (gate, _) = start(Config { tls: Some(tls(&["shop", "wild"])), ..config() });
    for name in ["shop.example", "localhost", "a.eu.example"] {
        assert_eq!(shown(&gate, name).await, Ok(()), "{name}");
    }
    let error = shown(&gate, "other.example").await.expect_err("no certificate is for it");
    assert!(error.contains("shop.example"), "it is shown the first: {error}");
}

#[tokio::test]
async fn changed_files_are_read_again_and_broken_ones_are_not_used() {
    let directory = tempfile::tempdir().expect("a directory");
    let put = |from: &str, to: &str| {
        // As careful administrators do it: a file is complete or not there.
        let new = directory.path().join("new");
        std::fs::copy(file(from), &new).expect("copied");
        std::fs::File::open(&new)
            .and_then(|file| file.set_modified(std::time::SystemTime::now()))
            .expect("touched");
        std::fs::rename(&new, directory.path().join(to)).expect("renamed");
    };
    put("shop.pem", "tls.pem");
    put("shop.key", "tls.key");
    let mut tls = Tls::new(directory.path().join("tls.pem"), directory.path().join("tls.key"));
    tls.poll_ms = 20;
    let certificates = tls.certificates.clone();
    let (gate, _) = start(Config { tls: Some(tls), ..config() });
    assert_eq!(shown(&gate, "shop.example").await, Ok(()));
    put("README.md", "tls.pem");
    let error = gate.use_certificates(&certificates).expect_err("no certificate in it").to_string();
    assert!(error.starts_with("expected 1 to"), "{error}");
    put("wild.pem", "tls.pem");
    let error = gate.use_certificates(&certificates).expect_err("another's key").to_string();
    assert!(error.ends_with("cannot be used together"), "{error}");
    assert_eq!(shown(&gate, "shop.example").await, Ok(()), "the old one stays");
    put("wild.key", "tls.key");
    // Nobody says so: it is noticed.
    patiently("the new certificate", async { while shown(&gate, "a.eu.example").await.is_err() {} }).await;
    // Files of other names are in use at once, and looked at from then on.
    let other = [CertificateFiles { chain: file("shop.pem"), key: file("shop.key") }];
    gate.use_certificates(&other).expect("usable");
    assert_eq!(shown(&gate, "shop.example").await, Ok(()));
    shown(&gate, "a.eu.example").await.expect_err("that certificate is not in use any more");
}

#[tokio::test]
async fn a_client_that_does_not_finish_its_handshake_is_closed() {
    let tls = Tls { handshake_timeout_ms: 50, ..tls(&["shop"]) };
    let (gate, _) = start(Config { tls: Some(tls), ..config() });
    for beginning in [&b""[..], b"\x16\x03\x01\x02\x00\x01"] {
        let mut client = Wire::connect(&gate).await;
        client.send(beginning).await;
        assert_eq!(client.rest().await, "");
    }
    // Plain HTTP is no handshake at all; what comes back is at most an alert.
    let mut client = Wire::connect(&gate).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(client.rest().await.len() < 16);
}

#[tokio::test]
async fn what_was_agreed_on_is_what_is_spoken() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (gate, recorder) = start(Config { tls: Some(tls(&["shop"])), ..config() });
    let mut stream = connect(&gate, "shop.example", &[b"h2"]).await.expect("TLS");
    stream.write_all(b"GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n").await.expect("written");
    let mut rest = Vec::new();
    let _ =
        patiently("the end", tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut rest)))
            .await;
    assert!(rest.is_empty(), "{}", String::from_utf8_lossy(&rest));
    gate.stop(Duration::ZERO);
    drop(recorder);
}

#[test]
fn unusable_certificates_are_an_error_at_the_start() {
    struct Nobody;
    impl Observer for Nobody {
        fn exchange(&self, _: &freezeframe_model::Exchange) {}
    }
    let start = |tls: Tls| {
        let config = Config { tls: Some(tls), ..config() };
        Gate::start(config, Arc::new(Nobody)).map(|_| ())
    };
    assert!(matches!(start(Tls::new("/nowhere.pem", "/nowhere.key")), Err(GateError::Tls { .. })));
    assert!(matches!(start(Tls::new(file("shop.pem"), file("wild.key"))), Err(GateError::Tls { .. })));
}
