//! The seam for load shedding: may this request proceed?
//!
//! The gate asks once per request, before it picks an instance and before it reads the body. It does not know how the
//! answer is found.

use std::net::IpAddr;

use http::{HeaderMap, Method};

/// A request at the door.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    /// HTTP method.
    pub method: &'a Method,
    /// Path without query.
    pub path: &'a str,
    /// As the client sent them.
    pub headers: &'a HeaderMap,
    /// The client's address.
    pub peer: IpAddr,
    /// Key of the user's session, where there is one.
    pub session: Option<u64>,
}

/// What becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It may go on.
    Proceed,
    /// It is answered at once.
    Refuse {
        /// Usually 429 or 503; anything that is not an HTTP status of 400 to 599 becomes 503.
        status: u16,
        /// Value of `Retry-After`, in seconds.
        retry_after_s: u32,
    },
}

/// Decides on the worker's thread: it must be quick and must not block.
pub trait Admission: Send + Sync {
    /// Called once per request.
    fn admit(&self, arrival: &Arrival<'_>) -> Decision;
}

/// Admits everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Open;

impl Admission for Open {
    fn admit(&self, _: &Arrival<'_>) -> Decision {
        Decision::Proceed
    }
}
