//! A full disk, no privileges: less is possible, all of it works, and what is missing is said.

mod support;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use support::needs::{Need, has};
use support::process::{self, Process};
use support::scene::{Scene, Setup};
use support::{http, programs, wait_for};

const CONFIG: &str = "[hold]\nserver_errors = false\n";

/// A small file system of its own.
struct Disk {
    directory: tempfile::TempDir,
}

impl Disk {
    fn new(size: &str) -> Self {
        let directory =
            tempfile::Builder::new().prefix("freezeframe-disk-").tempdir().expect("a temporary directory");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size},mode=0700"), "tmpfs"])
            .arg(directory.path())
            .status();
        assert!(mounted.expect("mount starts").success());
        Self { directory }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Not a byte is left, and what becomes free is taken again at once.
    fn hog(&self) -> Hog {
        let path = self.path().join("something-else");
        let mut file = std::fs::File::create(&path).expect("created");
        let mut fill = move || {
            for size in [64 * 1024, 4096, 1] {
                while file.write_all(&vec![0; size]).is_ok() {}
            }
        };
        fill();
        let over = Arc::new(AtomicBool::new(false));
        let ends = over.clone();
        let thread = std::thread::spawn(move || {
            while !ends.load(Ordering::Relaxed) {
                fill();
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
        });
        Hog { path, over, thread: Some(thread) }
    }
}

/// Takes all room of a disk until it is dropped.
struct Hog {
    path: PathBuf,
    over: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Drop for Hog {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        drop(self.thread.take().map(std::thread::JoinHandle::join));
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

fn frozen(process: Process) -> bool {
    process.cgroup().is_some_and(|path| process::is_frozen(&process::cgroup_directory(&path)))
}

#[test]
fn a_full_disk_costs_neither_the_hold_nor_the_service() {
    if !has(&[Need::Root, Need::Ptrace, Need::Freezer, Need::Compilers]) {
        return;
    }
    let disk = Disk::new("4m");
    let setup = Setup { data: Some(disk.path().to_owned()), ..Setup::of(&programs::stuck()).config(CONFIG) };
    let mut scene = Scene::start(setup);
    let hog = disk.hog();
    let answer = scene.get("/null");
    assert_eq!(answer.status, 502, "{answer:?} {}", scene.said());
    let id = answer.header("x-incident-id").expect("an incident").to_owned();
    let held = wait_for("a held instance", || {
        let instances = scene.instances();
        let found = instances.iter().find(|it| it.role == "held" && it.incident.as_deref() == Some(&id));
        found.cloned().ok_or_else(|| format!("{instances:?} {}", scene.said()))
    });
    let process = held.process.expect("it lives");
    assert!(frozen(process));
    for _ in 0..50 {
        assert_eq!(scene.get("/ok").status, 200);
    }
    // Its row is there, or the daemon says that it is not.
    let shown = scene.command("show", &[&id]).status.success();
    wait_for("a word about it", || {
        let said = scene.said();
        if shown || said.contains("the store could not be written to") { Ok(()) } else { Err(said) }
    });
    assert!(scene.daemon_process().is_alive());
    assert!(!scene.said().contains("panicked at"), "{}", scene.said());

    // The daemon dies on top of it; then somebody makes room and starts it again.
    scene.kill_daemon();
    assert!(frozen(process));
    drop(hog);
    scene.run();
    let incident = scene.wait_state(&id, "held");
    assert!(frozen(process), "{incident}");
    assert_eq!(incident["hold"]["pid"], process.pid);
    assert!(
        incident["site"]["function"].as_str().is_some_and(|function| function.ends_with("first_byte")),
        "{incident}"
    );
    scene.wait_ready();
    scene.must("release", &[&id]);
    wait_for("the end", || if process.is_alive() { Err(format!("{process:?}")) } else { Ok(()) });
    scene.wait_state(&id, "released");
}

#[test]
fn without_privileges_a_process_is_held_by_a_signal() {
    if !has(&[Need::Root, Need::Ptrace, Need::Compilers]) {
        return;
    }
    const NOBODY: u32 = 65534;
    let setup = Setup { user: Some(NOBODY), ..Setup::of(&programs::stuck()).config(CONFIG) };
    let mut scene = Scene::start(setup);
    let daemon = scene.daemon_process();
    assert!(
        std::fs::read_to_string(format!("/proc/{}/status", daemon.pid))
            .expect("status")
            .contains("Uid:\t65534")
    );
    let answer = scene.get("/null");
    assert_eq!(answer.status, 502, "{answer:?}");
    let id = answer.header("x-incident-id").expect("an incident").to_owned();
    let incident = scene.wait_state(&id, "held");
    assert_eq!(incident["hold"]["strength"], "stopped", "{incident}");
    let network = incident["hold"]["network"].as_str().expect("a text");
    assert!(network.starts_with("network not cut: missing "), "{network}");
    let page = scene.must("show", &[&id]);
    assert!(page.contains("stopped by SIGSTOP, network not cut: missing"), "{page}");
    assert!(incident["not_captured"].to_string().contains("missing"), "{}", incident["not_captured"]);
    assert!(incident["site"]["function"].as_str().is_some_and(|function| function.ends_with("first_byte")));
    let process = scene.held_process(&incident);
    assert_eq!((process.state(), process.tracer()), (Some('T'), None));
    let ticks = process.ticks();
    assert_eq!(scene.get("/ok").status, 200);
    scene.wait_ready();
    let answer = scene.must("eval", &[&id, "text == null", "--json"]);
    assert!(answer.contains("\"process\"") && answer.contains("\"true\""), "{answer}");
    assert_eq!((process.state(), process.tracer()), (Some('T'), None), "asked");

    // It outlives the daemon and its shim just the same.
    let instance = scene.instances().into_iter().find(|it| it.role == "held").expect("held");
    let shim = scene.shim(instance.id);
    scene.kill_daemon();
    shim.kill();
    wait_for("the shim's end", || if shim.is_alive() { Err(format!("{shim:?}")) } else { Ok(()) });
    assert_eq!(process.state(), Some('T'));
    scene.run();
    scene.wait_ready();
    scene.wait_state(&id, "held");
    assert_eq!((process.state(), process.ticks()), (Some('T'), ticks), "it never ran");
    scene.must("release", &[&id]);
    wait_for("the end", || {
        if process.is_alive() { Err(format!("{process:?} {:?}", process.state())) } else { Ok(()) }
    });
    scene.wait_state(&id, "released");

    let again = http::get(scene.gate(), "/null-there").expect("an answer");
    assert_eq!(again.status, 502, "{again:?} {}", scene.said());
    let id = again.header("x-incident-id").expect("an incident");
    let incident = scene.wait_state(id, "held");
    let process = scene.held_process(&incident);
    scene.must("kill", &[id]);
    wait_for("the end", || if process.is_alive() { Err(format!("{process:?}")) } else { Ok(()) });
}
