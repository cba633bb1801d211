//! What the page reads of an incident: the first screen, sections, threads.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use serde::Deserialize;

use super::{Problem, Shared, incident_id};
use crate::control::{Control, ControlError};
use crate::dto::{Overview, SectionPage, SourceAnswer, ThreadAnswer, ThreadShape};
use crate::section::{self, Known, MAX_FILTER, Wanted};
use crate::{overview, words};

impl Shared {
    /// Reads all that is known of an incident, and makes an answer of it, on a thread that may block.
    pub(super) async fn known<T: Send + 'static>(
        &self,
        id: &str,
        answer: impl FnOnce(&Known<'_>, &dyn Control) -> Result<T, ControlError> + Send + 'static,
    ) -> Result<T, Problem> {
        let id = incident_id(id)?;
        let read = move |control: &dyn Control| {
            let (incident, capture) = control.incident(id)?.ok_or(ControlError::NotFound)?;
            let record = control.record(id)?;
            answer(&Known { incident: &incident, capture: capture.as_deref(), record: &record }, control)
        };
        self.read(read).await
    }
}

/// `GET /api/v1/incidents/{id}/overview`
pub(super) async fn overview(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
) -> Result<Json<Overview>, Problem> {
    let answer = |known: &Known<'_>, control: &dyn Control| {
        let sightings = control.sightings(known.incident)?;
        Ok(overview::overview(known, &sightings))
    };
    shared.known(&id, answer).await.map(Json)
}

/// Query of a section.
#[derive(Deserialize)]
pub(super) struct SectionQuery {
    #[serde(default)]
    offset: usize,
    limit: Option<usize>,
    #[serde(default)]
    filter: String,
}

/// `GET /api/v1/incidents/{id}/sections/{name}?offset=N&limit=N&filter=WORDS`
pub(super) async fn section(
    State(shared): State<Arc<Shared>>,
    Path((id, name)): Path<(String, String)>,
    query: Result<Query<SectionQuery>, QueryRejection>,
) -> Result<Json<SectionPage>, Problem> {
    let Query(query) = query.map_err(|error| Problem::BadRequest(error.body_text()))?;
    if query.filter.len() > MAX_FILTER {
        return Err(Problem::BadRequest(format!("the filter is longer than {MAX_FILTER} bytes")));
    }
    let wanted = Wanted::new(query.offset, query.limit, &query.filter);
    let page = shared.known(&id, move |known, _| Ok(section::page(&name, known, &wanted))).await?;
    page.map(Json).ok_or(Problem::NoSuchPath)
}

/// `GET /api/v1/incidents/{id}/threads/{tid}`
pub(super) async fn thread(
    State(shared): State<Arc<Shared>>,
    Path((id, tid)): Path<(String, String)>,
) -> Result<Json<ThreadAnswer>, Problem> {
    let tid: i32 = tid.parse().map_err(|_| Problem::BadRequest("a thread's id is a number".to_owned()))?;
    let answer = move |known: &Known<'_>, _: &dyn Control| {
        let capture = known.capture.ok_or(ControlError::NotFound)?;
        let thread = capture.threads.iter().find(|thread| thread.id == tid).ok_or(ControlError::NotFound)?;
        let site = words::site_frame(capture).filter(|_| thread.failing).map(|(number, _)| number);
        Ok(ThreadAnswer {
            schema: "freezeframe-thread/1".to_owned(),
            incident: known.incident.id.to_string(),
            thread: ThreadShape::within(thread, site, overview::ONE_THREAD),
        })
    };
    shared.known(&id, answer).await.map(Json)
}

/// Query of a frame's source.
#[derive(Deserialize)]
pub(super) struct SourceQuery {
    thread: Option<i32>,
    frame: Option<usize>,
}

/// `GET /api/v1/incidents/{id}/source?thread=TID&frame=N`
pub(super) async fn source(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
    query: Result<Query<SourceQuery>, QueryRejection>,
) -> Result<Json<SourceAnswer>, Problem> {
    let Query(query) = query.map_err(|error| Problem::BadRequest(error.body_text()))?;
    let answer = move |known: &Known<'_>, control: &dyn Control| {
        let Known { incident, capture, .. } = *known;
        let (thread, number) = words::default_frame(incident, capture, query.thread, query.frame);
        let threads = capture.map(|capture| capture.threads.as_slice()).unwrap_or_default();
        let found =
            threads.iter().find(|found| found.id == thread).and_then(|found| found.frames.get(number));
        let frame = found.ok_or(ControlError::NotFound)?;
        let answer = SourceAnswer {
            schema: "freezeframe-source/1".to_owned(),
            file: frame.file.clone(),
            line: frame.line,
            origin: "none".to_owned(),
            ..SourceAnswer::default()
        };
        if frame.file.is_empty() || frame.line == 0 {
            let why = Some("the debug information names no source line of this frame".to_owned());
            return Ok(SourceAnswer { why, ..answer });
        }
        let kept = capture.filter(|capture| {
            let has_line = capture.source.iter().any(|line| line.number == frame.line);
            capture.site.file == frame.file && has_line
        });
        if let Some(capture) = kept {
            let lines = overview::source_around(&capture.source, frame.line);
            return Ok(SourceAnswer { origin: "capsule".to_owned(), lines, ..answer });
        }
        Ok(match control.source(incident, &frame.file, frame.line) {
            Ok(found) => SourceAnswer {
                origin: found.origin.as_str().to_owned(),
                from: Some(found.from),
                why: found.doubt,
                lines: overview::source_around(&found.lines, frame.line),
                ..answer
            },
            Err(why) => SourceAnswer { why: Some(why), ..answer },
        })
    };
    shared.known(&id, answer).await.map(Json)
}
