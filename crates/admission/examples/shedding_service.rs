//! A service that sheds inside itself: at most four reports at a time, eight more wait, nobody waits above two seconds. The health
//! check is in a higher tier: it is first in line, and once it has been used lately a slot is kept for it.
//!
//! `cargo run -p freezeframe-admission --example shedding_service`, then for example
//! `wrk -c64 -d10 http://127.0.0.1:8080/report` and, meanwhile, `curl -i http://127.0.0.1:8080/health`.
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use axum::body::Body;
use axum::routing::get;
use freezeframe_admission::{Admission, Config, Door, InstanceId, Request, Route, RouteId, SheddingLayer};

const HEALTH: RouteId = RouteId(1);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let report = Route { deadline_us: 2_000_000, ..Route::default() };
    let health = Route { deadline_us: 500_000, tier: 0, ..Route::default() };
    let config = Config { queue_max: 8, routes: vec![report, health], ..Config::default() };
    let door = Door::new(Admission::new(config)?);
    door.instance_up(InstanceId(0), 4);

    let layer = SheddingLayer::new(door, classify);
    let service = axum::Router::new()
        .route("/report", get(slow_report))
        .route("/health", get(|| async { "well\n" }))
        .layer(layer);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, service).await?;
    Ok(())
}

fn classify(request: &axum::http::Request<Body>) -> Request {
    let route = if request.uri().path() == "/health" { HEALTH } else { RouteId(0) };
    // Whoever has a session shares the fate of its cohort.
    let user = request.headers().get("cookie").map(|cookie| {
        let mut hasher = DefaultHasher::new();
        cookie.hash(&mut hasher);
        hasher.finish()
    });
    Request { route, user, ..Request::default() }
}

async fn slow_report() -> &'static str {
    tokio::time::sleep(Duration::from_millis(300)).await;
    "a report\n"
}
