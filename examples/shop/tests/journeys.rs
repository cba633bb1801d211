//! The shop as users meet it: everything honest works, and every story breaks as it says.

mod common;

use std::time::Duration;

use common::postgres::Postgres;
use common::{Answer, Browser, Server};
use shop::{Breaks, STORIES, Story, honest_request};

const SIGABRT: i32 = 6;
const SIGSEGV: i32 = 11;

fn story(name: &str) -> &'static Story {
    STORIES.iter().find(|story| story.name == name).unwrap()
}

/// All but the last `breaking` answers of a story's journey are ordinary.
fn assert_ordinary_before(answers: &[Answer], breaking: usize) {
    for answer in &answers[..answers.len() - breaking] {
        assert!((200..300).contains(&answer.status()), "{answer:?}");
    }
}

/// Ordinary use on several connections, with and without cookies.
fn honest_traffic(server: &Server, requests: u64) {
    let clients: Vec<_> = (0..4)
        .map(|client| {
            let mut browser = Browser::new(server.address);
            std::thread::spawn(move || {
                for n in 0..requests {
                    let request = honest_request(client * requests + n);
                    let answer = browser.send(&request);
                    assert!((200..300).contains(&answer.status()), "{request:?}: {answer:?}");
                }
            })
        })
        .collect();
    for client in clients {
        client.join().unwrap();
    }
    let log = server.log();
    assert!(!log.contains("ERROR") && !log.contains("WARN") && !log.contains("panicked"), "{log}");
}

