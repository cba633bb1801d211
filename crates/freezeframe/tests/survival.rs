//! kill -9, of the daemon and of shims, at every moment: nothing restarts that need not, and what is held stays held.

mod support;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use serde_json::Value;
use support::needs::{Need, has};
use support::process::{self, Process};
use support::scene::{Instance, Scene, Setup};
use support::{http, programs, wait_for};

const NEEDS: &[Need] = &[Need::Ptrace, Need::Freezer, Need::Compilers];

/// A drain that ends only with its requests.
const CONFIG: &str = "[hold]\nserver_errors = false\ndrain_ms = 20000\n";

fn start(config: &str) -> Scene {
    Scene::start(Setup::of(&programs::stuck()).config(config))
}

/// Pids of everything that serves or could at once. Who is the spare may change when a new daemon adopts them.
fn healthy(scene: &Scene) -> Vec<i32> {
    let instances = scene.instances();
    let mut pids = [pids(&instances, "serving"), pids(&instances, "spare")].concat();
    pids.sort_unstable();
    pids
}

/// Pids by role, sorted.
fn pids(instances: &[Instance], role: &str) -> Vec<i32> {
    let mut pids: Vec<i32> =
        instances.iter().filter(|it| it.role == role).filter_map(|it| it.process).map(|it| it.pid).collect();
    pids.sort_unstable();
    pids
}

fn frozen(process: Process) -> bool {
    process.cgroup().is_some_and(|path| process::is_frozen(&process::cgroup_directory(&path)))
}

fn wait_frozen(process: Process) {
    wait_for("freeze", || {
        if frozen(process) { Ok(()) } else { Err(format!("{process:?} {:?}", process.state())) }
    });
}

fn wait_gone(process: Process) {
    wait_for("end", || {
        if process.is_alive() { Err(format!("{process:?} {:?}", process.state())) } else { Ok(()) }
    });
}

fn id_of(incident: &Value) -> String {
    incident["id"].as_str().expect("an id").to_owned()
}

/// A slow request straight to an instance, answered or not.
fn slow(address: SocketAddr, ms: u64) -> std::thread::JoinHandle<std::io::Result<http::Answer>> {
    std::thread::spawn(move || http::get(address, &format!("/slow?ms={ms}")))
}

fn in_flight(scene: &Scene, wanted: u64) -> Instance {
    wait_for("a request in flight", || {
        let answer = http::over_socket(&scene.data.join("daemon.sock"), "GET", "/api/v1/instances");
        let value: Value = serde_json::from_slice(&answer.map_err(|error| error.to_string())?.body)
            .map_err(|e| e.to_string())?;
        let rows = value["instances"].as_array().ok_or("no list")?;
        let id =
            rows.iter().find(|row| row["in_flight"].as_u64() >= Some(wanted)).map(|row| row["id"].as_u64());
        let id = id.flatten().ok_or(value.to_string())?;
        scene.instances().into_iter().find(|it| it.id == id).ok_or("gone".to_owned())
    })
}

#[test]
fn the_daemon_dies_while_serving() {
    if !has(NEEDS) {
        return;
    }
    let mut scene = start(CONFIG);
    let before = scene.instances();
    let healthy_before = healthy(&scene);
    // A request straight to an instance, through the daemon's death and the next one's birth.
    let first = SocketAddr::from((Ipv4Addr::LOCALHOST, before[0].port));
    let through = slow(first, 1500);
    scene.kill_daemon();
    assert!(before.iter().all(|it| it.process.is_some_and(Process::is_alive)));
    assert_eq!(http::get(first, "/ok").expect("served without a daemon").status, 200);
    scene.run();
    scene.wait_ready();
    assert_eq!(healthy(&scene), healthy_before, "nothing is started anew");
    assert_eq!(through.join().expect("no panic").expect("answered").status, 200);
    // And they are armed again.
    let incident = scene.break_it("/null");
    let held = scene.held_process(&incident);
    assert!(before.iter().any(|it| it.process == Some(held)));
    assert!(frozen(held));
}

