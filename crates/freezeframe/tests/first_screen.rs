//! The workbench over a shop that is really held: what the first screen, the sections, the source, the fleet and the events say of it.

mod support;

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, channel};

use serde_json::{Value, json};
use support::http::{self, User};
use support::needs::{Need, has};
use support::scene::Scene;
use support::shop::{journey, start_shop};
use support::{LIMIT, repository, wait_for};

fn socket(scene: &Scene) -> PathBuf {
    scene.data.join("daemon.sock")
}

fn text(scene: &Scene, path: &str) -> String {
    let answer = http::over_socket(&socket(scene), "GET", path).expect("an answer");
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer.text()
}

fn get(scene: &Scene, path: &str) -> Value {
    serde_json::from_str(&text(scene, path)).expect("JSON")
}

fn post(scene: &Scene, path: &str, body: &Value) -> Value {
    let answer = http::post_over_socket(&socket(scene), path, &body.to_string()).expect("an answer");
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    serde_json::from_str(&answer.text()).expect("JSON")
}

/// Events as they come: name and data.
fn listen(scene: &Scene) -> Receiver<(String, Value)> {
    let mut stream = UnixStream::connect(socket(scene)).expect("the daemon listens");
    write!(stream, "GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("sent");
    let (events, received) = channel();
    std::thread::spawn(move || {
        let mut name = String::new();
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if let Some(event) = line.strip_prefix("event: ") {
                name = event.to_owned();
            } else if let Some(data) = line.strip_prefix("data: ") {
                let data = serde_json::from_str(data).expect("JSON");
                if events.send((std::mem::take(&mut name), data)).is_err() {
                    return;
                }
            }
        }
    });
    received
}

/// The next event of this name that is as wanted; those before it are passed over.
fn told(events: &Receiver<(String, Value)>, name: &str, is_wanted: impl Fn(&Value) -> bool) -> Value {
    let end = std::time::Instant::now() + LIMIT;
    loop {
        let left = end.saturating_duration_since(std::time::Instant::now());
        let (found, data) = events.recv_timeout(left).unwrap_or_else(|_| panic!("no event {name} in time"));
        if found == name && is_wanted(&data) {
            return data;
        }
    }
}

