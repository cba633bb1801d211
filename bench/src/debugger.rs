//! gdb and lldb on a stopped process: every thread with every variable, how long that takes and how much memory.

use std::fmt::Write;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::error::BenchError;

/// What a debugger had to say.
pub(crate) struct Look {
    /// From its start to its end.
    pub(crate) ms: f64,
    /// Its largest resident set, in megabytes.
    pub(crate) peak_mb: f64,
    pub(crate) text: String,
}

/// Attaches gdb.
pub(crate) fn gdb(pid: i32, scratch: &Path) -> Result<Look, BenchError> {
    let mut command = Command::new("gdb");
    command.args(["-nx", "-batch", "-p", &pid.to_string(), "-ex", "thread apply all bt full"]);
    look(command, "gdb (apt install gdb)", scratch)
}

/// Attaches lldb. It knows no command for the variables of all frames: each frame is selected in turn, up to the number given of
/// threads and of frames in each.
pub(crate) fn lldb(pid: i32, (threads, frames): (usize, usize), scratch: &Path) -> Result<Look, BenchError> {
    let mut commands = "settings set interpreter.stop-command-source-on-error false\nbt all\n".to_owned();
    for thread in 1..=threads {
        let _ = writeln!(commands, "thread select {thread}");
        for frame in 0..frames {
            let _ = writeln!(commands, "frame select {frame}\nframe variable");
        }
    }
    let path = scratch.join("commands.lldb");
    std::fs::write(&path, commands).map_err(BenchError::io(path.display().to_string()))?;
    let mut command = Command::new("lldb");
    command.args(["--batch", "--no-lldbinit", "-p", &pid.to_string(), "-s"]).arg(&path);
    look(command, "lldb (apt install lldb)", scratch)
}

/// Whether there is an lldb here.
pub(crate) fn has_lldb() -> bool {
    let version = Command::new("lldb").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    version.is_ok_and(|status| status.success())
}

/// Into a file, not a pipe: the debugger does not wait for us.
fn look(mut command: Command, what: &str, scratch: &Path) -> Result<Look, BenchError> {
    let path = scratch.join("debugger.out");
    let failed = || BenchError::io(path.display().to_string());
    let mut output = std::fs::File::options()
        .create(true)
        .truncate(true)
        .read(true)
        .write(true)
        .open(&path)
        .map_err(failed())?;
    command.stdin(Stdio::null()).stdout(output.try_clone().map_err(failed())?).stderr(Stdio::null());
    let begun = Instant::now();
    let child = command.spawn().map_err(BenchError::io(what))?;
    let peak_kb = wait(child.id()).map_err(BenchError::io(what))?;
    let ms = begun.elapsed().as_secs_f64() * 1000.0;
    let mut bytes = Vec::new();
    output.seek(SeekFrom::Start(0)).and_then(|_| output.read_to_end(&mut bytes)).map_err(failed())?;
    Ok(Look { ms, peak_mb: peak_kb / 1024.0, text: String::from_utf8_lossy(&bytes).into_owned() })
}

/// Waits for a child; its largest resident set in kilobytes.
fn wait(pid: u32) -> std::io::Result<f64> {
    let pid = i32::try_from(pid).map_err(std::io::Error::other)?;
    let mut status = 0;
    // SAFETY: all zeroes is a valid rusage.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both places live for the time of the call; the child is ours and was not waited for.
    let waited = unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) };
    if waited == pid { Ok(usage.ru_maxrss as f64) } else { Err(std::io::Error::last_os_error()) }
}

/// The largest resident set that a process has had so far, in megabytes.
pub(crate) fn peak_mb(pid: i32) -> Option<f64> {
    let kilobytes = status(pid, "VmHWM:")?.trim_end_matches("kB").trim().parse::<f64>().ok()?;
    Some(kilobytes / 1024.0)
}

/// The parent of a process.
pub(crate) fn parent(pid: i32) -> Option<i32> {
    status(pid, "PPid:")?.parse().ok()
}

fn status(pid: i32, field: &str) -> Option<String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    text.lines().find_map(|line| line.strip_prefix(field)).map(|value| value.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_is_measured_and_its_words_are_kept() {
        let scratch = crate::scratch::Scratch::new().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "echo seen"]);
        let seen = look(command, "sh", scratch.path()).unwrap();
        assert_eq!(seen.text, "seen\n");
        assert!(seen.peak_mb > 0.1 && seen.ms > 0.0);
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(peak_mb(own).is_some_and(|peak| peak > 0.1));
        assert!(parent(own).is_some());
    }
}
