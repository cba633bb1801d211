//! The editor's protocol: what an editor sees of an incident, what it is refused, and what hostile clients get.

mod common;

use std::sync::Arc;

use common::sample;
use expect_test::expect;
use freezeframe_api::dap::{Got, Session, Terms, Want};
use freezeframe_api::{ControlError, Inspected};
use freezeframe_model::{Capture, EvaluateError, Incident, Obstacle, Value, Variable};
use serde_json::{Value as Json, json};

/// An editor that sees one incident.
struct Editor {
    session: Session,
    incident: Incident,
    capture: Option<Arc<Capture>>,
    /// What the next question comes to.
    inspected: Result<Inspected, ControlError>,
    asked: Vec<Want>,
    events: Vec<Json>,
    seq: i64,
}

fn variable(name: &str, value: Value, children: Vec<Variable>) -> Variable {
    Variable { name: name.to_owned(), value, children, ..Variable::default() }
}

fn text(name: &str, value: &str) -> Variable {
    variable(name, Value::Text(value.to_owned()), Vec::new())
}

fn inspected(value: Variable) -> Result<Inspected, ControlError> {
    Ok(Inspected { value, function: "f".to_owned(), is_live: true, note: None })
}

impl Editor {
    fn new(terms: Terms) -> Self {
        let (incident, capture) = sample(str::to_owned);
        let (capture, inspected) = (Some(Arc::new(capture)), Err(ControlError::NotFound));
        Self {
            session: Session::new(terms),
            incident,
            capture,
            inspected,
            asked: vec![],
            events: vec![],
            seq: 0,
        }
    }

    fn attached() -> Self {
        let mut editor = Self::new(Terms::default());
        editor.ok("initialize", json!({ "adapterID": "freezeframe", "supportsVariablePaging": true }));
        editor.ok("attach", json!({}));
        editor.ok("configurationDone", json!({}));
        editor
    }

    fn send(&mut self, message: &[u8]) -> Vec<Json> {
        if let Some(want) = self.session.receive(message) {
            let got = match want {
                Want::Open(_) => Got::Opened(Box::new(Ok((self.incident.clone(), self.capture.clone())))),
                Want::Value(..) | Want::Reveal(..) => Got::Inspected(self.inspected.clone()),
            };
            self.asked.push(want);
            self.session.got(got);
        }
        let mut messages = Vec::new();
        while let Some(message) = self.session.outgoing() {
            messages.push(serde_json::from_slice::<Json>(&message).expect("JSON"));
        }
        messages
    }

    /// The one response; events are kept.
    fn request(&mut self, command: &str, arguments: Json) -> Json {
        self.seq += 1;
        let request =
            json!({ "seq": self.seq, "type": "request", "command": command, "arguments": arguments });
        let messages = self.send(request.to_string().as_bytes());
        let (mut responses, events): (Vec<_>, Vec<_>) =
            messages.into_iter().partition(|message| message["type"] == "response");
        self.events.extend(events);
        assert_eq!(responses.len(), 1, "{responses:?}");
        let response = responses.remove(0);
        assert_eq!((&response["request_seq"], &response["command"]), (&json!(self.seq), &json!(command)));
        response
    }

    fn ok(&mut self, command: &str, arguments: Json) -> Json {
        let response = self.request(command, arguments);
        assert_eq!(response["success"], true, "{response}");
        response["body"].clone()
    }

    fn refused(&mut self, command: &str, arguments: Json) -> String {
        let response = self.request(command, arguments);
        assert_eq!(response["success"], false, "{response}");
        assert_eq!(response["message"], response["body"]["error"]["format"]);
        response["message"].as_str().expect("a message").to_owned()
    }

    /// `name = value` of each part of a value, and the number to open it by.
    fn parts(&mut self, reference: &Json, more: Json) -> Vec<(String, i64)> {
        let mut arguments = json!({ "variablesReference": reference });
        arguments.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        let body = self.ok("variables", arguments);
        let parts = body["variables"].as_array().expect("variables").iter();
        parts
            .map(|part| {
                let line =
                    format!("{} = {}", part["name"].as_str().unwrap(), part["value"].as_str().unwrap());
                (line, part["variablesReference"].as_i64().unwrap())
            })
            .collect()
    }
}

