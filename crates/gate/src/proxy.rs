//! One request: admitted, prepared, sent to an instance, sent to another where that is safe, answered.
//!
//! What "safe" means is decided here and nowhere else: a request goes out a second time only if nothing of it was sent, or if
//! its method is idempotent (or carries an `Idempotency-Key`), its body is at hand, and no byte of a response was seen.

use std::convert::Infallible;
use std::error::Error;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use freezeframe_model::{IncidentId, Outcome};
use http::header::ACCEPT;
use http::uri::PathAndQuery;
use http::{HeaderValue, Request, Response, StatusCode, Version, request};
use hyper::body::{Body, Incoming};
use hyper::client::conn::TrySendError;
use hyper::upgrade::OnUpgrade;
use tokio::task::spawn_local;
use tokio::time::timeout;

use crate::admission::{Arrival, Decision};
use crate::body::{RequestBody, ResponseBody};
use crate::flight::Flight;
use crate::headers::{self, Objection, Survey};
use crate::outbound::Outbound;
use crate::pool::{ConnectError, Connection};
use crate::refusal::{Refusal, asks_for_json};
use crate::route::{Hindrance, Instance};
use crate::slot::{Phase, RequestFacts, Verdict};
use crate::trace::TraceIds;
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
}

/// What is left to do after an attempt.
enum Step {
    Answer(Response<ResponseBody>),
    Again(Setback),
}

/// A request on its way, with what it takes to try again.
struct Errand {
    link: Rc<Link>,
    outbound: Outbound,
    upgrade: Option<OnUpgrade>,
    asks_for_json: Option<HeaderValue>,
    /// Serial numbers of instances that failed it.
    tried: Vec<u64>,
    /// It lost the race against a connection being closed: no used connection for it any more.
    raced: bool,
}

/// Serves one request. There is always an answer; a client that is gone is noticed because this future is dropped.
pub(crate) async fn serve(
    link: Rc<Link>,
    request: Request<Incoming>,
) -> Result<Response<ResponseBody>, Infallible> {
    let (mut parts, body) = request.into_parts();
    let survey = headers::survey(&parts.headers);
    let (mut flight, is_clients_trace) = begin(&link, &parts, &survey);
    let accept = parts.headers.get(ACCEPT).cloned();
    let refuse = |refusal: Refusal<'_>| Ok(refusal.respond(asks_for_json(accept.as_ref())));

    if let Some(refusal) = ask_admission(&link, &parts, &flight) {
        flight.refused(refusal.status.as_u16(), Outcome::Refused(None));
        return refuse(refusal);
    }
    let wants_upgrade = survey.wants_upgrade(&parts.headers, parts.version);
    let upgrade = if wants_upgrade { parts.extensions.remove::<OnUpgrade>() } else { None };
    if let Err(Objection(status, text)) = survey.prepare_request(&mut parts, &link.origin, upgrade.is_some())
    {
        flight.refused(status.as_u16(), Outcome::Refused(None));
        return refuse(Refusal::new(status, text));
    }
    let may_repeat = survey.idempotency_key || headers::is_idempotent(&parts.method);
    let mut outbound = Outbound::new(parts, survey, is_clients_trace);
    let config = &link.worker.shared.config;
    if body.is_end_stream() {
        outbound.keep(None, may_repeat);
    } else if may_repeat && outbound.announces_at_most(config.retry_body_bytes) {
        let limit = config.retry_body_bytes;
        match Box::pin(timeout(config.idle_timeout(), Outbound::read_whole(body, limit))).await {
            Ok(Ok(bytes)) => outbound.keep(Some(bytes), true),
            Ok(Err(text)) => {
                flight.refused(400, Outcome::ClientGone);
                return refuse(Refusal::new(StatusCode::BAD_REQUEST, text));
            }
            Err(_) => {
                flight.refused(408, Outcome::ClientGone);
                return refuse(Refusal::new(
                    StatusCode::REQUEST_TIMEOUT,
                    "the request's body did not come in time",
                ));
            }
        }
    } else {
        outbound.pass(body);
    }
    let tried = Vec::new();
    let errand = Errand { link, outbound, upgrade, asks_for_json: accept, tried, raced: false };
    Ok(errand.run(flight).await)
}

