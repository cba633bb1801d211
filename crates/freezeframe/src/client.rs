//! Talking to the daemon's API over its unix socket, and plain HTTP to the demo's shop.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use freezeframe_api::dto::{ErrorAnswer, InspectBody, ReloadAnswer, ValueAnswer};
use freezeframe_model::IncidentId;
use freezeframe_shim::files::SocketPath;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{UnixListener, UnixStream};

use crate::commands::no_value_of;
use crate::error::{CommandError, Kind};

/// Answers longer than this are refused.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// Writing a core of many gigabytes takes minutes.
const ANSWER_LIMIT: Duration = Duration::from_secs(660);

const SOCKET: &str = "daemon.sock";

/// Listens on the daemon's socket; the store's lock has made sure that we are the only daemon.
pub(crate) fn bind(data: &Path) -> io::Result<UnixListener> {
    use std::os::unix::fs::PermissionsExt;
    let path = SocketPath::of(&data.join(SOCKET))?;
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// What an HTTP server answered.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: hyper::HeaderMap,
    pub(crate) body: Bytes,
}

/// One request on a fresh connection.
pub(crate) async fn exchange<S>(stream: S, request: Request<Full<Bytes>>) -> Result<Answer, String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| error.to_string())?;
    tokio::spawn(connection);
    let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
    let (parts, body) = response.into_parts();
    let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await.map_err(|error| error.to_string())?;
    Ok(Answer { status: parts.status, headers: parts.headers, body: body.to_bytes() })
}

/// The daemon of a data directory.
pub(crate) struct Client {
    data: PathBuf,
}

impl Client {
    pub(crate) fn new(data: &Path) -> Self {
        Self { data: data.to_owned() }
    }

    /// Does something to an incident's process; the daemon's sentence about it, and a process id where there is one.
    pub(crate) fn act(
        &self,
        incident: IncidentId,
        action: &str,
        body: &Value,
    ) -> Result<(String, Option<i32>), CommandError> {
        let answer = self.post(&format!("/api/v1/incidents/{incident}/{action}"), body)?;
        let text = answer.get("message").and_then(Value::as_str).unwrap_or_default().to_owned();
        let pid = answer.get("pid").and_then(Value::as_i64).and_then(|pid| i32::try_from(pid).ok());
        Ok((text, pid))
    }

    /// An incident as the daemon knows it; it is in the store by then, if that can be written to.
    pub(crate) fn incident(&self, incident: IncidentId) -> Result<Value, CommandError> {
        self.request(Method::GET, &format!("/api/v1/incidents/{incident}"), Bytes::new())
    }

    /// What is at a path of the API.
    pub(crate) fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, CommandError> {
        serde_json::from_value(self.request(Method::GET, path, Bytes::new())?)
            .map_err(|error| CommandError::failed(format!("the daemon's answer is not as expected: {error}")))
    }

    /// Whether a daemon is there.
    pub(crate) fn is_answered(&self) -> bool {
        let path = SocketPath::of(&self.data.join(SOCKET));
        path.is_ok_and(|path| std::os::unix::net::UnixStream::connect(path).is_ok())
    }

    /// The value of an expression; `reveal` with what is redacted.
    pub(crate) fn inspect(
        &self,
        incident: IncidentId,
        body: &InspectBody,
        reveal: bool,
    ) -> Result<ValueAnswer, CommandError> {
        let what = if reveal { "reveal" } else { "inspect" };
        let path = format!("/api/v1/incidents/{incident}/{what}");
        let sent = serde_json::to_vec(body).map_err(|error| CommandError::failed(error.to_string()))?;
        let answer = self.send(Method::POST, &path, Bytes::from(sent))?;
        let refused = || serde_json::from_slice::<ErrorAnswer>(&answer.body).ok();
        if !answer.status.is_success()
            && let Some(error) = refused().and_then(|refused| no_value_of(&refused.error, &body.expression))
        {
            return Err(error);
        }
        shape_of(understand(&answer)?)
    }

    /// Has the configuration read again, at this path with its query.
    pub(crate) fn reload(&self, path: &str) -> Result<ReloadAnswer, CommandError> {
        shape_of(self.request(Method::POST, path, Bytes::new())?)
    }

    fn post(&self, path: &str, body: &Value) -> Result<Value, CommandError> {
        self.request(Method::POST, path, Bytes::from(body.to_string()))
    }

    fn request(&self, method: Method, path: &str, body: Bytes) -> Result<Value, CommandError> {
        understand(&self.send(method, path, body)?)
    }

    fn send(&self, method: Method, path: &str, body: Bytes) -> Result<Answer, CommandError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let request = Request::builder()
                .method(method)
                .uri(path)
                .header("host", "localhost")
                .header("content-type", "application/json")
                .body(Full::new(body))
                .map_err(|error| CommandError::failed(error.to_string()))?;
            let stream = self.connect().await?;
            tokio::time::timeout(ANSWER_LIMIT, exchange(stream, request))
                .await
                .map_err(|_| CommandError::new(Kind::TimedOut, "the daemon does not answer"))?
                .map_err(CommandError::failed)
        })
    }

    async fn connect(&self) -> Result<UnixStream, CommandError> {
        let connected = match SocketPath::of(&self.data.join(SOCKET)) {
            Ok(path) => UnixStream::connect(&path).await,
            Err(error) => Err(error),
        };
        connected.map_err(|error| {
            let kind = if error.kind() == io::ErrorKind::PermissionDenied { Kind::Denied } else { Kind::Failed };
            CommandError::new(kind, format!("no daemon answers for {} ({error})", self.data.display()))
                .hint("start it again with the same data directory: `freezeframe run --data-dir …` adopts what is held")
        })
    }
}

fn shape_of<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, CommandError> {
    serde_json::from_value(value)
        .map_err(|error| CommandError::failed(format!("the daemon's answer is not as expected: {error}")))
}

/// The value in an answer, or the error that it tells of.
pub(crate) fn understand(answer: &Answer) -> Result<Value, CommandError> {
    let value: Value = serde_json::from_slice(&answer.body)
        .map_err(|error| CommandError::failed(format!("the daemon's answer is not JSON: {error}")))?;
    if answer.status.is_success() {
        return Ok(value);
    }
    let kind = match answer.status {
        StatusCode::NOT_FOUND => Kind::NotFound,
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Kind::Denied,
        StatusCode::GATEWAY_TIMEOUT => Kind::TimedOut,
        // An expression without a value is answered before; what else cannot be used is a configuration.
        StatusCode::UNPROCESSABLE_ENTITY => Kind::Usage,
        _ => Kind::Failed,
    };
    let error = value.get("error").cloned().unwrap_or_default();
    let text = error.get("message").and_then(Value::as_str).unwrap_or("the daemon refused");
    let hints = error.get("hints").and_then(Value::as_array).cloned().unwrap_or_default();
    let command = CommandError::new(kind, text);
    Err(hints.iter().filter_map(Value::as_str).fold(command, CommandError::hint))
}
