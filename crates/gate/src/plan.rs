//! Services and routes as data: what the gate is told, checked before it is used.
//!
//! A [`RouteTable`] is immutable once it is in use, and replaced as a whole. This file knows nothing of connections, threads
//! or which instances are up.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use crate::admission;
use crate::upstream::Upstream;

/// Services, and routes, at most.
const SERVICES_MAX: usize = 256;
const ROUTES_MAX: usize = 4096;
/// Upstreams of one service at most.
const UPSTREAMS_MAX: usize = 256;
/// Longest name and path prefix, in bytes.
const NAME_MAX: usize = 64;
const PATH_MAX: usize = 1024;
/// Most requests under way, or waiting.
const IN_FLIGHT_LIMIT: u32 = 1_000_000;
/// Longest deadline: an hour.
const DEADLINE_MAX_MS: u64 = 3_600_000;
/// Tiers: 0 to 7.
const TIER_MAX: u8 = 7;
/// Second attempts of one request at most.
const RETRIES_MAX: u32 = 4;

/// Everything about where requests go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteTable {
    /// What can answer. At most one is supervised.
    pub services: Vec<Service>,
    /// Which service answers what. The most specific host decides first (exact, then the longest wildcard, then none), then
    /// the longest path prefix; a host none of whose prefixes fits is as if it were not there.
    pub routes: Vec<Route>,
}

/// A set of instances that are alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Unique among services.
    pub name: String,
    /// Who they are.
    pub upstreams: Upstreams,
    /// Speak HTTP/2 with prior knowledge to them instead of HTTP/1.1, as gRPC needs it.
    pub h2c: bool,
    /// Requests under way per instance at most; `None` is no limit, and unless a route has one, no load shedding.
    pub in_flight_max: Option<u32>,
    /// Requests that wait for a place at most.
    pub queue_max: u32,
}

/// The instances of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Upstreams {
    /// Those that [`Gate::route`](crate::Gate::route) names.
    Supervised,
    /// These addresses. One that refuses connections gets no requests until a probe finds it back.
    Fixed(Vec<Upstream>),
}

/// What is asked for, and how it is treated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Unique among routes; it names them in logs and metrics.
    pub name: String,
    /// `shop.example`, `*.example` (any number of labels in place of the asterisk) or `None` for every host. Ports do not count.
    pub host: Option<String>,
    /// Path prefix: `/api` means `/api` and everything below `/api/`.
    pub path: String,
    /// Name of the service.
    pub service: String,
    /// Time from the request's arrival to the head of its response, in milliseconds; `None` is no limit. Where a client names a
    /// shorter one in `x-freezeframe-deadline-ms`, that counts.
    pub deadline_ms: Option<u64>,
    /// Importance for load shedding, 0 to 7: 0 is shed last.
    pub tier: u8,
    /// Routes of the same cost class compete for the same learnt limit.
    pub cost: String,
    /// How often a request that may be repeated goes to another instance after one failed it. (A connection that could not be
    /// opened and an instance that was quarantined do not count: no retry of these costs an instance anything.)
    pub retries: u32,
    /// Its requests under way per instance at most, within what its service may have; `None` is no other bound than that.
    pub in_flight_max: Option<u32>,
    /// Its requests that wait at most, within the queue of its service; `None` is no other bound than that.
    pub queue_max: Option<u32>,
    /// Bodies of requests may pause for as long as they like, as bidirectional gRPC streams do; else
    /// [`Limits::body_bytes_per_s_min`](crate::Limits::body_bytes_per_s_min) holds for them.
    pub request_streams: bool,
}

impl Default for RouteTable {
    /// Everything goes to the supervised service `default`.
    fn default() -> Self {
        let service = Service::new("default", Upstreams::Supervised);
        Self { routes: vec![Route::to(&service.name)], services: vec![service] }
    }
}

impl Route {
    /// Every request to this service, without limits; the route has the service's name.
    pub fn to(service: &str) -> Self {
        Self {
            name: service.to_owned(),
            host: None,
            path: "/".to_owned(),
            service: service.to_owned(),
            deadline_ms: None,
            tier: 1,
            cost: "default".to_owned(),
            retries: 0,
            in_flight_max: None,
            queue_max: None,
            request_streams: false,
        }
    }
}

