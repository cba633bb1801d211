//! Who may come in, with a real daemon: people, scripts, the first link, and the command line from another machine.

mod support;

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use freezeframe_store::Store;
use serde_json::{Value, json};
use support::http::{self, Answer};
use support::needs::{Need, has};
use support::scene::{Scene, Setup};
use support::{programs, wait_for};

/// Where the page of a scene's daemon is.
fn admin(scene: &Scene) -> SocketAddr {
    let said = scene.wait_said("page on http://");
    let rest = said.split("page on http://").nth(1).expect("said");
    rest.split_whitespace().next().and_then(|address| address.parse().ok()).expect("an address")
}

/// Runs a command with something on its standard input, which must go well.
fn typed(scene: &Scene, arguments: &[&str], input: &str) -> String {
    let (name, rest) = arguments.split_first().expect("a command");
    let mut command = scene.command_line(name, rest);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("written");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn log_in(admin: SocketAddr, body: &Value) -> Answer {
    http::request(admin, "POST", "/api/v1/login", &[], &body.to_string()).expect("an answer")
}

fn session(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let cookie = answer.header("set-cookie").expect("a cookie");
    cookie.split(';').next().expect("a pair").to_owned()
}

/// As on a laptop: an empty directory, a URL and a token.
fn from_afar(scene: &Scene, url: &str, token: &str, arguments: &[&str]) -> Output {
    let elsewhere = scene.scratch.path().join("elsewhere");
    std::fs::create_dir_all(&elsewhere).expect("made");
    let mut command = Command::new(env!("CARGO_BIN_EXE_freezeframe"));
    command.args(arguments).args(["--url", url]).env("FREEZEFRAME_TOKEN", token).env("NO_COLOR", "1");
    command.current_dir(elsewhere).output().expect("freezeframe starts")
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn the_first_link_signs_in_once() {
    if !has(&[Need::Ptrace]) {
        return;
    }
    let scene = Scene::start(Setup::of(&programs::c_server()));
    let admin = admin(&scene);
    let said = scene.wait_said("#once=");
    let link = said.split_whitespace().find(|word| word.contains("#once=")).expect("a link").to_owned();
    assert!(link.starts_with(&format!("http://{admin}/login#once=")), "{link}");
    let secret = link.split("#once=").nth(1).expect("a secret");
    // Whoever follows it without meaning to burns nothing.
    assert_eq!(http::get(admin, "/login").expect("an answer").status, 200);
    let entered = session(&log_in(admin, &json!({ "once": secret })));
    let who = http::request(admin, "GET", "/api/v1/session", &[("cookie", &entered)], "").expect("an answer");
    assert_eq!(who.status, 200, "{}", who.text());
    assert_eq!(log_in(admin, &json!({ "once": secret })).status, 401);
}

#[test]
fn people_and_scripts_come_in_and_do_what_they_may() {
    if !has(&[Need::Ptrace, Need::Freezer, Need::Compilers]) {
        return;
    }
    let setup = Setup::of(&programs::c_server()).config("[hold]\nserver_errors = false\n");
    let mut scene = Scene::prepare(setup);
    // Without a daemon the store is open to us; with one, it is the daemon that writes.
    let added = typed(&scene, &["user", "add", "alice", "--roles", "view"], "correct horse\n");
    assert_eq!(added, "alice may sign in, with the roles view\n");
    scene.run();
    scene.wait_ready();
    assert!(!scene.said().contains("#once="), "there is an account: no link is needed");
    let admin = admin(&scene);
    let incident = scene.break_it("/divide?by=0");
    let id = incident["id"].as_str().expect("an id");

    let credentials = json!({ "user": "alice", "password": "correct horse" });
    let alice = session(&log_in(admin, &credentials));
    let kill = format!("/api/v1/incidents/{id}/kill");
    let own = [("cookie", alice.as_str()), ("sec-fetch-site", "same-origin")];
    assert_eq!(http::request(admin, "GET", "/api/v1/incidents", &own, "").expect("an answer").status, 200);
    let refused = http::request(admin, "POST", &kill, &own, "{}").expect("an answer");
    assert_eq!(refused.status, 403);
    assert!(refused.text().contains("the role `act` is needed"), "{}", refused.text());
    scene.must("user", &["roles", "alice", "--roles", "view,act"]);
    assert_eq!(http::request(admin, "GET", "/api/v1/incidents", &own, "").expect("an answer").status, 401);
    assert!(scene.must("user", &["list"]).contains("alice  view,act"), "{}", scene.must("user", &["list"]));
    assert_eq!(scene.command("user", &["remove", "bob"]).status.code(), Some(3));

    let script = scene.must("token", &["add", "ci", "--roles", "view", "--expires-in", "1h"]);
    let operator = scene.must("token", &["add", "ops", "--roles", "view,reveal,act"]);
    let (script, operator) = (script.trim(), operator.trim());
    assert!(scene.must("token", &["list", "--json"]).contains("\"ci\""));
    let url = format!("http://{admin}");
    let afar = |arguments: &[&str]| from_afar(&scene, &url, script, arguments);

    // The same as on the daemon's own machine.
    let without_ages = |text: String| -> String {
        text.lines()
            .filter(|line| !line.contains(" ago") && !line.contains("Lease"))
            .map(|line| format!("{line}\n"))
            .collect()
    };
    assert!(text(&afar(&["incidents"])).contains(id));
    let here = without_ages(scene.must("show", &[id]));
    assert_eq!(without_ages(text(&afar(&["show", id]))), here);
    let there: Value = serde_json::from_str(&text(&afar(&["show", id, "--json"]))).expect("JSON");
    assert_eq!(there, scene.show(id));
    let asked = ["eval", id, "parts"];
    assert_eq!(text(&afar(&asked)), scene.must("eval", &asked[1..]));
    // What the daemon tells of its fleet is up to a second old.
    wait_for("a held process in the fleet", || {
        let fleet: Value = serde_json::from_str(&text(&afar(&["top", "--json"]))).expect("JSON");
        if fleet["held"] == 1 { Ok(()) } else { Err(fleet.to_string()) }
    });
    assert!(text(&afar(&["top", "--once"])).contains(id));
    let report = text(&afar(&["show", id, "--markdown"]));
    assert!(report.starts_with(&format!("# {id}: ")) && report.contains("## Stack"), "{report}");
    afar_export(&scene, id, &afar(&["export", id, "--output", "afar.capsule"]));

    // What a script may not do, what is not there, and what nobody should do.
    let mistakes: [(&[&str], &str, &str, i32); 10] = [
        (&["kill", id], &url, script, 4),
        (&["core", id, "--output", "core"], &url, script, 4),
        (&["show", "INC-999"], &url, script, 3),
        (&["show", id], &url, "wrong", 4),
        (&["show", id], &url, "", 2),
        (&["show", "INC-999", "--markdown"], &url, script, 3),
        (&["top", "--once"], &url, "wrong", 4),
        (&["mcp"], &url, "", 2),
        (&["show", id], "http://freeze.example.org", script, 2),
        (&["show", id], "http://127.0.0.1:1", script, 1),
    ];
    for (arguments, url, token, code) in mistakes {
        let output = from_afar(&scene, url, token, arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{arguments:?} {url}: {said}");
        assert!(!said.contains(script), "the token is nowhere to be read: {said}");
    }

    let core = scene.scratch.path().join("elsewhere").join("core");
    let fetched = from_afar(&scene, &url, operator, &["core", id, "--output", "core"]);
    assert!(text(&fetched).contains("core"));
    let opened =
        Command::new(env!("CARGO_BIN_EXE_freezeframe")).arg("open").arg(&core).arg("--json").output();
    let opened: Value = serde_json::from_str(&text(&opened.expect("it starts"))).expect("JSON");
    assert_eq!(opened["site"]["function"], incident["site"]["function"]);
    text(&from_afar(&scene, &url, operator, &["kill", id]));
    scene.wait_state(id, "killed");

    let store = Store::open_read_only(&scene.data).expect("a store");
    let log = store.audit_log(100).expect("a log");
    let log: Vec<String> =
        log.iter().map(|entry| format!("{}: {} {}", entry.who, entry.what, entry.detail)).collect();
    for entry in
        ["alice: login by password", "token ops: core taken", "token ops: kill instance", "token add ci view"]
    {
        assert!(log.iter().any(|line| line.contains(entry)), "{entry}\n{log:#?}");
    }
}

fn afar_export(scene: &Scene, id: &str, exported: &Output) {
    text(exported);
    let here = scene.scratch.path().join("here.capsule");
    scene.must("export", &[id, "--output", &here.display().to_string()]);
    let there = scene.scratch.path().join("elsewhere").join("afar.capsule");
    let read = |path: &Path| std::fs::read(path).expect("read");
    assert_eq!(read(&there), read(&here));
}
