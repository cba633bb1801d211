//! TLS towards clients: certificates by server name, read again when their files change.
//!
//! TLS 1.2 and 1.3 by rustls, with its own choice of ciphers. It does not know what is spoken inside, but offers HTTP/2 and
//! HTTP/1.1 by ALPN (RFC 7301).

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::client::verify_server_name;
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsAcceptor;

use crate::route::lock;

/// Certificates at most, and certificates of one chain.
const CERTIFICATES_MAX: usize = 64;
const CHAIN_MAX: usize = 16;

/// How the gate speaks TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The first is for clients that name no server, or one that none is for.
    pub certificates: Vec<CertificateFiles>,
    /// Longest time from a connection's first byte to the end of its handshake, in milliseconds.
    pub handshake_timeout_ms: u64,
    /// Time between two looks whether a file has changed, in milliseconds.
    pub poll_ms: u64,
}

/// Where a certificate is, and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// PEM file with the certificate and those that lead from it to an authority.
    pub chain: PathBuf,
    /// PEM file with its private key.
    pub key: PathBuf,
}

/// Why certificates cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file that cannot be read, or holds something else.
    #[error("{} cannot be read as PEM", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<pem::Error>,
    },
    /// A key that is not the certificate's, or of an unknown kind.
    #[error("{} and its key cannot be used together", path.display())]
    Pair {
        /// The certificate.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<rustls::Error>,
    },
    /// No certificate, or more than anybody needs.
    #[error("expected 1 to {CERTIFICATES_MAX} certificates, each with a chain of 1 to {CHAIN_MAX}")]
    Count,
    /// The cryptography does not work.
    #[error("TLS cannot be set up")]
    Setup {
        /// Why.
        #[source]
        source: Box<rustls::Error>,
    },
}

impl Tls {
    /// Reads all certificates, and keeps nothing.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn check(&self) -> Result<(), TlsError> {
        load(&self.certificates).map(drop)
    }

    /// One certificate for all names, and the default times: 10 seconds for a handshake, a look every 5 seconds.
    pub fn new(chain: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        let files = CertificateFiles { chain: chain.into(), key: key.into() };
        Self { certificates: vec![files], handshake_timeout_ms: 10_000, poll_ms: 5_000 }
    }
}

/// Everything that a handshake needs.
pub(crate) struct Handshakes {
    pub(crate) acceptor: TlsAcceptor,
    settings: Tls,
    certificates: Arc<Certificates>,
    files: Mutex<Files>,
}

/// Where the certificates in use are, and when those files were changed.
struct Files {
    paths: Vec<CertificateFiles>,
    seen: Vec<Option<SystemTime>>,
}

/// The certificates in use; replaced as a whole.
struct Certificates {
    keys: ArcSwap<Vec<Arc<CertifiedKey>>>,
}

impl Handshakes {
    pub(crate) fn new(settings: &Tls) -> Result<Self, TlsError> {
        let setup = |error| TlsError::Setup { source: Box::new(error) };
        let paths = settings.certificates.clone();
        let files = Mutex::new(Files { seen: times(&paths), paths });
        let certificates =
            Arc::new(Certificates { keys: ArcSwap::from_pointee(load(&settings.certificates)?) });
        let provider = Arc::new(ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(setup)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&certificates) as _);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config.ticketer = ring::Ticketer::new().map_err(setup)?;
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Ok(Self { acceptor, settings: settings.clone(), certificates, files })
    }

    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_millis(self.settings.handshake_timeout_ms)
    }

    pub(crate) fn poll_pause(&self) -> Duration {
        Duration::from_millis(self.settings.poll_ms.max(10))
    }

    /// Reads these files, or those in use again. Where one cannot be used, all stay as they were.
    pub(crate) fn reload(&self, new: Option<&[CertificateFiles]>) -> Result<(), TlsError> {
        let mut files = lock(&self.files);
        let paths = new.map_or_else(|| files.paths.clone(), <[CertificateFiles]>::to_vec);
        // Before they are read: a change in between is seen at the next look.
        let seen = times(&paths);
        match load(&paths) {
            Ok(keys) => {
                self.certificates.keys.store(Arc::new(keys));
                *files = Files { paths, seen };
                Ok(())
            }
            Err(error) => {
                // A file that cannot be used is not tried again before it changes.
                if paths == files.paths {
                    files.seen = seen;
                }
                Err(error)
            }
        }
    }

    /// Reads them again if one changed. It blocks as long as the file system does.
    pub(crate) fn reload_if_changed(&self) {
        let is_same = {
            let files = lock(&self.files);
            files.seen == times(&files.paths)
        };
        if is_same {
            return;
        }
        match self.reload(None) {
            Ok(()) => tracing::info!("the certificates changed and were read again"),
            Err(error) => {
                let why = crate::errand::chain(&error);
                tracing::error!(why, "the certificates changed, but cannot be used: the old ones stay");
            }
        }
    }
}

fn times(certificates: &[CertificateFiles]) -> Vec<Option<SystemTime>> {
    let paths = certificates.iter().flat_map(|files| [&files.chain, &files.key]);
    paths.map(|path| std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok()).collect()
}

fn load(certificates: &[CertificateFiles]) -> Result<Vec<Arc<CertifiedKey>>, TlsError> {
    if !(1..=CERTIFICATES_MAX).contains(&certificates.len()) {
        return Err(TlsError::Count);
    }
    certificates.iter().map(|files| load_pair(files).map(Arc::new)).collect()
}

fn load_pair(files: &CertificateFiles) -> Result<CertifiedKey, TlsError> {
    let unreadable = |path: &Path, source| TlsError::File { path: path.into(), source: Box::new(source) };
    let chain =
        CertificateDer::pem_file_iter(&files.chain).map_err(|error| unreadable(&files.chain, error))?;
    let chain: Result<Vec<_>, _> = chain.take(CHAIN_MAX + 1).collect();
    let chain = chain.map_err(|error| unreadable(&files.chain, error))?;
    if !(1..=CHAIN_MAX).contains(&chain.len()) {
        return Err(TlsError::Count);
    }
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| unreadable(&files.key, error))?;
    CertifiedKey::from_der(chain, key, &ring::default_provider())
        .map_err(|error| TlsError::Pair { path: files.chain.clone(), source: Box::new(error) })
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let keys = self.keys.load();
        let name = hello.server_name().and_then(|name| ServerName::try_from(name).ok());
        let named = name.and_then(|name| keys.iter().find(|key| is_for(key, &name)));
        named.or_else(|| keys.first()).cloned()
    }
}

/// Whether a certificate is for this name, by the same rules by which its clients will judge it.
fn is_for(key: &CertifiedKey, name: &ServerName<'_>) -> bool {
    let certificate = key.cert.first().map(ParsedCertificate::try_from);
    certificate.is_some_and(|parsed| parsed.is_ok_and(|parsed| verify_server_name(&parsed, name).is_ok()))
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates").finish_non_exhaustive()
    }
}
