//! `freezeframe run` as a supervisor: starting, stopping, crash loops, stalls, output, mistakes of the person who calls it.

mod support;

use std::path::Path;
use std::process::Output;

use serde_json::Value;
use support::needs::{Need, has};
use support::process::{self, Process};
use support::scene::{Scene, Setup};
use support::{http, programs, wait_for};

const NEEDS: &[Need] = &[Need::Ptrace, Need::Compilers];

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn processes(scene: &Scene) -> Vec<Process> {
    scene.instances().iter().filter_map(|it| it.process).collect()
}

fn assert_all_end(processes: &[Process]) {
    wait_for("everything's end", || {
        let left: Vec<_> = processes.iter().filter(|process| process.is_alive()).collect();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    });
}

/// A request through the gate in a thread, in flight when this returns.
fn begin(scene: &Scene, path: &'static str) -> std::thread::JoinHandle<std::io::Result<http::Answer>> {
    let gate = scene.gate();
    let thread = std::thread::spawn(move || http::get(gate, path));
    wait_for("the request in flight", || {
        let answer = http::over_socket(&scene.data.join("daemon.sock"), "GET", "/api/v1/instances")
            .map_err(|e| e.to_string())?;
        let value: Value = serde_json::from_slice(&answer.body).map_err(|error| error.to_string())?;
        let busy = value["instances"]
            .as_array()
            .is_some_and(|rows| rows.iter().any(|row| row["in_flight"].as_u64() > Some(0)));
        if busy { Ok(()) } else { Err(value.to_string()) }
    });
    thread
}

#[test]
fn a_crash_loop_opens_the_breaker_and_says_so() {
    let command = ["sh", "-c", "echo nothing to listen on >&2; exit 7"].map(str::to_owned).to_vec();
    let mut scene = Scene::prepare(Setup { command, ..Setup::default() });
    scene.run();
    let text = scene.wait_said("starts in a row ended before they had been ready");
    assert!(text.contains("exit code 7") && text.contains("Look at its last log lines"), "{text}");
    assert!(text.contains("| nothing to listen on"), "{text}");
    // It waits now instead of starting ever more.
    let starts = scene.said().matches("nothing to listen on").count();
    assert!(starts <= 30, "{starts} starts");
    // One kind of end, one incident, however often.
    wait_for("a count of the ends", || {
        let incidents = scene.incidents();
        let counted = incidents.iter().all(|incident| incident["count"].as_u64() >= Some(5));
        if incidents.len() == 1 && counted { Ok(()) } else { Err(format!("{incidents:?}")) }
    });
    scene.terminate();
    let (code, text) = scene.wait_end();
    assert_eq!(code, Some(0), "{text}");
}

#[test]
fn a_program_that_is_not_there_is_named() {
    let mut scene =
        Scene::prepare(Setup { command: vec!["/nowhere/to/be/found".to_owned()], ..Setup::default() });
    scene.run();
    let text = scene.wait_said("starts in a row ended before they had been ready");
    assert!(text.contains("/nowhere/to/be/found could not be executed: No such file"), "{text}");
    scene.terminate();
    scene.wait_end();
}

#[test]
fn sigterm_lets_requests_finish_and_ends_everything_but_what_is_held() {
    if !has(NEEDS) {
        return;
    }
    let mut scene = Scene::start(Setup::of(&programs::stuck()).config("[hold]\nserver_errors = false\n"));
    let incident = scene.break_it("/null");
    let id = incident["id"].as_str().expect("an id").to_owned();
    let held = scene.held_process(&incident);
    scene.wait_ready();
    let others: Vec<Process> = processes(&scene).into_iter().filter(|process| *process != held).collect();
    assert_eq!(others.len(), 3);
    let slow = begin(&scene, "/slow?ms=1500");
    let gate = scene.gate();
    scene.terminate();
    let (code, text) = scene.wait_end();
    assert_eq!(code, Some(0), "{text}");
    let answer = slow.join().expect("no panic").unwrap_or_else(|error| panic!("{error}: {text}"));
    assert_eq!((answer.status, answer.text().as_str()), (200, "after 1500 ms\n"));
    assert!(http::get(gate, "/ok").is_err(), "nobody listens any more");
    assert_all_end(&others);
    assert!(held.is_alive(), "what is held stays held");
    assert_eq!(scene.show(&id)["state"], "held");
    scene.run();
    scene.wait_ready();
    scene.wait_state(&id, "held");
    scene.must("kill", &[&id]);
    assert_all_end(&[held]);
    let (code, _) = {
        scene.terminate();
        scene.wait_end()
    };
    assert_eq!(code, Some(0));
    let left = std::fs::read_dir(scene.data.join("instances")).map_or(0, Iterator::count);
    assert_eq!(left, 0, "directories of instances that have ended");
}

