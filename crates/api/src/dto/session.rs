//! Who somebody is, and how they say so.

use serde::{Deserialize, Serialize};

/// Answer of `GET /api/v1/session` and of a login.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct SessionAnswer {
    /// `freezeframe-session/1`.
    pub schema: String,
    /// As the audit log names them.
    pub user: String,
    /// `view`, `reveal`, `act`, `sql`.
    pub roles: Vec<String>,
    /// `session` (a cookie), `token` or `local` (the data directory's socket).
    pub by: String,
    /// Of the daemon.
    pub version: String,
}

/// Body of `POST /api/v1/login`: a user and a password, or a token, or the secret of a link that works once.
#[derive(Clone, Default, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default, deny_unknown_fields)]
pub struct LoginBody {
    /// Name of an account.
    pub user: Option<String>,
    /// Its password.
    pub password: Option<String>,
    /// The data directory's token.
    pub token: Option<String>,
    /// What stands behind `#once=` in the link.
    pub once: Option<String>,
}
