//! Processes that were started for a measurement: waiting for them, their processor time, and Ctrl-C.

use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::error::BenchError;

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

extern "C" fn note_interrupt(_: libc::c_int) {
    INTERRUPTED.store(true, Ordering::Relaxed);
}

/// From now on Ctrl-C and SIGTERM end the measurement in good order: what was started is ended.
pub(crate) fn catch_interrupts() {
    for signal in [libc::SIGINT, libc::SIGTERM] {
        // SAFETY: the handler only stores to an atomic, which is async-signal-safe.
        unsafe { libc::signal(signal, note_interrupt as extern "C" fn(libc::c_int) as libc::sighandler_t) };
    }
}

/// Whether to go on.
pub(crate) fn check_interrupt() -> Result<(), BenchError> {
    if is_interrupted() { Err(BenchError::Interrupted) } else { Ok(()) }
}

/// For loops that cannot fail.
pub(crate) fn is_interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

/// Asks `probe` again and again until it has an answer.
pub(crate) fn wait_for<T>(
    what: &str,
    limit: Duration,
    every: Duration,
    mut probe: impl FnMut() -> Result<Option<T>, BenchError>,
) -> Result<T, BenchError> {
    let end = Instant::now() + limit;
    loop {
        check_interrupt()?;
        if let Some(found) = probe()? {
            return Ok(found);
        }
        if Instant::now() > end {
            return Err(BenchError::TimedOut { what: what.to_owned(), limit });
        }
        std::thread::sleep(every);
    }
}

/// Processor time that all threads of a process have used so far; `None` when it has ended.
pub(crate) fn processor_time(pid: i32) -> Option<Duration> {
    let mut clock: libc::clockid_t = 0;
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: both calls write to valid places only; an unknown process is an error code.
    let known = unsafe {
        libc::clock_getcpuclockid(pid, &raw mut clock) == 0 && libc::clock_gettime(clock, &raw mut time) == 0
    };
    known.then(|| {
        Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
    })
}

/// Starts a program in a session of its own, as init systems do and as instances are started: the scheduler shares processors
/// between sessions first (`sched_autogroup`), and the two sides must be treated alike. Not by setsid(1), which forks.
pub(crate) fn spawn_apart(command: &mut Command) -> io::Result<Child> {
    let leave = || {
        // SAFETY: setsid takes nothing and is async-signal-safe; a fresh child is no group leader, so it cannot fail.
        unsafe { libc::setsid() };
        Ok(())
    };
    // SAFETY: the closure makes one async-signal-safe call and touches no memory of ours.
    unsafe { command.pre_exec(leave) }.spawn()
}

/// Lets this process, and those that it starts, have so many files open, as far as the system allows it.
pub(crate) fn allow_files(wanted: u64) {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls get a valid place; where they fail, the limit stays as it is.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) == 0 {
            limit.rlim_cur = wanted.min(limit.rlim_max);
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
        }
    }
}

/// Sends a signal to a child that was not waited for yet.
pub(crate) fn signal(child: &Child, signal: i32) {
    if let Ok(pid) = i32::try_from(child.id()) {
        // SAFETY: kill takes integers; the number is still the child's as it was not waited for.
        unsafe { libc::kill(pid, signal) };
    }
}

/// Reads a child's output to its end, as a log collector would: a full pipe would stop the child.
pub(crate) fn drain(output: impl Read + Send + 'static, mut each: impl FnMut(&str) + Send + 'static) {
    std::thread::spawn(move || {
        let mut reader = BufReader::new(output);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
            each(String::from_utf8_lossy(&line).trim_end());
            line.clear();
        }
    });
}
