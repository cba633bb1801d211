//! Several services behind one gate: routes, fixed upstreams, their health, and tables that change under load.
#![allow(missing_docs)]

mod common;

use common::*;
use freezeframe_gate::{Config, Gate, Route, RouteTable, Service, Upstream, Upstreams};
use freezeframe_model::{InstanceId, Outcome};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn route(name: &str, host: Option<&str>, path: &str, service: &str) -> Route {
    let (name, path, host) = (name.to_owned(), path.to_owned(), host.map(str::to_owned));
    Route { name, path, host, ..Route::to(service) }
}

fn get(host: &str, path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")
}

async fn status(client: &mut Wire, request: String) -> u16 {
    client.send(request).await;
    client.response().await.status
}

#[tokio::test]
async fn host_and_path_decide_which_service_answers() {
    let (shop, pay) = (Backend::bind().await, Backend::bind().await);
    let routes = RouteTable {
        services: vec![service("shop", &[shop.addr]), service("pay", &[pay.addr])],
        routes: vec![
            route("shop", Some("*.example"), "/", "shop"),
            route("pay", Some("*.example"), "/pay", "pay"),
        ],
    };
    let (gate, _) = start(Config { routes, ..config() });
    let mut client = Wire::connect(&gate).await;
    for (backend, path) in [(&shop, "/paypal"), (&pay, "/pay/1?x=/.."), (&pay, "/pay")] {
        client.send(get("eu.example:80", path)).await;
        let (mut instance, head) = backend.request().await;
        assert!(head.starts_with(&format!("GET {path} ")), "{head}");
        instance.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").await;
        assert_eq!(client.response().await.status, 200);
    }
    assert_eq!(status(&mut client, get("other", "/pay")).await, 404);
    // Which of the two services this means depends on who reads it.
    assert_eq!(status(&mut client, get("eu.example", "/pay/%2e%2e/admin")).await, 400);
}

#[tokio::test]
async fn an_upstream_can_be_a_unix_socket() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("shop.sock");
    let listener = UnixListener::bind(&path).expect("bound");
    let upstreams = Upstreams::Fixed(vec![Upstream::Unix(path)]);
    let services = vec![Service::new("shop", upstreams)];
    let routes = RouteTable { services, routes: vec![Route::to("shop")] };
    let (gate, _) = start(Config { routes, ..config() });
    let mut client = Wire::connect(&gate).await;
    client.send("GET / HTTP/1.0\r\n\r\n").await;
    let (mut instance, _) = patiently("a connection", listener.accept()).await.expect("accepted");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(patiently("a head", instance.read_u8()).await.expect("read"));
    }
    assert!(String::from_utf8_lossy(&head).contains("host: localhost\r\n"));
    instance.write_all(OK.as_bytes()).await.expect("written");
    assert_eq!(client.response().await.body, "ok");
}

#[tokio::test]
async fn a_new_table_keeps_what_is_in_both_and_lets_the_rest_finish() {
    let (one, two) = (Backend::bind().await, Backend::bind().await);
    let (gate, recorder) = start(Config { workers: 1, routes: one_route(&[one.addr], |_| ()), ..config() });
    let before = gate.upstreams();
    let mut slow = Wire::connect(&gate).await;
    slow.send(get("a", "/slow")).await;
    let (mut old, _) = one.request().await;
    // The same upstream, with other limits: it is the same to the pool.
    gate.configure(one_route(&[one.addr], |route| route.deadline_ms = Some(60_000))).expect("valid");
    assert_eq!(gate.upstreams(), before);
    gate.configure(one_route(&[two.addr], |_| ())).expect("valid");
    assert_ne!(gate.upstreams()[0].id, before[0].id);
    let mut client = Wire::connect(&gate).await;
    client.send(get("a", "/new")).await;
    let (mut new, head) = two.request().await;
    assert!(head.starts_with("GET /new "), "{head}");
    new.send(OK).await;
    assert_eq!(client.response().await.status, 200);
    old.send(OK).await;
    assert_eq!(slow.response().await.status, 200, "what was under way ends well");
    assert_eq!(old.rest().await, "", "its connection is not kept");
    // What cannot be is refused, and changes nothing.
    let in_use = gate.routes();
    let bad = RouteTable { routes: vec![Route::to("nowhere")], ..in_use.clone() };
    let error = gate.configure(bad).expect_err("refused").to_string();
    assert_eq!(error, "route \"nowhere\" leads to the service \"nowhere\", which does not exist");
    assert_eq!(gate.routes(), in_use);
    assert!(recorder.first(2).await.iter().all(|exchange| exchange.outcome == Outcome::Answered));
}

