//! Debug information from servers, by build id (debuginfod(8)), kept on disk.
//!
//! Whoever asks waits half a second for all that it asks at a time, and goes on without: a fetch that takes longer ends in
//! the background, and its file is there for the next one. Nobody is asked twice in ten minutes for what there is not.

use std::collections::{HashMap, VecDeque};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use freezeframe_debuginfo::{Fetch, build_id_of};
use freezeframe_http::{Endpoint, Trust};
use freezeframe_model::{BuildId, chain};
use freezeframe_shim::files::DebugSpec;

/// How long is waited within one [`BURST`].
const PATIENCE: Duration = Duration::from_millis(500);
const BURST: Duration = Duration::from_secs(10);
/// A server that sends nothing for so long is left.
const SILENCE: Duration = Duration::from_secs(15);
/// Time for one file.
const FETCH_LIMIT: Duration = Duration::from_secs(15 * 60);
/// What is not there, or could not be had, is not asked for again so soon.
const ABSENT: Duration = Duration::from_secs(600);
const FAILED: Duration = Duration::from_secs(60);
/// Builds that wait to be fetched, and that are known of.
const QUEUE_MAX: usize = 256;
const KNOWN_MAX: usize = 4096;
/// Files of the cache that are looked at to make room.
const FILES_MAX: usize = 100_000;
/// An unfinished file of this age was left by a process that was killed.
const UNFINISHED: Duration = Duration::from_secs(3600);

/// What asks the servers of this spec; `None` where it names none.
pub(crate) fn fetcher(spec: &DebugSpec) -> Option<Arc<Fetch>> {
    if spec.servers.is_empty() {
        return None;
    }
    let cache = Arc::new(Cache { spec: spec.clone(), state: Mutex::default(), changed: Condvar::new() });
    Some(Arc::new(move |build: &BuildId| cache.fetch(build)))
}

/// What became of a build.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    Waiting,
    Kept,
    Absent,
    Failed(String, Instant),
}

#[derive(Default)]
struct State {
    queue: VecDeque<BuildId>,
    known: HashMap<BuildId, Outcome>,
    /// A thread fetches.
    working: bool,
    /// When the present burst of questions began.
    burst: Option<Instant>,
}

struct Cache {
    spec: DebugSpec,
    state: Mutex<State>,
    changed: Condvar,
}

