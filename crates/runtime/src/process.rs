//! What `/proc` says of a process. Reads only; every function takes a pid that may have ended or been reused.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use freezeframe_model::ThreadState;

/// A process that cannot be mistaken for a later one with the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessId {
    /// The kernel's process id.
    pub pid: i32,
    /// Field 22 of `/proc/PID/stat`: clock ticks after boot at which it started.
    pub start: u64,
}

/// Fields of `/proc/PID/stat` that we use.
struct Stat {
    state: u8,
    start: u64,
}

fn stat(path: &str) -> Option<Stat> {
    let text = fs::read(path).ok()?;
    // The second field is the name in parentheses and may hold anything, also parentheses.
    let after = text.iter().rposition(|&byte| byte == b')')?;
    let rest = std::str::from_utf8(text.get(after + 1..)?).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    let state = *fields.next()?.as_bytes().first()?;
    let start = fields.nth(18)?.parse().ok()?;
    Some(Stat { state, start })
}

impl ProcessId {
    /// The process that has this pid now.
    pub fn of(pid: i32) -> Option<Self> {
        stat(&format!("/proc/{pid}/stat")).map(|stat| Self { pid, start: stat.start })
    }

    /// Whether it still runs (or stands still): not ended, not a zombie, not another one of that number.
    pub fn is_alive(self) -> bool {
        let Some(stat) = stat(&format!("/proc/{}/stat", self.pid)).filter(|stat| stat.start == self.start)
        else {
            return false;
        };
        match stat.state {
            b'X' => false,
            // Its main thread has ended; others may go on.
            b'Z' => threads(self.pid)
                .into_iter()
                .any(|tid| tid != self.pid && thread_state(self.pid, tid) != ThreadState::Dead),
            _ => true,
        }
    }

    /// A descriptor that becomes readable when the process ends.
    pub fn watch(self) -> io::Result<OwnedFd> {
        // SAFETY: pidfd_open takes two integers and returns a new descriptor or −1.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, self.pid, 0) };
        let fd = i32::try_from(fd).ok().filter(|fd| *fd >= 0).ok_or_else(io::Error::last_os_error)?;
        // SAFETY: the descriptor is new and ours alone.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        if self.is_alive() { Ok(fd) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    /// Sends a signal to the process, never to a later one with the same number.
    pub fn signal(self, signal: i32) -> io::Result<()> {
        let fd = self.watch()?;
        // SAFETY: pidfd_send_signal takes a descriptor, an integer, a null siginfo and flags.
        let sent = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd.as_raw_fd(), signal, 0, 0) };
        if sent == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

/// Sends a signal to one thread of a process (0 tests whether it exists).
pub(crate) fn signal_thread(pid: i32, tid: i32, signal: i32) -> io::Result<()> {
    // SAFETY: tgkill takes three integers.
    let sent = unsafe { libc::syscall(libc::SYS_tgkill, pid, tid, signal) };
    if sent == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Ids of its threads, in the kernel's order; empty where it has ended.
pub fn threads(pid: i32) -> Vec<i32> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
}

/// A thread's name.
pub(crate) fn thread_name(pid: i32, tid: i32) -> String {
    let bytes = fs::read(format!("/proc/{pid}/task/{tid}/comm")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).trim_end_matches('\n').to_owned()
}

/// What a thread does, from the letter in its `stat`.
pub(crate) fn thread_state(pid: i32, tid: i32) -> ThreadState {
    match stat(&format!("/proc/{pid}/task/{tid}/stat")).map(|stat| stat.state) {
        Some(b'S') => ThreadState::Sleeping,
        Some(b'D') => ThreadState::Blocked,
        Some(b'Z' | b'X') => ThreadState::Dead,
        _ => ThreadState::Running,
    }
}

/// Whether a job-control stop holds it.
pub(crate) fn is_stopped(pid: i32) -> bool {
    stat(&format!("/proc/{pid}/stat")).is_some_and(|stat| stat.state == b'T')
}

/// The process that a thread belongs to.
pub(crate) fn process_of(tid: i32) -> Option<i32> {
    status_field(tid, "Tgid:")?.parse().ok()
}

/// Its parent.
pub(crate) fn parent_of(pid: i32) -> Option<i32> {
    status_field(pid, "PPid:")?.parse().ok()
}

/// The process that traces it; `None` where nobody does.
pub fn tracer_of(pid: i32) -> Option<i32> {
    status_field(pid, "TracerPid:")?.parse().ok().filter(|tracer| *tracer != 0)
}

/// Whether `signal` is ignored by the process.
pub(crate) fn ignores(pid: i32, signal: i32) -> bool {
    let mask = status_field(pid, "SigIgn:").and_then(|hex| u64::from_str_radix(&hex, 16).ok()).unwrap_or(0);
    signal > 0 && signal <= 64 && mask & (1 << (signal - 1)) != 0
}

/// Resident memory in bytes.
pub fn resident_bytes(pid: i32) -> u64 {
    let kib =
        status_field(pid, "VmRSS:").and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0).saturating_mul(1024)
}

/// Processes of a tree that are looked at.
const TREE_MAX: usize = 1024;

/// Resident memory in bytes of a process and of everything below it; pages that several share count for each. `None` where the process is
/// gone.
pub fn resident_bytes_of_tree(pid: i32) -> Option<u64> {
    fs::metadata(format!("/proc/{pid}")).ok()?;
    let (mut sum, mut left, mut seen) = (0_u64, vec![pid], 0);
    while let Some(pid) = left.pop()
        && seen < TREE_MAX
    {
        seen += 1;
        sum = sum.saturating_add(resident_bytes(pid));
        for tid in threads(pid) {
            let children = fs::read_to_string(format!("/proc/{pid}/task/{tid}/children")).unwrap_or_default();
            left.extend(children.split_whitespace().filter_map(|child| child.parse::<i32>().ok()));
        }
    }
    Some(sum)
}

fn status_field(pid: i32, name: &str) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    text.lines().find_map(|line| line.strip_prefix(name)).map(|rest| rest.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_itself_and_not_another_one_of_its_number() {
        let me = ProcessId::of(std::process::id() as i32).expect("this process has a stat file");
        assert!(me.is_alive());
        let impostor = ProcessId { start: me.start + 1, ..me };
        assert!(!impostor.is_alive());
        assert!(impostor.signal(0).is_err(), "a signal must never reach a later process of the same number");
        assert!(me.signal(0).is_ok());
    }

    #[test]
    fn the_own_threads_are_found() {
        let pid = std::process::id() as i32;
        assert!(threads(pid).contains(&pid));
        assert_eq!(process_of(pid), Some(pid));
        assert!(resident_bytes(pid) > 0);
        assert!(resident_bytes_of_tree(pid).is_some_and(|tree| tree > 0));
        assert_eq!(resident_bytes_of_tree(i32::MAX), None);
    }
}
