//! Interim responses of an instance (102, 103; RFC 9110 section 15.2) on their way to an HTTP/1.1 client.
//!
//! The HTTP library's server has no way to send them, but it flushes the stream whenever it has nothing to write, and while a
//! request is worked on that is always before its response. So they are left here as bytes, [`ClientIo`](crate::client_io) writes
//! them at the next flush, and the request waits for that before it answers. HTTP/2 frames its own way: nothing of this is
//! for it. This module does not know the stream, nor requests.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use http::{HeaderMap, HeaderName, StatusCode};

use crate::route::lock;

/// Bytes that wait, and interim responses of one request; further ones are left out, as any of them may be.
const BYTES_MAX: usize = 16 * 1024;
const COUNT_MAX: u32 = 32;
/// Fields that have no place in them, besides those that `Connection` names.
const NOT_IN_THEM: [HeaderName; 6] = [
    http::header::CONNECTION,
    http::header::CONTENT_LENGTH,
    http::header::TRANSFER_ENCODING,
    http::header::UPGRADE,
    http::header::TRAILER,
    HeaderName::from_static("keep-alive"),
];

/// Interim responses between one client's request and its stream.
#[derive(Debug, Default)]
pub(crate) struct Interim {
    /// Whether there may be something to write: looked at for every write, while the rest is locked.
    any: AtomicBool,
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    bytes: Vec<u8>,
    /// So many of them are written.
    written: usize,
    /// Of the request that is worked on.
    count: u32,
    open: bool,
    /// Of the request: it waits for them to be written, or is to be polled so that they are.
    waker: Option<Waker>,
}

