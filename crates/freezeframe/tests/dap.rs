//! `freezeframe dap` and the editors' own ends of the protocol: Microsoft's client for tests of debug adapters walks through a held
//! shop, over pipes and over a port, and through what is left of it afterwards; the extension for VS Code passes its own tests.

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use support::files::every_byte;
use support::http::User;
use support::needs::{Need, has};
use support::process::{self, Process};
use support::scene::Scene;
use support::shop::{journey, start_shop};
use support::{LIMIT, repository};

/// A copy of a folder below `editors` with its pinned packages, made once per version of its lock file.
fn installed(folder: &str) -> PathBuf {
    let from = repository().join("editors").join(folder);
    let to = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("editors-{folder}"));
    std::fs::create_dir_all(&to).expect("a directory");
    let lock = std::fs::read(from.join("package-lock.json")).expect("a lock file");
    let is_current = std::fs::read(to.join("installed")).is_ok_and(|installed| installed == lock);
    copy(&from, &to);
    if !is_current {
        let mut npm = Command::new("npm");
        npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(&to);
        let output = npm.output().expect("npm starts");
        assert!(output.status.success(), "npm ci: {output:?}");
        std::fs::write(to.join("installed"), lock).expect("written");
    }
    to
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).expect("a folder").map(|entry| entry.expect("an entry")) {
        let (path, to) = (entry.path(), to.join(entry.file_name()));
        if entry.file_name() == "node_modules" {
            continue;
        }
        if path.is_dir() {
            std::fs::create_dir_all(&to).expect("a directory");
            copy(&path, &to);
        } else {
            std::fs::copy(&path, &to).expect("copied");
        }
    }
}

/// What the session's script saw.
fn session(client: &Path, words: &[&str]) -> Value {
    let output =
        Command::new("node").arg(client.join("session.js")).args(words).output().expect("node starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// `dap --listen`: the process, its port and its secret.
fn listening(scene: &Scene, id: &str) -> (Child, String, String) {
    let mut command = scene.command_line("dap", &["--listen", "127.0.0.1:0", id]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
    let printed: Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(printed["schema"], "freezeframe-dap/1");
    let address = printed["address"].as_str().expect("an address");
    let port = address.strip_prefix("127.0.0.1:").expect("a loopback address").to_owned();
    (child, port, printed["secret"].as_str().expect("a secret").to_owned())
}

/// Everything that comes back until the other side closes.
fn answer_to(port: &str, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(format!("127.0.0.1:{port}")).expect("it listens");
    stream.set_read_timeout(Some(LIMIT)).expect("set");
    stream.write_all(bytes).expect("sent");
    let mut answer = Vec::new();
    // Closed with bytes unread is a reset, which is as good an end.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn framed(message: &Value) -> Vec<u8> {
    let text = message.to_string();
    format!("Content-Length: {}\r\n\r\n{text}", text.len()).into_bytes()
}

fn unharmed(held: Process) {
    assert!(process::is_frozen(&process::cgroup_directory(&held.cgroup().expect("a cgroup"))));
    assert_eq!(held.tracer(), None);
}

#[test]
fn an_editor_walks_through_a_held_shop_and_what_is_left_of_it() {
    if !has(&[Need::Ptrace, Need::Freezer, Need::Node]) {
        return;
    }
    let client = installed("testsupport");
    let scene = start_shop("");
    let mut grace = User::new(scene.gate());
    let answers: Vec<_> = journey().iter().map(|request| grace.send(request).expect("an answer")).collect();
    let id = answers.last().and_then(|answer| answer.header("x-incident-id")).expect("it broke").to_owned();
    let incident = scene.wait_state(&id, "held");
    let held = scene.held_process(&incident);
    let mut expected = json!({
        "held": true,
        "file": incident["site"]["file"],
        "line": incident["site"]["line"],
        "message": incident["message"],
        "thread": incident["threads"][0]["id"],
    });
    let file = scene.scratch.path().join("expected.json");
    std::fs::write(&file, expected.to_string()).expect("written");
    let (file, data) = (file.display().to_string(), scene.data.display().to_string());

    let program = env!("CARGO_BIN_EXE_freezeframe");
    let seen = session(&client, &["stdio", program, &data, &id, &file]);
    unharmed(held);
    let secrets = grace.secrets();
    let revealed = seen["revealed"].as_str().expect("a text");
    let token = secrets.iter().find(|token| revealed.contains(token.as_str())).expect("her session");
    assert!(!seen["hidden"].as_str().expect("a text").contains(token.as_str()));
    let console = seen["console"].as_str().expect("a text");
    assert!(console.contains("held, frozen, network cut; its lease ends at"), "{console}");
    assert!(seen["log"].as_u64().is_some_and(|events| events > 0), "the last lines of the log: {seen}");

    // Over a port: strangers first.
    let (mut listening_command, port, secret) = listening(&scene, &id);
    assert_eq!(answer_to(&port, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"), "");
    let mut strange = framed(&json!({ "seq": 1, "type": "request", "command": "initialize" }));
    strange.extend(framed(
        &json!({ "seq": 2, "type": "request", "command": "attach", "arguments": { "secret": "x" } }),
    ));
    let answer = answer_to(&port, &strange);
    assert!(answer.contains("`secret` must be what") && !answer.contains("attempt to divide"), "{answer}");
    session(&client, &["tcp", &port, &secret, &id, &file]);
    assert!(listening_command.wait().expect("waited for").success(), "one session, then the end");
    unharmed(held);
    let outside = scene.command("dap", &["--listen", "0.0.0.0:0", &id]);
    assert_eq!(outside.status.code(), Some(2), "{outside:?}");

    // The looks are in the books.
    let mut files = Vec::new();
    every_byte(&scene.data, &mut files);
    let looks = |needle: &str| {
        files.iter().any(|(_, bytes)| bytes.windows(needle.len()).any(|it| it == needle.as_bytes()))
    };
    assert!(looks("reason: a test of the editor"));
    assert!(!looks(token), "the secret is in a file");

    // What is left of it, in the store and in a file.
    scene.must("kill", &[&id]);
    scene.wait_state(&id, "killed");
    expected["held"] = json!(false);
    std::fs::write(&file, expected.to_string()).expect("written");
    let seen = session(&client, &["stdio", program, &data, &id, &file]);
    assert!(seen["moved"].as_str().is_some_and(|why| why.contains("nothing that could run")), "{seen}");
    let important = seen["important"][0].as_str().expect("a remark");
    assert!(important.contains("is not held any more: it is killed"), "{important}");
    let exported = scene.scratch.path().join("exported.capsule").display().to_string();
    scene.must("export", &[&id, "--output", &exported]);
    let mut editor = scene.command_line("dap", &["--file", &exported]);
    let mut editor = editor.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
    let mut input = editor.stdin.take().expect("piped");
    for (seq, command) in ["initialize", "attach", "threads", "continue"].into_iter().enumerate() {
        input
            .write_all(&framed(&json!({ "seq": seq, "type": "request", "command": command })))
            .expect("written");
    }
    drop(input);
    let output = editor.wait_with_output().expect("waited for");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("failed here") && text.contains("could run"), "{text}");
}

#[test]
fn the_extension_for_vs_code_passes_its_tests() {
    if !has(&[Need::Node]) {
        return;
    }
    let extension = installed("vscode");
    let mut npm = Command::new("npm");
    npm.arg("test").current_dir(&extension).env("FREEZEFRAME", env!("CARGO_BIN_EXE_freezeframe"));
    let output = npm.output().expect("npm starts");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}
