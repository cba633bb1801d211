//! What is known around an error: the last lines that an instance wrote, and the source text of its frames.
//!
//! Everything here has a bound in lines and in bytes. It knows no clock, and no process's pipes: bytes and lines are given
//! to it.

mod lines;
mod ring;
mod source;

pub use lines::{LINE_BYTES_MAX, LineSplitter};
pub use ring::LogRing;
pub use source::{FoundSource, SourcePlaces};
