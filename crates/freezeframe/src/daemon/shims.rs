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

/// Commands to a shim that never said a word: none of them was sent, and the next shim gets them.
pub(crate) struct Unheard(mpsc::Receiver<Command>);

/// One that takes commands, and what it took.
pub(crate) fn channel() -> (Shim, Unheard) {
    let (commands, received) = mpsc::channel(COMMANDS_MAX);
    (Shim { commands }, Unheard(received))
}

/// How a shim is come by: [`spawn`] or [`adopt`].
pub(crate) type Connect = fn(Unheard, Directory, InstanceId, Mailbox);

/// Starts a shim process for this directory and connects to it; it goes on when we end.
pub(crate) fn spawn(commands: Unheard, directory: Directory, instance: InstanceId, mailbox: Mailbox) {
    tokio::spawn(async move {
        match start_process(&directory) {
            Ok(mut child) => {
                // Nothing is done with its end here, the connection tells; it is waited for so that no zombie is left.
                tokio::spawn(async move { child.wait().await });
                converse(&directory, instance, commands, mailbox).await;
            }
            Err(error) => {
                tracing::error!(%instance, %error, "a shim could not be started");
                // Whoever hears of it tries again at once.
                tokio::time::sleep(Duration::from_secs(1)).await;
                mailbox.send(Message::ShimGone(instance, Some(commands))).await;
            }
        }
    });
}

/// Connects to a shim that lives.
pub(crate) fn adopt(commands: Unheard, directory: Directory, instance: InstanceId, mailbox: Mailbox) {
    tokio::spawn(async move { converse(&directory, instance, commands, mailbox).await });
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

async fn converse(directory: &Directory, instance: InstanceId, mut commands: Unheard, mailbox: Mailbox) {
    let mut heard = false;
    if let Err(error) = exchange(directory, instance, &mut commands, &mailbox, &mut heard).await {
        tracing::warn!(%instance, %error, "connection to a shim");
    }
    mailbox.send(Message::ShimGone(instance, (!heard).then_some(commands))).await;
}

/// Passes messages to and fro until the connection ends. A shim that is ending may still take a connection that it never
/// reads from: only one that has been heard gets commands.
async fn exchange(
    directory: &Directory,
    instance: InstanceId,
    Unheard(commands): &mut Unheard,
    mailbox: &Mailbox,
    heard: &mut bool,
) -> io::Result<()> {
    let (mut reading, mut writing) = connect(&directory.socket()).await?.into_split();
    writing.write_all(&encode(&Command::Hello { version: VERSION })?).await?;
    let mut decoder = Decoder::default();
    let mut buffer = vec![0; 64 * 1024];
    let mut reads_commands = true;
    loop {
        tokio::select! {
            command = commands.recv(), if *heard && reads_commands => match command {
                // One that has ended takes no commands, but its last words wait in the socket: they are still read.
                Some(command) => reads_commands = writing.write_all(&encode(&command)?).await.is_ok(),
                None => return Ok(()),
            },
            length = reading.read(&mut buffer) => {
                let length = length?;
                if length == 0 {
                    return Ok(());
                }
                decoder.push(buffer.get(..length).unwrap_or_default());
                while let Some(report) = decoder.take::<Report>()? {
                    *heard = true;
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

#[cfg(test)]
mod tests {
    use freezeframe_shim::protocol::Phase;
    use tokio::net::UnixListener;

    use super::*;

    async fn next_command(stream: &mut UnixStream, decoder: &mut Decoder) -> Option<Command> {
        let mut buffer = [0; 1024];
        loop {
            if let Some(command) = decoder.take().expect("a command") {
                return Some(command);
            }
            match stream.read(&mut buffer).await.expect("readable") {
                0 => return None,
                length => decoder.push(&buffer[..length]),
            }
        }
    }

    /// A killed shim whose last thread takes its time: its socket takes connections that nobody answers.
    #[tokio::test]
    async fn what_an_ending_shim_never_read_is_told_to_the_next() {
        let data = tempfile::tempdir().expect("a directory");
        let (instance, (mailbox, mut messages)) = (InstanceId(1), Mailbox::new());
        let directory = Directory::of(data.path(), instance);
        std::fs::create_dir_all(directory.path()).expect("a directory");
        let listener = UnixListener::bind(directory.socket()).expect("a socket");

        let (shim, commands) = channel();
        adopt(commands, directory.clone(), instance, mailbox.clone());
        shim.send(Command::Resume { take_back: false });
        let (mut ending, _) = listener.accept().await.expect("a connection");
        let mut decoder = Decoder::default();
        assert!(matches!(next_command(&mut ending, &mut decoder).await, Some(Command::Hello { .. })));
        drop(ending);
        let Some(Message::ShimGone(_, Some(unheard))) = messages.recv().await else {
            panic!("it was never heard")
        };

        adopt(unheard, directory, instance, mailbox);
        let (mut next, _) = listener.accept().await.expect("a connection");
        let mut decoder = Decoder::default();
        assert!(matches!(next_command(&mut next, &mut decoder).await, Some(Command::Hello { .. })));
        let hello = Report::Hello {
            version: VERSION,
            instance,
            port: 1,
            pid: 1,
            phase: Phase::Held,
            held: None,
            limits: Vec::new(),
        };
        next.write_all(&encode(&hello).expect("encoded")).await.expect("written");
        assert!(matches!(next_command(&mut next, &mut decoder).await, Some(Command::Resume { .. })));
        drop(next);
        assert!(matches!(messages.recv().await, Some(Message::Shim(_, _))));
        assert!(matches!(messages.recv().await, Some(Message::ShimGone(_, None))), "it was heard");
    }
}
