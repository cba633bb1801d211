//! A Rust panic in a real service: held at its site, everybody else unharmed, replaced, readable, redacted, told once.

mod support;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use support::files::every_byte;
use support::http::{self, User};
use support::needs::{Need, has};
use support::process;
use support::scene::Scene;
use support::shop::{journey, start_shop};
use support::{line_of, repository, wait_for};

/// Users who meet no bug, from several threads, until stopped.
struct HonestUsers {
    over: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    threads: Vec<std::thread::JoinHandle<Vec<String>>>,
}

impl HonestUsers {
    fn begin(scene: &Scene) -> Self {
        let (over, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let gate = scene.gate();
        let threads = (0..3u64).map(|user| {
            let (over, answered) = (over.clone(), answered.clone());
            std::thread::spawn(move || {
                let mut complaints = Vec::new();
                for n in (user * 1_000_000).. {
                    if over.load(Ordering::Relaxed) {
                        break;
                    }
                    let request = shop::honest_request(n);
                    match http::request(gate, request.method, &request.path, &[], &request.body) {
                        Ok(answer) if answer.status < 500 => drop(answered.fetch_add(1, Ordering::Relaxed)),
                        Ok(answer) => {
                            complaints.push(format!("{} {}: {answer:?}", request.method, request.path))
                        }
                        Err(error) => {
                            complaints.push(format!("{} {}: {error}", request.method, request.path))
                        }
                    }
                }
                complaints
            })
        });
        let threads = threads.collect();
        Self { over, answered, threads }
    }

    fn wait_for_more(&self, more: u64) {
        let before = self.answered.load(Ordering::Relaxed);
        wait_for("more honest answers", || {
            let now = self.answered.load(Ordering::Relaxed);
            if now >= before + more { Ok(()) } else { Err(format!("{before} before, {now} now")) }
        });
    }

    fn end(self) -> Vec<String> {
        self.over.store(true, Ordering::Relaxed);
        self.threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
    }
}

fn variables(value: &Value, found: &mut Vec<Value>) {
    for variable in value.as_array().into_iter().flatten() {
        found.push(variable.clone());
        variables(&variable["children"], found);
    }
}

#[test]
fn a_panic_is_held_and_nobody_else_notices() {
    if !has(&[Need::Ptrace, Need::Freezer]) {
        return;
    }
    let scene = start_shop("");
    let users = HonestUsers::begin(&scene);
    users.wait_for_more(30);
    let before = scene.instances();

    let mut grace = User::new(scene.gate());
    let (last, way) = journey().split_last().expect("a journey");
    for request in way {
        let answer = grace.send(request).expect("an answer");
        assert!(answer.status < 400, "{request:?}: {answer:?}");
    }
    let answer = grace.send(last).expect("an answer");
    assert_eq!(answer.status, 502, "{answer:?}");
    let id = answer.header("x-incident-id").expect("the incident's id").to_owned();
    let incident = scene.wait_state(&id, "held");
    users.wait_for_more(100);
    // Requests that were queued on the held thread alone cannot finish in the drain. What may be sent again was.
    let (hung, harmed): (Vec<String>, Vec<String>) =
        users.end().into_iter().partition(|request| request.starts_with("POST ") && request.contains(&id));
    assert_eq!(harmed, Vec::<String>::new(), "others were harmed");
    assert_eq!(scene.show(&id)["requests_lost"], hung.len(), "{hung:?}");

    // What it says.
    let pricing = repository().join("examples/shop/src/pricing.rs");
    let line = line_of(&pricing, "let rate = coupon_cents * 1000 / total_weight;");
    assert_eq!(incident["schema"], "freezeframe-incident/1");
    assert_eq!(incident["kind"], "panic");
    assert_eq!(incident["message"], "attempt to divide by zero");
    assert_eq!(incident["site"]["function"], "shop::pricing::spread_by_weight");
    assert!(
        incident["site"]["file"].as_str().is_some_and(|file| file.ends_with("examples/shop/src/pricing.rs"))
    );
    assert_eq!(incident["site"]["line"], line);
    assert_eq!(incident["service"], "shop");
    assert_eq!(incident["fingerprint"].as_str().map(str::len), Some(32));
    assert_eq!(incident["hold"]["strength"], "frozen");
    assert_eq!(incident["hold"]["network"], "network cut");
    assert!(incident["hold"]["lease_until"].is_string());
    assert_eq!(
        (&incident["request"]["method"], &incident["request"]["path"]),
        (&"POST".into(), &"/checkout".into())
    );
    assert!(
        incident["source"].as_array().is_some_and(|lines| lines.iter().any(|source| source["line"] == line))
    );
    let logs = incident["logs"].as_array().expect("logs");
    assert!(
        logs.iter().any(|log| log["text"].as_str().is_some_and(|text| text.contains("divide by zero"))),
        "{logs:?}"
    );
    let way_back: Vec<&Value> =
        incident["journey"].as_array().expect("a journey").iter().map(|step| &step["path"]).collect();
    assert!(way_back.contains(&&"/cart".into()), "{way_back:?}");
    let mut milestones = Vec::new();
    for name in ["stopped", "fingerprinted", "unrouted", "resumed", "captured", "held", "stored"] {
        milestones.push(incident["timings_ms"][name].as_f64().unwrap_or_else(|| panic!("no {name}")));
    }
    assert!(milestones.iter().all(|ms| *ms > 0.0), "{milestones:?}");

    // Its variables.
    let threads = incident["threads"].as_array().expect("threads");
    assert_eq!(threads[0]["failing"], true);
    let frames = threads[0]["frames"].as_array().expect("frames");
    let site = frames
        .iter()
        .find(|frame| frame["function"] == incident["site"]["function"])
        .expect("the site's frame");
    let mut seen = Vec::new();
    variables(&site["variables"], &mut seen);
    let value = |name: &str| {
        let found = seen.iter().find(|variable| variable["name"] == name);
        found.unwrap_or_else(|| panic!("no {name} in {seen:?}"))["value"].clone()
    };
    assert_eq!(value("total_weight"), "0");
    assert_eq!(value("coupon_cents"), "500");
    let items = seen.iter().find(|variable| variable["name"] == "weights").expect("weights");
    let weights: Vec<&str> =
        items["children"].as_array().expect("elements").iter().filter_map(|w| w["value"].as_str()).collect();
    assert!(weights.iter().filter(|weight| **weight == "0").count() >= 2, "{items}");

    // Its process, and the one in its place.
    let held = scene.held_process(&incident);
    assert!(
        before.iter().any(|instance| instance.process == Some(held)),
        "the process that served is the one that is held"
    );
    assert!(process::is_frozen(&process::cgroup_directory(&held.cgroup().expect("a cgroup"))));
    assert_eq!(held.tracer(), None, "the hold rests on no tracer");
    scene.wait_roles(2, 1);
    let after = scene.instances();
    assert!(
        after.iter().any(|instance| instance.role == "held" && instance.incident.as_deref() == Some(&id))
    );
    let survivors = before.iter().filter(|instance| instance.process != Some(held));
    survivors.for_each(|instance| {
        assert!(after.iter().any(|other| other.process == instance.process), "{instance:?} was replaced")
    });

    // No secret anywhere: not the password, not her session.
    let secrets = grace.secrets();
    assert!(secrets.iter().any(|secret| secret.len() >= 16), "the shop gives out sessions");
    scene.must("export", &[&id, "--output", &scene.data.join("exported.capsule").display().to_string()]);
    let text = scene.must("show", &[&id]) + &scene.must("show", &[&id, "--json"]) + &scene.said();
    let mut files = vec![(PathBuf::from("show and the daemon's log"), text.into_bytes())];
    every_byte(&scene.data, &mut files);
    assert!(
        files.iter().any(|(path, _)| path.ends_with("capture.json.opened")),
        "the capture is among what is searched"
    );
    for secret in secrets.iter().map(String::as_str).chain(["grace-secret"]) {
        for (path, bytes) in &files {
            let at = bytes.windows(secret.len()).position(|window| window == secret.as_bytes());
            if let Some(at) = at {
                let around =
                    String::from_utf8_lossy(&bytes[at.saturating_sub(80)..(at + 60).min(bytes.len())])
                        .into_owned();
                panic!("{secret:?} is in {}: …{around}…", path.display());
            }
        }
    }
}

/// Takes what is posted, answers 200.
fn receiver() -> (std::net::SocketAddr, Receiver<(String, Value)>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("its address");
    let (send, received) = channel();
    let failures = Arc::new(Mutex::new(1u32));
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let (send, failures) = (send.clone(), failures.clone());
            std::thread::spawn(move || {
                let mut bytes = Vec::new();
                let mut buffer = [0; 4096];
                loop {
                    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
                        match stream.read(&mut buffer) {
                            Ok(length) if length > 0 => bytes.extend_from_slice(&buffer[..length]),
                            _ => return,
                        }
                        continue;
                    };
                    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
                    let length = head
                        .split("content-length:")
                        .nth(1)
                        .and_then(|rest| rest.lines().next()?.trim().parse::<usize>().ok());
                    while bytes.len() < end + 4 + length.unwrap_or(0) {
                        match stream.read(&mut buffer) {
                            Ok(length) if length > 0 => bytes.extend_from_slice(&buffer[..length]),
                            _ => return,
                        }
                    }
                    let mut left = failures.lock().expect("not poisoned");
                    let status = if *left > 0 { "503 Service Unavailable" } else { "200 OK" };
                    let refused = *left > 0;
                    *left = left.saturating_sub(1);
                    drop(left);
                    if !refused {
                        let body = serde_json::from_slice(&bytes[end + 4..]).unwrap_or(Value::Null);
                        let _ = send.send((head, body));
                    }
                    let _ = stream.write_all(
                        format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                            .as_bytes(),
                    );
                    return;
                }
            });
        }
    });
    (address, received)
}

