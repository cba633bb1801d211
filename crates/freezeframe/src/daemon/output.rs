//! The instances' output, passed through to ours, each line with its instance's name before it. A file or a pipe gets it byte for byte; a
//! terminal gets its colours, and the rest of what it would obey as text.

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};

use freezeframe_model::{InstanceId, LogLine, Stream};

use crate::render::clean_but_colours;

/// Pieces of output that wait for our terminal; a terminal that is stopped must not stop the daemon. A piece has as many lines as
/// a shim sends at once.
const PIECES_MAX: usize = 64;

/// Lines of one stream that go out in one write.
struct Piece {
    stream: Stream,
    text: String,
    lines: u64,
}

/// Writes lines in a thread of its own: a write to a pipe that nobody reads blocks.
#[derive(Clone)]
pub(crate) struct PassThrough {
    service: String,
    pieces: Option<SyncSender<Piece>>,
    /// Lines that found no room, not told of yet.
    lost: Arc<AtomicU64>,
}

impl PassThrough {
    /// With `quiet` nothing is written.
    pub(crate) fn new(service: &str, quiet: bool) -> Self {
        let lost = Arc::new(AtomicU64::new(0));
        if quiet {
            return Self { service: service.to_owned(), pieces: None, lost };
        }
        let (pieces, received) = sync_channel::<Piece>(PIECES_MAX);
        let untold = lost.clone();
        std::thread::spawn(move || {
            for piece in received {
                let _ = match piece.stream {
                    Stream::Stdout => std::io::stdout().write_all(piece.text.as_bytes()),
                    Stream::Stderr => std::io::stderr().write_all(piece.text.as_bytes()),
                };
                let lost = untold.swap(0, Ordering::Relaxed);
                if lost > 0 {
                    let _ = writeln!(std::io::stderr(), "({lost} lines were not shown)");
                }
            }
        });
        Self { service: service.to_owned(), pieces: Some(pieces), lost }
    }

    pub(crate) fn lines(&self, instance: InstanceId, lines: &[LogLine]) {
        if self.pieces.is_none() {
            return;
        }
        let name = format!("{}/{instance} | ", self.service);
        for run in lines.chunk_by(|one, next| one.stream == next.stream) {
            let Some(first) = run.first() else { continue };
            let is_terminal = match first.stream {
                Stream::Stdout => std::io::stdout().is_terminal(),
                Stream::Stderr => std::io::stderr().is_terminal(),
            };
            let mut text =
                String::with_capacity(run.iter().map(|line| name.len() + line.text.len() + 1).sum());
            for line in run {
                text.push_str(&name);
                match is_terminal {
                    true => text.push_str(&clean_but_colours(&line.text)),
                    false => text.push_str(&line.text),
                }
                text.push('\n');
            }
            self.write(Piece { stream: first.stream, text, lines: run.len() as u64 });
        }
    }

    pub(crate) fn dropped(&self, instance: InstanceId, count: u64) {
        let text = format!("{}/{instance} | ({count} lines were not shown)\n", self.service);
        self.write(Piece { stream: Stream::Stderr, text, lines: 1 });
    }

    fn write(&self, piece: Piece) {
        let Some(pieces) = &self.pieces else { return };
        match pieces.try_send(piece) {
            Ok(()) => {}
            Err(TrySendError::Full(piece)) => {
                self.lost.fetch_add(piece.lines, Ordering::Relaxed);
            }
            Err(TrySendError::Disconnected(_)) => {
                tracing::debug!("the thread that passes output through has ended");
            }
        }
    }
}
