//! The cgroup v2 directory of one instance: everything it starts is in it, and the freezer holds all of it at once.
//!
//! Only cgroup v2 is used. The v1 freezer leaves processes in an uninterruptible state in which not even SIGKILL works.

use std::fs;
use std::io::{self, Read, Seek};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A cgroup v2 directory that we made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cgroup {
    path: PathBuf,
}

/// Where new cgroups of this process belong: its own cgroup in the v2 hierarchy. The error says what is missing.
pub fn root() -> Result<PathBuf, String> {
    let mounts =
        fs::read_to_string("/proc/self/mounts").map_err(|error| format!("/proc/self/mounts: {error}"))?;
    let mount = mounts
        .lines()
        .map(|line| line.split(' ').collect::<Vec<_>>())
        .find(|fields| fields.get(2) == Some(&"cgroup2"))
        .and_then(|fields| fields.get(1).map(|path| PathBuf::from(path.replace("\\040", " "))))
        .ok_or("no cgroup v2 hierarchy is mounted")?;
    let own =
        fs::read_to_string("/proc/self/cgroup").map_err(|error| format!("/proc/self/cgroup: {error}"))?;
    let own =
        own.lines().find_map(|line| line.strip_prefix("0::/")).ok_or("this process is in no cgroup v2")?;
    Ok(mount.join(own))
}

impl Cgroup {
    /// Makes `parent/name`, with `parent` where it does not exist yet. An existing directory is taken over.
    pub fn create(parent: &Path, name: &str) -> io::Result<Self> {
        let path = parent.join(name);
        fs::create_dir_all(&path)?;
        if !path.join("cgroup.freeze").exists() {
            let _ = fs::remove_dir(&path);
            return Err(io::Error::other("this kernel has no cgroup v2 freezer (Linux 5.2 or newer has)"));
        }
        Ok(Self { path })
    }

    /// One that an earlier process made; `None` where it is gone.
    pub fn existing(path: &Path) -> Option<Self> {
        path.join("cgroup.freeze").exists().then(|| Self { path: path.to_owned() })
    }

    /// Its directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A descriptor through which a child can put itself in before it runs anything.
    pub(crate) fn entrance(&self) -> io::Result<fs::File> {
        fs::OpenOptions::new().write(true).open(self.path.join("cgroup.procs"))
    }

    /// Ids of the processes in it.
    pub fn processes(&self) -> Vec<i32> {
        let text = fs::read_to_string(self.path.join("cgroup.procs")).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    }

    /// Freezes every process in it and waits until all stand still, or answers `TimedOut` (they may yet).
    pub fn freeze(&self, limit: Duration) -> io::Result<()> {
        fs::write(self.path.join("cgroup.freeze"), "1")?;
        self.wait_for_event("frozen 1", limit)
    }

    /// Lets everything in it run on.
    pub fn thaw(&self, limit: Duration) -> io::Result<()> {
        fs::write(self.path.join("cgroup.freeze"), "0")?;
        self.wait_for_event("frozen 0", limit)
    }

    /// Whether everything in it stands still.
    pub fn is_frozen(&self) -> bool {
        fs::read_to_string(self.path.join("cgroup.events")).is_ok_and(|text| text.contains("frozen 1"))
    }

    /// Kills every process in it, frozen or not, and waits until it is empty.
    pub fn kill(&self, limit: Duration) -> io::Result<()> {
        if fs::write(self.path.join("cgroup.kill"), "1").is_err() {
            // Before Linux 5.14: one by one, until nobody is left to fork.
            let end = Instant::now() + limit;
            while !self.processes().is_empty() && Instant::now() < end {
                for pid in self.processes() {
                    // SAFETY: kill takes two integers; the pid was in our cgroup a moment ago.
                    unsafe { libc::kill(pid, libc::SIGKILL) };
                }
                let _ = self.wait_for_event("populated 0", Duration::from_millis(50));
            }
        }
        self.wait_for_event("populated 0", limit)
    }

    /// Removes the directory; fails while a process is in it.
    pub fn remove(&self) -> io::Result<()> {
        fs::remove_dir(&self.path)
    }

    /// `cgroup.events` notifies by POLLPRI whenever a value in it changes.
    fn wait_for_event(&self, wanted: &str, limit: Duration) -> io::Result<()> {
        let mut events = fs::File::open(self.path.join("cgroup.events"))?;
        let end = Instant::now() + limit;
        loop {
            let mut text = String::new();
            events.rewind()?;
            events.read_to_string(&mut text)?;
            if text.contains(wanted) {
                return Ok(());
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("cgroup did not reach {wanted:?}"),
                ));
            }
            let mut poll = libc::pollfd { fd: events.as_raw_fd(), events: libc::POLLPRI, revents: 0 };
            // SAFETY: one valid pollfd, for the time of the call.
            unsafe {
                libc::poll(&raw mut poll, 1, i32::try_from(left.as_millis().max(1)).unwrap_or(i32::MAX))
            };
        }
    }
}
