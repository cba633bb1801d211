//! What a shim leaves on disk, in one directory per instance, so that whoever comes later finds everything.
//!
//! | file | what |
//! |---|---|
//! | `spec.json` | what to start; written by the daemon |
//! | `lock` | locked as long as the shim lives: the kernel unlocks it, however the shim ends |
//! | `socket` | where the shim listens |
//! | `state.json` | process, cgroup, hold; replaced atomically |
//! | `capture.json` | a capture that the daemon has not stored yet |
//! | `log` | the shim's own messages |

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use freezeframe_debuginfo::{DebugSources, Fetch, IndexDirectory};
use freezeframe_model::{ExitReason, InstanceId};
use freezeframe_runtime::DebugFiles;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::protocol::{Captured, HeldRecord};

/// A state file is at least this long, so that a later state fits into the room of an earlier one.
const STATE_BYTES: usize = 4096;

/// What to start and how to look at it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Spec {
    /// Its number.
    pub instance: InstanceId,
    /// Name of the service.
    pub service: String,
    /// Port that it is to listen on.
    pub port: u16,
    /// Program and arguments, `{port}` already replaced.
    pub command: Vec<String>,
    /// Variables added to the environment.
    pub environment: Vec<(String, String)>,
    /// Working directory.
    pub directory: Option<PathBuf>,
    /// Directory below which its cgroup is made; `None` where there is no usable cgroup v2.
    pub cgroup_parent: Option<PathBuf>,
    /// Extra redaction rules: name fragments, patterns, names that are never redacted.
    pub redact: [Vec<String>; 3],
    /// More of them: types, types that are never redacted, patterns of what is none.
    #[serde(default)]
    pub redact_further: [Vec<String>; 3],
    /// Time for reading frames and values after a trap, in milliseconds.
    #[serde(default = "capture_ms")]
    pub capture_ms: u64,
    /// Path prefixes that are (first) or are not (second) the user's own code.
    pub user_code: [Vec<String>; 2],
    /// Where indexes of debug information are kept, and how many bytes of them at most; nowhere where it is `None`.
    #[serde(default)]
    pub indexes: Option<(PathBuf, u64)>,
    /// Where debug information is looked for besides the usual places.
    #[serde(default)]
    pub debug: DebugSpec,
}

/// What holds for instances that were started before this could be set.
fn capture_ms() -> u64 {
    2_000
}

/// Further places for debug information; none by default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DebugSpec {
    /// Directories laid out like `/usr/lib/debug`.
    pub directories: Vec<PathBuf>,
    /// URLs of servers (debuginfod), in the order in which they are asked.
    pub servers: Vec<String>,
    /// Where files of such servers are kept.
    pub cache: PathBuf,
    /// Bytes of one such file at most.
    pub file_bytes_max: u64,
    /// Bytes of all of them; the longest unused make room.
    pub cache_bytes_max: u64,
}

/// Makes what asks the servers of a spec; `None` where it names none. The shim itself talks to no network.
pub type Fetcher = dyn Fn(&DebugSpec) -> Option<Arc<Fetch>>;

impl Spec {
    /// What reading its debug information needs.
    pub(crate) fn debug_files(&self, fetcher: &Fetcher) -> DebugFiles {
        let indexes = self.indexes.clone();
        DebugFiles {
            indexes: indexes.map(|(path, bytes_max)| Arc::new(IndexDirectory::new(path, bytes_max))),
            sources: DebugSources {
                directories: self.debug.directories.clone(),
                fetch: fetcher(&self.debug),
            },
        }
    }

    pub(crate) fn redaction(&self) -> freezeframe_redact::Rules {
        let [names, patterns, allow_names] = self.redact.clone();
        let [types, allow_types, allow_patterns] = self.redact_further.clone();
        freezeframe_redact::Rules { names, types, patterns, allow_names, allow_types, allow_patterns }
    }
}

/// Where it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// First process of the instance.
    pub pid: i32,
    /// Its start time (see `HoldFacts::pid_start`).
    pub pid_start: u64,
    /// Its cgroup's directory.
    pub cgroup: Option<PathBuf>,
    /// Its hold.
    pub held: Option<HeldRecord>,
    /// How it ended.
    pub exited: Option<ExitReason>,
}

