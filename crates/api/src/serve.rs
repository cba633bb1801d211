//! Accepting connections, with a bound on everything: connections, time for headers, time for the last answers at the end.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::Caller;
use crate::http::Ended;

/// Connections per listener; further ones wait in the listener's backlog.
const MAX_CONNECTIONS: usize = 256;

/// How long a client may take to send a request's headers, also between requests.
const HEADER_TIMEOUT: Duration = Duration::from_secs(15);

/// Bytes of a request's head that are kept in memory; a longer one is refused.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// How long the last answers may take after the end was asked for.
const LAST_ANSWERS: Duration = Duration::from_secs(5);

/// Pause after a failed `accept`, for example when descriptors ran out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves a TCP port until `over` is true or its sender is gone. It must be a loopback port: tokens and pages pass over it in the clear.
pub async fn serve_tcp(listener: TcpListener, router: Router, over: watch::Receiver<bool>) {
    serve(listener, router, over).await;
}

/// Serves a Unix socket until `over` is true or its sender is gone. Only root and our own user are listened to, whatever the
/// permissions of the socket's file: everybody else's connections are closed at once.
pub async fn serve_unix(listener: UnixListener, router: Router, over: watch::Receiver<bool>) {
    // A socket of our own tells our effective user id without a system call that would need `unsafe`.
    let own = UnixStream::pair().and_then(|(one, _other)| one.peer_cred());
    match own {
        Ok(own) => serve(OwnUserOnly { listener, uid: own.uid() }, router, over).await,
        Err(error) => tracing::error!(%error, "the own user is unknown: the socket is not served"),
    }
}

/// Where connections come from, and who is at their other end.
trait Door: Send + Sync {
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    fn accept(&self) -> impl Future<Output = io::Result<(Self::Stream, Option<Caller>)>> + Send;
}

impl Door for TcpListener {
    type Stream = TcpStream;

    async fn accept(&self) -> io::Result<(TcpStream, Option<Caller>)> {
        TcpListener::accept(self).await.map(|(stream, _)| (stream, None))
    }
}

struct OwnUserOnly {
    listener: UnixListener,
    uid: u32,
}

impl Door for OwnUserOnly {
    type Stream = UnixStream;

    async fn accept(&self) -> io::Result<(UnixStream, Option<Caller>)> {
        loop {
            let (stream, _) = self.listener.accept().await?;
            match stream.peer_cred() {
                Ok(peer) if peer.uid() == self.uid || peer.uid() == 0 => {
                    return Ok((stream, Some(Caller(format!("uid {}", peer.uid())))));
                }
                Ok(peer) => tracing::warn!(uid = peer.uid(), "refused a connection of another user"),
                Err(error) => tracing::warn!(%error, "refused a connection of an unknown user"),
            }
        }
    }
}

async fn serve(door: impl Door, router: Router, mut over: watch::Receiver<bool>) {
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let (end, ended) = watch::channel(());
    let mut connections = JoinSet::new();
    loop {
        let next = async {
            let permit = Arc::clone(&room).acquire_owned().await.map_err(io::Error::other)?;
            door.accept().await.map(|accepted| (permit, accepted))
        };
        let accepted = tokio::select! {
            accepted = next => accepted,
            _ = over.wait_for(|over| *over) => break,
        };
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((permit, (stream, caller))) => {
                let (router, ended) = (router.clone(), ended.clone());
                connections.spawn(async move {
                    serve_connection(stream, caller, router, ended).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(end);
    if tokio::time::timeout(LAST_ANSWERS, async { while connections.join_next().await.is_some() {} })
        .await
        .is_err()
    {
        tracing::warn!("answers were cut off at the end");
    }
}

async fn serve_connection<S>(
    stream: S,
    caller: Option<Caller>,
    router: Router,
    mut ended: watch::Receiver<()>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let router = TowerToHyperService::new(router);
    let of_answers = Ended(ended.clone());
    let service = service_fn(move |request: Request<hyper::body::Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(of_answers.clone());
        if let Some(caller) = caller.clone() {
            request.extensions_mut().insert(caller);
        }
        let answer = hyper::service::Service::call(&router, request);
        async move { Ok::<_, Infallible>(answer.await.unwrap_or_else(|never| match never {})) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_headers(64)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::pin!(connection);
    let result = tokio::select! {
        result = &mut connection => result,
        _ = ended.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "a connection ended with an error");
    }
}
