//! A held process is asked again: values beyond its capture, expressions, what is redacted; whoever of ours has died meanwhile.

mod support;

use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use support::files::every_byte;
use support::http::User;
use support::needs::{Need, has};
use support::process;
use support::scene::{Scene, Setup};
use support::shop::{journey, start_shop};
use support::{programs, wait_for};

fn words(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// `eval --json`.
fn eval(scene: &Scene, id: &str, expression: &str) -> Value {
    serde_json::from_str(&scene.must("eval", &[id, expression, "--json"])).expect("eval writes JSON")
}

fn value(scene: &Scene, id: &str, expression: &str) -> String {
    let answer = eval(scene, id, expression);
    assert_eq!(answer["source"], "process", "{answer}");
    answer["value"]["value"].as_str().unwrap_or_else(|| panic!("no value: {answer}")).to_owned()
}

/// It has opened a socket, or is through already.
fn asking_has_begun(asking: &mut Child) -> bool {
    let descriptors = std::fs::read_dir(format!("/proc/{}/fd", asking.id()));
    let is_socket =
        |path: PathBuf| std::fs::read_link(path).is_ok_and(|to| to.to_string_lossy().starts_with("socket:"));
    let open = descriptors.is_ok_and(|all| all.flatten().any(|entry| is_socket(entry.path())));
    open || asking.try_wait().is_ok_and(|status| status.is_some())
}

#[test]
fn a_held_process_answers_whoever_of_ours_has_died() {
    if !has(&[Need::Ptrace, Need::Freezer]) {
        return;
    }
    let mut scene = start_shop("");
    let mut grace = User::new(scene.gate());
    let answers: Vec<_> = journey().iter().map(|request| grace.send(request).expect("an answer")).collect();
    let id = answers.last().and_then(|answer| answer.header("x-incident-id")).expect("it broke").to_owned();
    let incident = scene.wait_state(&id, "held");
    let held = scene.held_process(&incident);
    let unharmed = |what: &str| {
        assert!(process::is_frozen(&process::cgroup_directory(&held.cgroup().expect("a cgroup"))), "{what}");
        assert_eq!(held.tracer(), None, "{what}");
    };

    assert_eq!(value(&scene, &id, "total_weight"), "0");
    assert_eq!(value(&scene, &id, "coupon_cents * 2 + total_weight"), "1000");
    assert_eq!(value(&scene, &id, "basket.items.len == weights.len"), "true");
    assert_eq!(value(&scene, &id, "weights[0] as u8"), "0");
    let text = scene.must("eval", &[&id, "coupon_cents"]);
    assert!(text.contains("coupon_cents") && text.contains("500"), "{text}");
    unharmed("asked");

    // What is wrong is said with its place.
    let wrong = scene.command("eval", &[&id, "coupon_cents + / 3"]);
    assert_eq!(wrong.status.code(), Some(2), "{wrong:?}");
    let marked: Vec<String> = words(&wrong).lines().map(str::to_owned).collect();
    let caret = marked.iter().position(|line| line.trim_start().starts_with('^')).expect("a mark");
    assert_eq!(marked[caret - 1].trim(), "coupon_cents + / 3", "{marked:?}");
    let unknown = scene.command("eval", &[&id, "coupon_cent"]);
    assert_eq!(unknown.status.code(), Some(3), "{unknown:?}");
    assert!(words(&unknown).contains("there is: coupon_cents"), "{}", words(&unknown));
    assert_eq!(scene.command("eval", &[&id, "1", "--frame", "999"]).status.code(), Some(3));
    assert_eq!(scene.command("eval", &["INC-999", "1"]).status.code(), Some(3));
    assert_eq!(scene.command("show", &[&id, "--frame", "3"]).status.code(), Some(2));

    // A secret stays one, until somebody looks behind it and is written down.
    let secret = "basket.buyer.session_token";
    let hidden = eval(&scene, &id, secret);
    assert!(
        hidden["value"]["unavailable"].as_str().is_some_and(|why| why.starts_with("redacted")),
        "{hidden}"
    );
    assert_eq!(scene.command("eval", &[&id, "basket.buyer.session_token == \"x\""]).status.code(), Some(4));
    let shown = scene.must("eval", &[&id, secret, "--reveal", "--reason", "a test of ours", "--json"]);
    let secrets = grace.secrets();
    let token = secrets.iter().find(|token| shown.contains(token.as_str())).expect("her session");
    unharmed("revealed");

    // Who died since does not matter.
    scene.kill_daemon();
    unharmed("the daemon died");
    let offline = scene.command("eval", &[&id, "coupon_cents", "--json"]);
    assert!(
        words(&offline).is_empty() && String::from_utf8_lossy(&offline.stdout).contains("\"capture\""),
        "{offline:?}"
    );
    let unasked = scene.command("eval", &[&id, secret, "--reveal"]);
    assert_eq!(unasked.status.code(), Some(1), "{unasked:?}");
    scene.run();
    assert_eq!(value(&scene, &id, "coupon_cents"), "500");
    let instance = scene.instances().into_iter().find(|it| it.role == "held").expect("held");
    for _ in 0..4 {
        // Its registers are being read when their reader dies, or shortly before or after.
        let shim = scene.shim(instance.id);
        let mut asking = scene.command_line("eval", &[&id, "coupon_cents", "--json"]);
        let mut asking = asking.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
        wait_for("a connection", || if asking_has_begun(&mut asking) { Ok(()) } else { Err(String::new()) });
        shim.kill();
        asking.wait().expect("waited for");
        wait_for("another shim", || match scene.shim(instance.id) {
            other if other != shim => Ok(()),
            other => Err(format!("{other:?}")),
        });
        unharmed("its shim died while it was asked");
    }
    wait_for("an answer", || {
        let answer = scene.command("eval", &[&id, "coupon_cents", "--json"]);
        let text = String::from_utf8_lossy(&answer.stdout).into_owned();
        let is_right = text.contains("\"process\"") && text.contains("\"500\"");
        if is_right { Ok(()) } else { Err(text + &words(&answer)) }
    });
    unharmed("the shim died");

    // What is captured is left of it at last.
    scene.must("kill", &[&id]);
    scene.wait_state(&id, "killed");
    let answer = scene.command("eval", &[&id, "coupon_cents"]);
    assert!(answer.status.success() && words(&answer).contains("killed"), "{answer:?}");
    assert!(String::from_utf8_lossy(&answer.stdout).contains("500"), "{answer:?}");
    let gone = scene.command("eval", &[&id, secret, "--reveal"]);
    assert!(!gone.status.success() && words(&gone).contains("stored nowhere"), "{gone:?}");

    // The look is in the books, its object nowhere.
    let mut files = vec![(PathBuf::from("the daemon's log"), scene.said().into_bytes())];
    every_byte(&scene.data, &mut files);
    let contains = |needle: &str| {
        let found =
            files.iter().find(|(_, bytes)| bytes.windows(needle.len()).any(|it| it == needle.as_bytes()));
        found.map(|(path, _)| path.clone())
    };
    assert!(contains("basket.buyer.session_token in frame").is_some(), "the look was written down");
    assert!(contains("reason: a test of ours").is_some());
    assert_eq!(contains(token), None, "the secret is in a file");
}

#[test]
fn what_was_cut_off_can_be_had_while_it_is_held() {
    if !has(&[Need::Ptrace, Need::Freezer]) {
        return;
    }
    let scene = Scene::start(Setup::of(&programs::ledger()).config("[hold]\nserver_errors = false\n"));
    let incident = scene.break_it("/close");
    let id = incident["id"].as_str().expect("an id");

    // The page says how; its words are those of a command.
    let page = scene.must("show", &[id]);
    let how: Vec<&str> = page.lines().filter_map(|line| line.split("--expand ").nth(1)).collect();
    let rest = how.iter().find(|how| how.contains(".entries'")).unwrap_or_else(|| panic!("{page}"));
    let line = format!("exec \"$0\" show --data-dir \"$1\" {id} --expand {rest}");
    let mut shell = Command::new("sh");
    shell.args(["-c", &line, env!("CARGO_BIN_EXE_freezeframe")]).arg(&scene.data);
    let more = shell.output().expect("a shell");
    let more = String::from_utf8_lossy(&more.stdout).into_owned() + &words(&more);
    assert!(more.contains("[100]") && more.contains("entry 100"), "{rest}: {more}");

    let part =
        scene.must("show", &[id, "--expand", "ledger.entries", "--offset", "998", "--limit", "3", "--json"]);
    let part: Value = serde_json::from_str(&part).expect("JSON");
    let parts = part["value"]["children"].as_array().expect("parts");
    let names: Vec<&str> = parts.iter().filter_map(|part| part["name"].as_str()).collect();
    assert_eq!(names, ["[998]", "[999]"], "{part}");
    assert_eq!(parts[1]["children"][0]["value"], "6993", "{part}");
    assert_eq!(value(&scene, id, "ledger.entries[999].cents + 1"), "6994");
    assert_eq!(value(&scene, id, "ledger.by_name[\"key 099\"]"), "99");
    assert_eq!(
        value(&scene, id, "ledger.chain.0.next.0.next.0.next.0.next.0.next.0.next.0.next.0.depth"),
        "7"
    );

    // Afterwards it is said what is missing, and why.
    scene.must("kill", &[id]);
    scene.wait_state(id, "killed");
    assert_eq!(scene.command("eval", &[id, "ledger.entries[3].cents"]).status.code(), Some(0));
    let gone = scene.command("show", &[id, "--expand", "ledger.entries", "--offset", "500"]);
    assert_eq!(gone.status.code(), Some(3), "{gone:?}");
    assert!(words(&gone).contains("captured") && words(&gone).contains("killed"), "{gone:?}");
}
