//! Whether instances answer: ready for the first time, and still.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use freezeframe_model::InstanceId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::actor::{Daemon, Message};

const PROBE_EVERY: Duration = Duration::from_millis(25);
const PROBE_LIMIT: Duration = Duration::from_secs(2);
const HEALTH_EVERY: Duration = Duration::from_secs(1);
/// Health checks that must fail one after the other.
const FAILURES: u32 = 3;
/// More of an answer is not read.
const HEAD_BYTES_MAX: usize = 64;

/// Connects, and where a path is given expects 2xx for it.
async fn answers(port: u16, path: Option<&str>) -> bool {
    let probe = async {
        let mut stream = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await.ok()?;
        let Some(path) = path else { return Some(()) };
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUser-Agent: freezeframe\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut head = [0; HEAD_BYTES_MAX];
        let mut length = 0;
        while length < 12 {
            match stream.read(head.get_mut(length..)?).await.ok()? {
                0 => return None,
                more => length += more,
            }
        }
        // `HTTP/1.1 2xx`
        (head.starts_with(b"HTTP/1.") && head.get(9) == Some(&b'2')).then_some(())
    };
    tokio::time::timeout(PROBE_LIMIT, probe).await.ok().flatten().is_some()
}

impl Daemon {
    /// Asks until it answers; the task ends with the mailbox or the instance.
    pub(super) fn probe_readiness(&mut self, instance: InstanceId) {
        let Some(known) = self.instances.get_mut(&instance).filter(|known| !known.probed) else { return };
        known.probed = true;
        let (port, directory) = (known.port, known.directory.path().to_owned());
        let (path, mailbox) = (self.config.service.ready.path.clone(), self.mailbox.clone());
        tokio::spawn(async move {
            while !answers(port, path.as_deref()).await {
                tokio::time::sleep(PROBE_EVERY).await;
                if !directory.exists() {
                    return;
                }
            }
            mailbox.send(Message::Ready(instance)).await;
        });
        self.watch_health(instance);
    }

    /// Off unless configured.
    fn watch_health(&self, instance: InstanceId) {
        let hold = &self.config.hold;
        let (stall_ms, health_path) = (hold.stall_ms, hold.health_path.clone());
        if stall_ms.is_none() && health_path.is_none() {
            return;
        }
        let Some(known) = self.instances.get(&instance) else { return };
        let (port, directory) = (known.port, known.directory.path().to_owned());
        let (gate, mailbox) = (self.gate.clone(), self.mailbox.clone());
        tokio::spawn(async move {
            let mut failures = 0;
            while directory.exists() {
                let every =
                    stall_ms.map_or(HEALTH_EVERY, |ms| Duration::from_millis((ms / 4).clamp(10, 1000)));
                tokio::time::sleep(every).await;
                let no_progress = stall_ms.is_some_and(|ms| gate.stalled(instance, ms));
                let unhealthy = match &health_path {
                    Some(path) => !answers(port, Some(path)).await,
                    _ => false,
                };
                failures = if unhealthy { failures + 1 } else { 0 };
                if no_progress || failures >= FAILURES {
                    failures = 0;
                    mailbox.send(Message::Stalled(instance)).await;
                }
            }
        });
    }
}
