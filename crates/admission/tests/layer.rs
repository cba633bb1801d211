//! The layer in front of a service, on tokio's clock.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use freezeframe_admission::{Admission, Config, Door, InstanceId, Request, Route, SheddingLayer};
use tower_layer::Layer;
use tower_service::Service;

/// Answers after a while; counts how many it works on at one time.
#[derive(Clone, Default)]
struct Slow {
    takes: Duration,
    now: Arc<AtomicU32>,
    most: Arc<AtomicU32>,
}

impl Service<http::Request<()>> for Slow {
    type Response = http::Response<String>;
    type Error = Infallible;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: http::Request<()>) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            let now = this.now.fetch_add(1, Ordering::SeqCst) + 1;
            this.most.fetch_max(now, Ordering::SeqCst);
            tokio::time::sleep(this.takes).await;
            this.now.fetch_sub(1, Ordering::SeqCst);
            Ok(http::Response::new("done".to_owned()))
        })
    }
}

async fn statuses(takes_ms: u64, deadline_ms: u64, requests: usize) -> (Vec<u16>, u32) {
    let route = Route { deadline_us: deadline_ms * 1_000, ..Route::default() };
    let config = Config { queue_max: 3, routes: vec![route], ..Config::default() };
    let door = Door::new(Admission::new(config).expect("a good configuration"));
    door.instance_up(InstanceId(0), 2);
    let slow = Slow { takes: Duration::from_millis(takes_ms), ..Slow::default() };
    let layer = SheddingLayer::new(Arc::clone(&door), |_: &http::Request<()>| Request::default());
    let mut service = layer.layer(slow.clone());
    let calls: Vec<_> = (0..requests).map(|_| tokio::spawn(service.call(http::Request::new(())))).collect();
    let mut statuses = Vec::new();
    for call in calls {
        let Ok(response) = call.await.expect("no panic");
        let is_refused = !response.status().is_success();
        assert_eq!(response.headers().contains_key("retry-after"), is_refused);
        statuses.push(response.status().as_u16());
    }
    statuses.sort_unstable();
    assert_eq!(door.with(|admission, _| (admission.queued(), admission.in_flight())), (0, 0));
    (statuses, slow.most.load(Ordering::SeqCst))
}

#[tokio::test]
async fn two_at_a_time_three_wait_the_others_are_refused_at_once() {
    let (statuses, most) = statuses(20, 20_000, 8).await;
    assert_eq!((statuses, most), (vec![200, 200, 200, 200, 200, 429, 429, 429], 2));
}

#[tokio::test]
async fn nobody_waits_beyond_the_deadline() {
    let began = std::time::Instant::now();
    let (statuses, most) = statuses(60_000, 100, 5).await;
    assert_eq!((statuses, most), (vec![503; 5], 2));
    assert!(began.elapsed() < Duration::from_secs(30));
}

#[tokio::test]
async fn clients_that_go_leave_the_queue_and_their_slot() {
    let config = Config { queue_max: 8, ..Config::default() };
    let door = Door::new(Admission::new(config).expect("a good configuration"));
    door.instance_up(InstanceId(0), 1);
    let first = door.enter(&Request::default()).await.expect("a free slot");
    let waiting: Vec<_> = (0..3).map(|_| door.enter(&Request::default())).collect();
    let counts = || door.with(|admission, _| (admission.queued(), admission.in_flight()));
    assert_eq!(counts(), (3, 1));
    let mut waiting = waiting.into_iter();
    drop(waiting.next());
    assert_eq!(counts(), (2, 1));
    // The next one is forwarded, but its task goes away before it notices.
    drop(first);
    assert_eq!(counts(), (1, 1));
    drop(waiting.next());
    assert_eq!(counts(), (0, 1));
    let last = waiting.next().expect("three").await.expect("its turn");
    drop(last);
    assert_eq!(counts(), (0, 0));
}
