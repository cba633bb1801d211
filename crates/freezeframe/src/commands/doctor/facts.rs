//! What this host says of itself. Everything is read with a bound, and nothing that is missing is an error.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use freezeframe_runtime::host::HostReport;

/// Longest file or output that is read, in bytes.
const MAX_READ: u64 = 1 << 20;
/// How long a program may take to say its version.
const VERSION_TIME: Duration = Duration::from_secs(5);
/// Names under which debuggers are installed.
const DEBUGGERS: [&str; 8] =
    ["gdb", "lldb", "lldb-14", "lldb-15", "lldb-16", "lldb-17", "lldb-18", "lldb-19"];

/// What the host is a container of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Container {
    Docker,
    Podman,
    Kubernetes,
}

impl Container {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Podman => "podman",
            Self::Kubernetes => "kubernetes",
        }
    }
}

/// What was found.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub(super) arch: String,
    pub(super) release: String,
    /// Major and minor version of the kernel.
    pub(super) kernel: Option<(u32, u32)>,
    /// `kernel.yama.ptrace_scope`; none without Yama.
    pub(super) yama: Option<u32>,
    /// Whether a seccomp filter is in force.
    pub(super) seccomp_filtered: bool,
    pub(super) unprivileged_bpf_disabled: Option<u32>,
    pub(super) cgroup2_mount: Option<PathBuf>,
    pub(super) container: Option<Container>,
    pub(super) own_memory: Result<(), String>,
    /// Version lines.
    pub(super) debuggers: Vec<String>,
    /// Of the present directory.
    pub(super) free_bytes: Option<u64>,
    /// What was found out by trying.
    pub(super) host: HostReport,
}

impl Facts {
    /// Asks the host.
    pub(super) fn gather() -> Self {
        let release = read("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned();
        let status = read("/proc/self/status").unwrap_or_default();
        Self {
            arch: std::env::consts::ARCH.to_owned(),
            kernel: version(&release),
            release,
            yama: read("/proc/sys/kernel/yama/ptrace_scope").and_then(|text| text.trim().parse().ok()),
            seccomp_filtered: field(&status, "Seccomp") == Some("2"),
            unprivileged_bpf_disabled: read("/proc/sys/kernel/unprivileged_bpf_disabled")
                .and_then(|text| text.trim().parse().ok()),
            cgroup2_mount: read("/proc/self/mounts").and_then(|mounts| cgroup2(&mounts)),
            container: container(),
            own_memory: fs::File::open("/proc/self/mem")
                .map(drop)
                .map_err(|error| format!("/proc/self/mem: {error}")),
            debuggers: debuggers(),
            free_bytes: output("df", &["-Pk", "."]).and_then(|text| free(&text)),
            host: freezeframe_runtime::host::probe(),
        }
    }
}

fn read(path: &str) -> Option<String> {
    let mut text = String::new();
    fs::File::open(path).ok()?.take(MAX_READ).read_to_string(&mut text).ok()?;
    Some(text)
}

/// `6.18.5-arch1` is 6.18.
pub(super) fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// A line of `/proc/PID/status`.
pub(super) fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

/// Where cgroup v2 is mounted: /sys/fs/cgroup, or /sys/fs/cgroup/unified on hybrid hosts.
pub(super) fn cgroup2(mounts: &str) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let place = fields.next()?;
        (fields.next()? == "cgroup2").then(|| PathBuf::from(place))
    })
}

fn container() -> Option<Container> {
    if std::env::var_os("KUBERNETES_SERVICE_HOST").is_some() {
        Some(Container::Kubernetes)
    } else if Path::new("/run/.containerenv").exists() {
        Some(Container::Podman)
    } else if Path::new("/.dockerenv").exists() {
        Some(Container::Docker)
    } else {
        None
    }
}

/// The available kilobytes are the fourth column of the last line (POSIX `df -P`).
pub(super) fn free(df: &str) -> Option<u64> {
    df.lines().last()?.split_whitespace().nth(3)?.parse::<u64>().ok()?.checked_mul(1024)
}

fn debuggers() -> Vec<String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut seen = Vec::new();
    let mut found = Vec::new();
    for name in DEBUGGERS {
        let Some(file) = std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file())
        else {
            continue;
        };
        // `lldb` commonly is a link to `lldb-14`.
        let real = fs::canonicalize(&file).unwrap_or(file);
        if seen.contains(&real) {
            continue;
        }
        let version = output(name, &["--version"]);
        let line = version.as_deref().and_then(|text| text.lines().find(|line| !line.trim().is_empty()));
        let line: String =
            line.unwrap_or("version unknown").chars().filter(|c| !c.is_control()).take(80).collect();
        found.push(if line.contains(name) { line } else { format!("{name}: {line}") });
        seen.push(real);
    }
    found
}

/// What a program prints, where it ends by itself in time; killed where it does not.
fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let stdout = child.stdout.take()?;
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let read = stdout.take(MAX_READ).read_to_end(&mut bytes);
        // The receiver is gone where this came too late.
        let _ = send.send(read.map(|_| bytes));
    });
    let bytes = receive.recv_timeout(VERSION_TIME).ok().and_then(Result::ok);
    if bytes.is_none() {
        let _ = child.kill();
    }
    let ended = child.wait().ok()?;
    bytes.filter(|_| ended.success()).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}
