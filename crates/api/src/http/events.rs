//! Server-sent events: one stream per page that is open.
//!
//! A stream ends with the daemon. That it ends with the session or token that it was opened with is the guard's doing.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use freezeframe_model::{IncidentId, Timestamp};
use serde::Deserialize;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::{Problem, Shared, incident_id};
use crate::dto::{EndEvent, HelloEvent, LiveEvent, ResyncEvent};
use crate::events::Told;
use crate::words::rfc3339;

/// Streams at a time.
pub(super) const STREAMS_MAX: usize = 64;
/// Without events, a comment shows so often that the stream lives.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Tells a handler whose answer does not end by itself that its listener has ended.
#[derive(Clone, Debug)]
pub(crate) struct Ended(pub(crate) watch::Receiver<()>);

/// Query of the stream.
#[derive(Deserialize)]
pub(super) struct EventsQuery {
    incident: Option<String>,
}

/// `GET /api/v1/events?incident=ID`
pub(super) async fn events(
    State(shared): State<Arc<Shared>>,
    ended: Option<Extension<Ended>>,
    query: Result<Query<EventsQuery>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(query) = query.map_err(|error| Problem::BadRequest(error.body_text()))?;
    let incident = query.incident.as_deref().map(incident_id).transpose()?;
    let place = Arc::clone(&shared.streams).try_acquire_owned();
    let place = place.map_err(|_| Problem::Busy("as many pages as may listen for events do already"))?;
    let told = shared.control.events().watch();
    let stream = Stream::new(told, incident, ended.map(|Extension(Ended(ended))| ended));
    let stream = futures_util::stream::unfold((stream, place), |(mut stream, place): Watched| async move {
        stream.next().await.map(|event| (Ok::<_, Infallible>(event), (stream, place)))
    });
    let answer = Sse::new(stream).keep_alive(KeepAlive::new().interval(HEARTBEAT));
    // A proxy that collects an answer before it passes it on would make events late.
    Ok(([("x-accel-buffering", "no")], answer).into_response())
}

/// A stream and its place among those that there may be.
type Watched = (Stream, OwnedSemaphorePermit);

/// What one page is told.
struct Stream {
    told: broadcast::Receiver<Arc<Told>>,
    /// Only what is about this one, or about none.
    incident: Option<IncidentId>,
    ended: Option<watch::Receiver<()>>,
    has_begun: bool,
    is_over: bool,
}

impl Stream {
    fn new(
        told: broadcast::Receiver<Arc<Told>>,
        incident: Option<IncidentId>,
        ended: Option<watch::Receiver<()>>,
    ) -> Self {
        Self { told, incident, ended, has_begun: false, is_over: false }
    }

    async fn next(&mut self) -> Option<Event> {
        if self.is_over {
            return None;
        }
        if !std::mem::replace(&mut self.has_begun, true) {
            return Some(event_of(LiveEvent::Hello(HelloEvent {
                schema: "freezeframe-events/1".to_owned(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                now: rfc3339(Timestamp::now()),
            })));
        }
        loop {
            let ended = async {
                match &mut self.ended {
                    Some(ended) => drop(ended.changed().await),
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = ended => return Some(self.end("shutdown")),
                told = self.told.recv() => match told {
                    Ok(told) if self.concerns(&told) => {
                        return Some(Event::default().event(told.name).data(&told.data));
                    }
                    Ok(_) => {}
                    Err(RecvError::Lagged(missed)) => {
                        return Some(event_of(LiveEvent::Resync(ResyncEvent { missed })));
                    }
                    Err(RecvError::Closed) => return Some(self.end("shutdown")),
                },
            }
        }
    }

    fn concerns(&self, told: &Told) -> bool {
        match (self.incident, told.incident) {
            (Some(wanted), Some(about)) => wanted == about,
            _ => true,
        }
    }

    fn end(&mut self, why: &str) -> Event {
        self.is_over = true;
        event_of(LiveEvent::End(EndEvent { why: why.to_owned() }))
    }
}

fn event_of(event: LiveEvent) -> Event {
    let (name, data) = event.written();
    Event::default().event(name).data(data)
}

#[cfg(test)]
mod tests {
    use freezeframe_model::Note;

    use super::*;
    use crate::Events;

    /// An event as it is sent.
    async fn text(stream: &mut Stream) -> Option<String> {
        let event = stream.next().await?;
        let one = futures_util::stream::once(async move { Ok::<_, Infallible>(event) });
        let body = Sse::new(one).into_response().into_body();
        let bytes = axum::body::to_bytes(body, 1 << 20).await.expect("a body");
        Some(String::from_utf8(bytes.to_vec()).expect("text"))
    }

    fn note(text: &str) -> Note {
        Note { id: 1, at: Timestamp(0), who: "ada".to_owned(), text: text.to_owned() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_page_is_told_of_its_incident_and_of_the_fleet() {
        let events = Events::default();
        let mut stream = Stream::new(events.watch(), Some(IncidentId(42)), None);
        assert!(text(&mut stream).await.expect("begun").starts_with("event: hello\ndata: {\"schema\":"));
        events.note(IncidentId(7), &note("not mine"));
        events.note(IncidentId(42), &note("a line\n\ndata: {}\nevent: end"));
        events.fleet(&crate::dto::FleetAnswer::default());
        let told = text(&mut stream).await.expect("told");
        assert!(told.starts_with("event: note\ndata: {") && told.ends_with("}\n\n"), "{told}");
        assert_eq!(told.lines().count(), 3, "text cannot end an event: {told}");
        assert!(text(&mut stream).await.expect("told").starts_with("event: fleet\n"));
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_is_too_slow_is_told_to_read_everything_again() {
        let events = Events::default();
        let mut stream = Stream::new(events.watch(), None, None);
        text(&mut stream).await.expect("begun");
        for n in 0..1_000 {
            events.note(IncidentId(42), &note(&n.to_string()));
        }
        let told = text(&mut stream).await.expect("told");
        assert_eq!(told, "event: resync\ndata: {\"missed\":744}\n\n");
        assert!(text(&mut stream).await.expect("told").contains("\"text\":\"744\""));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_ends_with_the_daemon_and_says_so() {
        let events = Events::default();
        let (end, ended) = watch::channel(());
        let mut stream = Stream::new(events.watch(), None, Some(ended));
        text(&mut stream).await.expect("begun");
        drop(end);
        assert_eq!(text(&mut stream).await.as_deref(), Some("event: end\ndata: {\"why\":\"shutdown\"}\n\n"));
        assert_eq!(text(&mut stream).await, None);
    }
}
