//! What is known about the time before an error: so far the last lines that an instance wrote.
//!
//! Everything here has a bound in lines and in bytes. This crate reads no pipes and knows no clock: bytes and lines are
//! given to it.

mod lines;
mod ring;

pub use lines::{LINE_BYTES_MAX, LineSplitter};
pub use ring::LogRing;
