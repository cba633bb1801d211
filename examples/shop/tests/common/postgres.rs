//! A PostgreSQL for one test: somebody's by URL, or a cluster of our own.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A database server. One of our own ends with it.
pub(crate) struct Postgres {
    pub(crate) url: String,
    own: Option<Cluster>,
}

struct Cluster {
    bin: PathBuf,
    data: tempfile::TempDir,
}

impl Postgres {
    /// `FREEZEFRAME_TEST_POSTGRES`, or a new cluster from Debian's packages in a temporary directory. `None`, loudly, where
    /// there is neither; a panic instead with `FREEZEFRAME_REQUIRE_ALL=1`.
    pub(crate) fn find() -> Option<Self> {
        if let Ok(url) = std::env::var("FREEZEFRAME_TEST_POSTGRES") {
            return Some(Self { url, own: None });
        }
        let Some(bin) = newest_installation() else {
            let reason = "no FREEZEFRAME_TEST_POSTGRES and no /usr/lib/postgresql/*/bin/initdb";
            assert!(std::env::var_os("FREEZEFRAME_REQUIRE_ALL").is_none_or(|value| value != "1"), "{reason}");
            #[allow(clippy::print_stderr)] // nobody should take silence for success
            {
                eprintln!("SKIPPED: the shop on PostgreSQL was not tested: {reason}");
            }
            return None;
        };
        Some(Self::start(bin))
    }

    fn start(bin: PathBuf) -> Self {
        let data = tempfile::tempdir().unwrap();
        let directory = data.path().join("cluster");
        let directory = directory.to_str().unwrap();
        if is_root() {
            // The server refuses to run as root.
            succeed(Command::new("chown").args(["postgres", data.path().to_str().unwrap()]));
        }
        let initdb =
            ["-D", directory, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync"];
        succeed(as_postgres(&bin.join("initdb")).args(initdb));
        let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let options =
            format!("-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off");
        let log = data.path().join("log");
        succeed(as_postgres(&bin.join("pg_ctl")).args([
            "-D",
            directory,
            "-w",
            "-t",
            "60",
            "-l",
            log.to_str().unwrap(),
            "-o",
            &options,
            "start",
        ]));
        let url = format!("postgres://postgres@127.0.0.1:{port}/postgres");
        Self { url, own: Some(Cluster { bin, data }) }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let Some(cluster) = &self.own else { return };
        let directory = cluster.data.path().join("cluster");
        succeed(as_postgres(&cluster.bin.join("pg_ctl")).args([
            "-D",
            directory.to_str().unwrap(),
            "-m",
            "immediate",
            "-w",
            "stop",
        ]));
    }
}

fn newest_installation() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let version = |bin: &PathBuf| bin.parent()?.file_name()?.to_str()?.parse::<u32>().ok();
    versions
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .filter(|bin| bin.join("initdb").exists())
        .max_by_key(version)
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output().unwrap();
    output.stdout == b"0\n"
}

fn as_postgres(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid", "postgres", "--regid", "postgres", "--clear-groups"])
        .arg(program)
        .current_dir("/");
    command
}

fn succeed(command: &mut Command) {
    // Not `output()`: the server inherits the pipes of pg_ctl and would keep them open.
    let report = tempfile::NamedTempFile::new().unwrap();
    let status = command
        .stdin(std::process::Stdio::null())
        .stdout(report.reopen().unwrap())
        .stderr(report.reopen().unwrap())
        .status()
        .unwrap();
    let output = Output { status, stdout: std::fs::read(report.path()).unwrap(), stderr: Vec::new() };
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stdout));
}