fn lines(parts: &[(String, i64)]) -> Vec<&str> {
    parts.iter().map(|(line, _)| line.as_str()).collect()
}

#[test]
fn an_editor_walks_from_the_stop_to_a_value() {
    let mut editor = Editor::attached();
    let event = |event: &Json| {
        format!("{} {} {}\n", event["event"], event["body"]["category"], event["body"]["output"])
    };
    let events: String = editor.events.iter().map(event).collect();
    expect![[r#"
        "initialized" null null
        "output" "console" "INC-42 shop/2 panicked in shop::pricing::total (src/pricing.rs:118): attempt to divide by zero\nheld, frozen, network not cut: missing CAP_NET_ADMIN; its lease ends at 2026-11-21T07:11:58.042Z\nnot captured: network cut (missing CAP_NET_ADMIN)\nnot captured: locals of frame 4 (stripped binary)\n"
        "output" "stdout" "03:11:40.042 INFO cart loaded items=1 user=8812\n03:11:54.042 WARN coupon service slow took_ms=1800\n"
        "output" "stderr" "03:11:58.041 thread 'tokio-3' panicked at src/pricing.rs:118:20:\n03:11:58.041 attempt to divide by zero\n"
        "output" "console" "An expression is evaluated without running anything; `help` says more.\n"
        "stopped" null null
    "#]]
    .assert_eq(&events);
    let stopped = editor.events.last().expect("stopped")["body"].clone();
    assert_eq!((&stopped["reason"], &stopped["threadId"]), (&json!("exception"), &json!(4123)));
    assert_eq!(stopped["text"], "attempt to divide by zero");

    let threads = editor.ok("threads", json!({}));
    let names: Vec<&str> =
        threads["threads"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
    expect![[r#"
        [
            "tokio-3 (4123) failed here",
            "tokio-2 (4122) waits for a lock that thread 4123 probably owns",
            "shop (4121) in epoll_wait",
        ]
    "#]]
    .assert_debug_eq(&names);

    let stack = editor.ok("stackTrace", json!({ "threadId": 4123, "startFrame": 1, "levels": 3 }));
    assert_eq!(stack["totalFrames"], 5);
    let frames = stack["stackFrames"].as_array().unwrap().clone();
    let shown: Vec<String> = frames
        .iter()
        .map(|it| {
            format!(
                "{} {} {} {}:{} {}",
                it["id"],
                it["name"],
                it["presentationHint"],
                it["source"]["path"],
                it["line"],
                it["source"]["sourceReference"]
            )
        })
        .collect();
    expect![[r#"
        [
            "2 \"core::panicking::panic_const::panic_const_div_by_zero\" \"subtle\" \"/rustc/library/core/src/panicking.rs\":178 null",
            "3 \"shop::pricing::total\" \"normal\" \"src/pricing.rs\":118 1",
            "4 \"shop::checkout::{closure} [inlined]\" \"normal\" \"src/checkout.rs\":64 null",
        ]
    "#]]
    .assert_debug_eq(&shown);

    // Lines stand at their numbers.
    let source = editor.ok("source", json!({ "source": frames[1]["source"], "sourceReference": 1 }));
    let content: Vec<&str> = source["content"].as_str().unwrap().lines().collect();
    assert_eq!(content[117], "    sum += order.cents() / rate;");
    editor.refused("source", json!({ "source": { "path": "src/checkout.rs" }, "sourceReference": 0 }));

    let scopes = editor.ok("scopes", json!({ "frameId": 3 }));
    assert_eq!(scopes["scopes"].as_array().unwrap().len(), 1);
    let locals = editor.parts(&scopes["scopes"][0]["variablesReference"], json!({}));
    assert_eq!(
        lines(&locals),
        ["order = {id: 1042, items: len 1, token: ‹redacted›}", "rate = 0", "iter = ‹optimised out›"]
    );
    let order = editor.parts(&json!(locals[0].1), json!({}));
    assert_eq!(lines(&order), ["id = 1042", "items = len 1", "token = ‹redacted: looks like a jwt›"]);
    assert_eq!((order[0].1, order[2].1), (0, 0));
    let items = editor.parts(&json!(order[1].1), json!({ "filter": "indexed", "start": 0, "count": 100 }));
    assert_eq!(lines(&items), ["[0] = {name: \"Espresso beans\", cents: 1290}"]);
    assert!(editor.asked.iter().all(|want| matches!(want, Want::Open(_))), "the capture had it all");

    let exception = editor.ok("exceptionInfo", json!({ "threadId": 4123 }));
    assert_eq!((&exception["exceptionId"], &exception["breakMode"]), (&json!("panic"), &json!("always")));
    assert!(
        exception["details"]["stackTrace"]
            .as_str()
            .unwrap()
            .starts_with("shop::pricing::total (src/pricing.rs:118)\n")
    );
    editor.refused("exceptionInfo", json!({ "threadId": 4121 }));
    let sources = editor.ok("loadedSources", json!({}));
    assert_eq!(sources["sources"][0]["name"], "checkout.rs");
    assert_eq!(editor.ok("modules", json!({}))["modules"][0]["name"], "shop");
    editor.ok("disconnect", json!({ "terminateDebuggee": true }));
    assert!(editor.session.is_over());
}

#[test]
fn what_the_capture_left_out_is_asked_for() {
    let mut editor = Editor::attached();
    let cut = |why: &str| variable("…", Value::Cut(why.to_owned()), Vec::new());
    let list = variable(
        "entries",
        Value::Text("len 250".to_owned()),
        vec![text("[0]", "a"), text("[1]", "b"), cut("248 more")],
    );
    let deep = variable("next", Value::Cut("deeper than the limit".to_owned()), Vec::new());
    let mut capture = (*editor.capture.take().expect("there")).clone();
    capture.threads[0].frames[2].variables = vec![list, deep];
    let mut editor = Editor { capture: Some(Arc::new(capture)), ..Editor::new(Terms::default()) };
    editor.ok("initialize", json!({ "supportsVariablePaging": true }));
    editor.ok("attach", json!({ "incident": "INC-42" }));
    assert_eq!(editor.asked, [Want::Open(Some(editor.incident.id))]);
    let scopes = editor.ok("scopes", json!({ "frameId": 3 }));
    let locals =
        editor.ok("variables", json!({ "variablesReference": scopes["scopes"][0]["variablesReference"] }));
    let (entries, next) = (&locals["variables"][0], &locals["variables"][1]);
    assert_eq!((&entries["indexedVariables"], &entries["evaluateName"]), (&json!(250), &json!("entries")));
    assert_eq!(next["value"], "‹left out: deeper than the limit›");

    // Without pages: what is there, and a line that opens the rest.
    let parts = editor.parts(&entries["variablesReference"], json!({}));
    assert_eq!(lines(&parts), ["[0] = a", "[1] = b", "… = 248 more"]);
    let page = variable("entries", Value::Composite, vec![text("[2]", "c"), cut("247 more")]);
    editor.inspected = inspected(page);
    let rest = editor.parts(&json!(parts[2].1), json!({}));
    assert_eq!(lines(&rest), ["[2] = c", "… = 247 more"]);
    // In pages: exactly the wanted ones.
    let rest = editor.parts(&entries["variablesReference"], json!({ "start": 2, "count": 1 }));
    assert_eq!(lines(&rest), ["[2] = c"]);
    editor.parts(&next["variablesReference"], json!({}));
    let asked = editor.asked.iter().filter_map(|want| match want {
        Want::Value(_, question) => Some(format!(
            "{} {} {} {}+{}",
            question.thread, question.frame, question.expression, question.offset, question.limit
        )),
        _ => None,
    });
    expect![[r#"
        [
            "4123 2 entries 2+100",
            "4123 2 entries 2+1",
            "4123 2 next 0+100",
        ]
    "#]]
    .assert_debug_eq(&asked.collect::<Vec<_>>());
}

#[test]
fn expressions_are_answered_or_refused_with_their_place() {
    let mut editor = Editor::attached();
    editor.inspected = inspected(text("rate + 1", "1"));
    assert_eq!(
        editor.ok("evaluate", json!({ "expression": "rate + 1", "frameId": 3, "context": "watch" }))["result"],
        "1"
    );
    editor.ok("evaluate", json!({ "expression": "rate + 1" }));
    let Some(Want::Value(_, question)) = editor.asked.last() else { panic!("{:?}", editor.asked) };
    assert_eq!((question.thread, question.frame, question.reveal), (4123, 2, false), "the site is meant");

    let error = EvaluateError::new(Obstacle::NotFound, 0..4, "there is no variable \"rats\"");
    let error = EvaluateError { instead: vec!["rate".to_owned()], ..error };
    editor.inspected = Err(ControlError::Expression(error));
    let ask = |context: &str| json!({ "expression": "rats + 1", "frameId": 3, "context": context });
    expect![[r#"
        there is no variable "rats"
          rats + 1
          ^^^^
        there is: rate"#]]
    .assert_eq(&editor.refused("evaluate", ask("repl")));
    assert_eq!(editor.refused("evaluate", ask("hover")), "there is no variable \"rats\"");
    assert_eq!(
        editor.refused("evaluate", json!({ "expression": "1", "frameId": 999 })),
        "there is no frame 999"
    );

    // A value that comes from elsewhere than one thinks is remarked upon, once.
    let note = "INC-42 is not held any more: it is killed";
    editor.inspected =
        inspected(text("rate", "0")).map(|inspected| Inspected { note: Some(note.to_owned()), ..inspected });
    editor.events.clear();
    for _ in 0..2 {
        editor.ok("evaluate", json!({ "expression": "rate" }));
    }
    assert_eq!(editor.events.len(), 1);
    assert_eq!(editor.events[0]["body"]["output"], format!("{note}\n"));
}

#[test]
fn only_the_console_reveals_and_only_with_a_reason() {
    let mut editor = Editor::attached();
    let secret = variable("order.token", Value::Composite, vec![text("jwt", "eyJ\u{1b}[2J")]);
    editor.inspected = inspected(secret);
    let typed = "reveal order.token because the customer asked";
    for context in ["watch", "hover", "clipboard", "variables", ""] {
        editor.ok("evaluate", json!({ "expression": typed, "context": context }));
        assert!(
            matches!(editor.asked.last(), Some(Want::Value(_, question)) if question.expression == typed),
            "{context}"
        );
    }
    let without =
        editor.refused("evaluate", json!({ "expression": "reveal order.token", "context": "repl" }));
    assert!(without.contains("because REASON"), "{without}");
    let shown = editor.ok("evaluate", json!({ "expression": typed, "context": "repl", "frameId": 3 }));
    assert_eq!(shown["result"], "order.token: \n  jwt: eyJ\\u{1b}[2J\n");
    assert_eq!(shown["variablesReference"], 0, "nothing stays that could be opened without a reason");
    let Some(Want::Reveal(_, question, reason)) = editor.asked.last() else { panic!("{:?}", editor.asked) };
    assert_eq!(
        (question.expression.as_str(), reason.as_str(), question.reveal),
        ("order.token", "the customer asked", true)
    );
    editor.inspected = Err(ControlError::Denied("it needs the role".to_owned()));
    assert_eq!(
        editor.refused("evaluate", json!({ "expression": typed, "context": "repl" })),
        "it needs the role"
    );
}

#[test]
fn nothing_moves() {
    let mut editor = Editor::attached();
    for command in ["continue", "next", "stepIn", "stepOut", "pause", "terminate", "setVariable"] {
        let why = editor.refused(command, json!({ "threadId": 4123 }));
        assert!(
            why.contains("freezeframe attach INC-42") && why.contains("nothing of it runs"),
            "{command}: {why}"
        );
    }
    let set =
        editor.ok("setBreakpoints", json!({ "source": {}, "breakpoints": [{ "line": 1 }, { "line": 2 }] }));
    let set = set["breakpoints"].as_array().unwrap().clone();
    assert_eq!(set.len(), 2);
    assert!(set.iter().all(|it| it["verified"] == false
        && it["message"].as_str().is_some_and(|why| why.contains("nothing of it runs"))));
    assert_eq!(editor.refused("readMemory", json!({})), "`readMemory` is not supported");
    editor.incident.state = freezeframe_model::IncidentState::Killed;
    let mut over = Editor { incident: editor.incident, ..Editor::new(Terms::default()) };
    over.ok("initialize", json!({}));
    over.ok("launch", json!({}));
    assert!(over.refused("continue", json!({})).contains("there is nothing that could run"));
}

#[test]
fn the_order_of_a_session_is_kept() {
    let mut editor = Editor::new(Terms::default());
    assert_eq!(editor.refused("attach", json!({})), "`initialize` comes first");
    assert_eq!(editor.refused("threads", json!({})), "`threads` comes after `attach`");
    assert!(editor.refused("initialize", json!({ "pathFormat": "uri" })).contains("no URIs"));
    editor.ok("initialize", json!({}));
    assert_eq!(editor.refused("initialize", json!({})), "`initialize` comes once");
    assert!(editor.refused("attach", json!({ "incident": "x" })).contains("INC-42"));
    assert!(
        editor
            .refused("attach", json!({ "sourceRoots": 7 }))
            .starts_with("the arguments are not as specified")
    );
    editor.ok("attach", json!({}));
    assert_eq!(editor.refused("attach", json!({})), "this session looks at an incident already");
    editor.refused("variables", json!({ "variablesReference": 1 }));
    editor.refused("scopes", json!({ "frameId": -5 }));
    editor.refused("stackTrace", json!({ "threadId": i64::MAX, "startFrame": 0 }));
    let mut late = Editor { capture: None, ..Editor::new(Terms::default()) };
    late.ok("initialize", json!({}));
    assert!(late.refused("attach", json!({})).contains("try again in a moment"));
}

#[test]
fn a_wrong_secret_ends_the_session() {
    let terms = || Terms { secret: Some("s3cret".to_owned()), ..Terms::default() };
    for secret in
        [json!({}), json!({ "secret": "" }), json!({ "secret": "s3cre" }), json!({ "secret": "s3cret0" })]
    {
        let mut editor = Editor::new(terms());
        editor.ok("initialize", json!({}));
        editor.refused("attach", secret);
        assert!(editor.session.is_over() && editor.asked.is_empty());
        assert!(editor.send(b"{\"seq\":9,\"type\":\"request\",\"command\":\"attach\"}").is_empty());
    }
    let mut editor = Editor::new(terms());
    editor.ok("initialize", json!({}));
    editor.ok("attach", json!({ "secret": "s3cret" }));
}

#[test]
fn hostile_messages_are_answered_or_passed_over() {
    let mut editor = Editor::attached();
    let deep = format!(
        "{{\"seq\":1,\"type\":\"request\",\"command\":\"threads\",\"arguments\":{}{}}}",
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    for message in [
        "",
        "null",
        "[]",
        "{",
        "\u{0}",
        "{\"seq\":1}",
        "{\"seq\":1e99,\"type\":\"request\"}",
        "{\"seq\":\"1\",\"type\":\"request\",\"command\":\"threads\"}",
        "{\"seq\":1,\"type\":\"request\",\"command\":7}",
        &deep,
    ] {
        let said = editor.send(message.as_bytes());
        assert!(said.len() == 1 && said[0]["event"] == "output", "{message:.40}: {said:?}");
    }
    for kind in ["response", "event", "x"] {
        let message = json!({ "seq": 1, "type": kind, "command": "threads" });
        assert!(editor.send(message.to_string().as_bytes()).is_empty());
    }
    let unknown = editor.refused(&"x".repeat(10_000), json!(null));
    assert!(unknown.len() < 100, "{unknown}");
    let long = json!({ "expression": "x".repeat(9000) });
    assert!(editor.refused("evaluate", long).contains("longer than"));
}
