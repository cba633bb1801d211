//! How long it takes until frames and variables are readable, and in how much memory: beside gdb and lldb on the same process at the
//! same place, with an index of the debug information and without.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use crate::big;
use crate::daemon::{Daemon, Setup};
use crate::debugger::{self, Look};
use crate::error::BenchError;
use crate::http::Answer;
use crate::load;
use crate::process;
use crate::report::{Goal, Report, Section};
use crate::scratch::Scratch;
use crate::values::{Share, Threads};

/// The shop's story of a division by zero: method, path, body.
const STORY: [(&str, &str, &str); 6] = [
    ("POST", "/login", r#"{"login": "grace", "password": "grace-secret"}"#),
    ("GET", "/products/19", ""),
    ("POST", "/cart", r#"{"product_id": 19, "quantity": 1}"#),
    ("POST", "/cart", r#"{"product_id": 24, "quantity": 2}"#),
    ("GET", "/cart", ""),
    ("POST", "/checkout", r#"{"coupon": "FREIGHT5"}"#),
];
/// What breaks the large server, each time in another module.
const BREAKS: [&str; 8] =
    ["/break/3", "/break/7", "/break/11", "/break/14", "/break/17", "/break/19", "/break/21", "/break/23"];
/// On the stack of every panic.
const MARKER: &str = "rust_panic";
/// lldb takes longest, and looks in one of so many rounds.
const LLDB_EVERY: usize = 2;
const INDEX_LIMIT: Duration = Duration::from_secs(300);

/// What is broken, and what was promised of it, in milliseconds.
struct Subject {
    title: &'static str,
    message: &'static str,
    cold_ms: f64,
    warm_ms: f64,
    /// Where something was promised of it.
    all_stop_ms: Option<f64>,
}

/// What is told of a sample, and its unit.
type Told = (&'static str, &'static str, fn(&Sample) -> f64, Option<Goal>);

/// One hold, looked at by all.
struct Sample {
    resumed_ms: f64,
    captured_ms: f64,
    stored_ms: f64,
    shim_mb: f64,
    gdb: Look,
    lldb: Option<Look>,
    share: Share,
    gdb_share: Share,
}

pub(crate) fn measure(quick: bool, report: &mut Report) -> Result<(), BenchError> {
    let rounds = if quick { 1 } else { 6 };
    let scratch = Scratch::new()?;
    let shop = Subject {
        title: "the shop's division by zero",
        message: "attempt to divide by zero",
        cold_ms: 250.0,
        warm_ms: 50.0,
        all_stop_ms: None,
    };
    let setup = || Ok(Setup { drain_ms: 500, ..Setup::shop(&scratch)? });
    both(&shop, setup, rounds, &scratch, report, |gate, _| live_through(gate))?;

    let program = big::server()?;
    let megabytes = big::debug_megabytes(&program)?;
    let large = Subject {
        title: "a panic on one of 64 threads, in a program with more than 100 MB of debug information",
        message: "the shelf is empty",
        cold_ms: 1000.0,
        warm_ms: 150.0,
        all_stop_ms: Some(10.0),
    };
    let command = vec![program.display().to_string()];
    let setup = || Ok(Setup { drain_ms: 500, command: command.clone(), ..Setup::service(64)? });
    both(&large, setup, rounds, &scratch, report, |gate, round| {
        let path = BREAKS.get(round % BREAKS.len()).copied().unwrap_or("/break/1");
        load::ask(gate, "GET", path, "").map_err(BenchError::io(path))
    })?;
    report.last().note(format!("debug information: {megabytes:.0} MB, not compressed"));
    Ok(())
}

/// Rounds with and without an index take turns.
fn both(
    subject: &Subject,
    setup: impl Fn() -> Result<Setup, BenchError>,
    rounds: usize,
    scratch: &Scratch,
    report: &mut Report,
    breaks: impl Fn(SocketAddr, usize) -> Result<Answer, BenchError>,
) -> Result<(), BenchError> {
    let titles = ["without an index", "with an index"].map(|side| format!("{}, {side}", subject.title));
    let mut sides = [
        (Daemon::start(&Setup { index: false, ..setup()? })?, Vec::new()),
        (Daemon::start(&setup()?)?, Vec::new()),
    ];
    sides[1].0.wait_indexed(INDEX_LIMIT)?;
    eprintln!("measuring: {}", subject.title);
    for round in 0..rounds {
        for (daemon, samples) in &mut sides {
            process::check_interrupt()?;
            let answer = breaks(daemon.gate(), round)?;
            let with_lldb = round % LLDB_EVERY == 0 && debugger::has_lldb();
            samples.push(once(daemon, &answer, subject.message, scratch.path(), with_lldb)?);
            daemon.wait_ready()?;
        }
    }
    for (title, goal_ms, (_, samples)) in titles
        .iter()
        .zip([subject.cold_ms, subject.warm_ms])
        .zip(&sides)
        .map(|((title, goal), side)| (title, goal, side))
    {
        tell(report.section(title), samples, goal_ms, subject.all_stop_ms);
    }
    Ok(())
}

fn once(
    daemon: &Daemon,
    answer: &Answer,
    message: &str,
    scratch: &Path,
    with_lldb: bool,
) -> Result<Sample, BenchError> {
    let id = answer.incident.as_ref().ok_or_else(|| {
        BenchError::NotAsExpected(format!(
            "the failing request was answered {} without an incident",
            answer.status
        ))
    })?;
    let incident = daemon.wait_held(id)?;
    if !incident.message.contains(message) {
        return Err(BenchError::NotAsExpected(format!("{id} is about {:?}", incident.message)));
    }
    let capture = daemon.capture(id)?;
    let client = format!("{{\"client_pid\": {}}}", std::process::id());
    let pid = daemon.act(id, "hand-over", &client)?;
    let pid = pid.ok_or_else(|| BenchError::NotAsExpected("nothing was handed over".to_owned()))?;
    let shim_mb = debugger::parent(pid).and_then(debugger::peak_mb);
    let looked = look(pid, &capture, scratch, with_lldb);
    daemon.act(id, "reclaim", "{}")?;
    daemon.act(id, "release", "{}")?;
    let (gdb, lldb) = looked?;
    let known = |name: &str, known: Option<f64>| {
        known.ok_or_else(|| BenchError::NotAsExpected(format!("{id} has no {name}")))
    };
    let timings = incident.timings_ms;
    Ok(Sample {
        resumed_ms: known("milestone resumed", timings.resumed)?,
        captured_ms: known("milestone captured", timings.captured)?,
        stored_ms: known("milestone stored", timings.stored)?,
        shim_mb: known("shim", shim_mb)?,
        share: capture.share(),
        gdb_share: capture.share_of_gdb(&gdb.text, MARKER),
        gdb,
        lldb,
    })
}

fn look(
    pid: i32,
    capture: &Threads,
    scratch: &Path,
    with_lldb: bool,
) -> Result<(Look, Option<Look>), BenchError> {
    let gdb = debugger::gdb(pid, scratch)?;
    if !gdb.text.contains(MARKER) {
        return Err(BenchError::NotAsExpected("gdb did not see the panic".to_owned()));
    }
    let lldb = with_lldb.then(|| debugger::lldb(pid, capture.size(), scratch)).transpose()?;
    Ok((gdb, lldb))
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

fn tell(section: &mut Section, samples: &[Sample], captured_ms: f64, all_stop_ms: Option<f64>) {
    let rows: [Told; 11] = [
        (
            "trap → memory copied, the other threads run on",
            "ms",
            |s| s.resumed_ms,
            all_stop_ms.map(Goal::MedianAtMost),
        ),
        (
            "trap → captured: frames and variables readable",
            "ms",
            |s| s.captured_ms,
            Some(Goal::MedianAtMost(captured_ms)),
        ),
        ("trap → durable", "ms", |s| s.stored_ms, None),
        ("gdb, from its start to all threads with all variables", "ms", |s| s.gdb.ms, None),
        ("gdb ÷ captured", "", |s| s.gdb.ms / s.captured_ms, Some(Goal::MedianAtLeast(5.0))),
        ("largest resident set of the shim", "MB", |s| s.shim_mb, None),
        ("largest resident set of gdb", "MB", |s| s.gdb.peak_mb, None),
        ("gdb ÷ shim, memory", "", |s| s.gdb.peak_mb / s.shim_mb, Some(Goal::MedianAtLeast(4.0))),
        ("variables of own frames with a value", "%", |s| s.share.percent(), None),
        ("the same in gdb", "%", |s| s.gdb_share.percent(), None),
        (
            "values in own frames ÷ gdb's",
            "",
            |s| s.share.known as f64 / s.gdb_share.known as f64,
            Some(Goal::MedianAtLeast(1.0)),
        ),
    ];
    for (name, unit, of, goal) in rows {
        section.row(name, unit, samples.iter().map(of), goal);
    }
    let lldb = || samples.iter().filter_map(|s| Some((s.lldb.as_ref()?, s)));
    section.row("lldb, all threads with all variables", "ms", lldb().map(|(lldb, _)| lldb.ms), None);
    section.row("lldb ÷ captured", "", lldb().map(|(lldb, s)| lldb.ms / s.captured_ms), None);
    section.row("largest resident set of lldb", "MB", lldb().map(|(lldb, _)| lldb.peak_mb), None);
    section.note(
        "gdb, then lldb look at the process that is held, which is handed over to them for that: stopped, not frozen",
    );
}
