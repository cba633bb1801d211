//! The Debug Adapter Protocol: an incident in the editor that a developer has open anyway.
//!
//! A [`Session`] is the protocol without I/O: a message in, messages out. What it wants to know of an incident somebody else
//! fetches, who is a [`Subject`]: the daemon itself, or a command that has its store and its socket, or a file. [`serve`] carries
//! messages between the two and a [`Wire`]: a stream with [`Framing`] for editors that start a program or connect to a port, a
//! WebSocket for everybody else.
//!
//! Everything is read-only. Nothing of the process runs, no request moves, changes or releases it, and the end of a session leaves
//! it as it was. Values that are redacted stay so, but for a line of the console that says `reveal` and why.

mod console;
mod framing;
mod protocol;
mod requests;
mod serve;
mod session;
mod sources;
mod stacks;
mod text;
mod values;

pub use framing::{Framing, FramingError, MESSAGE_BYTES_MAX, framed};
pub use serve::{Framed, OverControl, Subject, Wire, WireError, serve};
pub use session::{Got, Session, Terms, Want};
pub use sources::Files;
