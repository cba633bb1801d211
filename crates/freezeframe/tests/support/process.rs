//! Processes as `/proc` and the cgroup files show them.

use std::path::{Path, PathBuf};

/// A process that is not mistaken for a later one of its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    start: u64,
}

/// Fields of `/proc/PID/stat` after the name: the state is the first, the start time the 20th.
fn stat(pid: i32) -> Option<Vec<String>> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(text.rsplit_once(')')?.1.split_whitespace().map(str::to_owned).collect())
}

impl Process {
    /// The process that has this number now.
    pub(crate) fn of(pid: i32) -> Option<Self> {
        let start = stat(pid)?.get(19)?.parse().ok()?;
        (pid > 0).then_some(Self { pid, start })
    }

    /// When it started, in clock ticks after boot.
    pub(crate) fn start(self) -> u64 {
        self.start
    }

    /// The letter of its state, while it is this process and no zombie.
    pub(crate) fn state(self) -> Option<char> {
        let fields =
            stat(self.pid).filter(|fields| fields.get(19).is_some_and(|at| *at == self.start.to_string()))?;
        fields.first()?.chars().next().filter(|state| !matches!(state, 'Z' | 'X'))
    }

    /// Also where only its first thread has ended: until the last one has, its sockets take connections that nobody answers.
    pub(crate) fn is_alive(self) -> bool {
        let threads = |fields: Vec<String>| {
            let is_it = fields.get(19).is_some_and(|at| *at == self.start.to_string());
            fields.get(17).filter(|_| is_it)?.parse::<u32>().ok()
        };
        self.state().is_some() || stat(self.pid).and_then(threads).is_some_and(|count| count > 1)
    }

    /// Processor time of all its threads, in clock ticks.
    pub(crate) fn ticks(self) -> Option<u64> {
        let fields = stat(self.pid)?;
        Some(fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?)
    }

    /// Who traces it.
    pub(crate) fn tracer(self) -> Option<i32> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid)).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("TracerPid:"))?;
        line.trim().parse().ok().filter(|tracer| *tracer != 0)
    }

    /// Its cgroup v2 directory below the mount, `/` where it has none of its own.
    pub(crate) fn cgroup(self) -> Option<String> {
        let text = std::fs::read_to_string(format!("/proc/{}/cgroup", self.pid)).ok()?;
        text.lines().find_map(|line| line.strip_prefix("0::")).map(str::to_owned)
    }

    /// SIGKILL.
    pub(crate) fn kill(self) {
        signal(self, libc::SIGKILL);
    }
}

/// Sends a signal, to this process only.
pub(crate) fn signal(process: Process, signal: i32) {
    if process.is_alive() {
        // SAFETY: kill takes two integers.
        unsafe { libc::kill(process.pid, signal) };
    }
}

/// Whether every process of a cgroup stands still.
pub(crate) fn is_frozen(cgroup: &Path) -> bool {
    std::fs::read_to_string(cgroup.join("cgroup.events"))
        .is_ok_and(|text| text.lines().any(|line| line == "frozen 1"))
}

/// Processes whose command line contains all of these words.
pub(crate) fn find(words: &[&str]) -> Vec<Process> {
    find_where(|line| words.iter().all(|word| line.iter().any(|other| other == word)))
}

/// Processes whose command line contains the one word, and another one that begins like this.
pub(crate) fn find_beginning(word: &str, beginning: &str) -> Vec<Process> {
    find_where(|line| {
        line.iter().any(|other| other == word) && line.iter().any(|other| other.starts_with(beginning))
    })
}

fn find_where(matches: impl Fn(&[String]) -> bool) -> Vec<Process> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    let matching = pids.filter(|pid| {
        let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let line: Vec<String> =
            bytes.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect();
        matches(&line)
    });
    matching.filter_map(Process::of).filter(|process| process.is_alive()).collect()
}

/// Kills everything in a cgroup and removes it.
pub(crate) fn clear_cgroup(cgroup: &Path) {
    let _ = std::fs::write(cgroup.join("cgroup.kill"), "1");
    for _ in 0..500 {
        match std::fs::remove_dir(cgroup) {
            Ok(()) => return,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return,
            Err(_) => std::thread::sleep(std::time::Duration::from_millis(5)),
        }
    }
}

/// The directory of a cgroup, from the path in `/proc/PID/cgroup`.
pub(crate) fn cgroup_directory(path: &str) -> PathBuf {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let mount =
        mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>()).find(|fields| fields[2] == "cgroup2");
    PathBuf::from(mount.map_or("/nowhere", |fields| fields[1])).join(path.trim_start_matches('/'))
}
