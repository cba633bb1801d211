//! `freezeframe gate` as a process: a reverse proxy that needs nothing else.
#![allow(missing_docs)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);

/// The process, and what it says.
struct Gate {
    child: Child,
    lines: Receiver<String>,
}

impl Gate {
    fn start(arguments: &[&str], directory: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_freezeframe"))
            .args(["gate", "--listen", "127.0.0.1:0"])
            .args(arguments)
            .current_dir(directory)
            .env("NO_COLOR", "1")
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("started");
        let (sender, lines) = channel();
        let stderr = BufReader::new(child.stderr.take().expect("piped"));
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Self { child, lines }
    }

    /// The next line with this in it.
    fn says(&self, what: &str) -> String {
        loop {
            let line =
                self.lines.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("waited in vain for {what:?}"));
            if line.contains(what) {
                return line;
            }
        }
    }

    fn address(&self) -> SocketAddr {
        let line = self.says("gate on http://");
        let rest = line.split("http://").nth(1).expect("an address");
        rest.split(',').next().expect("an address").parse().expect("an address")
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().expect("kill").success());
    }

    fn ends(mut self) -> ExitStatus {
        self.child.wait().expect("waited for")
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Answers every request with this text, until the test is over.
fn upstream(text: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                let mut reader = BufReader::new(stream);
                loop {
                    let mut line = String::new();
                    while reader.read_line(&mut line).is_ok_and(|n| n > 2) {
                        line.clear();
                    }
                    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len());
                    if line.is_empty() || reader.get_mut().write_all(answer.as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

fn get(gate: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(gate).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("set");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").expect("written");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("read");
    answer
}

#[test]
fn one_command_is_a_proxy_that_ends_in_good_order() {
    let directory = tempfile::tempdir().expect("a directory");
    let upstreams = format!("{},{}", upstream("one"), upstream("one"));
    let gate = Gate::start(&["--upstream", &upstreams, "--deadline-ms", "1000"], directory.path());
    let address = gate.address();
    assert!(get(address, "/").ends_with("\r\n\r\none"));
    gate.signal("TERM");
    gate.says("no new connections");
    assert_eq!(gate.ends().code(), Some(0));
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn the_configuration_is_read_again_and_an_invalid_one_changes_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let (one, two) = (upstream("one"), upstream("two"));
    let file = directory.path().join("freezeframe.toml");
    let write = |text: String| std::fs::write(&file, text).expect("written");
    let service = |address| format!("[[gate.service]]\nname = \"shop\"\nupstreams = [\"{address}\"]\n");
    let route = "[[gate.route]]\nname = \"all\"\nservice = \"shop\"\n";
    write(format!("{}{route}", service(one)));
    let gate = Gate::start(&[], directory.path());
    let address = gate.address();
    // A connection that is open goes on over all of it.
    let mut kept = TcpStream::connect(address).expect("it listens");
    let mut ask = || {
        kept.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").expect("written");
        let (mut answer, mut byte) = (Vec::new(), [0]);
        while !answer.ends_with(b"\r\n\r\n") {
            kept.read_exact(&mut byte).expect("read");
            answer.extend(byte);
        }
        let mut body = [0; 3];
        kept.read_exact(&mut body).expect("read");
        String::from_utf8_lossy(&body).into_owned()
    };
    assert_eq!(ask(), "one");
    write("[gate]\ndeadlin_ms = 5\n".to_owned());
    gate.signal("HUP");
    gate.says("the configuration stays as it was: unknown key `deadlin_ms`");
    assert_eq!(ask(), "one");
    write(format!("[gate]\nworkers = 3\ndeadline_ms = 5000\n{}{route}", service(two)));
    gate.signal("HUP");
    gate.says(&format!("service \"shop\": upstreams [\"{one}\"] -> [\"{two}\"]"));
    gate.says("route \"all\": deadline_ms Some(60000) -> Some(5000)");
    gate.says("gate.workers not set -> 3: takes effect at the next start");
    gate.says("the configuration is read again");
    assert_eq!(ask(), "two");
    // What has to wait for a start is named until there is one.
    gate.signal("HUP");
    gate.says("gate.workers not set -> 3: takes effect at the next start");
}

#[test]
fn without_anywhere_to_go_it_does_not_start() {
    let directory = tempfile::tempdir().expect("a directory");
    let gate = Gate::start(&[], directory.path());
    gate.says("there is nowhere to send requests");
    assert_eq!(gate.ends().code(), Some(2));
}

#[test]
fn the_admin_port_tells_programs_on_this_machine_and_nobody_else() {
    let directory = tempfile::tempdir().expect("a directory");
    let upstreams = upstream("one").to_string();
    let file = directory.path().join("freezeframe.toml");
    std::fs::write(&file, format!("[gate]\nupstreams = [\"{upstreams}\"]\nin_flight_max = 2\n"))
        .expect("written");
    let gate = Gate::start(&["--admin", "127.0.0.1:0"], directory.path());
    let address = gate.address();
    let line = gate.says("admin on http://");
    let admin: SocketAddr = line.split("http://").nth(1).expect("an address").trim().parse().expect("one");
    assert!(get(address, "/").ends_with("one"));
    let ask = |request: &str| {
        let mut stream = TcpStream::connect(admin).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("set");
        write!(stream, "{request}\r\nConnection: close\r\n\r\n").expect("written");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("read");
        String::from_utf8_lossy(&answer).into_owned()
    };
    let count = "freezeframe_gate_request_duration_seconds_count{route=\"default\",outcome=\"ok\",part=\"total\"} 1\n";
    // The account is closed after the answer's last byte, which is what the client waited for.
    let until = std::time::Instant::now() + PATIENCE;
    while !ask("GET /metrics HTTP/1.1\r\nHost: localhost").contains(count) {
        assert!(std::time::Instant::now() < until, "the request was never counted");
    }
    let native = ask("GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: application/vnd.google.protobuf");
    assert!(native.contains("application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily"));
    assert!(
        ask("GET /api/v1/gate/histograms HTTP/1.1\r\nHost: [::1]").contains("freezeframe-gate-histograms/1")
    );
    let plot = ask("GET /api/v1/gate/histograms.hgrm?route=default HTTP/1.1\r\nHost: localhost");
    assert!(plot.contains("Total count    =            1]"), "{plot}");
    for foreign in ["Host: evil.example", "Host: localhost\r\nOrigin: http://localhost"] {
        assert!(ask(&format!("POST /api/v1/gate/reload HTTP/1.1\r\n{foreign}")).starts_with("HTTP/1.1 403 "));
    }
    let run = |verb: &str, arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_freezeframe"));
        command.args(["gate", verb, "--admin", &admin.to_string()]).args(arguments).output().expect("started")
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let status = |arguments: &[&str]| text(&run("status", arguments).stdout);
    let reload = |arguments: &[&str]| run("reload", arguments);
    assert_eq!(
        status(&[]),
        format!(
            "gate on {address}\ndefault: 0 in flight (at most 2 each), 0 of 128 waiting\n  {upstreams} up, 0 in flight\n"
        )
    );
    assert!(status(&["--json"]).starts_with("{\"schema\":\"freezeframe-gate/1\""));
    std::fs::write(&file, format!("[gate]\nupstreams = [\"{upstreams}\"]\nin_flight_max = 3\n"))
        .expect("written");
    let change = "service \"default\": in_flight_max Some(2) -> Some(3)\ngate.in_flight_max 2 -> 3\n";
    let dry = reload(&["--dry-run"]);
    assert_eq!(text(&dry.stdout), format!("{change}nothing was changed: this is what a reload would do\n"));
    assert!(status(&[]).contains("at most 2 each"));
    assert_eq!(text(&reload(&[]).stdout), format!("{change}the configuration is read again\n"));
    gate.says("the configuration is read again who=\"the admin port\"");
    assert!(status(&[]).contains("at most 3 each"));
    let again = ask("POST /api/v1/gate/reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0");
    assert!(
        again.ends_with("{\"schema\":\"freezeframe-reload/1\",\"dry_run\":false,\"changes\":[]}"),
        "{again}"
    );
    std::fs::write(&file, "[gate]\ndeadlin_ms = 3\n").expect("written");
    let refused = reload(&[]);
    assert_eq!(refused.status.code(), Some(2));
    let said = text(&refused.stderr);
    assert!(
        said.contains("unknown key `deadlin_ms`") && said.contains("hint: nothing was changed"),
        "{said}"
    );
    gate.says("the configuration stays as it was");
}

#[test]
fn an_admin_port_for_strangers_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let gate = Gate::start(&["--upstream", "127.0.0.1:9", "--admin", "0.0.0.0:0"], directory.path());
    gate.says("0.0.0.0:0 is not a loopback address");
    assert_eq!(gate.ends().code(), Some(2));
}

/// A collector that takes one report.
#[test]
fn a_collector_is_told_how_long_requests_took() {
    let collector = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}/v1/metrics", collector.local_addr().expect("bound"));
    let directory = tempfile::tempdir().expect("a directory");
    let upstreams = upstream("one").to_string();
    let config = format!("[gate]\nupstreams = [\"{upstreams}\"]\notlp_url = \"{url}\"\notlp_ms = 100\n");
    std::fs::write(directory.path().join("freezeframe.toml"), config).expect("written");
    let gate = Gate::start(&[], directory.path());
    assert!(get(gate.address(), "/").ends_with("one"));
    let end = std::time::Instant::now() + PATIENCE;
    // The first may have come before the request was over.
    for stream in collector.incoming().map_while(Result::ok) {
        stream.set_read_timeout(Some(PATIENCE)).expect("set");
        let mut reader = BufReader::new(stream);
        let (mut head, mut length) = (String::new(), 0);
        while reader.read_line(&mut head).is_ok_and(|n| n > 2) {
            let line = head.lines().last().unwrap_or_default().to_ascii_lowercase();
            length =
                line.strip_prefix("content-length:").map_or(length, |n| n.trim().parse().expect("a length"));
        }
        assert!(head.starts_with("POST /v1/metrics HTTP/1.1\r\n"), "{head}");
        let mut body = vec![0; length];
        reader.read_exact(&mut body).expect("a body");
        reader.get_mut().write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").expect("written");
        let report: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        let metric = &report["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][0];
        assert_eq!(metric["name"], "freezeframe.gate.request.duration");
        let points = metric["exponentialHistogram"]["dataPoints"].as_array().expect("a list");
        if points.iter().any(|point| point["count"] == "1" && point["scale"] == 5) {
            return;
        }
        assert!(std::time::Instant::now() < end, "the request is never reported: {report}");
    }
}
