//! One editor's session, without I/O: a message in, messages out, and questions that somebody else answers in between.
//!
//! Requests are answered in their order, each exactly once, whatever they are. The order of a session is that of the protocol:
//! `initialize`, `attach` (or `launch`, which means the same here: nothing is started), configuration, looking around, `disconnect`.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use freezeframe_model::{IncidentId, Question, Timestamp};
use serde_json::{Value, json};

use super::protocol::{AttachArguments, EvaluateArguments, Request, VariablesArguments};
use super::sources::{Files, Sources};
use super::stacks::{FrameAt, Opened};
use super::text::{line, lines, short};
use super::values::Nodes;
use crate::control::{ControlError, Inspected, Known};
use crate::words;

/// Lines of the service's log, and things that are missing, that the console begins with.
const LOG_LINES_MAX: usize = 200;
const LOSSES_MAX: usize = 20;
const LINE_MAX: usize = 2000;
/// Different remarks on answers; further ones are not made.
const REMARKS_MAX: usize = 100;
/// Messages before the one that names the secret.
const STRANGE_MAX: u8 = 16;
/// How long a client that has not named it may be silent.
const PATIENCE: Duration = Duration::from_secs(30);

/// On what terms a session is held.
#[derive(Debug, Default)]
pub struct Terms {
    /// What a client has to name in `attach` before it sees anything.
    pub secret: Option<String>,
    /// The editor's files, where they are ours too.
    pub files: Option<Files>,
    /// Where relative paths are looked for besides the directories that the client names.
    pub roots: Vec<String>,
}

/// What the session needs to go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Want {
    /// An incident and its capture; the newest one where none is named.
    Open(Option<IncidentId>),
    /// A value.
    Value(IncidentId, Question),
    /// A value with what is redacted, and why.
    Reveal(IncidentId, Question, String),
}

/// What came of it.
#[derive(Debug)]
pub enum Got {
    /// For [`Want::Open`].
    Opened(Box<Result<Known, ControlError>>),
    /// For the others.
    Inspected(Result<Inspected, ControlError>),
}

/// A request whose answer waits for a [`Got`].
pub(super) enum Waiting {
    Open(AttachArguments),
    Parts { at: FrameAt, path: String, offset: usize, wanted: VariablesArguments },
    Evaluate { at: FrameAt, asked: EvaluateArguments },
    Reveal { path: String },
}

/// What a request leads to.
pub(super) enum Outcome {
    /// The answer's body.
    Body(Value),
    /// The answer comes later.
    Later(Want, Waiting),
}

/// Why a request is not carried out.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) message: String,
    /// Whether a person has to see it.
    pub(super) show: bool,
}

impl Refusal {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), show: false }
    }

    pub(super) fn shown(message: impl Into<String>) -> Self {
        Self { message: message.into(), show: true }
    }
}

/// A session.
pub struct Session {
    pub(super) terms: Terms,
    pub(super) initialized: bool,
    pub(super) opened: Option<Opened>,
    pub(super) sources: Sources,
    pub(super) nodes: Nodes,
    /// The number of the first line and column, as the client counts.
    pub(super) first_line: i64,
    pub(super) over: bool,
    /// Messages of a client that has not named the secret.
    strange: u8,
    waiting: Option<(i64, String, Waiting)>,
    remarks: HashSet<String>,
    outgoing: VecDeque<Vec<u8>>,
    seq: i64,
}

impl Session {
    /// One that waits for `initialize`.
    pub fn new(terms: Terms) -> Self {
        Self {
            terms,
            initialized: false,
            opened: None,
            sources: Sources::default(),
            nodes: Nodes::default(),
            first_line: 1,
            over: false,
            strange: 0,
            waiting: None,
            remarks: HashSet::new(),
            outgoing: VecDeque::new(),
            seq: 0,
        }
    }

    /// Takes a message of the client. What is wanted, if anything, is to be [got](Self::got) before the next one.
    pub fn receive(&mut self, message: &[u8]) -> Option<Want> {
        if self.patience().is_some() {
            self.strange += 1;
            self.over |= self.strange > STRANGE_MAX;
        }
        // Its recursion is bounded, and so is the message.
        let request: Request = match serde_json::from_slice(message) {
            Ok(request) => request,
            Err(error) => {
                self.output("stderr", &format!("a message is no request: {error}\n"));
                return None;
            }
        };
        // We ask the client for nothing, so that it has nothing to answer.
        if request.kind != "request" || self.over {
            return None;
        }
        let (seq, command) = (request.seq, request.command.clone());
        let outcome = match &self.waiting {
            Some(_) => Err(Refusal::new("another request is being answered")),
            None => self.dispatch(request),
        };
        match outcome {
            Ok(Outcome::Later(want, waiting)) => {
                self.waiting = Some((seq, command, waiting));
                Some(want)
            }
            Ok(Outcome::Body(body)) => {
                self.answer(seq, &command, Ok(body));
                None
            }
            Err(refusal) => {
                self.answer(seq, &command, Err(refusal));
                None
            }
        }
    }