#[test]
fn an_error_without_a_daemon_passes_as_without_us() {
    if !has(NEEDS) {
        return;
    }
    let mut scene = start(CONFIG);
    let before = scene.instances();
    let victim = before[0].process.expect("it runs");
    scene.kill_daemon();
    let answer = http::get(SocketAddr::from((Ipv4Addr::LOCALHOST, before[0].port)), "/null");
    assert!(answer.is_err(), "{answer:?}");
    wait_gone(victim);
    scene.run();
    scene.wait_ready();
    let after = scene.instances();
    for it in &before[1..] {
        assert!(after.iter().any(|other| other.process == it.process), "{it:?} was restarted");
    }
}

#[test]
fn the_daemon_dies_while_something_is_held() {
    if !has(NEEDS) {
        return;
    }
    let mut scene = start(CONFIG);
    let incident = scene.break_it("/null");
    let id = id_of(&incident);
    let held = scene.held_process(&incident);
    scene.wait_ready();
    let before = healthy(&scene);
    scene.kill_daemon();
    assert!(frozen(held));
    // Reading needs no daemon; acting says what to do.
    let without = scene.show(&id);
    assert_eq!((&without["state"], &without["threads"]), (&"held".into(), &incident["threads"]));
    assert!(scene.must("incidents", &[]).contains(&id));
    let refused = scene.command("release", &[&id]);
    assert_eq!(refused.status.code(), Some(1));
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(words.contains("no daemon answers") && words.contains("freezeframe run --data-dir"), "{words}");

    scene.run();
    scene.wait_ready();
    let after = scene.wait_state(&id, "held");
    assert_eq!(after["hold"]["pid"], incident["hold"]["pid"]);
    assert_eq!(after["hold"]["network"], "network cut");
    assert_eq!(
        after["hold"]["lease_until"].as_str().map(|text| &text[..16]),
        incident["hold"]["lease_until"].as_str().map(|text| &text[..16])
    );
    assert_eq!(before, healthy(&scene), "nothing is started anew");
    assert!(frozen(held));
    assert_eq!(scene.incidents().len(), 1, "adopting is no incident");
    // The same error again is known to be held.
    let again = http::get(scene.gate(), "/null");
    assert!(again.as_ref().map_or(true, |answer| answer.header("x-incident-id").is_none()), "{again:?}");
    wait_for("a count of two", || {
        let count = scene.show(&id)["count"].clone();
        if count == 2 { Ok(()) } else { Err(count.to_string()) }
    });
    scene.must("release", &[&id]);
    scene.wait_state(&id, "released");
    wait_gone(held);
}

/// The instance drains because of another request that takes its time.
fn begin_drain(
    scene: &Scene,
    ms: u64,
) -> (Instance, std::thread::JoinHandle<std::io::Result<http::Answer>>, String) {
    // Fill every serving instance's place so that the failing request surely meets a slow one.
    let slow_ones: Vec<_> = (0..8).map(|_| slow(scene.gate(), ms)).collect();
    for _ in 0..2 {
        in_flight(scene, 1);
    }
    wait_for("all slow requests in flight", || {
        let answer = http::over_socket(&scene.data.join("daemon.sock"), "GET", "/api/v1/instances")
            .map_err(|e| e.to_string())?;
        let value: Value = serde_json::from_slice(&answer.body).map_err(|error| error.to_string())?;
        let counts: Vec<u64> = value["instances"]
            .as_array()
            .ok_or("no list")?
            .iter()
            .filter_map(|row| row["in_flight"].as_u64())
            .collect();
        if counts.iter().sum::<u64>() == 8 && counts.iter().filter(|count| **count > 0).count() == 2 {
            Ok(())
        } else {
            Err(format!("{counts:?}"))
        }
    });
    let gate = scene.gate();
    let failing = std::thread::spawn(move || http::get(gate, "/null"));
    let (instance, id) = wait_for("a drain", || {
        let instances = scene.instances();
        let found = instances.iter().find(|it| it.role == "draining");
        found
            .and_then(|it| Some((it.clone(), it.incident.clone()?)))
            .ok_or_else(|| format!("{instances:?}\n{}", scene.said()))
    });
    drop(slow_ones);
    (instance, failing, id)
}

