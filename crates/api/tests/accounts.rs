//! People with passwords and scripts with tokens, over real sockets: what they may do, and when that ends.

mod common;

use std::sync::{Arc, Mutex};
use std::time::Instant;

use common::wire::{Answer, PAGE, Server, TOKEN, bearer, exchange, start};
use freezeframe_api::{
    Access, Accounts, BoxFuture, Busy, Door, Identity, IdentityProvider, Register, RegisterError, router,
    serve_unix,
};
use freezeframe_model::{Account, ScriptToken};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixListener, UnixStream};

/// A register that forgets everything but the audit log at the end of the test.
#[derive(Clone, Default)]
struct Paper {
    audit: Arc<Mutex<Vec<String>>>,
    is_full: Arc<Mutex<bool>>,
}

impl Paper {
    fn write(&self) -> Result<(), RegisterError> {
        if *self.is_full.lock().unwrap() { Err(RegisterError("no space left".to_owned())) } else { Ok(()) }
    }
}

impl Register for Paper {
    fn accounts(&self) -> Result<Vec<Account>, RegisterError> {
        Ok(vec![])
    }
    fn put_account(&self, _: &Account) -> Result<(), RegisterError> {
        self.write()
    }
    fn remove_account(&self, _: &str) -> Result<(), RegisterError> {
        self.write()
    }
    fn tokens(&self) -> Result<Vec<ScriptToken>, RegisterError> {
        Ok(vec![])
    }
    fn put_token(&self, _: &ScriptToken) -> Result<(), RegisterError> {
        self.write()
    }
    fn remove_token(&self, _: &str) -> Result<(), RegisterError> {
        self.write()
    }
    fn record(&self, who: &str, what: &str, detail: &str) -> Result<(), RegisterError> {
        self.audit.lock().unwrap().push(format!("{who}: {what}: {detail}"));
        Ok(())
    }
}

/// A server whose accounts are these: names, passwords, roles.
async fn with(people: &[(&str, &str, &str)]) -> (Server, Arc<Door>, Paper) {
    let paper = Paper::default();
    let accounts = Accounts::load(Box::new(paper.clone())).unwrap();
    for (name, password, roles) in people {
        accounts.add("test", name, password, roles.parse().unwrap()).unwrap();
    }
    paper.audit.lock().unwrap().clear();
    let door = Arc::new(Door::new(TOKEN, vec![]).with_accounts(Arc::new(accounts)));
    (start(Access::remote(&door), str::to_owned).await, door, paper)
}

async fn log_in(server: &Server, user: &str, password: &str) -> Answer {
    server.log_in_by_json(&json!({ "user": user, "password": password })).await
}

#[tokio::test]
async fn people_do_what_their_roles_say() {
    let (server, _, paper) =
        with(&[("alice", "correct horse", "view"), ("bob", "battery staple", "view,act")]).await;
    let alice = log_in(&server, "alice", "correct horse").await;
    assert_eq!(alice.status, 200);
    let who: serde_json::Value = serde_json::from_str(&alice.body).unwrap();
    assert_eq!((&who["user"], &who["roles"]), (&json!("alice"), &json!(["view"])));
    let bob = log_in(&server, "bob", "battery staple").await.session();
    let alice = alice.session();
    let send = async |session: &str, method: &str, path: &str| {
        let headers =
            [("Cookie", session), ("Sec-Fetch-Site", "same-origin"), ("Content-Type", "application/json")];
        server.send(method, path, &headers, r#"{"expression":"x"}"#).await
    };
    for (method, path, of_alice, of_bob) in [
        ("GET", "/api/v1/incidents/42", 200, 200),
        ("GET", "/api/v1/incidents/42/capsule", 200, 200),
        ("POST", "/api/v1/incidents/42/kill", 403, 200),
        ("POST", "/api/v1/incidents/42/reveal", 403, 403),
        ("GET", "/api/v1/incidents/42/core", 403, 403),
        ("GET", "/api/v1/users", 403, 403),
        ("POST", "/api/v1/tokens", 403, 403),
        ("DELETE", "/api/v1/users/bob", 403, 403),
        ("GET", "/api/v1/nothing", 404, 404),
    ] {
        assert_eq!(send(&alice, method, path).await.status, of_alice, "alice {method} {path}");
        assert_eq!(send(&bob, method, path).await.status, of_bob, "bob {method} {path}");
    }
    let refused = send(&alice, "POST", "/api/v1/incidents/42/kill").await.body;
    assert!(refused.contains("the role `act` is needed for this"), "{refused}");
    let acts: Vec<String> = server.fake.acts.lock().unwrap().iter().map(|(who, ..)| who.clone()).collect();
    assert_eq!(acts, ["bob"]);
    assert_eq!(*paper.audit.lock().unwrap(), ["alice: login: by password", "bob: login: by password"]);
}

#[tokio::test]
async fn a_session_ends_with_what_it_rests_on() {
    let (server, door, _) = with(&[("alice", "correct horse", "view,act")]).await;
    let accounts = Arc::clone(door.accounts().unwrap());
    let is_in =
        async |session: &str| server.get("/api/v1/session", &[("Cookie", session)]).await.status == 200;
    let change = async |change: &'static (dyn Fn(&Accounts) + Sync)| {
        let accounts = Arc::clone(&accounts);
        tokio::task::spawn_blocking(move || change(&accounts)).await.unwrap();
    };
    let session = log_in(&server, "alice", "correct horse").await.session();
    assert!(is_in(&session).await);
    change(&|accounts| drop(accounts.set_roles("test", "alice", "view".parse().unwrap()).unwrap())).await;
    assert!(!is_in(&session).await, "the roles have changed");

    let session = log_in(&server, "alice", "correct horse").await.session();
    change(&|accounts| drop(accounts.set_password("test", "alice", "battery staple").unwrap())).await;
    assert!(!is_in(&session).await, "the password has changed");
    assert_eq!(log_in(&server, "alice", "correct horse").await.status, 401);

    let session = log_in(&server, "alice", "battery staple").await.session();
    change(&|accounts| drop(accounts.remove("test", "alice").unwrap())).await;
    assert!(!is_in(&session).await, "she is gone");
    change(&|accounts| {
        drop(accounts.add("test", "alice", "battery staple", "view".parse().unwrap()).unwrap())
    })
    .await;
    assert!(!is_in(&session).await, "another of her name is somebody else");
}

