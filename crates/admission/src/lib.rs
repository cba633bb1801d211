//! Load shedding as a state machine without I/O: `(now, event) -> decision`.
//!
//! A server without shedding queues: each request waits for all before it, clients give up, and the server goes on working
//! for clients that have gone. [`Admission`] keeps the line short and honest. It is told what arrives, starts, ends and
//! goes away, and answers what may be forwarded where, and what is refused. It knows no clock (time is a number of
//! microseconds that the caller passes in), no HTTP, no socket and no thread.
//!
//! The promises that hold after every event, whatever the events are:
//!
//! - No instance has more than its cap in flight; no more than `queue_max` wait; every request ends exactly once.
//! - Nothing is forwarded after its deadline, nor when it could no longer be answered by then. What is still being
//!   processed at its deadline is reported [late](Output::Late) at that moment.
//! - A slot that is free, and reserved for nobody who needs it, is never refused: shedding costs no throughput.
//! - Of a tier, and of a route, no more than what exceeds its fair part gives way to others.
//!
//! ```text
//!            arrive                     a slot becomes free
//!   ────────▶ slot free? ──yes──────────────────────────────┐
//!                 │ no                                      ▼
//!                 ▼                    oldest first    ┌─────────┐ finished   slot free:
//!            cohort shed? ──▶ 429      ┌───────┐       │ in      ├──────────▶ next of the queue
//!                 │ no                 │ queue ├──────▶│ flight  │
//!                 ▼                    └─┬───┬─┘       └────┬────┘
//!            queue full? ──▶ 429, or ◀───┘   │              │ deadline
//!                            a lower one's   ▼              ▼
//!                                       too late: 503   late: 503
//! ```
//!
//! Where what is decided: queue order and eviction in `queue.rs` and `standing.rs`; what of the slots is whose in
//! `lane.rs`; which users are refused first in `cohort.rs`; how many slots an instance has in `limit.rs`; whether a route is
//! tried on an instance at all in `breaker.rs`. [`Door`] is the same behind a lock, with wakers, for threads and tasks.

mod admission;
mod breaker;
mod cohort;
mod config;
mod dispatch;
mod door;
mod expiry;
mod instance;
mod lane;
#[cfg(feature = "tower")]
mod layer;
mod limit;
mod queue;
mod request;
mod retry;
mod slab;
mod standing;
mod times;

pub use admission::Admission;
pub use config::{Config, ConfigError, Route, Tier};
pub use door::{Door, Enter, Permit};
#[cfg(feature = "tower")]
pub use layer::{Shedding, SheddingFuture, SheddingLayer};
pub use request::{Answer, InstanceId, Outcome, Output, Reason, Request, RouteId, Shed, Ticket, TierId};
