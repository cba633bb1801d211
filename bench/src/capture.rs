//! How long it takes until frames and variables are readable, beside gdb on the same process at the same place.

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::daemon::{Daemon, Setup};
use crate::error::BenchError;
use crate::http::Answer;
use crate::load;
use crate::process;
use crate::report::{Report, Section};
use crate::scratch::Scratch;

/// The shop's story of a division by zero: method, path, body.
const STORY: [(&str, &str, &str); 6] = [
    ("POST", "/login", r#"{"login": "grace", "password": "grace-secret"}"#),
    ("GET", "/products/19", ""),
    ("POST", "/cart", r#"{"product_id": 19, "quantity": 1}"#),
    ("POST", "/cart", r#"{"product_id": 24, "quantity": 2}"#),
    ("GET", "/cart", ""),
    ("POST", "/checkout", r#"{"coupon": "FREIGHT5"}"#),
];
const MESSAGE: &str = "attempt to divide by zero";

/// What is told of a sample, and its unit.
type Told = (&'static str, &'static str, fn(&Sample) -> f64);

/// One hold, looked at by both.
struct Sample {
    resumed_ms: f64,
    captured_ms: f64,
    stored_ms: f64,
    gdb_ms: f64,
    gdb_lines: f64,
}

pub(crate) fn measure(quick: bool, report: &mut Report) -> Result<(), BenchError> {
    let holds = if quick { 1 } else { 5 };
    let scratch = Scratch::new()?;
    let mut daemon = Daemon::start(&Setup { drain_ms: 500, ..Setup::shop(&scratch)? })?;
    let section = report
        .section("capture of the shop's division by zero, beside gdb on the same process at the same place");
    let mut samples = Vec::new();
    for _ in 0..holds {
        process::check_interrupt()?;
        samples.push(once(&daemon)?);
        daemon.wait_ready()?;
    }
    tell(section, &samples);
    Ok(())
}

fn once(daemon: &Daemon) -> Result<Sample, BenchError> {
    let answer = live_through(daemon.gate())?;
    let id = answer.incident.ok_or_else(|| {
        BenchError::NotAsExpected(format!("the story was answered {} without an incident", answer.status))
    })?;
    let incident = daemon.wait_held(&id)?;
    if incident.message != MESSAGE {
        return Err(BenchError::NotAsExpected(format!("{id} is about {:?}", incident.message)));
    }
    let client = format!("{{\"client_pid\": {}}}", std::process::id());
    let pid = daemon.act(&id, "hand-over", &client)?;
    let pid = pid.ok_or_else(|| BenchError::NotAsExpected("nothing was handed over".to_owned()))?;
    let looked = look_with_gdb(pid);
    daemon.act(&id, "reclaim", "{}")?;
    daemon.act(&id, "release", "{}")?;
    let (gdb_ms, gdb_lines) = looked?;
    let known = |name: &str, milestone: Option<f64>| {
        milestone.ok_or_else(|| BenchError::NotAsExpected(format!("{id} has no milestone {name}")))
    };
    let timings = incident.timings_ms;
    Ok(Sample {
        resumed_ms: known("resumed", timings.resumed)?,
        captured_ms: known("captured", timings.captured)?,
        stored_ms: known("stored", timings.stored)?,
        gdb_ms,
        gdb_lines,
    })
}

/// The way of a user into the bug; the last answer.
fn live_through(gate: SocketAddr) -> Result<Answer, BenchError> {
    let mut cookies: Vec<String> = Vec::new();
    let mut last = None;
    for (method, path, body) in STORY {
        let cookie =
            if cookies.is_empty() { String::new() } else { format!("Cookie: {}\r\n", cookies.join("; ")) };
        let answer = load::ask_with(gate, method, path, &cookie, body).map_err(BenchError::io(path))?;
        for pair in &answer.cookies {
            let name = pair.split('=').next().unwrap_or_default();
            cookies.retain(|known| known.split('=').next() != Some(name));
            cookies.push(pair.clone());
        }
        last = Some(answer);
    }
    last.ok_or_else(|| BenchError::NotAsExpected("an empty story".to_owned()))
}

/// All threads with all variables: milliseconds, and lines that it wrote.
fn look_with_gdb(pid: i32) -> Result<(f64, f64), BenchError> {
    let begun = Instant::now();
    let mut command = Command::new("gdb");
    command.args(["-nx", "-batch", "-p", &pid.to_string(), "-ex", "thread apply all bt full"]);
    let output = command.stdin(Stdio::null()).output().map_err(BenchError::io("gdb (apt install gdb)"))?;
    let elapsed = begun.elapsed().as_secs_f64() * 1000.0;
    let text = String::from_utf8_lossy(&output.stdout);
    if !text.contains("rust_panic") {
        let errors = String::from_utf8_lossy(&output.stderr);
        let what = format!("gdb did not see the panic: {}", errors.lines().last().unwrap_or_default());
        return Err(BenchError::NotAsExpected(what));
    }
    Ok((elapsed, text.lines().count() as f64))
}

fn tell(section: &mut Section, samples: &[Sample]) {
    let rows: [Told; 6] = [
        ("trap → memory copied, the other threads run on", "ms", |s| s.resumed_ms),
        ("trap → captured: frames and variables readable", "ms", |s| s.captured_ms),
        ("trap → durable", "ms", |s| s.stored_ms),
        ("gdb, from its start to all threads with all variables", "ms", |s| s.gdb_ms),
        ("gdb ÷ captured", "", |s| s.gdb_ms / s.captured_ms),
        ("lines written by gdb", "", |s| s.gdb_lines),
    ];
    for (name, unit, of) in rows {
        section.row(name, unit, samples.iter().map(of), None);
    }
    section.note(
        "gdb looks at the process that is held, which is handed over to it for that: stopped, not frozen",
    );
}