#[tokio::test]
async fn scripts_call_with_tokens_of_their_own() {
    let (server, door, _) = with(&[]).await;
    let accounts = door.accounts().unwrap();
    let (token, _) = accounts.add_token("test", "ci", "view".parse().unwrap(), None).unwrap();
    let (over, _) = accounts.add_token("test", "old", "view,act".parse().unwrap(), Some(0)).unwrap();
    let status = async |token: &str, method: &str, path: &str| {
        server.send(method, path, &[("Authorization", &bearer(token))], "").await.status
    };
    assert_eq!(status(&token, "GET", "/api/v1/incidents").await, 200);
    assert_eq!(status(&token, "POST", "/api/v1/incidents/42/kill").await, 403);
    assert_eq!(status(&over, "GET", "/api/v1/incidents").await, 401, "it has expired");
    let who = server.get("/api/v1/session", &[("Authorization", &bearer(&token))]).await.body;
    assert!(who.contains(r#""user":"token ci","roles":["view"],"by":"token""#), "{who}");
    // A token is for headers: with a cookie got for it, it would outlive its end.
    assert_eq!(server.log_in_by_json(&json!({ "token": token })).await.status, 401);
    accounts.remove_token("test", "ci").unwrap();
    assert_eq!(status(&token, "GET", "/api/v1/incidents").await, 401);
}

#[tokio::test]
async fn trying_passwords_closes_the_door_for_that_name_only() {
    let (server, _, paper) =
        with(&[("alice", "correct horse", "view"), ("bob", "battery staple", "view")]).await;
    let bob = log_in(&server, "bob", "battery staple").await.session();
    for status in [401; 10].into_iter().chain([429; 3]) {
        assert_eq!(log_in(&server, "alice", "wrong").await.status, status);
    }
    assert_eq!(log_in(&server, "alice", "correct horse").await.status, 429, "the right one comes too late");
    assert_eq!(log_in(&server, "bob", "battery staple").await.status, 200);
    assert_eq!(server.get("/api/v1/session", &[("Cookie", &bob)]).await.status, 200);
    assert_eq!(server.log_in_by_json(&json!({ "token": TOKEN })).await.status, 200);
    // The audit log hears of some of it, and of how much more there was.
    for _ in 0..30 {
        log_in(&server, "alice", "wrong").await;
    }
    let audit = paper.audit.lock().unwrap();
    let refused: Vec<_> = audit.iter().filter(|line| line.contains("login refused")).collect();
    assert_eq!(refused.len(), 20);
    assert_eq!(refused[0], "nobody: login refused: alice: wrong");
    assert_eq!(refused[10], "nobody: login refused: alice: too many wrong ones before");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_logins_leaves_room_for_everybody_else() {
    let (server, ..) = with(&[("alice", "correct horse", "view")]).await;
    let address = server.address;
    let storm: Vec<_> = (0..200)
        .map(|number| {
            tokio::spawn(async move {
                let body = json!({ "user": format!("user{number}"), "password": "wrong" }).to_string();
                let request = format!(
                    "POST /api/v1/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                     Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
                    body.len()
                );
                exchange(TcpStream::connect(address).await.unwrap(), &request).await.status
            })
        })
        .collect();
    // Meanwhile those who are known are answered at once.
    let begun = Instant::now();
    for _ in 0..20 {
        let answer = server.get("/api/v1/incidents", &[("Authorization", &bearer(TOKEN))]).await;
        assert_eq!(answer.status, 200);
    }
    let waited = begun.elapsed();
    let mut counts = std::collections::BTreeMap::new();
    for task in storm {
        *counts.entry(task.await.unwrap()).or_insert(0) += 1;
    }
    assert_eq!(counts.values().sum::<i32>(), 200);
    assert_eq!(counts.keys().copied().collect::<Vec<u16>>(), [401, 429], "{counts:?}");
    assert!(counts[&401] <= 100, "no more than a hundred passwords are looked at in a minute: {counts:?}");
    assert!(waited.as_secs() < 10, "{waited:?}");
}

#[tokio::test]
async fn names_passwords_and_roles_are_checked() {
    let (_, door, paper) = with(&[("alice", "correct horse", "view")]).await;
    let accounts = door.accounts().unwrap();
    let refused = |name: &str, password: &str, roles: &str| {
        accounts.add("test", name, password, roles.parse().unwrap()).expect_err(name).to_string()
    };
    let letters =
        "a name has 1 to 64 letters, digits and `.`, `_`, `-`, `@`, and begins with a letter or digit";
    for name in ["", "a b", "\u{1b}[2Jroot", "<script>", "session 1", "ä", "../x", &"a".repeat(65)] {
        assert_eq!(refused(name, "long enough", "view"), letters);
    }
    assert_eq!(
        refused("token", "long enough", "view"),
        "that name stands for something else in the audit log"
    );
    assert!(refused("eve", "short", "view").contains("too short"));
    assert!(refused("eve", &"x".repeat(2000), "view").contains("too long"));
    assert!(refused("eve", "long enough", "").contains("at least one role"));
    assert_eq!(refused("alice", "long enough", "view"), "there is already a user of that name");
    assert!(accounts.remove("test", "eve").is_err() && accounts.remove_token("test", "eve").is_err());
    // What cannot be kept is not known either.
    *paper.is_full.lock().unwrap() = true;
    assert_eq!(refused("eve", "long enough", "view"), "no space left");
    assert_eq!(accounts.known_accounts().len(), 1);
}

#[tokio::test]
async fn accounts_are_changed_over_the_socket() {
    let (server, door, paper) = with(&[]).await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("api.sock");
    let router = router(Arc::clone(&server.fake) as _, Access::local_of(&door), PAGE.into());
    let (_end, ended) = tokio::sync::watch::channel(false);
    let local = tokio::spawn(serve_unix(UnixListener::bind(&path).unwrap(), router, ended));
    let send = async |method: &str, what: &str, body: &str| {
        let request = format!(
            "{method} /api/v1/{what} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        exchange(UnixStream::connect(&path).await.unwrap(), &request).await
    };
    for (method, what, body, status) in [
        ("POST", "users", r#"{"name":"alice","password":"correct horse","roles":["view"]}"#, 200),
        ("POST", "users", r#"{"name":"alice","password":"correct horse","roles":["view"]}"#, 409),
        ("POST", "users", r#"{"name":"bob","password":"correct horse","roles":["root"]}"#, 400),
        ("POST", "users", r#"{"name":"bob","password":"short","roles":["view"]}"#, 400),
        ("POST", "users", r#"{"name":"bob"}"#, 400),
        ("POST", "users/alice/roles", r#"{"roles":["view","act"]}"#, 200),
        ("POST", "users/nobody/roles", r#"{"roles":["view","act"]}"#, 404),
        ("POST", "users/alice/password", r#"{"password":"battery staple"}"#, 200),
        ("POST", "tokens", r#"{"name":"ci","roles":["view"],"expires_in_ms":60000}"#, 200),
        ("DELETE", "tokens/nothing", "", 404),
        ("DELETE", "users/nobody", "", 404),
    ] {
        let answer = send(method, what, body).await;
        assert_eq!(answer.status, status, "{method} {what} {body}: {}", answer.body);
    }
    assert_eq!(log_in(&server, "alice", "battery staple").await.status, 200);
    let users: serde_json::Value = serde_json::from_str(&send("GET", "users", "").await.body).unwrap();
    assert_eq!(users["schema"], "freezeframe-users/1");
    assert_eq!(
        (&users["users"][0]["name"], &users["users"][0]["roles"]),
        (&json!("alice"), &json!(["view", "act"]))
    );
    let tokens = send("GET", "tokens", "").await.body;
    assert!(tokens.contains(r#""name":"ci""#) && !tokens.contains("fft_"), "{tokens}");
    assert_eq!(send("DELETE", "tokens/ci", "").await.status, 200);
    assert_eq!(send("DELETE", "users/alice", "").await.status, 200);
    let audit = paper.audit.lock().unwrap().join("\n");
    for what in [
        "user add: alice view",
        "user roles: alice view,act",
        "user password: alice",
        "token add: ci view",
        "user remove: alice",
    ] {
        assert!(audit.lines().any(|line| line.starts_with("uid ") && line.contains(what)), "{what}\n{audit}");
    }
    local.abort();
}

/// Somebody else who knows people, as a single sign-on would.
struct Elsewhere;

impl IdentityProvider for Elsewhere {
    fn identify<'a>(
        &'a self,
        user: &'a str,
        password: &'a str,
    ) -> BoxFuture<'a, Result<Option<Identity>, Busy>> {
        let known = (password == "from elsewhere").then(|| Identity {
            user: user.to_owned(),
            roles: "view".parse().unwrap(),
            version: 1,
        });
        Box::pin(async move { if user == "busy" { Err(Busy) } else { Ok(known) } })
    }

    fn is_current(&self, identity: &Identity) -> bool {
        identity.user != "left@example.org"
    }
}

#[tokio::test]
async fn people_may_be_known_elsewhere() {
    let door = Arc::new(Door::new(TOKEN, vec![]).with_provider(Arc::new(Elsewhere)));
    let server = start(Access::remote(&door), str::to_owned).await;
    let session = log_in(&server, "carol@example.org", "from elsewhere").await.session();
    assert_eq!(server.get("/api/v1/incidents", &[("Cookie", &session)]).await.status, 200);
    assert_eq!(log_in(&server, "carol@example.org", "wrong").await.status, 401);
    assert_eq!(log_in(&server, "busy", "from elsewhere").await.status, 429);
    let left = log_in(&server, "left@example.org", "from elsewhere").await.session();
    assert_eq!(server.get("/api/v1/session", &[("Cookie", &left)]).await.status, 401);
}

#[tokio::test]
async fn files_come_whole_or_visibly_not() {
    let (server, ..) = with(&[]).await;
    let token = bearer(TOKEN);
    let answer = server.get("/api/v1/incidents/42/core", &[("Authorization", &token)]).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-disposition"), Some("attachment; filename=\"INC-42.core.zst\""));
    let mut whole = String::new();
    let mut rest = answer.body.as_str();
    while let Some((length, after)) = rest.split_once("\r\n").filter(|(length, _)| *length != "0") {
        let length = usize::from_str_radix(length, 16).unwrap();
        whole += &after[..length];
        rest = &after[length + 2..];
    }
    assert_eq!(rest, "0\r\n\r\n", "the end is marked");
    assert_eq!(whole, "token Core\n".repeat(100_000));
    let missing = server.get("/api/v1/incidents/7/capsule", &[("Authorization", &token)]).await;
    assert_eq!(missing.status, 404);
}

#[tokio::test]
async fn hostile_requests_are_bounded() {
    let (server, ..) = with(&[("alice", "correct horse", "view")]).await;
    let id = "0".repeat(64);
    let long = "x".repeat(4096);
    for cookie in [
        "freezeframe_session=",
        "freezeframe_session=; freezeframe_session=x",
        "=;;;=",
        "freezeframe_session=\"",
        &format!("freezeframe_session={long}"),
        &format!("freezeframe_session={id}; freezeframe_session={id}"),
        &format!("freezeframe_session={}", "é".repeat(32)),
    ] {
        assert_eq!(server.get("/api/v1/session", &[("Cookie", cookie)]).await.status, 401, "{cookie:.60}");
    }
    for authorization in ["Bearer", "Bearer ", "bearer\t", "Basic YTpi", "Bearer é", &bearer(&long)] {
        let answer = server.get("/api/v1/session", &[("Authorization", authorization)]).await;
        assert!([401, 429].contains(&answer.status), "{authorization:.60}");
    }
    let headers: Vec<(String, &str)> = (0..100).map(|number| (format!("X-{number}"), "x")).collect();
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    assert_eq!(server.get("/api/v1/session", &headers).await.status, 431);
    // Refused before it has all come, so that the client may not even get to read why.
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let huge = format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Huge: {}\r\n\r\n", "x".repeat(1 << 20));
    let _ = stream.write_all(huge.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(
        answer.is_empty() || answer.starts_with(b"HTTP/1.1 431 "),
        "{}",
        String::from_utf8_lossy(&answer)
    );
    for body in [
        json!({ "user": long, "password": long }),
        json!({ "user": "alice\u{0}", "password": "\u{0}" }),
        json!({ "user": "\u{1b}]0;owned\u{7}", "password": "correct horse" }),
    ] {
        assert_eq!(server.log_in_by_json(&body).await.status, 401);
    }
    assert_eq!(log_in(&server, "alice", "correct horse").await.status, 200, "it still serves");
}
