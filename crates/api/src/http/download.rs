//! Files of an incident, which may be larger than memory.

use std::io::{self, BufWriter, Write};
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use tokio::sync::mpsc;

use super::{Problem, Shared, incident_id};
use crate::access::Admitted;
use crate::control::{ControlError, IncidentFile};

/// Bytes that are handed over at a time.
const PIECE: usize = 64 << 10;
/// Pieces that wait for a slow client; then the reading waits.
const PIECES: usize = 4;
/// How long a client may take no piece at all.
const PATIENCE: Duration = Duration::from_secs(60);

/// `GET /api/v1/incidents/{id}/capsule`
pub(super) async fn capsule(
    State(shared): State<Arc<Shared>>,
    Extension(admitted): Extension<Admitted>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    shared.file(admitted, &id, IncidentFile::Capsule).await
}

/// `GET /api/v1/incidents/{id}/core`
pub(super) async fn core(
    State(shared): State<Arc<Shared>>,
    Extension(admitted): Extension<Admitted>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    shared.file(admitted, &id, IncidentFile::Core).await
}

impl Shared {
    /// Waits for the first piece, so that what goes wrong before it has a status of its own. What goes wrong later cuts the
    /// connection off: the client sees that this was not all.
    async fn file(&self, admitted: Admitted, id: &str, file: IncidentFile) -> Result<Response, Problem> {
        let id = incident_id(id)?;
        let (sender, mut pieces) = mpsc::channel(PIECES);
        let control = Arc::clone(&self.control);
        let read = tokio::task::spawn_blocking(move || {
            let mut to = BufWriter::with_capacity(PIECE, Pieces { sender });
            if let Err(error) = control.file(&admitted.caller.0, id, file, &mut to) {
                // Without a last piece, which would look like a beginning.
                drop(to.into_parts());
                return Err(error);
            }
            let ended = to.flush().and_then(|()| to.get_ref().give(Bytes::new()));
            ended.map_err(|error| ControlError::Failed(error.to_string()))
        });
        let Some(first) = pieces.recv().await else {
            let why = match read.await {
                Ok(Err(error)) => error,
                Ok(Ok(())) => ControlError::Failed("the file ended before it began".to_owned()),
                Err(error) => ControlError::Failed(format!("the file cannot be read: {error}")),
            };
            return Err(Problem::Control(why));
        };
        let (kind, name) = match file {
            IncidentFile::Capsule => ("application/octet-stream", format!("{id}.capsule")),
            IncidentFile::Core => ("application/zstd", format!("{id}.core.zst")),
        };
        let body = Body::from_stream(stream::unfold(Some((Some(first), pieces)), next));
        let mut answer = ([(header::CONTENT_TYPE, kind)], body).into_response();
        if let Ok(name) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")) {
            answer.headers_mut().insert(header::CONTENT_DISPOSITION, name);
        }
        Ok(answer)
    }
}

type Rest = Option<(Option<Bytes>, mpsc::Receiver<Bytes>)>;

/// The next piece; an empty one is the end, and an end without it an error.
async fn next(rest: Rest) -> Option<(io::Result<Bytes>, Rest)> {
    let (first, mut pieces) = rest?;
    let piece = match first {
        Some(first) => Some(first),
        None => pieces.recv().await,
    };
    match piece {
        Some(piece) if piece.is_empty() => None,
        Some(piece) => Some((Ok(piece), Some((None, pieces)))),
        None => Some((Err(io::ErrorKind::UnexpectedEof.into()), None)),
    }
}

/// Gives what is written to the connection.
struct Pieces {
    sender: mpsc::Sender<Bytes>,
}

impl Pieces {
    /// Waits for a slow client, but not for one that takes nothing at all. To be called from a thread that may block.
    fn give(&self, piece: Bytes) -> io::Result<()> {
        let given = tokio::time::timeout(PATIENCE, self.sender.send(piece));
        match tokio::runtime::Handle::current().block_on(given) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(io::ErrorKind::BrokenPipe.into()),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let piece = Bytes::copy_from_slice(bytes.get(..PIECE).unwrap_or(bytes));
        let length = piece.len();
        self.give(piece)?;
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
