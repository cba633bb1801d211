//! Lines that an instance wrote.

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// One line, without its line end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// When it was read.
    pub at: Timestamp,
    /// Where it was written.
    pub stream: Stream,
    /// Text; bytes that are not UTF-8 are replaced.
    pub text: String,
}
