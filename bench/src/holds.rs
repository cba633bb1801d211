//! From the trap to stopped, out of routing, replaced: milestones of many holds, as the incidents themselves record them.

use crate::daemon::{Daemon, Incident, Setup, Timings};
use crate::error::BenchError;
use crate::load;
use crate::process;
use crate::report::{Goal, Report, Section};
use crate::service;

/// A milestone and what was promised of it.
type Milestone = (&'static str, fn(&Timings) -> Option<f64>, Option<Goal>);

const MILESTONES: [Milestone; 8] = [
    ("trap → all threads stopped", |t| t.stopped, Some(Goal::P99AtMost(1.0))),
    ("trap → fingerprint known", |t| t.fingerprinted, None),
    ("trap → out of routing", |t| t.unrouted, Some(Goal::P99AtMost(1.0))),
    ("trap → a spare serves in its place", |t| t.replaced, Some(Goal::P99AtMost(10.0))),
    ("trap → the other threads run on", |t| t.resumed, None),
    ("trap → captured (variables readable)", |t| t.captured, None),
    ("trap → held (frozen, network cut)", |t| t.held, None),
    ("trap → durable", |t| t.stored, None),
];

pub(crate) fn measure(quick: bool, report: &mut Report) -> Result<(), BenchError> {
    let holds = if quick { 3 } else { 60 };
    for threads in [4, 64] {
        let setup = Setup { drain_ms: 500, ..Setup::service(threads)? };
        let mut daemon = Daemon::start(&setup)?;
        let section = report.section(&format!("milestones of a hold, service of {threads} threads"));
        let mut timings = Vec::new();
        for n in 0..holds {
            process::check_interrupt()?;
            timings.push(hold_once(&mut daemon, n)?.timings_ms);
        }
        tell(&timings, section);
    }
    Ok(())
}

/// Breaks one instance, waits until it is held and durable, lets it go, waits until all is as before.
fn hold_once(daemon: &mut Daemon, n: usize) -> Result<Incident, BenchError> {
    let path = format!("/panic/{}", n % service::SITES);
    let answer = load::ask(daemon.gate(), "GET", &path, "").map_err(BenchError::io(path.clone()))?;
    let id = answer.incident.filter(|_| answer.status == 502).ok_or_else(|| {
        BenchError::NotAsExpected(format!(
            "hold {n}: {path} was answered {} without an incident",
            answer.status
        ))
    })?;
    let incident = daemon.wait_held(&id)?;
    if incident.requests_lost > 0 {
        return Err(BenchError::NotAsExpected(format!(
            "{id} lost {} requests of nobody",
            incident.requests_lost
        )));
    }
    daemon.act(&id, "release", "{}")?;
    daemon.wait_ready()?;
    Ok(incident)
}

fn tell(timings: &[Timings], section: &mut Section) {
    for (name, milestone, goal) in MILESTONES {
        section.row(name, "ms", timings.iter().filter_map(milestone), goal);
    }
    section.note("2 instances and a spare; one request at a time through the gate; every hold is released before the next");
}