#[test]
fn people_are_told_once_and_without_values() {
    if !has(&[Need::Ptrace]) {
        return;
    }
    let (address, received) = receiver();
    let scene = start_shop(&format!(
        "public_url = \"https://freeze.example.org\"\n[alert.oncall]\ntype = \"webhook\"\nurl = \"http://{address}/hook\"\nsecret = \"whsec_e2e\"\n"
    ));
    let mut grace = User::new(scene.gate());
    let mut last = None;
    for request in journey() {
        last = Some(grace.send(request).expect("an answer"));
    }
    let id = last.as_ref().and_then(|answer| answer.header("x-incident-id")).expect("an incident").to_owned();
    scene.wait_state(&id, "held");
    // The same error again: no second alert. Its client sees what the shop itself does without us.
    let again = grace.send(journey().last().expect("a request"));
    assert!(again.as_ref().map_or(true, |answer| answer.header("x-incident-id").is_none()), "{again:?}");
    scene.must("release", &[&id]);
    scene.wait_state(&id, "released");

    // The receiver refuses the first attempt: the outbox tries again. `resolved` comes after `opened`.
    let mut told = Vec::new();
    while told.last().is_none_or(|(_, body): &(String, Value)| body["event"] != "resolved") {
        told.push(
            received
                .recv_timeout(support::LIMIT)
                .unwrap_or_else(|_| panic!("no resolved, only {told:?}; {}", scene.said())),
        );
    }
    let of_it: Vec<&(String, Value)> = told.iter().filter(|(_, body)| body["incident"] == *id).collect();
    let events: Vec<&Value> = of_it.iter().map(|(_, body)| &body["event"]).collect();
    assert_eq!(events, ["opened", "resolved"], "{told:?}");
    let (head, opened) = of_it[0];
    assert_eq!(opened["link"], format!("https://freeze.example.org/i/{id}"));
    assert_eq!(opened["service"], "shop");
    assert!(head.contains("x-freezeframe-signature: t="), "{head}");
    for (_, body) in &told {
        let text = body.to_string();
        // The message could carry values; the sentence names the place alone.
        for value in
            grace.secrets().iter().map(String::as_str).chain(["grace-secret", "FREIGHT5", "divide by zero"])
        {
            assert!(!text.contains(value), "{value:?} is in {text}");
        }
    }
    assert!(
        opened["sentence"]
            .as_str()
            .is_some_and(|text| text.contains("panicked in shop::pricing::spread_by_weight")),
        "{opened}"
    );
}
