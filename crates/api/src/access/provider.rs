//! Who knows people. The accounts of the data directory do ([`Accounts`](super::Accounts)); a single sign-on would be another one
//! that implements [`IdentityProvider`]. Sessions, roles, limits and the audit log do not care which it was.

use freezeframe_model::Roles;

use crate::control::BoxFuture;

/// Somebody whom a provider knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// As the audit log names them.
    pub user: String,
    /// What they may do.
    pub roles: Roles,
    /// Which state of them this is, in a number that only the provider understands.
    pub version: i64,
}

/// Too many are signing in at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy;

/// Knows people.
pub trait IdentityProvider: Send + Sync + 'static {
    /// Who `user` is, if `password` proves it. Must take as long for somebody who is not known as for a wrong password.
    ///
    /// # Errors
    /// [`Busy`], without having looked.
    fn identify<'a>(
        &'a self,
        user: &'a str,
        password: &'a str,
    ) -> BoxFuture<'a, Result<Option<Identity>, Busy>>;

    /// Whether somebody is still what they were at their login. Asked with every request of a session: it must not block.
    fn is_current(&self, identity: &Identity) -> bool;
}
