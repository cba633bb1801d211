//! Clients that come when they come, however the last ones were treated: an open loop over real sockets. How long an answer took
//! counts from when the request should have been made, so that a generator that falls behind hides nothing.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::LocalSet;

use super::arrivals::Arrival;
use crate::error::BenchError;
use crate::process;
use crate::simulate::world::{Record, Scene};

/// Longest answer.
const ANSWER_MAX: usize = 16 * 1024;
/// What is not answered by then, after the last arrival, is lost; in seconds of the scene.
const LAST_ANSWERS_S: f64 = 300.0;
/// Status of what was never answered.
const LOST: u16 = 0;

/// Plays the arrivals against `target`; a second of the scene is `scale` real ones. One record per arrival.
pub(super) fn play(
    target: SocketAddr,
    scene: &Scene,
    arrivals: &[Arrival],
    scale: f64,
) -> Result<Vec<Record>, BenchError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(BenchError::io("the load generator"))?;
    let records = Rc::new(RefCell::new(Vec::with_capacity(arrivals.len())));
    LocalSet::new().block_on(&runtime, async {
        let began = Instant::now();
        let idle = Rc::new(RefCell::new(Vec::new()));
        let mut clients = Vec::with_capacity(arrivals.len());
        for arrival in arrivals {
            let due = began + real(arrival.at_us, scale);
            tokio::time::sleep_until(due.into()).await;
            if process::is_interrupted() {
                break;
            }
            let name = scene.streams.get(usize::from(arrival.stream)).map_or("", |stream| stream.name);
            let work_us = (arrival.work_us as f64 * scale) as u64;
            let request = format!(
                "GET /{name}?us={work_us} HTTP/1.1\r\nHost: bench\r\nCookie: session={}\r\n\r\n",
                arrival.user
            );
            let (arrival, idle, records) = (*arrival, Rc::clone(&idle), Rc::clone(&records));
            clients.push(tokio::task::spawn_local(async move {
                let status = ask(target, &idle, request.as_bytes()).await.unwrap_or(LOST);
                let answered_us = (began.elapsed().as_secs_f64() / scale * 1e6) as u64;
                let (stream, user, arrived_us) = (arrival.stream, arrival.user, arrival.at_us);
                let answered_us = answered_us.max(arrived_us);
                records.borrow_mut().push(Record { stream, status, user, arrived_us, answered_us });
            }));
        }
        let rest = async {
            for client in clients {
                let _ = client.await;
            }
        };
        let _ = tokio::time::timeout(Duration::from_secs_f64(LAST_ANSWERS_S * scale), rest).await;
    });
    process::check_interrupt()?;
    let records = records.take();
    let lost = arrivals.len() - records.iter().filter(|record| record.status != LOST).count();
    if lost > 0 {
        crate::report::warn(&format!("{lost} of {} requests were never answered", arrivals.len()));
    }
    Ok(records)
}

fn real(scene_us: u64, scale: f64) -> Duration {
    Duration::from_secs_f64(scene_us as f64 / 1e6 * scale)
}

/// One request over a connection that is idle, or a new one. The status.
async fn ask(target: SocketAddr, idle: &RefCell<Vec<TcpStream>>, request: &[u8]) -> std::io::Result<u16> {
    let kept = idle.borrow_mut().pop();
    if let Some(mut stream) = kept
        && let Ok(answer) = exchange(&mut stream, request).await
    {
        return Ok(keep(idle, stream, answer));
    }
    // It was closed while it was idle, or there was none.
    let mut stream = TcpStream::connect(target).await?;
    stream.set_nodelay(true)?;
    let answer = exchange(&mut stream, request).await?;
    Ok(keep(idle, stream, answer))
}

fn keep(idle: &RefCell<Vec<TcpStream>>, stream: TcpStream, (status, keeps_alive): (u16, bool)) -> u16 {
    if keeps_alive {
        idle.borrow_mut().push(stream);
    }
    status
}

/// The status, and whether the connection can be used again.
async fn exchange(stream: &mut TcpStream, request: &[u8]) -> std::io::Result<(u16, bool)> {
    stream.write_all(request).await?;
    let mut answer = Vec::new();
    loop {
        let mut piece = [0; 2048];
        let read = stream.read(&mut piece).await?;
        if read == 0 || answer.len() > ANSWER_MAX {
            // HAProxy's own answers have no length and end with the connection.
            let head = head_of(&answer).ok_or(std::io::ErrorKind::UnexpectedEof)?;
            return Ok((head.status, false));
        }
        answer.extend_from_slice(piece.get(..read).unwrap_or_default());
        if let Some(Head { status, keeps_alive, end: Some(end) }) = head_of(&answer)
            && answer.len() >= end
        {
            return Ok((status, keeps_alive));
        }
    }
}

struct Head {
    status: u16,
    keeps_alive: bool,
    /// Where the answer ends, if it says so.
    end: Option<usize>,
}

fn head_of(answer: &[u8]) -> Option<Head> {
    let at = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(answer.get(..at)?).to_ascii_lowercase();
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let length: Option<usize> = field("content-length").and_then(|length| length.trim().parse().ok());
    let keeps_alive = field("connection").is_none_or(|value| value.trim() != "close");
    Some(Head { status, keeps_alive, end: length.map(|length| at + 4 + length) })
}
