//! Where an instance listens, and the byte stream to it: TCP or a Unix socket.
//!
//! It does not know about HTTP, pools or health.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::str::FromStr;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use crate::gather;

/// What stands before the path of a Unix socket.
const UNIX: &str = "unix:";
/// Longest path of a Unix socket, in bytes (`sun_path` with its final NUL has 108 on Linux).
const PATH_MAX: usize = 107;

/// Address of an instance: `127.0.0.1:9000`, `[::1]:9000` or `unix:/run/shop.sock`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Upstream {
    /// An address and a port.
    Tcp(SocketAddr),
    /// The absolute path of a stream socket.
    Unix(PathBuf),
}

/// A text that names no upstream.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected an address like \"127.0.0.1:9000\", \"[::1]:9000\" or \"unix:/run/shop.sock\"")]
pub struct UpstreamError;

impl FromStr for Upstream {
    type Err = UpstreamError;

    fn from_str(text: &str) -> Result<Self, UpstreamError> {
        let Some(path) = text.strip_prefix(UNIX) else {
            let addr: SocketAddr = text.parse().map_err(|_| UpstreamError)?;
            return if addr.port() == 0 { Err(UpstreamError) } else { Ok(Self::Tcp(addr)) };
        };
        let fits = path.starts_with('/') && path.len() <= PATH_MAX && !path.contains('\0');
        if fits { Ok(Self::Unix(path.into())) } else { Err(UpstreamError) }
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(addr) => addr.fmt(f),
            Self::Unix(path) => write!(f, "{UNIX}{}", path.display()),
        }
    }
}

impl From<SocketAddr> for Upstream {
    fn from(addr: SocketAddr) -> Self {
        Self::Tcp(addr)
    }
}

/// A connection to an upstream.
#[derive(Debug)]
pub(crate) enum UpstreamStream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl UpstreamStream {
    /// Connects; small writes are not delayed.
    pub(crate) async fn connect(to: &Upstream) -> io::Result<Self> {
        match to {
            Upstream::Tcp(addr) => {
                let stream = TcpStream::connect(addr).await?;
                stream.set_nodelay(true)?;
                Ok(Self::Tcp(stream))
            }
            Upstream::Unix(path) => Ok(Self::Unix(UnixStream::connect(path).await?)),
        }
    }
}

impl AsyncRead for UpstreamStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for UpstreamStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => gather::poll_write(Pin::new(stream), cx, slices),
            Self::Unix(stream) => gather::poll_write(Pin::new(stream), cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_they_are_shown() {
        for text in ["127.0.0.1:9000", "[::1]:9000", "unix:/run/shop.sock"] {
            assert_eq!(text.parse::<Upstream>().map(|upstream| upstream.to_string()).as_deref(), Ok(text));
        }
        let long = format!("unix:/{}", "a".repeat(PATH_MAX));
        for text in
            ["", "localhost:80", "127.0.0.1", "127.0.0.1:0", "unix:", "unix:run/x", "unix:/a\0b", &long]
        {
            assert_eq!(text.parse::<Upstream>(), Err(UpstreamError), "{text:?}");
        }
    }
}
