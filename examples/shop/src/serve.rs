//! The life of the process: start, serve, drain, end.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::task::Poll;
use std::time::Duration;

use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Handle};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::prelude::*;

use crate::config::{Config, ConfigError};
use crate::state::Shop;
use crate::worker::{self, Bell};
use crate::{db, routes};

const WORKERS: usize = 4;
/// How long threads that hang may keep the process at its end.
const STRAGGLERS: Duration = Duration::from_millis(500);

/// Why the shop did not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The environment is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// No threads, no signals.
    #[error("cannot start the runtime")]
    Runtime(#[source] std::io::Error),
    /// Somebody else listens there.
    #[error("cannot listen on {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The database cannot be reached, or is not what it should be.
    #[error("cannot open the database")]
    Database(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<db::Error> for Error {
    fn from(error: db::Error) -> Self {
        Self::Database(Box::new(error))
    }
}

/// Serves until SIGTERM or SIGINT, then lets requests in flight finish for at most [`Config::drain`].
pub fn serve(config: Config) -> Result<(), Error> {
    start_logging();
    let runtime = Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .thread_name("shop-worker")
        .enable_all()
        .build()
        .map_err(Error::Runtime)?;
    let served = runtime.block_on(run(config));
    runtime.shutdown_timeout(STRAGGLERS);
    served
}

/// Logs to stdout; `RUST_LOG` chooses the levels.
fn start_logging() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let subscriber = tracing_subscriber::registry()
        .with(filter)
        .with(tracing_subscriber::fmt::layer())
        .with(freezeframe_sdk::layer());
    // Somebody else's subscriber is as good.
    let _ = subscriber.try_init();
}

async fn run(config: Config) -> Result<(), Error> {
    let (bell, rings) = Bell::new();
    let shop = Arc::new(Shop::open(&config, bell).await?);
    let (running, stop) = sync_channel(1);
    let worker = worker::start(shop.clone(), rings, stop, Handle::current()).map_err(Error::Runtime)?;

    let cannot_listen = |source| Error::Listen { address: config.listen, source };
    let listener = TcpListener::bind(config.listen).await.map_err(cannot_listen)?;
    let address = listener.local_addr().map_err(cannot_listen)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::Runtime)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::Runtime)?;
    tracing::info!("listening on http://{address}");

    let (close, closed) = oneshot::channel::<()>();
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    let server = axum::serve(listener, routes::router(shop.clone())).with_graceful_shutdown(async {
        let _ = closed.await;
    });
    let server = tokio::spawn(server.into_future());
    poll_fn(|context| {
        match (terminate.poll_recv(context).is_ready(), interrupt.poll_recv(context).is_ready()) {
            (false, false) => Poll::Pending,
            _ => Poll::Ready(()),
        }
    })
    .await;
    tracing::info!("finishing requests in flight");
    drop(close);
    if tokio::time::timeout(config.drain, server).await.is_err() {
        tracing::warn!("requests still in flight are dropped");
    }
    drop(running);
    shop.worker.ring();
    if worker.join().is_err() {
        tracing::warn!("the worker ended with a panic");
    }
    Ok(())
}
