//! Errors that are seen from outside only: answers of 5xx, closed connections, exits. Nothing is at its site any more, so
//! nothing is held; what is kept is one incident per kind of error, and a count.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use freezeframe_gate::Observer;
use freezeframe_model::{
    Exchange, ExitReason, FailingRequest, Fingerprint, Incident, IncidentKind, InstanceId, LogLine, Loss,
    Outcome, RequestMatch, Timestamp,
};
use freezeframe_shim::protocol::{Command, LOG_LINES};
use sha2::{Digest, Sha256};

use super::actor::{Daemon, Mailbox, Message, Open};
use super::crash::journey_of;

/// Within this time the same error is counted, not told again.
const SAME_ERROR: Duration = Duration::from_secs(600);
/// Different errors that are remembered; beyond that the oldest is forgotten and would be told again.
const ERRORS_MAX: usize = 1024;

/// Passes on what ended badly; called on the gate's threads for every exchange.
pub(crate) struct Watch {
    pub(crate) mailbox: Mailbox,
    pub(crate) server_errors: bool,
}

impl Observer for Watch {
    fn exchange(&self, exchange: &Exchange) {
        // A full mailbox means a storm of them: these are counted elsewhere, as what they are the consequence of.
        let _ = self.mailbox.offer(Message::Observed(Box::new(exchange.clone())));
    }

    fn is_of_interest(&self, status: u16, outcome: &Outcome) -> bool {
        let bad = match outcome {
            Outcome::Answered => status >= 500,
            Outcome::UpstreamFailed(_) => true,
            Outcome::ClientGone | Outcome::Refused(_) => false,
        };
        bad && self.server_errors
    }
}

/// Errors of the last minutes.
#[derive(Default)]
pub(crate) struct Recent {
    told: HashMap<Fingerprint, Instant>,
}

impl Recent {
    /// Whether this one has not been told of lately; from now on it has.
    fn is_news(&mut self, fingerprint: Fingerprint) -> bool {
        let now = Instant::now();
        let known = self.told.get(&fingerprint).is_some_and(|at| now.duration_since(*at) < SAME_ERROR);
        if known {
            return false;
        }
        if self.told.len() >= ERRORS_MAX
            && let Some(oldest) =
                self.told.iter().min_by_key(|(_, at)| **at).map(|(fingerprint, _)| *fingerprint)
        {
            self.told.remove(&oldest);
        }
        self.told.insert(fingerprint, now);
        true
    }
}

impl Daemon {
    pub(super) fn on_observed(&mut self, exchange: Exchange) {
        let Some(instance) = exchange.instance else { return };
        // The consequence of a trap: that has an incident of its own.
        if self.instances.get(&instance).is_none_or(|known| known.incident.is_some() || known.expected_to_end)
        {
            return;
        }
        let kind = match exchange.outcome {
            Outcome::Answered => IncidentKind::ServerError(exchange.status),
            _ => IncidentKind::ConnectionClosed,
        };
        let route = template(&exchange.request.path);
        let message = match &exchange.outcome {
            Outcome::UpstreamFailed(why) => format!("{} {route}: {why}", exchange.request.method),
            _ => format!("{} {route} answered {}", exchange.request.method, exchange.status),
        };
        let identity = format!("{}/{kind}/{}/{route}", self.config.service.name, exchange.request.method);
        let request = FailingRequest {
            journey: journey_of(&self.gate, &exchange.request),
            request: Some(exchange.request),
            matched_by: RequestMatch::OnlyOne,
            in_flight: 1,
            others: Vec::new(),
        };
        self.record(instance, kind, message, fingerprint(&identity), request, None);
    }

    pub(super) fn unexpected_exit(&mut self, instance: InstanceId, reason: &ExitReason, logs: Vec<LogLine>) {
        if self.stops > 0 {
            return;
        }
        let kind = IncidentKind::Exit(reason.to_string());
        let identity = format!("{}/{kind}/{reason}", self.config.service.name);
        let message = format!("the instance ended by itself: {reason}");
        self.record(instance, kind, message, fingerprint(&identity), FailingRequest::default(), Some(logs));
    }

    /// One incident for the first of its kind, a count for the others.
    fn record(
        &mut self,
        instance: InstanceId,
        kind: IncidentKind,
        message: String,
        fingerprint: Fingerprint,
        request: FailingRequest,
        logs: Option<Vec<LogLine>>,
    ) {
        let id = self.next_id.filter(|_| self.recent.is_news(fingerprint));
        let Some(id) = id else { return self.count(fingerprint) };
        self.take_id();
        let why = match kind {
            IncidentKind::Exit(_) => "the process has ended",
            _ => "the error had passed when its answer was seen: nothing is at its site any more",
        };
        let incident = Incident {
            message,
            request,
            not_captured: vec![Loss {
                what: "threads, frames and variables".to_owned(),
                why: why.to_owned(),
            }],
            ..self.bare_incident(id, instance, kind, fingerprint, Timestamp::now())
        };
        self.open.insert(id, Open { captured: true, ..Open::new(incident) });
        self.logs_wanted.entry(instance).or_default().push(id);
        match logs {
            Some(logs) => self.on_logs(instance, logs),
            None => self.tell(instance, Command::Logs { lines: LOG_LINES }),
        }
    }
}

/// Identity of an error that has no stack.
fn fingerprint(identity: &str) -> Fingerprint {
    let digest = Sha256::digest(identity.as_bytes());
    Fingerprint(std::array::from_fn(|at| digest[at]))
}

/// A path without what differs from request to request: numbers, UUIDs, long tokens.
fn template(path: &str) -> String {
    let varies = |segment: &str| {
        let digits = segment.bytes().filter(u8::is_ascii_digit).count();
        !segment.is_empty()
            && (digits == segment.len()
                || (segment.len() >= 16 && digits > 0)
                || (segment.len() >= 8 && segment.bytes().all(|byte| byte.is_ascii_hexdigit())))
    };
    path.split('/').map(|segment| if varies(segment) { "{}" } else { segment }).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_differ_only_in_ids_are_the_same_route() {
        for (path, route) in [
            ("/", "/"),
            ("/products/17", "/products/{}"),
            ("/users/3f2504e0-4f89-11d3-9a0c-0305e82c3301/cart", "/users/{}/cart"),
            ("/v1/feed", "/v1/feed"),
            ("/deadbeef", "/{}"),
        ] {
            assert_eq!(template(path), route);
        }
    }

    #[test]
    fn the_same_error_is_news_once_and_memory_is_bounded() {
        let mut recent = Recent::default();
        assert!(recent.is_news(Fingerprint([1; 16])));
        assert!(!recent.is_news(Fingerprint([1; 16])));
        for n in 0..5000u32 {
            let mut id = [0; 16];
            id[..4].copy_from_slice(&n.to_le_bytes());
            recent.is_news(Fingerprint(id));
        }
        assert!(recent.told.len() <= ERRORS_MAX);
    }
}
