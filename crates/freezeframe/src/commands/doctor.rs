//! `freezeframe doctor`: what this host can do, what a lack means, and how to get the rest.
//!
//! First the host is asked (`facts`; what can only be found out by trying is tried by the runtime), then [`checks`] judges without
//! asking anything, then the judgement is written for people or as JSON.

mod facts;
#[cfg(test)]
mod tests;

use std::io::{IsTerminal, Write};

use freezeframe_api::words;
use serde::Serialize;

use facts::{Container, Facts};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// As JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Prints what this host can do; 0 where processes can be held at least by SIGSTOP, else 1.
pub(crate) fn run(json: bool) -> i32 {
    let facts = Facts::gather();
    let report = report(&facts);
    let mut out = std::io::stdout().lock();
    let color = out.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let text = if json { as_json(&report) } else { as_text(&report, color) };
    // A reader that has gone away is no reason for another exit code.
    let _ = out.write_all(text.as_bytes());
    i32::from(report.holding == Holding::None)
}

/// How well something works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    Ok,
    /// Something else takes its place, or a part is missing.
    Limited,
    Missing,
}

/// How processes can be held here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Holding {
    Frozen,
    Stopped,
    None,
}

/// One capability.
#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    status: Status,
    /// What was found.
    found: String,
    /// What it means for holding.
    meaning: &'static str,
    /// How to get the rest, where something is missing.
    remedy: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Report {
    schema: &'static str,
    holding: Holding,
    container: Option<&'static str>,
    checks: Vec<Check>,
    advice: Vec<Advice>,
}

/// How to build a service such that its values can be read.
#[derive(Debug, Serialize)]
struct Advice {
    language: &'static str,
    text: &'static str,
}

const ADVICE: [Advice; 3] = [
    Advice {
        language: "Rust",
        text: "`[profile.release] debug = \"full\"` in Cargo.toml shows values; `\"line-tables-only\"` shows lines only. Do not set `strip`.",
    },
    Advice {
        language: "C, C++",
        text: "compile with `-g -O2` and keep the binary unstripped, or install its separate debug file.",
    },
    Advice {
        language: "Go",
        text: "debug information is there by default; do not link with `-ldflags=-s` or `-w`.",
    },
];

fn report(facts: &Facts) -> Report {
    let checks = checks(facts);
    let traced = facts.arch == "x86_64" && facts.host.ptrace.is_ok();
    let holding = match (traced, facts.host.freeze.is_ok()) {
        (true, true) => Holding::Frozen,
        (true, false) => Holding::Stopped,
        (false, _) => Holding::None,
    };
    let container = facts.container.map(Container::name);
    Report { schema: "freezeframe-doctor/1", holding, container, checks, advice: ADVICE.into() }
}

fn checks(facts: &Facts) -> Vec<Check> {
    vec![
        kernel(facts),
        tracing(facts),
        freezer(facts),
        network(facts),
        descriptors(facts),
        memory(facts),
        debuggers(facts),
        disk(facts),
    ]
}

fn kernel(facts: &Facts) -> Check {
    let (status, remedy) = match (facts.arch.as_str(), facts.kernel) {
        ("x86_64", Some(version)) if version >= (5, 6) => (Status::Ok, vec![]),
        ("x86_64", _) => (Status::Limited, vec!["use Linux 5.6 or newer".to_owned()]),
        _ => (Status::Missing, vec!["use an x86-64 host: traps are planted in x86-64 code only".to_owned()]),
    };
    let found = format!("Linux {} on {}", facts.release, facts.arch);
    Check { name: "kernel", status, found, meaning: "traps and holding need Linux on x86-64", remedy }
}