/// Opens the request's account. True where it goes on in the client's own trace.
fn begin(link: &Rc<Link>, parts: &request::Parts, survey: &Survey) -> (Box<Flight>, bool) {
    let clients = if survey.traceparent { headers::traceparent(&parts.headers) } else { None };
    let clients = clients.and_then(TraceIds::parse);
    let path = parts.uri.path_and_query().cloned();
    let facts = RequestFacts {
        method: parts.method.clone(),
        path: path.unwrap_or_else(|| PathAndQuery::from_static("/")),
        session: link.worker.shared.sessions.key(&parts.headers),
    };
    let ids = clients.unwrap_or_else(TraceIds::fresh);
    (Flight::begin(Rc::clone(&link.worker), facts, ids), clients.is_some())
}

fn ask_admission(link: &Link, parts: &request::Parts, flight: &Flight) -> Option<Refusal<'static>> {
    let arrival = Arrival {
        method: &parts.method,
        path: parts.uri.path(),
        headers: &parts.headers,
        peer: link.origin.peer,
        session: flight.session(),
    };
    match link.worker.shared.admission.admit(&arrival) {
        Decision::Proceed => None,
        Decision::Refuse { status, retry_after_s } => {
            let status =
                StatusCode::from_u16(status).ok().filter(|s| s.is_client_error() || s.is_server_error());
            let status = status.unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
            let refusal = Refusal::new(status, "too much to do at the moment, please try again later");
            Some(Refusal { retry_after_s: Some(retry_after_s), ..refusal })
        }
    }
}

