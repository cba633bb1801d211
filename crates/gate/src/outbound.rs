//! A request in the form in which it goes out, as often as it has to.

use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, HOST};
use http::uri::{Authority, Scheme};
use http::{Extensions, HeaderMap, Method, Request, Uri, request};
use hyper::body::{Body, Incoming};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use crate::body::RequestBody;
use crate::headers::{Survey, X_DEADLINE, decimal, set_trace};
use crate::route::Instance;
use crate::worker::Worker;

/// Method, target, fields and body, without what differs from attempt to attempt.
pub(crate) struct Outbound {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    survey: Survey,
    is_clients_trace: bool,
    /// Sending it a second time does no harm.
    may_repeat: bool,
    /// It is seen to that a passing body is not too slow.
    has_pace: bool,
    /// Empty, and with the room that the client's request had for them.
    extensions: Extensions,
    source: Source,
}

/// A body as it arrives, and what may be done with it.
pub(crate) struct Intake {
    pub(crate) body: Incoming,
    /// Sending it a second time does no harm.
    pub(crate) may_repeat: bool,
    /// It must not be too slow.
    pub(crate) has_pace: bool,
}

/// Where the body comes from.
enum Source {
    /// At hand, where there is one.
    Kept(Option<Bytes>),
    /// The client's stream, which can be read once.
    Passing(Incoming),
    /// That stream is used up.
    Spent,
}

impl Outbound {
    /// A request whose fields are prepared.
    pub(crate) fn new(parts: request::Parts, survey: Survey, is_clients_trace: bool, intake: Intake) -> Self {
        let request::Parts { method, uri, headers, mut extensions, .. } = parts;
        extensions.clear();
        let Intake { body, may_repeat, has_pace } = intake;
        let source = Source::Passing(body);
        Self { method, uri, headers, survey, is_clients_trace, may_repeat, has_pace, extensions, source }
    }

    /// Whether sending it a second time does no harm.
    pub(crate) fn may_repeat(&self) -> bool {
        self.may_repeat
    }

    /// Whether it may be sent again after it was sent.
    pub(crate) fn is_replayable(&self) -> bool {
        self.may_repeat && self.is_at_hand()
    }

    /// Whether its body can be sent once more, if nobody looked at it.
    pub(crate) fn is_at_hand(&self) -> bool {
        matches!(self.source, Source::Kept(_))
    }

    /// Whether there is still something of the body to come. Where not, it is at hand from then on.
    pub(crate) fn is_passing(&mut self) -> bool {
        let Source::Passing(body) = &self.source else { return false };
        if body.is_end_stream() {
            self.source = Source::Kept(None);
        }
        !self.is_at_hand()
    }

    /// Reads a short body whole; from then on it is at hand.
    ///
    /// # Errors
    /// What is wrong with it, for the client.
    pub(crate) async fn read_whole(&mut self, limit: usize) -> Result<(), &'static str> {
        let Source::Passing(body) = &mut self.source else { return Ok(()) };
        let mut whole = BytesMut::new();
        while let Some(frame) = poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await {
            let frame = frame.map_err(|_| "the request's body broke off")?;
            let Ok(data) = frame.into_data() else { continue };
            if whole.len().saturating_add(data.len()) > limit {
                return Err("the request's body is longer than announced");
            }
            if whole.is_empty() && body.is_end_stream() {
                self.source = Source::Kept(Some(data));
                return Ok(());
            }
            whole.extend_from_slice(&data);
        }
        self.source = Source::Kept(Some(whole.freeze()));
        Ok(())
    }

    /// The request of one attempt; `None` where its body is used up.
    pub(crate) fn request(
        &mut self,
        traceparent: &[u8],
        instance: &Arc<Instance>,
        worker: &Rc<Worker>,
        deadline_ms: Option<u64>,
        http2: bool,
    ) -> Option<Request<RequestBody>> {
        let body = match std::mem::replace(&mut self.source, Source::Spent) {
            Source::Kept(bytes) => {
                self.source = Source::Kept(bytes.clone());
                RequestBody::Kept(bytes.filter(|bytes| !bytes.is_empty()))
            }
            Source::Passing(incoming) => {
                RequestBody::passing(incoming, instance, self.has_pace.then(|| Rc::clone(worker)))
            }
            Source::Spent => return None,
        };
        // A copy stays here only if it may be needed again; what is sent is the map that has room for more.
        let copy = if self.is_at_hand() { self.headers.clone() } else { HeaderMap::new() };
        let mut headers = std::mem::replace(&mut self.headers, copy);
        set_trace(&mut headers, &self.survey, traceparent, self.is_clients_trace);
        if let Some(ms) = deadline_ms {
            headers.insert(X_DEADLINE, decimal(ms));
        }
        if !headers.contains_key(HOST) {
            headers.insert(HOST, instance.host.clone());
        }
        let mut request = Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = if http2 { absolute(&self.uri, &mut headers) } else { self.uri.clone() };
        *request.headers_mut() = headers;
        *request.extensions_mut() = std::mem::take(&mut self.extensions);
        Some(request)
    }

    /// Takes a request back of which nothing was sent.
    pub(crate) fn restore(&mut self, request: Request<RequestBody>) {
        let (parts, body) = request.into_parts();
        if !self.is_at_hand() {
            self.headers = parts.headers;
        }
        if let Some(incoming) = body.into_incoming() {
            self.source = Source::Passing(incoming);
        }
    }
}

/// HTTP/2 names the host in the target, and has no fields between neighbours.
fn absolute(uri: &Uri, headers: &mut HeaderMap) -> Uri {
    headers.remove(CONNECTION);
    let host = headers.remove(HOST);
    let mut parts = uri.clone().into_parts();
    parts.authority = host.and_then(|host| Authority::try_from(host.as_bytes()).ok());
    parts.scheme = parts.authority.is_some().then_some(Scheme::HTTP);
    Uri::from_parts(parts).unwrap_or_else(|_| uri.clone())
}
