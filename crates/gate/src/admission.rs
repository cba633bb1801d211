//! The seam for load shedding: may this request proceed, now, later, or not at all?
//!
//! The gate asks once per request, after it knows the route and before it picks an instance or reads the body. A request that
//! has to wait keeps its place in the gate: its task polls [`Admission::poll_queued`] and says [`Admission::left`] when its
//! client goes or its deadline comes. Every ticket that was forwarded is [`Admission::finished`] exactly once, whatever
//! becomes of the request. This file does not know how the answers are found.

use std::net::IpAddr;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use freezeframe_model::InstanceId;
use http::{HeaderMap, Method};

use crate::plan::{Route, RouteTable};

/// A request at the door.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    /// HTTP method.
    pub method: &'a Method,
    /// Path without query.
    pub path: &'a str,
    /// As an instance will get them.
    pub headers: &'a HeaderMap,
    /// The client's address.
    pub peer: IpAddr,
    /// Key of the user's session, where there is one: the same user has the same key while the gate lives.
    pub session: Option<u64>,
    /// What is asked for, with its limits and its tier.
    pub route: &'a Route,
    /// When the request's head was here.
    pub at: Instant,
    /// When the client must have the head of its response; `None` is no limit.
    pub deadline: Option<Instant>,
}

/// Name that an [`Admission`] gives a request that it did not refuse. It may be 0 for requests that it does not follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It may go on; to this instance first, where one is named and still routed.
    Forward(Ticket, Option<InstanceId>),
    /// It waits; [`Admission::poll_queued`] tells when that is over.
    Queue(Ticket),
    /// It is answered at once.
    Shed(Shed),
}

/// Why a request is refused, and what the client is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shed {
    /// Which bound was hit: the value of `x-freezeframe-shed`. A token (RFC 9110 section 5.6.2).
    pub bound: &'static str,
    /// Usually 429 or 503; anything that is not an HTTP status of 400 to 599 becomes 503.
    pub status: u16,
    /// Value of `Retry-After`, in seconds: spread it, or all clients come back at once.
    pub retry_after_s: Option<u32>,
}

/// How a request ended that was forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The instance answered with this status, and the body was passed on whole.
    Answered(u16),
    /// The instance could not be reached, broke off, or was taken out of service.
    Failed,
    /// There was no answer at the deadline.
    Late,
    /// The client went first.
    ClientGone,
    /// The gate answered by itself for another reason: a malformed body, no instance.
    Refused,
}

/// The end of a request that was forwarded.
#[derive(Clone, Copy, Debug)]
pub struct Completion<'a> {
    /// The route that it took.
    pub route: &'a Route,
    /// Who answered it, or failed to.
    pub instance: Option<InstanceId>,
    /// How it ended.
    pub ending: Ending,
    /// Time from its arrival to the ticket's validity, in microseconds.
    pub queue_us: u64,
    /// Time from when it was sent to the instance to the head of the response, in microseconds, where both happened.
    pub service_us: Option<u64>,
    /// Time from its arrival to its end, in microseconds.
    pub total_us: u64,
}

/// Decides on the workers' threads, for all of them: it must be quick and must not block.
pub trait Admission: Send + Sync {
    /// Called once per request.
    fn arrive(&self, arrival: &Arrival<'_>) -> Decision;

    /// Whether a queued request may go on, and where; keeps the waker until then. Not asked again after it was ready.
    fn poll_queued(&self, ticket: Ticket, cx: &mut Context<'_>) -> Poll<Result<Option<InstanceId>, Shed>> {
        let _ = (ticket, cx);
        Poll::Ready(Ok(None))
    }

    /// A queued request is not waiting any more: its client went, or its deadline came.
    fn left(&self, ticket: Ticket) {
        let _ = ticket;
    }

    /// It is being sent to this instance; more than once where it is retried.
    fn started(&self, ticket: Ticket, instance: InstanceId) {
        let _ = (ticket, instance);
    }

    /// A forwarded request is over.
    fn finished(&self, ticket: Ticket, completion: &Completion<'_>) {
        let _ = (ticket, completion);
    }

    /// How often [`Admission::tick`] is called; `None` is never.
    fn tick_every(&self) -> Option<Duration> {
        None
    }

    /// Time passed: for what happens by itself, like a limit that recovers or a waiting request that cannot finish in time any more.
    fn tick(&self) {}

    /// The instances of a service that get requests from now on.
    fn instances(&self, service: &str, routed: &[InstanceId]) {
        let _ = (service, routed);
    }

    /// The routes from now on. Requests that arrived before keep theirs.
    fn configure(&self, table: &RouteTable) {
        let _ = table;
    }
}

/// Admits everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Open;

impl Admission for Open {
    fn arrive(&self, _: &Arrival<'_>) -> Decision {
        Decision::Forward(Ticket(0), None)
    }
}
