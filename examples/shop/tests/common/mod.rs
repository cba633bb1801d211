//! The shop as a child process, and a browser with one cookie jar.

pub(crate) mod postgres;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use shop::Request;

/// Longer than anything here takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running shop. Killed and reaped when dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    log: Arc<Log>,
    readers: Vec<JoinHandle<()>>,
}

/// Everything the process wrote.
#[derive(Default)]
struct Log {
    lines: Mutex<Vec<String>>,
    grew: Condvar,
}

impl Server {
    /// Starts the binary on a free port and waits until it listens.
    pub(crate) fn start(environment: &[(&str, &str)]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_shop"))
            .env_remove("DATABASE_URL")
            .env_remove("SHOP_DB")
            .env_remove("RUST_LOG")
            .env("PORT", "0")
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new(Log::default());
        let readers = vec![
            log.follow(child.stdout.take().unwrap()), //
            log.follow(child.stderr.take().unwrap()),
        ];
        let mut server = Self { child, address: SocketAddr::from(([127, 0, 0, 1], 0)), log, readers };
        let line = server.wait_for_log("listening on http://");
        server.address = line.rsplit("http://").next().unwrap().trim().parse().unwrap();
        server
    }

    /// The first line that contains a text, as soon as there is one.
    pub(crate) fn wait_for_log(&self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        let mut lines = self.log.lines.lock().unwrap();
        loop {
            if let Some(line) = lines.iter().find(|line| line.contains(text)) {
                return line.clone();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no {text:?} in the log:\n{}", lines.join("\n"));
            lines = self.log.grew.wait_timeout(lines, left).unwrap().0;
        }
    }

    /// Everything written so far.
    pub(crate) fn log(&self) -> String {
        self.log.lines.lock().unwrap().join("\n")
    }

    /// Waits for the end of the process; its signal, or its exit code.
    pub(crate) fn wait(&mut self) -> Result<i32, i32> {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "does not end:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        };
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        status.signal().map_or_else(|| Err(status.code().unwrap()), Ok)
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub(crate) fn terminate(&self) {
        let status = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Log {
    fn follow(self: &Arc<Self>, stream: impl Read + Send + 'static) -> JoinHandle<()> {
        let log = self.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stream).lines() {
                let Ok(line) = line else { return };
                log.lines.lock().unwrap().push(line);
                log.grew.notify_all();
            }
        })
    }
}

/// What came back for a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    Status(u16, String),
    /// The connection was closed without an answer.
    Closed,
    /// Nothing within the time allowed.
    Silence,
}

impl Answer {
    pub(crate) fn status(&self) -> u16 {
        match self {
            Self::Status(status, _) => *status,
            other => panic!("no answer: {other:?}"),
        }
    }
}

/// One user: cookies that are set come back with the next request.
#[derive(Clone)]
pub(crate) struct Browser {
    address: SocketAddr,
    cookie: Option<String>,
    pub(crate) patience: Duration,
}

impl Browser {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address, cookie: None, patience: PATIENCE }
    }

    pub(crate) fn get(&mut self, path: &str) -> Answer {
        self.send(&Request {
            method: "GET",
            path: path.to_owned().into(),
            content_type: None,
            body: "".into(),
            at_once: false,
        })
    }

    /// Sends one request on a connection of its own.
    pub(crate) fn send(&mut self, request: &Request) -> Answer {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(self.patience)).unwrap();
        let mut head =
            format!("{} {} HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n", request.method, request.path);
        if let Some(content_type) = request.content_type {
            head += &format!("content-type: {content_type}\r\n");
        }
        if let Some(cookie) = &self.cookie {
            head += &format!("cookie: {cookie}\r\n");
        }
        head += &format!("content-length: {}\r\n\r\n{}", request.body.len(), request.body);
        stream.write_all(head.as_bytes()).unwrap();
        let mut bytes = Vec::new();
        match stream.read_to_end(&mut bytes) {
            Err(error)
                if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) =>
            {
                return Answer::Silence;
            }
            Ok(_) | Err(_) => {}
        }
        let text = String::from_utf8(bytes).unwrap();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { return Answer::Closed };
        for line in head.lines() {
            if let Some(cookie) = line.strip_prefix("set-cookie: ") {
                self.cookie = cookie.split(';').next().map(str::to_owned);
            }
        }
        Answer::Status(head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    /// Sends a whole journey, requests marked as such at the same time; the answers in the order of the requests.
    pub(crate) fn travel(&mut self, journey: &[Request]) -> Vec<Answer> {
        let mut answers = Vec::new();
        let mut rest = journey;
        while let Some(first) = rest.first() {
            let together = 1 + rest.iter().skip(1).take_while(|request| request.at_once).count();
            if together == 1 {
                answers.push(self.send(first));
            } else {
                let tabs: Vec<_> = rest[..together]
                    .iter()
                    .cloned()
                    .map(|request| {
                        let mut tab = self.clone();
                        std::thread::spawn(move || tab.send(&request))
                    })
                    .collect();
                answers.extend(tabs.into_iter().map(|tab| tab.join().unwrap()));
            }
            rest = &rest[together..];
        }
        answers
    }
}
