//! Never worse: what is held is bounded, the rest passes exactly as without us and is counted, whatever the storm.

mod support;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use support::needs::{Need, has};
use support::process;
use support::scene::{Scene, Setup};
use support::{http, programs, wait_for};

const NEEDS: &[Need] = &[Need::Ptrace, Need::Compilers];
const OWN_ANSWER: &str = "the service's own answer to a panic";

fn count(scene: &Scene, id: &str) -> u64 {
    scene.show(id)["count"].as_u64().expect("a count")
}

fn wait_count(scene: &Scene, id: &str, wanted: u64) {
    wait_for("count", || {
        let count = count(scene, id);
        if count == wanted { Ok(()) } else { Err(format!("{count} instead of {wanted}")) }
    });
}

/// How many are held or on the way.
fn held(scene: &Scene) -> usize {
    scene.instances().iter().filter(|it| matches!(it.role.as_str(), "held" | "draining")).count()
}

#[test]
fn the_same_error_is_held_once_and_then_counted() {
    if !has(NEEDS) {
        return;
    }
    let scene = Scene::start(Setup::of(&programs::panics(&[])).config("[hold]\nserver_errors = false\n"));
    let incident = scene.break_it("/panic");
    let id = incident["id"].as_str().expect("an id");
    assert_eq!(incident["count"], 1);
    scene.wait_ready();
    let before: Vec<u64> = scene.instances().iter().map(|it| it.id).collect();
    // Its traps are out for a moment after each refusal, and so what it does then is not even counted: one at a time.
    let answer = scene.get("/panic");
    assert_eq!((answer.status, answer.text().as_str()), (500, OWN_ANSWER), "as without us");
    assert_eq!(answer.header("x-incident-id"), None);
    wait_count(&scene, id, 2);
    for _ in 0..20 {
        let answer = scene.get("/panic");
        assert_eq!((answer.status, answer.text().as_str()), (500, OWN_ANSWER));
    }
    assert_eq!(held(&scene), 1);
    assert_eq!(scene.incidents().len(), 1);
    assert_eq!(
        scene.instances().iter().map(|it| it.id).collect::<Vec<_>>(),
        before,
        "nothing ended, nothing was started"
    );
}

#[test]
fn no_more_than_held_max_are_held_and_another_error_passes() {
    if !has(NEEDS) {
        return;
    }
    let config = "[hold]\nserver_errors = false\nheld_max = 1\n";
    let scene = Scene::start(Setup::of(&programs::panics(&[])).config(config));
    let first = scene.break_it("/panic");
    scene.wait_ready();
    for depth in [3, 4, 5] {
        let answer = scene.get(&format!("/storm/{depth}"));
        assert_eq!((answer.status, answer.text().as_str()), (500, OWN_ANSWER));
    }
    assert_eq!((held(&scene), scene.incidents().len()), (1, 1));
    // Once there is room again, the next error is held.
    scene.must("kill", &[first["id"].as_str().expect("an id")]);
    wait_for("another hold", || {
        let answer = scene.get("/panic");
        if answer.status == 502 { Ok(()) } else { Err(format!("{answer:?}")) }
    });
}

#[test]
fn the_last_instance_is_never_held_and_its_exit_code_is_ours() {
    if !has(NEEDS) {
        return;
    }
    let config = "[service]\ninstances = 1\nspares = 0\n[hold]\nserver_errors = false\n";
    for (path, code) in [("/exit=42", 42), ("/exit=0", 0), ("/null", 128 + libc::SIGSEGV)] {
        let mut scene = Scene::start(Setup::of(&programs::stuck()).config(config));
        let answer = http::get(scene.gate(), path);
        let named = answer.as_ref().ok().and_then(|answer| answer.header("x-incident-id"));
        assert_eq!(named, None, "{path}: {answer:?}");
        let (ended, said) = scene.wait_end();
        assert_eq!(ended, Some(code), "{path}: {said}");
        let states: Vec<Value> = scene.incidents().iter().map(|incident| incident["state"].clone()).collect();
        assert!(states.iter().all(|state| state == "recorded"), "{path}: {states:?}");
        assert!(!states.is_empty(), "{path}: the end by itself is recorded");
    }
}

