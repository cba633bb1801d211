//! What a request through the gate costs, beside nginx and HAProxy: requests per second, and processor time of the proxy per
//! request, in rounds that alternate. All have as many threads as there are cores, keep connections to the upstream, and log
//! nothing; the gate keeps its histograms, and the journey of the session that every request names.

mod load;
mod servers;
mod upstream;

use std::path::Path;
use std::time::Duration;

use crate::error::BenchError;
use crate::process;
use crate::report::{Goal, Report};
use crate::scratch::Scratch;
use load::Tool;
pub(crate) use load::is_there;
use servers::Server;

/// One kind of traffic.
struct Case {
    title: &'static str,
    path: &'static str,
    tls: bool,
    tool: Tool,
}

const CASES: [Case; 4] = [
    Case { title: "512 bytes, HTTP/1.1", path: upstream::SMALL, tls: false, tool: Tool::Wrk },
    Case { title: "64 KiB, HTTP/1.1", path: upstream::LARGE, tls: false, tool: Tool::Wrk },
    Case { title: "512 bytes, HTTP/1.1 over TLS", path: upstream::SMALL, tls: true, tool: Tool::Wrk },
    Case { title: "512 bytes, HTTP/2 over TLS", path: upstream::SMALL, tls: true, tool: Tool::H2load },
];

/// Figures of one proxy, one per round.
#[derive(Default)]
struct Figures {
    per_s: Vec<f64>,
    cpu_us: Vec<f64>,
}

/// Measures all cases for which the programs are there.
pub(crate) fn measure(quick: bool, report: &mut Report) -> Result<(), BenchError> {
    let (rounds, duration) = if quick { (1, Duration::from_secs(2)) } else { (5, Duration::from_secs(5)) };
    let scratch = Scratch::new()?;
    let upstream = upstream::start()?;
    for case in &CASES {
        let section = report.section(case.title);
        if !case.tool.is_there() {
            section.note(format!("SKIPPED: {} is not installed", case.tool.name()));
            crate::report::warn(&format!("SKIPPED: {}: {} is not installed", case.title, case.tool.name()));
            continue;
        }
        let mut running = Vec::new();
        for server in Server::ALL {
            if server.is_there() {
                running.push((server, server.start(scratch.path(), upstream, case.tls)?, Figures::default()));
            } else {
                section.note(format!("SKIPPED: {} is not installed", server.name()));
                crate::report::warn(&format!("SKIPPED: {} is not installed", server.name()));
            }
        }
        // The first requests open connections and fill caches.
        for (_, proxy, _) in &running {
            case.tool.run(&proxy.url(case.path), Duration::from_secs(1))?;
        }
        for _ in 0..rounds {
            for (_, proxy, figures) in &mut running {
                process::check_interrupt()?;
                let before = proxy.processor_time()?;
                let load = case.tool.run(&proxy.url(case.path), duration)?;
                let used = proxy.processor_time()?.saturating_sub(before);
                if load.failed > 0 {
                    section.note(format!("{} of {} requests failed", load.failed, load.requests));
                }
                figures.per_s.push(load.per_s);
                figures.cpu_us.push(used.as_secs_f64() * 1e6 / load.requests.max(1) as f64);
            }
        }
        let of = |wanted: Server| running.iter().find(|(server, ..)| *server == wanted);
        for (server, _, figures) in &running {
            section.row(
                format!("{}: requests per second", server.name()),
                "1/s",
                figures.per_s.clone(),
                None,
            );
            section.row(format!("{}: CPU per request", server.name()), "µs", figures.cpu_us.clone(), None);
        }
        if let (Some((.., ours)), Some((.., theirs))) = (of(Server::Gate), of(Server::HaProxy)) {
            let ratios = ours.cpu_us.iter().zip(&theirs.cpu_us).map(|(ours, theirs)| ours / theirs);
            section.row("CPU per request, gate to HAProxy", "", ratios, Some(Goal::MedianAtMost(1.0)));
        }
    }
    Ok(())
}

/// Writes a file of a server's configuration.
fn write(path: &Path, text: &str) -> Result<(), BenchError> {
    std::fs::write(path, text).map_err(BenchError::io(path.display().to_string()))
}
