//! The byte stream of one client: tells HTTP/2 from HTTP/1 by its first bytes, and lets [`Framing`] look at HTTP/1.
//!
//! It does not know about requests; the task that serves one tells it through [`Switch`] when the stream became a tunnel.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};
use tokio_rustls::server::TlsStream;

use crate::framing::Framing;
use crate::gather;
use crate::interim::Interim;

/// How an HTTP/2 client with prior knowledge begins (RFC 9113 section 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What is put in the place of an offending line's end, and of everything after it: the HTTP library takes a NUL for an
/// error wherever lines are expected, answers 400 where it still can, and closes the connection.
pub(crate) const SPOILER: &[u8] = b"\0\r\n\r\n";
/// How long, and for how many bytes, a client may go on sending after it was told that its request is refused.
const LINGER_TIME: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 1024 * 1024;

/// What the two ends of a connection's handling tell each other. (Atomic only because upgraded streams have to be `Send`.)
#[derive(Debug, Default)]
pub(crate) struct Switch {
    /// What is to be said before a response.
    pub(crate) interim: Arc<Interim>,
    tunnel: AtomicBool,
    early: AtomicBool,
}

impl Switch {
    /// From now on the stream is no HTTP. False where bytes came before the upgrade was granted: they were looked at as HTTP,
    /// and no client of a known protocol sends any (RFC 6455 section 4.1), so such a stream must not become a tunnel.
    pub(crate) fn become_tunnel(&self) -> bool {
        self.tunnel.store(true, Ordering::Relaxed);
        !self.early.load(Ordering::Relaxed)
    }
}

/// What bytes come from: TCP, or TLS over it.
#[derive(Debug)]
pub(crate) enum ClientStream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// A client's connection.
#[derive(Debug)]
pub(crate) struct ClientIo {
    stream: ClientStream,
    /// How long a client may take no byte of what is sent.
    stall_max: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
    /// What is handed on before the stream's own bytes: the first ones, read to tell the protocol, or the spoiler.
    prefix: [u8; PREFACE.len()],
    prefix_at: usize,
    prefix_len: usize,
    is_spoiled: bool,
    is_http2: bool,
    has_written: bool,
    /// Only for HTTP/1, and only until it becomes a tunnel.
    framing: Option<Framing>,
    switch: Arc<Switch>,
    closing: Closing,
}

/// How far the connection is closed.
#[derive(Debug)]
enum Closing {
    No,
    /// Our side is; so many bytes of the client's were thrown away since.
    WriteSide {
        discarded: usize,
        until: Option<Pin<Box<Sleep>>>,
    },
}

impl ClientIo {
    /// Reads until the protocol is clear: one byte is enough for every method but `P…`.
    ///
    /// # Errors
    /// Where the stream ends or fails before.
    pub(crate) async fn sniff(
        mut stream: ClientStream,
        switch: Arc<Switch>,
        stall_max: Duration,
    ) -> io::Result<Self> {
        let (mut prefix, mut len) = ([0; PREFACE.len()], 0);
        while len < PREFACE.len() && prefix.get(..len) == PREFACE.get(..len) {
            let read = stream.read(prefix.get_mut(len..).unwrap_or_default()).await?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            len += read;
        }
        let is_http2 = prefix == *PREFACE;
        // What was agreed on counts: a client that begins differently is no honest one.
        let agreed = stream.alpn();
        if agreed.is_some_and(|protocol| (protocol == b"h2") != is_http2) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let framing = (!is_http2).then(Framing::new);
        Ok(Self {
            stream,
            stall_max,
            stalled: None,
            prefix,
            prefix_at: 0,
            prefix_len: len,
            is_spoiled: false,
            is_http2,
            has_written: false,
            framing,
            switch,
            closing: Closing::No,
        })
    }

    pub(crate) fn is_http2(&self) -> bool {
        self.is_http2
    }

