//! A session with the assistants' server, by a client of the Model Context Protocol: over a held process, and over what is left of it.

mod support;

use std::process::Stdio;

use rmcp::model::CallToolRequestParams;
use rmcp::service::{RoleClient, RunningService};
use rmcp::{ServiceExt, model};
use serde_json::{Value, json};
use support::http::User;
use support::needs::{Need, has};
use support::scene::Scene;
use support::shop::{journey, start_shop};
use tokio::process::{Child, Command};

/// A client, and the server that it has started.
struct Session {
    client: RunningService<RoleClient, ()>,
    server: Child,
}

impl Session {
    async fn begin(scene: &Scene) -> Self {
        Self::of(scene.command_line("mcp", &[])).await
    }

    /// As on a laptop, where a URL and a token are all there is.
    async fn from_afar(scene: &Scene) -> Self {
        let token = scene.must("token", &["add", "assistant", "--roles", "view"]);
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_freezeframe"));
        command.args(["mcp", "--url", &format!("http://{}", scene.page())]);
        command.current_dir(scene.scratch.path()).env("FREEZEFRAME_TOKEN", token.trim());
        Self::of(command).await
    }

    async fn of(command: std::process::Command) -> Self {
        let mut command = Command::from(command);
        let mut server = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("freezeframe starts");
        let (output, input) = (server.stdout.take().expect("piped"), server.stdin.take().expect("piped"));
        let client = ().serve((output, input)).await.expect("a session");
        Self { client, server }
    }

    /// The structured result, and whether it is an error.
    async fn call(&self, tool: &'static str, arguments: Value) -> (Value, bool) {
        let Value::Object(arguments) = arguments else { panic!("no object") };
        let call = CallToolRequestParams::new(tool).with_arguments(arguments);
        let result = self.client.call_tool(call).await.unwrap_or_else(|error| panic!("{tool}: {error}"));
        let value = result.structured_content.expect("a structured result");
        // Clients that know no structured results get the same as text.
        let text = result.content.first().and_then(model::ContentBlock::as_text).expect("a text");
        assert_eq!(serde_json::from_str::<Value>(&text.text).expect("JSON"), value);
        (value, result.is_error == Some(true))
    }

    /// What was captured, of a call that must go well.
    async fn captured(&self, tool: &'static str, arguments: Value) -> Value {
        let (mut value, is_error) = self.call(tool, arguments).await;
        assert!(!is_error, "{tool}: {value}");
        value["untrusted_captured"].take()
    }

    /// The server ends with its client.
    async fn end(mut self) {
        self.client.cancel().await.expect("the client ends");
        let ended = tokio::time::timeout(support::LIMIT, self.server.wait()).await;
        assert!(ended.expect("the server ends").expect("waited for").success());
    }
}

#[tokio::test]
async fn an_assistant_reads_an_incident_and_no_secret() {
    if !has(&[Need::Ptrace, Need::Freezer]) {
        return;
    }
    let mut scene = start_shop("");
    let mut grace = User::new(scene.gate());
    let answers: Vec<_> = journey().iter().map(|request| grace.send(request).expect("an answer")).collect();
    let id = answers.last().and_then(|answer| answer.header("x-incident-id")).expect("it broke").to_owned();
    scene.wait_state(&id, "held");
    let of_it = json!({ "incident": id });

    let session = Session::begin(&scene).await;
    let server = session.client.peer_info().expect("the server's name");
    assert!(
        server.instructions.as_deref().is_some_and(|text| text.contains("never an instruction")),
        "{server:?}"
    );
    let tools = session.client.list_all_tools().await.expect("tools");
    assert!(
        tools.iter().all(|tool| tool.annotations.as_ref().and_then(|it| it.read_only_hint) == Some(true))
    );

    let list = session.captured("list_incidents", json!({ "state": "held" })).await;
    assert_eq!(list["incidents"][0]["incident"], *id, "{list}");
    let summary = session.captured("incident_summary", of_it.clone()).await;
    assert_eq!(summary["message"], "attempt to divide by zero");
    let source = summary["source"].as_array().expect("source");
    assert!(source.iter().any(|line| line.as_str().is_some_and(|line| line.starts_with('>'))), "{summary}");
    let stack = session.captured("incident_stack", of_it.clone()).await;
    assert!(
        stack["frames"].as_array().is_some_and(|frames| frames
            .iter()
            .any(|frame| frame["function"] == "shop::pricing::spread_by_weight")),
        "{stack}"
    );
    let live =
        session.captured("incident_variables", json!({ "incident": id, "path": "total_weight" })).await;
    assert_eq!((&live["value"]["value"], &live["read_from"]), (&"0".into(), &"the held process, now".into()));
    let logs = session.captured("incident_logs", json!({ "incident": id, "contains": "DIVIDE" })).await;
    assert!(logs["total"].as_u64().is_some_and(|total| total > 0), "{logs}");
    let request = session.captured("incident_request", of_it.clone()).await;
    assert_eq!(request["request"]["path"], "/checkout", "{request}");

    // No way behind a redaction, by no tool.
    let mut everything = String::new();
    for tool in &tools {
        let arguments = if tool.name == "list_incidents" { json!({}) } else { of_it.clone() };
        let name: &'static str = tool.name.to_string().leak();
        everything += &session.call(name, arguments).await.0.to_string();
    }
    let path = json!({ "incident": id, "path": "basket.buyer.session_token" });
    let hidden = session.captured("incident_variables", path).await;
    assert!(
        hidden["value"]["unavailable"].as_str().is_some_and(|why| why.starts_with("redacted")),
        "{hidden}"
    );
    everything += &hidden.to_string();
    let (compared, is_error) = session
        .call("incident_variables", json!({ "incident": id, "path": "basket.buyer.session_token == \"x\"" }))
        .await;
    assert!(is_error && compared["error"] == "denied", "{compared}");
    for secret in grace.secrets().iter().map(String::as_str).chain(["grace-secret"]) {
        assert!(!everything.contains(secret), "{secret:?} reaches the assistant");
    }

    // From another machine it is the same, and nothing more.
    let afar = Session::from_afar(&scene).await;
    for tool in &tools {
        let arguments = if tool.name == "list_incidents" { json!({}) } else { of_it.clone() };
        let name: &'static str = tool.name.to_string().leak();
        assert_eq!(
            afar.captured(name, arguments.clone()).await,
            session.captured(name, arguments).await,
            "{name}"
        );
    }
    let path = json!({ "incident": id, "path": "total_weight" });
    assert_eq!(afar.captured("incident_variables", path).await, live);
    let path = json!({ "incident": id, "path": "basket.buyer.session_token" });
    assert_eq!(afar.captured("incident_variables", path).await, hidden);
    afar.end().await;

    // The same session goes on when the daemon is gone: what was captured answers.
    scene.kill_daemon();
    let stored =
        session.captured("incident_variables", json!({ "incident": id, "path": "total_weight" })).await;
    assert_eq!((&stored["value"]["value"], &stored["read_from"]), (&"0".into(), &"the capture".into()));
    let (missing, is_error) = session.call("incident_summary", json!({ "incident": "INC-999" })).await;
    assert!(
        is_error && missing["next"][0].as_str().is_some_and(|next| next.contains("list_incidents")),
        "{missing}"
    );
    session.end().await;
}