#[test]
fn the_daemon_dies_while_draining() {
    if !has(NEEDS) {
        return;
    }
    let mut scene = start("[hold]\nserver_errors = false\ndrain_ms = 4000\n");
    let (draining, failing, id) = begin_drain(&scene, 60_000);
    let process = draining.process.expect("it lives");
    let others: Vec<i32> = pids(&scene.instances(), "serving");
    scene.kill_daemon();
    let _ = failing.join();
    assert!(!frozen(process), "it still drains");
    // The shim needs no daemon to end the drain and hold.
    scene.run();
    let incident = scene.wait_state(&id, "held");
    assert!(frozen(process));
    assert_eq!(incident["hold"]["pid"], process.pid);
    assert_eq!(incident["hold"]["network"], "network cut");
    assert!(incident["site"]["function"].as_str().is_some_and(|function| function.ends_with("first_byte")));
    scene.wait_ready();
    let after = healthy(&scene);
    assert!(others.iter().all(|pid| after.contains(pid)), "{others:?} {after:?}");
    scene.must("kill", &[&id]);
    wait_gone(process);
}

#[test]
fn the_drain_ends_while_no_daemon_lives() {
    if !has(NEEDS) {
        return;
    }
    let mut scene = start("[hold]\nserver_errors = false\ndrain_ms = 2000\n");
    let (draining, failing, id) = begin_drain(&scene, 60_000);
    let process = draining.process.expect("it lives");
    scene.kill_daemon();
    let _ = failing.join();
    wait_frozen(process);
    // The shim writes down that it is held after it has frozen it.
    wait_for("a firm hold on disk", || {
        let state = scene.state(draining.id).ok_or("no state")?;
        if state["held"]["firm"] == true { Ok(()) } else { Err(state.to_string()) }
    });
    scene.run();
    let incident = scene.wait_state(&id, "held");
    assert_eq!(
        (&incident["hold"]["pid"], &incident["hold"]["strength"]),
        (&process.pid.into(), &"frozen".into())
    );
    scene.must("release", &[&id]);
    wait_gone(process);
}

#[test]
fn the_shim_of_a_healthy_instance_dies() {
    if !has(NEEDS) {
        return;
    }
    let scene = start(CONFIG);
    let victim = scene.instances().into_iter().find(|it| it.role == "serving").expect("one serves");
    let process = victim.process.expect("it lives");
    scene.shim(victim.id).kill();
    wait_gone(process);
    wait_for("a replacement", || {
        let instances = scene.instances();
        let gone = instances.iter().all(|it| it.id != victim.id);
        let roles = (pids(&instances, "serving").len(), pids(&instances, "spare").len());
        if gone && roles == (2, 1) { Ok(()) } else { Err(format!("{instances:?}")) }
    });
    assert_eq!(scene.get("/ok").status, 200);
    let said = scene.said();
    let incidents = scene.incidents();
    assert_eq!(incidents.len(), 1, "{incidents:?} {said}");
    assert!(
        incidents[0]["sentence"].as_str().is_some_and(|text| text.contains("its shim died")),
        "{incidents:?}"
    );
    let directory = scene.data.join("instances").join(victim.id.to_string());
    wait_for("tidying up", || if directory.exists() { Err(directory.display().to_string()) } else { Ok(()) });
}