#[tokio::test]
async fn supervised_and_fixed_instances_do_not_mix() {
    let (fixed, supervised) = (Backend::bind().await, Backend::bind().await);
    let mut routes = RouteTable::default();
    routes.services.push(service("static", &[fixed.addr]));
    routes.routes.push(route("static", None, "/static", "static"));
    let (gate, _) = start(Config { routes, ..config() });
    gate.route(InstanceId(1), supervised.addr);
    let mut client = Wire::connect(&gate).await;
    for (backend, path) in [(&fixed, "/static/x"), (&supervised, "/x")] {
        client.send(get("a", path)).await;
        let (mut instance, _) = backend.request().await;
        instance.send(OK).await;
        assert_eq!(client.response().await.status, 200);
    }
    gate.unroute(InstanceId(1));
    assert_eq!(gate.upstreams().len(), 1);
}

#[tokio::test]
async fn an_upstream_that_refuses_is_left_alone_until_a_probe_gets_through() {
    let alive = Backend::bind().await;
    let dead = dead_addr().await;
    let routes = one_route(&[alive.addr, dead], |_| ());
    let (gate, _) = start(Config { workers: 1, probe_ms: 20, routes, ..config() });
    let is_up =
        |gate: &Gate| gate.upstreams().iter().find(|state| state.upstream == dead.into()).map(|s| s.up);
    assert_eq!(is_up(&gate), Some(true), "nobody knows better");
    let serve = async {
        let (mut instance, _) = alive.request().await;
        loop {
            instance.send(OK).await;
            instance.head().await;
        }
    };
    let ask = async {
        let mut client = Wire::connect(&gate).await;
        while is_up(&gate) == Some(true) {
            assert_eq!(status(&mut client, get("a", "/")).await, 200, "no client sees it");
        }
        let listener = tokio::net::TcpListener::bind(dead).await.expect("nobody took the port");
        patiently("a probe", listener.accept()).await.expect("accepted");
        patiently("it to be used again", async {
            while is_up(&gate) == Some(false) {
                tokio::task::yield_now().await;
            }
        })
        .await;
    };
    tokio::select! {
        () = serve => unreachable!("it serves on"),
        () = ask => {}
    }
}

#[tokio::test]
async fn retries_are_for_idempotent_requests_of_routes_that_allow_them_within_a_budget() {
    let (one, two) = (Backend::bind().await, Backend::bind().await);
    let routes = one_route(&[one.addr, two.addr], |route| route.retries = 1);
    let (gate, recorder) = start(Config { workers: 1, routes, ..config() });
    let fail = |backend: Backend| async move {
        loop {
            let (instance, _) = backend.request().await;
            drop(instance);
        }
    };
    let ask = async {
        let mut client = Wire::connect(&gate).await;
        for _ in 0..40 {
            assert_eq!(status(&mut client, get("a", "/")).await, 502);
        }
        let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n".to_owned();
        assert_eq!(status(&mut client, post).await, 502);
    };
    tokio::select! {
        () = fail(one) => unreachable!("it fails on"),
        () = fail(two) => unreachable!("it fails on"),
        () = ask => {}
    }
    let exchanges = recorder.first(41).await;
    // Ten saved up, and a fifth of the requests.
    let retried = exchanges.iter().filter(|exchange| exchange.retried).count();
    assert!((15..=18).contains(&retried), "{retried} of 40");
    assert!(!exchanges[40].retried, "a POST is sent once");
}
