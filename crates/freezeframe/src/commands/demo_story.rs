//! The demo's clients: honest traffic, and the user who meets the bug.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use freezeframe_http::{Endpoint, Head, Outgoing};
use shop::Story;

/// Clients of honest traffic; each waits for its answer before it asks again.
const CLIENTS: u64 = 8;
/// Between two requests of one client: a demo must not look like a benchmark.
const THINK: Duration = Duration::from_millis(4);
/// How often a story is tried that depends on two requests meeting.
const TRIES: usize = 50;
/// A request that hangs (the story of the deadlock) is given up.
const ANSWER_LIMIT: Duration = Duration::from_secs(15);
/// The shop's answers are short.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// What honest traffic met.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) answered: AtomicU64,
    pub(super) failed: AtomicU64,
    over: AtomicBool,
}

impl Tally {
    pub(super) fn stop(&self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

/// Ordinary users, until [`Tally::stop`].
pub(super) fn honest_traffic(gate: SocketAddr) -> Arc<Tally> {
    let tally = Arc::new(Tally::default());
    for client in 0..CLIENTS {
        let tally = tally.clone();
        tokio::spawn(async move {
            let mut user = User::default();
            let mut n = client;
            while !tally.over.load(Ordering::Relaxed) {
                let answered = user.ask(gate, &shop::honest_request(n)).await;
                let good = answered.is_ok_and(|answer| answer.status < 500);
                if good { &tally.answered } else { &tally.failed }.fetch_add(1, Ordering::Relaxed);
                n += CLIENTS;
                tokio::time::sleep(THINK).await;
            }
        });
    }
    tally
}

/// A browser's cookies.
#[derive(Clone, Default)]
pub(super) struct User {
    cookies: BTreeMap<String, String>,
}

impl User {
    async fn ask(&mut self, gate: SocketAddr, request: &shop::Request) -> Result<Head, String> {
        let cookies: Vec<String> =
            self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let cookies = cookies.join("; ");
        let mut headers = Vec::new();
        headers.extend(request.content_type.map(|kind| ("content-type", kind)));
        headers.extend(Some(("cookie", cookies.as_str())).filter(|(_, cookies)| !cookies.is_empty()));
        let outgoing = Outgoing {
            method: request.method,
            below: &request.path,
            headers: &headers,
            body: request.body.as_bytes(),
        };
        let endpoint = Endpoint::plain(gate);
        let asked = endpoint.ask(&outgoing, ANSWER_LIMIT, ANSWER_BYTES_MAX);
        let asked = tokio::time::timeout(ANSWER_LIMIT, asked).await.map_err(|_| "no answer".to_owned())?;
        let (head, _) = asked.map_err(freezeframe_model::chain)?;
        for cookie in head.headers.get_all("set-cookie") {
            let pair = cookie
                .to_str()
                .ok()
                .and_then(|text| text.split(';').next())
                .and_then(|text| text.split_once('='));
            if let Some((name, value)) = pair {
                self.cookies.insert(name.trim().to_owned(), value.trim().to_owned());
            }
        }
        Ok(head)
    }

    /// The user's way into the bug; what the last request got: its status and the incident's id.
    pub(super) async fn live_through(
        &mut self,
        gate: SocketAddr,
        story: &Story,
    ) -> (Option<u16>, Option<String>) {
        // Requests at once must meet on one instance to deadlock; the gate spreads them, as it would in earnest.
        let tries = if story.breaks == shop::Breaks::Hang { TRIES } else { 1 };
        let mut last = (None, None);
        for _ in 0..tries {
            last = self.walk(gate, story).await;
            if last.0.is_none_or(|status| status >= 500) {
                break;
            }
        }
        last
    }

    async fn walk(&mut self, gate: SocketAddr, story: &Story) -> (Option<u16>, Option<String>) {
        let mut last = (None, None);
        let mut steps = story.journey.iter().peekable();
        while let Some(step) = steps.next() {
            // Requests at once with this one go out on connections of their own.
            let mut beside = Vec::new();
            while let Some(next) = steps.next_if(|next| next.at_once) {
                let mut other = self.clone();
                beside.push(tokio::spawn(async move { other.ask(gate, next).await }));
            }
            let answer = self.ask(gate, step).await;
            for other in beside {
                let _ = other.await;
            }
            last = match answer {
                Ok(answer) => {
                    let id = answer
                        .headers
                        .get("x-incident-id")
                        .and_then(|id| id.to_str().ok())
                        .map(str::to_owned);
                    (Some(answer.status), id)
                }
                Err(_) => (None, None),
            };
        }
        last
    }
}