impl Interim {
    /// A request is sent to an instance whose interim responses its client understands.
    pub(crate) fn open(self: &Arc<Self>) -> impl Fn(StatusCode, &HeaderMap) + Send + Sync + 'static {
        lock(&self.queue).open = true;
        let interim = Arc::clone(self);
        move |status, headers| interim.put(status, headers)
    }

    fn put(&self, status: StatusCode, headers: &HeaderMap) {
        // The gate itself answers an expectation, and an upgrade is no interim response.
        if matches!(status, StatusCode::CONTINUE | StatusCode::SWITCHING_PROTOCOLS) {
            return;
        }
        let text = write(status, headers);
        let waker = {
            let mut queue = lock(&self.queue);
            let fits = queue.bytes.len().saturating_add(text.len()) <= BYTES_MAX;
            if !queue.open || !fits || queue.count == COUNT_MAX {
                return;
            }
            queue.count += 1;
            queue.bytes.extend(text);
            self.any.store(true, Ordering::Relaxed);
            queue.waker.take()
        };
        waker.into_iter().for_each(Waker::wake);
    }

    /// Whether there is nothing to write.
    pub(crate) fn is_written(&self) -> bool {
        !self.any.load(Ordering::Relaxed)
    }

    /// Ready when everything is written; until then the task is woken for what comes.
    pub(crate) fn poll_written(&self, cx: &Context<'_>) -> Poll<()> {
        let mut queue = lock(&self.queue);
        match &mut queue.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        if queue.bytes.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// The request has its final response: what was not begun to be written would come too late.
    pub(crate) fn close(&self) {
        let mut queue = lock(&self.queue);
        (queue.open, queue.count, queue.waker) = (false, 0, None);
        if queue.written == 0 {
            queue.bytes.clear();
            self.any.store(false, Ordering::Relaxed);
        }
    }

    /// Has `write` write what there is; `begun` where only the rest of what was begun is wanted.
    pub(crate) fn poll_write<E>(
        &self,
        begun: bool,
        mut write: impl FnMut(&[u8]) -> Poll<Result<usize, E>>,
    ) -> Poll<Result<(), E>> {
        if self.is_written() {
            return Poll::Ready(Ok(()));
        }
        let mut queue = lock(&self.queue);
        if begun && queue.written == 0 {
            return Poll::Ready(Ok(()));
        }
        while let Some(rest) = queue.bytes.get(queue.written..).filter(|rest| !rest.is_empty()) {
            match write(rest) {
                Poll::Ready(Ok(0)) => break,
                Poll::Ready(Ok(n)) => queue.written += n,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        queue.bytes.clear();
        queue.written = 0;
        self.any.store(false, Ordering::Relaxed);
        let waker = queue.waker.take();
        drop(queue);
        waker.into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(()))
    }
}

pub(crate) fn write(status: StatusCode, headers: &HeaderMap) -> Vec<u8> {
    let named = |name: &HeaderName| {
        let lines = headers.get_all(http::header::CONNECTION).into_iter();
        let mut options = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
        options.any(|option| option.trim_ascii().eq_ignore_ascii_case(name.as_str().as_bytes()))
    };
    let reason = status.canonical_reason().unwrap_or_default();
    let mut text = Vec::new();
    // Writing to a vector does not fail.
    let _ = write!(text, "HTTP/1.1 {} {reason}\r\n", status.as_str());
    for (name, value) in headers.iter().filter(|(name, _)| !NOT_IN_THEM.contains(name) && !named(name)) {
        text.extend(name.as_str().as_bytes());
        text.extend(b": ");
        text.extend(value.as_bytes());
        text.extend(b"\r\n");
    }
    text.extend(b"\r\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn hint(size: usize) -> HeaderMap {
        let value = HeaderValue::try_from("x".repeat(size)).expect("valid");
        HeaderMap::from_iter([(http::header::LINK, value)])
    }

    /// What is written at a flush, by a stream that takes `at_once` bytes and then none.
    fn written(interim: &Interim, begun: bool, mut at_once: usize) -> (Vec<u8>, bool) {
        let mut bytes = Vec::new();
        let done = interim.poll_write::<()>(begun, |rest| {
            let n = rest.len().min(at_once);
            at_once -= n;
            bytes.extend(&rest[..n]);
            if n == 0 { Poll::Pending } else { Poll::Ready(Ok(n)) }
        });
        (bytes, done.is_ready())
    }

    #[test]
    fn what_was_begun_is_finished_and_what_was_not_is_left_out() {
        let interim = Arc::new(Interim::default());
        let put = interim.open();
        put(StatusCode::EARLY_HINTS, &hint(1));
        let whole = "HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n";
        assert_eq!(written(&interim, true, 100), (Vec::new(), true), "nothing was begun");
        let (first, done) = written(&interim, false, 10);
        assert_eq!((first.as_slice(), done), (&whole.as_bytes()[..10], false));
        interim.close();
        assert_eq!(written(&interim, true, 100), (whole.as_bytes()[10..].to_vec(), true));
        put(StatusCode::EARLY_HINTS, &hint(1));
        assert_eq!(written(&interim, false, 100), (Vec::new(), true), "nobody waits for it any more");
        let put = interim.open();
        put(StatusCode::PROCESSING, &HeaderMap::new());
        interim.close();
        assert_eq!(written(&interim, false, 100), (Vec::new(), true), "too late");
    }

    #[test]
    fn they_are_bounded_and_carry_nothing_that_is_between_neighbours() {
        let interim = Arc::new(Interim::default());
        let put = interim.open();
        put(StatusCode::EARLY_HINTS, &hint(BYTES_MAX));
        put(StatusCode::CONTINUE, &HeaderMap::new());
        assert_eq!(written(&interim, false, 100), (Vec::new(), true));
        (0..100).for_each(|_| put(StatusCode::PROCESSING, &HeaderMap::new()));
        let (bytes, _) = written(&interim, false, usize::MAX);
        assert_eq!(bytes.len(), "HTTP/1.1 102 Processing\r\n\r\n".len() * COUNT_MAX as usize);
        let fields =
            [("connection", "x-hop, close"), ("x-hop", "1"), ("content-length", "3"), ("link", "</a>")];
        let fields =
            fields.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        let text = write(StatusCode::EARLY_HINTS, &HeaderMap::from_iter(fields));
        assert_eq!(text, b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n");
    }
}
