//! Supervision as a state machine without I/O: `(now, event) -> actions`.
//!
//! This is where *never worse* is decided. [`Fleet`] is told what happened and answers what is to be done; it knows no
//! clock, no process, no socket and no log. Time is a number of milliseconds that the caller passes in, on any scale that
//! does not go backwards.
//!
//! The promises that hold after every event, whatever the events are:
//!
//! - A process that stands in a trap is answered in the same call: held ([`Action::Confirm`]) or let go on
//!   ([`Action::Refuse`]), never both, never neither.
//! - No more is held than [`Limits`] allow: one per fingerprint, `held_max` processes, `held_bytes_max` bytes.
//! - A hold never leaves fewer than `healthy_min` instances in routing. A spare takes the place at once; where none is ready
//!   and none comes within `replace_ms`, the hold is given up and the instance goes on serving.
//! - What dies young is started again ever more slowly, and after a few times only now and then.
//! - What is held stays held until a person, its lease or its own end says otherwise; also across [`Event::Stop`].
//!
//! ```text
//!             Ready            promoted            Trapped: Confirm          Frozen
//!  Starting ────────▶ Spare ────────────▶ Serving ──────────────────▶ Draining ───────▶ Held
//!     │                  │                   ▲ │                          │               │
//!     │ ready_ms         │ too many          │ │ stalled                  │ no replacement in replace_ms
//!     ▼                  ▼                   │ ▼                          ▼               ▼
//!  Stopping ◀────────────┴───────────────────┼─┘                      Serving again (Resume)
//!     ▲                                      └── release, kill, end of the lease: Stopping, never routed again
//! ```

mod event;
mod fleet;
mod hold;
mod limits;
mod member;
mod restart;
mod settle;

pub use event::{Action, Event, Refusal, ResumeWhy};
pub use fleet::Fleet;
pub use limits::Limits;