fn tracing(facts: &Facts) -> Check {
    let meaning = "notices errors and reads stacks; without it nothing can be held";
    let scope = facts.yama.map(|scope| format!(", Yama ptrace_scope {scope}")).unwrap_or_default();
    let Err(why) = &facts.host.ptrace else {
        return Check {
            name: "ptrace",
            status: Status::Ok,
            found: format!("works (tried on a child){scope}"),
            meaning,
            remedy: vec![],
        };
    };
    let mut remedy = Vec::new();
    match facts.yama {
        Some(3) => remedy.push(
            "kernel.yama.ptrace_scope is 3, which can only be changed at boot: set it to 1 in /etc/sysctl.d and restart".to_owned(),
        ),
        Some(2) => remedy.push("`sysctl kernel.yama.ptrace_scope=1`, or run with CAP_SYS_PTRACE".to_owned()),
        _ => {}
    }
    match facts.container {
        Some(Container::Kubernetes) => remedy.push(
            "in the pod: `securityContext: {capabilities: {add: [SYS_PTRACE]}, seccompProfile: {type: Unconfined}}`".to_owned(),
        ),
        Some(_) => remedy.push("start the container with `--cap-add SYS_PTRACE --security-opt seccomp=unconfined`".to_owned()),
        None if facts.seccomp_filtered => {
            remedy.push("a seccomp filter is in force: allow ptrace(2) in it (systemd: `SystemCallFilter=`)".to_owned());
        }
        None => {}
    }
    if remedy.is_empty() {
        remedy.push("run as root or with CAP_SYS_PTRACE".to_owned());
    }
    Check { name: "ptrace", status: Status::Missing, found: format!("{why}{scope}"), meaning, remedy }
}

fn freezer(facts: &Facts) -> Check {
    let meaning = "freezes a whole process tree unnoticed by it; without it, SIGSTOP holds, which the process can notice";
    let Err(why) = &facts.host.freeze else {
        let place = facts.host.cgroup_root.as_ref().map(|root| format!(" below {}", root.display()));
        let found = format!("cgroup v2 can be written{}", place.unwrap_or_default());
        return Check { name: "freezer", status: Status::Ok, found, meaning, remedy: vec![] };
    };
    let remedy = match (facts.cgroup2_mount.is_some(), facts.container) {
        (false, _) => {
            "mount cgroup v2: boot with `systemd.unified_cgroup_hierarchy=1`, or `mount -t cgroup2 none /sys/fs/cgroup/unified`"
        }
        (true, Some(Container::Kubernetes)) => {
            "the pod needs a writable cgroup: `securityContext: {privileged: true}`, or a runtime that delegates it"
        }
        (true, Some(_)) => {
            "start the container with `--cgroupns=private` and a writable /sys/fs/cgroup (podman: `--security-opt unmask=/sys/fs/cgroup`, docker: `--privileged`)"
        }
        (true, None) => {
            "run as root, or delegated: `systemd-run --user --scope -p Delegate=yes freezeframe run …` (in a unit: `Delegate=yes`)"
        }
    };
    Check {
        name: "freezer",
        status: Status::Limited,
        found: format!("missing: {why}"),
        meaning,
        remedy: vec![remedy.to_owned()],
    }
}

fn network(facts: &Facts) -> Check {
    let meaning = "cuts a held process off from its backends; without it, its connections stay open while it stands still";
    let Err(why) = &facts.host.network_cut else {
        let found = "a cgroup BPF program can be loaded".to_owned();
        return Check { name: "network cut", status: Status::Ok, found, meaning, remedy: vec![] };
    };
    let mut remedy = Vec::new();
    if facts.host.freeze.is_err() {
        remedy.push("it needs the freezer's cgroup first".to_owned());
    }
    remedy.push(match facts.container {
        Some(Container::Kubernetes) => "in the pod: `capabilities: {add: [BPF, NET_ADMIN]}`".to_owned(),
        Some(_) => "start the container with `--cap-add BPF --cap-add NET_ADMIN`".to_owned(),
        None => "run as root, or `setcap cap_bpf,cap_net_admin+ep` on the freezeframe binary".to_owned(),
    });
    let found = match facts.unprivileged_bpf_disabled {
        Some(mode) if mode > 0 => format!("missing: {why} (kernel.unprivileged_bpf_disabled is {mode})"),
        _ => format!("missing: {why}"),
    };
    Check { name: "network cut", status: Status::Limited, found, meaning, remedy }
}

