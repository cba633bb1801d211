//! How many instructions of its own a proxy executes per request, counted by valgrind's callgrind: a figure that neither other
//! programs nor the kernel change, for a case that is always the same.

use std::net::SocketAddr;
use std::path::Path;

use super::Case;
use super::servers::Server;
use crate::error::BenchError;
use crate::report::Section;

/// What is not counted, because connections are opened and memory is touched for the first time, and what is.
const WARM_UP: u64 = 1000;
const COUNTED: u64 = 5000;

/// Adds what one case takes of the gate and of HAProxy. (nginx works in children, which are not counted.)
pub(super) fn measure(
    case: &Case,
    scratch: &Path,
    upstream: SocketAddr,
    section: &mut Section,
) -> Result<(), BenchError> {
    let mut theirs = None;
    for server in [Server::HaProxy, Server::Gate, Server::Shedding] {
        if !server.is_there() {
            section.skip_without(server.name());
            continue;
        }
        let few = run(case, server, WARM_UP, scratch, upstream)?;
        let many = run(case, server, WARM_UP + COUNTED, scratch, upstream)?;
        let count = many.saturating_sub(few) as f64 / COUNTED as f64;
        section.row(format!("{}: instructions per request", server.name()), "", [count], None);
        match theirs {
            None => theirs = (server == Server::HaProxy).then_some(count),
            Some(theirs) => {
                section.row(format!("{} to HAProxy", server.name()), "", [count / theirs], None);
            }
        }
    }
    Ok(())
}

/// Instructions of a whole life with so many requests.
fn run(
    case: &Case,
    server: Server,
    requests: u64,
    scratch: &Path,
    upstream: SocketAddr,
) -> Result<u64, BenchError> {
    let file = scratch.join("callgrind");
    let running = server.start(scratch, upstream, case, Some(&file))?;
    let load = case.tool.send(&running.url(case.path), requests)?;
    // It is written when the program ends.
    drop(running);
    let text = std::fs::read_to_string(&file).map_err(BenchError::io(file.display().to_string()))?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals: ")?.trim().parse().ok());
    total.filter(|_| load.failed == 0).ok_or_else(|| {
        let (name, failed) = (server.name(), load.failed);
        BenchError::NotAsExpected(format!(
            "{name}: {failed} of {requests} requests failed, or nothing was counted"
        ))
    })
}
