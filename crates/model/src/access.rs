//! What people and scripts may do.

use std::fmt;
use std::str::FromStr;

use crate::Timestamp;

/// One kind of thing that may be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Look at everything, redacted.
    View,
    /// Look behind redactions, and take the memory of a process away.
    Reveal,
    /// Do something to a held process, or say something about an incident.
    Act,
    /// Ask the database.
    Sql,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::View, Self::Reveal, Self::Act, Self::Sql];

    /// As people write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::View => "view",
            Self::Reveal => "reveal",
            Self::Act => "act",
            Self::Sql => "sql",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// There is no such role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseRoleError(String);

impl fmt::Display for ParseRoleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there is no role {:?}; there are view, reveal, act and sql", self.0)
    }
}

impl std::error::Error for ParseRoleError {}

impl FromStr for Role {
    type Err = ParseRoleError;

    fn from_str(text: &str) -> Result<Self, ParseRoleError> {
        let known = Self::ALL.into_iter().find(|role| role.as_str() == text);
        known.ok_or_else(|| ParseRoleError(text.chars().take(32).collect()))
    }
}

/// A set of roles, written `view,act`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Roles(u8);

impl Roles {
    /// All of them.
    pub fn all() -> Self {
        Role::ALL.into_iter().collect()
    }

    /// Whether it is among them.
    pub fn has(self, role: Role) -> bool {
        self.0 & bit(role) != 0
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// One by one, in the order of [`Role::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Role> {
        Role::ALL.into_iter().filter(move |role| self.has(*role))
    }
}

fn bit(role: Role) -> u8 {
    1 << role as u8
}

impl FromIterator<Role> for Roles {
    fn from_iter<I: IntoIterator<Item = Role>>(roles: I) -> Self {
        Self(roles.into_iter().fold(0, |all, role| all | bit(role)))
    }
}

impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.iter().map(Role::as_str).collect();
        f.write_str(&names.join(","))
    }
}

impl FromStr for Roles {
    type Err = ParseRoleError;

    fn from_str(text: &str) -> Result<Self, ParseRoleError> {
        text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(Role::from_str).collect()
    }
}

/// Somebody who signs in by name and password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Unique; see [`is_name`].
    pub name: String,
    /// What they may do.
    pub roles: Roles,
    /// Hash of the password, as a PHC string.
    pub password: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When password or roles were last set.
    pub changed_at: Timestamp,
}

/// A token with which a script calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptToken {
    /// Unique among tokens; see [`is_name`].
    pub name: String,
    /// What the script may do.
    pub roles: Roles,
    /// SHA-256 of the token: it has 256 random bits, which nobody finds by trying.
    pub hash: [u8; 32],
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it is refused; never, where there is nothing.
    pub expires_at: Option<Timestamp>,
}

impl ScriptToken {
    /// Whether it is still taken.
    pub fn is_valid(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|end| now < end)
    }
}

/// Whether an account or a token may be called so: 1 to 64 letters, digits and `.`, `_`, `-`, `@`, the first a letter or
/// digit. So a name can stand in a log, a terminal, a path and a page, and none looks like another.
pub fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-@".contains(&byte);
    (1..=64).contains(&text.len())
        && text.bytes().all(plain)
        && text.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_read_as_they_are_written() {
        let roles: Roles = "act, view".parse().expect("roles");
        assert_eq!(roles.to_string(), "view,act");
        assert!(roles.has(Role::View) && !roles.has(Role::Reveal));
        assert_eq!(Roles::all().to_string(), "view,reveal,act,sql");
        assert_eq!("".parse(), Ok(Roles::default()));
        let wrong = "view,root".parse::<Roles>().expect_err("no such role");
        assert_eq!(wrong.to_string(), "there is no role \"root\"; there are view, reveal, act and sql");
    }

    #[test]
    fn names_are_plain() {
        for name in ["a", "alice", "Alice.B-2_x@example.org", "7"] {
            assert!(is_name(name), "{name}");
        }
        let long = "a".repeat(65);
        for name in ["", "-rf", ".hidden", "a b", "a\u{1b}[2J", "ä", "a\n", "a/b", "<b>", &long] {
            assert!(!is_name(name), "{name:?}");
        }
    }

    #[test]
    fn a_token_ends_when_it_should() {
        let (hash, created_at) = ([0; 32], Timestamp(0));
        let token = |expires_at| ScriptToken {
            name: "ci".to_owned(),
            roles: Roles::default(),
            hash,
            created_at,
            expires_at,
        };
        assert!(token(None).is_valid(Timestamp(i64::MAX)));
        assert!(token(Some(Timestamp(2))).is_valid(Timestamp(1)));
        assert!(!token(Some(Timestamp(2))).is_valid(Timestamp(2)));
    }
}
