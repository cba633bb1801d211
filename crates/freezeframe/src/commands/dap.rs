//! `dap`: an incident in an editor, by the Debug Adapter Protocol. Editors start this command, or connect to its port.
//!
//! What an editor asks for is read from the store and, while the process is held, through its daemon; a file answers for itself.

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use freezeframe_api::dap::{Files, Framed, Session, Subject, Terms, serve};
use freezeframe_api::{BoxFuture, ControlError, Inspected, Known};
use freezeframe_model::{Capture, Incident, IncidentId, Question};
use tokio::net::TcpListener;

use super::WhichDaemon;
use super::dap_subject::{FromFile, FromStore, FromUrl};
use crate::error::{CommandError, Kind};

/// Clients of a port that do not know the secret, before it is closed.
const STRANGERS_MAX: u32 = 8;
/// Longer files are no source.
const SOURCE_BYTES_MAX: u64 = 8 << 20;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    daemon: WhichDaemon,
    /// For example INC-42 [default: what the editor names as `incident`, else the newest one that is held].
    id: Option<IncidentId>,
    /// Show an exported file, or an ELF core (plain or zstd), instead of an incident of the data directory.
    #[arg(long, value_name = "FILE", conflicts_with = "id")]
    file: Option<PathBuf>,
    /// Listen on this loopback address instead, for one editor that names the secret which is printed.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
}

pub(crate) fn run(arguments: Arguments) -> Result<i32, CommandError> {
    let Arguments { daemon, id: only, file, listen } = arguments;
    let subject: Arc<dyn Blocking> = match (&file, daemon.remote()?) {
        (Some(file), _) => Arc::new(FromFile::open(file)?),
        (None, Some(client)) => Arc::new(FromUrl { client, only }),
        (None, None) => Arc::new(FromStore { data: daemon.data, only }),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let served = runtime.block_on(async {
        match listen {
            None => over_pipes(&Asking(subject)).await,
            Some(address) => over_port(address, &Asking(subject)).await,
        }
    });
    // A thread of it may still wait for standard input.
    runtime.shutdown_background();
    served
}

fn terms(secret: Option<String>) -> Terms {
    let here = std::env::current_dir().map(|here| here.display().to_string());
    Terms { secret, files: Some(Files { is_there, read }), roots: here.into_iter().collect() }
}

fn is_there(path: &Path) -> bool {
    path.is_file()
}

fn read(path: &Path) -> Option<String> {
    let facts = path.metadata().ok().filter(|facts| facts.is_file() && facts.len() <= SOURCE_BYTES_MAX);
    facts.and_then(|_| std::fs::read_to_string(path).ok())
}

async fn over_pipes(subject: &Asking) -> Result<i32, CommandError> {
    let mut session = Session::new(terms(None));
    let mut wire = Framed::new(tokio::io::stdin(), tokio::io::stdout());
    serve(&mut session, subject, &mut wire)
        .await
        .map(|()| 0)
        .map_err(|error| CommandError::caused(Kind::Failed, &error))
}

/// One session, then the end. Every program of every user of this machine can connect: the secret keeps them out.
async fn over_port(address: SocketAddr, subject: &Asking) -> Result<i32, CommandError> {
    if !address.ip().is_loopback() {
        let why =
            format!("{address} is no loopback address; from elsewhere editors use the daemon's own address");
        return Err(CommandError::new(Kind::Usage, why));
    }
    let listener = TcpListener::bind(address).await?;
    let secret = crate::token::random()?;
    let printed = serde_json::json!({
        "schema": "freezeframe-dap/1",
        "address": listener.local_addr()?.to_string(),
        "secret": secret,
    });
    super::print(&printed.to_string())?;
    std::io::stdout().flush()?;
    for _ in 0..STRANGERS_MAX {
        let (stream, _) = listener.accept().await?;
        let (from, to) = stream.into_split();
        let mut session = Session::new(terms(Some(secret.clone())));
        let served = serve(&mut session, subject, &mut Framed::new(from, to)).await;
        match (session.is_attached(), served) {
            (true, Ok(())) => return Ok(0),
            (true, Err(error)) => return Err(CommandError::caused(Kind::Failed, &error)),
            (false, Ok(())) => super::say("a client left without naming the secret"),
            (false, Err(error)) => {
                super::say(&format!("refused a client: {}", freezeframe_model::chain(&error)))
            }
        }
    }
    Err(CommandError::new(Kind::Denied, format!("{STRANGERS_MAX} clients did not know the secret")))
}

/// A subject whose answers take a thread's time.
pub(super) trait Blocking: Send + Sync {
    fn open(&self, incident: Option<IncidentId>) -> Result<(Incident, Option<Capture>), CommandError>;

    /// `reveal` is the reason for looking behind redactions.
    fn value(
        &self,
        incident: IncidentId,
        question: &Question,
        reveal: Option<&str>,
    ) -> Result<Inspected, ControlError>;
}

/// Asks it from threads that may wait.
struct Asking(Arc<dyn Blocking>);

impl Asking {
    async fn ask<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&dyn Blocking) -> Result<T, ControlError> + Send + 'static,
    ) -> Result<T, ControlError> {
        let subject = Arc::clone(&self.0);
        let asked = tokio::task::spawn_blocking(move || ask(&*subject));
        asked.await.map_err(|error| ControlError::Failed(error.to_string()))?
    }
}

impl Subject for Asking {
    fn open(&self, incident: Option<IncidentId>) -> BoxFuture<'_, Result<Known, ControlError>> {
        Box::pin(async move {
            let opened = self.ask(move |subject| {
                subject.open(incident).map_err(|error| ControlError::Failed(error.parts().1.to_owned()))
            });
            let (incident, capture) = opened.await?;
            Ok((incident, capture.map(Arc::new)))
        })
    }

    fn value(
        &self,
        incident: IncidentId,
        question: Question,
    ) -> BoxFuture<'_, Result<Inspected, ControlError>> {
        Box::pin(self.ask(move |subject| subject.value(incident, &question, None)))
    }

    fn reveal(
        &self,
        incident: IncidentId,
        question: Question,
        reason: String,
    ) -> BoxFuture<'_, Result<Inspected, ControlError>> {
        Box::pin(self.ask(move |subject| subject.value(incident, &question, Some(&reason))))
    }
}
