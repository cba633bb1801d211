//! One request's way to an answer: to an instance, and to another where that is safe, until its deadline.
//!
//! What "safe" means is decided here and nowhere else: a request goes out a second time only if nothing of it was sent, or if
//! its method is idempotent (or carries an `Idempotency-Key`), its body is at hand, and no byte of a response was seen. After
//! a failure in mid-exchange the route must also allow it and have the budget for it.

use std::error::Error;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use freezeframe_admission::{Enter, Outcome as Told, Permit, Shed};
use freezeframe_model::{IncidentId, Outcome};
use http::{HeaderValue, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::ext::on_informational;
use hyper::upgrade::OnUpgrade;
use tokio::task::spawn_local;
use tokio::time::timeout;

use crate::body::{RequestBody, RequestBroke, ResponseBody};
use crate::flight::Flight;
use crate::headers;
use crate::matcher::PlannedRoute;
use crate::outbound::Outbound;
use crate::pool::{ConnectError, Connection};
use crate::refusal::{Refusal, asks_for_json};
use crate::route::{Hindrance, Instance};
use crate::slot::{Phase, Verdict};
use crate::timer::Deadline;
use crate::tunnel;
use crate::worker::{Link, Worker};

/// Instances and connections that one request tries at most.
const ATTEMPTS_MAX: usize = 8;
/// How long a request waits for an instance while there is none.
const INSTANCE_WAIT: Duration = Duration::from_secs(1);
/// Requests that wait so at one time; more are refused at once.
const WAITERS_MAX: u32 = 1024;
/// A used connection that closes later than this after a request was sent was not closed because it was idle.
const RACE_MAX: Duration = Duration::from_secs(1);
/// Longest description of a failure, in characters.
const FAILURE_MAX: usize = 300;

/// Why an attempt came to nothing; the reason that the client is given in the end, if there is no better one.
enum Setback {
    /// Nobody to send it to, so far.
    NoInstance,
    /// The instance failed.
    Upstream(String),
    /// The instance was evicted.
    Evicted(Option<IncidentId>),
    /// The deadline came before there was an instance.
    Late,
    /// Admission did not let it go on to another instance.
    Shed(Shed),
}

/// Whom to send it to.
pub(crate) enum Chosen {
    Instance(Arc<Instance>),
    Nobody,
    Late,
    Shed(Shed),
}

/// What is left to do after an attempt.
enum Step {
    Answer(Response<ResponseBody>),
    Again(Setback),
}

/// A request on its way, with what it takes to try again.
pub(crate) struct Errand {
    pub(crate) link: Rc<Link>,
    pub(crate) outbound: Outbound,
    pub(crate) upgrade: Option<OnUpgrade>,
    pub(crate) accept: Option<HeaderValue>,
    /// The client understands interim responses, in a form that can be written.
    pub(crate) takes_interim: bool,
    pub(crate) route: Arc<PlannedRoute>,
    pub(crate) deadline: Deadline,
    pub(crate) progress: Progress,
}

/// What was tried so far.
#[derive(Default)]
pub(crate) struct Progress {
    /// Serial numbers of instances that failed it.
    tried: Vec<u64>,
    /// It lost the race against a connection being closed: no used connection for it any more.
    raced: bool,
    /// Times that it was sent again after an instance failed it.
    retries: u32,
}

impl Errand {
    /// Tries instances until one answers, none is left, or the time is over.
    pub(crate) async fn run(&mut self, flight: Box<Flight>) -> Response<ResponseBody> {
        let mut flight = Some(flight);
        let mut setback = Setback::NoInstance;
        for _ in 0..ATTEMPTS_MAX {
            let Some(own) = flight.as_mut() else { break };
            let instance = match self.choose(own).await {
                Chosen::Instance(instance) => instance,
                Chosen::Nobody => break,
                Chosen::Late => {
                    setback = Setback::Late;
                    break;
                }
                Chosen::Shed(shed) => {
                    setback = Setback::Shed(shed);
                    break;
                }
            };
            match self.attempt(&mut flight, instance).await {
                Step::Answer(response) => return response,
                // That an instance was closed meanwhile is no news for the client; an earlier failure may be.
                Step::Again(Setback::NoInstance) => {}
                Step::Again(latest) => setback = latest,
            }
        }
        let Some(mut flight) = flight else { return self.give_up(&Refusal::quarantined(None)) };
        match setback {
            Setback::NoInstance => self.refuse(&mut flight, &Refusal::nobody()),
            Setback::Upstream(why) => self.upstream_failed(&mut flight, why),
            Setback::Evicted(incident) => self.quarantined(&mut flight, incident),
            Setback::Late => self.refuse(&mut flight, &Refusal::late()),
            Setback::Shed(shed) => self.refuse(&mut flight, &Refusal::shed(shed)),
        }
    }

    /// An instance that was not tried, and that admission lets it go to; waits a little for one where there is none.
    async fn choose(&mut self, flight: &mut Flight) -> Chosen {
        if self.route.door.is_some() {
            if let Some(instance) = self.permitted(flight) {
                return Chosen::Instance(instance);
            }
            flight.give_permit_back();
        }
        let (route, tried) = (&self.route, &self.progress.tried);
        let picked = {
            let table = self.link.worker.shared.table.load();
            table.members(route).and_then(|members| members.pick(tried)).cloned()
        };
        let chosen = match picked {
            Some(instance) => Chosen::Instance(instance),
            None => Box::pin(wait_for_instance(&self.link.worker, route, tried, &mut self.deadline)).await,
        };
        match chosen {
            Chosen::Instance(_) if route.door.is_some() => Box::pin(self.enter_again(flight)).await,
            chosen => chosen,
        }
    }

    /// The instance that it has a permit for, if it is routed and was not tried.
    fn permitted(&self, flight: &Flight) -> Option<Arc<Instance>> {
        let serial = flight.permitted().filter(|serial| !self.progress.tried.contains(serial))?;
        let table = self.link.worker.shared.table.load();
        table.members(&self.route)?.by_serial(serial).cloned()
    }

    /// There are instances for it, but it has no permit any more: the one that it had was for an instance that is gone.
    async fn enter_again(&mut self, flight: &mut Flight) -> Chosen {
        let since = Instant::now();
        let Some(way) = &self.route.door else { return Chosen::Nobody };
        let enter = self.link.worker.shared.doors.enter(way, flight.session(), self.deadline.at());
        let admitted = until_admitted(enter, &mut self.deadline).await;
        flight.has_waited(since);
        match admitted {
            None => Chosen::Late,
            Some(Err(shed)) => Chosen::Shed(shed),
            Some(Ok(permit)) => {
                flight.admitted(permit);
                self.permitted(flight).map_or(Chosen::Nobody, Chosen::Instance)
            }
        }
    }

    /// One attempt at one instance. The flight is taken only by the body of an answer.
    async fn attempt(&mut self, flight: &mut Option<Box<Flight>>, instance: Arc<Instance>) -> Step {
        let Some(mut own) = flight.take() else { return Step::Again(Setback::NoInstance) };
        let failed = match self.exchange(&mut own, &instance).await {
            Ok((connection, response)) => return Step::Answer(self.answer(own, connection, response)),
            Err(failed) => failed,
        };
        let step = match failed {
            Failed::Decided(Verdict::Retry(incident)) => {
                own.retry();
                own.move_on(Told::Abandoned);
                self.progress.tried.push(instance.serial);
                Step::Again(Setback::Evicted(incident))
            }
            Failed::Decided(Verdict::Refuse(incident) | Verdict::Abort(incident)) => {
                return Step::Answer(self.quarantined(&mut own, incident));
            }
            Failed::Closed => Step::Again(Setback::NoInstance),
            Failed::Connect(error) => {
                own.went_to(instance.id);
                let shared = &self.link.worker.shared;
                if instance.connect_failed(shared.config.first_probe()) {
                    shared.doors.refresh(&shared.table);
                }
                own.move_on(Told::Refused);
                self.progress.tried.push(instance.serial);
                Step::Again(Setback::Upstream(chain(&error)))
            }
            Failed::Unsent(why) => {
                own.move_on(Told::Abandoned);
                self.progress.tried.push(instance.serial);
                Step::Again(Setback::Upstream(why))
            }
            Failed::LostRace => {
                self.progress.raced = true;
                Step::Again(Setback::Upstream("the connection was closed".to_owned()))
            }
            Failed::RequestBody(refusal) => {
                own.refused(refusal.status.as_u16(), Outcome::ClientGone);
                return Step::Answer(self.give_up(&refusal));
            }
            Failed::Late => return Step::Answer(self.refuse(&mut own, &Refusal::late())),
            Failed::Exchange(why) if self.may_retry() => {
                own.retry();
                own.move_on(Told::Failed);
                self.progress.tried.push(instance.serial);
                Step::Again(Setback::Upstream(why))
            }
            Failed::Exchange(why) => return Step::Answer(self.upstream_failed(&mut own, why)),
        };
        own.leave();
        *flight = Some(own);
        step
    }

    /// Whether a request that an instance failed goes to another one; then it is taken from the budget.
    fn may_retry(&mut self) -> bool {
        let may = self.progress.retries < self.route.spec.retries
            && self.outbound.is_replayable()
            && self.route.spend(self.link.worker.index);
        self.progress.retries += u32::from(may);
        may
    }

    /// Sends the request and waits for the head of the response.
    async fn exchange(
        &mut self,
        flight: &mut Flight,
        instance: &Arc<Instance>,
    ) -> Result<(Connection, Response<Incoming>), Failed> {
        let begun_at = Instant::now();
        if !flight.attempt(instance, begun_at) {
            return Err(Failed::Closed);
        }
        let mut sent_at = begun_at;
        let mut connection = if let Some(connection) = self.used_connection(instance, begun_at) {
            connection
        } else {
            let opening = Box::pin(Connection::open(&self.link.worker, instance));
            let opened = unless_decided(flight, &mut self.deadline, opening).await?;
            sent_at = Instant::now();
            opened.map_err(Failed::Connect)?
        };
        if let Err(hindrance) = flight.send(self.outbound.is_replayable(), sent_at) {
            connection.give_back(&self.link.worker, sent_at);
            return Err(match hindrance {
                Hindrance::Closed => Failed::Closed,
                Hindrance::Decided(verdict) => Failed::Decided(verdict),
            });
        }
        flight.uses(&connection);
        let request = self.request(flight, instance, &connection, sent_at);
        let interim = self.takes_interim.then(|| &self.link.switch.interim);
        let mut sent = {
            let mut sending = pin!(connection.send(request?));
            let sending = poll_fn(|cx| {
                if let Some(interim) = interim {
                    // Polled for them as well: the stream is flushed after that.
                    let _ = interim.poll_written(cx);
                }
                sending.as_mut().poll(cx)
            });
            unless_decided(flight, &mut self.deadline, sending).await?
        };
        if interim.is_some_and(|interim| !interim.is_written()) {
            sent = Box::pin(self.write_interim(flight, sent)).await?;
        }
        match sent {
            Ok(response) => {
                let is_tunnel = response.status() == StatusCode::SWITCHING_PROTOCOLS;
                let phase = if is_tunnel { Phase::Tunnel } else { Phase::Streaming };
                flight.answered(response.status().as_u16(), phase).map_err(Failed::Decided)?;
                Ok((connection, response))
            }
            Err(error) => Err(self.failure(error, connection.reused && !self.progress.raced, sent_at)),
        }
    }

    /// A connection that was used before; none for a request that lost one to its closing.
    fn used_connection(&self, instance: &Arc<Instance>, now: Instant) -> Option<Connection> {
        let worker = &self.link.worker;
        let is_wanted = !self.progress.raced;
        is_wanted.then(|| worker.pool.take(instance, now, worker.shared.config.idle_timeout())).flatten()
    }

    /// Waits until the client has the interim responses, which come before what was `received`.
    async fn write_interim<T>(&mut self, flight: &Flight, received: T) -> Result<T, Failed> {
        let written = poll_fn(|cx| self.link.switch.interim.poll_written(cx));
        unless_decided(flight, &mut self.deadline, written).await?;
        Ok(received)
    }

    /// The request of one attempt, which hands interim responses on.
    fn request(
        &mut self,
        flight: &Flight,
        instance: &Arc<Instance>,
        connection: &Connection,
        now: Instant,
    ) -> Result<Request<RequestBody>, Failed> {
        let (trace, deadline_ms) = (flight.trace_text(), self.deadline.left_ms(now));
        let (worker, is_http2) = (&self.link.worker, connection.is_http2());
        let request = self.outbound.request(&trace, instance, worker, deadline_ms, is_http2);
        let mut request =
            request.ok_or_else(|| Failed::Exchange("the request cannot be repeated".to_owned()))?;
        if self.takes_interim {
            let put = self.link.switch.interim.open();
            on_informational(&mut request, move |response| put(response.status(), response.headers()));
        }
        Ok(request)
    }

    fn failure(
        &mut self,
        mut error: TrySendError<Request<RequestBody>>,
        may_race: bool,
        sent_at: Instant,
    ) -> Failed {
        if let Some(request) = error.take_message() {
            // Nothing of it was sent.
            self.outbound.restore(request);
            let error = error.into_error();
            return if may_race { Failed::LostRace } else { Failed::Unsent(chain(&error)) };
        }
        let error = error.into_error();
        if error.is_user() {
            return Failed::RequestBody(body_refusal(&error));
        }
        if is_refused_stream(&error) && self.outbound.is_at_hand() {
            return Failed::Unsent(chain(&error));
        }
        let is_race = may_race && sent_at.elapsed() < RACE_MAX && is_close(&error);
        if is_race && self.outbound.is_replayable() {
            Failed::LostRace
        } else {
            Failed::Exchange(chain(&error))
        }
    }

    /// Passes an instance's response on.
    fn answer(
        &mut self,
        mut flight: Box<Flight>,
        connection: Connection,
        mut response: Response<Incoming>,
    ) -> Response<ResponseBody> {
        let is_tunnel = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        if let Err(why) = headers::prepare_response(response.headers_mut(), is_tunnel) {
            return self.upstream_failed(&mut flight, why.to_owned());
        }
        *response.version_mut() = Version::HTTP_11;
        if !is_tunnel {
            let (mut parts, incoming) = response.into_parts();
            parts.extensions.clear();
            return Response::from_parts(parts, ResponseBody::passing(incoming, flight, connection));
        }
        let (Some(client), upstream) = (self.upgrade.take(), hyper::upgrade::on(&mut response)) else {
            return self
                .upstream_failed(&mut flight, "101 to a request that asked for no upgrade".to_owned());
        };
        if !self.link.switch.become_tunnel() {
            let text = "bytes of the new protocol came before the upgrade was granted";
            return self.refuse(&mut flight, &Refusal::new(StatusCode::BAD_REQUEST, text));
        }
        spawn_local(tunnel::run(client, upstream, flight, Rc::clone(&self.link)));
        let (mut parts, _) = response.into_parts();
        parts.extensions.clear();
        Response::from_parts(parts, ResponseBody::Own(None))
    }

    fn upstream_failed(&self, flight: &mut Flight, why: String) -> Response<ResponseBody> {
        flight.refused(502, Outcome::UpstreamFailed(why));
        self.give_up(&Refusal::new(StatusCode::BAD_GATEWAY, "the server failed to answer this request"))
    }

    fn quarantined(&self, flight: &mut Flight, incident: Option<IncidentId>) -> Response<ResponseBody> {
        flight.refused(502, Outcome::Refused(incident));
        self.give_up(&Refusal::quarantined(incident))
    }

    pub(crate) fn refuse(&self, flight: &mut Flight, refusal: &Refusal<'_>) -> Response<ResponseBody> {
        flight.refused_by(refusal);
        self.give_up(refusal)
    }

    pub(crate) fn give_up(&self, refusal: &Refusal<'_>) -> Response<ResponseBody> {
        refusal.respond(asks_for_json(self.accept.as_ref()))
    }
}

/// How an attempt failed.
enum Failed {
    /// Another thread decided about the request.
    Decided(Verdict),
    /// The instance was taken out of routing before anything was sent.
    Closed,
    Connect(ConnectError),
    /// A fresh connection ended before anything was sent.
    Unsent(String),
    /// A used connection was closed under it, and it may be sent again.
    LostRace,
    /// The client's body broke off or was malformed or too slow; what the client is told, if it still listens.
    RequestBody(Refusal<'static>),
    /// The deadline came.
    Late,
    /// The instance failed after something was sent.
    Exchange(String),
}

/// Waits for `future`, unless somebody decides about the request or its deadline comes first.
async fn unless_decided<F: Future>(
    flight: &Flight,
    deadline: &mut Deadline,
    future: F,
) -> Result<F::Output, Failed> {
    let mut future = pin!(future);
    poll_fn(|cx| {
        if let Poll::Ready(verdict) = flight.poll_verdict(cx) {
            return Poll::Ready(Err(Failed::Decided(verdict)));
        }
        if deadline.poll(cx).is_ready() {
            return Poll::Ready(Err(Failed::Late));
        }
        future.as_mut().poll(cx).map(Ok)
    })
    .await
}

/// Waits for the word of admission; `None` where the deadline comes first.
pub(crate) async fn until_admitted(
    mut enter: Enter,
    deadline: &mut Deadline,
) -> Option<Result<Permit, Shed>> {
    poll_fn(|cx| {
        if deadline.poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        Pin::new(&mut enter).poll(cx).map(Some)
    })
    .await
}

/// Waits for an instance that is about to be routed: the one that replaces another. Fixed upstreams do not change by
/// themselves.
pub(crate) async fn wait_for_instance(
    worker: &Worker,
    route: &PlannedRoute,
    tried: &[u64],
    deadline: &mut Deadline,
) -> Chosen {
    let shared = &worker.shared;
    let has_fixed = || {
        shared
            .table
            .load()
            .members(route)
            .is_some_and(|members| members.instances.iter().any(|instance| instance.health.is_some()))
    };
    let place = shared.queue(WAITERS_MAX);
    if place.is_none() || has_fixed() {
        return Chosen::Nobody;
    }
    let mut changed = shared.changed.subscribe();
    let wait = async {
        loop {
            changed.mark_unchanged();
            let table = shared.table.load_full();
            if let Some(instance) = table.members(route).and_then(|members| members.pick(tried)) {
                return Some(Arc::clone(instance));
            }
            changed.changed().await.ok()?;
        }
    };
    let mut wait = pin!(timeout(INSTANCE_WAIT, wait));
    poll_fn(|cx| {
        if deadline.poll(cx).is_ready() {
            return Poll::Ready(Chosen::Late);
        }
        wait.as_mut().poll(cx).map(|found| found.ok().flatten().map_or(Chosen::Nobody, Chosen::Instance))
    })
    .await
}

/// What a client is told whose body could not be passed on.
fn body_refusal(error: &hyper::Error) -> Refusal<'static> {
    match error.source().and_then(|source| source.downcast_ref::<RequestBroke>()) {
        Some(RequestBroke::TooSlow) => {
            let text = "the request's body came too slowly";
            Refusal { shed: Some("rate"), ..Refusal::new(StatusCode::REQUEST_TIMEOUT, text) }
        }
        _ => Refusal::new(StatusCode::BAD_REQUEST, "the request broke off"),
    }
}

/// Whether an HTTP/2 instance says that it did not look at the request (RFC 9113 sections 6.8 and 8.7).
fn is_refused_stream(error: &hyper::Error) -> bool {
    let cause = error.source().and_then(|source| source.downcast_ref::<h2::Error>());
    cause.is_some_and(|cause| {
        let reason = cause.reason();
        cause.is_remote()
            && (reason == Some(h2::Reason::REFUSED_STREAM)
                || (cause.is_go_away() && reason == Some(h2::Reason::NO_ERROR)))
    })
}

/// Whether an error says that the other end closed the connection, rather than that it spoke nonsense.
fn is_close(error: &hyper::Error) -> bool {
    let by_io = error.source().is_some_and(|source| source.is::<io::Error>());
    error.is_incomplete_message() || error.is_canceled() || error.is_closed() || by_io
}

/// An error with its causes, in one line, as far as they are kept.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = freezeframe_model::chain(error);
    text.truncate(text.floor_char_boundary(FAILURE_MAX));
    text
}
