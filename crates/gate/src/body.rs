//! The bodies that pass through: one frame at a time, never collected here.

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use freezeframe_model::Outcome;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use crate::flight::Flight;
use crate::pace::Pace;
use crate::pool::Connection;
use crate::route::Instance;
use crate::slot::Verdict;
use crate::worker::Worker;

/// Body of a request on its way to an instance.
pub(crate) enum RequestBody {
    /// None, or kept whole for a second attempt.
    Kept(Option<Bytes>),
    /// As the client sends it.
    Passing(Upload),
}

/// A request that a client is still sending.
pub(crate) struct Upload {
    incoming: Incoming,
    instance: Arc<Instance>,
    /// Where it must have a pace: who looks at it, and its account, from the first time that the client is waited for.
    worker: Option<Rc<Worker>>,
    pace: Option<Rc<Pace>>,
}

/// Why a request's body ends before its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RequestBroke {
    /// The client broke it off, or it was malformed.
    #[error("the client broke its request off")]
    Client(#[source] hyper::Error),
    /// The client sends less than it must.
    #[error("the client sends its request too slowly")]
    TooSlow,
}

impl RequestBody {
    /// `worker` is given where the body must have a pace.
    pub(crate) fn passing(incoming: Incoming, instance: &Arc<Instance>, worker: Option<Rc<Worker>>) -> Self {
        Self::Passing(Upload { incoming, instance: Arc::clone(instance), worker, pace: None })
    }

    /// The client's own body, where it was not touched yet.
    pub(crate) fn into_incoming(self) -> Option<Incoming> {
        match self {
            Self::Kept(_) => None,
            Self::Passing(upload) => Some(upload.incoming),
        }
    }
}

impl Upload {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, RequestBroke>>> {
        if self.pace.as_ref().is_some_and(|pace| pace.is_too_slow()) {
            return Poll::Ready(Some(Err(RequestBroke::TooSlow)));
        }
        let frame = Pin::new(&mut self.incoming).poll_frame(cx);
        match &frame {
            Poll::Ready(Some(Ok(frame))) => {
                self.instance.touch(Instant::now());
                if let Some(pace) = &self.pace {
                    pace.passed(frame.data_ref().map_or(0, Bytes::len));
                }
            }
            Poll::Ready(_) => {}
            Poll::Pending => {
                if let Some(worker) = &self.worker {
                    self.pace.get_or_insert_with(|| Pace::of_request(worker)).waits_with(cx);
                }
            }
        }
        frame.map_err(RequestBroke::Client)
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = RequestBroke;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestBroke>>> {
        match self.get_mut() {
            Self::Kept(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Passing(upload) => upload.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Kept(bytes) => bytes.is_none(),
            Self::Passing(upload) => upload.incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Kept(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Self::Passing(upload) => upload.incoming.size_hint(),
        }
    }
}

/// Body of a response on its way to the client.
pub(crate) enum ResponseBody {
    /// The gate's own words.
    Own(Option<Bytes>),
    /// An instance's.
    Passing(Passing),
}

/// A response that an instance is still sending.
pub(crate) struct Passing {
    incoming: Incoming,
    flight: Box<Flight>,
    /// Goes back to the pool once the body is over.
    connection: Option<Connection>,
    /// From the second frame on, over HTTP/2 from the head on, where there must be a pace: its account, and the length of the frame that the client has to take.
    pace: Option<(Rc<Pace>, usize)>,
}

/// Why a response breaks off.
#[derive(Debug)]
pub(crate) enum BrokenOff {
    /// The instance did.
    Upstream(hyper::Error),
    /// The instance was taken out of service while it answered.
    Quarantined,
}

impl fmt::Display for BrokenOff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Upstream(_) => f.write_str("the instance broke its response off"),
            Self::Quarantined => f.write_str("the instance was quarantined while it answered"),
        }
    }
}

impl Error for BrokenOff {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Upstream(error) => Some(error),
            Self::Quarantined => None,
        }
    }
}

impl ResponseBody {
    /// Passes an instance's body on; ends the flight right away where there is none.
    pub(crate) fn passing(incoming: Incoming, flight: Box<Flight>, connection: Connection) -> Self {
        let mut passing = Passing { incoming, flight, connection: Some(connection), pace: None };
        if passing.incoming.is_end_stream() {
            passing.complete(Instant::now());
            return Self::Own(None);
        }
        if passing.flight.link().is_http2() {
            // A client with a window of nothing is waited for before the first frame is asked for.
            passing.give(0);
        }
        Self::Passing(passing)
    }
}

impl Passing {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        if let Poll::Ready(verdict) = self.flight.poll_verdict(cx) {
            let (Verdict::Abort(incident) | Verdict::Refuse(incident) | Verdict::Retry(incident)) = verdict;
            self.flight.end(Outcome::Refused(incident));
            self.connection = None;
            return Poll::Ready(Some(Err(BrokenOff::Quarantined)));
        }
        // That it is asked for more means that the client took what there was.
        if let Some((pace, len)) = &mut self.pace {
            pace.passed(std::mem::take(len));
        }
        match std::task::ready!(Pin::new(&mut self.incoming).poll_frame(cx)) {
            Some(Ok(frame)) => {
                let len = frame.data_ref().map_or(0, Bytes::len);
                let now = Instant::now();
                self.flight.passed(len, now);
                // The server does not ask again once it knows that this was the last frame; trailers always are.
                if frame.is_trailers() || self.incoming.is_end_stream() {
                    self.complete(now);
                } else {
                    self.give(len);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => {
                self.flight.end(Outcome::UpstreamFailed(crate::errand::chain(&error)));
                self.connection = None;
                Poll::Ready(Some(Err(BrokenOff::Upstream(error))))
            }
            None => {
                self.complete(Instant::now());
                Poll::Ready(None)
            }
        }
    }

    /// A frame is handed over, and more will follow: until they are asked for, the client is waited for.
    fn give(&mut self, len: usize) {
        if self.flight.worker().shared.config.limits.body_bytes_per_s_min == 0 {
            return;
        }
        let (pace, given) = self.pace.get_or_insert_with(|| (Pace::of_response(self.flight.link()), 0));
        *given = len;
        pace.waits();
    }

    fn complete(&mut self, now: Instant) {
        if self.flight.link().is_http2() {
            // Until this is dropped its client has yet to take the last frame, and may have left no window for it.
            self.give(0);
        } else {
            self.pace = None;
        }
        self.flight.end(Outcome::Answered);
        if let Some(connection) = self.connection.take() {
            connection.give_back(self.flight.worker(), now);
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        match self.get_mut() {
            Self::Own(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Passing(passing) => passing.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(bytes) => bytes.is_none(),
            Self::Passing(passing) => passing.incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Self::Passing(passing) => passing.incoming.size_hint(),
        }
    }
}
