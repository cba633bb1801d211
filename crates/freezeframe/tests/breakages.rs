//! Every way in which native code breaks: held at the right place, really standing still, cut off, and handled by people.

mod support;

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use support::needs::{Need, has};
use support::process::{self, Process};
use support::scene::{Scene, Setup};
use support::{http, line_of, programs, wait_for};

const NEEDS: &[Need] = &[Need::Ptrace, Need::Freezer, Need::Compilers];

/// Where an error is expected: the function, and where the line is known the text that stands there.
struct Place<'a> {
    source: &'a Path,
    function: &'a str,
    text: Option<&'a str>,
}

fn assert_site(incident: &Value, place: &Place<'_>) {
    let site = &incident["site"];
    let function = site["function"].as_str().unwrap_or_default();
    assert!(function.ends_with(place.function), "{site}");
    let file = place.source.file_name().expect("a name").to_string_lossy();
    assert!(site["file"].as_str().is_some_and(|path| path.ends_with(&*file)), "{site}");
    if let Some(text) = place.text {
        assert_eq!(site["line"], line_of(place.source, text), "{site}");
    }
}

/// Held means: frozen, no time passes for it, nobody reaches it, and nothing of ours has to live for that.
fn assert_stands_still(scene: &Scene, incident: &Value) -> Process {
    assert_eq!(incident["hold"]["strength"], "frozen", "{incident}");
    assert_eq!(incident["hold"]["network"], "network cut", "{incident}");
    let held = scene.held_process(incident);
    let cgroup = process::cgroup_directory(&held.cgroup().expect("a cgroup"));
    assert!(process::is_frozen(&cgroup), "{}", cgroup.display());
    assert_eq!(held.tracer(), None);
    let before = held.ticks();
    let id = incident["id"].as_str();
    let instances = scene.instances();
    let instance =
        instances.iter().find(|instance| instance.incident.as_deref() == id).expect("the held instance");
    assert_eq!(instance.role, "held");
    // Its socket would accept on its own if packets reached it: the kernel does that, not the process.
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, instance.port));
    let reached = TcpStream::connect_timeout(&address, Duration::from_millis(300));
    assert_eq!(
        reached.map(drop).map_err(|error| error.kind()),
        Err(std::io::ErrorKind::TimedOut),
        "the network is not cut"
    );
    assert_eq!(held.ticks(), before, "it ran");
    held
}

fn assert_gone(process: Process) {
    wait_for("end of the process", || if process.is_alive() { Err(format!("{process:?}")) } else { Ok(()) });
}

/// A debugger finds the same place in the core: innermost of all frames in our own source.
fn assert_core(scene: &Scene, program: &Path, id: &str, place: &Place<'_>) {
    if !has(&[Need::Gdb]) {
        return;
    }
    let core = scene.scratch.path().join(format!("{id}.core"));
    scene.must("core", &[id, "--output", &core.display().to_string()]);
    let output = Command::new("gdb").args(["-nx", "-batch", "-ex", "bt 60"]).arg(program).arg(&core).output();
    let text = String::from_utf8_lossy(&output.expect("gdb starts").stdout).into_owned();
    let function = format!("{} (", place.function.rsplit("::").next().expect("a name"));
    let frames: Vec<&str> = text.lines().filter(|line| line.starts_with('#')).collect();
    let frame = frames
        .iter()
        .find(|line| line.contains(&function))
        .unwrap_or_else(|| panic!("no {function}: {text}"));
    let file = format!("/{}:", place.source.file_name().expect("a name").to_string_lossy());
    let first_of_ours = frames.iter().find(|line| line.contains(&function) || line.contains(&file));
    assert_eq!(first_of_ours, Some(frame), "{text}");
    // And so do we.
    let opened =
        Command::new(env!("CARGO_BIN_EXE_freezeframe")).arg("open").arg(&core).arg("--json").output();
    let opened = opened.expect("freezeframe starts");
    let view: Value = serde_json::from_slice(&opened.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&opened.stderr)));
    let opened = view["site"]["function"].as_str().unwrap_or_default();
    assert!(opened.ends_with(place.function), "{opened}: {view}");
    std::fs::remove_file(core).expect("removed");
}

/// Breaks a server of two instances and a spare at `path`, looks at everything, and ends by `kill`.
fn hold_look_kill(scene: &Scene, program: &Path, path: &str, kind: &str, place: &Place<'_>) -> Value {
    let incident = scene.break_it(path);
    let id = incident["id"].as_str().expect("an id").to_owned();
    assert_eq!(incident["kind"], kind, "{path}: {incident}");
    assert_site(&incident, place);
    let held = assert_stands_still(scene, &incident);
    assert_eq!(scene.get("/ok").status, 200, "the service goes on");
    assert_core(scene, program, &id, place);
    assert!(
        process::is_frozen(&process::cgroup_directory(&held.cgroup().expect("a cgroup"))),
        "frozen after the core"
    );
    scene.must("kill", &[&id]);
    assert_gone(held);
    let after = scene.wait_state(&id, "killed");
    assert_eq!(after["hold"]["pid"], Value::Null);
    // What was captured stays.
    assert_eq!(after["threads"], incident["threads"]);
    let again = scene.command("kill", &[&id]);
    assert_eq!(again.status.code(), Some(1), "nothing is there to kill any more");
    scene.wait_ready();
    incident
}

