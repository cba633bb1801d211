//! The instance's standard output and error: split into lines, kept in a ring, passed on to the daemon.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use freezeframe_evidence::{LineSplitter, LogRing};
use freezeframe_model::{LogLine, Stream, Timestamp};
use freezeframe_redact::Redactor;

use crate::link::Link;

/// A storm of errors is a storm of short lines: being woken for each costs more than everything else.
const GATHER: Duration = Duration::from_millis(2);
/// So many pieces
const PIECES_MAX: u32 = 16;
/// in so much time are read as they come: the last words before a trap must be in the ring when its capture is made.
const WINDOW: Duration = Duration::from_millis(100);
/// Pieces that are read one by one only where they are rare, in bytes.
const SMALL: usize = 8 * 1024;

/// The last lines, and the threads that read them.
pub(crate) struct Output {
    ring: Arc<Mutex<LogRing>>,
    readers: Vec<JoinHandle<()>>,
    redactor: Redactor,
}

impl Output {
    pub(crate) fn read(
        streams: [(OwnedFd, Stream); 2],
        link: &Link,
        redactor: &Redactor,
    ) -> std::io::Result<Self> {
        let ring = Arc::new(Mutex::new(LogRing::default()));
        let mut readers = Vec::new();
        for (fd, stream) in streams {
            let (ring, link) = (ring.clone(), link.clone());
            let name = format!("{stream:?}").to_lowercase();
            readers.push(
                std::thread::Builder::new()
                    .name(name)
                    .spawn(move || pump(File::from(fd), stream, &ring, &link))?,
            );
        }
        Ok(Self { ring, readers, redactor: redactor.clone() })
    }

    pub(crate) fn none() -> Self {
        Self { ring: Arc::default(), readers: Vec::new(), redactor: Redactor::default() }
    }

    /// The last lines, redacted.
    pub(crate) fn tail(&self, lines: usize) -> Vec<LogLine> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner).tail(lines, &self.redactor)
    }

    /// Whether both streams are at their end: everything that was written has been read.
    pub(crate) fn is_finished(&self) -> bool {
        self.readers.iter().all(JoinHandle::is_finished)
    }
}

fn pump(mut from: File, stream: Stream, ring: &Mutex<LogRing>, link: &Link) {
    let mut splitter = LineSplitter::default();
    let mut buffer = vec![0; 64 * 1024];
    let (mut begun, mut pieces) = (Instant::now(), 0u32);
    loop {
        let length = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(_) => break,
        };
        let lines = splitter.push(buffer.get(..length).unwrap_or_default());
        lines.into_iter().for_each(|text| keep(text, stream, ring, link));
        // Many small pieces in a short time: let some come together. The pipe takes what is written meanwhile.
        if begun.elapsed() > WINDOW {
            (begun, pieces) = (Instant::now(), 0);
        }
        pieces += 1;
        if pieces > PIECES_MAX && length < SMALL {
            std::thread::sleep(GATHER);
        }
    }
    if let Some(text) = splitter.flush() {
        keep(text, stream, ring, link);
    }
}

fn keep(text: String, stream: Stream, ring: &Mutex<LogRing>, link: &Link) {
    let line = LogLine { at: Timestamp::now(), stream, text };
    ring.lock().unwrap_or_else(PoisonError::into_inner).push(line.clone());
    link.line(line);
}
