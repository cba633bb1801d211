//! The small server that is measured: threads around one epoll, which answer, wait, or panic and catch it, as asked.
//!
//! Requests go to whichever thread is free, so that a thread that is stopped at its panic takes nothing with it but its own request.
//!
//! | path | what |
//! |---|---|
//! | `/` | 200, after about 20 µs of work |
//! | `/slow/MS` | 200 after this many milliseconds |
//! | `/panic/K` | a panic at one of 16 places, caught: 500 |

use std::collections::HashMap;
use std::hint::black_box;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::error::BenchError;

/// Different places to panic at.
pub(crate) const SITES: usize = 16;
const REQUEST_BYTES_MAX: usize = 64 * 1024;
const CONNECTIONS_MAX: usize = 4096;
const SLOW_MS_MAX: u64 = 10_000;
const BODY: &str = "{\"answer\": 42}";

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Threads that work on requests.
    #[arg(long, default_value_t = 4)]
    threads: usize,
    /// Port to listen on.
    #[arg(long, env = "PORT")]
    port: u16,
    /// Print nothing at a panic.
    #[arg(long)]
    silent: bool,
}

/// A client's connection, and what has come of its next request.
struct Client {
    stream: TcpStream,
    received: Vec<u8>,
}

struct Server {
    epoll: i32,
    /// By descriptor. A client is out of the map while a thread works on it.
    clients: Mutex<HashMap<i32, Client>>,
}

/// Serves until it is killed.
pub(crate) fn run(arguments: &Arguments) -> Result<(), BenchError> {
    if arguments.silent {
        std::panic::set_hook(Box::new(|_| {}));
    }
    let address = (Ipv4Addr::LOCALHOST, arguments.port);
    let listener = TcpListener::bind(address).map_err(BenchError::io(format!("port {}", arguments.port)))?;
    // SAFETY: takes an integer; the descriptor lives as long as the process.
    let epoll = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
    if epoll < 0 {
        return Err(BenchError::Io { what: "epoll".to_owned(), source: io::Error::last_os_error() });
    }
    let server = Arc::new(Server { epoll, clients: Mutex::default() });
    for n in 0..arguments.threads.max(1) {
        let server = server.clone();
        let thread = std::thread::Builder::new().name(format!("worker-{n}")).spawn(move || server.work());
        thread.map_err(BenchError::io("a worker thread"))?;
    }
    for stream in listener.incoming().flatten() {
        server.take_on(stream);
    }
    Ok(())
}

impl Server {
    fn take_on(&self, stream: TcpStream) {
        if stream.set_nonblocking(true).and_then(|()| stream.set_nodelay(true)).is_err() {
            return;
        }
        let fd = stream.as_raw_fd();
        let full = {
            let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
            let full = clients.len() >= CONNECTIONS_MAX;
            if !full {
                clients.insert(fd, Client { stream, received: Vec::new() });
            }
            full
        };
        if !full && self.watch(libc::EPOLL_CTL_ADD, fd).is_err() {
            self.clients.lock().unwrap_or_else(PoisonError::into_inner).remove(&fd);
        }
    }

    /// One thread hears of the client's next bytes, once.
    fn watch(&self, operation: i32, fd: i32) -> io::Result<()> {
        let events = (libc::EPOLLIN | libc::EPOLLONESHOT | libc::EPOLLRDHUP) as u32;
        let mut event = libc::epoll_event { events, u64: u64::try_from(fd).unwrap_or(0) };
        // SAFETY: the event is a valid place for the time of the call.
        let done = unsafe { libc::epoll_ctl(self.epoll, operation, fd, &raw mut event) };
        if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    fn work(&self) {
        loop {
            let mut event = libc::epoll_event { events: 0, u64: 0 };
            // SAFETY: room for the one event that is asked for.
            if unsafe { libc::epoll_wait(self.epoll, &raw mut event, 1, -1) } != 1 {
                continue;
            }
            let Ok(fd) = i32::try_from(event.u64) else { continue };
            let client = self.clients.lock().unwrap_or_else(PoisonError::into_inner).remove(&fd);
            let Some(mut client) = client else { continue };
            if client.serve().is_ok() {
                self.clients.lock().unwrap_or_else(PoisonError::into_inner).insert(fd, client);
                let _ = self.watch(libc::EPOLL_CTL_MOD, fd);
            }
        }
    }
}

impl Client {
    /// Reads what there is, answers what is complete. An error ends the connection.
    fn serve(&mut self) -> io::Result<()> {
        let mut buffer = [0; 4096];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(length) => self.received.extend_from_slice(buffer.get(..length).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
            if self.received.len() > REQUEST_BYTES_MAX {
                return Err(io::ErrorKind::InvalidData.into());
            }
        }
        while let Some((path, length)) = complete(&self.received)? {
            self.received.drain(..length);
            let status = std::panic::catch_unwind(|| handle(&path)).unwrap_or("500 Internal Server Error");
            let answer = format!(
                "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{BODY}",
                BODY.len()
            );
            // Answers are much smaller than a socket's buffer: one write takes them whole.
            self.stream.write_all(answer.as_bytes())?;
        }
        Ok(())
    }
}

/// Path and length of the first request, once it is there whole.
fn complete(bytes: &[u8]) -> io::Result<Option<(String, usize)>> {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let invalid = || io::Error::from(io::ErrorKind::InvalidData);
    let head = std::str::from_utf8(bytes.get(..end).unwrap_or_default()).map_err(|_| invalid())?;
    let mut lines = head.split("\r\n");
    let path = lines.next().and_then(|line| line.split(' ').nth(1)).ok_or_else(invalid)?;
    let length = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .map_or(Ok(0), |(_, value)| value.trim().parse::<usize>().map_err(|_| invalid()))?;
    let whole =
        length.checked_add(end + 4).filter(|whole| *whole <= REQUEST_BYTES_MAX).ok_or_else(invalid)?;
    Ok((bytes.len() >= whole).then(|| (path.to_owned(), whole)))
}

fn handle(path: &str) -> &'static str {
    let number = |text: &str| text.parse::<u64>().ok();
    if let Some(ms) = path.strip_prefix("/slow/").and_then(number) {
        std::thread::sleep(Duration::from_millis(ms.min(SLOW_MS_MAX)));
    } else if let Some(site) = path.strip_prefix("/panic/").and_then(number) {
        let at = usize::try_from(site).unwrap_or(0) % SITES;
        PANICS.get(at).copied().unwrap_or(break_at::<0>)(site);
    } else if path != "/" {
        return "404 Not Found";
    }
    work();
    "200 OK"
}

