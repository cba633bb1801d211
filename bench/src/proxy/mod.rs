//! What a request through the gate costs, beside nginx and HAProxy: requests per second, and processor time of the proxy per
//! request, in rounds that alternate. All have as many threads as there are cores, keep connections to the upstream, and log
//! nothing; the gate keeps its histograms, and the journey of the session that every request names. It is measured as it is by
//! default, and with bounds and a deadline, so that every request passes admission. With `--count`, instructions are counted instead.

mod count;
mod load;
mod servers;
mod upstream;

use std::path::Path;
use std::time::Duration;

use clap::Args;

use crate::Common;
use crate::error::BenchError;
use crate::process;
use crate::report::{Goal, Report};
use crate::scratch::Scratch;
use load::Tool;
pub(crate) use load::is_there;
use servers::Server;

/// One kind of traffic.
struct Case {
    /// For the command line.
    name: &'static str,
    title: &'static str,
    path: &'static str,
    tls: bool,
    tool: Tool,
}

impl Case {
    const fn new(name: &'static str, title: &'static str, path: &'static str, tls: bool, tool: Tool) -> Self {
        Self { name, title, path, tls, tool }
    }
}

const CASES: [Case; 8] = {
    use Tool::{H2load, Wrk};
    use upstream::{LARGE, SMALL};
    [
        Case::new("h1-small", "512 bytes, HTTP/1.1", SMALL, false, Wrk),
        Case::new("h1-large", "64 KiB, HTTP/1.1", LARGE, false, Wrk),
        Case::new("h1-tls-small", "512 bytes, HTTP/1.1 over TLS", SMALL, true, Wrk),
        Case::new("h1-tls-large", "64 KiB, HTTP/1.1 over TLS", LARGE, true, Wrk),
        Case::new("h2-small", "512 bytes, HTTP/2", SMALL, false, H2load),
        Case::new("h2-large", "64 KiB, HTTP/2", LARGE, false, H2load),
        Case::new("h2-tls-small", "512 bytes, HTTP/2 over TLS", SMALL, true, H2load),
        Case::new("h2-tls-large", "64 KiB, HTTP/2 over TLS", LARGE, true, H2load),
    ]
};

#[derive(Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Only these kinds of traffic, separated by commas: `h1-small`, `h2-tls-large` and so on.
    #[arg(long, value_delimiter = ',', value_name = "CASE")]
    only: Vec<String>,
    /// Rounds of each kind of traffic.
    #[arg(long, default_value_t = 7, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Seconds of each round.
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Count the instructions of the gate and of HAProxy instead, with valgrind: one thread, a fixed number of requests.
    #[arg(long)]
    count: bool,
}

/// Figures of one proxy, one per round.
#[derive(Default)]
struct Figures {
    per_s: Vec<f64>,
    cpu_us: Vec<f64>,
}

/// Measures all cases for which the programs are there.
pub(crate) fn measure(arguments: &Arguments, report: &mut Report) -> Result<(), BenchError> {
    let rounds = if arguments.common.quick { 1 } else { arguments.rounds };
    let duration = Duration::from_secs(arguments.seconds);
    let scratch = Scratch::new()?;
    let upstream = upstream::start()?;
    let is_wanted =
        |case: &&Case| arguments.only.is_empty() || arguments.only.iter().any(|only| only == case.name);
    for case in CASES.iter().filter(is_wanted) {
        let section = report.section(case.title);
        if arguments.count {
            match ["valgrind", "h2load"].into_iter().find(|tool| !is_there(tool)) {
                None => count::measure(case, scratch.path(), upstream, section)?,
                Some(missing) => section.skip_without(missing),
            }
            continue;
        }
        if !case.tool.is_there() {
            section.skip_without(case.tool.name());
            continue;
        }
        let mut running = Vec::new();
        for server in Server::ALL {
            if server.is_there() {
                running.push((
                    server,
                    server.start(scratch.path(), upstream, case, None)?,
                    Figures::default(),
                ));
            } else {
                section.skip_without(server.name());
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
        for (server, _, figures) in &running {
            section.row(
                format!("{}: requests per second", server.name()),
                "1/s",
                figures.per_s.clone(),
                None,
            );
            section.row(format!("{}: CPU per request", server.name()), "µs", figures.cpu_us.clone(), None);
        }
        let cpu_us = |wanted: Server| {
            running.iter().find(|(server, ..)| *server == wanted).map(|(.., figures)| &figures.cpu_us)
        };
        let Some(theirs) = cpu_us(Server::HaProxy) else { continue };
        for (ours, what, goal) in [
            (Server::Gate, "CPU per request, gate to HAProxy", Some(Goal::MedianAtMost(1.0))),
            (Server::Shedding, "CPU per request, shedding gate to HAProxy", None),
        ] {
            let ours = cpu_us(ours).into_iter().flatten();
            section.row(what, "", ours.zip(theirs).map(|(ours, theirs)| ours / theirs), goal);
        }
    }
    Ok(())
}

/// Writes a file of a server's configuration.
fn write(path: &Path, text: &str) -> Result<(), BenchError> {
    std::fs::write(path, text).map_err(BenchError::io(path.display().to_string()))
}
