//! Why a measurement could not be made.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Why a measurement could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BenchError {
    /// The program under test is not there.
    #[error("{} is missing: build it with `cargo build --release -p freezeframe`", .0.display())]
    NoBinary(PathBuf),
    /// The system refused something.
    #[error("{what}")]
    Io {
        what: String,
        #[source]
        source: io::Error,
    },
    /// Something did not happen in time.
    #[error("{what}: not within {limit:?}")]
    TimedOut { what: String, limit: Duration },
    /// The daemon ended.
    #[error("the daemon ended; its last words:\n{0}")]
    DaemonEnded(String),
    /// The daemon's API refused something.
    #[error("{path} was answered {status}: {body}")]
    Refused { path: String, status: u16, body: String },
    /// An answer that is not what the API promises.
    #[error("{path} was answered with something else than expected")]
    Answer {
        path: String,
        #[source]
        source: serde_json::Error,
    },
    /// What was to be measured did not happen.
    #[error("{0}")]
    NotAsExpected(String),
    /// Ctrl-C.
    #[error("interrupted")]
    Interrupted,
}

impl BenchError {
    /// For `map_err`.
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}

/// An error with everything that caused it, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