impl Cache {
    fn fetch(self: &Arc<Self>, build: &BuildId) -> io::Result<Option<File>> {
        // Shorter ones are no hashes, longer ones no names of files.
        if !(8..=64).contains(&build.0.len()) {
            return Ok(None);
        }
        if let Some(file) = self.kept(build) {
            return Ok(Some(file));
        }
        if self.is_known_absent(build) {
            return Ok(None);
        }
        let mut state = self.lock();
        let failed_lately = match state.known.get(build) {
            Some(Outcome::Failed(why, at)) if at.elapsed() < FAILED => Some(why.clone()),
            _ => None,
        };
        if let Some(why) = failed_lately {
            return Err(io::Error::other(why));
        }
        if state.known.get(build) != Some(&Outcome::Waiting) {
            self.enqueue(&mut state, build)?;
        }
        let deadline = state.deadline();
        let waiting = |state: &mut State| state.known.get(build) == Some(&Outcome::Waiting);
        let left = deadline.saturating_duration_since(Instant::now());
        let state = match self.changed.wait_timeout_while(state, left, waiting) {
            Ok((state, _)) => state,
            Err(poisoned) => poisoned.into_inner().0,
        };
        match state.known.get(build) {
            Some(Outcome::Kept) => Ok(self.kept(build)),
            Some(Outcome::Failed(why, _)) => Err(io::Error::other(why.clone())),
            Some(Outcome::Absent) | None => Ok(None),
            Some(Outcome::Waiting) => {
                let why = "it is still being fetched, and there for the next capture";
                Err(io::Error::new(io::ErrorKind::TimedOut, why))
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enqueue(self: &Arc<Self>, state: &mut State, build: &BuildId) -> io::Result<()> {
        if state.queue.len() >= QUEUE_MAX {
            return Err(io::Error::other("too many files are being fetched"));
        }
        if state.known.len() >= KNOWN_MAX {
            state.known.retain(|_, outcome| *outcome == Outcome::Waiting);
        }
        if !state.working {
            let cache = Arc::clone(self);
            std::thread::Builder::new().name("debuginfod".to_owned()).spawn(move || cache.work())?;
            state.working = true;
        }
        state.known.insert(build.clone(), Outcome::Waiting);
        state.queue.push_back(build.clone());
        Ok(())
    }

    /// Fetches what waits, one file after the other.
    fn work(&self) {
        loop {
            let build = {
                let mut state = self.lock();
                let Some(build) = state.queue.pop_front() else {
                    state.working = false;
                    return;
                };
                build
            };
            let outcome = match self.ask_all(&build) {
                Ok(true) => Outcome::Kept,
                Ok(false) => Outcome::Absent,
                Err(why) => {
                    tracing::warn!(%build, why, "debug information could not be fetched");
                    Outcome::Failed(why, Instant::now())
                }
            };
            self.lock().known.insert(build, outcome);
            self.changed.notify_all();
        }
    }

    /// Whether one of the servers had it; it is in the cache then.
    fn ask_all(&self, build: &BuildId) -> Result<bool, String> {
        fs::create_dir_all(&self.spec.cache).map_err(chain)?;
        let trust = Trust::system().map_err(chain)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(chain)?;
        let mut failures = Vec::new();
        for server in &self.spec.servers {
            let asked = Endpoint::parse(server, &trust)
                .map_err(chain)
                .and_then(|endpoint| runtime.block_on(self.ask(&endpoint, build)));
            match asked {
                Ok(true) => return Ok(true),
                Ok(false) => {}
                Err(why) => failures.push(format!("{server}: {why}")),
            }
        }
        if failures.is_empty() {
            // Other shims need not ask either.
            File::create(self.place(build, "absent")).map_err(chain)?;
            return Ok(false);
        }
        Err(failures.join("; "))
    }

    async fn ask(&self, server: &Endpoint, build: &BuildId) -> Result<bool, String> {
        let unfinished = tempfile::Builder::new().suffix(".unfinished").tempfile_in(&self.spec.cache);
        let mut unfinished = unfinished.map_err(chain)?;
        let mut left = self.spec.file_bytes_max;
        let keep = |bytes: &[u8]| {
            let more = left.checked_sub(bytes.len() as u64);
            left = more.ok_or_else(|| io::Error::other("it is larger than debuginfo.file_bytes_max"))?;
            unfinished.write_all(bytes)
        };
        let path = format!("buildid/{build}/debuginfo");
        let getting = server.get(&path, SILENCE, keep);
        let status = tokio::time::timeout(FETCH_LIMIT, getting).await;
        match status.map_err(|_| "it takes too long".to_owned())?.map_err(chain)? {
            200 => {}
            404 => return Ok(false),
            status => return Err(format!("status {status}")),
        }
        if build_id_of(unfinished.as_file()).map_err(chain)?.as_ref() != Some(build) {
            return Err("what it sent is not of this build".to_owned());
        }
        unfinished.as_file().sync_all().map_err(chain)?;
        // Room first: once it has its name, others take it, and the cache is within its bounds.
        let length = unfinished.as_file().metadata().map_err(chain)?.len();
        self.make_room(length).map_err(chain)?;
        unfinished.persist(self.place(build, "debug")).map_err(chain)?;
        Ok(true)
    }

    fn place(&self, build: &BuildId, what: &str) -> PathBuf {
        self.spec.cache.join(format!("{build}.{what}"))
    }

    /// From the cache; used again, it is not the next to make room.
    fn kept(&self, build: &BuildId) -> Option<File> {
        let file = File::open(self.place(build, "debug")).ok()?;
        let _ = file.set_modified(SystemTime::now());
        Some(file)
    }

    fn is_known_absent(&self, build: &BuildId) -> bool {
        let asked = fs::metadata(self.place(build, "absent")).and_then(|facts| facts.modified());
        asked.is_ok_and(|at| at.elapsed().is_ok_and(|ago| ago < ABSENT))
    }

    /// Takes out the longest unused until `incoming` bytes fit; they fit where nothing is left, however many they are.
    fn make_room(&self, incoming: u64) -> io::Result<()> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.spec.cache)?.take(FILES_MAX).flatten() {
            let (path, facts) = (entry.path(), entry.metadata()?);
            let modified = facts.modified()?;
            let age = modified.elapsed().unwrap_or_default();
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("debug") => files.push((modified, facts.len(), path)),
                Some("unfinished") if age > UNFINISHED => fs::remove_file(path)?,
                Some("absent") if age > ABSENT => fs::remove_file(path)?,
                _ => {}
            }
        }
        files.sort();
        let mut bytes = files.iter().fold(incoming, |sum, (_, length, _)| sum.saturating_add(*length));
        for (_, length, path) in files {
            if bytes > self.spec.cache_bytes_max {
                fs::remove_file(path)?;
                bytes = bytes.saturating_sub(length);
            }
        }
        Ok(())
    }
}

