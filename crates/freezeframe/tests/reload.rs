//! The configuration read again under load, by a signal, by the API and by the command: nobody notices but those who asked.

mod support;

use std::collections::HashMap;

use serde_json::{Value, json};
use support::http;
use support::load::{Load, Sent, journal};
use support::needs::{Need, has};
use support::process;
use support::programs;
use support::scene::{Scene, Setup};

#[test]
fn routes_and_limits_change_under_load_and_no_connection_is_closed() {
    if !has(&[Need::Ptrace, Need::Compilers]) {
        return;
    }
    let setup = Setup::of(&programs::journal());
    let mut scene = Scene::prepare(setup);
    let (path, file) = (scene.scratch.path().join("journal"), scene.scratch.path().join("freezeframe.toml"));
    let base = format!("[service]\nready.path = \"/ready\"\nenv = {{ JOURNAL = {path:?} }}\n");
    let write = |more: &str| std::fs::write(&file, format!("{base}{more}")).expect("written");
    write("");
    scene.run();
    scene.wait_ready();
    let load = Load::start(scene.gate());
    load.wait_answered(100);

    // First what would change; nothing does.
    let route = "[[gate.route]]\nname = \"job\"\npath = \"/job\"\n";
    write(&format!("instances = 3\n[gate]\nin_flight_max = 100\ndeadline_ms = 30000\n{route}"));
    let dry = scene.must("reload", &["--dry-run"]);
    let expected = "service \"default\": in_flight_max None -> Some(100)\n\
        route \"default\": deadline_ms None -> Some(30000)\n\
        route \"job\" is new\n\
        gate.deadline_ms not set -> 30000\n\
        gate.in_flight_max not set -> 100\n\
        service.instances 2 -> 3 (at the next start)\n";
    assert_eq!(dry, format!("{expected}nothing was changed: this is what a reload would do\n"));
    assert!(!scene.said().contains("read again"));
    // By the command, by a signal, over the API; back and forth while requests are under way.
    assert_eq!(scene.must("reload", &[]), format!("{expected}the configuration is read again\n"));
    for turn in 0..10 {
        write(if turn % 2 == 0 { "" } else { route });
        let answer: Value = serde_json::from_str(&scene.must("reload", &["--json"])).expect("JSON");
        assert_eq!((&answer["schema"], &answer["dry_run"]), (&json!("freezeframe-reload/1"), &json!(false)));
        assert_ne!(answer["changes"], json!([]));
        load.wait_answered(50);
    }
    write("[gate]\nqueue_max = 7\n");
    process::signal(scene.daemon_process(), libc::SIGHUP);
    scene.wait_said("service \"default\": queue_max 128 -> 7");
    load.wait_answered(50);

    // What cannot be used changes nothing, and says why.
    write("[gate]\ndeadline_ms = 5\nroutes = 3\n");
    let refused = scene.command("reload", &[]);
    assert_eq!(refused.status.code(), Some(2));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("unknown key") && said.contains("nothing was changed"), "{said}");
    let answer = http::over_socket(&scene.data.join("daemon.sock"), "POST", "/api/v1/gate/reload");
    let answer = answer.expect("answered");
    assert_eq!((answer.status, answer.text().contains("\"kind\":\"invalid\"")), (422, true), "{answer:?}");
    scene.wait_said("the configuration stays as it was");
    load.wait_answered(50);

    let (sent, reopened) = load.stop();
    let failed: Vec<&Sent> = sent.iter().filter(|sent| sent.result != Ok(200)).collect();
    assert!(failed.is_empty(), "of {}: {failed:?}", sent.len());
    assert_eq!(reopened, 0, "no connection was closed");
    let counts: HashMap<_, _> = journal(&path);
    assert!(sent.iter().all(|sent| counts.get(&sent.id) == Some(&(1, 1))), "each was worked on once");
}
