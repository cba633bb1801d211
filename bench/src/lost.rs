//! Requests lost to holds besides the failing one, as the clients count them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::daemon::{Daemon, Setup};
use crate::error::BenchError;
use crate::load::{self, Request, Targets, Until};
use crate::process;
use crate::report::{Goal, Report};
use crate::service;

const CLIENTS: usize = 16;
/// More than connections: no request waits for a thread.
const THREADS: usize = 64;
/// Load goes on for so long before a hold and after it.
const BETWEEN: Duration = Duration::from_millis(300);

/// 14 GETs and 6 POSTs; three in ten take 50 ms.
fn mix() -> Vec<Request> {
    (0..20)
        .map(|n| match (n % 10 >= 7, n % 5 == 0 || n % 10 == 7) {
            (false, false) => Request::get("/"),
            (false, true) => Request::get("/slow/50"),
            (true, false) => Request::post("/"),
            (true, true) => Request::post("/slow/50"),
        })
        .collect()
}

pub(crate) fn measure(quick: bool, report: &mut Report) -> Result<(), BenchError> {
    let holds = if quick { 2 } else { 40 };
    let mut daemon = Daemon::start(&Setup::service(THREADS)?)?;
    let section =
        report.section("requests lost to holds besides the failing one, under load through the gate");
    let targets = Targets::new([daemon.gate()]);
    let mix = mix();
    let mut rounds = Vec::new();
    for n in 0..holds {
        process::check_interrupt()?;
        let over = AtomicBool::new(false);
        let (tally, held) = std::thread::scope(|scope| {
            let load = scope.spawn(|| load::closed_loop(&targets, CLIENTS, &mix, Until::Told(&over)));
            let held = hold_under_load(&mut daemon, n);
            over.store(true, Ordering::Relaxed);
            (load.join(), held)
        });
        let tally = tally.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        rounds.push((tally, held?));
        daemon.wait_ready()?;
    }
    let goal = Some(Goal::AllAtMost(0.0));
    section.row(
        "idempotent requests lost, per hold",
        "",
        rounds.iter().map(|(tally, _)| tally.lost_gets as f64),
        goal,
    );
    section.row(
        "POSTs lost that finish within the drain, per hold",
        "",
        rounds.iter().map(|(t, _)| t.lost_posts as f64),
        goal,
    );
    section.row("lost by the incident's own count", "", rounds.iter().map(|(_, hold)| hold.lost), goal);
    section.row(
        "requests answered around a hold",
        "",
        rounds.iter().map(|(tally, _)| tally.answered as f64),
        None,
    );
    section.row(
        "slowest answer around a hold",
        "ms",
        rounds.iter_mut().map(|(t, _)| t.latency_us(1.0) / 1000.0),
        None,
    );
    section.row(
        "trap → held, with other requests finishing",
        "ms",
        rounds.iter().filter_map(|(_, hold)| hold.held_ms),
        None,
    );
    section.row(
        "trap → out of routing, under load",
        "ms",
        rounds.iter().filter_map(|(_, hold)| hold.unrouted_ms),
        None,
    );
    section.row(
        "trap → a spare serves, under load",
        "ms",
        rounds.iter().filter_map(|(_, hold)| hold.replaced_ms),
        None,
    );
    section.row(
        "failing requests answered by the gate with their incident",
        "",
        rounds.iter().map(|(_, hold)| f64::from(u8::from(hold.named))),
        None,
    );
    section.note(format!(
        "{CLIENTS} connections, 70 % GET, 30 % POST; three in ten requests take 50 ms; the drain is 2 s"
    ));
    for loss in rounds.iter().flat_map(|(tally, _)| &tally.losses).take(5) {
        section.note(format!("lost: {loss}"));
    }
    Ok(())
}

struct Hold {
    lost: f64,
    /// Whether the failing request was answered 502 with the incident's number.
    named: bool,
    held_ms: Option<f64>,
    unrouted_ms: Option<f64>,
    replaced_ms: Option<f64>,
}

fn hold_under_load(daemon: &mut Daemon, n: usize) -> Result<Hold, BenchError> {
    std::thread::sleep(BETWEEN);
    let path = format!("/panic/{}", n % service::SITES);
    let answer = load::ask(daemon.gate(), "GET", &path, "").map_err(BenchError::io(path.clone()))?;
    if answer.status != 502 {
        return Err(BenchError::NotAsExpected(format!("hold {n}: {path} was answered {}", answer.status)));
    }
    let newest = daemon.incidents()?.into_iter().next().map(|incident| incident.id);
    let id = answer.incident.clone().or(newest);
    let id = id.ok_or_else(|| BenchError::NotAsExpected(format!("hold {n}: there is no incident")))?;
    let incident = daemon.wait_held(&id)?;
    std::thread::sleep(BETWEEN);
    daemon.act(&id, "release", "{}")?;
    Ok(Hold {
        lost: f64::from(incident.requests_lost),
        named: answer.incident.is_some(),
        held_ms: incident.timings_ms.held,
        unrouted_ms: incident.timings_ms.unrouted,
        replaced_ms: incident.timings_ms.replaced,
    })
}