/// The directory of one instance.
#[derive(Clone, Debug)]
pub struct Directory {
    path: PathBuf,
}

/// A socket's path by way of its directory's descriptor: such paths are limited to 107 bytes (unix(7)), data directories are
/// not. It leads to the socket for as long as this lives.
pub struct SocketPath {
    _directory: File,
    path: PathBuf,
}

impl SocketPath {
    /// The path of `socket`, which need not exist; its directory must.
    pub fn of(socket: &Path) -> io::Result<Self> {
        let directory = File::open(socket.parent().unwrap_or(Path::new(".")))?;
        let by_descriptor = format!("/proc/self/fd/{}", directory.as_raw_fd());
        let path = Path::new(&by_descriptor).join(socket.file_name().unwrap_or_default());
        Ok(Self { _directory: directory, path })
    }
}

impl AsRef<Path> for SocketPath {
    fn as_ref(&self) -> &Path {
        &self.path
    }
}

/// The exclusive right to be this instance's shim.
pub struct Lock {
    _file: File,
}

impl Directory {
    /// The directory of an instance below the data directory.
    pub fn of(data: &Path, instance: InstanceId) -> Self {
        Self { path: data.join("instances").join(instance.to_string()) }
    }

    /// By its path.
    pub fn at(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// All that exist below the data directory, by number.
    pub fn all(data: &Path) -> Vec<(InstanceId, Self)> {
        let Ok(entries) = fs::read_dir(data.join("instances")) else { return Vec::new() };
        let mut all: Vec<(InstanceId, Self)> = entries
            .filter_map(|entry| {
                let entry = entry.ok()?;
                let number = entry.file_name().to_str()?.parse().ok()?;
                Some((InstanceId(number), Self { path: entry.path() }))
            })
            .collect();
        all.sort_by_key(|(instance, _)| *instance);
        all
    }

    /// Makes it, readable by its owner only, with the spec in it.
    pub fn create(&self, spec: &Spec) -> io::Result<()> {
        use std::os::unix::fs::DirBuilderExt;
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.path)?;
        self.write("spec.json", spec)
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the shim listens.
    pub fn socket(&self) -> PathBuf {
        self.path.join("socket")
    }

    /// Where the shim writes what it has to say.
    pub fn log(&self) -> PathBuf {
        self.path.join("log")
    }

    /// What to start.
    pub fn spec(&self) -> io::Result<Spec> {
        self.read("spec.json")
    }

    /// Where it stands, as far as the shim wrote it down.
    pub fn state(&self) -> io::Result<State> {
        self.read("state.json")
    }

    /// Also on a full disk: without it the next daemon would not know that something is held.
    pub(crate) fn set_state(&self, state: &State) -> io::Result<()> {
        let mut bytes = serde_json::to_vec(state)?;
        bytes.resize(bytes.len().max(STATE_BYTES), b' ');
        self.replace("state.json", &bytes)
            .or_else(|error| self.write_over("state.json", bytes).map_err(|_| error))
    }

    /// A capture that was not acknowledged.
    pub fn captured(&self) -> Option<Captured> {
        self.read("capture.json").ok()
    }

    pub(crate) fn set_captured(&self, captured: &Captured) -> io::Result<()> {
        self.write("capture.json", captured)
    }

    /// The capture is stored elsewhere now.
    pub fn forget_captured(&self) {
        let _ = fs::remove_file(self.path.join("capture.json"));
    }

    /// Locks it; `None` where a shim lives.
    pub fn lock(&self) -> io::Result<Option<Lock>> {
        let file = File::options().create(true).write(true).truncate(false).open(self.path.join("lock"))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Lock { _file: file })),
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            Err(fs::TryLockError::Error(error)) => Err(error),
        }
    }

    /// Whether a shim lives.
    pub fn has_shim(&self) -> bool {
        matches!(self.lock(), Ok(None))
    }

    /// Removes what the instance left: its processes, its cgroup, its files. Nothing of it may be held.
    pub fn clear(&self) -> io::Result<()> {
        if let Ok(state) = self.state() {
            if let Some(cgroup) = state.cgroup.as_deref().and_then(freezeframe_runtime::Cgroup::existing) {
                cgroup.kill(Duration::from_secs(2))?;
                cgroup.remove()?;
            }
            let process = freezeframe_runtime::ProcessId { pid: state.pid, start: state.pid_start };
            if process.is_alive() {
                let _ = process.signal(libc::SIGKILL);
            }
        }
        fs::remove_dir_all(&self.path)
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> io::Result<T> {
        Ok(serde_json::from_slice(&fs::read(self.path.join(name))?)?)
    }

    fn write<T: Serialize>(&self, name: &str, value: &T) -> io::Result<()> {
        self.replace(name, &serde_json::to_vec(value)?)
    }

    /// Whole or not at all, also across a loss of power.
    fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let temporary = self.path.join(format!("{name}.new"));
        let written = File::create(&temporary).and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        });
        if let Err(error) = written {
            let _ = fs::remove_file(&temporary);
            return Err(error);
        }
        fs::rename(&temporary, self.path.join(name))?;
        File::open(&self.path)?.sync_all()
    }

    /// Into the room that the file has already; what is left of its old content becomes spaces, which JSON ignores.
    fn write_over(&self, name: &str, mut bytes: Vec<u8>) -> io::Result<()> {
        let mut file = File::options().write(true).open(self.path.join(name))?;
        let room = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
        if room < bytes.len() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        bytes.resize(room, b' ');
        file.write_all(&bytes)?;
        file.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::{UnixListener, UnixStream};

    #[test]
    fn a_lock_tells_whether_a_shim_lives() {
        let data = tempfile::tempdir().expect("a temporary directory");
        let directory = Directory::of(data.path(), InstanceId(3));
        fs::create_dir_all(directory.path()).expect("made");
        assert!(!directory.has_shim());
        let lock = directory.lock().expect("no error").expect("nobody has it");
        assert!(directory.has_shim());
        drop(lock);
        assert!(!directory.has_shim());
    }

    #[test]
    fn a_socket_can_lie_deeper_than_its_path_may_be_long() {
        let data = tempfile::tempdir().expect("a temporary directory");
        let deep = data.path().join("d".repeat(150));
        fs::create_dir(&deep).expect("made");
        let socket = deep.join("socket");
        assert!(UnixListener::bind(&socket).is_err(), "the limit that this is about");
        let listener =
            UnixListener::bind(SocketPath::of(&socket).expect("the directory exists")).expect("bound");
        assert!(socket.exists());
        UnixStream::connect(SocketPath::of(&socket).expect("the directory exists")).expect("connected");
        assert!(listener.accept().is_ok());
        assert!(SocketPath::of(&data.path().join("none").join("socket")).is_err());
    }

    #[test]
    fn a_state_can_be_written_over_an_older_one_where_nothing_new_can_be_created() {
        let data = tempfile::tempdir().expect("a temporary directory");
        let directory = Directory::of(data.path(), InstanceId(3));
        fs::create_dir_all(directory.path()).expect("made");
        let long = "x".repeat(3 * STATE_BYTES);
        for reason in [ExitReason::Code(3), ExitReason::Spawn(long), ExitReason::Code(4)] {
            directory.set_state(&State { exited: Some(reason), ..State::default() }).expect("written");
        }
        // As on a full disk: the new file cannot be made.
        fs::create_dir(directory.path().join("state.json.new")).expect("in its place");
        let state = State { pid: 7, exited: Some(ExitReason::ShimDied), ..State::default() };
        directory.set_state(&state).expect("written over");
        assert_eq!(directory.state().ok(), Some(state));
        let long = ExitReason::Spawn("x".repeat(2 * STATE_BYTES));
        assert!(directory.set_state(&State { exited: Some(long), ..State::default() }).is_err());
    }

    #[test]
    fn state_is_read_back_and_rubbish_is_an_error() {
        let data = tempfile::tempdir().expect("a temporary directory");
        let directory = Directory::of(data.path(), InstanceId(3));
        fs::create_dir_all(directory.path()).expect("made");
        let state = State { pid: 7, exited: Some(ExitReason::Code(3)), ..State::default() };
        directory.set_state(&state).expect("written");
        assert_eq!(directory.state().ok(), Some(state));
        fs::write(directory.path().join("state.json"), b"{\"pid\":").expect("written");
        assert!(directory.state().is_err());
        assert_eq!(Directory::all(data.path()).len(), 1);
    }
}
