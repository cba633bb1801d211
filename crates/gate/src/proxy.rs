//! One request at the door: within the limits, well-formed, on a route, admitted; then on its [`Errand`].

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use freezeframe_admission::{Enter, Permit};
use freezeframe_model::Outcome;
use http::header::{ACCEPT, HOST, REFERER, USER_AGENT};
use http::uri::PathAndQuery;
use http::{HeaderValue, Request, Response, StatusCode, Version, request};
use hyper::body::{Body, Incoming};
use hyper::upgrade::OnUpgrade;
use tokio::time::timeout;

use crate::access_log::Particulars;
use crate::body::ResponseBody;
use crate::errand::{Chosen, Errand, Progress, until_admitted, wait_for_instance};
use crate::flight::Flight;
use crate::gate::Shared;
use crate::headers::{self, Objection, Survey};
use crate::matcher::PlannedRoute;
use crate::outbound::Outbound;
use crate::refusal::{Refusal, asks_for_json};
use crate::slot::RequestFacts;
use crate::timer::Deadline;
use crate::trace::TraceIds;
use crate::worker::Link;

/// A request body that is looked at before it is passed on.
struct Intake {
    body: Incoming,
    /// The whole of it, where it was read while the request waited.
    read: Option<Bytes>,
}

/// Serves one request. There is always an answer; a client that is gone is noticed because this future is dropped.
pub(crate) async fn serve(
    link: Rc<Link>,
    request: Request<Incoming>,
) -> Result<Response<ResponseBody>, Infallible> {
    let (mut parts, body) = request.into_parts();
    let is_http11 = parts.version == Version::HTTP_11;
    let survey = headers::survey(&parts.headers);
    let (mut flight, is_clients_trace) = begin(&link, &parts, &survey);
    let accept = parts.headers.get(ACCEPT).cloned();
    let refuse = |refusal: &Refusal<'_>| Ok(refusal.respond(asks_for_json(accept.as_ref())));

    let prepared = prepare(&link, &mut parts, &survey);
    let Prepared { upgrade, route, deadline_ms } = match prepared {
        Ok(prepared) => prepared,
        Err(refusal) => {
            flight.refused_by(&refusal);
            return refuse(&refusal);
        }
    };
    flight.takes(&route);
    let time = [route.deadline, deadline_ms.map(Duration::from_millis)].into_iter().flatten().min();
    let mut deadline = Deadline::new(time.and_then(|time| flight.since().checked_add(time)));
    let may_repeat = survey.idempotency_key || headers::is_idempotent(&parts.method);
    let is_short = survey.announces_at_most(link.worker.shared.config.retry_body_bytes);
    let mut intake = Intake { body, read: None };

    if let Some(way) = &route.door {
        let decided = match link.worker.shared.doors.enter(way, flight.session(), deadline.at()).decided() {
            Ok(decided) => decided.map_err(Refusal::shed),
            Err(enter) => {
                let since = Instant::now();
                let waited = Box::pin(wait(&link, enter, &route, &mut intake, is_short, &mut deadline)).await;
                flight.has_waited(since);
                waited
            }
        };
        match decided {
            Ok(permit) => flight.admitted(permit),
            Err(refusal) => {
                flight.refused_by(&refusal);
                return refuse(&refusal);
            }
        }
    }
    let mut outbound = Outbound::new(parts, survey, is_clients_trace);
    if intake.read.is_some() || intake.body.is_end_stream() {
        outbound.keep(intake.read, may_repeat);
    } else if may_repeat && is_short {
        match Box::pin(intake.read_whole(&link.worker.shared, &mut deadline)).await {
            Ok(()) => outbound.keep(intake.read, true),
            Err(refusal) => {
                flight.refused_by(&refusal);
                flight.refused(refusal.status.as_u16(), Outcome::ClientGone);
                return refuse(&refusal);
            }
        }
    } else {
        let has_pace =
            !route.spec.request_streams && link.worker.shared.config.limits.body_bytes_per_s_min > 0;
        outbound.pass(intake.body, has_pace.then(|| Rc::clone(&link.worker)));
    }
    route.save(link.worker.index);
    let progress = Progress::default();
    let takes_interim = is_http11 && upgrade.is_none();
    let mut errand = Errand { link, outbound, upgrade, accept, takes_interim, route, deadline, progress };
    let response = errand.run(flight).await;
    if takes_interim {
        errand.link.switch.interim.close();
    }
    Ok(response)
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

/// Waits until admission decides or the time is over. A short body is read meanwhile: that its client has gone can be seen only
/// once there is nothing more to read. (Of a client with a long body it is seen when the body is passed on.)
async fn wait(
    link: &Link,
    enter: Enter,
    route: &PlannedRoute,
    intake: &mut Intake,
    is_short: bool,
    deadline: &mut Deadline,
) -> Result<Permit, Refusal<'static>> {
    let shared = &link.worker.shared;
    // Where there is no instance, the queue cannot say when there will be one.
    let is_empty = || shared.table.load().members(route).is_none_or(|members| members.instances.is_empty());
    if is_empty()
        && !matches!(wait_for_instance(&link.worker, route, &[], deadline).await, Chosen::Instance(_))
    {
        return Err(if deadline.is_over() { Refusal::late() } else { Refusal::nobody() });
    }
    if is_short && !intake.body.is_end_stream() {
        intake.read_whole(shared, deadline).await?;
    }
    match until_admitted(enter, deadline).await {
        None => Err(Refusal::late()),
        Some(decided) => decided.map_err(Refusal::shed),
    }
}

impl Intake {
    /// Reads a short body whole.
    async fn read_whole(&mut self, shared: &Shared, deadline: &mut Deadline) -> Result<(), Refusal<'static>> {
        let config = &shared.config;
        let reading = Outbound::read_whole(&mut self.body, config.retry_body_bytes);
        let mut reading = pin!(timeout(config.idle_timeout(), reading));
        let result = poll_fn(|cx| {
            if deadline.poll(cx).is_ready() {
                return Poll::Ready(Err(Refusal::late()));
            }
            reading.as_mut().poll(cx).map(Ok)
        });
        match result.await? {
            Ok(Ok(bytes)) => {
                self.read = Some(bytes);
                Ok(())
            }
            Ok(Err(text)) => Err(Refusal::new(StatusCode::BAD_REQUEST, text)),
            Err(_) => {
                let text = "the request's body did not come in time";
                Err(Refusal { shed: Some("rate"), ..Refusal::new(StatusCode::REQUEST_TIMEOUT, text) })
            }
        }
    }
}
