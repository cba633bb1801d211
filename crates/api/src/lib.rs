//! The only HTTP and JSON shapes of Freezeframe, its sessions, and the page of an incident.
//!
//! The path of a request: [`serve_tcp`] or [`serve_unix`] bounds connections and headers; the guard asks [`Access`] who is calling
//! and refuses those without the role that the route's row in the table names; a handler asks the daemon through [`Control`]; the answer is a versioned shape of [`dto`] or a page.
//!
//! This crate does not know where incidents are kept, how a process is released, or what an instance is made of: all of
//! that is behind [`Control`]. A GET never changes anything, because mail scanners and link previews follow links.

mod access;
mod control;
pub mod dap;
pub mod dto;
mod events;
mod http;
mod measured;
mod overview;
mod section;
mod serve;
pub mod words;

pub use access::{
    Access, AccountError, Accounts, Busy, Caller, Door, Identity, IdentityProvider, Register, RegisterError,
};
pub use control::{
    Act, ActOutcome, BoxFuture, Change, Control, ControlError, FoundSource, IncidentFile, Inspected, Known,
    SourceOrigin,
};
pub use dto::{IncidentList, IncidentView, InstanceList};
pub use events::Events;
pub use http::{Page, PageFile, router};
pub use measured::{GateControl, gate_router};
pub use serve::{serve_tcp, serve_unix};
