//! What the page reads and writes, over real sockets: sections, source, notes, events, the report.

mod common;

use common::AT;
use common::wire::{self, TOKEN, bearer, start};
use expect_test::{expect, expect_file};
use freezeframe_api::Access;
use freezeframe_api::words::rfc3339;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// Attacker-controlled text: markup, Markdown, terminal control, reordering.
const EVIL: &str = "<script>alert('1')</script>\n# heading [x](https://evil.example) `````\u{202e}\u{1b}[2J";

async fn guarded() -> wire::Server {
    start(Access::token(TOKEN, vec![]), str::to_owned).await
}

#[tokio::test]
async fn the_shapes_of_the_page_are_a_contract() {
    let server = start(Access::local(), str::to_owned).await;
    let check = async |path: &str, expected: expect_test::ExpectFile| {
        let value: serde_json::Value = serde_json::from_str(&server.get(path, &[]).await.body).unwrap();
        expected.assert_eq(&format!("{}\n", serde_json::to_string_pretty(&value).unwrap()));
    };
    let sections = "/api/v1/incidents/INC-42/sections";
    check("/api/v1/incidents/INC-42/overview", expect_file!["snapshots/overview.json"]).await;
    check(&format!("{sections}/timeline"), expect_file!["snapshots/timeline.json"]).await;
    check(&format!("{sections}/request"), expect_file!["snapshots/request.json"]).await;
    check(&format!("{sections}/threads?limit=1"), expect_file!["snapshots/threads.json"]).await;
    let markdown = server.get("/api/v1/incidents/INC-42/markdown", &[]).await;
    assert_eq!(markdown.header("content-type"), Some("text/markdown; charset=utf-8"));
    // The lease's end is told from now.
    let fixed: String = markdown
        .body
        .lines()
        .filter(|line| !line.contains("Lease"))
        .map(|line| format!("{line}\n"))
        .collect();
    expect_file!["snapshots/report.md"].assert_eq(&fixed);
}

#[tokio::test]
async fn what_is_asked_wrongly_is_said() {
    let server = start(Access::local(), str::to_owned).await;
    let long = "x".repeat(300);
    for (path, status) in [
        ("sections/nothing".to_owned(), 404),
        ("sections/logs?limit=-1".to_owned(), 400),
        ("sections/logs?offset=99999999999999999999".to_owned(), 400),
        (format!("sections/logs?filter={long}"), 400),
        ("sections/logs?offset=18446744073709551615&limit=18446744073709551615".to_owned(), 200),
        ("threads/1".to_owned(), 404),
        ("threads/x".to_owned(), 400),
        ("threads/4123".to_owned(), 200),
        ("source?thread=1".to_owned(), 404),
        ("source?frame=x".to_owned(), 400),
    ] {
        let answer = server.get(&format!("/api/v1/incidents/INC-42/{path}"), &[]).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.body);
    }
    for path in ["overview", "sections/logs", "notes", "audit", "markdown", "source", "threads/1"] {
        assert_eq!(server.get(&format!("/api/v1/incidents/INC-7/{path}"), &[]).await.status, 404, "{path}");
        assert_eq!(server.get(&format!("/api/v1/incidents/x/{path}"), &[]).await.status, 400, "{path}");
    }
    assert_eq!(server.get("/api/v1/fleet/history?from=yesterday", &[]).await.status, 400);
    assert_eq!(server.get("/api/v1/events?incident=x", &[]).await.status, 400);
    let after = rfc3339(AT.plus_ms(1));
    let later = server.get(&format!("/api/v1/fleet/history?from={after}"), &[]).await.body;
    assert_eq!(later.matches("\"at\"").count(), 1, "{later}");
}

