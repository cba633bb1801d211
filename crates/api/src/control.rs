//! What the daemon does for this crate. Nothing here knows HTTP.

use std::future::Future;
use std::io::Write;
use std::pin::Pin;
use std::sync::Arc;

use freezeframe_histogram::Series;
use freezeframe_model::{
    Capture, EvaluateError, Incident, IncidentId, InstanceView, Note, Owner, Question, Record, Sightings,
    SourceLine, Timestamp, Variable,
};

use crate::Events;
use crate::dto::{FleetAnswer, HistoryAnswer};

/// A future on the heap, for traits that are used as objects.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// An incident and what was captured of it. Captures are large and do not change: they are shared.
pub type Known = (Incident, Option<Arc<Capture>>);

/// What a person can do to a held process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Let it go on from where it stands.
    Release,
    /// End it.
    Kill,
    /// Move the end of the lease by this many milliseconds.
    Extend {
        /// Milliseconds to add.
        by_ms: u64,
    },
    /// Let go of it so that the debugger with this process id can trace it.
    HandOver {
        /// Process id of the client that the process is handed to; when that ends, the process is taken back.
        client_pid: i32,
    },
    /// Take it back from a debugger.
    Reclaim,
    /// Write an ELF core of it; it stays held.
    WriteCore {
        /// Which kinds of memory (`coredump_filter` of core(5)); as configured where it is `None`.
        filter: Option<u32>,
    },
}

impl Act {
    /// Every action's name in a path, in the order of the page.
    pub const NAMES: [&str; 6] = ["release", "kill", "extend", "hand-over", "reclaim", "core"];

    /// Its name in a path.
    pub fn name(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Kill => "kill",
            Self::Extend { .. } => "extend",
            Self::HandOver { .. } => "hand-over",
            Self::Reclaim => "reclaim",
            Self::WriteCore { .. } => "core",
        }
    }
}

/// What there is of an incident as a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IncidentFile {
    /// Everything that was captured, redacted, as `freezeframe export` writes it.
    Capsule,
    /// Its ELF core, compressed with zstd. Nothing in it is redacted.
    Core,
}

/// What an action led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActOutcome {
    /// Process that it was done to, where that is still of interest.
    pub pid: Option<i32>,
    /// What happened, in a sentence.
    pub message: String,
}

/// What a question came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Inspected {
    /// The value, called like the expression.
    pub value: Variable,
    /// Function of the frame that was asked.
    pub function: String,
    /// Read from the held process just now; otherwise from what was captured of it.
    pub is_live: bool,
    /// What is to be known besides: why the process could not be asked, for example.
    pub note: Option<String>,
}

/// One thing that differs between the configuration in use and the one that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// For people: `gate.workers 2 -> 3`.
    pub what: String,
    /// It has to wait for the next start.
    pub at_next_start: bool,
}

/// Where source text was found, besides in a capsule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceOrigin {
    /// In a directory, as it is now.
    Directory,
    /// In a repository of git, as it was at the build's revision.
    Git,
}

impl SourceOrigin {
    /// As in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Directory => "directory",
            Self::Git => "git",
        }
    }
}

/// Source text that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundSource {
    /// Where.
    pub origin: SourceOrigin,
    /// What was read: a path, or `REVISION:PATH`.
    pub from: String,
    /// Around the line that was asked for.
    pub lines: Vec<SourceLine>,
    /// Why it may not be what the build was made from.
    pub doubt: Option<String>,
}

/// Why the daemon did not do it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// There is no such incident.
    #[error("there is no such incident")]
    NotFound,
    /// The caller or the daemon has no permission.
    #[error("{0}")]
    Denied(String),
    /// The incident is in the wrong state; says in which.
    #[error("{0}")]
    Conflict(String),
    /// The expression has no value.
    #[error("{}", .0.sentence())]
    Expression(EvaluateError),
    /// What it was given cannot be used, and nothing was changed; says why.
    #[error("{0}")]
    Invalid(String),
    /// It was begun, but did not end in time.
    #[error("{0}")]
    TimedOut(String),
    /// It was tried and failed.
    #[error("{0}")]
    Failed(String),
}

