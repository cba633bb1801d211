//! One request at the door: within the limits, well-formed, on a route, admitted; then on its [`Errand`].

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use freezeframe_admission::{Enter, Permit};
use freezeframe_model::Outcome;
use http::header::{ACCEPT, HOST, REFERER, USER_AGENT};
use http::uri::PathAndQuery;
use http::{HeaderValue, Request, Response, StatusCode, Version, request};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use tokio::time::timeout;

use crate::access_log::Particulars;
use crate::body::ResponseBody;
use crate::errand::{Chosen, Errand, Progress, until_admitted, wait_for_instance};
use crate::flight::Flight;
use crate::headers::{self, Objection, Survey};
use crate::matcher::PlannedRoute;
use crate::outbound::{Intake, Outbound};
use crate::refusal::{Refusal, asks_for_json};
use crate::slot::RequestFacts;
use crate::timer::Deadline;
use crate::trace::TraceIds;
use crate::worker::Link;

/// A request that may be passed on, once it is admitted and its body is as it must be.
struct Arrival {
    flight: Box<Flight>,
    errand: Errand,
    /// Its body is short enough to be kept for a second attempt.
    is_short: bool,
}

/// Serves one request. There is always an answer; a client that is gone is noticed because the future is dropped.
///
/// The HTTP library moves that future several times before it stays where it is, and has it in a task of its own for each
/// request of an HTTP/2 client: so it is short. What a request is worked on with is put where it stays first.
pub(crate) fn serve(
    link: Rc<Link>,
    request: Request<Incoming>,
) -> impl Future<Output = Result<Response<ResponseBody>, Infallible>> {
    let arrived = Arrival::new(link, request);
    async move {
        Ok(match arrived {
            Ok(arrival) => arrival.answer().await,
            Err(refused) => *refused,
        })
    }
}

impl Arrival {
    /// Opens the request's account, and looks at everything that can be objected to.
    fn new(link: Rc<Link>, request: Request<Incoming>) -> Result<Box<Self>, Box<Response<ResponseBody>>> {
        let (mut parts, body) = request.into_parts();
        let is_http11 = parts.version == Version::HTTP_11;
        let survey = headers::survey(&parts.headers);
        let (mut flight, is_clients_trace) = begin(&link, &parts, &survey);
        let accept = parts.headers.get(ACCEPT).cloned();
        let Prepared { upgrade, route, deadline_ms } = match prepare(&link, &mut parts, &survey) {
            Ok(prepared) => prepared,
            Err(refusal) => {
                flight.refused_by(&refusal);
                return Err(Box::new(refusal.respond(asks_for_json(accept.as_ref()))));
            }
        };
        flight.takes(&route);
        let time = [route.deadline, deadline_ms.map(Duration::from_millis)].into_iter().flatten().min();
        let deadline = Deadline::new(time.and_then(|time| flight.since().checked_add(time)));
        let config = &link.worker.shared.config;
        let body = Intake {
            may_repeat: survey.idempotency_key || headers::is_idempotent(&parts.method),
            has_pace: !route.spec.request_streams && config.limits.body_bytes_per_s_min > 0,
            body,
        };
        let is_short = survey.announces_at_most(config.retry_body_bytes);
        let outbound = Outbound::new(parts, survey, is_clients_trace, body);
        let takes_interim = is_http11 && upgrade.is_none();
        let progress = Progress::default();
        let errand = Errand { link, outbound, upgrade, accept, takes_interim, route, deadline, progress };
        Ok(Box::new(Self { flight, errand, is_short }))
    }

    /// Has it admitted, and sends it on its way.
    async fn answer(mut self: Box<Self>) -> Response<ResponseBody> {
        if self.errand.route.door.is_some() {
            let decided = match self.enter() {
                Ok(decided) => decided,
                Err(enter) => {
                    let since = Instant::now();
                    let waited = Box::pin(self.wait(enter)).await;
                    self.flight.has_waited(since);
                    waited
                }
            };
            match decided {
                Ok(permit) => self.flight.admitted(permit),
                Err(refusal) => return self.errand.refuse(&mut self.flight, &refusal),
            }
        }
        if self.errand.outbound.is_passing()
            && self.errand.outbound.may_repeat()
            && self.is_short
            && let Err(refusal) = Box::pin(self.read_whole()).await
        {
            self.flight.refused_by(&refusal);
            self.flight.refused(refusal.status.as_u16(), Outcome::ClientGone);
            return self.errand.give_up(&refusal);
        }
        let (flight, errand) = (self.flight, &mut self.errand);
        errand.route.save(errand.link.worker.index);
        let response = errand.run(flight).await;
        if errand.takes_interim {
            errand.link.switch.interim.close();
        }
        response
    }