    /// Takes what was wanted.
    pub fn got(&mut self, got: Got) {
        let Some((seq, command, waiting)) = self.waiting.take() else { return };
        let answer = match (waiting, got) {
            (Waiting::Open(asked), Got::Opened(opened)) => self.open(asked, *opened),
            (Waiting::Parts { at, path, offset, wanted }, Got::Inspected(inspected)) => {
                self.parts(at, &path, offset, &wanted, inspected)
            }
            (Waiting::Evaluate { at, asked }, Got::Inspected(inspected)) => {
                self.evaluated(at, &asked, inspected)
            }
            (Waiting::Reveal { path }, Got::Inspected(inspected)) => self.revealed(&path, inspected),
            _ => Err(Refusal::new("nothing came of it")),
        };
        self.answer(seq, &command, answer);
    }

    /// The next message for the client.
    pub fn outgoing(&mut self) -> Option<Vec<u8>> {
        self.outgoing.pop_front()
    }

    /// How long the next message may take; `None` is for ever. Whoever has yet to name the secret keeps others from doing so.
    pub fn patience(&self) -> Option<Duration> {
        (self.terms.secret.is_some() && self.opened.is_none()).then_some(PATIENCE)
    }

    /// Whether the client has been shown an incident.
    pub fn is_attached(&self) -> bool {
        self.opened.is_some()
    }

    /// Whether the client has said goodbye, or was refused for good. What is outgoing is still to be sent.
    pub fn is_over(&self) -> bool {
        self.over
    }

    fn answer(&mut self, seq: i64, command: &str, answer: Result<Value, Refusal>) {
        let succeeded = answer.is_ok();
        let common =
            json!({ "type": "response", "request_seq": seq, "command": command, "success": succeeded });
        let rest = match answer {
            Ok(body) => json!({ "body": body }),
            Err(Refusal { message, show }) => {
                let message = lines(&message);
                json!({ "message": message, "body": { "error": { "id": 1, "format": message, "showUser": show } } })
            }
        };
        self.send(common, rest);
        if !succeeded {
            return;
        }
        match command {
            "attach" | "launch" => self.event("initialized", json!({})),
            "configurationDone" => self.begin(),
            _ => {}
        }
    }

    fn event(&mut self, event: &str, body: Value) {
        self.send(json!({ "type": "event", "event": event }), json!({ "body": body }));
    }

    /// Text for the console.
    pub(super) fn output(&mut self, category: &str, text: &str) {
        let text = lines(text);
        self.event("output", json!({ "category": category, "output": text }));
    }

    /// What is to be known about an answer, once.
    pub(super) fn remark(&mut self, note: Option<&str>) {
        if let Some(note) = note
            && self.remarks.len() < REMARKS_MAX
            && self.remarks.insert(note.to_owned())
        {
            self.output("important", &format!("{}\n", line(note)));
        }
    }

    fn send(&mut self, mut message: Value, rest: Value) {
        self.seq += 1;
        if let (Some(message), Value::Object(rest)) = (message.as_object_mut(), rest) {
            message.insert("seq".to_owned(), self.seq.into());
            message.extend(rest);
        }
        self.outgoing.push_back(message.to_string().into_bytes());
    }

    /// The client is ready: what happened, what the service last wrote, and that it stands still.
    fn begin(&mut self) {
        let Some(opened) = &self.opened else { return };
        let (incident, capture) = (&opened.incident, &opened.capture);
        let mut text = format!(
            "{} {}: {}\n",
            incident.id,
            line(&incident.sentence()),
            short(&incident.message, LINE_MAX)
        );
        let until = incident.hold.lease_until;
        match incident.state.is_live() && until != Timestamp::default() {
            true => {
                text += &format!(
                    "{}, {}; its lease ends at {}\n",
                    incident.state,
                    incident.hold.describe(),
                    words::rfc3339(until)
                )
            }
            false => text += &format!("{}: what was captured of it is shown\n", incident.state),
        }
        let losses: Vec<_> = words::losses(incident, Some(capture)).collect();
        for loss in losses.iter().take(LOSSES_MAX) {
            text +=
                &format!("not captured: {} ({})\n", short(&loss.what, LINE_MAX), short(&loss.why, LINE_MAX));
        }
        if let Some(more) = losses.len().checked_sub(LOSSES_MAX).filter(|more| *more > 0) {
            text += &format!("not captured: {more} more\n");
        }
        if let Some(difference) = self.sources.difference(capture) {
            text += &format!("{difference}\n");
        }
        let logs = incident.logs.get(incident.logs.len().saturating_sub(LOG_LINES_MAX)..).unwrap_or_default();
        let logs: Vec<(&str, String)> = logs
            .chunk_by(|a, b| a.stream == b.stream)
            .map(|run| {
                let text = run
                    .iter()
                    .map(|log| format!("{} {}\n", words::clock(log.at), short(&log.text, LINE_MAX)));
                let is_output =
                    run.first().is_some_and(|log| log.stream == freezeframe_model::Stream::Stdout);
                (if is_output { "stdout" } else { "stderr" }, text.collect())
            })
            .collect();
        let failing = capture.threads.first().map(|thread| thread.id);
        let stopped = json!({
            "reason": "exception",
            "description": format!("Held: {}", incident.kind),
            "text": short(&incident.message, LINE_MAX),
            "threadId": failing,
            "allThreadsStopped": true,
        });
        self.output("console", &text);
        for (category, text) in logs {
            self.output(category, &text);
        }
        self.output("console", "An expression is evaluated without running anything; `help` says more.\n");
        self.event("stopped", stopped);
    }
}
