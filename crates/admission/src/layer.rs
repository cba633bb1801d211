//! A `tower::Layer` for a service that sheds inside itself: 429 and 503 are answered here, and what is forwarded is dropped at
//! its deadline. It needs tokio's timer, and knows nothing of the service but that it answers HTTP requests. A request is in
//! flight until the service returns its response; a body that is streamed after that is not counted.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::RETRY_AFTER;
use http::{HeaderValue, StatusCode};
use tokio::time::sleep_until;
use tower_layer::Layer;
use tower_service::Service;

use crate::{Door, Enter, Outcome, Permit, Reason, Request, Shed};

/// What of an HTTP request matters: its route, its tier, its user.
type Classify<B> = dyn Fn(&http::Request<B>) -> Request + Send + Sync;

/// Puts a [`Door`] before a service. The door needs one instance: the service itself.
pub struct SheddingLayer<B> {
    door: Arc<Door>,
    classify: Arc<Classify<B>>,
}

impl<B> SheddingLayer<B> {
    /// All services of this layer share the door. `classify` says what kind of request it is.
    pub fn new(
        door: Arc<Door>,
        classify: impl Fn(&http::Request<B>) -> Request + Send + Sync + 'static,
    ) -> Self {
        Self { door, classify: Arc::new(classify) }
    }
}

impl<B> Clone for SheddingLayer<B> {
    fn clone(&self) -> Self {
        Self { door: Arc::clone(&self.door), classify: Arc::clone(&self.classify) }
    }
}

impl<S, B> Layer<S> for SheddingLayer<B> {
    type Service = Shedding<S, B>;

    fn layer(&self, inner: S) -> Self::Service {
        Shedding { inner, layer: self.clone() }
    }
}

/// A service behind a door.
pub struct Shedding<S, B> {
    inner: S,
    layer: SheddingLayer<B>,
}

impl<S: Clone, B> Clone for Shedding<S, B> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), layer: self.layer.clone() }
    }
}

/// The answer of a service, or a refusal.
pub type SheddingFuture<R, E> = Pin<Box<dyn Future<Output = Result<http::Response<R>, E>> + Send>>;

impl<S, B, R> Service<http::Request<B>> for Shedding<S, B>
where
    S: Service<http::Request<B>, Response = http::Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
    B: Send + 'static,
    R: Default,
{
    type Response = http::Response<R>;
    type Error = S::Error;
    type Future = SheddingFuture<R, S::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        // Always: what cannot be served is refused, not kept outside where nobody counts it.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let door = Arc::clone(&self.layer.door);
        let enter = door.enter(&(self.layer.classify)(&request));
        let mut inner = self.inner.clone();
        Box::pin(async move {
            let permit = match wait(&door, enter).await {
                Ok(permit) => permit,
                Err(shed) => return Ok(refusal(shed)),
            };
            let work = async {
                poll_fn(|cx| inner.poll_ready(cx)).await?;
                inner.call(request).await
            };
            match in_time(&door, &permit, work).await {
                Some(done) => {
                    let failed = done.as_ref().map_or(true, |response| response.status().is_server_error());
                    permit.finish(if failed { Outcome::Failed } else { Outcome::Answered });
                    done
                }
                // The work is dropped, and with it the slot is free.
                None => Ok(refusal(Shed { reason: Reason::WaitedTooLong, retry_after_us: 0 })),
            }
        })
    }
}

/// Waits at the door, and keeps its time meanwhile.
async fn wait(door: &Door, enter: Enter) -> Result<Permit, Shed> {
    let mut enter = pin!(enter);
    loop {
        let next = door.next_tick_us().map(|at_us| sleep_until(door.instant(at_us).into()));
        let Some(next) = next else { return enter.await };
        let mut next = pin!(next);
        let told = poll_fn(|cx| match enter.as_mut().poll(cx) {
            Poll::Ready(told) => Poll::Ready(Some(told)),
            Poll::Pending => next.as_mut().poll(cx).map(|()| None),
        });
        match told.await {
            Some(told) => return told,
            None => door.tick(),
        }
    }
}

/// What comes of `work`, unless the deadline comes first.
async fn in_time<F: Future>(door: &Door, permit: &Permit, work: F) -> Option<F::Output> {
    let mut work = pin!(work);
    let mut deadline = pin!(sleep_until(door.instant(permit.deadline_us()).into()));
    poll_fn(|cx| {
        if let Poll::Ready(done) = work.as_mut().poll(cx) {
            return Poll::Ready(Some(done));
        }
        deadline.as_mut().poll(cx).map(|()| {
            // Told before the slot is given back: that it was late is what is learnt from it.
            door.tick();
            None
        })
    })
    .await
}

fn refusal<R: Default>(shed: Shed) -> http::Response<R> {
    let mut response = http::Response::new(R::default());
    let status = StatusCode::from_u16(shed.reason.status());
    *response.status_mut() = status.unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(shed.retry_after_s()));
    response
}
