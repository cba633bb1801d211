//! Talking to a daemon's API: over its unix socket, or from another machine with a token.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use freezeframe_api::dto::{ErrorAnswer, ErrorShape, InspectBody, ReloadAnswer, ValueAnswer};
use freezeframe_http::{Endpoint, Head, HttpError, Outgoing, Trust};
use freezeframe_model::{IncidentId, chain};
use freezeframe_shim::files::SocketPath;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::net::UnixListener;

use crate::commands::no_value_of;
use crate::error::{CommandError, Kind};

/// Answers longer than this are refused, apart from those that go into a file.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// Why the daemon refuses something is said in fewer bytes.
const REFUSAL_BYTES_MAX: usize = 64 << 10;
/// Writing a core of many gigabytes takes minutes.
const ANSWER_LIMIT: Duration = Duration::from_secs(660);
/// A token file is short.
const TOKEN_BYTES_MAX: u64 = 1024;

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

/// A daemon, and how it is reached.
pub(crate) struct Client {
    place: Place,
}

enum Place {
    /// That of this data directory.
    Here(PathBuf),
    /// One that listens somewhere else, behind a proxy with TLS or at the other end of a tunnel.
    Remote { endpoint: Endpoint, url: String, bearer: String },
}

/// What was answered.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Client {
    /// The daemon of a data directory.
    pub(crate) fn new(data: &Path) -> Self {
        Self { place: Place::Here(data.to_owned()) }
    }

    /// The daemon at a URL. The token is that of a file, or of `FREEZEFRAME_TOKEN`.
    pub(crate) fn remote(
        url: &str,
        token_file: Option<&Path>,
        ca_file: Option<&Path>,
    ) -> Result<Self, CommandError> {
        let usage = |error: &dyn std::error::Error| {
            CommandError::new(Kind::Usage, format!("--url: {}", chain(error)))
        };
        let trust =
            ca_file.map_or_else(Trust::system, Trust::with_extra_ca).map_err(|error| usage(&error))?;
        let endpoint = Endpoint::parse(url, &trust).map_err(|error| usage(&error))?;
        if endpoint.is_open_to_others() {
            let why = "--url: over http:// everybody on the way could read the token";
            return Err(CommandError::new(Kind::Usage, why).hint(
                "use https://, or a tunnel: ssh -L 9800:localhost:9800 HOST, and --url http://localhost:9800",
            ));
        }
        let bearer = format!("Bearer {}", token(token_file)?);
        Ok(Self { place: Place::Remote { endpoint, url: url.to_owned(), bearer } })
    }

    /// Does something to an incident's process; the daemon's sentence about it, and a process id where there is one.
    pub(crate) fn act(
        &self,
        incident: IncidentId,
        action: &str,
        body: &Value,
    ) -> Result<(String, Option<i32>), CommandError> {
        let answer: Value = self.post(&format!("/api/v1/incidents/{incident}/{action}"), body)?;
        let text = answer.get("message").and_then(Value::as_str).unwrap_or_default().to_owned();
        let pid = answer.get("pid").and_then(Value::as_i64).and_then(|pid| i32::try_from(pid).ok());
        Ok((text, pid))
    }

    /// An incident as the daemon knows it; it is in the store by then, if that can be written to.
    pub(crate) fn incident(&self, incident: IncidentId) -> Result<Value, CommandError> {
        self.get(&format!("/api/v1/incidents/{incident}"))
    }

    /// Whether a daemon is there.
    pub(crate) fn is_answered(&self) -> bool {
        let Place::Here(data) = &self.place else { return true };
        let path = SocketPath::of(&data.join(SOCKET));
        path.is_ok_and(|path| std::os::unix::net::UnixStream::connect(path).is_ok())
    }

    /// The value of an expression; `reveal` with what is redacted.
    pub(crate) fn inspect(
        &self,
        incident: IncidentId,
        body: &InspectBody,
        reveal: bool,
    ) -> Result<ValueAnswer, CommandError> {
        self.try_inspect(incident, body, reveal)?.map_err(|refused| {
            let explained = no_value_of(&refused, &body.expression);
            explained.unwrap_or_else(|| CommandError::failed(refused.message))
        })
    }

    /// The same; what is wrong with the expression comes back as it is.
    pub(crate) fn try_inspect(
        &self,
        incident: IncidentId,
        body: &InspectBody,
        reveal: bool,
    ) -> Result<Result<ValueAnswer, ErrorShape>, CommandError> {
        let what = if reveal { "reveal" } else { "inspect" };
        let path = format!("/api/v1/incidents/{incident}/{what}");
        let answer = self.ask("POST", &path, &json(body)?)?;
        let refused = || serde_json::from_slice::<ErrorAnswer>(&answer.body).ok();
        if answer.status >= 400
            && let Some(refused) = refused().filter(|refused| refused.error.expression.is_some())
        {
            return Ok(Err(refused.error));
        }
        understand(&answer).map(Ok)
    }

    /// Has the configuration read again, at this path with its query.
    pub(crate) fn reload(&self, path: &str) -> Result<ReloadAnswer, CommandError> {
        understand(&self.ask("POST", path, &[])?)
    }

    /// What is at a path of the API.
    pub(crate) fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, CommandError> {
        understand(&self.ask("GET", path, &[])?)
    }

    /// The text that is at a path of the API.
    pub(crate) fn text(&self, path: &str) -> Result<String, CommandError> {
        let answer = self.ask("GET", path, &[])?;
        if answer.status != 200 {
            return Err(refused(&answer));
        }
        String::from_utf8(answer.body).map_err(|_| CommandError::failed("the daemon's answer is no text"))
    }

    pub(crate) fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, CommandError> {
        understand(&self.ask("POST", path, &json(body)?)?)
    }

    pub(crate) fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, CommandError> {
        understand(&self.ask("DELETE", path, &[])?)
    }

    /// Gets what may be larger than memory, piece by piece.
    pub(crate) fn download(&self, path: &str, to: &mut dyn Write) -> Result<(), CommandError> {
        let mut refusal = Vec::new();
        let status = self.send("GET", path, &[], &mut |head, bytes| match head.status {
            200 => to.write_all(bytes),
            _ => {
                let room = REFUSAL_BYTES_MAX.saturating_sub(refusal.len());
                refusal.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
                if bytes.len() > room { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(()) }
            }
        })?;
        if status == 200 { Ok(()) } else { Err(refused(&Answer { status, body: refusal })) }
    }

    fn ask(&self, method: &str, path: &str, body: &[u8]) -> Result<Answer, CommandError> {
        let mut answer = Vec::new();
        let status = self.send(method, path, body, &mut |_, bytes| {
            if bytes.len() > ANSWER_BYTES_MAX.saturating_sub(answer.len()) {
                return Err(io::ErrorKind::FileTooLarge.into());
            }
            answer.extend_from_slice(bytes);
            Ok(())
        })?;
        Ok(Answer { status, body: answer })
    }

    fn send(
        &self,
        method: &str,
        path: &str,
        body: &[u8],
        keep: &mut dyn FnMut(&Head, &[u8]) -> io::Result<()>,
    ) -> Result<u16, CommandError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let kind = ("content-type", "application/json");
        let sent = |endpoint: &Endpoint, headers: &[(&str, &str)]| {
            let outgoing = Outgoing { method, below: path, headers, body };
            runtime.block_on(endpoint.send(&outgoing, ANSWER_LIMIT, keep))
        };
        let head = match &self.place {
            Place::Here(data) => match SocketPath::of(&data.join(SOCKET)) {
                Ok(socket) => sent(&Endpoint::unix(socket.as_ref()), &[kind]),
                Err(error) => Err(HttpError::Connect(error)),
            },
            Place::Remote { endpoint, bearer, .. } => sent(endpoint, &[kind, ("authorization", bearer)]),
        };
        head.map(|head| head.status).map_err(|error| self.unanswered(error))
    }

    fn unanswered(&self, error: HttpError) -> CommandError {
        let who = match &self.place {
            Place::Here(data) => format!("no daemon answers for {}", data.display()),
            Place::Remote { url, .. } => format!("no daemon answers at {url}"),
        };
        let why = match &error {
            HttpError::Connect(error) => error.to_string(),
            other => chain(other),
        };
        let kind = match &error {
            HttpError::Connect(error) if error.kind() == io::ErrorKind::PermissionDenied => Kind::Denied,
            HttpError::Silence(_) => Kind::TimedOut,
            HttpError::Keep(error) if error.kind() != io::ErrorKind::FileTooLarge => {
                return CommandError::failed(format!("what was received cannot be written: {error}"));
            }
            _ => Kind::Failed,
        };
        let error = CommandError::new(kind, format!("{who} ({why})"));
        match self.place {
            Place::Here(_) => error.hint(
                "start it again with the same data directory: `freezeframe run --data-dir …` adopts what is held",
            ),
            Place::Remote { .. } => error,
        }
    }
}