/// Why a route table cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RouteTableError {
    /// A name that is empty, too long, or has other characters than letters, digits, `-`, `_` and `.`.
    #[error("{0:?} is no name: expected 1 to 64 letters, digits, \"-\", \"_\" or \".\"")]
    Name(String),
    /// Twice the same.
    #[error("there are two {kind} called {name:?}")]
    Twice {
        /// Services or routes.
        kind: &'static str,
        /// Their name.
        name: String,
    },
    /// Two routes for the same host and prefix: one of them could never be taken.
    #[error("the routes {first:?} and {second:?} are for the same host and path")]
    Ambiguous {
        /// Name of the one.
        first: String,
        /// Name of the other.
        second: String,
    },
    /// A route to nowhere.
    #[error("route {route:?} leads to the service {service:?}, which does not exist")]
    NoService {
        /// The route's name.
        route: String,
        /// The name it gives.
        service: String,
    },
    /// A service without a single address.
    #[error("service {0:?} has no upstream")]
    NoUpstream(String),
    /// Only one service can be that of the supervised instances.
    #[error("more than one service is supervised")]
    Supervised,
    /// A value outside of its bounds.
    #[error("{what} of {name:?} must be {expected}")]
    Value {
        /// Which setting.
        what: &'static str,
        /// Whose.
        name: String,
        /// What would do.
        expected: &'static str,
    },
    /// More than the gate keeps track of.
    #[error("more than {max} {kind}")]
    TooMany {
        /// Services, routes or upstreams.
        kind: &'static str,
        /// The limit.
        max: usize,
    },
}

impl RouteTable {
    /// Checks everything that can be known without a network.
    ///
    /// # Errors
    /// The first thing that cannot be.
    pub fn check(&self) -> Result<(), RouteTableError> {
        at_most("services", self.services.len(), SERVICES_MAX)?;
        at_most("routes", self.routes.len(), ROUTES_MAX)?;
        let mut names = BTreeSet::new();
        for service in &self.services {
            service.check()?;
            if !names.insert(&service.name) {
                return Err(RouteTableError::Twice { kind: "services", name: service.name.clone() });
            }
        }
        if self.services.iter().filter(|service| service.upstreams == Upstreams::Supervised).count() > 1 {
            return Err(RouteTableError::Supervised);
        }
        let (mut routes, mut places) = (BTreeSet::new(), BTreeMap::new());
        for route in &self.routes {
            route.check()?;
            if !names.contains(&route.service) {
                let (route, service) = (route.name.clone(), route.service.clone());
                return Err(RouteTableError::NoService { route, service });
            }
            if !routes.insert(&route.name) {
                return Err(RouteTableError::Twice { kind: "routes", name: route.name.clone() });
            }
            let host = route.host.as_deref().map(str::to_ascii_lowercase);
            if let Some(first) = places.insert((host, trimmed(&route.path)), &route.name) {
                let (first, second) = (first.clone(), route.name.clone());
                return Err(RouteTableError::Ambiguous { first, second });
            }
        }
        match self.services.iter().find_map(|service| admission::excess(service, self)) {
            Some((kind, max)) => Err(RouteTableError::TooMany { kind, max }),
            None => Ok(()),
        }
    }

    /// What differs in `new`, one line each, for people.
    pub fn diff(&self, new: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        compare(
            "service",
            &self.services,
            &new.services,
            |service| &service.name,
            &mut lines,
            |a, b, lines| {
                field(lines, "upstreams", &a.upstreams.describe(), &b.upstreams.describe());
                field(lines, "h2c", &a.h2c, &b.h2c);
                field(lines, "in_flight_max", &a.in_flight_max, &b.in_flight_max);
                field(lines, "queue_max", &a.queue_max, &b.queue_max);
            },
        );
        compare(
            "route",
            &self.routes,
            &new.routes,
            |route| &route.name,
            &mut lines,
            |a, b, lines| {
                field(lines, "host", &a.host, &b.host);
                field(lines, "path", &a.path, &b.path);
                field(lines, "service", &a.service, &b.service);
                field(lines, "deadline_ms", &a.deadline_ms, &b.deadline_ms);
                field(lines, "tier", &a.tier, &b.tier);
                field(lines, "cost", &a.cost, &b.cost);
                field(lines, "retries", &a.retries, &b.retries);
                field(lines, "in_flight_max", &a.in_flight_max, &b.in_flight_max);
                field(lines, "queue_max", &a.queue_max, &b.queue_max);
                field(lines, "request_streams", &a.request_streams, &b.request_streams);
            },
        );
        lines
    }
}

