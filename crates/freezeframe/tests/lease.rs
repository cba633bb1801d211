//! The end of a hold that nobody ended: a core is kept, then the process goes. `extend` puts it off.

mod support;

use std::process::Command;

use support::needs::{Need, has};
use support::scene::{Scene, Setup};
use support::{http, programs, wait_for};

#[test]
fn a_lease_ends_in_a_core_and_can_be_extended() {
    if !has(&[Need::Ptrace, Need::Freezer, Need::Compilers, Need::Gdb]) {
        return;
    }
    let config = "[hold]\nserver_errors = false\nlease = \"8s\"\n";
    let scene = Scene::start(Setup::of(&programs::c_server()).config(config));
    let first = scene.break_it("/divide?by=0");
    scene.wait_roles(2, 1);
    let second = scene.break_it("/null");
    let (short, long) = (first["id"].as_str().expect("an id"), second["id"].as_str().expect("an id"));
    let process = scene.held_process(&first);
    scene.must("extend", &[long, "--by", "1h"]);

    let expired = scene.wait_state(short, "expired");
    wait_for("the process's end", || if process.is_alive() { Err(format!("{process:?}")) } else { Ok(()) });
    assert_eq!(expired["hold"]["strength"], "none");
    assert_eq!(scene.show(long)["state"], "held", "the other lease was made longer");

    let core = scene.scratch.path().join("core");
    scene.must("core", &[short, "--output", &core.display().to_string()]);
    let gdb = Command::new("gdb")
        .args(["-q", "-batch", "-ex", "bt"])
        .arg(programs::c_server())
        .arg(&core)
        .output()
        .expect("gdb runs");
    let stack = String::from_utf8_lossy(&gdb.stdout).into_owned();
    let function = expired["site"]["function"].as_str().expect("a function");
    assert!(stack.contains(function), "{function} is not in\n{stack}");
    assert_eq!(http::get(scene.gate(), "/ok").map(|answer| answer.status).ok(), Some(200));
    scene.must("kill", &[long]);
}
