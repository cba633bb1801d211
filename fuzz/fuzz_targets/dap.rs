//! An editor's side of the debug protocol: streams that are cut anywhere, and whatever they ask of a real core.
//!
//! First byte: program; second: length of a piece; the rest is the stream. A session is held that has attached already where the first
//! byte is odd. Every request gets one response, and no secret of the program gets out.
#![no_main]

use std::sync::Arc;

use freezeframe_api::ControlError;
use freezeframe_api::Inspected;
use freezeframe_api::dap::{Framing, Got, MESSAGE_BYTES_MAX, Session, Terms, Want, framed};
use freezeframe_debuginfo::evaluate_captured;
use freezeframe_fuzz::{fixture::ALL, process::options};
use freezeframe_model::{Capture, Incident};
use freezeframe_redact::Redactor;
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

/// What the programs call `password` and `secret`.
const SECRETS: [&str; 2] = ["hunter2", "not for you"];

thread_local! {
    static CAPTURES: [std::cell::OnceCell<Arc<Capture>>; ALL.len()] = Default::default();
}

fuzz_target!(|input: &[u8]| {
    let [which, piece, stream @ ..] = input else { return };
    let number = usize::from(*which) / 2 % ALL.len();
    CAPTURES.with(|captures| {
        let capture = captures[number].get_or_init(|| {
            let core = ALL[number].open().expect("the corpus is sound");
            Arc::new(core.capture(&options(), &Redactor::default()))
        });
        let mut session = Session::new(Terms::default());
        if which % 2 == 1 {
            for command in ["initialize", "attach", "configurationDone"] {
                let request = json!({ "seq": 1, "type": "request", "command": command });
                exchange(&mut session, capture, request.to_string().as_bytes());
            }
        }
        run(&mut session, capture, stream, usize::from(*piece).max(1));
    });
});

fn run(session: &mut Session, capture: &Arc<Capture>, stream: &[u8], piece: usize) {
    let mut framing = Framing::default();
    for piece in stream.chunks(piece) {
        framing.push(piece);
        loop {
            match framing.next_message() {
                Ok(Some(message)) => {
                    assert!(message.len() <= MESSAGE_BYTES_MAX);
                    exchange(session, capture, &message);
                }
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
}

/// Sends a message and checks what comes back.
fn exchange(session: &mut Session, capture: &Arc<Capture>, message: &[u8]) {
    let was_over = session.is_over();
    if let Some(want) = session.receive(message) {
        session.got(match want {
            Want::Open(_) => Got::Opened(Box::new(Ok((incident(), Some(Arc::clone(capture)))))),
            Want::Reveal(..) => Got::Inspected(Err(ControlError::Denied("nobody may".to_owned()))),
            Want::Value(_, question) => {
                let value = evaluate_captured(capture, question.thread, question.frame, &question.expression);
                let inspected =
                    |value| Inspected { value, function: String::new(), is_live: false, note: None };
                Got::Inspected(value.map(inspected).map_err(ControlError::Expression))
            }
        });
    }
    let mut responses = 0;
    while let Some(sent) = session.outgoing() {
        let mut framing = Framing::default();
        framing.push(&framed(&sent));
        let value: Value = serde_json::from_slice(&sent).expect("JSON");
        responses += usize::from(value["type"] == "response");
        let text = value["body"].to_string();
        assert!(!SECRETS.iter().any(|secret| text.contains(secret) && !contains(message, secret)), "{text}");
    }
    let request: Option<Value> = serde_json::from_slice(message).ok();
    let is_request = request.is_some_and(|request| {
        request["type"] == "request"
            && request["seq"].is_i64()
            && (request["command"].is_string() || request["command"].is_null())
    });
    assert!(responses <= 1 && (responses == 1 || !is_request || was_over), "{responses} responses");
}

fn contains(message: &[u8], what: &str) -> bool {
    message.windows(what.len()).any(|window| window == what.as_bytes())
}

fn incident() -> Incident {
    serde_json::from_value(json!({
        "id": "INC-1", "kind": "panic", "state": "held", "message": "it broke", "fingerprint": "0".repeat(32), "site": {},
        "service": "s", "instance": 1, "build_id": "", "captured_at": 0, "updated_at": 0, "count": 1, "timings": {}, "hold": {},
        "request": {}, "logs": [], "requests_lost": 0, "not_captured": [],
    }))
    .expect("an incident")
}
