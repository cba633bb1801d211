//! The daemon's side of the shims: starting their processes, connecting, passing messages to and fro.

use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use freezeframe_model::InstanceId;
use freezeframe_shim::files::{Directory, SocketPath};
use freezeframe_shim::protocol::{Command, Decoder, Report, VERSION, encode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::mpsc;

use super::actor::{Mailbox, Message};

/// Commands that wait for a shim; one that does not read for so long is dead or stopped.
const COMMANDS_MAX: usize = 1024;
/// A shim listens within milliseconds of its start.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// Sends commands to one shim.
#[derive(Clone)]
pub(crate) struct Shim {
    commands: mpsc::Sender<Command>,
}

impl Shim {
    /// Never waits: a shim that does not read any more is found out by its connection.
    pub(crate) fn send(&self, command: Command) {
        if let Err(error) = self.commands.try_send(command) {
            tracing::warn!(%error, "a shim does not take commands");
        }
    }
}

/// Starts a shim process for this directory and connects to it; it goes on when we end.
pub(crate) fn spawn(directory: Directory, instance: InstanceId, mailbox: Mailbox) -> Shim {
    let (commands, received) = mpsc::channel(COMMANDS_MAX);
    tokio::spawn(async move {
        match start_process(&directory) {
            Ok(mut child) => {
                // Nothing is done with its end here, the connection tells; it is waited for so that no zombie is left.
                tokio::spawn(async move { child.wait().await });
                converse(&directory, instance, received, mailbox).await;
            }
            Err(error) => {
                tracing::error!(%instance, %error, "a shim could not be started");
                // Whoever hears of it tries again at once.
                tokio::time::sleep(Duration::from_secs(1)).await;
                mailbox.send(Message::ShimGone(instance)).await;
            }
        }
    });
    Shim { commands }
}

/// Connects to a shim that an earlier daemon started.
pub(crate) fn adopt(directory: Directory, instance: InstanceId, mailbox: Mailbox) -> Shim {
    let (commands, received) = mpsc::channel(COMMANDS_MAX);
    tokio::spawn(async move { converse(&directory, instance, received, mailbox).await });
    Shim { commands }
}

fn start_process(directory: &Directory) -> io::Result<tokio::process::Child> {
    let log = std::fs::File::options().create(true).append(true).open(directory.log())?;
    // By the link, not by its target: an upgrade may have replaced the file, and both sides must speak the same protocol.
    tokio::process::Command::new("/proc/self/exe")
        .arg0("freezeframe")
        .arg("shim")
        .arg(directory.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        // A group of its own: Ctrl-C in our terminal is for us; what becomes of the instances is our decision.
        .process_group(0)
        .spawn()
}

async fn converse(
    directory: &Directory,
    instance: InstanceId,
    mut commands: mpsc::Receiver<Command>,
    mailbox: Mailbox,
) {
    if let Err(error) = exchange(directory, instance, &mut commands, &mailbox).await {
        tracing::warn!(%instance, %error, "connection to a shim");
    }
    mailbox.send(Message::ShimGone(instance)).await;
}

async fn exchange(
    directory: &Directory,
    instance: InstanceId,
    commands: &mut mpsc::Receiver<Command>,
    mailbox: &Mailbox,
) -> io::Result<()> {
    let (mut reading, mut writing) = connect(&directory.socket()).await?.into_split();
    writing.write_all(&encode(&Command::Hello { version: VERSION })?).await?;
    let mut decoder = Decoder::default();
    let mut buffer = vec![0; 64 * 1024];
    let mut takes_commands = true;
    loop {
        tokio::select! {
            command = commands.recv(), if takes_commands => match command {
                // One that has ended takes no commands, but its last words wait in the socket: they are still read.
                Some(command) => takes_commands = writing.write_all(&encode(&command)?).await.is_ok(),
                None => return Ok(()),
            },
            length = reading.read(&mut buffer) => {
                let length = length?;
                if length == 0 {
                    return Ok(());
                }
                decoder.push(buffer.get(..length).unwrap_or_default());
                while let Some(report) = decoder.take::<Report>()? {
                    mailbox.send(Message::Shim(instance, Box::new(report))).await;
                }
            }
        }
    }
}

async fn connect(socket: &Path) -> io::Result<UnixStream> {
    let path = SocketPath::of(socket)?;
    let end = tokio::time::Instant::now() + CONNECT_LIMIT;
    loop {
        match UnixStream::connect(&path).await {
            Ok(stream) => return Ok(stream),
            Err(error) if tokio::time::Instant::now() > end => return Err(error),
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}
