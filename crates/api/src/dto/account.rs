//! People who may sign in, and tokens of scripts.

use freezeframe_model::{Account, Roles, ScriptToken, Timestamp};
use serde::{Deserialize, Serialize};

use crate::words::rfc3339;

/// Answer of `GET /api/v1/users`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(default)]
pub struct UserList {
    /// `freezeframe-users/1`.
    pub schema: String,
    /// By name.
    pub users: Vec<UserShape>,
}

/// Somebody who signs in by name and password.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(default)]
pub struct UserShape {
    /// Name.
    pub name: String,
    /// `view`, `reveal`, `act`, `sql`.
    pub roles: Vec<String>,
    /// When the account was made (RFC 3339).
    pub created_at: String,
    /// When password or roles were last set (RFC 3339).
    pub changed_at: String,
}

impl From<&[Account]> for UserList {
    fn from(accounts: &[Account]) -> Self {
        let shape = |account: &Account| UserShape {
            name: account.name.clone(),
            roles: names(account.roles),
            created_at: rfc3339(account.created_at),
            changed_at: rfc3339(account.changed_at),
        };
        Self { schema: "freezeframe-users/1".to_owned(), users: accounts.iter().map(shape).collect() }
    }
}

/// Body of `POST /api/v1/users`.
#[derive(Clone, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct UserBody {
    /// Name.
    pub name: String,
    /// Password.
    pub password: String,
    /// `view`, `reveal`, `act`, `sql`.
    pub roles: Vec<String>,
}

/// Body of `POST /api/v1/users/{name}/password`.
#[derive(Clone, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PasswordBody {
    /// The new one.
    pub password: String,
}

/// Body of `POST /api/v1/users/{name}/roles`.
#[derive(Clone, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RolesBody {
    /// The new ones, in place of the old: `view`, `reveal`, `act`, `sql`.
    pub roles: Vec<String>,
}

/// Answer of `GET /api/v1/tokens`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(default)]
pub struct TokenList {
    /// `freezeframe-tokens/1`.
    pub schema: String,
    /// By name.
    pub tokens: Vec<TokenShape>,
}

/// A token of a script. What it is itself, nobody can tell any more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(default)]
pub struct TokenShape {
    /// Name.
    pub name: String,
    /// `view`, `reveal`, `act`, `sql`.
    pub roles: Vec<String>,
    /// When it was made (RFC 3339).
    pub created_at: String,
    /// From when on it is refused (RFC 3339); never, where there is nothing.
    pub expires_at: Option<String>,
    /// Whether it is refused already.
    pub is_expired: bool,
}

impl TokenShape {
    fn new(token: &ScriptToken, now: Timestamp) -> Self {
        Self {
            name: token.name.clone(),
            roles: names(token.roles),
            created_at: rfc3339(token.created_at),
            expires_at: token.expires_at.map(rfc3339),
            is_expired: !token.is_valid(now),
        }
    }
}

impl TokenList {
    /// These tokens, as they are `now`.
    pub fn new(tokens: &[ScriptToken], now: Timestamp) -> Self {
        let tokens = tokens.iter().map(|token| TokenShape::new(token, now)).collect();
        Self { schema: "freezeframe-tokens/1".to_owned(), tokens }
    }
}

/// Body of `POST /api/v1/tokens`.
#[derive(Clone, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct TokenBody {
    /// Name.
    pub name: String,
    /// `view`, `reveal`, `act`, `sql`.
    pub roles: Vec<String>,
    /// Milliseconds from now after which it is refused; never, where there is nothing.
    #[serde(default)]
    pub expires_in_ms: Option<u64>,
}

/// Answer of `POST /api/v1/tokens`: the one time that the token itself is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(default)]
pub struct TokenAnswer {
    /// `freezeframe-token/1`.
    pub schema: String,
    /// The token, for `Authorization: Bearer`.
    pub token: String,
    /// What is known of it from now on.
    #[serde(flatten)]
    pub about: TokenShape,
}

impl TokenAnswer {
    /// This secret, once.
    pub fn new(secret: String, token: &ScriptToken) -> Self {
        let about = TokenShape::new(token, token.created_at);
        Self { schema: "freezeframe-token/1".to_owned(), token: secret, about }
    }
}

/// Answer to a change of users or tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(default)]
pub struct ChangeAnswer {
    /// `freezeframe-change/1`.
    pub schema: String,
    /// What happened, in a sentence.
    pub message: String,
}

impl ChangeAnswer {
    /// With this sentence.
    pub fn new(message: String) -> Self {
        Self { schema: "freezeframe-change/1".to_owned(), message }
    }
}

/// Roles as JSON has them.
pub(crate) fn names(roles: Roles) -> Vec<String> {
    roles.iter().map(|role| role.to_string()).collect()
}