fn token(file: Option<&Path>) -> Result<String, CommandError> {
    use std::io::Read;
    let text = match file {
        Some(path) => {
            let mut text = String::new();
            let read = std::fs::File::open(path)
                .and_then(|file| file.take(TOKEN_BYTES_MAX).read_to_string(&mut text));
            read.map_err(|error| {
                CommandError::from(io::Error::new(error.kind(), format!("{}: {error}", path.display())))
            })?;
            text
        }
        None => std::env::var("FREEZEFRAME_TOKEN").unwrap_or_default(),
    };
    let text = text.trim();
    if text.is_empty() || text.contains(|c: char| !c.is_ascii_graphic()) {
        return Err(CommandError::new(Kind::Usage, "there is no token to show to the daemon")
            .hint("name its file by --token-file, or put it into FREEZEFRAME_TOKEN")
            .hint("on the daemon's host, `freezeframe token add NAME --roles view` makes one"));
    }
    Ok(text.to_owned())
}

fn json(body: &impl Serialize) -> Result<Vec<u8>, CommandError> {
    serde_json::to_vec(body).map_err(|error| CommandError::failed(error.to_string()))
}

/// The shape in an answer, or the error that it tells of.
pub(crate) fn understand<T: DeserializeOwned>(answer: &Answer) -> Result<T, CommandError> {
    if !(200..300).contains(&answer.status) {
        return Err(refused(answer));
    }
    serde_json::from_slice(&answer.body)
        .map_err(|error| CommandError::failed(format!("the daemon's answer is not as expected: {error}")))
}

/// What a refusal says of itself; a proxy in between says nothing that we understand.
fn refused(answer: &Answer) -> CommandError {
    let kind = match answer.status {
        400 => Kind::Usage,
        404 => Kind::NotFound,
        401 | 403 => Kind::Denied,
        504 => Kind::TimedOut,
        // An expression without a value is answered before; what else cannot be used is a configuration.
        422 => Kind::Usage,
        _ => Kind::Failed,
    };
    let Ok(ErrorAnswer { error, .. }) = serde_json::from_slice(&answer.body) else {
        return CommandError::new(kind, format!("the answer was {}", answer.status));
    };
    let hints = error.hints.iter().map(|hint| crate::render::clean(hint));
    hints.fold(CommandError::new(kind, crate::render::clean(&error.message)), CommandError::hint)
}