/// The daemon, as seen from here. Reads may block (they are called from a blocking thread); actions must not.
pub trait Control: Send + Sync + 'static {
    /// The newest incidents, newest first, at most `limit`.
    ///
    /// # Errors
    /// [`ControlError::Failed`] where they cannot be read.
    fn incidents(&self, limit: usize) -> Result<Vec<Incident>, ControlError>;

    /// One incident and what was captured of it; `None` where there is none of that number.
    ///
    /// # Errors
    /// [`ControlError::Failed`] where it cannot be read.
    fn incident(&self, id: IncidentId) -> Result<Option<Known>, ControlError>;

    /// What people wrote and did about an incident; empty where there is none of that number.
    ///
    /// # Errors
    /// [`ControlError::Failed`] where it cannot be read.
    fn record(&self, id: IncidentId) -> Result<Record, ControlError>;

    /// What is known of an incident's fingerprint and build from before it.
    ///
    /// # Errors
    /// [`ControlError::Failed`] where it cannot be read.
    fn sightings(&self, incident: &Incident) -> Result<Sightings, ControlError>;

    /// Writes one of an incident's files to `to`, which is not begun where there is none. `who` takes it away: a core has all
    /// the memory of a process, so that is in the audit log before its first byte.
    ///
    /// # Errors
    /// [`ControlError::NotFound`] where there is no such incident or no such file, [`ControlError::Failed`].
    fn file(
        &self,
        who: &str,
        id: IncidentId,
        file: IncidentFile,
        to: &mut dyn Write,
    ) -> Result<(), ControlError>;

    /// Writes a note, and tells those who watch.
    ///
    /// # Errors
    /// [`ControlError::NotFound`], [`ControlError::Conflict`] where there are too many, [`ControlError::Failed`].
    fn note(&self, who: &str, id: IncidentId, text: &str) -> Result<Note, ControlError>;

    /// Records that `who` takes care of an incident, also in the audit log, and tells those who watch.
    ///
    /// # Errors
    /// [`ControlError::NotFound`], [`ControlError::Failed`].
    fn acknowledge(&self, who: &str, id: IncidentId) -> Result<Owner, ControlError>;

    /// Source around a line (from 1) of a file that an incident's build was compiled from, besides what its capsule has.
    ///
    /// # Errors
    /// Why there is none, in words.
    fn source(&self, incident: &Incident, file: &str, line: u32) -> Result<FoundSource, String>;

    /// Address of an incident's page, as alerts have it.
    fn link(&self, id: IncidentId) -> String;

    /// What runs, and what it does.
    fn fleet(&self) -> BoxFuture<'_, FleetAnswer>;

    /// How the last hour went, between two moments.
    ///
    /// # Errors
    /// [`ControlError::Failed`] where it cannot be read.
    fn history(&self, from: Timestamp, to: Timestamp) -> Result<HistoryAnswer, ControlError>;

    /// Where those who watch are told.
    fn events(&self) -> &Events;

    /// How long requests through the gate took: histograms with the labels `route`, `outcome` and `part`.
    fn durations(&self) -> Vec<Series>;

    /// Reads the configuration again, and unless it is a dry run puts into effect what can be while everything runs. What differs.
    ///
    /// # Errors
    /// [`ControlError::Invalid`] where it cannot be used; then nothing was changed.
    fn reload(&self, who: &str, dry_run: bool) -> Result<Vec<Change>, ControlError>;

    /// What runs at the moment.
    fn instances(&self) -> BoxFuture<'_, Vec<InstanceView>>;

    /// The value of an expression: in the held process, and where there is none any more in what was captured of it. A
    /// question that reveals is answered by the process alone, and is in the audit log, with its reason, before it is asked.
    fn inspect(
        &self,
        who: &str,
        id: IncidentId,
        question: Question,
        reason: &str,
    ) -> BoxFuture<'_, Result<Inspected, ControlError>>;

    /// Does it, and writes into the audit log that `who` did. Runs to its end even where the client goes away meanwhile.
    fn act(&self, who: &str, id: IncidentId, action: Act) -> BoxFuture<'_, Result<ActOutcome, ControlError>>;
}