fn release(scene: &Scene, id: &str) {
    scene.must("release", &[id]);
    scene.wait_state(id, "released");
}

#[test]
fn c_breaks_in_every_way() {
    if !has(NEEDS) {
        return;
    }
    let (program, source) = (programs::c_server(), programs::c_source());
    let scene = Scene::start(Setup::of(&program).config("[hold]\nserver_errors = false\n"));
    let place = |function, text| Place { source: &source, function, text };
    hold_look_kill(
        &scene,
        &program,
        "/null",
        "SIGSEGV",
        &place("zip_of", Some("return customer->address->zip;")),
    );
    hold_look_kill(
        &scene,
        &program,
        "/divide?by=0",
        "SIGFPE",
        &place("share", Some("int each = total / parts;")),
    );
    hold_look_kill(&scene, &program, "/abort", "SIGABRT", &place("route", Some("assert(in_stock >= 0);")));
    let deep = hold_look_kill(&scene, &program, "/smash", "SIGSEGV", &place("depth", None));
    let thread = &deep["threads"][0];
    assert!(thread["truncated"].is_string(), "a stack of thousands of frames is cut off, and says so");
    // Its own handler would have been the next to crash; it never gets that far.
    let own = hold_look_kill(&scene, &program, "/sigsegv-handler", "SIGSEGV", &place("zip_of", None));
    let logs = own["logs"].as_array().expect("logs");
    assert!(!logs.iter().any(|log| log["text"] == "in the SIGSEGV handler"), "{logs:?}");
}

#[test]
fn what_is_released_goes_on_as_it_would_have() {
    if !has(NEEDS) {
        return;
    }
    let program = programs::c_server();
    let scene = Scene::start(Setup::of(&program).config("[hold]\nserver_errors = false\n"));
    for path in ["/null", "/divide?by=0", "/abort", "/sigsegv-handler"] {
        let incident = scene.break_it(path);
        let id = incident["id"].as_str().expect("an id");
        let held = scene.held_process(&incident);
        let instance = scene
            .instances()
            .into_iter()
            .find(|instance| instance.incident.as_deref() == Some(id))
            .expect("held");
        release(&scene, id);
        // The error happens now; nobody asked for this to be another incident.
        assert_gone(held);
        wait_for("end of the instance", || {
            let left = scene.instances();
            if left.iter().any(|other| other.id == instance.id) { Err(format!("{left:?}")) } else { Ok(()) }
        });
        scene.wait_ready();
    }
    let kinds: Vec<Value> = scene.incidents().iter().map(|incident| incident["kind"].clone()).collect();
    assert_eq!(kinds, ["SIGSEGV", "SIGFPE", "SIGABRT", "SIGSEGV"]);
}

#[test]
fn forks_new_programs_and_a_thousand_threads() {
    if !has(NEEDS) {
        return;
    }
    let (program, source) = (programs::c_server(), programs::c_source());
    let place = Place { source: &source, function: "zip_of", text: None };
    let scene = Scene::start(Setup::of(&program).config("[hold]\nserver_errors = false\n"));
    let ports: Vec<u16> = scene.instances().iter().map(|instance| instance.port).collect();
    let to_all = |path: &str| {
        for port in &ports {
            let answer = http::get(SocketAddr::from((Ipv4Addr::LOCALHOST, *port)), path);
            let answer = answer.unwrap_or_else(|error| panic!("{path}: {error}"));
            assert_eq!(answer.status, 200, "{path}: {answer:?}");
        }
    };
    to_all("/fork");
    // The new program gets its port and its traps anew, in the same process.
    let before: Vec<_> = scene.instances().iter().map(|instance| instance.process).collect();
    to_all("/exec");
    for port in &ports {
        wait_for("new program", || {
            http::get(SocketAddr::from((Ipv4Addr::LOCALHOST, *port)), "/ok")
                .map_err(|error| error.to_string())
        });
    }
    to_all("/fork");
    to_all("/threads?n=1000");
    assert_eq!(scene.instances().iter().map(|instance| instance.process).collect::<Vec<_>>(), before);

    let incident = scene.break_it("/null");
    assert_site(&incident, &place);
    let held = assert_stands_still(&scene, &incident);
    let threads = std::fs::read_dir(format!("/proc/{}/task", held.pid)).expect("threads").count();
    assert!(threads > 1000, "{threads}");
    let captured = incident["threads"].as_array().expect("threads").len();
    let limited = incident["not_captured"].to_string().contains("thread");
    assert!(captured == threads || limited, "{captured} of {threads} threads, and nothing is said about it");
    let id = incident["id"].as_str().expect("an id");
    release(&scene, id);
    assert_gone(held);
}

