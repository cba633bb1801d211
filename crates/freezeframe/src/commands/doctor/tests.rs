//! Judgements over made-up hosts; the present one is only asked, because what it can do is not known here.

use std::path::PathBuf;

use expect_test::expect;
use freezeframe_runtime::host::HostReport;

use super::facts::{Container, Facts, cgroup2, field, free, version};
use super::{Holding, as_json, as_text, report};

/// A host on which everything works.
fn able() -> Facts {
    Facts {
        arch: "x86_64".to_owned(),
        release: "6.18.5".to_owned(),
        kernel: Some((6, 18)),
        yama: Some(1),
        seccomp_filtered: false,
        unprivileged_bpf_disabled: Some(2),
        cgroup2_mount: Some(PathBuf::from("/sys/fs/cgroup")),
        container: None,
        own_memory: Ok(()),
        debuggers: vec!["GNU gdb (Debian 13.1-3) 13.1".to_owned()],
        free_bytes: Some(75 << 30),
        host: HostReport {
            ptrace: Ok(()),
            freeze: Ok(()),
            network_cut: Ok(()),
            cgroup_root: Some(PathBuf::from("/sys/fs/cgroup/user.slice")),
        },
    }
}

#[test]
fn an_able_host_is_told_so() {
    expect![[r#"
        ✓ ok       kernel       Linux 6.18.5 on x86_64
        ✓ ok       ptrace       works (tried on a child), Yama ptrace_scope 1
        ✓ ok       freezer      cgroup v2 can be written below /sys/fs/cgroup/user.slice
        ✓ ok       network cut  a cgroup BPF program can be loaded
        ✓ ok       pidfd        pidfd_open and pidfd_getfd
        ✓ ok       memory       /proc/PID/mem is readable
        ✓ ok       debugger     GNU gdb (Debian 13.1-3) 13.1
        ✓ ok       disk         75.0 GiB free in the present directory

        For readable values
          Rust    `[profile.release] debug = "full"` in Cargo.toml shows values; `"line-tables-only"` shows lines only. Do not set `strip`.
          C, C++  compile with `-g -O2` and keep the binary unstripped, or install its separate debug file.
          Go      debug information is there by default; do not link with `-ldflags=-s` or `-w`.

        Processes can be held here, frozen.
    "#]].assert_eq(&as_text(&report(&able()), false));
}

#[test]
fn a_container_without_rights_is_told_how_to_get_them() {
    let facts = Facts {
        yama: Some(2),
        seccomp_filtered: true,
        container: Some(Container::Docker),
        debuggers: vec![],
        free_bytes: Some(1 << 30),
        host: HostReport {
            ptrace: Err("permission to trace an own child: Operation not permitted".to_owned()),
            freeze: Err("the right to make a cgroup below /sys/fs/cgroup".to_owned()),
            network_cut: Err("CAP_BPF and CAP_NET_ADMIN (or root)".to_owned()),
            cgroup_root: None,
        },
        ..able()
    };
    let report = report(&facts);
    assert_eq!(report.holding, Holding::None);
    expect![[r#"
        ✓ ok       kernel       Linux 6.18.5 on x86_64
        ✗ missing  ptrace       permission to trace an own child: Operation not permitted, Yama ptrace_scope 2
                                notices errors and reads stacks; without it nothing can be held
                                → `sysctl kernel.yama.ptrace_scope=1`, or run with CAP_SYS_PTRACE
                                → start the container with `--cap-add SYS_PTRACE --security-opt seccomp=unconfined`
        ! limited  freezer      missing: the right to make a cgroup below /sys/fs/cgroup
                                freezes a whole process tree unnoticed by it; without it, SIGSTOP holds, which the process can notice
                                → start the container with `--cgroupns=private` and a writable /sys/fs/cgroup (podman: `--security-opt unmask=/sys/fs/cgroup`, docker: `--privileged`)
        ! limited  network cut  missing: CAP_BPF and CAP_NET_ADMIN (or root) (kernel.unprivileged_bpf_disabled is 2)
                                cuts a held process off from its backends; without it, its connections stay open while it stands still
                                → it needs the freezer's cgroup first
                                → start the container with `--cap-add BPF --cap-add NET_ADMIN`
        ✓ ok       pidfd        pidfd_open and pidfd_getfd
        ✓ ok       memory       /proc/PID/mem is readable
        ! limited  debugger     neither gdb nor lldb
                                `freezeframe attach` opens one of them on a held process
                                → install gdb or lldb, for example `apt-get install gdb`
        ! limited  disk         1.0 GiB free in the present directory
                                keeps capsules (1 GiB by default) and core files, which can be as large as the process
                                → set `bytes` and `core_bytes_max` in [store], or `dir` to a larger disk

        For readable values
          Rust    `[profile.release] debug = "full"` in Cargo.toml shows values; `"line-tables-only"` shows lines only. Do not set `strip`.
          C, C++  compile with `-g -O2` and keep the binary unstripped, or install its separate debug file.
          Go      debug information is there by default; do not link with `-ldflags=-s` or `-w`.

        Nothing can be held here; errors are only counted. This is a docker container.
    "#]].assert_eq(&as_text(&report, false));
}

#[test]
fn without_a_freezer_processes_are_held_by_sigstop() {
    let host = HostReport { freeze: Err("no cgroup v2 hierarchy is mounted".to_owned()), ..able().host };
    let report = report(&Facts { cgroup2_mount: None, host, ..able() });
    assert_eq!(report.holding, Holding::Stopped);
    expect![[r#"
        {
          "schema": "freezeframe-doctor/1",
          "holding": "stopped",
          "container": null,
          "checks": [
            {
              "name": "kernel",
              "status": "ok",
              "found": "Linux 6.18.5 on x86_64",
              "meaning": "traps and holding need Linux on x86-64",
              "remedy": []
            },
            {
              "name": "ptrace",
              "status": "ok",
              "found": "works (tried on a child), Yama ptrace_scope 1",
              "meaning": "notices errors and reads stacks; without it nothing can be held",
              "remedy": []
            },
            {
              "name": "freezer",
              "status": "limited",
              "found": "missing: no cgroup v2 hierarchy is mounted",
              "meaning": "freezes a whole process tree unnoticed by it; without it, SIGSTOP holds, which the process can notice",
              "remedy": [
                "mount cgroup v2: boot with `systemd.unified_cgroup_hierarchy=1`, or `mount -t cgroup2 none /sys/fs/cgroup/unified`"
              ]
            },
            {
              "name": "network cut",
              "status": "ok",
              "found": "a cgroup BPF program can be loaded",
              "meaning": "cuts a held process off from its backends; without it, its connections stay open while it stands still",
              "remedy": []
            },
            {
              "name": "pidfd",
              "status": "ok",
              "found": "pidfd_open and pidfd_getfd",
              "meaning": "names a process without mistaking another for it, and reaches a held process's connections",
              "remedy": []
            },
            {
              "name": "memory",
              "status": "ok",
              "found": "/proc/PID/mem is readable",
              "meaning": "reads the values of variables",
              "remedy": []
            },
            {
              "name": "debugger",
              "status": "ok",
              "found": "GNU gdb (Debian 13.1-3) 13.1",
              "meaning": "`freezeframe attach` opens one of them on a held process",
              "remedy": []
            },
            {
              "name": "disk",
              "status": "ok",
              "found": "75.0 GiB free in the present directory",
              "meaning": "keeps capsules (1 GiB by default) and core files, which can be as large as the process",
              "remedy": []
            }
          ],
          "advice": [
            {
              "language": "Rust",
              "text": "`[profile.release] debug = \"full\"` in Cargo.toml shows values; `\"line-tables-only\"` shows lines only. Do not set `strip`."
            },
            {
              "language": "C, C++",
              "text": "compile with `-g -O2` and keep the binary unstripped, or install its separate debug file."
            },
            {
              "language": "Go",
              "text": "debug information is there by default; do not link with `-ldflags=-s` or `-w`."
            }
          ]
        }
    "#]].assert_eq(&as_json(&report));
}

#[test]
fn every_lack_comes_with_a_remedy() {
    let nothing = HostReport {
        ptrace: Err("x".to_owned()),
        freeze: Err("x".to_owned()),
        network_cut: Err("x".to_owned()),
        cgroup_root: None,
    };
    for container in [None, Some(Container::Docker), Some(Container::Podman), Some(Container::Kubernetes)] {
        for (yama, seccomp_filtered) in [(None, false), (Some(0), true), (Some(2), false), (Some(3), true)] {
            let facts = Facts {
                arch: "riscv64".to_owned(),
                kernel: None,
                yama,
                seccomp_filtered,
                container,
                cgroup2_mount: yama.map(|_| PathBuf::from("/sys/fs/cgroup")),
                own_memory: Err("x".to_owned()),
                debuggers: vec![],
                free_bytes: None,
                host: nothing.clone(),
                ..able()
            };
            for check in report(&facts).checks {
                assert!(!check.remedy.is_empty(), "{}", check.name);
            }
        }
    }
}

#[test]
fn what_the_host_says_is_read_as_it_is_written() {
    assert_eq!(["6.18.5-arch1", "5.4", "4.19.0+"].map(version), [Some((6, 18)), Some((5, 4)), Some((4, 19))]);
    assert_eq!(["", "x", "6", "6.x", "99999999999.1"].map(version), [None; 5]);
    let hybrid =
        "cgroup /sys/fs/cgroup/memory cgroup rw 0 0\ncgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
    assert_eq!(cgroup2(hybrid), Some(PathBuf::from("/sys/fs/cgroup/unified")));
    assert_eq!(cgroup2("garbage\n\n x"), None);
    assert_eq!(field("Name:\tx\nSeccomp:\t2\nSeccomp_filters:\t1\n", "Seccomp"), Some("2"));
    let df = "Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/vda 250 150 100 60% /\n";
    assert_eq!(free(df), Some(102_400));
    assert_eq!(free("a b c 100 5% /"), Some(102_400));
    assert_eq!(["", "a b c", "a b c x", "a b c 99999999999999999999"].map(free), [None; 4]);
}

#[test]
fn this_host_can_be_asked() {
    let facts = Facts::gather();
    assert!(facts.kernel.is_some());
    let report = report(&facts);
    assert_eq!(report.checks.len(), 8);
    assert_eq!(report.holding == Holding::None, facts.host.ptrace.is_err() || facts.arch != "x86_64");
}