#[test]
fn a_second_sigterm_hurries() {
    if !has(NEEDS) {
        return;
    }
    let config = "[service]\nstop_ms = 600000\nenv = { STUBBORN = \"1\" }\n";
    let mut scene = Scene::start(Setup::of(&programs::stuck()).config(config));
    let all = processes(&scene);
    let slow = begin(&scene, "/slow?ms=300000");
    scene.terminate();
    scene.wait_said("stopping: no new requests");
    assert!(all.iter().all(|process| process.is_alive()), "SIGTERM alone does not end a stubborn program");
    scene.terminate();
    let (code, text) = scene.wait_end();
    assert!(code.is_some(), "{text}");
    assert_all_end(&all);
    let answer = slow.join().expect("no panic");
    assert!(answer.as_ref().map_or(true, |answer| answer.status >= 500), "{answer:?}");
}

#[test]
fn mistakes_in_the_configuration_are_shown_where_they_are() {
    let check = |config: &str, wanted: &[&str]| {
        let scene = Scene::prepare(Setup {
            command: vec!["true".to_owned()],
            config: config.to_owned(),
            ..Setup::default()
        });
        let output = scene.spawn().wait_with_output().expect("it ends");
        let text = said(&output);
        assert_eq!(output.status.code(), Some(2), "{config}: {text}");
        wanted.iter().for_each(|wanted| assert!(text.contains(wanted), "{wanted:?} is not in {text}"));
        assert!(!scene.data.exists(), "nothing is done before the configuration is understood");
    };
    check("[hold]\n# a comment\ndrian_ms = 5\n", &["drian_ms", "drain_ms", "freezeframe.toml:3:1"]);
    check("[service]\ninstances = \"two\"\n", &["instances", "freezeframe.toml:2:13"]);
    check("[service]\ninstances = 99\n", &["from 1 to 64"]);
    check("[service\n", &["freezeframe.toml:1"]);
    check("[servcie]\n", &["servcie", "service"]);
    check("[hold]\nhealthy_min = 3\n", &["nothing could ever be held"]);
    check("[alert.oncall]\ntype = \"webhook\"\nurl = \"http://127.0.0.1:1/\"\n", &["secret"]);
}

#[test]
fn nothing_to_run_is_a_mistake_of_use() {
    let scene = Scene::prepare(Setup::default());
    let output = scene.spawn().wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(2));
    assert!(
        said(&output).contains("there is nothing to run") && said(&output).contains("freezeframe run --"),
        "{}",
        said(&output)
    );
    let output = scene.command("incidents", &["--no-such-flag"]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn what_is_not_there_is_exit_code_3() {
    let mut scene =
        Scene::prepare(Setup { command: vec!["sleep".to_owned(), "600".to_owned()], ..Setup::default() });
    scene.run();
    for command in ["show", "release", "kill", "extend", "core", "export", "attach"] {
        let output = scene.command(command, &["INC-999"]);
        assert_eq!(output.status.code(), Some(3), "{command}: {}", said(&output));
        assert!(said(&output).contains("error: "), "{command}: {}", said(&output));
    }
    let output = scene.command("show", &["not an id"]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    let missing = scene.scratch.path().join("missing.capsule");
    let output =
        std::process::Command::new(env!("CARGO_BIN_EXE_freezeframe")).arg("open").arg(missing).output();
    assert_eq!(output.expect("it starts").status.code(), Some(3));
}

#[test]
fn a_data_directory_serves_one_daemon() {
    let mut scene =
        Scene::prepare(Setup { command: vec!["sleep".to_owned(), "600".to_owned()], ..Setup::default() });
    scene.run();
    let second = scene.spawn().wait_with_output().expect("it ends");
    assert_eq!(second.status.code(), Some(1), "{}", said(&second));
    assert!(
        said(&second).contains("another `freezeframe run` uses this data directory"),
        "{}",
        said(&second)
    );
    assert!(scene.daemon_process().is_alive());
    assert!(
        http::over_socket(&scene.data.join("daemon.sock"), "GET", "/healthz").is_ok(),
        "the first one is unharmed"
    );
}

#[test]
fn output_and_ports_are_passed_through() {
    if !has(NEEDS) {
        return;
    }
    let mut setup = Setup::of(&programs::stuck());
    setup.command.extend(["--port".to_owned(), "{port}".to_owned()]);
    let scene = Scene::start(setup);
    let ports: Vec<u16> = scene.instances().iter().map(|it| it.port).collect();
    let arguments = scene.get("/arguments").text();
    assert!(ports.iter().any(|port| arguments == format!("--port {port} ")), "{arguments:?} {ports:?}");
    scene.get("/say");
    let prefixed = |text: &str, line: &str| {
        let found = text
            .lines()
            .find_map(|printed| printed.strip_suffix(line)?.strip_prefix("stuck/")?.strip_suffix(" | "));
        found.is_some_and(|instance| instance.parse::<u32>().is_ok())
    };
    wait_for("a line on stdout", || {
        let text = scene.printed();
        if prefixed(&text, "a line for stdout") && !text.contains("stderr") { Ok(()) } else { Err(text) }
    });
    wait_for("a line on stderr", || {
        let text = scene.said();
        if prefixed(&text, "a line for stderr") && !text.contains("a line for stdout") {
            Ok(())
        } else {
            Err(text)
        }
    });
}

fn frames_of<'a>(threads: &'a [Value], function: &str) -> &'a Value {
    let has = |thread: &&Value| {
        let mut frames = thread["frames"].as_array().into_iter().flatten();
        frames.any(|frame| frame["function"] == function)
    };
    threads.iter().find(has).unwrap_or_else(|| panic!("no thread in {function}"))
}

