//! The one error of the command line: what happened, why, what to do next, and the exit code.

use std::fmt;

use freezeframe_store::StoreError;

/// Exit codes of every command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// 1
    Failed,
    /// 2
    Usage,
    /// 3
    NotFound,
    /// 4
    Denied,
    /// 5
    TimedOut,
}

/// What a command says when it cannot do what it was asked.
#[derive(Debug)]
pub(crate) struct CommandError {
    kind: Kind,
    message: String,
    hints: Vec<String>,
}

impl CommandError {
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hints: Vec::new() }
    }

    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::new(Kind::Failed, message)
    }

    /// With everything that caused it.
    pub(crate) fn caused(kind: Kind, error: &dyn std::error::Error) -> Self {
        Self::new(kind, freezeframe_model::chain(error))
    }

    /// What to do next.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// With these hints alone, for readers to whom the others mean nothing.
    #[must_use]
    pub(crate) fn hints_instead(self, hints: &[&str]) -> Self {
        Self { hints: hints.iter().map(|hint| (*hint).to_owned()).collect(), ..self }
    }

    /// What happened, and what to do next.
    pub(crate) fn parts(&self) -> (Kind, &str, &[String]) {
        (self.kind, &self.message, &self.hints)
    }

    pub(crate) fn exit_code(&self) -> i32 {
        match self.kind {
            Kind::Failed => 1,
            Kind::Usage => 2,
            Kind::NotFound => 3,
            Kind::Denied => 4,
            Kind::TimedOut => 5,
        }
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.message)?;
        self.hints.iter().try_for_each(|hint| write!(f, "\n  hint: {hint}"))
    }
}

impl From<std::io::Error> for CommandError {
    fn from(error: std::io::Error) -> Self {
        let kind = match error.kind() {
            std::io::ErrorKind::NotFound => Kind::NotFound,
            std::io::ErrorKind::PermissionDenied => Kind::Denied,
            std::io::ErrorKind::TimedOut => Kind::TimedOut,
            _ => Kind::Failed,
        };
        Self::caused(kind, &error)
    }
}

impl From<StoreError> for CommandError {
    fn from(error: StoreError) -> Self {
        let kind = match error {
            StoreError::NotFound(_) | StoreError::NoIncident(_) => Kind::NotFound,
            _ => Kind::Failed,
        };
        Self::caused(kind, &error)
    }
}
