//! The connection to the daemon: one at a time; a new one takes the place of the old. Nothing here ever blocks the main
//! thread: a daemon that does not keep up loses log lines (counted), and at last its connection.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use freezeframe_model::LogLine;

use crate::files::SocketPath;
use crate::instance::Input;
use crate::protocol::{Command, Decoder, Report, encode};
use crate::wake::Bell;

/// Lines that wait for the daemon.
const LINES_MAX: usize = 4096;
/// Other reports that wait; more means that the daemon has stopped reading.
const REPORTS_MAX: usize = 256;

const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Lines wait so long for others before they go together: in a storm of errors, waking four threads for each line costs more
/// than everything else. Reports never wait.
const GATHER: Duration = Duration::from_millis(5);
/// Lines that go together at most,
const LINES_AT_ONCE: usize = 256;
/// and their bytes, give or take a line.
const BYTES_AT_ONCE: usize = 256 * 1024;

/// What waits to be sent.
#[derive(Default)]
struct Queue {
    connection: Option<UnixStream>,
    /// Counts connections, so that a thread of an old one notices.
    generation: u64,
    reports: VecDeque<Report>,
    lines: VecDeque<LogLine>,
    dropped: u64,
}

/// The sending side; shared by the main thread and the readers of the instance's output.
#[derive(Clone, Default)]
pub(crate) struct Link {
    queue: Arc<(Mutex<Queue>, Condvar)>,
}

impl Link {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.lock().connection.is_some()
    }

    /// Queues a report; without a daemon it is dropped: the state that the next one needs is in `Hello` and on disk.
    pub(crate) fn send(&self, report: Report) {
        let mut queue = self.lock();
        if queue.connection.is_none() {
            return;
        }
        if queue.reports.len() >= REPORTS_MAX {
            close(&mut queue);
        } else {
            queue.reports.push_back(report);
        }
        self.queue.1.notify_all();
    }

    /// Queues a line of the instance's output.
    pub(crate) fn line(&self, line: LogLine) {
        let mut queue = self.lock();
        // What is written before the daemon that started us connects waits for it.
        if queue.connection.is_none() && queue.generation > 0 {
            return;
        }
        if queue.lines.len() >= LINES_MAX {
            queue.dropped += 1;
            return;
        }
        queue.lines.push_back(line);
        // In between the writer gathers.
        if matches!(queue.lines.len(), 1 | LINES_AT_ONCE) {
            self.queue.1.notify_all();
        }
    }

    /// Waits until everything is sent, or nobody is there to read it.
    pub(crate) fn flush(&self, limit: Duration) {
        let queue = self.lock();
        let waiting = |queue: &mut Queue| {
            queue.connection.is_some() && !(queue.reports.is_empty() && queue.lines.is_empty())
        };
        drop(self.queue.1.wait_timeout_while(queue, limit, waiting));
    }

    /// Listens; each connection begins with `Input::Connected`.
    pub(crate) fn listen(&self, socket: &Path, inputs: &Sender<Input>, bell: &Bell) -> io::Result<()> {
        let _ = std::fs::remove_file(socket);
        let listener = UnixListener::bind(SocketPath::of(socket)?)?;
        let (link, inputs, bell) = (self.clone(), inputs.clone(), bell.clone());
        std::thread::Builder::new().name("listen".to_owned()).spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else {
                    // No descriptors are left: somebody will close one.
                    std::thread::sleep(ACCEPT_PAUSE);
                    continue;
                };
                if link.take_on(&stream, &inputs, &bell).is_err() {
                    let _ = stream.shutdown(Shutdown::Both);
                }
            }
        })?;
        Ok(())
    }

    fn take_on(&self, stream: &UnixStream, inputs: &Sender<Input>, bell: &Bell) -> io::Result<()> {
        let (reading, writing) = (stream.try_clone()?, stream.try_clone()?);
        let generation = {
            let mut queue = self.lock();
            if queue.generation > 0 {
                close(&mut queue);
            }
            queue.connection = Some(stream.try_clone()?);
            queue.generation += 1;
            queue.generation
        };
        self.queue.1.notify_all();
        let link = self.clone();
        std::thread::Builder::new()
            .name("write".to_owned())
            .spawn(move || link.write_all(writing, generation))?;
        let (link, inputs, bell) = (self.clone(), inputs.clone(), bell.clone());
        let _ = inputs.send(Input::Connected);
        bell.ring();
        std::thread::Builder::new().name("read".to_owned()).spawn(move || {
            let result = read_all(reading, &inputs, &bell);
            if let Err(error) = result {
                tracing::warn!(%error, "connection to the daemon");
            }
            let mut queue = link.lock();
            if queue.generation == generation {
                close(&mut queue);
                let _ = inputs.send(Input::Disconnected);
                bell.ring();
            }
        })?;
        Ok(())
    }

    fn write_all(&self, mut stream: UnixStream, generation: u64) {
        loop {
            let next = {
                let queue = self.lock();
                let idle = |queue: &mut Queue| {
                    queue.generation == generation
                        && queue.connection.is_some()
                        && queue.reports.is_empty()
                        && queue.lines.is_empty()
                };
                let mut queue = self.queue.1.wait_while(queue, idle).unwrap_or_else(PoisonError::into_inner);
                let gathering = |queue: &mut Queue| {
                    queue.generation == generation
                        && queue.connection.is_some()
                        && queue.reports.is_empty()
                        && queue.lines.len() < LINES_AT_ONCE
                };
                queue = match self.queue.1.wait_timeout_while(queue, GATHER, gathering) {
                    Ok((queue, _)) => queue,
                    Err(poisoned) => poisoned.into_inner().0,
                };
                if queue.generation != generation || queue.connection.is_none() {
                    return;
                }
                queue.next()
            };
            let Some((report, queued)) = next else { continue };
            // One that cannot be encoded (longer than any message may be) is dropped: it would not fit the next time either.
            let written = match encode(&report) {
                Ok(bytes) => stream.write_all(&bytes),
                Err(error) => {
                    tracing::error!(%error, "a report was dropped");
                    Ok(())
                }
            };
            let mut queue = self.lock();
            if queue.generation != generation {
                return;
            }
            if queued {
                queue.reports.pop_front();
            }
            if written.is_err() {
                close(&mut queue);
            }
            drop(queue);
            self.queue.1.notify_all();
        }
    }
}