/// A whole purchase, until the worker has shipped it; of a customer whom honest traffic leaves alone.
fn buys_and_receives(server: &Server) {
    let mut browser = Browser::new(server.address);
    let post = |path: &'static str, body: &'static str| shop::Request {
        method: "POST",
        path: path.into(),
        content_type: Some("application/json"),
        body: body.into(),
        at_once: false,
    };
    assert_eq!(browser.send(&post("/login", r#"{"login": "tony", "password": "wrong"}"#)).status(), 401);
    assert_eq!(
        browser.send(&post("/login", r#"{"login": "tony", "password": "tony-secret"}"#)).status(),
        200
    );
    assert_eq!(browser.send(&post("/checkout", "{}")).status(), 400, "an empty cart");
    assert_eq!(
        browser.send(&post("/cart", r#"{"product_id": 9, "quantity": 6}"#)).status(),
        409,
        "five on hand"
    );
    assert_eq!(browser.send(&post("/cart", r#"{"product_id": 1, "quantity": 2}"#)).status(), 201);
    assert_eq!(browser.send(&post("/checkout", r#"{"coupon": "NONE"}"#)).status(), 404);
    let bought = browser.send(&post("/checkout", r#"{"coupon": "WELCOME10"}"#));
    let Answer::Status(201, body) = bought else { panic!("{bought:?}") };
    let answer: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(answer["total_cents"], 2 * 1890 - 378 + 590);
    let order = format!("/orders/{}", answer["order"]);
    let shipped = (0..600).any(|_| {
        let Answer::Status(200, body) = browser.get(&order) else { panic!("{order} is gone") };
        let shipped = body.contains("\"shipped\"");
        if !shipped {
            std::thread::sleep(Duration::from_millis(50));
        }
        shipped
    });
    assert!(shipped, "never shipped");
    assert_eq!(browser.get("/cart"), Answer::Status(200, "[]".into()), "emptied");
    let Answer::Status(200, loyalty) = browser.get("/loyalty/14") else { panic!("no points") };
    assert!(loyalty.contains(&format!("{} points", 20 + 37)), "{loyalty}");
    assert_eq!(
        browser.send(&post("/transfer", r#"{"from": "wallet", "to": "gifts", "cents": 700}"#)).status(),
        200
    );
    assert_eq!(browser.get("/admin/summary").status(), 403);
    let mut admin = Browser::new(server.address);
    assert_eq!(admin.get("/admin/summary").status(), 401);
    assert_eq!(
        admin.send(&post("/login", r#"{"login": "admin", "password": "admin-secret"}"#)).status(),
        200
    );
    let Answer::Status(200, summary) = admin.get("/admin/summary") else { panic!("no summary") };
    assert!(summary.contains("\"orders_waiting\":0"), "{summary}");
    assert_eq!(browser.send(&post("/cart", "{")).status(), 400);
    assert_eq!(browser.get("/products/99").status(), 404);
}

/// Ends as asked, with code 0.
fn stops(mut server: Server) {
    server.terminate();
    assert_eq!(server.wait(), Err(0), "{}", server.log());
}

#[test]
fn works_in_memory() {
    let server = Server::start(&[]);
    honest_traffic(&server, 200);
    buys_and_receives(&server);
    stops(server);
}

#[test]
fn two_processes_share_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("shop.db");
    let environment = [("SHOP_DB", file.to_str().unwrap())];
    let (one, two) = std::thread::scope(|scope| {
        let one = scope.spawn(|| Server::start(&environment));
        let two = scope.spawn(|| Server::start(&environment));
        (one.join().unwrap(), two.join().unwrap())
    });
    std::thread::scope(|scope| {
        scope.spawn(|| honest_traffic(&one, 100));
        scope.spawn(|| honest_traffic(&two, 100));
    });
    buys_and_receives(&two);
    stops(one);
    stops(two);
}

#[test]
fn works_on_postgresql() {
    let Some(postgres) = Postgres::find() else { return };
    let server = Server::start(&[("DATABASE_URL", &postgres.url)]);
    honest_traffic(&server, 100);
    // The second process finds the tables filled.
    let second = Server::start(&[("DATABASE_URL", &postgres.url)]);
    if std::env::var_os("FREEZEFRAME_TEST_POSTGRES").is_none() {
        buys_and_receives(&second); // counts on a fresh database
    }
    for name in ["divide-by-zero", "server-error"] {
        let answers = Browser::new(server.address).travel(story(name).journey);
        assert_ordinary_before(&answers, 1);
    }
    server.wait_for_log("attempt to divide by zero");
    server.wait_for_log("reviews_rating_check");
    stops(second);
    stops(server);
}

#[test]
fn divide_by_zero() {
    panics_and_goes_on("divide-by-zero", 1);
}

#[test]
fn out_of_bounds() {
    panics_and_goes_on("out-of-bounds", 1);
}

#[test]
fn poisoned_lock() {
    panics_and_goes_on("poisoned-lock", 2);
}

/// Connections of the breaking requests close, the message is in the log, and everybody else is served.
fn panics_and_goes_on(name: &str, breaking: usize) {
    let story = story(name);
    let Breaks::Panic(message) = story.breaks else { panic!("{:?}", story.breaks) };
    let mut server = Server::start(&[]);
    let answers = Browser::new(server.address).travel(story.journey);
    assert_ordinary_before(&answers, breaking);
    assert!(answers.iter().rev().take(breaking).all(|answer| *answer == Answer::Closed), "{answers:?}");
    server.wait_for_log(message);
    assert!(server.is_running());
    assert_eq!(Browser::new(server.address).get("/health").status(), 200);
    stops(server);
}

#[test]
fn server_error() {
    let story = story("server-error");
    let server = Server::start(&[]);
    let answers = Browser::new(server.address).travel(story.journey);
    assert_ordinary_before(&answers, 1);
    assert_eq!(story.breaks, Breaks::Status(answers.last().unwrap().status()));
    let line = server.wait_for_log("ERROR");
    assert!(line.contains("CHECK constraint failed") && line.contains("path=\"/reviews\""), "{line}");
    stops(server);
}

#[test]
fn assertion() {
    let story = story("assertion");
    let server = Server::start(&[]);
    for _ in 0..2 {
        // Any number of times: the shelf is refilled.
        let answers = Browser::new(server.address).travel(story.journey);
        assert_ordinary_before(&answers, 0);
        let Answer::Status(201, body) = answers.last().unwrap() else { panic!("{answers:?}") };
        assert!(body.contains("\"complete\":false"), "{body}");
    }
    server.wait_for_log("back-order");
    stops(server);
}

#[test]
fn use_after_free() {
    let mut server = Server::start(&[]);
    let answers = Browser::new(server.address).travel(story("use-after-free").journey);
    assert_ordinary_before(&answers, 1);
    assert_eq!(answers.last(), Some(&Answer::Closed));
    assert_eq!(server.wait(), Ok(SIGSEGV), "{}", server.log());
}

#[test]
fn abort() {
    let mut server = Server::start(&[]);
    let answers = Browser::new(server.address).travel(story("abort").journey);
    // The worker may be faster than the answer.
    assert_ordinary_before(&answers, 1);
    assert_eq!(server.wait(), Ok(SIGABRT), "{}", server.log());
    assert!(server.log().contains("panic in a function that cannot unwind"), "{}", server.log());
}

#[test]
fn deadlock() {
    let server = Server::start(&[]);
    let mut browser = Browser::new(server.address);
    browser.patience = Duration::from_secs(3);
    let answers = browser.travel(story("deadlock").journey);
    assert_ordinary_before(&answers, 2);
    assert!(answers.iter().rev().take(2).all(|answer| *answer == Answer::Silence), "{answers:?}");
    assert_eq!(browser.get("/health"), Answer::Silence);
    assert_eq!(browser.get("/products/1").status(), 200, "what does not touch the books goes on");
}

/// The supervisor finds the SDK by these names.
#[test]
fn the_binary_has_the_symbols_of_the_sdk() {
    let output = std::process::Command::new("nm").arg(env!("CARGO_BIN_EXE_shop")).output().unwrap();
    let symbols = String::from_utf8(output.stdout).unwrap();
    let kind = |name: &str| {
        let line = symbols.lines().find(|line| line.ends_with(&format!(" {name}")));
        line.unwrap_or_else(|| panic!("no {name}")).split(' ').nth(1).unwrap().to_ascii_lowercase()
    };
    assert_eq!(kind("freezeframe_trap"), "t");
    assert!(["b", "d"].contains(&kind("freezeframe_armed").as_str()));
}

#[test]
fn stories_have_names_of_their_own_and_end_in_a_request() {
    let names: std::collections::BTreeSet<_> = STORIES.iter().map(|story| story.name).collect();
    assert_eq!(names.len(), STORIES.len());
    for story in STORIES {
        assert!(!story.journey.is_empty() && !story.summary.ends_with('.'), "{story:?}");
        assert!(story.journey.iter().all(|request| (request.method == "GET") == request.body.is_empty()));
    }
}