#[test]
fn a_deadlock_is_a_stall_that_shows_who_waits_for_whom() {
    if !has(NEEDS) {
        return;
    }
    let config = "[service]\ninstances = 1\nspares = 1\n[hold]\nserver_errors = false\nstall_ms = 500\n";
    let scene = Scene::start(Setup::of(&programs::stuck()).config(config));
    let gate = scene.gate();
    let transfers = ["/wallet", "/ledger"]
        .map(|path| std::thread::spawn(move || http::request(gate, "POST", path, &[], "")));
    let incident = scene.wait_state("INC-1", "held");
    assert_eq!(incident["kind"], "stall", "{incident}");
    let threads = incident["threads"].as_array().expect("threads");
    let (wallet, ledger) = (frames_of(threads, "move_from_wallet"), frames_of(threads, "move_from_ledger"));
    assert_eq!(
        (&wallet["blocked_on"]["owner"], &wallet["blocked_on"]["guessed"]),
        (&ledger["id"], &false.into())
    );
    assert_eq!(
        (&ledger["blocked_on"]["owner"], &ledger["blocked_on"]["guessed"]),
        (&wallet["id"], &false.into())
    );
    let held = scene.held_process(&incident);
    assert!(
        held.cgroup()
            .is_some_and(|path| path == "/" || process::is_frozen(&process::cgroup_directory(&path)))
    );
    for transfer in transfers {
        let answer = transfer.join().expect("no panic").expect("an answer");
        assert_eq!(answer.status, 502, "{answer:?}");
    }
    scene.wait_ready();
    assert_eq!(scene.get("/ok").status, 200);
    assert_eq!(scene.incidents().len(), 1, "{:?}", scene.incidents());
}

#[test]
fn slow_is_not_stalled_while_something_moves() {
    if !has(NEEDS) {
        return;
    }
    let config = "[service]\ninstances = 1\nspares = 1\n[hold]\nserver_errors = false\nstall_ms = 400\n";
    let scene = Scene::start(Setup::of(&programs::stuck()).config(config));
    let slow = begin(&scene, "/slow?ms=2500");
    while !slow.is_finished() {
        assert_eq!(scene.get("/ok").status, 200);
    }
    assert_eq!(slow.join().expect("no panic").expect("an answer").status, 200);
    assert_eq!(scene.incidents().len(), 0, "{:?}", scene.incidents());
}

#[test]
fn a_capsule_is_read_elsewhere() {
    if !has(NEEDS) {
        return;
    }
    let mut scene = Scene::start(Setup::of(&programs::stuck()).config("[hold]\nserver_errors = false\n"));
    let incident = scene.break_it("/null");
    let id = incident["id"].as_str().expect("an id");
    let file = scene.scratch.path().join("sent.capsule");
    let name = file.display().to_string();
    scene.must("core", &[id]);
    scene.must("export", &[id, "--with-core", "--output", &name]);
    let binary = || std::process::Command::new(env!("CARGO_BIN_EXE_freezeframe"));
    let opened = binary().args(["open", &name, "--json"]).output().expect("it starts");
    let opened: Value = serde_json::from_slice(&opened.stdout).expect("JSON");
    assert_eq!((&opened["threads"], &opened["site"]), (&incident["threads"], &incident["site"]));
    let elsewhere = scene.scratch.path().join("elsewhere");
    let imported =
        binary().arg("import").arg("--data-dir").arg(&elsewhere).arg(&file).output().expect("it starts");
    assert!(imported.status.success(), "{}", said(&imported));
    let shown =
        binary().args(["show", "INC-1", "--json", "--data-dir"]).arg(&elsewhere).output().expect("it starts");
    let shown: Value = serde_json::from_slice(&shown.stdout).expect("JSON");
    assert_eq!(shown["threads"], incident["threads"]);
    assert_ne!(shown["state"], "held", "nothing is held there");
    damaged(&file);
    // Importing into a directory that a daemon uses is refused, not mixed in.
    let refused = scene.command("import", &[&name]);
    assert!(!refused.status.success());
    scene.terminate();
    scene.wait_end();
}

/// A file that was cut off or altered on its way is an error, never nonsense.
fn damaged(file: &Path) {
    let bytes = std::fs::read(file).expect("read");
    let other = file.with_extension("damaged");
    for at in [0, 8, bytes.len() / 2, bytes.len() - 2] {
        let mut altered = bytes.clone();
        altered[at] ^= 0x20;
        for content in [&altered[..], &bytes[..at]] {
            std::fs::write(&other, content).expect("written");
            let output = std::process::Command::new(env!("CARGO_BIN_EXE_freezeframe"))
                .arg("open")
                .arg(&other)
                .output();
            let output = output.expect("it starts");
            assert_eq!(output.status.code(), Some(1), "at {at}: {}", said(&output));
            assert!(said(&output).starts_with("error: "), "{}", said(&output));
        }
    }
}