#[test]
fn a_crash_in_a_child_holds_the_whole_tree() {
    if !has(NEEDS) {
        return;
    }
    let program = programs::stuck();
    let source = programs::source("stuck.c");
    let scene = Scene::start(Setup::of(&program).config("[hold]\nserver_errors = false\n"));
    let incident = scene.break_it("/null-in-child");
    assert_site(
        &incident,
        &Place { source: &source, function: "first_byte", text: Some("return *text; /* the site */") },
    );
    let child = assert_stands_still(&scene, &incident);
    let instances = scene.instances();
    let instance = instances.iter().find(|instance| instance.role == "held").expect("a held instance");
    let parent = instance.process.expect("the parent lives");
    assert_ne!(parent, child);
    assert_eq!(parent.cgroup(), child.cgroup());
    scene.must("kill", &[incident["id"].as_str().expect("an id")]);
    assert_gone(child);
    assert_gone(parent);
}

#[test]
fn cpp_breaks() {
    if !has(NEEDS) {
        return;
    }
    let (program, source) = (programs::cpp_server(), programs::cpp_source());
    let scene = Scene::start(Setup::of(&program).config("[hold]\nserver_errors = false\n"));
    let place = |function, text| Place { source: &source, function, text };
    let thrown = "if (wanted > available) throw SoldOut(event, wanted);";
    hold_look_kill(&scene, &program, "/throw", "SIGABRT", &place("reserve", Some(thrown)));
    hold_look_kill(
        &scene,
        &program,
        "/at?index=9",
        "SIGABRT",
        &place("seat_at", Some("return kSeats.at(index);")),
    );
    hold_look_kill(&scene, &program, "/stale", "SIGSEGV", &place("print_on_stale_printer", None));
}

fn panics_on(options: &[&str]) -> (PathBuf, Scene) {
    let program = programs::panics(options);
    let scene = Scene::start(Setup::of(&program).config("[hold]\nserver_errors = false\n"));
    (program, scene)
}

#[test]
fn rust_that_aborts_on_panic() {
    if !has(NEEDS) {
        return;
    }
    let source = programs::source("panics.rs");
    let (program, scene) = panics_on(&["-Cpanic=abort"]);
    let place = Place { source: &source, function: "panics::third_item", text: Some("// the site") };
    let incident = hold_look_kill(&scene, &program, "/panic", "panic", &place);
    assert_eq!(incident["message"], "index out of bounds: the len is 1 but the index is 2");
}

#[test]
fn rust_without_symbols_is_held_and_says_what_is_missing() {
    if !has(NEEDS) {
        return;
    }
    let (program, scene) = panics_on(&["-Cpanic=abort", "-Cstrip=symbols"]);
    scene.wait_said("stripped binary: panics are noticed only where they end in SIGABRT");
    let incident = scene.break_it("/panic");
    assert_eq!(incident["kind"], "SIGABRT");
    let held = assert_stands_still(&scene, &incident);
    let frames = incident["threads"][0]["frames"].as_array().expect("frames");
    assert!(frames.len() > 3, "unwound without symbols: {frames:?}");
    let name = program.file_name().expect("a name").to_string_lossy();
    assert!(
        frames
            .iter()
            .any(|frame| frame["function"].as_str().is_some_and(|f| f.starts_with(&format!("{name}+0x")))),
        "{frames:?}"
    );
    let missing = incident["not_captured"].to_string();
    assert!(missing.contains("strip") || missing.contains("debug"), "{missing}");
    // Another stack is another error, also without symbols.
    let other = scene.get("/storm/3");
    assert_eq!(other.status, 502);
    let other = scene.wait_state(other.header("x-incident-id").expect("another incident"), "held");
    assert_ne!(other["fingerprint"], incident["fingerprint"]);
    release(&scene, incident["id"].as_str().expect("an id"));
    assert_gone(held);
}

#[test]
fn an_incident_is_found_from_the_moment_it_is_named() {
    if !has(NEEDS) {
        return;
    }
    let scene = Scene::start(Setup::of(&programs::c_server()));
    let id = scene.named_by("/null");
    let path = format!("/api/v1/incidents/{id}");
    let answer = http::over_socket(&scene.data.join("daemon.sock"), "GET", &path).expect("answered");
    assert_eq!(answer.status, 200, "{answer:?}");
    // The answer came when the row was there.
    let shown = scene.show(&id);
    assert_eq!(shown["id"], id.as_str());
    let other = http::over_socket(&scene.data.join("daemon.sock"), "GET", "/api/v1/incidents/INC-999");
    assert_eq!(other.expect("answered").status, 404);
    assert_eq!(scene.command("show", &["INC-999"]).status.code(), Some(3));
}
