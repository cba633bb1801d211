//! The access log: one line per request, written by a thread of its own.
//!
//! A worker appends to a buffer that nobody else touches, and hands it over when it is full or a second old. The way to the
//! writing thread is bounded: where the disk cannot keep up, whole buffers are dropped and their lines counted; requests never
//! wait for it. Queries are not logged, since they carry tokens; neither is anything of a referring page but its place.

use std::cell::RefCell;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use http::{HeaderValue, Version};

use crate::log_line;
use crate::report::Finished;
use crate::route::lock;

/// A buffer is handed over when it is so full.
const BUFFER_BYTES: usize = 32 * 1024;
/// Buffers on their way to the writing thread: 8 MiB of lines.
const BUFFERS_MAX: usize = 256;
/// How long the end of the gate waits for the last lines.
const FLUSH_MAX: Duration = Duration::from_secs(2);

/// Where the access log goes, and in what form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessLog {
    /// A file that is appended to; `None` is standard output.
    pub path: Option<PathBuf>,
    /// The form of a line.
    pub format: LogFormat,
}

/// The form of a line of the access log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// A JSON object.
    #[default]
    Json,
    /// The combined log format of Apache's server.
    Combined,
}

/// What only the log wants to know of a request.
#[derive(Debug)]
pub(crate) struct Particulars {
    pub(crate) version: Version,
    pub(crate) host: Option<HeaderValue>,
    pub(crate) user_agent: Option<HeaderValue>,
    pub(crate) referer: Option<HeaderValue>,
}

/// The log as all workers share it.
pub(crate) struct Log {
    format: LogFormat,
    sender: SyncSender<Job>,
    dropped: AtomicU64,
    thread: Mutex<Option<JoinHandle<()>>>,
}

enum Job {
    Lines(Vec<u8>),
    /// The file was moved away: begin a new one.
    Reopen,
    End,
}

/// Lines of one worker that are not handed over yet.
#[derive(Default)]
pub(crate) struct LogBuffer {
    lines: RefCell<(Vec<u8>, u64)>,
}

impl Log {
    /// Opens the file and starts the thread.
    pub(crate) fn start(settings: &AccessLog) -> io::Result<Self> {
        let out = Out::open(settings.path.as_ref())?;
        let (sender, jobs) = sync_channel(BUFFERS_MAX);
        let path = settings.path.clone();
        let thread = std::thread::Builder::new().name("gate-log".to_owned());
        let thread = thread.spawn(move || write_all(out, path, &jobs))?;
        let (format, dropped) = (settings.format, AtomicU64::new(0));
        Ok(Self { format, sender, dropped, thread: Mutex::new(Some(thread)) })
    }

    /// Lines that were dropped because the disk could not keep up.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    pub(crate) fn reopen(&self) {
        // Where the way is full, the disk has other troubles; the next request to reopen comes with the next rotation.
        let _ = self.sender.try_send(Job::Reopen);
    }

    /// Waits until everything handed over so far is written, as long as is reasonable.
    pub(crate) fn end(&self) {
        let Some(thread) = lock(&self.thread).take() else { return };
        let until = std::time::Instant::now() + FLUSH_MAX;
        while self.sender.try_send(Job::End).is_err()
            && std::time::Instant::now() < until
            && !thread.is_finished()
        {
            std::thread::sleep(Duration::from_millis(10));
        }
        while !thread.is_finished() && std::time::Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl LogBuffer {
    /// Appends a request's line.
    pub(crate) fn append(
        &self,
        log: &Log,
        finished: &Finished<'_>,
        particulars: Option<&Particulars>,
        at_us: i64,
    ) {
        let mut lines = self.lines.borrow_mut();
        let (buffer, count) = &mut *lines;
        match log.format {
            LogFormat::Json => log_line::json(buffer, finished, particulars, at_us),
            LogFormat::Combined => log_line::combined(buffer, finished, particulars, at_us),
        }
        *count += 1;
        if buffer.len() >= BUFFER_BYTES {
            drop(lines);
            self.hand_over(log);
        }
    }

    /// Gives the lines to the writing thread, or drops them.
    pub(crate) fn hand_over(&self, log: &Log) {
        let (buffer, count) = self.lines.take();
        if count > 0 && log.sender.try_send(Job::Lines(buffer)).is_err() {
            log.dropped.fetch_add(count, Ordering::Relaxed);
        }
    }
}

enum Out {
    File(File),
    Stdout,
}

impl Out {
    fn open(path: Option<&PathBuf>) -> io::Result<Self> {
        match path {
            Some(path) => OpenOptions::new().create(true).append(true).open(path).map(Self::File),
            None => Ok(Self::Stdout),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::File(file) => file.write_all(bytes),
            Self::Stdout => {
                let mut out = io::stdout().lock();
                out.write_all(bytes).and_then(|()| out.flush())
            }
        }
    }
}

/// The thread's whole life: until it is told, or nobody is left to tell it.
fn write_all(mut out: Out, path: Option<PathBuf>, jobs: &Receiver<Job>) {
    let mut works = true;
    while let Ok(job) = jobs.recv() {
        let result = match job {
            Job::Lines(lines) => out.write(&lines),
            Job::Reopen => Out::open(path.as_ref()).map(|new| out = new),
            Job::End => return,
        };
        // Once per trouble, not once per buffer.
        match &result {
            Err(error) if works => tracing::error!(%error, "the access log cannot be written"),
            Ok(()) if !works => tracing::info!("the access log can be written again"),
            _ => {}
        }
        works = result.is_ok();
    }
}