#[test]
fn the_shim_of_a_held_process_dies_and_a_caretaker_takes_over() {
    if !has(NEEDS) {
        return;
    }
    let mut scene = start(CONFIG);
    for (round, action) in ["release", "kill", "release"].into_iter().enumerate() {
        let incident = scene.break_it("/null");
        let id = id_of(&incident);
        let held = scene.held_process(&incident);
        let instance = scene.instances().into_iter().find(|it| it.role == "held").expect("held");
        let first = scene.shim(instance.id);
        first.kill();
        let second = wait_for("a caretaker", || match scene.shim(instance.id) {
            shim if shim != first => Ok(shim),
            shim => Err(format!("{shim:?}")),
        });
        assert!(frozen(held));
        let mut last = second;
        if round == 2 {
            // With neither a shim nor a daemon: the next daemon finds what is held and starts a caretaker.
            scene.kill_daemon();
            second.kill();
            wait_gone(second);
            assert!(frozen(held));
            assert_eq!(scene.show(&id)["state"], "held");
            scene.run();
            last = wait_for("another caretaker", || match scene.shim(instance.id) {
                shim if shim != second => Ok(shim),
                shim => Err(format!("{shim:?}")),
            });
            assert!(frozen(held));
        }
        let still = scene.wait_state(&id, "held");
        assert_eq!(
            (&still["hold"]["pid"], &still["threads"]),
            (&incident["hold"]["pid"], &incident["threads"])
        );
        let core = scene.scratch.path().join("core");
        scene.must("core", &[&id, "--output", &core.display().to_string()]);
        assert!(std::fs::read(&core).expect("a core").starts_with(b"\x7fELF"));
        scene.must(action, &[&id]);
        wait_gone(held);
        wait_gone(last);
        scene.wait_state(&id, if action == "kill" { "killed" } else { "released" });
        scene.wait_ready();
    }
}

#[test]
fn the_shim_dies_during_the_drain() {
    if !has(NEEDS) {
        return;
    }
    let scene = start(CONFIG);
    let (draining, failing, id) = begin_drain(&scene, 60_000);
    let process = draining.process.expect("it lives");
    wait_for("the capture", || {
        let show = scene.show(&id);
        if show["threads"].as_array().is_some_and(|threads| !threads.is_empty()) {
            Ok(())
        } else {
            Err(show.to_string())
        }
    });
    scene.shim(draining.id).kill();
    wait_gone(process);
    let incident = scene.wait_state(&id, "lost");
    assert!(incident["site"]["function"].as_str().is_some_and(|function| function.ends_with("first_byte")));
    assert!(incident["not_captured"].to_string().contains("its shim died"), "{}", incident["not_captured"]);
    let _ = failing.join();
    scene.wait_roles(2, 1);
    assert_eq!(scene.get("/ok").status, 200);
    let refused = scene.command("release", &[&id]);
    assert_eq!(refused.status.code(), Some(1));
}

#[test]
fn a_number_that_belongs_to_somebody_else_now_is_never_signalled() {
    if !has(NEEDS) {
        return;
    }
    let mut scene = Scene::prepare(Setup::of(&programs::stuck()));
    let mut bystander = std::process::Command::new("sleep").arg("600").spawn().expect("sleep starts");
    let other = Process::of(i32::try_from(bystander.id()).expect("a pid")).expect("it lives");
    // As a machine that was restarted may find it: the number is there, the process is another one.
    let held = |firm: bool| {
        serde_json::json!({
            "incident": "INC-7", "fingerprint": "0123456789abcdef0123456789abcdef", "firm": firm,
            "facts": {
                "strength": "stopped", "network": "no", "pid": other.pid, "pid_start": other.start() + 1,
                "failing_tid": other.pid, "pending_signal": 6, "cgroup": null, "resident_bytes": 1, "lease_until": 0
            }
        })
    };
    for (instance, held) in [(3, Value::Null), (4, held(true)), (5, held(false))] {
        let state = serde_json::json!({
            "pid": other.pid, "pid_start": other.start() + 1, "cgroup": null, "held": held, "exited": null
        });
        write_instance(&scene.data, instance, &state);
    }
    scene.run();
    scene.wait_ready();
    wait_for("tidying up", || {
        let left: Vec<u64> =
            (3..=5).filter(|id| scene.data.join("instances").join(id.to_string()).exists()).collect();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    });
    assert_eq!(other.state(), Some('S'), "neither killed, nor stopped, nor continued");
    assert!(scene.instances().iter().all(|it| it.id > 5), "numbers are not used again");
    assert!(!scene.command("kill", &["INC-7"]).status.success());
    assert!(other.is_alive());
    bystander.kill().expect("killed");
    bystander.wait().expect("waited for");
}

