//! The routes over real sockets: who gets in, what cannot be done from a stranger's page, and what every answer carries.

mod common;

use std::sync::Arc;

use common::wire::{Server, TOKEN, bearer, exchange, start};
use common::{Fake, sample};
use expect_test::{Expect, expect, expect_file};
use freezeframe_api::{Access, Act, ActOutcome, Change, ControlError, Door, Inspected, router, serve_unix};
use freezeframe_model::{EvaluateError, IncidentId, Obstacle, Question, Value, Variable};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixListener, UnixStream};

async fn guarded() -> Server {
    start(Access::token(TOKEN, vec!["https://freeze.example.org".to_owned()]), str::to_owned).await
}

#[tokio::test]
async fn nobody_gets_in_without_a_token_or_a_session() {
    let server = guarded().await;
    let wrong = bearer("wrong");
    let mut seen = String::new();
    for (method, path) in [
        ("GET", "/api/v1/incidents"),
        ("GET", "/api/v1/incidents/INC-42"),
        ("GET", "/api/v1/instances"),
        ("POST", "/api/v1/incidents/INC-42/kill"),
        ("GET", "/api/v1/nothing"),
        ("GET", "/api/v1/session"),
        ("POST", "/api/v1/logout"),
        ("GET", "/"),
        ("GET", "/i/INC-42"),
        ("POST", "/i/INC-42/kill"),
        ("GET", "/nothing"),
        ("GET", "/healthz"),
        ("GET", "/login"),
        ("GET", "/assets/index-0a.js"),
        ("GET", "/assets/other.js"),
    ] {
        let bare = server.send(method, path, &[], "").await;
        let forged = [(
            "Cookie",
            "freezeframe_session=0000000000000000000000000000000000000000000000000000000000000000",
        )];
        let forged = server.send(method, path, &forged, "").await;
        assert_eq!(bare.status, forged.status);
        let content = bare.header("content-type").unwrap_or("nothing");
        seen += &format!("{method} {path}: {} {content}\n", bare.status);
    }
    expect![[r#"
        GET /api/v1/incidents: 401 application/json
        GET /api/v1/incidents/INC-42: 401 application/json
        GET /api/v1/instances: 401 application/json
        POST /api/v1/incidents/INC-42/kill: 401 application/json
        GET /api/v1/nothing: 401 application/json
        GET /api/v1/session: 401 application/json
        POST /api/v1/logout: 401 application/json
        GET /: 200 text/html; charset=utf-8
        GET /i/INC-42: 200 text/html; charset=utf-8
        POST /i/INC-42/kill: 404 text/html; charset=utf-8
        GET /nothing: 404 text/html; charset=utf-8
        GET /healthz: 200 text/plain; charset=utf-8
        GET /login: 200 text/html; charset=utf-8
        GET /assets/index-0a.js: 200 text/javascript; charset=utf-8
        GET /assets/other.js: 404 application/json
    "#]]
    .assert_eq(&seen);
    assert_eq!(server.get("/api/v1/incidents", &[("Authorization", &wrong)]).await.status, 401);
    assert!(server.fake.acts.lock().unwrap().is_empty());
}

#[tokio::test]
async fn the_token_opens_everything_and_every_answer_is_kept_to_ourselves() {
    let server = guarded().await;
    let token = bearer(TOKEN);
    for path in ["/api/v1/incidents", "/api/v1/incidents/42", "/api/v1/instances", "/", "/i/INC-42"] {
        let answer = server.get(path, &[("Authorization", &token)]).await;
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
        let policy = answer.header("content-security-policy").unwrap_or_default();
        assert!(policy.starts_with("default-src 'none';") && policy.contains("frame-ancestors 'none'"));
    }
    for (path, status) in [
        ("/api/v1/incidents/INC-7", 404),
        ("/api/v1/incidents/x", 400),
        ("/api/v1/nothing", 404),
        ("/nothing", 404),
    ] {
        assert_eq!(server.get(path, &[("Authorization", &token)]).await.status, status, "{path}");
    }
    let one = server.get("/api/v1/incidents?limit=1", &[("Authorization", &token)]).await;
    assert_eq!(one.body.matches("INC-42").count(), 1);
    assert_eq!(server.get("/api/v1/incidents?limit=-1", &[("Authorization", &token)]).await.status, 400);
}

#[tokio::test]
async fn the_page_is_the_same_for_everybody_and_its_parts_are_kept() {
    let server = guarded().await;
    let cookie = server.log_in(TOKEN).await.header("set-cookie").unwrap_or_default().to_owned();
    assert!(cookie.ends_with("; HttpOnly; SameSite=Strict; Path=/; Max-Age=43200"), "{cookie}");
    let session = cookie.split(';').next().unwrap_or_default();
    for path in ["/", "/i/INC-42", "/i/INC-7?tab=logs", "/incidents", "/fleet", "/login?next=/fleet"] {
        let (strange, known) = (server.get(path, &[]).await, server.get(path, &[("Cookie", session)]).await);
        assert_eq!((strange.status, strange.body.as_str()), (200, "<!doctype html>page"), "{path}");
        assert_eq!((known.status, known.body), (200, strange.body), "{path}");
    }
    let plain = server.get("/assets/index-0a.js", &[]).await;
    assert_eq!(plain.body, "let it = 1");
    assert_eq!(plain.header("cache-control"), Some("public, max-age=31536000, immutable"));
    assert_eq!((plain.header("vary"), plain.header("content-encoding")), (Some("accept-encoding"), None));
    let small = server.get("/assets/index-0a.js", &[("Accept-Encoding", "br, gzip")]).await;
    assert_eq!((small.header("content-encoding"), small.body.as_str()), (Some("gzip"), "smaller"));
    for astray in ["/assets/..%2findex.html", "/assets/", "/assets/index.html", "/assets"] {
        assert_eq!(server.get(astray, &[]).await.status, 404, "{astray}");
    }
}

#[tokio::test]
async fn only_our_own_pages_may_act_with_a_session() {
    let server = guarded().await;
    let session = server.log_in(TOKEN).await.session();
    for strange in [
        vec![],
        vec![("Sec-Fetch-Site", "cross-site")],
        vec![("Sec-Fetch-Site", "same-site")],
        vec![("Origin", "http://localhost:8080")],
        vec![("Origin", "null")],
    ] {
        for act in ["kill", "reveal", "inspect"] {
            let path = &format!("/api/v1/incidents/42/{act}");
            let headers = [vec![("Cookie", session.as_str())], strange.clone()].concat();
            assert_eq!(server.send("POST", path, &headers, "").await.status, 403, "{path} {strange:?}");
        }
    }
    for path in ["/api/v1/incidents/42/kill", "/api/v1/incidents/42/release", "/api/v1/incidents/42/extend"] {
        assert_eq!(
            server.get(path, &[("Cookie", &session)]).await.status,
            405,
            "a GET never changes anything"
        );
    }
    // What a form can send is not taken from a browser, wherever it claims to come from.
    let ours = [("Cookie", session.as_str()), ("Origin", "http://localhost")];
    for kind in ["text/plain", "application/x-www-form-urlencoded", "text/plain; application/json"] {
        let headers = [ours.as_slice(), &[("Content-Type", kind)]].concat();
        assert_eq!(
            server.send("POST", "/api/v1/incidents/42/kill", &headers, "{}").await.status,
            415,
            "{kind}"
        );
    }
    // Nor does a stranger's page get a channel both ways, which begins with a GET.
    let channel = [("Cookie", session.as_str()), ("Upgrade", "websocket"), ("Origin", "http://evil.example")];
    assert_eq!(server.get("/api/v1/incidents", &channel).await.status, 403);
    assert!(server.fake.acts.lock().unwrap().is_empty());

    let json = [ours.as_slice(), &[("Content-Type", "application/json")]].concat();
    let path = "/api/v1/incidents/42/extend";
    assert_eq!(server.send("POST", path, &json, r#"{"by_ms":3600000}"#).await.status, 200);
    let acts = server.fake.acts.lock().unwrap().clone();
    assert_eq!(acts, [("session 1".to_owned(), IncidentId(42), Act::Extend { by_ms: 3_600_000 })]);
}

#[tokio::test]
async fn actions_reach_the_daemon_and_its_refusals_the_caller() {
    let server = guarded().await;
    let token = bearer(TOKEN);
    let headers = [("Authorization", token.as_str())];
    let act = async |act: &str, body: &str| {
        server.send("POST", &format!("/api/v1/incidents/INC-42/{act}"), &headers, body).await
    };
    for (name, body) in [
        ("release", ""),
        ("kill", ""),
        ("extend", r#"{"by_ms":1000}"#),
        ("hand-over", r#"{"client_pid":77}"#),
        ("reclaim", ""),
        ("core", ""),
    ] {
        let answer = act(name, body).await;
        let expected =
            format!(r#"{{"schema":"freezeframe-action/1","action":"{name}","pid":4121,"message":"done"}}"#);
        assert_eq!((answer.status, answer.body), (200, expected));
    }
    let acts: Vec<_> = server.fake.acts.lock().unwrap().drain(..).map(|(_, _, act)| act).collect();
    assert_eq!(
        acts,
        [
            Act::Release,
            Act::Kill,
            Act::Extend { by_ms: 1000 },
            Act::HandOver { client_pid: 77 },
            Act::Reclaim,
            Act::WriteCore { filter: None }
        ]
    );
    for (name, body, status) in [
        ("explode", "", 404),
        ("extend", "", 400),
        ("extend", r#"{"by_ms":-1}"#, 400),
        ("extend", r#"{"by_ms":1,"x":2}"#, 400),
        ("hand-over", r#"{"client_pid":"1"}"#, 400),
        ("release", &"x".repeat(20_000), 400),
    ] {
        assert_eq!(act(name, body).await.status, status, "{name} {body:.40}");
    }
    assert!(server.fake.acts.lock().unwrap().is_empty());

    let mut seen = String::new();
    for error in [
        ControlError::NotFound,
        ControlError::Denied("missing CAP_SYS_PTRACE".to_owned()),
        ControlError::Conflict("INC-42 is released already".to_owned()),
        ControlError::TimedOut("the shim did not answer in 5 s".to_owned()),
        ControlError::Failed("no space left on device".to_owned()),
    ] {
        *server.fake.answer.lock().unwrap() = Err(error);
        let answer = act("release", "").await;
        seen += &format!("{} {}\n", answer.status, answer.body);
    }
    expect![[r#"
        404 {"error":{"kind":"not_found","message":"there is no such incident","hints":["`freezeframe incidents` lists those that are there"]}}
        403 {"error":{"kind":"denied","message":"missing CAP_SYS_PTRACE","hints":["`freezeframe doctor` says which permission is missing and how to get it"]}}
        409 {"error":{"kind":"conflict","message":"INC-42 is released already","hints":["read the incident again: its state has changed"]}}
        504 {"error":{"kind":"timed_out","message":"the shim did not answer in 5 s","hints":["it may still come to its end: read the incident again before repeating it"]}}
        500 {"error":{"kind":"failed","message":"no space left on device","hints":[]}}
    "#]]
    .assert_eq(&seen);
}

#[tokio::test]
async fn the_configuration_is_read_again_for_those_who_may() {
    let server = guarded().await;
    let reload = async |query: &str| {
        let path = format!("/api/v1/gate/reload{query}");
        server.send("POST", &path, &[("authorization", &bearer(TOKEN))], "").await
    };
    assert_eq!(server.send("POST", "/api/v1/gate/reload", &[], "").await.status, 401);
    assert_eq!(reload("?dry_run=maybe").await.status, 400);
    assert_eq!(server.get("/api/v1/gate/reload", &[("authorization", &bearer(TOKEN))]).await.status, 405);
    assert!(server.fake.reloads.lock().unwrap().is_empty());
    let change = |what: &str, at_next_start| Change { what: what.to_owned(), at_next_start };
    *server.fake.changes.lock().unwrap() =
        Ok(vec![change("route \"pay\" is new", false), change("gate.workers 2 -> 3", true)]);
    let mut seen = String::new();
    for query in ["?dry_run=true", ""] {
        seen += &format!("{}\n", reload(query).await.body);
    }
    *server.fake.changes.lock().unwrap() = Err(ControlError::Invalid("unknown key `deadlin_ms`".to_owned()));
    let answer = reload("").await;
    seen += &format!("{} {}\n", answer.status, answer.body);
    expect![[r#"
        {"schema":"freezeframe-reload/1","dry_run":true,"changes":[{"what":"route \"pay\" is new","at_next_start":false},{"what":"gate.workers 2 -> 3","at_next_start":true}]}
        {"schema":"freezeframe-reload/1","dry_run":false,"changes":[{"what":"route \"pay\" is new","at_next_start":false},{"what":"gate.workers 2 -> 3","at_next_start":true}]}
        422 {"error":{"kind":"invalid","message":"unknown key `deadlin_ms`","hints":["nothing was changed"]}}
    "#]]
    .assert_eq(&seen);
    let reloads = server.fake.reloads.lock().unwrap();
    assert_eq!(reloads.iter().map(|(_, dry_run)| *dry_run).collect::<Vec<_>>(), [true, false, false]);
    assert!(reloads.iter().all(|(who, _)| !who.is_empty()));
}

fn inspected(value: freezeframe_model::Variable) -> Inspected {
    Inspected { value, function: "shop::total".to_owned(), is_live: true, note: None }
}

#[tokio::test]
async fn questions_reach_the_daemon_with_their_defaults_and_errors_have_their_place() {
    let server = start(Access::local(), str::to_owned).await;
    let ask = async |what: &str, body: &str| {
        server.send("POST", &format!("/api/v1/incidents/INC-42/{what}"), &[], body).await
    };
    let value =
        Variable { name: "rate".to_owned(), value: Value::Text("0".to_owned()), ..Variable::default() };
    *server.fake.inspected.lock().unwrap() = Ok(inspected(value));
    let answer = ask("inspect", r#"{"expression":"rate"}"#).await;
    expect![[r#"{"schema":"freezeframe-value/1","incident":"INC-42","expression":"rate","thread":4123,"frame":2,"function":"shop::total","source":"process","note":null,"value":{"name":"rate","type":"","value":"0","children":[],"unavailable":null}}"#]]
        .assert_eq(&answer.body);
    assert_eq!(answer.status, 200);
    // Of other threads the innermost frame.
    ask("inspect", r#"{"expression":"x","thread":4122,"offset":5,"limit":7}"#).await;
    ask("reveal", r#"{"expression":"token","frame":3,"reason":"support case"}"#).await;
    let asked: Vec<_> = server.fake.questions.lock().unwrap().drain(..).collect();
    let shown = |(_, question, reason): &(String, Question, String)| {
        let Question { thread, frame, expression, limit, offset, reveal, .. } = question;
        format!("{expression} {thread}/{frame} {offset}+{limit} {reveal} {reason}")
    };
    let shown: Vec<String> = asked.iter().map(shown).collect();
    assert_eq!(
        shown,
        ["rate 4123/2 0+100 false ", "x 4122/0 5+7 false ", "token 4123/3 0+100 true support case"]
    );

    for (what, body, status) in [
        ("inspect", "", 400),
        ("inspect", r#"{"expression":1}"#, 400),
        ("inspect", r#"{"expression":"x","reveal":true}"#, 400),
        ("inspect", &format!(r#"{{"expression":"{}"}}"#, "x".repeat(9000)), 400),
    ] {
        assert_eq!(ask(what, body).await.status, status, "{body:.60}");
    }
    assert!(server.fake.questions.lock().unwrap().is_empty());

    let mut seen = String::new();
    for obstacle in [
        Obstacle::Syntax,
        Obstacle::NotFound,
        Obstacle::NotCaptured,
        Obstacle::Redacted,
        Obstacle::Unavailable,
        Obstacle::Unfit,
        Obstacle::Arithmetic,
        Obstacle::Limit,
    ] {
        let error = EvaluateError::new(obstacle, 2..5, "no such thing");
        *server.fake.inspected.lock().unwrap() = Err(ControlError::Expression(error));
        let answer = ask("inspect", r#"{"expression":"a.bcd"}"#).await;
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        let body: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(body["status"], answer.status);
        assert_eq!(
            (&body["detail"], &body["error"]["message"]),
            (&"no such thing".into(), &"no such thing".into())
        );
        let place = &body["error"]["expression"];
        seen += &format!(
            "{} {} {} {}..{}\n",
            answer.status, body["error"]["kind"], place["obstacle"], place["start"], place["end"]
        );
    }
    expect![[r#"
        400 "bad_request" "syntax" 2..5
        404 "not_found" "not_found" 2..5
        404 "not_found" "not_captured" 2..5
        403 "denied" "redacted" 2..5
        422 "failed" "unavailable" 2..5
        422 "failed" "unfit" 2..5
        422 "failed" "arithmetic" 2..5
        504 "timed_out" "limit" 2..5
    "#]]
    .assert_eq(&seen);
}

#[tokio::test]
async fn other_host_names_are_not_answered() {
    let server = guarded().await;
    let token = bearer(TOKEN);
    let status = async |path: &str, host: &str| {
        server.get(path, &[("Host", host), ("Authorization", &token)]).await.status
    };
    for host in ["127.0.0.1:9800", "[::1]", "freeze.example.org"] {
        assert_eq!(status("/api/v1/incidents", host).await, 200, "{host}");
    }
    for path in ["/api/v1/incidents", "/", "/login"] {
        assert_eq!(status(path, "evil.example").await, 421, "{path}");
    }
    assert_eq!(status("http://evil.example/", "localhost").await, 421);
    assert_eq!(status("/healthz", "10.1.2.3:9800").await, 200, "health checks call by address");
}

#[tokio::test]
async fn wrong_tokens_are_limited_but_nobody_else_is_locked_out() {
    let server = guarded().await;
    let session = server.log_in(TOKEN).await.session();
    for status in [401; 10].into_iter().chain([429; 2]) {
        assert_eq!(server.log_in("wrong").await.status, status);
    }
    assert_eq!(server.log_in(TOKEN).await.status, 200);
    assert_eq!(server.get("/api/v1/incidents", &[("Cookie", &session)]).await.status, 200);
    let wrong = bearer("wrong");
    for status in [401; 10].into_iter().chain([429; 2]) {
        let answer = server.get("/api/v1/incidents", &[("Authorization", &wrong)]).await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.header("retry-after"), (status == 429).then_some("60"));
    }
    assert_eq!(server.get("/api/v1/incidents", &[("Authorization", &bearer(TOKEN))]).await.status, 200);
}

#[tokio::test]
async fn a_program_signs_in_by_json() {
    let server = guarded().await;
    let json = [("Content-Type", "application/json"), ("Sec-Fetch-Site", "same-origin")];
    let enter = async |body: &str| server.send("POST", "/api/v1/login", &json, body).await;
    for (body, status) in [
        ("", 400),
        ("{}", 400),
        (r#"{"token":"wrong"}"#, 401),
        (r#"{"once":"wrong"}"#, 401),
        (r#"{"user":"alice","password":"x"}"#, 401),
        (r#"{"user":"alice"}"#, 400),
        (&format!(r#"{{"token":"{TOKEN}","once":"x"}}"#), 400),
        (&format!(r#"{{"token":"{TOKEN}","more":1}}"#), 400),
        (&format!(r#"{{"token":{}1{}}}"#, "[".repeat(5000), "]".repeat(5000)), 400),
        (&format!(r#"{{"token":"{}"}}"#, "x".repeat(20_000)), 400),
    ] {
        let answer = enter(body).await;
        assert_eq!((answer.status, answer.header("set-cookie")), (status, None), "{body:.60}");
    }
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let right = format!(r#"{{"token":"{TOKEN}"}}"#);
    assert_eq!(server.send("POST", "/api/v1/login", &form, &right).await.status, 415);
    let foreign = [json[0], ("Origin", "http://evil.example")];
    assert_eq!(server.send("POST", "/api/v1/login", &foreign, &right).await.status, 403);

    let entered = enter(&right).await;
    let shape = concat!(
        r#"{"schema":"freezeframe-session/1","user":"session 1","roles":["view","reveal","act","sql"],"by":"session","version":""#,
        env!("CARGO_PKG_VERSION"),
        r#""}"#
    );
    assert_eq!((entered.status, entered.body.as_str()), (200, shape));
    let session = entered.session();
    let own = [("Cookie", session.as_str()), json[0], json[1]];
    assert_eq!(server.get("/api/v1/session", &own).await.body, shape);
    assert_eq!(server.send("POST", "/api/v1/incidents/42/kill", &own, "{}").await.status, 200);
    let left = server.send("POST", "/api/v1/logout", &own, "{}").await;
    assert_eq!(left.status, 204);
    assert!(left.header("set-cookie").unwrap_or_default().contains("Max-Age=0"));
    assert_eq!(server.get("/api/v1/session", &own).await.status, 401);
    let by_token = server.get("/api/v1/session", &[("Authorization", &bearer(TOKEN))]).await.body;
    assert!(by_token.contains(r#""user":"token""#) && by_token.contains(r#""by":"token""#), "{by_token}");
}

#[tokio::test]
async fn a_link_signs_in_one_browser_once() {
    let door = Arc::new(Door::new(TOKEN, vec![]));
    let server = start(Access::remote(&door), str::to_owned).await;
    let secret = door.issue_link().expect("a secret");
    // Following it, as a mail scanner does, burns nothing: what stands behind `#` is not even sent.
    assert_eq!(server.get("/login", &[]).await.status, 200);
    assert_eq!(server.get(&format!("/login?once={secret}"), &[]).await.status, 200);
    let json = [("Content-Type", "application/json"), ("Sec-Fetch-Site", "same-origin")];
    let body = format!(r#"{{"once":"{secret}"}}"#);
    let entered = server.send("POST", "/api/v1/login", &json, &body).await;
    assert_eq!(entered.status, 200);
    assert_eq!(server.get("/api/v1/incidents", &[("Cookie", &entered.session())]).await.status, 200);
    assert_eq!(server.send("POST", "/api/v1/login", &json, &body).await.status, 401);
}

#[tokio::test]
async fn the_unix_socket_trusts_its_own_user_only() {
    use std::os::unix::fs::MetadataExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("api.sock");
    let uid = std::fs::metadata(dir.path()).unwrap().uid();
    let fake = Arc::new(Fake::new(sample(str::to_owned)));
    let router = router(Arc::clone(&fake) as _, Access::local(), [].into());
    let (_end, ended) = tokio::sync::watch::channel(false);
    let server = tokio::spawn(serve_unix(UnixListener::bind(&path).unwrap(), router, ended));
    let request = "POST /api/v1/incidents/42/kill HTTP/1.1\r\nHost: freezeframe\r\nConnection: close\r\n\r\n";
    let answer = exchange(UnixStream::connect(&path).await.unwrap(), request).await;
    assert_eq!(answer.status, 200);
    assert_eq!(fake.acts.lock().unwrap()[0].0, format!("uid {uid}"));
    server.abort();
}

#[tokio::test]
async fn the_end_is_orderly() {
    let server = guarded().await;
    let mut idle = TcpStream::connect(server.address).await.unwrap();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut first = [0; 1];
    idle.read_exact(&mut first).await.unwrap();
    server.end.send(true).unwrap();
    let mut rest = Vec::new();
    idle.read_to_end(&mut rest).await.unwrap();
    assert!(rest.ends_with(b"ok\n"));
    server.task.await.unwrap();
}

#[tokio::test]
async fn the_json_shapes_are_a_contract() {
    let server = start(Access::local(), str::to_owned).await;
    let check = async |path: &str, expected: expect_test::ExpectFile| {
        let value: serde_json::Value = serde_json::from_str(&server.get(path, &[]).await.body).unwrap();
        expected.assert_eq(&format!("{}\n", serde_json::to_string_pretty(&value).unwrap()));
    };
    check("/api/v1/incidents/42", expect_file!["snapshots/incident.json"]).await;
    check("/api/v1/incidents?limit=1", expect_file!["snapshots/incidents.json"]).await;
    check("/api/v1/instances", expect_file!["snapshots/instances.json"]).await;
}

#[test]
fn an_older_or_newer_shape_is_still_read() {
    let check = |json: &str, expected: Expect| {
        let view: freezeframe_api::dto::IncidentView = serde_json::from_str(json).unwrap();
        expected.assert_eq(&format!("{} {} {:?}", view.id, view.threads.len(), view.timings_ms.held));
    };
    check(
        r#"{"schema":"freezeframe-incident/1","id":"INC-1","new_field":[1],"timings_ms":{"held":1.5}}"#,
        expect!["INC-1 0 Some(1.5)"],
    );
}

#[test]
fn an_outcome_without_a_process_has_a_null_pid() {
    let outcome = ActOutcome { pid: None, message: "taken back".to_owned() };
    let answer = freezeframe_api::dto::ActionAnswer::new(Act::Reclaim, outcome);
    assert_eq!(
        serde_json::to_value(answer).unwrap(),
        serde_json::json!({"schema": "freezeframe-action/1", "action": "reclaim", "pid": null, "message": "taken back"})
    );
}

#[tokio::test]
async fn what_the_gate_measured_is_for_those_who_may_know() {
    let server = guarded().await;
    assert_eq!(server.get("/metrics", &[]).await.status, 401);
    let bearer = format!("Bearer {TOKEN}");
    let with = |more: &'static [(&'static str, &'static str)]| {
        let mut headers = vec![("Authorization", bearer.as_str())];
        headers.extend(more);
        headers
    };
    let scraped = server.get("/metrics", &with(&[])).await;
    assert_eq!(scraped.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let labels = "route=\"shop\",outcome=\"ok\",part=\"total\"";
    for line in [
        "# TYPE freezeframe_gate_request_duration_seconds histogram".to_owned(),
        format!("freezeframe_gate_request_duration_seconds_bucket{{{labels},le=\"+Inf\"}} 2"),
        format!("freezeframe_gate_request_duration_seconds_sum{{{labels}}} 0.004"),
    ] {
        assert!(scraped.body.lines().any(|known| known == line), "{line}\n{}", scraped.body);
    }
    let shown = server.get("/api/v1/gate/histograms", &with(&[])).await;
    expect![[r#"{"schema":"freezeframe-gate-histograms/1","series":[{"route":"shop","outcome":"ok","part":"total","histogram":{"count":2,"sum_us":4000,"scale":5,"buckets":[[318,1],[369,1]]}}]}"#]]
        .assert_eq(&shown.body);
    for (query, count) in [("", 2), ("?route=shop&outcome=ok", 2), ("?route=other", 0), ("?part=queue", 0)] {
        let plot = server.get(&format!("/api/v1/gate/histograms.hgrm{query}"), &with(&[])).await;
        assert!(plot.body.contains(&format!("Total count    = {count:12}]")), "{query}: {}", plot.body);
    }
}