impl Upstreams {
    fn describe(&self) -> Vec<String> {
        match self {
            Self::Supervised => vec!["supervised".to_owned()],
            Self::Fixed(upstreams) => upstreams.iter().map(ToString::to_string).collect(),
        }
    }
}

fn compare<T>(
    kind: &str,
    old: &[T],
    new: &[T],
    name: fn(&T) -> &String,
    lines: &mut Vec<String>,
    fields: impl Fn(&T, &T, &mut Vec<String>),
) {
    for before in old {
        match new.iter().find(|after| name(after) == name(before)) {
            None => lines.push(format!("{kind} {:?} goes", name(before))),
            Some(after) => {
                let mut changes = Vec::new();
                fields(before, after, &mut changes);
                lines.extend(changes.iter().map(|change| format!("{kind} {:?}: {change}", name(before))));
            }
        }
    }
    let is_new = |after: &&T| !old.iter().any(|before| name(before) == name(after));
    lines.extend(new.iter().filter(is_new).map(|after| format!("{kind} {:?} is new", name(after))));
}

fn field<T: PartialEq + Debug>(lines: &mut Vec<String>, what: &str, old: &T, new: &T) {
    if old != new {
        lines.push(format!("{what} {old:?} -> {new:?}"));
    }
}

impl Service {
    /// Without limits.
    pub fn new(name: &str, upstreams: Upstreams) -> Self {
        Self { name: name.to_owned(), upstreams, h2c: false, in_flight_max: None, queue_max: 128 }
    }

    fn check(&self) -> Result<(), RouteTableError> {
        check_name(&self.name)?;
        if self.in_flight_max.is_some_and(|max| !(1..=IN_FLIGHT_LIMIT).contains(&max)) {
            return Err(self.wrong("`in_flight_max`", "1 to 1000000"));
        }
        if self.queue_max > IN_FLIGHT_LIMIT {
            return Err(self.wrong("`queue_max`", "at most 1000000"));
        }
        let Upstreams::Fixed(upstreams) = &self.upstreams else { return Ok(()) };
        at_most("upstreams of one service", upstreams.len(), UPSTREAMS_MAX)?;
        if upstreams.is_empty() {
            return Err(RouteTableError::NoUpstream(self.name.clone()));
        }
        let different: BTreeSet<String> = upstreams.iter().map(ToString::to_string).collect();
        let is_fine = different.len() == upstreams.len();
        is_fine.then_some(()).ok_or_else(|| self.wrong("`upstreams`", "addresses that are all different"))
    }

    fn wrong(&self, what: &'static str, expected: &'static str) -> RouteTableError {
        RouteTableError::Value { what, name: self.name.clone(), expected }
    }
}

impl Route {
    fn check(&self) -> Result<(), RouteTableError> {
        check_name(&self.name)?;
        check_name(&self.cost)?;
        let wrong = |what, expected| Err(RouteTableError::Value { what, name: self.name.clone(), expected });
        if self.host.as_deref().is_some_and(|host| !is_host(host)) {
            return wrong("`host`", "a host name like \"shop.example\" or \"*.example\", without a port");
        }
        if !is_prefix(&self.path) {
            return wrong(
                "`path`",
                "a path like \"/api\", without \".\" and \"..\" segments, query or \"%\"",
            );
        }
        if self.deadline_ms.is_some_and(|ms| !(1..=DEADLINE_MAX_MS).contains(&ms)) {
            return wrong("`deadline_ms`", "1 to 3600000");
        }
        if self.in_flight_max.is_some_and(|max| !(1..=IN_FLIGHT_LIMIT).contains(&max)) {
            return wrong("`in_flight_max`", "1 to 1000000");
        }
        if self.queue_max.is_some_and(|max| max > IN_FLIGHT_LIMIT) {
            return wrong("`queue_max`", "at most 1000000");
        }
        if self.tier > TIER_MAX {
            return wrong("`tier`", "0 to 7");
        }
        if self.retries > RETRIES_MAX {
            return wrong("`retries`", "0 to 4");
        }
        Ok(())
    }
}

/// A prefix without its final slash: `/api/` and `/api` mean the same, `/` is empty.
pub(crate) fn trimmed(prefix: &str) -> &str {
    prefix.trim_end_matches('/')
}

fn at_most(kind: &'static str, count: usize, max: usize) -> Result<(), RouteTableError> {
    if count > max { Err(RouteTableError::TooMany { kind, max }) } else { Ok(()) }
}

