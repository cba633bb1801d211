//! The handlers of questions about values.
//!
//! Looking behind a redaction has paths of its own, so that one day not everybody who may look may look there.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::{Extension, Json};
use freezeframe_model::{Incident, IncidentId, Question};

use super::json::parse;
use super::{Problem, Shared};
use crate::access::Admitted;
use crate::control::{ControlError, Inspected};
use crate::dto::{InspectBody, ValueAnswer};
use crate::words;

/// Longest expression, in bytes; the language's own limit is lower.
const MAX_EXPRESSION: usize = 8 * 1024;

/// `POST /api/v1/incidents/{id}/inspect`
pub(super) async fn value(
    State(shared): State<Arc<Shared>>,
    Extension(admitted): Extension<Admitted>,
    Path(id): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<ValueAnswer>, Problem> {
    answer(&shared, admitted, &id, body, false).await
}

/// `POST /api/v1/incidents/{id}/reveal`: with what is redacted, once that is in the audit log.
pub(super) async fn reveal(
    State(shared): State<Arc<Shared>>,
    Extension(admitted): Extension<Admitted>,
    Path(id): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<ValueAnswer>, Problem> {
    answer(&shared, admitted, &id, body, true).await
}

async fn answer(
    shared: &Shared,
    admitted: Admitted,
    id: &str,
    body: Result<Bytes, BytesRejection>,
    reveal: bool,
) -> Result<Json<ValueAnswer>, Problem> {
    let body = body.map_err(|error| Problem::BadRequest(error.body_text()))?;
    let body: InspectBody = parse(&body)?;
    let (incident, question, inspected) = shared.inspect(admitted.caller.0, id, body, reveal).await?;
    Ok(Json(ValueAnswer::new(incident.id, &question, &inspected)))
}

impl Shared {
    /// Asks in a task of its own, as actions are done: whoever goes away meanwhile leaves nothing half asked.
    async fn inspect(
        &self,
        who: String,
        id: &str,
        body: InspectBody,
        reveal: bool,
    ) -> Result<(Incident, Question, Inspected), Problem> {
        if body.expression.len() > MAX_EXPRESSION {
            return Err(Problem::BadRequest("the expression is too long".to_owned()));
        }
        let (incident, capture) = self.incident(id).await?;
        let (thread, frame) = words::default_frame(&incident, capture.as_deref(), body.thread, body.frame);
        let question = Question {
            thread,
            frame,
            expression: body.expression,
            depth: body.depth.unwrap_or(3),
            limit: body.limit.unwrap_or(100),
            offset: body.offset,
            text_bytes: body.text_bytes.unwrap_or(64 << 10),
            reveal,
        };
        let (control, asked) = (Arc::clone(&self.control), question.clone());
        let id: IncidentId = incident.id;
        let reason = body.reason;
        let task = tokio::spawn(async move { control.inspect(&who, id, asked, &reason).await });
        match task.await {
            Ok(result) => Ok((incident, question, result.map_err(Problem::Control)?)),
            Err(error) => {
                tracing::error!(%error, %id, "a question failed");
                let why = "asking failed; see the daemon's log".to_owned();
                Err(Problem::Control(ControlError::Failed(why)))
            }
        }
    }
}