impl State {
    /// Until when the questions of this burst wait. They belong to one capture, which must not wait for each.
    fn deadline(&mut self) -> Instant {
        let now = Instant::now();
        let begun = self.burst.filter(|begun| now.duration_since(*begun) < BURST).unwrap_or(now);
        self.burst = Some(begun);
        begun.checked_add(PATIENCE).unwrap_or(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::net::TcpListener;
    use std::path::Path;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::{Receiver, channel};

    /// This test's own program, which is an ELF file with a build id.
    fn program() -> (BuildId, Vec<u8>) {
        let path = std::env::current_exe().expect("a program");
        let build = build_id_of(&File::open(&path).expect("readable")).expect("ELF").expect("a build id");
        (build, fs::read(path).expect("readable"))
    }

    /// A server that answers each request with what `answer` makes of its path; its URL, and how often it was asked.
    fn serve(answer: impl Fn(&str) -> (u16, Vec<u8>) + Send + 'static) -> (String, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("its address"));
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut bytes = [0; 4096];
                let length = stream.read(&mut bytes).unwrap_or(0);
                let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
                count.fetch_add(1, Ordering::SeqCst);
                let (status, body) = answer(text.split(' ').nth(1).unwrap_or_default());
                let head = format!(
                    "HTTP/1.1 {status} x\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                    body.len()
                );
                let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
            }
        });
        (url, asked)
    }

    fn spec(cache: &Path, servers: &[&str]) -> DebugSpec {
        DebugSpec {
            directories: Vec::new(),
            servers: servers.iter().map(|server| (*server).to_owned()).collect(),
            cache: cache.join("debuginfo"),
            file_bytes_max: 1 << 30,
            cache_bytes_max: 1 << 30,
        }
    }

    /// Asks until nothing is under way any more.
    fn fetched(fetch: &Fetch, build: &BuildId) -> Result<Option<u64>, String> {
        loop {
            match fetch(build) {
                Err(error) if error.kind() == io::ErrorKind::TimedOut => std::thread::yield_now(),
                Err(error) => return Err(error.to_string()),
                Ok(file) => return Ok(file.map(|file| file.metadata().expect("there").len())),
            }
        }
    }

    #[test]
    fn a_file_is_fetched_once_verified_and_kept() {
        let scratch = tempfile::tempdir().expect("a directory");
        let (build, bytes) = program();
        let length = bytes.len() as u64;
        let (without, _) = serve(|_| (404, Vec::new()));
        let wanted = format!("/buildid/{build}/debuginfo");
        let (with, asked) =
            serve(move |path| if path == wanted { (200, bytes.clone()) } else { (400, Vec::new()) });
        let spec = spec(scratch.path(), &[&without, &with]);
        let fetch = fetcher(&spec).expect("servers");
        assert_eq!(fetched(&*fetch, &build), Ok(Some(length)));
        assert_eq!(fetched(&*fetch, &build), Ok(Some(length)));
        let later = fetcher(&spec).expect("servers");
        assert_eq!(fetched(&*later, &build), Ok(Some(length)));
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        let left: Vec<_> =
            fs::read_dir(&spec.cache).expect("there").flatten().map(|it| it.file_name()).collect();
        assert_eq!(left, [format!("{build}.debug").as_str()]);
    }

    #[test]
    fn what_there_is_not_is_not_asked_for_again() {
        let scratch = tempfile::tempdir().expect("a directory");
        let (url, asked) = serve(|_| (404, Vec::new()));
        let spec = spec(scratch.path(), &[&url]);
        for _ in 0..2 {
            let fetch = fetcher(&spec).expect("servers");
            assert_eq!(fetched(&*fetch, &BuildId(vec![7; 20])), Ok(None));
        }
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        let fetch = fetcher(&spec).expect("servers");
        assert_eq!(fetched(&*fetch, &BuildId(vec![7; 2])), Ok(None), "no hash");
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn wrong_long_and_broken_answers_are_refused() {
        let (build, bytes) = program();
        for (limit, build, answer, why) in [
            (1 << 30, BuildId(vec![9; 20]), (200, bytes.clone()), "what it sent is not of this build"),
            (1 << 30, build.clone(), (200, b"<html>".to_vec()), "127.0.0.1"),
            (1 << 10, build.clone(), (200, bytes), "it is larger than debuginfo.file_bytes_max"),
            (1 << 30, build, (503, Vec::new()), "status 503"),
        ] {
            let scratch = tempfile::tempdir().expect("a directory");
            let (url, asked) = serve(move |_| answer.clone());
            let spec = DebugSpec { file_bytes_max: limit, ..spec(scratch.path(), &[&url]) };
            let fetch = fetcher(&spec).expect("servers");
            for _ in 0..2 {
                let error = fetched(&*fetch, &build).expect_err(why);
                assert!(error.contains(why), "{error}");
            }
            assert_eq!(asked.load(Ordering::SeqCst), 1, "not at once again");
            assert_eq!(fs::read_dir(&spec.cache).expect("there").count(), 0, "{why}");
        }
    }

    #[test]
    fn nobody_waits_for_a_slow_server() {
        let scratch = tempfile::tempdir().expect("a directory");
        let (build, bytes) = program();
        let (go, wait): (_, Receiver<()>) = channel();
        let (url, _) = serve(move |_| {
            let _ = wait.recv();
            (200, bytes.clone())
        });
        let fetch = fetcher(&spec(scratch.path(), &[&url])).expect("servers");
        let begun = Instant::now();
        for number in 0..50u8 {
            let build = if number == 0 { build.clone() } else { BuildId(vec![number; 20]) };
            let error = fetch(&build).expect_err("not there yet");
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        }
        assert!(begun.elapsed() < 20 * PATIENCE, "each waited by itself");
        go.send(()).expect("the server waits");
        assert!(fetched(&*fetch, &build).expect("fetched").is_some());
    }

    #[test]
    fn the_longest_unused_make_room() {
        let scratch = tempfile::tempdir().expect("a directory");
        let (build, bytes) = program();
        let (url, _) = serve(move |_| (200, bytes.clone()));
        let spec = DebugSpec { cache_bytes_max: 1, ..spec(scratch.path(), &[&url]) };
        fs::create_dir(&spec.cache).expect("made");
        for name in ["old.debug", "other"] {
            fs::write(spec.cache.join(name), b"12").expect("written");
        }
        let fetch = fetcher(&spec).expect("servers");
        assert!(fetched(&*fetch, &build).expect("fetched").is_some());
        assert!(!spec.cache.join("old.debug").exists());
        assert!(spec.cache.join("other").exists());
    }
}
