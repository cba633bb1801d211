//! Carries messages: from a wire to a session and back, and the session's questions to whoever can answer them.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use freezeframe_model::{IncidentId, Question};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::framing::{Framing, FramingError, MESSAGE_BYTES_MAX, framed};
use super::session::{Got, Session, Want};
use crate::control::{BoxFuture, Control, ControlError, Inspected, Known};

/// Bytes that are read at once.
const READ_BYTES: usize = 16 << 10;
/// A WebSocket on which nothing comes is asked for a sign of life; the second time without one is its end.
const SILENCE: Duration = Duration::from_secs(60);

/// Whoever answers for incidents.
pub trait Subject: Send + Sync {
    /// An incident and its capture; the newest one where none is named.
    fn open(&self, incident: Option<IncidentId>) -> BoxFuture<'_, Result<Known, ControlError>>;

    /// A value.
    fn value(
        &self,
        incident: IncidentId,
        question: Question,
    ) -> BoxFuture<'_, Result<Inspected, ControlError>>;

    /// A value with what is redacted. The look is in the audit log before there is an answer.
    fn reveal(
        &self,
        incident: IncidentId,
        question: Question,
        reason: String,
    ) -> BoxFuture<'_, Result<Inspected, ControlError>>;
}

/// Why a session ended without a goodbye.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The connection broke.
    #[error("the connection broke")]
    Io(#[from] io::Error),
    /// The client does not speak the protocol.
    #[error(transparent)]
    Framing(#[from] FramingError),
    /// A client that has yet to say who it is says nothing.
    #[error("nothing was said for too long")]
    Silence,
    /// The client does not speak the protocol on a WebSocket.
    #[error("{0}")]
    WebSocket(String),
}

/// Carries whole messages.
pub trait Wire: Send {
    /// The next message; `None` at the end.
    fn receive(&mut self) -> impl Future<Output = Result<Option<Vec<u8>>, WireError>> + Send;

    /// Sends one.
    fn send(&mut self, message: Vec<u8>) -> impl Future<Output = Result<(), WireError>> + Send;
}

/// Holds a session to its end. Requests are answered one after the other: who asks faster waits.
///
/// # Errors
/// Where it ends otherwise than by a goodbye or the end of the connection.
pub async fn serve(
    session: &mut Session,
    subject: &dyn Subject,
    wire: &mut impl Wire,
) -> Result<(), WireError> {
    while let Some(message) = receive(session, wire).await? {
        let want = session.receive(&message);
        send_all(session, wire).await?;
        if let Some(want) = want {
            let got = match want {
                Want::Open(incident) => Got::Opened(Box::new(subject.open(incident).await)),
                Want::Value(incident, question) => Got::Inspected(subject.value(incident, question).await),
                Want::Reveal(incident, question, reason) => {
                    Got::Inspected(subject.reveal(incident, question, reason).await)
                }
            };
            session.got(got);
            send_all(session, wire).await?;
        }
        if session.is_over() {
            break;
        }
    }
    Ok(())
}

async fn receive(session: &Session, wire: &mut impl Wire) -> Result<Option<Vec<u8>>, WireError> {
    match session.patience() {
        None => wire.receive().await,
        Some(limit) => tokio::time::timeout(limit, wire.receive()).await.unwrap_or(Err(WireError::Silence)),
    }
}

async fn send_all(session: &mut Session, wire: &mut impl Wire) -> Result<(), WireError> {
    while let Some(message) = session.outgoing() {
        wire.send(message).await?;
    }
    Ok(())
}

/// A stream of bytes in both directions.
pub struct Framed<R, W> {
    from: R,
    to: W,
    framing: Framing,
}

impl<R, W> Framed<R, W> {
    /// Over these two.
    pub fn new(from: R, to: W) -> Self {
        Self { from, to, framing: Framing::default() }
    }
}

impl<R: AsyncRead + Unpin + Send, W: AsyncWrite + Unpin + Send> Wire for Framed<R, W> {
    async fn receive(&mut self) -> Result<Option<Vec<u8>>, WireError> {
        let mut bytes = vec![0; READ_BYTES];
        loop {
            if let Some(message) = self.framing.next_message()? {
                return Ok(Some(message));
            }
            match self.from.read(&mut bytes).await? {
                0 => return Ok(None),
                read => self.framing.push(bytes.get(..read).unwrap_or_default()),
            }
        }
    }

    async fn send(&mut self, message: Vec<u8>) -> Result<(), WireError> {
        self.to.write_all(&framed(&message)).await?;
        Ok(self.to.flush().await?)
    }
}

/// A WebSocket: each text message is one message of the protocol, without a header.
impl Wire for axum::extract::ws::WebSocket {
    async fn receive(&mut self) -> Result<Option<Vec<u8>>, WireError> {
        use axum::extract::ws::Message;
        let mut silences = 0;
        loop {
            let received = match tokio::time::timeout(SILENCE, self.recv()).await {
                Ok(received) => received,
                Err(_) if silences > 0 => return Err(WireError::WebSocket("the client is gone".to_owned())),
                Err(_) => {
                    silences += 1;
                    let ping = Message::Ping(Default::default());
                    let sent = axum::extract::ws::WebSocket::send(self, ping).await;
                    sent.map_err(|error| WireError::WebSocket(error.to_string()))?;
                    continue;
                }
            };
            match received {
                None | Some(Ok(Message::Close(_))) => return Ok(None),
                Some(Ok(Message::Text(text))) if text.len() <= MESSAGE_BYTES_MAX => {
                    return Ok(Some(text.as_bytes().to_vec()));
                }
                Some(Ok(Message::Text(_))) => return Err(FramingError::MessageTooLong.into()),
                Some(Ok(Message::Binary(_))) => {
                    return Err(WireError::WebSocket("messages are text, not binary".to_owned()));
                }
                // Answered by the library.
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => silences = 0,
                Some(Err(error)) => return Err(WireError::WebSocket(error.to_string())),
            }
        }
    }

    async fn send(&mut self, message: Vec<u8>) -> Result<(), WireError> {
        let text = String::from_utf8(message).map_err(io::Error::other)?;
        let message = axum::extract::ws::Message::Text(text.into());
        axum::extract::ws::WebSocket::send(self, message)
            .await
            .map_err(|error| WireError::WebSocket(error.to_string()))
    }
}

/// The daemon as a subject: one incident, for one caller.
pub struct OverControl {
    /// The daemon.
    pub control: Arc<dyn Control>,
    /// The only incident that is shown.
    pub incident: IncidentId,
    /// For the audit log.
    pub who: String,
    /// Whether the caller may look behind redactions.
    pub may_reveal: bool,
}

impl OverControl {
    /// Asks in a task of its own: whoever goes away meanwhile leaves nothing half asked.
    async fn ask(
        &self,
        incident: IncidentId,
        question: Question,
        reason: String,
    ) -> Result<Inspected, ControlError> {
        if question.reveal && !self.may_reveal {
            let why = "looking behind a redaction needs the role `reveal`, which you do not have";
            return Err(ControlError::Denied(why.to_owned()));
        }
        let (control, who) = (Arc::clone(&self.control), self.who.clone());
        let asked = tokio::spawn(async move { control.inspect(&who, incident, question, &reason).await });
        asked.await.map_err(|error| ControlError::Failed(error.to_string()))?
    }
}

impl Subject for OverControl {
    fn open(&self, incident: Option<IncidentId>) -> BoxFuture<'_, Result<Known, ControlError>> {
        Box::pin(async move {
            let own = self.incident;
            if incident.is_some_and(|incident| incident != own) {
                return Err(ControlError::Denied(format!("this address shows {own} and no other incident")));
            }
            let control = Arc::clone(&self.control);
            let read = tokio::task::spawn_blocking(move || control.incident(own));
            let read = read.await.map_err(|error| ControlError::Failed(error.to_string()))??;
            read.ok_or(ControlError::NotFound)
        })
    }

    fn value(
        &self,
        incident: IncidentId,
        question: Question,
    ) -> BoxFuture<'_, Result<Inspected, ControlError>> {
        Box::pin(self.ask(incident, question, String::new()))
    }

    fn reveal(
        &self,
        incident: IncidentId,
        question: Question,
        reason: String,
    ) -> BoxFuture<'_, Result<Inspected, ControlError>> {
        Box::pin(self.ask(incident, question, reason))
    }
}