#[test]
fn a_cgroup_that_nothing_was_started_in_is_removed() {
    if !has(NEEDS) {
        return;
    }
    let mut scene = Scene::prepare(Setup::of(&programs::stuck()));
    let own = i32::try_from(std::process::id()).ok().and_then(Process::of).and_then(Process::cgroup);
    let parent = process::cgroup_directory(&own.expect("this process has a cgroup"));
    // As a shim leaves it that is killed before it has started anything.
    let cgroup = parent.join(format!("stuck-3-{}.left", std::process::id()));
    std::fs::create_dir(&cgroup).expect("a cgroup");
    let state =
        serde_json::json!({ "pid": 0, "pid_start": 0, "cgroup": cgroup, "held": null, "exited": null });
    write_instance(&scene.data, 3, &state);
    scene.run();
    wait_for("tidying up", || {
        let left = [cgroup.clone(), scene.data.join("instances/3")].map(|path| path.exists());
        if left == [false; 2] { Ok(()) } else { Err(format!("{left:?}")) }
    });
}

#[test]
fn a_hold_that_is_not_on_disk_is_heard_of_from_its_shim() {
    if !has(NEEDS) {
        return;
    }
    let mut scene = start(CONFIG);
    let incident = scene.break_it("/null");
    let id = id_of(&incident);
    let held = scene.held_process(&incident);
    scene.wait_ready();
    let before = healthy(&scene);
    let instance = scene.instances().into_iter().find(|it| it.process == Some(held)).expect("listed").id;
    scene.kill_daemon();
    // As if its shim had been confirmed by the first daemon, and had written it down after the second had read its state.
    let mut state = scene.state(instance).expect("a state");
    state["held"] = Value::Null;
    let path = scene.data.join("instances").join(instance.to_string()).join("state.json");
    std::fs::write(path, state.to_string()).expect("written");
    scene.run();
    wait_for("a held instance", || {
        let found = scene.instances().into_iter().find(|it| it.id == instance).ok_or("not listed")?;
        let there = found.role == "held" && found.incident.as_deref() == Some(&id);
        if there { Ok(()) } else { Err(format!("{found:?}\n{}", scene.said())) }
    });
    assert!(frozen(held));
    scene.wait_ready();
    assert_eq!(before, healthy(&scene), "nothing is started anew");
    assert_eq!(scene.wait_state(&id, "held")["hold"]["pid"], held.pid);
    scene.must("release", &[&id]);
    scene.wait_state(&id, "released");
    wait_gone(held);
}

fn write_instance(data: &Path, instance: u64, state: &Value) {
    let directory = data.join("instances").join(instance.to_string());
    std::fs::create_dir_all(&directory).expect("made");
    let spec = serde_json::json!({
        "instance": instance, "service": "stuck", "port": 1, "command": ["false"], "environment": [], "directory": null,
        "cgroup_parent": null, "redact": [[], [], []], "user_code": [[], []]
    });
    std::fs::write(directory.join("spec.json"), spec.to_string()).expect("written");
    std::fs::write(directory.join("state.json"), state.to_string()).expect("written");
}

#[test]
fn two_daemons_with_a_service_of_one_name_share_nothing() {
    if !has(NEEDS) {
        return;
    }
    // Same program, same name, same instance numbers; only the data directories differ.
    let (first, second) = (start(CONFIG), start(CONFIG));
    let others: Vec<Process> = second.instances().iter().filter_map(|it| it.process).collect();
    assert_eq!(others.len(), 3);
    let incident = first.break_it("/null");
    let held = first.held_process(&incident);
    assert!(frozen(held));
    assert_eq!(second.get("/ok").status, 200);
    first.must("kill", &[&id_of(&incident)]);
    wait_gone(held);
    drop(first);
    assert!(others.iter().all(|process| process.is_alive() && !frozen(*process)), "{others:?}");
    assert_eq!(second.get("/ok").status, 200);
    assert_eq!(second.incidents().len(), 0);
}