fn check_name(name: &str) -> Result<(), RouteTableError> {
    let is_char = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let fits = (1..=NAME_MAX).contains(&name.len()) && name.bytes().all(is_char);
    if fits { Ok(()) } else { Err(RouteTableError::Name(name.to_owned())) }
}

fn is_host(host: &str) -> bool {
    let labels = host.strip_prefix("*.").unwrap_or(host);
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    let is_v6 = host.starts_with('[')
        && host.ends_with(']')
        && host
            .get(1..host.len().saturating_sub(1))
            .is_some_and(|addr| addr.parse::<std::net::Ipv6Addr>().is_ok());
    is_v6 || (labels.len() <= 253 && labels.split('.').all(is_label))
}

fn is_prefix(path: &str) -> bool {
    let is_char = |byte: u8| byte.is_ascii_graphic() && !b"?#%\\".contains(&byte);
    path.starts_with('/')
        && path.len() <= PATH_MAX
        && path.bytes().all(is_char)
        && !path.split('/').any(|segment| segment == "." || segment == "..")
        && !trimmed(path).contains("//")
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn table(change: impl FnOnce(&mut RouteTable)) -> RouteTable {
        let upstream = |port| Upstream::Tcp(([127, 0, 0, 1], port).into());
        let service = |name: &str, port| Service::new(name, Upstreams::Fixed(vec![upstream(port)]));
        let mut table = RouteTable {
            services: vec![service("shop", 1), service("pay", 2)],
            routes: vec![Route::to("shop"), Route { path: "/pay".to_owned(), ..Route::to("pay") }],
        };
        change(&mut table);
        table
    }

    fn refused(change: impl FnOnce(&mut RouteTable), expected: Expect) {
        let error = table(change).check().expect_err("refused");
        expected.assert_eq(&error.to_string());
    }

    #[test]
    fn what_can_be_is_accepted() {
        assert_eq!(RouteTable::default().check(), Ok(()));
        assert_eq!(table(|_| ()).check(), Ok(()));
        for host in ["shop.example", "*.example", "a", "[::1]", "127.0.0.1", "my_shop"] {
            assert_eq!(table(|table| table.routes[0].host = Some(host.to_owned())).check(), Ok(()), "{host}");
        }
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_name() {
        refused(
            |t| t.routes[1].service = "pey".to_owned(),
            expect![[r#"route "pay" leads to the service "pey", which does not exist"#]],
        );
        refused(
            |t| t.routes[1].path = "/".to_owned(),
            expect![[r#"the routes "shop" and "pay" are for the same host and path"#]],
        );
        refused(
            |t| t.services[1].name = "shop".to_owned(),
            expect![[r#"there are two services called "shop""#]],
        );
        refused(
            |t| t.routes[1].name = "a b".to_owned(),
            expect![[r#""a b" is no name: expected 1 to 64 letters, digits, "-", "_" or ".""#]],
        );
        refused(
            |t| t.services[0].upstreams = Upstreams::Fixed(Vec::new()),
            expect![[r#"service "shop" has no upstream"#]],
        );
        refused(
            |t| t.routes[0].deadline_ms = Some(0),
            expect![[r#"`deadline_ms` of "shop" must be 1 to 3600000"#]],
        );
        for path in ["", "api", "/a/../b", "/a?b", "/%2e", "/a//b", "/a\\b", "/ä"] {
            assert!(table(|table| table.routes[1].path = path.to_owned()).check().is_err(), "{path:?}");
        }
        for host in ["", "*", "*.", "a..b", "shop:80", "ä", "a/b", "x.*.y"] {
            assert!(table(|table| table.routes[1].host = Some(host.to_owned())).check().is_err(), "{host:?}");
        }
    }

    #[test]
    fn a_diff_says_what_changes_and_nothing_else() {
        let old = table(|_| ());
        assert_eq!(old.diff(&old), Vec::<String>::new());
        let new = table(|table| {
            table.services[0].upstreams = Upstreams::Fixed(vec!["unix:/run/s".parse().expect("valid")]);
            table.routes[0].deadline_ms = Some(500);
            table.routes[1].name = "checkout".to_owned();
        });
        expect![[r#"
            service "shop": upstreams ["127.0.0.1:1"] -> ["unix:/run/s"]
            route "shop": deadline_ms None -> Some(500)
            route "pay" goes
            route "checkout" is new"#]]
        .assert_eq(&old.diff(&new).join("\n"));
    }
}
