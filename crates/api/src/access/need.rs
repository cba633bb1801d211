//! Whom the guard let in, and what a route asks of them.

use std::fmt;

use freezeframe_model::{Role, Roles};

use super::Caller;

/// What a route asks of its callers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// Nothing: it shows nothing of the service.
    Open,
    /// To be known, with whatever roles.
    Known,
    /// This role.
    Role(Role),
    /// To come from the data directory's socket.
    Socket,
}

impl Need {
    /// To look.
    pub(crate) const VIEW: Self = Self::Role(Role::View);
    /// To look behind redactions.
    pub(crate) const REVEAL: Self = Self::Role(Role::Reveal);
    /// To do something.
    pub(crate) const ACT: Self = Self::Role(Role::Act);
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Open => "open",
            Self::Known => "any",
            Self::Role(role) => role.as_str(),
            Self::Socket => "socket",
        })
    }
}

/// How somebody proved who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    /// The listener keeps strangers out.
    Local,
    /// A token in a header.
    Token,
    /// A cookie, which a browser also sends when another site told it to.
    Session,
}

impl By {
    /// As the API says it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Token => "token",
            Self::Session => "session",
        }
    }
}

/// Whom the guard let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Admitted {
    /// For the audit log.
    pub(crate) caller: Caller,
    /// What they may do.
    pub(crate) roles: Roles,
    /// How they proved it.
    pub(crate) by: By,
}

impl Admitted {
    /// Whether a browser vouches for them, which also does so for requests that another site has it make.
    pub(crate) fn by_cookie(&self) -> bool {
        self.by == By::Session
    }
}
