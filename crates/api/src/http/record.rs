//! What people write and do about an incident, and the report of it.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use freezeframe_model::Timestamp;

use super::json::parse;
use super::{Problem, Shared, incident_id};
use crate::access::Admitted;
use crate::control::Control;
use crate::dto::{AuditList, AuditShape, NoteBody, NoteList, NoteShape, OwnerAnswer};
use crate::section::Known;
use crate::words::Report;

/// Longest note, in characters.
const MAX_NOTE: usize = 4000;

/// `GET /api/v1/incidents/{id}/notes`
pub(super) async fn notes(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
) -> Result<Json<NoteList>, Problem> {
    let answer = |known: &Known<'_>, _: &dyn Control| {
        let notes = known.record.notes.iter().map(|note| NoteShape::new(known.incident.id, note)).collect();
        Ok(NoteList { schema: "freezeframe-notes/1".to_owned(), notes })
    };
    shared.known(&id, answer).await.map(Json)
}

/// `GET /api/v1/incidents/{id}/audit`
pub(super) async fn audit(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
) -> Result<Json<AuditList>, Problem> {
    let answer = |known: &Known<'_>, _: &dyn Control| {
        let entries = known.record.audit.iter().map(AuditShape::from).collect();
        Ok(AuditList { schema: "freezeframe-audit/1".to_owned(), entries })
    };
    shared.known(&id, answer).await.map(Json)
}

/// `POST /api/v1/incidents/{id}/notes`
pub(super) async fn note(
    State(shared): State<Arc<Shared>>,
    Extension(admitted): Extension<Admitted>,
    Path(id): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<NoteShape>, Problem> {
    let body = body.map_err(|error| Problem::BadRequest(error.body_text()))?;
    let NoteBody { text } = parse(&body)?;
    let text = text.trim().to_owned();
    if text.is_empty() || text.chars().nth(MAX_NOTE).is_some() {
        return Err(Problem::BadRequest(format!("a note has between 1 and {MAX_NOTE} characters")));
    }
    let (id, who) = (incident_id(&id)?, admitted.caller.0);
    let note = shared.read(move |control| control.note(&who, id, &text)).await?;
    Ok(Json(NoteShape::new(id, &note)))
}

/// `POST /api/v1/incidents/{id}/acknowledge`
pub(super) async fn acknowledge(
    State(shared): State<Arc<Shared>>,
    Extension(admitted): Extension<Admitted>,
    Path(id): Path<String>,
) -> Result<Json<OwnerAnswer>, Problem> {
    let (id, who) = (incident_id(&id)?, admitted.caller.0);
    let owner = shared.read(move |control| control.acknowledge(&who, id)).await?;
    Ok(Json(OwnerAnswer::new(id, &owner)))
}

/// `GET /api/v1/incidents/{id}/markdown`
pub(super) async fn markdown(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let answer = |known: &Known<'_>, control: &dyn Control| {
        let sightings = control.sightings(known.incident)?;
        let link = control.link(known.incident.id);
        let Known { incident, capture, record } = *known;
        let link = Some(link.as_str());
        let report = Report { incident, capture, record, sightings: &sightings, link, with_values: true };
        Ok(report.markdown(Timestamp::now()))
    };
    let text = shared.known(&id, answer).await?;
    Ok(([(header::CONTENT_TYPE, "text/markdown; charset=utf-8")], text).into_response())
}