    /// Reads on for a moment where the client is still sending: closing a socket with unread bytes resets the connection,
    /// and the client would lose the answer that explains why (RFC 9112 section 9.6).
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Closing::WriteSide { discarded, until } = &mut self.closing else { return Poll::Ready(()) };
        let mut bytes = [0; 4096];
        while *discarded < LINGER_BYTES {
            let mut buf = ReadBuf::new(&mut bytes);
            match Pin::new(&mut self.stream).poll_read(cx, &mut buf) {
                Poll::Ready(Ok(())) if !buf.filled().is_empty() => *discarded += buf.filled().len(),
                Poll::Ready(_) => return Poll::Ready(()),
                // Nothing came after the last request: the usual case.
                Poll::Pending if *discarded == 0 => return Poll::Ready(()),
                Poll::Pending => {
                    return until.get_or_insert_with(|| Box::pin(sleep(LINGER_TIME))).as_mut().poll(cx);
                }
            }
        }
        Poll::Ready(())
    }

    fn put_prefix(&mut self, buf: &mut ReadBuf<'_>) {
        let rest = self.prefix.get(self.prefix_at..self.prefix_len).unwrap_or_default();
        let taken = rest.len().min(buf.remaining());
        buf.put_slice(rest.get(..taken).unwrap_or_default());
        self.prefix_at += taken;
    }

    /// Looks at what came after `start`, and spoils it from the first offence on.
    fn inspect(&mut self, buf: &mut ReadBuf<'_>, start: usize) {
        let Some(framing) = &mut self.framing else { return };
        if framing.awaits_upgrade() && self.switch.tunnel.load(Ordering::Relaxed) {
            self.framing = None;
            return;
        }
        let result = framing.inspect(buf.filled().get(start..).unwrap_or_default());
        self.switch.early.store(framing.has_early_bytes(), Ordering::Relaxed);
        if let Err(at) = result {
            buf.set_filled(start + at);
            self.is_spoiled = true;
            for (to, from) in self.prefix.iter_mut().zip(SPOILER) {
                *to = *from;
            }
            (self.prefix_at, self.prefix_len) = (0, SPOILER.len());
            // There is room for a byte at least, and nothing at all would mean the stream's end.
            self.put_prefix(buf);
        }
    }
}

impl AsyncRead for ClientIo {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let start = buf.filled().len();
        let has_prefix = this.prefix_at < this.prefix_len;
        if has_prefix {
            this.put_prefix(buf);
        }
        if this.is_spoiled {
            return Poll::Ready(Ok(()));
        }
        if !has_prefix {
            ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
        }
        this.inspect(buf, start);
        Poll::Ready(Ok(()))
    }
}

impl ClientStream {
    fn alpn(&self) -> Option<&[u8]> {
        match self {
            Self::Plain(_) => None,
            Self::Tls(stream) => stream.get_ref().1.alpn_protocol(),
        }
    }
}

impl ClientIo {
    /// Writes interim responses: all of them where nothing of a response waits to be written, else what was begun.
    fn poll_interim(&mut self, cx: &mut Context<'_>, begun: bool) -> Poll<io::Result<()>> {
        let interim = &self.switch.interim;
        let stream = &mut self.stream;
        let result = interim.poll_write(begun, |bytes| Pin::new(&mut *stream).poll_write(cx, bytes));
        if result.is_ready() { result } else { self.watched(cx, result) }
    }

    /// What became of a write; where the client takes nothing for too long, that is an error. (A tunnel may rest.)
    fn watched<T>(&mut self, cx: &mut Context<'_>, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.stalled = None;
            return result;
        }
        if self.switch.tunnel.load(Ordering::Relaxed) {
            return Poll::Pending;
        }
        let stall_max = self.stall_max;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(stall_max)));
        stalled.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncWrite for ClientIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_interim(cx, true))?;
        self.has_written = true;
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.watched(cx, result)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_interim(cx, false))?;
        let result = Pin::new(&mut self.stream).poll_flush(cx);
        self.watched(cx, result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if matches!(self.closing, Closing::No) {
            let result = Pin::new(&mut self.stream).poll_shutdown(cx);
            ready!(self.watched(cx, result))?;
            // A tunnel's other direction goes on.
            if self.is_http2 || self.switch.tunnel.load(Ordering::Relaxed) {
                return Poll::Ready(Ok(()));
            }
            self.closing = Closing::WriteSide { discarded: 0, until: None };
        }
        self.poll_linger(cx).map(Ok)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_interim(cx, true))?;
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.watched(cx, result)
    }

    /// The HTTP/2 library asks before its first write how much it should copy: where writes take several buffers, it writes each
    /// frame above 256 bytes by itself; where they do not, it gathers frames of up to 1,024 bytes, and the short answers of many
    /// streams go out in one write. It asks again before each write of a long frame, which is best written with its head.
    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored() && (self.has_written || !self.is_http2)
    }
}

impl AsyncRead for ClientStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => gather::poll_write(Pin::new(stream), cx, slices),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }
}