impl Errand {
    /// Tries instances until one answers or none is left.
    async fn run(mut self, flight: Box<Flight>) -> Response<ResponseBody> {
        let mut flight = Some(flight);
        let mut setback = Setback::NoInstance;
        for _ in 0..ATTEMPTS_MAX {
            let Some(instance) = choose(&self.link.worker, &self.tried).await else { break };
            match self.attempt(&mut flight, instance).await {
                Step::Answer(response) => return response,
                // That an instance was closed meanwhile is no news for the client; an earlier failure may be.
                Step::Again(Setback::NoInstance) => {}
                Step::Again(latest) => setback = latest,
            }
        }
        let Some(mut flight) = flight else { return self.give_up(&Refusal::quarantined(None)) };
        let refusal = match setback {
            Setback::NoInstance => {
                flight.refused(503, Outcome::Refused(None));
                let refusal =
                    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "no server is ready at the moment");
                Refusal { retry_after_s: Some(1), ..refusal }
            }
            Setback::Upstream(why) => return self.upstream_failed(&mut flight, why),
            Setback::Evicted(incident) => return self.quarantined(&mut flight, incident),
        };
        self.give_up(&refusal)
    }

    /// One attempt at one instance. The flight is taken only by the body of an answer.
    async fn attempt(&mut self, flight: &mut Option<Box<Flight>>, instance: Arc<Instance>) -> Step {
        let Some(mut own) = flight.take() else { return Step::Again(Setback::NoInstance) };
        let step = match self.exchange(&mut own, &instance).await {
            Ok((connection, response)) => return Step::Answer(self.answer(own, connection, response)),
            Err(Failed::Decided(Verdict::Retry(incident))) => {
                own.retry();
                self.tried.push(instance.serial);
                Step::Again(Setback::Evicted(incident))
            }
            Err(Failed::Decided(Verdict::Refuse(incident) | Verdict::Abort(incident))) => {
                return Step::Answer(self.quarantined(&mut own, incident));
            }
            Err(Failed::Closed) => Step::Again(Setback::NoInstance),
            Err(Failed::Connect(error)) => {
                own.went_to(instance.id);
                self.tried.push(instance.serial);
                Step::Again(Setback::Upstream(chain(&error)))
            }
            Err(Failed::Unsent(why)) => {
                self.tried.push(instance.serial);
                Step::Again(Setback::Upstream(why))
            }
            Err(Failed::LostRace) => {
                self.raced = true;
                Step::Again(Setback::Upstream("the connection was closed".to_owned()))
            }
            Err(Failed::RequestBody) => {
                own.refused(400, Outcome::ClientGone);
                return Step::Answer(
                    self.give_up(&Refusal::new(StatusCode::BAD_REQUEST, "the request broke off")),
                );
            }
            Err(Failed::Exchange(why)) => return Step::Answer(self.upstream_failed(&mut own, why)),
        };
        own.leave();
        *flight = Some(own);
        step
    }

    /// Sends the request and waits for the head of the response.
    async fn exchange(
        &mut self,
        flight: &mut Flight,
        instance: &Arc<Instance>,
    ) -> Result<(Connection, Response<Incoming>), Failed> {
        if !flight.attempt(instance) {
            return Err(Failed::Closed);
        }
        let worker = Rc::clone(&self.link.worker);
        let idle =
            if self.raced { None } else { worker.pool.take(instance, worker.shared.config.idle_timeout()) };
        let mut connection = match idle {
            Some(connection) => connection,
            None => {
                let opening = Box::pin(Connection::open(&worker, instance));
                unless_decided(flight, opening).await.map_err(Failed::Decided)?.map_err(Failed::Connect)?
            }
        };
        if let Err(hindrance) = flight.send(self.outbound.is_replayable()) {
            connection.give_back(&worker);
            return Err(match hindrance {
                Hindrance::Closed => Failed::Closed,
                Hindrance::Decided(verdict) => Failed::Decided(verdict),
            });
        }
        let request = self.outbound.request(&flight.trace_text(), instance, connection.is_http2());
        let request = request.ok_or_else(|| Failed::Exchange("the request cannot be repeated".to_owned()))?;
        let sent_at = Instant::now();
        let sent = unless_decided(flight, connection.send(request)).await.map_err(Failed::Decided)?;
        match sent {
            Ok(response) => {
                let is_tunnel = response.status() == StatusCode::SWITCHING_PROTOCOLS;
                let phase = if is_tunnel { Phase::Tunnel } else { Phase::Streaming };
                flight.answered(response.status().as_u16(), phase).map_err(Failed::Decided)?;
                Ok((connection, response))
            }
            Err(error) => Err(self.failure(*error, connection.reused && !self.raced, sent_at)),
        }
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
            return Failed::RequestBody;
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
            flight.refused(400, Outcome::Refused(None));
            let text = "bytes of the new protocol came before the upgrade was granted";
            return self.give_up(&Refusal::new(StatusCode::BAD_REQUEST, text));
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

    fn give_up(&self, refusal: &Refusal<'_>) -> Response<ResponseBody> {
        refusal.respond(asks_for_json(self.asks_for_json.as_ref()))
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
    /// The client's body broke off or was malformed.
    RequestBody,
    /// The instance failed after something was sent.
    Exchange(String),
}

/// Waits for `future`, unless somebody decides about the request first.
async fn unless_decided<F: Future>(flight: &Flight, future: F) -> Result<F::Output, Verdict> {
    let mut future = pin!(future);
    poll_fn(|cx| match flight.poll_verdict(cx) {
        Poll::Ready(verdict) => Poll::Ready(Err(verdict)),
        Poll::Pending => future.as_mut().poll(cx).map(Ok),
    })
    .await
}

/// An instance that was not tried; waits a little for one where there is none.
async fn choose(worker: &Worker, tried: &[u64]) -> Option<Arc<Instance>> {
    let shared = &worker.shared;
    let picked = shared.table.load().pick(tried).cloned();
    match picked {
        Some(instance) => Some(instance),
        None => Box::pin(wait_for_instance(worker, tried)).await,
    }
}

async fn wait_for_instance(worker: &Worker, tried: &[u64]) -> Option<Arc<Instance>> {
    let shared = &worker.shared;
    let _place = shared.queue(WAITERS_MAX)?;
    let mut changed = shared.changed.subscribe();
    let wait = async {
        loop {
            changed.mark_unchanged();
            if let Some(instance) = shared.table.load().pick(tried) {
                return Some(Arc::clone(instance));
            }
            changed.changed().await.ok()?;
        }
    };
    timeout(INSTANCE_WAIT, wait).await.ok().flatten()
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