fn descriptors(facts: &Facts) -> Check {
    let works = facts.kernel.is_some_and(|version| version >= (5, 6));
    Check {
        name: "pidfd",
        status: if works { Status::Ok } else { Status::Limited },
        found: if works { "pidfd_open and pidfd_getfd".to_owned() } else { "not in this kernel".to_owned() },
        meaning: "names a process without mistaking another for it, and reaches a held process's connections",
        remedy: if works { vec![] } else { vec!["use Linux 5.6 or newer".to_owned()] },
    }
}

fn memory(facts: &Facts) -> Check {
    let meaning = "reads the values of variables";
    match &facts.own_memory {
        Ok(()) => Check {
            name: "memory",
            status: Status::Ok,
            found: "/proc/PID/mem is readable".to_owned(),
            meaning,
            remedy: vec![],
        },
        Err(why) => Check {
            name: "memory",
            status: Status::Missing,
            found: why.clone(),
            meaning,
            remedy: vec!["mount /proc without `hidepid`, and without a mask over /proc/PID/mem".to_owned()],
        },
    }
}

fn debuggers(facts: &Facts) -> Check {
    let meaning = "`freezeframe attach` opens one of them on a held process";
    if facts.debuggers.is_empty() {
        let remedy = vec!["install gdb or lldb, for example `apt-get install gdb`".to_owned()];
        return Check {
            name: "debugger",
            status: Status::Limited,
            found: "neither gdb nor lldb".to_owned(),
            meaning,
            remedy,
        };
    }
    Check { name: "debugger", status: Status::Ok, found: facts.debuggers.join("; "), meaning, remedy: vec![] }
}

fn disk(facts: &Facts) -> Check {
    const ENOUGH: u64 = 5 << 30;
    let meaning = "keeps capsules (1 GiB by default) and core files, which can be as large as the process";
    let found = match facts.free_bytes {
        Some(free) => format!("{} free in the present directory", words::bytes(free)),
        None => "free space unknown".to_owned(),
    };
    let enough = facts.free_bytes.is_some_and(|free| free >= ENOUGH);
    let remedy = vec!["set `bytes` and `core_bytes_max` in [store], or `dir` to a larger disk".to_owned()];
    let (status, remedy) = if enough { (Status::Ok, vec![]) } else { (Status::Limited, remedy) };
    Check { name: "disk", status, found, meaning, remedy }
}

fn as_json(report: &Report) -> String {
    // Plain strings and lists always serialise.
    serde_json::to_string_pretty(report).map(|json| json + "\n").unwrap_or_default()
}

fn as_text(report: &Report, color: bool) -> String {
    let paint = |code: &str, text: &str| {
        if color { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    };
    let mut text = String::new();
    for check in &report.checks {
        let (mark, code) = match check.status {
            Status::Ok => ("✓ ok     ", "32"),
            Status::Limited => ("! limited", "33"),
            Status::Missing => ("✗ missing", "1;31"),
        };
        text += &format!(
            "{}  {} {}\n",
            paint(code, mark),
            paint("1", &format!("{:<12}", check.name)),
            check.found
        );
        if check.status != Status::Ok {
            text += &format!("{:>24}{}\n", "", paint("2", check.meaning));
        }
        for remedy in &check.remedy {
            text += &format!("{:>24}→ {remedy}\n", "");
        }
    }
    text += &format!("\n{}\n", paint("1", "For readable values"));
    for advice in &report.advice {
        text += &format!("  {:<7} {}\n", advice.language, advice.text);
    }
    let container = report.container.map(|name| format!(" This is a {name} container.")).unwrap_or_default();
    let verdict = match report.holding {
        Holding::Frozen => "Processes can be held here, frozen.",
        Holding::Stopped => "Processes can be held here, but only by SIGSTOP.",
        Holding::None => "Nothing can be held here; errors are only counted.",
    };
    text + &format!("\n{}{container}\n", paint("1", verdict))
}