#[tokio::test]
async fn source_comes_from_the_capsule_and_else_says_where_from_or_why_not() {
    let server = start(Access::local(), str::to_owned).await;
    let mut seen = String::new();
    for query in ["", "?frame=3", "?thread=4122", "?frame=4", "?frame=0"] {
        let body = server.get(&format!("/api/v1/incidents/42/source{query}"), &[]).await.body;
        let answer: serde_json::Value = serde_json::from_str(&body).unwrap();
        let lines = answer["lines"].as_array().unwrap().len();
        seen += &format!(
            "{}:{} {} {lines} {} {}\n",
            answer["file"], answer["line"], answer["origin"], answer["from"], answer["why"]
        );
    }
    expect![[r#"
        "src/pricing.rs":118 "capsule" 6 null null
        "src/checkout.rs":64 "directory" 60 "/srv/src/checkout.rs" "the file as it is now"
        "src/stock.rs":31 "none" 0 null "none of the configured directories has src/stock.rs"
        "":0 "none" 0 null "the debug information names no source line of this frame"
        "/rustc/library/core/src/panicking.rs":75 "none" 0 null "none of the configured directories has /rustc/library/core/src/panicking.rs"
    "#]]
    .assert_eq(&seen);
}

#[tokio::test]
async fn notes_are_written_by_those_who_may_act_and_are_bounded() {
    let server = guarded().await;
    let token = bearer(TOKEN);
    let ours = [("Authorization", token.as_str()), ("Content-Type", "application/json")];
    let path = "/api/v1/incidents/INC-42/notes";
    let long = format!(r#"{{"text":"{}"}}"#, "ä".repeat(4001));
    for body in ["", "{}", r#"{"text":"  "}"#, r#"{"text":"x","by":"me"}"#, &long] {
        assert_eq!(server.send("POST", path, &ours, body).await.status, 400, "{body:.40}");
    }
    assert_eq!(server.send("POST", path, &[], r#"{"text":"x"}"#).await.status, 401);
    let body = serde_json::json!({ "text": EVIL }).to_string();
    let answer = server.send("POST", path, &ours, &body).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let notes: serde_json::Value = serde_json::from_str(&server.get(path, &ours).await.body).unwrap();
    assert_eq!(notes["notes"].as_array().unwrap().len(), 2);
    assert_eq!((&notes["notes"][1]["text"], &notes["notes"][1]["who"]), (&EVIL.into(), &"token".into()));
    let owner = server.send("POST", "/api/v1/incidents/INC-42/acknowledge", &ours, "{}").await;
    assert!(owner.body.contains(r#""owner":"token""#), "{}", owner.body);
    let overview = server.get("/api/v1/incidents/INC-42/overview", &ours).await.body;
    assert!(overview.contains(r#""owner":"token""#) && overview.contains(r#""notes":2"#), "{overview}");
    let audit = server.get("/api/v1/incidents/INC-42/audit", &ours).await.body;
    assert!(audit.contains(r#""action":"extend""#), "{audit}");
}

#[tokio::test]
async fn hostile_text_adds_nothing_to_a_report() {
    let server = start(Access::local(), |text| format!("{text}{EVIL}")).await;
    let harmless = start(Access::local(), str::to_owned).await;
    let get = async |server: &wire::Server| server.get("/api/v1/incidents/42/markdown", &[]).await.body;
    let (evil, harmless) = (get(&server).await, get(&harmless).await);
    let outside_of_fences = |text: &str| -> Vec<String> {
        let mut fence: Option<String> = None;
        let mut lines = Vec::new();
        for line in text.lines() {
            match &fence {
                Some(end) if line == end => fence = None,
                Some(_) => {}
                None if line.starts_with("```") => fence = Some(line.trim_end_matches("text").to_owned()),
                None => lines.push(line.to_owned()),
            }
        }
        assert_eq!(fence, None, "a code block that does not end");
        lines
    };
    let headings = |text: &str| -> Vec<String> {
        let lines = outside_of_fences(text).into_iter().skip(1);
        lines.filter(|line| line.trim_start().starts_with('#')).collect()
    };
    assert_eq!(headings(&evil), headings(&harmless));
    assert!(evil.matches("alert(").count() > 5, "the text is there");
    assert!(!evil.contains(['\u{1b}', '\u{202e}']), "{evil}");
    for line in outside_of_fences(&evil) {
        // What is left once code spans are taken out has no markup of its own.
        let mut rest = line.clone();
        while let Some(start) = rest.find('`') {
            let fence: String = rest[start..].chars().take_while(|c| *c == '`').collect();
            let after = start + fence.len();
            let end = rest[after..].find(&fence).expect("a code span that does not end");
            let close = after + end + rest[after + end..].chars().take_while(|c| *c == '`').count();
            rest.replace_range(start..close, "");
        }
        let rest = rest.replace("<https://freeze.example.org/i/INC-42>", "");
        assert!(!rest.contains(['<', '[', ']']) && !rest.contains("://"), "{line}");
    }
}

/// A stream of events, line by line.
struct Listening(tokio::io::Lines<BufReader<TcpStream>>);

impl Listening {
    async fn to(server: &wire::Server, query: &str, headers: &str) -> Self {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let request = format!("GET /api/v1/events{query} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        Self(BufReader::new(stream).lines())
    }

    /// The next line that begins so.
    async fn line(&mut self, start: &str) -> Option<String> {
        while let Some(line) = self.0.next_line().await.unwrap() {
            if line.starts_with(start) {
                return Some(line);
            }
        }
        None
    }
}

#[tokio::test]
async fn whoever_listens_is_told_until_the_session_or_the_daemon_ends() {
    let server = guarded().await;
    let token = bearer(TOKEN);
    let ours = [("Authorization", token.as_str()), ("Content-Type", "application/json")];
    assert_eq!(server.get("/api/v1/events", &[]).await.status, 401);
    let session = server.log_in(TOKEN).await.session();
    let mut in_session = Listening::to(&server, "?incident=INC-42", &format!("Cookie: {session}\r\n")).await;
    let mut by_token = Listening::to(&server, "", &format!("Authorization: {token}\r\n")).await;
    for stream in [&mut in_session, &mut by_token] {
        assert_eq!(stream.line("HTTP/1.1").await.as_deref(), Some("HTTP/1.1 200 OK"));
        assert_eq!(stream.line("event:").await.as_deref(), Some("event: hello"));
    }
    let body = serde_json::json!({ "text": EVIL }).to_string();
    server.send("POST", "/api/v1/incidents/INC-42/notes", &ours, &body).await;
    for stream in [&mut in_session, &mut by_token] {
        assert_eq!(stream.line("event:").await.as_deref(), Some("event: note"));
        let data = stream.line("data: ").await.unwrap();
        let note: serde_json::Value = serde_json::from_str(&data["data: ".len()..]).unwrap();
        assert_eq!((&note["text"], &note["incident"]), (&EVIL.into(), &"INC-42".into()));
    }
    let leaving = [
        ("Cookie", session.as_str()),
        ("Sec-Fetch-Site", "same-origin"),
        ("Content-Type", "application/json"),
    ];
    server.send("POST", "/api/v1/logout", &leaving, "").await;
    assert_eq!(in_session.line("event:").await, None, "it ends with its session");
    server.end.send(true).unwrap();
    assert_eq!(by_token.line("event:").await.as_deref(), Some("event: end"));
    assert_eq!(by_token.line("data:").await.as_deref(), Some(r#"data: {"why":"shutdown"}"#));
    server.task.await.unwrap();
}

#[tokio::test]
async fn streams_are_bounded() {
    let server = start(Access::local(), str::to_owned).await;
    let mut streams = Vec::new();
    for _ in 0..64 {
        let mut stream = Listening::to(&server, "", "").await;
        assert_eq!(stream.line("HTTP/1.1").await.as_deref(), Some("HTTP/1.1 200 OK"));
        streams.push(stream);
    }
    let refused = server.get("/api/v1/events", &[]).await;
    assert_eq!(refused.status, 503);
    assert!(refused.body.contains(r#""kind":"busy""#), "{}", refused.body);
    drop(streams);
    // A place is free again once the server has seen that a page is gone; it sees it when it next tells it something.
    loop {
        server.fake.events.fleet(&freezeframe_api::dto::FleetAnswer::default());
        let mut stream = Listening::to(&server, "", "").await;
        if stream.line("HTTP/1.1").await.as_deref() == Some("HTTP/1.1 200 OK") {
            break;
        }
    }
}