#[test]
fn a_held_shop_is_on_the_page_with_everything_that_happened() {
    if !has(&[Need::Ptrace, Need::Freezer]) {
        return;
    }
    let sources =
        format!("[source]\ndirectories = [\"{}\"]\nrevision = \"3fa9c1e\"\n", repository().display());
    let scene = start_shop(&sources);
    let events = listen(&scene);
    told(&events, "hello", |hello| hello["schema"] == "freezeframe-events/1");
    let mut grace = User::new(scene.gate());
    let answers: Vec<_> = journey().iter().map(|request| grace.send(request).expect("an answer")).collect();
    let id = answers.last().and_then(|answer| answer.header("x-incident-id")).expect("it broke").to_owned();
    let shown = told(&events, "incident", |status| status["id"] == *id && status["state"] == "held");
    assert_eq!(shown["replaced"]["well"], true, "{shown}");
    // Its capsule is durable a moment after it is held.
    scene.wait_state(&id, "held");
    let path = |rest: &str| format!("/api/v1/incidents/{id}/{rest}");
    let overview = wait_for("a whole first screen", || {
        let overview = get(&scene, &path("overview"));
        let is_whole = !overview["timings_ms"]["stored"].is_null() && !overview["build_since"].is_null();
        if is_whole { Ok(overview) } else { Err(overview.to_string()) }
    });

    // The first screen: what, where, with which values, since which build.
    let line = overview["site"]["line"].as_u64().expect("a line");
    let source = overview["source"].as_array().expect("source");
    let failing = source.iter().find(|known| known["line"] == line).expect("the failing line");
    assert!(failing["text"].as_str().is_some_and(|text| text.contains("total_weight")), "{failing}");
    let site = overview["site_frame"].as_u64().expect("a frame") as usize;
    let variables = overview["failing"]["frames"][site]["variables"].as_array().expect("variables");
    let weight = variables.iter().find(|known| known["name"] == "total_weight").expect("a variable");
    assert_eq!(weight["value"], "0", "{weight}");
    assert_eq!((&overview["seen_before"], &overview["revision"]), (&json!(0), &json!("3fa9c1e")));
    assert!(overview["build_age_ms"].is_u64() && overview["executable"].is_string(), "{overview}");
    assert!(overview.to_string().len() < 256 << 10, "{}", overview.to_string().len());

    // The sections: everything in the order of time, and nothing of her secrets.
    let kinds = |page: &Value| -> Vec<String> {
        let items = page["items"].as_array().expect("items");
        items.iter().map(|item| item["kind"].as_str().expect("a kind").to_owned()).collect()
    };
    let timeline = get(&scene, &path("sections/timeline?limit=1000"));
    let happened = kinds(&timeline);
    let at = |kind: &str| {
        happened.iter().position(|known| known == kind).unwrap_or_else(|| panic!("no {kind}: {happened:?}"))
    };
    assert!(
        at("journey") < at("request") && at("request") < at("trap") && at("trap") < at("held"),
        "{happened:?}"
    );
    at("stored");
    let threads = get(&scene, &path("sections/threads"));
    assert_eq!(threads["items"][0]["failing"], true, "{threads}");
    let thread = threads["items"][0]["id"].as_i64().expect("a thread");
    let whole = get(&scene, &path(&format!("threads/{thread}")));
    assert_eq!(
        whole["frames"].as_array().map(Vec::len),
        overview["failing"]["frames"].as_array().map(Vec::len)
    );
    let requests = get(&scene, &path("sections/request"));
    assert_eq!(requests["items"][0]["role"], "failing", "{requests}");
    for secret in grace.secrets() {
        for part in
            ["overview", "sections/timeline?limit=1000", "sections/logs", "sections/request", "markdown"]
        {
            assert!(!text(&scene, &path(part)).contains(&secret), "{part} has a secret");
        }
    }

    // Source: the site's lines are in the capsule, those of its caller in the repository's directory.
    assert_eq!(get(&scene, &path("source"))["origin"], "capsule");
    let frames = overview["failing"]["frames"].as_array().expect("frames");
    let site_file = &overview["site"]["file"];
    let own = |frame: &Value| frame["kind"] == "user" && frame["file"] != *site_file;
    if let Some(number) = frames.iter().position(own) {
        let found = get(&scene, &path(&format!("source?frame={number}")));
        assert_eq!(found["origin"], "directory", "{found}");
        assert!(found["why"].is_string() && found["lines"].as_array().is_some_and(|lines| !lines.is_empty()));
    }

    // What people write and do is shared at once.
    post(&scene, &path("notes"), &json!({ "text": "weights are missing <b>since the import</b>" }));
    let note = told(&events, "note", |note| note["incident"] == *id);
    assert_eq!(note["text"], "weights are missing <b>since the import</b>");
    let owner =
        post(&scene, &path("acknowledge"), &json!({}))["owner"].as_str().expect("an owner").to_owned();
    told(&events, "incident", |status| status["owner"] == *owner);
    assert_eq!(get(&scene, &path("overview"))["owner"], *owner);

    // The fleet: who serves, what is held, for how long, with how much memory.
    let fleet = wait_for("a fleet with its held process", || {
        let fleet = get(&scene, "/api/v1/fleet");
        if fleet["held"] == 1 && fleet["serving"] == 2 { Ok(fleet) } else { Err(fleet.to_string()) }
    });
    let instances = fleet["instances"].as_array().expect("instances");
    let held = instances.iter().find(|instance| instance["incident"] == *id).expect("the held one");
    assert!(held["memory_bytes"].as_u64().is_some_and(|bytes| bytes > 1 << 20), "{held}");
    assert!(held["lease_until"].is_string(), "{held}");
    let build = held["build_id"].as_str().expect("a build");
    assert_eq!(overview["build_id"], build);
    told(&events, "fleet", |fleet| fleet["held"] == 1);
    let history = get(&scene, "/api/v1/fleet/history");
    let marks: Vec<&str> = history["markers"]
        .as_array()
        .expect("markers")
        .iter()
        .filter_map(|mark| mark["kind"].as_str())
        .collect();
    assert!(marks.contains(&"deploy") && marks.contains(&"incident"), "{history}");

    // To take away.
    let report = text(&scene, &path("markdown"));
    for part in [
        "# INC-",
        "## Impact",
        "## Timeline (UTC)",
        "`total_weight` = `0`",
        "/i/INC-",
        "## Root cause",
        "&lt;b&gt;since",
    ] {
        assert!(report.contains(part), "{part} is not in:\n{report}");
    }

    // Its end is told, written down, and part of the story.
    scene.must("release", &[&id]);
    told(&events, "audit", |entry| entry["action"] == "release" && entry["incident"] == *id);
    told(&events, "incident", |status| status["id"] == *id && status["state"] == "released");
    let after = kinds(&get(&scene, &path("sections/timeline?limit=1000")));
    for kind in ["note", "action", "state"] {
        assert!(after.iter().any(|known| known == kind), "{kind} is not in {after:?}");
    }
}
