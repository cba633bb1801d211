//! The handlers of accounts and tokens. Only the data directory's socket leads here: whoever may use it can do everything anyway,
//! and nobody who comes over the network can give themselves more than they have.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::{Extension, Json};
use freezeframe_model::{Roles, Timestamp};
use serde::de::DeserializeOwned;

use super::json::parse;
use super::{Problem, Shared};
use crate::access::{AccountError, Accounts, Admitted};
use crate::control::ControlError;
use crate::dto::{
    ChangeAnswer, PasswordBody, RolesBody, TokenAnswer, TokenBody, TokenList, UserBody, UserList,
};

type Body = Result<Bytes, BytesRejection>;
type Changed = Result<Json<ChangeAnswer>, Problem>;

/// `GET /api/v1/users`
pub(super) async fn users(State(shared): State<Arc<Shared>>) -> Result<Json<UserList>, Problem> {
    Ok(Json(UserList::from(shared.accounts()?.known_accounts().as_slice())))
}

/// `POST /api/v1/users`
pub(super) async fn add(
    State(shared): State<Arc<Shared>>,
    Extension(admitted): Extension<Admitted>,
    body: Body,
) -> Changed {
    let UserBody { name, password, roles } = read(body)?;
    let roles = known(&roles)?;
    shared.change(admitted, move |accounts, who| accounts.add(who, &name, &password, roles)).await
}

/// `DELETE /api/v1/users/{name}`
pub(super) async fn remove(
    State(shared): State<Arc<Shared>>,
    Extension(admitted): Extension<Admitted>,
    Path(name): Path<String>,
) -> Changed {
    shared.change(admitted, move |accounts, who| accounts.remove(who, &name)).await
}

/// `POST /api/v1/users/{name}/password`
pub(super) async fn password(
    State(shared): State<Arc<Shared>>,
    Extension(admitted): Extension<Admitted>,
    Path(name): Path<String>,
    body: Body,
) -> Changed {
    let PasswordBody { password } = read(body)?;
    shared.change(admitted, move |accounts, who| accounts.set_password(who, &name, &password)).await
}

/// `POST /api/v1/users/{name}/roles`
pub(super) async fn roles(
    State(shared): State<Arc<Shared>>,
    Extension(admitted): Extension<Admitted>,
    Path(name): Path<String>,
    body: Body,
) -> Changed {
    let RolesBody { roles } = read(body)?;
    let roles = known(&roles)?;
    shared.change(admitted, move |accounts, who| accounts.set_roles(who, &name, roles)).await
}

/// `GET /api/v1/tokens`
pub(super) async fn tokens(State(shared): State<Arc<Shared>>) -> Result<Json<TokenList>, Problem> {
    Ok(Json(TokenList::new(&shared.accounts()?.known_tokens(), Timestamp::now())))
}

/// `POST /api/v1/tokens`
pub(super) async fn add_token(
    State(shared): State<Arc<Shared>>,
    Extension(admitted): Extension<Admitted>,
    body: Body,
) -> Result<Json<TokenAnswer>, Problem> {
    let TokenBody { name, roles, expires_in_ms } = read(body)?;
    let roles = known(&roles)?;
    let add = move |accounts: &Accounts, who: &str| accounts.add_token(who, &name, roles, expires_in_ms);
    let (secret, token) = shared.on_accounts(admitted, add).await?;
    Ok(Json(TokenAnswer::new(secret, &token)))
}

/// `DELETE /api/v1/tokens/{name}`
pub(super) async fn remove_token(
    State(shared): State<Arc<Shared>>,
    Extension(admitted): Extension<Admitted>,
    Path(name): Path<String>,
) -> Changed {
    shared.change(admitted, move |accounts, who| accounts.remove_token(who, &name)).await
}

fn read<T: DeserializeOwned>(body: Body) -> Result<T, Problem> {
    parse(&body.map_err(|error| Problem::BadRequest(error.body_text()))?)
}

fn known(roles: &[String]) -> Result<Roles, Problem> {
    let roles =
        roles.iter().map(|role| role.parse()).collect::<Result<Roles, freezeframe_model::ParseRoleError>>();
    roles.map_err(|error| Problem::BadRequest(error.to_string()))
}

impl Shared {
    fn accounts(&self) -> Result<Arc<Accounts>, Problem> {
        let none = || Problem::Control(ControlError::Failed("this daemon keeps no accounts".to_owned()));
        self.access.accounts().ok_or_else(none)
    }

    async fn change(
        &self,
        admitted: Admitted,
        change: impl FnOnce(&Accounts, &str) -> Result<String, AccountError> + Send + 'static,
    ) -> Changed {
        self.on_accounts(admitted, change).await.map(|message| Json(ChangeAnswer::new(message)))
    }

    /// From a thread that may block: hashes take their time, and disks too.
    async fn on_accounts<T: Send + 'static>(
        &self,
        admitted: Admitted,
        change: impl FnOnce(&Accounts, &str) -> Result<T, AccountError> + Send + 'static,
    ) -> Result<T, Problem> {
        let accounts = self.accounts()?;
        let changed = tokio::task::spawn_blocking(move || change(&accounts, &admitted.caller.0)).await;
        let changed = changed.map_err(|error| {
            tracing::error!(%error, "a change of accounts failed");
            Problem::Control(ControlError::Failed("the change failed; see the daemon's log".to_owned()))
        })?;
        changed.map_err(|error| match error {
            AccountError::Invalid(why) => Problem::BadRequest(why),
            AccountError::Exists(_) => Problem::Control(ControlError::Conflict(error.to_string())),
            AccountError::NotFound(what) => Problem::NoSuch(what),
            AccountError::Register(error) => Problem::Control(ControlError::Failed(error.0)),
        })
    }
}
