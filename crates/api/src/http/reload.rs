//! Reading the configuration again.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::{Extension, Json};

use super::{Problem, Shared};
use crate::access::Admitted;
use crate::dto::{ReloadAnswer, ReloadQuery};

/// `POST /api/v1/gate/reload?dry_run=true`
pub(super) async fn reload(
    State(shared): State<Arc<Shared>>,
    Extension(admitted): Extension<Admitted>,
    query: Result<Query<ReloadQuery>, QueryRejection>,
) -> Result<Json<ReloadAnswer>, Problem> {
    let Query(ReloadQuery { dry_run }) = query.map_err(|error| Problem::BadRequest(error.body_text()))?;
    let changes = shared.read(move |control| control.reload(&admitted.caller.0, dry_run)).await?;
    Ok(Json(ReloadAnswer::new(dry_run, changes)))
}
