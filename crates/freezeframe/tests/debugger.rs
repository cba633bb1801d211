//! `attach`: a real debugger at the site, and held again afterwards, however the debugger or its client ended.

mod support;

use std::process::{Command, Stdio};

use serde_json::Value;
use support::needs::{Need, has};
use support::process::{self, Process};
use support::scene::{Scene, Setup};
use support::{programs, wait_for};

const NEEDS: &[Need] = &[Need::Ptrace, Need::Freezer, Need::Compilers, Need::Gdb];

fn frozen(process: Process) -> bool {
    process.cgroup().is_some_and(|path| process::is_frozen(&process::cgroup_directory(&path)))
}

fn wait_held_again(scene: &Scene, id: &str, held: Process) {
    wait_for("frozen again", || {
        let (frozen, tracer, state) = (frozen(held), held.tracer(), scene.show(id)["state"].clone());
        if frozen && tracer.is_none() && state == "held" {
            Ok(())
        } else {
            Err(format!("{frozen} {tracer:?} {state} {}", scene.said()))
        }
    });
}

fn hold() -> (Scene, Value, Process) {
    let scene = Scene::start(Setup::of(&programs::stuck()).config("[hold]\nserver_errors = false\n"));
    let incident = scene.break_it("/null");
    let held = scene.held_process(&incident);
    (scene, incident, held)
}

/// `attach` with a gdb that stays; the client, and the debugger.
fn attach_and_stay(scene: &Scene, id: &str, held: Process) -> (std::process::Child, Process) {
    let mut command: Command = scene.command_line(
        "attach",
        &[id, "--debugger", "gdb", "--", "-nx", "-batch", "-ex", "shell exec sleep 600"],
    );
    let client =
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
    let debugger = wait_for("a debugger", || {
        let tracer = held.tracer().and_then(Process::of).ok_or("nobody is attached")?;
        // While it is handed over, its shim looks at its registers.
        let name = std::fs::read_to_string(format!("/proc/{}/comm", tracer.pid)).unwrap_or_default();
        if name.trim() != "gdb" {
            return Err(format!("attached: {name}"));
        }
        // Attached and through with its start, in which it forks to try things out: it waits in its shell command.
        if sleepers(tracer).is_empty() { Err("it is still starting".to_owned()) } else { Ok(tracer) }
    });
    (client, debugger)
}

fn wait_end(mut client: std::process::Child) {
    wait_for("end of the client", || match client.try_wait().expect("waited for") {
        Some(_) => Ok(()),
        None => Err("it runs".to_owned()),
    });
}

/// The shell commands that a debugger waits for.
fn sleepers(debugger: Process) -> Vec<Process> {
    let children =
        std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", debugger.pid)).unwrap_or_default();
    let sleepers = process::find(&["sleep", "600"]);
    sleepers
        .into_iter()
        .filter(|it| children.split_whitespace().any(|pid| pid == it.pid.to_string()))
        .collect()
}

/// Lets the debugger go on to its end.
fn end_debugger(debugger: Process) {
    sleepers(debugger).into_iter().for_each(Process::kill);
}

#[test]
fn a_debugger_sees_the_failing_frame_and_leaves_no_trace() {
    if !has(NEEDS) {
        return;
    }
    let (scene, incident, held) = hold();
    let id = incident["id"].as_str().expect("an id");
    for _ in 0..2 {
        let text = scene.must("attach", &[id, "--debugger", "gdb", "--", "-nx", "-batch", "-ex", "bt"]);
        let frames: Vec<&str> = text.lines().filter(|line| line.starts_with('#')).collect();
        assert!(
            frames.first().is_some_and(|frame| frame.contains("first_byte (")),
            "the failing thread's innermost frame: {text}"
        );
        assert!(frames.iter().any(|frame| frame.contains("break_here (")), "{text}");
        wait_held_again(&scene, id, held);
    }
    assert_eq!(scene.show(id)["hold"]["network"], "network cut");
    assert_eq!(scene.show(id)["threads"], incident["threads"]);
    // It can still be let go, and fails as it would have.
    scene.must("release", &[id]);
    wait_for("its end", || if held.is_alive() { Err(format!("{held:?}")) } else { Ok(()) });
}

#[test]
fn a_second_debugger_is_refused_and_the_first_one_unharmed() {
    if !has(NEEDS) {
        return;
    }
    let (scene, incident, held) = hold();
    let id = incident["id"].as_str().expect("an id");
    let (client, debugger) = attach_and_stay(&scene, id, held);
    let second = scene.command("attach", &[id, "--debugger", "gdb", "--", "-nx", "-batch", "-ex", "bt"]);
    assert!(!second.status.success());
    let words = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(words.contains("already attached"), "{words}");
    assert_eq!(held.tracer(), Some(debugger.pid));
    end_debugger(debugger);
    wait_end(client);
    wait_held_again(&scene, id, held);
}

#[test]
fn a_client_that_is_killed_leaves_the_process_held() {
    if !has(NEEDS) {
        return;
    }
    let (scene, incident, held) = hold();
    let id = incident["id"].as_str().expect("an id");
    let (mut client, debugger) = attach_and_stay(&scene, id, held);
    client.kill().expect("killed");
    client.wait().expect("waited for");
    // The debugger does not know, and stays for longer than anybody would wait for it.
    scene.wait_said("taken back from its debugger as soon as that is possible");
    assert_eq!(held.tracer(), Some(debugger.pid));
    end_debugger(debugger);
    wait_held_again(&scene, id, held);
    // And one whose debugger dies with its client.
    let (mut client, debugger) = attach_and_stay(&scene, id, held);
    client.kill().expect("killed");
    client.wait().expect("waited for");
    end_debugger(debugger);
    debugger.kill();
    wait_held_again(&scene, id, held);
    scene.must("kill", &[id]);
    wait_for("its end", || if held.is_alive() { Err(format!("{held:?}")) } else { Ok(()) });
}

#[test]
fn the_daemon_dies_while_a_debugger_is_attached() {
    if !has(NEEDS) {
        return;
    }
    let (mut scene, incident, held) = hold();
    let id = incident["id"].as_str().expect("an id").to_owned();
    let (client, debugger) = attach_and_stay(&scene, &id, held);
    scene.kill_daemon();
    end_debugger(debugger);
    wait_end(client);
    assert!(held.is_alive());
    scene.run();
    wait_held_again(&scene, &id, held);
    scene.must("kill", &[&id]);
    wait_for("its end", || if held.is_alive() { Err(format!("{held:?}")) } else { Ok(()) });
}

#[test]
fn the_shim_dies_while_a_debugger_is_attached() {
    if !has(NEEDS) {
        return;
    }
    let (scene, incident, held) = hold();
    let id = incident["id"].as_str().expect("an id");
    let instance = scene.instances().into_iter().find(|it| it.role == "held").expect("held");
    let (client, debugger) = attach_and_stay(&scene, id, held);
    let shim = scene.shim(instance.id);
    shim.kill();
    wait_for("a caretaker", || match scene.shim(instance.id) {
        other if other != shim => Ok(()),
        other => Err(format!("{other:?}")),
    });
    assert_eq!(held.tracer(), Some(debugger.pid), "the debugger notices nothing");
    end_debugger(debugger);
    wait_end(client);
    wait_held_again(&scene, id, held);
    scene.must("kill", &[id]);
    wait_for("its end", || if held.is_alive() { Err(format!("{held:?}")) } else { Ok(()) });
}