#[test]
fn a_hold_never_leaves_fewer_than_healthy_min() {
    if !has(NEEDS) {
        return;
    }
    let config = "[service]\ninstances = 2\nspares = 0\n[hold]\nserver_errors = false\nhealthy_min = 2\n";
    let scene = Scene::start(Setup::of(&programs::panics(&[])).config(config));
    for _ in 0..5 {
        let answer = scene.get("/panic");
        assert_eq!((answer.status, answer.text().as_str()), (500, OWN_ANSWER));
    }
    assert_eq!((held(&scene), scene.incidents().len()), (0, 0));
}

#[test]
fn with_holding_switched_off_nothing_is_held() {
    if !has(NEEDS) {
        return;
    }
    let scene = Scene::start(Setup::of(&programs::panics(&[])).config("[hold]\nenabled = false\n"));
    let answer = scene.get("/panic");
    assert_eq!((answer.status, answer.text().as_str()), (500, OWN_ANSWER));
    // Its answer is recorded all the same, once.
    let recorded = scene.wait_state("INC-1", "recorded");
    assert_eq!(recorded["kind"], "http_500");
    scene.get("/panic");
    wait_count(&scene, "INC-1", 2);
    assert_eq!(scene.incidents().len(), 1);
}

#[test]
fn a_storm_of_panics_is_survived() {
    if !has(NEEDS) {
        return;
    }
    const STORM: Duration = Duration::from_secs(3);
    // Forty kinds of error, each of them news: the budgets alone stand between the storm and the fleet.
    let config = "[hold]\nserver_errors = true\nheld_max = 2\ndrain_ms = 200\n";
    let scene = Scene::start(Setup::of(&programs::panics(&[])).config(config));
    let gate = scene.gate();
    let over = Arc::new(AtomicBool::new(false));
    let (panics, strange) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let threads: Vec<_> = (0..4u64)
        .map(|thread| {
            let (over, panics, strange) = (over.clone(), panics.clone(), strange.clone());
            std::thread::spawn(move || {
                for n in thread.. {
                    if over.load(Ordering::Relaxed) {
                        return;
                    }
                    match http::get(gate, &format!("/storm/{}", n * 7)) {
                        Ok(answer) if answer.status == 500 && answer.text() == OWN_ANSWER => {
                            panics.fetch_add(21, Ordering::Relaxed);
                        }
                        Ok(answer) if answer.status == 502 || answer.status == 503 => {}
                        _ => drop(strange.fetch_add(1, Ordering::Relaxed)),
                    }
                }
            })
        })
        .collect();
    let end = Instant::now() + STORM;
    let mut most = 0;
    let mut honest = 0;
    while Instant::now() < end {
        most = most.max(held(&scene));
        let answer = scene.get("/ok");
        assert_eq!(answer.status, 200, "an honest request in the storm: {answer:?}");
        honest += 1;
    }
    over.store(true, Ordering::Relaxed);
    threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
    let panics = panics.load(Ordering::Relaxed);
    assert!(panics > 1000, "that was no storm: {panics} panics");
    assert!(honest > 10, "{honest} honest requests");
    assert!(most <= 2, "{most} were held at once");
    assert_eq!(strange.load(Ordering::Relaxed), 0, "neither an answer of the service nor a refusal of ours");

    scene.wait_roles(2, 1);
    assert!(held(&scene) <= 2);
    for it in scene.instances().iter().filter(|it| it.role != "held") {
        let answer = http::get(SocketAddr::from((Ipv4Addr::LOCALHOST, it.port)), "/ok").expect("an answer");
        assert_eq!(answer.status, 200);
    }
    for _ in 0..200 {
        assert_eq!(scene.get("/ok").status, 200, "after the storm");
    }
    let incidents = scene.incidents();
    let ever_held = incidents.iter().filter(|incident| incident["kind"] == "panic").count();
    assert!(ever_held <= 2, "{ever_held} were held: {incidents:?}");
    assert!(!scene.said().contains("panicked at"), "the daemon panicked: {}", scene.said());
    for incident in incidents.iter().filter(|incident| incident["state"] == "held") {
        let process = scene.held_process(incident);
        let frozen = process
            .cgroup()
            .filter(|path| path != "/")
            .map(|path| process::is_frozen(&process::cgroup_directory(&path)));
        assert!(frozen.unwrap_or(process.state() == Some('T')), "{process:?}");
    }
}