    /// Asks admission; what it says, or the place to wait at.
    fn enter(&self) -> Result<Result<Permit, Refusal<'static>>, Enter> {
        let errand = &self.errand;
        let Some(way) = &errand.route.door else { return Ok(Err(Refusal::nobody())) };
        let doors = &errand.link.worker.shared.doors;
        let enter = doors.enter(way, self.flight.session(), errand.deadline.at());
        enter.decided().map(|decided| decided.map_err(Refusal::shed))
    }

    /// Waits until admission decides or the time is over. A short body is read meanwhile: that its client has gone can be seen
    /// only once there is nothing more to read. (Of a client with a long body it is seen when the body is passed on.)
    async fn wait(&mut self, enter: Enter) -> Result<Permit, Refusal<'static>> {
        let Errand { link, route, deadline, .. } = &mut self.errand;
        // Where there is no instance, the queue cannot say when there will be one.
        let table = &link.worker.shared.table;
        let is_empty = || table.load().members(route).is_none_or(|members| members.instances.is_empty());
        if is_empty()
            && !matches!(wait_for_instance(&link.worker, route, &[], deadline).await, Chosen::Instance(_))
        {
            return Err(if deadline.is_over() { Refusal::late() } else { Refusal::nobody() });
        }
        if self.is_short && self.errand.outbound.is_passing() {
            self.read_whole().await?;
        }
        match until_admitted(enter, &mut self.errand.deadline).await {
            None => Err(Refusal::late()),
            Some(decided) => decided.map_err(Refusal::shed),
        }
    }

    /// Reads a short body whole.
    async fn read_whole(&mut self) -> Result<(), Refusal<'static>> {
        let Errand { link, outbound, deadline, .. } = &mut self.errand;
        let config = &link.worker.shared.config;
        let mut reading = pin!(timeout(config.idle_timeout(), outbound.read_whole(config.retry_body_bytes)));
        let result = poll_fn(|cx| {
            if deadline.poll(cx).is_ready() {
                return Poll::Ready(Err(Refusal::late()));
            }
            reading.as_mut().poll(cx).map(Ok)
        });
        match result.await? {
            Ok(Ok(())) => Ok(()),
            Ok(Err(text)) => Err(Refusal::new(StatusCode::BAD_REQUEST, text)),
            Err(_) => {
                let text = "the request's body did not come in time";
                Err(Refusal { shed: Some("rate"), ..Refusal::new(StatusCode::REQUEST_TIMEOUT, text) })
            }
        }
    }
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
    let mut flight = Flight::begin(Rc::clone(link), facts, ids);
    if link.worker.shared.log.is_some() {
        let field = |name| parts.headers.get(name).cloned();
        let host = parts.uri.host().and_then(|host| HeaderValue::try_from(host).ok()).or_else(|| field(HOST));
        let (user_agent, referer) = (field(USER_AGENT), field(REFERER));
        flight.note(Particulars { version: parts.version, host, user_agent, referer });
    }
    (flight, clients.is_some())
}

/// A request that can be passed on.
struct Prepared {
    upgrade: Option<OnUpgrade>,
    route: Arc<PlannedRoute>,
    /// The time that the client gives it.
    deadline_ms: Option<u64>,
}

/// Everything that can be objected to without asking anybody.
fn prepare(link: &Link, parts: &mut request::Parts, survey: &Survey) -> Result<Prepared, Refusal<'static>> {
    let limits = &link.worker.shared.config.limits;
    let too = |status, text| Err(Refusal::new(status, text));
    if let Err(after_s) = link.visit.request() {
        // Jittered: all that were refused in one second would come back in one.
        let retry_after_s = Some(after_s.saturating_add(fastrand::u32(0..=2)));
        let text = "too many requests from this address";
        let refusal = Refusal::new(StatusCode::TOO_MANY_REQUESTS, text);
        return Err(Refusal { shed: Some("rate"), retry_after_s, ..refusal });
    }
    if parts.uri.path_and_query().is_some_and(|target| target.as_str().len() > limits.uri_bytes_max) {
        return too(StatusCode::URI_TOO_LONG, "the target is too long");
    }
    if parts.headers.len() > limits.headers_max {
        return too(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "there are too many header fields");
    }
    let wants_upgrade = survey.wants_upgrade(&parts.headers, parts.version);
    let upgrade = if wants_upgrade { parts.extensions.remove::<OnUpgrade>() } else { None };
    let objection = |Objection(status, text)| Refusal::new(status, text);
    survey.prepare_request(parts, &link.origin, upgrade.is_some()).map_err(objection)?;
    let deadline_ms = survey.take_deadline_ms(&mut parts.headers);
    let table = link.worker.shared.table.load();
    if table.plan.is_ambiguous(parts.uri.path()) {
        return too(StatusCode::BAD_REQUEST, "the path has dot segments");
    }
    let host = parts.headers.get(HOST).and_then(|host| host.to_str().ok());
    match table.plan.find(host, parts.uri.path()) {
        Some(route) => Ok(Prepared { upgrade, route: Arc::clone(route), deadline_ms }),
        None => too(StatusCode::NOT_FOUND, "nothing answers for this host and path"),
    }
}
