//! A connection that both ends agreed to use for something else than HTTP (RFC 9110 section 7.8), such as a WebSocket.

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use freezeframe_model::Outcome;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional;

use crate::errand::chain;
use crate::flight::Flight;
use crate::slot::Verdict;
use crate::worker::Link;

/// Passes bytes both ways until both ends are done or somebody decides otherwise; each direction may end before the other.
/// The client's connection counts as open for as long as this runs.
pub(crate) async fn run(client: OnUpgrade, upstream: OnUpgrade, mut flight: Box<Flight>, link: Rc<Link>) {
    let outcome = {
        let mut relay = pin!(relay(client, upstream));
        poll_fn(|cx| {
            if let Poll::Ready(verdict) = flight.poll_verdict(cx) {
                let (Verdict::Abort(incident) | Verdict::Refuse(incident) | Verdict::Retry(incident)) =
                    verdict;
                return Poll::Ready(Outcome::Refused(incident));
            }
            relay.as_mut().poll(cx)
        })
        .await
    };
    flight.end(outcome);
    drop(link);
}

async fn relay(client: OnUpgrade, upstream: OnUpgrade) -> Outcome {
    let upstream = match upstream.await {
        Ok(upgraded) => upgraded,
        Err(error) => return Outcome::UpstreamFailed(chain(&error)),
    };
    let Ok(client) = client.await else { return Outcome::ClientGone };
    let (mut client, mut upstream) = (TokioIo::new(client), TokioIo::new(upstream));
    match copy_bidirectional(&mut client, &mut upstream).await {
        Ok(_) => Outcome::Answered,
        // Either end may have been reset; a tunnel that breaks is nobody's failed request.
        Err(_) => Outcome::ClientGone,
    }
}