impl Queue {
    /// What is to be sent next, and whether it is still in the queue of reports.
    fn next(&mut self) -> Option<(Report, bool)> {
        match self.reports.front() {
            // After its last word nobody listens to an instance any more.
            Some(Report::Exited { .. }) if !self.lines.is_empty() => Some((self.some_lines(), false)),
            Some(report) => Some((report.clone(), true)),
            None if self.dropped > 0 => {
                Some((Report::LinesDropped(std::mem::take(&mut self.dropped)), false))
            }
            None if !self.lines.is_empty() => Some((self.some_lines(), false)),
            None => None,
        }
    }

    fn some_lines(&mut self) -> Report {
        let mut bytes = 0;
        let fits = |line: &&LogLine| {
            let before = bytes;
            bytes += line.text.len();
            before < BYTES_AT_ONCE
        };
        let count = self.lines.iter().take(LINES_AT_ONCE).take_while(fits).count();
        Report::Lines(self.lines.drain(..count).collect())
    }
}

fn close(queue: &mut Queue) {
    if let Some(connection) = queue.connection.take() {
        let _ = connection.shutdown(Shutdown::Both);
    }
    queue.reports.clear();
    queue.lines.clear();
}

fn read_all(mut stream: UnixStream, inputs: &Sender<Input>, bell: &Bell) -> io::Result<()> {
    let mut decoder = Decoder::default();
    let mut buffer = [0; 16 * 1024];
    loop {
        let length = stream.read(&mut buffer)?;
        if length == 0 {
            return Ok(());
        }
        decoder.push(buffer.get(..length).unwrap_or_default());
        while let Some(command) = decoder.take::<Command>()? {
            if inputs.send(Input::Command(command)).is_err() {
                return Ok(());
            }
            bell.ring();
        }
    }
}
