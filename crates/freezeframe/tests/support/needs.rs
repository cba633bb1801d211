//! What a test needs of this host. Where it is missing, the test says so loudly; with `FREEZEFRAME_REQUIRE_ALL=1` it fails.

use std::io::Write;
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

/// Something that not every host has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// Tracing an own child.
    Ptrace,
    /// The cgroup v2 freezer and cgroup BPF: a full hold.
    Freezer,
    /// User id 0.
    Root,
    /// A debugger.
    Gdb,
    /// Another one.
    Lldb,
    /// C and C++ compilers.
    Compilers,
    /// Node.js with npm.
    Node,
    /// A browser.
    Chromium,
    /// A terminal that can be looked at.
    Tmux,
}

/// Whether the test can run. Use: `if !has(&[Need::Ptrace]) { return; }`
pub(crate) fn has(needs: &[Need]) -> bool {
    let missing = needs.iter().filter_map(|need| need.missing());
    let missing: Vec<String> = missing.collect();
    if missing.is_empty() {
        return true;
    }
    let missing = missing.join("; ");
    let required = std::env::var_os("FREEZEFRAME_REQUIRE_ALL").is_some_and(|value| value == "1");
    assert!(!required, "FREEZEFRAME_REQUIRE_ALL=1, but {missing}");
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    // Not through the macros that the test harness captures: a skipped test must be seen.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {test}: {missing}");
    false
}

impl Need {
    fn missing(self) -> Option<String> {
        let (there, remedy) = match self {
            Self::Ptrace => {
                (check("ptrace"), "get it by `--cap-add SYS_PTRACE` or kernel.yama.ptrace_scope=1")
            }
            Self::Freezer => (
                check("freezer") && check("network cut"),
                "no writable cgroup v2 with BPF: get it by running as root on a host with cgroup v2, in a container by `--privileged`",
            ),
            Self::Root => (nix_uid() == 0, "not root: get it by sudo"),
            Self::Gdb => (runs("gdb"), "no gdb: get it by `apt-get install gdb`"),
            Self::Lldb => (runs("lldb"), "no lldb: get it by `apt-get install lldb`"),
            Self::Tmux => (
                Command::new("tmux").arg("-V").output().is_ok_and(|output| output.status.success()),
                "no tmux: get it by `apt-get install tmux`",
            ),
            Self::Compilers => {
                (runs("cc") && runs("c++"), "no compilers: get them by `apt-get install gcc g++`")
            }
            Self::Node => (
                runs("node") && runs("npm"),
                "no node or no npm: get them by `apt-get install nodejs npm` (20.19 or later)",
            ),
            Self::Chromium => (runs("chromium"), "no chromium: get it by `apt-get install chromium`"),
        };
        (!there).then(|| format!("{self:?} is missing: {remedy}"))
    }
}

fn runs(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
}

fn nix_uid() -> u32 {
    // SAFETY: geteuid has no arguments and cannot fail.
    unsafe { libc::geteuid() }
}

/// What `freezeframe doctor` found out by trying.
fn check(name: &str) -> bool {
    static REPORT: OnceLock<Value> = OnceLock::new();
    let report = REPORT.get_or_init(|| {
        let output = Command::new(env!("CARGO_BIN_EXE_freezeframe"))
            .args(["doctor", "--json"])
            .output()
            .expect("freezeframe doctor starts");
        serde_json::from_slice(&output.stdout).expect("freezeframe doctor writes JSON")
    });
    let checks = report["checks"].as_array().expect("a list of checks");
    let found = checks.iter().find(|check| check["name"] == name);
    found.unwrap_or_else(|| panic!("doctor has no check {name:?}"))["status"] == "ok"
}
