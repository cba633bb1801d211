//! The programs that make requests, and what they say of them.

use std::process::Command;
use std::time::Duration;

use crate::error::BenchError;

const CONNECTIONS: u32 = 64;
/// Streams of one HTTP/2 connection at one time.
const STREAMS: u32 = 8;
/// The session that all requests name: its journey is kept.
const COOKIE: &str = "Cookie: session=0123456789abcdef";

/// What makes requests.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Tool {
    /// HTTP/1.1.
    Wrk,
    /// HTTP/2.
    H2load,
}

/// What came of it.
#[derive(Debug, PartialEq)]
pub(super) struct Load {
    pub(super) requests: u64,
    pub(super) failed: u64,
    pub(super) per_s: f64,
}

/// Whether a program can be started.
pub(crate) fn is_there(program: &str) -> bool {
    let version = Command::new("sh").args(["-c", &format!("command -v {program}")]).output();
    version.is_ok_and(|output| output.status.success())
}

impl Tool {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Wrk => "wrk",
            Self::H2load => "h2load",
        }
    }

    pub(super) fn is_there(self) -> bool {
        is_there(self.name())
    }

    /// Loads `url` for so long.
    pub(super) fn run(self, url: &str, duration: Duration) -> Result<Load, BenchError> {
        let mut command = Command::new(self.name());
        let seconds = duration.as_secs().max(1);
        match self {
            Self::Wrk => command
                .args(["-t2", &format!("-c{CONNECTIONS}"), &format!("-d{seconds}s")])
                .args(["-H", COOKIE]),
            Self::H2load => command
                .args(["-t2", &format!("-c{}", CONNECTIONS / STREAMS), &format!("-m{STREAMS}")])
                .args([&format!("--duration={seconds}"), "-H", COOKIE]),
        };
        self.read(command.arg(url), url)
    }

    /// Makes so many requests, one connection's or stream's after the other's.
    pub(super) fn send(self, url: &str, requests: u64) -> Result<Load, BenchError> {
        let mut command = Command::new(Self::H2load.name());
        command.args(["-t1", &format!("-n{requests}"), "-H", COOKIE]);
        match self {
            Self::Wrk => command.args(["--h1", &format!("-c{CONNECTIONS}")]),
            Self::H2load => command.args([&format!("-c{}", CONNECTIONS / STREAMS), &format!("-m{STREAMS}")]),
        };
        Self::H2load.read(command.arg(url), url)
    }

    fn read(self, command: &mut Command, url: &str) -> Result<Load, BenchError> {
        let output = command.output().map_err(BenchError::io(self.name()))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let load = match self {
            Self::Wrk => of_wrk(&text),
            Self::H2load => of_h2load(&text),
        };
        load.filter(|load| load.requests > 0).ok_or_else(|| {
            let said = String::from_utf8_lossy(&output.stderr);
            BenchError::NotAsExpected(format!("{} made no requests to {url}: {text}{said}", self.name()))
        })
    }
}

fn number<T: std::str::FromStr>(text: &str) -> Option<T> {
    text.split_whitespace().next()?.trim_end_matches(',').parse().ok()
}

fn after<T: std::str::FromStr>(text: &str, words: &str) -> Option<T> {
    number(text.split_once(words)?.1)
}

fn of_wrk(text: &str) -> Option<Load> {
    let line = text.lines().find(|line| line.contains(" requests in "))?;
    let errors = text.lines().find(|line| line.contains("Socket errors"));
    let errors = errors.map_or(0, |line| {
        let kinds = ["connect ", "read ", "write ", "timeout "];
        kinds.iter().filter_map(|kind| after::<u64>(line, kind)).sum()
    });
    let failed = errors + after::<u64>(text, "Non-2xx or 3xx responses:").unwrap_or(0);
    Some(Load { requests: number(line)?, failed, per_s: after(text, "Requests/sec:")? })
}

fn of_h2load(text: &str) -> Option<Load> {
    let line = text.lines().find(|line| line.starts_with("requests: "))?;
    let word = |name: &str| line.split(", ").find_map(|part| number::<u64>(part.strip_suffix(name)?));
    let rate = text.lines().find(|line| line.starts_with("finished in "))?.split(", ").nth(1)?;
    let failed = word(" failed")? + word(" errored")?;
    Some(Load { requests: word(" succeeded")? + failed, failed, per_s: number(rate)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_wrk_says() {
        let text = "Running 5s test @ http://127.0.0.1:1/\n  2 threads and 64 connections\n\
                    \x20 320000 requests in 5.10s, 195.31MB read\n  Socket errors: connect 0, read 3, write 0, timeout 1\n\
                    \x20 Non-2xx or 3xx responses: 5\nRequests/sec:  62745.10\nTransfer/sec:     38.30MB\n";
        assert_eq!(of_wrk(text), Some(Load { requests: 320_000, failed: 9, per_s: 62_745.1 }));
        assert_eq!(of_wrk("unable to connect"), None);
    }

    #[test]
    fn what_h2load_says() {
        let text = "finished in 5.00s, 41234.20 req/s, 25.11MB/s\n\
                    requests: 206171 total, 206235 started, 206171 done, 206100 succeeded, 70 failed, 1 errored, 0 timeout\n";
        assert_eq!(of_h2load(text), Some(Load { requests: 206_171, failed: 71, per_s: 41_234.2 }));
    }
}
