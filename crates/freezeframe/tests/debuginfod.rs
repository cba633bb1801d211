//! A stripped program whose debug information is on a server: read where the server is quick, and said to be missing where it
//! is not, until the next time.

mod support;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use support::needs::{Need, has};
use support::scene::{Scene, Setup};
use support::{programs, wait_for};

fn run(program: &str, arguments: &[&Path]) -> String {
    let output =
        Command::new(program).args(arguments).output().unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The program without its symbols, its debug information in a file of its own, and its build id.
fn strip(directory: &Path) -> (PathBuf, PathBuf, String) {
    let program = programs::stuck();
    let (stripped, debug) = (directory.join("stuck"), directory.join("elsewhere"));
    run("objcopy", &[Path::new("--only-keep-debug"), &program, &debug]);
    run("objcopy", &[Path::new("--strip-all"), &program, &stripped]);
    let notes = run("readelf", &[Path::new("-n"), &stripped]);
    let id = notes.split("Build ID: ").nth(1).and_then(|rest| rest.split_whitespace().next());
    (stripped, debug, id.expect("a build id").to_owned())
}

/// A server of this one file. It waits for a word before each time it gives it out, and tells what it was asked for.
fn serve(id: &str, file: &Path) -> (String, Sender<()>, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("its address"));
    let (go, wait): (_, Receiver<()>) = channel();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (known, wanted) = (asked.clone(), format!("/buildid/{id}/debuginfo"));
    let bytes = std::fs::read(file).expect("readable");
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut head = [0; 4096];
            let length = stream.read(&mut head).unwrap_or(0);
            let text = String::from_utf8_lossy(&head[..length]).into_owned();
            let path = text.split(' ').nth(1).unwrap_or_default().to_owned();
            let (status, body) = if path == wanted { (200, &bytes[..]) } else { (404, &[][..]) };
            known.lock().expect("not poisoned").push(path);
            if status == 200 && wait.recv().is_err() {
                return;
            }
            let head =
                format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
        }
    });
    (url, go, asked)
}

fn own_losses(incident: &Value) -> String {
    let losses = incident["not_captured"].as_array().expect("losses");
    losses.iter().map(ToString::to_string).filter(|loss| loss.contains("/stuck")).collect()
}

#[test]
fn debug_information_comes_from_a_server_and_nothing_waits_for_it() {
    if !has(&[Need::Ptrace, Need::Freezer, Need::Compilers]) {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let (program, debug, id) = strip(directory.path());
    let (url, go, asked) = serve(&id, &debug);
    let config = format!("[hold]\nserver_errors = false\n[debuginfo]\ndebuginfod_urls = [\"{url}\"]\n");
    let scene = Scene::start(Setup::of(&program).config(&config));

    // Not there in time: held and told all the same.
    let incident = scene.break_it("/null");
    assert_eq!(incident["hold"]["strength"], "frozen");
    assert_ne!(incident["site"]["function"], "first_byte");
    assert!(own_losses(&incident).contains("still being fetched"), "{}", incident["not_captured"]);
    let wanted = format!("/buildid/{id}/debuginfo");
    assert!(asked.lock().expect("not poisoned").contains(&wanted));

    // There for whoever asks next: the process that is held already, and the next capture.
    for _ in 0..64 {
        go.send(()).expect("the server waits");
    }
    let kept = scene.data.join("debuginfo").join(format!("{id}.debug"));
    wait_for("the file", || if kept.exists() { Ok(()) } else { Err(format!("{asked:?}")) });
    let first = incident["id"].as_str().expect("an id");
    let value = scene.must("eval", &[first, "text", "--json", "--frame", "0"]);
    assert!(value.contains("\"source\": \"process\"") && value.contains("first_byte"), "{value}");
    scene.must("kill", &[first]);
    scene.wait_state(first, "killed");
    scene.wait_ready();
    let incident = scene.break_it("/null");
    assert_eq!(incident["site"]["function"], "first_byte", "{}", incident["not_captured"]);
    assert_eq!(own_losses(&incident), "");
    scene.must("kill", &[incident["id"].as_str().expect("an id")]);
}