/// What an ordinary request costs: comparisons of servers that do nothing overstate everything else.
fn work() {
    let mut sum = 1u64;
    for n in 0..20_000u64 {
        sum = black_box(sum.wrapping_mul(31).wrapping_add(n));
    }
    black_box(sum);
}

/// A place of its own for each number: the error of one is not the error of another.
#[inline(never)]
fn break_at<const SITE: u32>(order: u64) {
    let reserved = black_box(order.wrapping_add(u64::from(SITE)));
    if black_box(true) {
        panic!("order {order}: shelf {SITE} is empty, {reserved} are reserved");
    }
    black_box(SITE);
}

const PANICS: [fn(u64); SITES] = [
    break_at::<0>,
    break_at::<1>,
    break_at::<2>,
    break_at::<3>,
    break_at::<4>,
    break_at::<5>,
    break_at::<6>,
    break_at::<7>,
    break_at::<8>,
    break_at::<9>,
    break_at::<10>,
    break_at::<11>,
    break_at::<12>,
    break_at::<13>,
    break_at::<14>,
    break_at::<15>,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_taken_whole_or_not_at_all() {
        let post = b"POST /slow/50 HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcGET";
        assert_eq!(complete(post).ok().flatten(), Some(("/slow/50".to_owned(), post.len() - 3)));
        for partial in [&b""[..], b"GET / HTTP/1.1\r\n", b"POST / HTTP/1.1\r\ncontent-length: 9\r\n\r\nabc"] {
            assert!(complete(partial).is_ok_and(|found| found.is_none()));
        }
    }

    #[test]
    fn hostile_requests_end_the_connection() {
        for hostile in [
            &b"\r\n\r\n"[..],
            b"GET\r\n\r\n",
            b"GET /\xff HTTP/1.1\r\n\r\n",
            b"POST / HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
            b"POST / HTTP/1.1\r\ncontent-length: 18446744073709551615\r\n\r\n",
        ] {
            assert!(complete(hostile).is_err());
        }
    }

    #[test]
    fn a_panic_is_answered_and_the_service_goes_on() {
        let port = crate::scratch::free_port().unwrap();
        std::thread::spawn(move || run(&Arguments { threads: 2, port, silent: false }));
        let address = (Ipv4Addr::LOCALHOST, port).into();
        let limit = Duration::from_secs(10);
        let up = || Ok(crate::load::ask(address, "GET", "/", "").ok());
        crate::process::wait_for("the service", limit, Duration::from_millis(1), up).unwrap();
        for (method, path, status) in [
            ("GET", "/panic/7", 500),
            ("POST", "/slow/1", 200),
            ("GET", "/panic/99", 500),
            ("GET", "/nowhere", 404),
        ] {
            let answer = crate::load::ask(address, method, path, "{}").unwrap();
            assert_eq!(answer.status, status, "{path}");
        }
    }

    #[test]
    fn each_site_is_a_function_of_its_own() {
        let mut sites: Vec<usize> = PANICS.iter().map(|site| *site as usize).collect();
        sites.sort_unstable();
        sites.dedup();
        assert_eq!(sites.len(), SITES);
        assert!(std::panic::catch_unwind(|| handle("/panic/3")).is_err());
        assert_eq!(std::panic::catch_unwind(|| handle("/nowhere")).ok(), Some("404 Not Found"));
    }
}
