//! Finds the route of a request: host first, then the longest path prefix.
//!
//! Made once from a checked [`RouteTable`], then only read, by all workers at once.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use freezeframe_admission::Door;

use crate::admission::DoorOf;
use crate::meter::{Meter, Meters};
use crate::plan::{Route, RouteTable, Service, Upstreams, trimmed};
use crate::route::Lonely;

/// What one request adds to the budget of retries, and what one retry takes from it: every fifth request may be repeated.
const DEPOSIT: i32 = 1;
const WITHDRAWAL: i32 = 5;
/// Most that is saved up, and what there is at the beginning: a quiet route can repeat ten requests.
const SAVINGS_MAX: i32 = 10 * WITHDRAWAL;

/// A checked route table in the form in which requests find their way through it.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) table: RouteTable,
    exact: HashMap<Box<str>, Vec<Entry>>,
    /// By suffix with its leading dot, longest first.
    wild: Vec<(Box<str>, Vec<Entry>)>,
    any: Vec<Entry>,
    /// Whether a path decides anything; only then two servers could disagree about what it means.
    compares_paths: bool,
}

#[derive(Debug)]
struct Entry {
    /// Without its final slash.
    prefix: Box<str>,
    route: Arc<PlannedRoute>,
}

/// A route in use.
#[derive(Debug)]
pub(crate) struct PlannedRoute {
    pub(crate) spec: Route,
    /// Its place in the table, for metrics.
    pub(crate) index: usize,
    pub(crate) service: usize,
    pub(crate) deadline: Option<Duration>,
    pub(crate) meter: Arc<Meter>,
    /// Where its service sheds load.
    pub(crate) door: Option<DoorOf>,
    /// Per worker: what is left for retries. Each worker writes only its own.
    savings: Box<[Lonely<AtomicI32>]>,
}

impl Plan {
    /// `table` must have been checked.
    pub(crate) fn new(
        table: RouteTable,
        workers: usize,
        doors: &[Option<Arc<Door>>],
        meters: &Meters,
    ) -> Self {
        let mut meters = meters.of(table.routes.iter().map(|route| route.name.as_str())).into_iter();
        let mut ways = DoorOf::all(&table, doors).into_iter();
        let (mut exact, mut wild, mut any) = (HashMap::new(), HashMap::new(), Vec::new());
        for (index, spec) in table.routes.iter().enumerate() {
            let service = table.services.iter().position(|service| service.name == spec.service);
            let door = ways.next().flatten();
            let (Some(meter), Some(service)) = (meters.next(), service) else { continue };
            let entry = Entry {
                prefix: trimmed(&spec.path).into(),
                route: Arc::new(PlannedRoute::new(spec.clone(), index, service, door, meter, workers)),
            };
            let host = spec.host.as_deref().map(str::to_ascii_lowercase);
            match host.as_deref().map(|host| host.strip_prefix('*').ok_or(host)) {
                None => any.push(entry),
                Some(Ok(suffix)) => wild.entry(Box::from(suffix)).or_insert_with(Vec::new).push(entry),
                Some(Err(host)) => exact.entry(Box::from(host)).or_insert_with(Vec::new).push(entry),
            }
        }
        let mut wild: Vec<(Box<str>, Vec<Entry>)> = wild.into_iter().collect();
        wild.sort_by_key(|(suffix, _)| std::cmp::Reverse(suffix.len()));
        let groups = exact.values_mut().chain(wild.iter_mut().map(|(_, group)| group));
        groups.chain([&mut any]).for_each(|group| {
            group.sort_by_key(|entry| std::cmp::Reverse(entry.prefix.len()));
        });
        let compares_paths = table.routes.iter().any(|route| !trimmed(&route.path).is_empty());
        Self { table, exact, wild, any, compares_paths }
    }

    /// The service of the supervised instances.
    pub(crate) fn supervised(&self) -> Option<(usize, &Service)> {
        let mut services = self.table.services.iter().enumerate();
        services.find(|(_, service)| service.upstreams == Upstreams::Supervised)
    }

    /// Whether a path means something else to servers that resolve its dot segments, so that its route could not be told.
    pub(crate) fn is_ambiguous(&self, path: &str) -> bool {
        self.compares_paths && has_dot_segment(path)
    }

    /// The route for this `Host` (with or without a port) and path.
    pub(crate) fn find(&self, host: Option<&str>, path: &str) -> Option<&Arc<PlannedRoute>> {
        if let Some(host) = host.filter(|_| !(self.exact.is_empty() && self.wild.is_empty())) {
            let host = bare(host);
            if let Some(route) = self.exact.get(&*host).and_then(|group| longest(group, path)) {
                return Some(route);
            }
            let mut wild =
                self.wild.iter().filter(|(suffix, _)| host.len() > suffix.len() && host.ends_with(&**suffix));
            if let Some(route) = wild.find_map(|(_, group)| longest(group, path)) {
                return Some(route);
            }
        }
        longest(&self.any, path)
    }
}

impl PlannedRoute {
    fn new(
        spec: Route,
        index: usize,
        service: usize,
        door: Option<DoorOf>,
        meter: Arc<Meter>,
        workers: usize,
    ) -> Self {
        let deadline = spec.deadline_ms.map(Duration::from_millis);
        let savings = (0..workers).map(|_| Lonely(AtomicI32::new(SAVINGS_MAX))).collect();
        Self { spec, index, service, deadline, meter, door, savings }
    }

    /// A request came: a fifth of a retry more. Only `worker` itself calls this, so that no update can get lost.
    pub(crate) fn save(&self, worker: usize) {
        if self.spec.retries > 0
            && let Some(savings) = self.savings.get(worker)
        {
            let before = savings.0.load(Ordering::Relaxed);
            savings.0.store((before + DEPOSIT).min(SAVINGS_MAX), Ordering::Relaxed);
        }
    }

    /// Whether a retry is in the budget; then it is spent.
    pub(crate) fn spend(&self, worker: usize) -> bool {
        let Some(savings) = self.savings.get(worker) else { return false };
        let before = savings.0.load(Ordering::Relaxed);
        if before < WITHDRAWAL {
            return false;
        }
        savings.0.store(before - WITHDRAWAL, Ordering::Relaxed);
        true
    }
}

/// The entries are sorted: the first that fits is the longest.
fn longest<'a>(group: &'a [Entry], path: &str) -> Option<&'a Arc<PlannedRoute>> {
    let fits = |entry: &&Entry| match path.strip_prefix(&*entry.prefix) {
        // A prefix ends where a segment ends: `/api` is not a prefix of `/apis`. (`OPTIONS *` has no path.)
        Some(rest) => rest.is_empty() || rest.starts_with('/') || entry.prefix.is_empty(),
        None => false,
    };
    group.iter().find(fits).map(|entry| &entry.route)
}

/// A host without port and final dot, in lower case.
pub(crate) fn bare(host: &str) -> Cow<'_, str> {
    let end = match host.strip_prefix('[') {
        Some(_) => host.find(']').map_or(host.len(), |at| at + 1),
        None => host.find(':').unwrap_or(host.len()),
    };
    let host = host.get(..end).unwrap_or(host);
    let host = host.strip_suffix('.').unwrap_or(host);
    if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(host.to_ascii_lowercase())
    } else {
        Cow::Borrowed(host)
    }
}

/// A segment that is `.` or `..`, plain or percent-encoded, or ends in such a one after an encoded slash or a backslash.
pub(crate) fn has_dot_segment(path: &str) -> bool {
    if !path.contains(['.', '%', '\\']) {
        return false;
    }
    let plain = path.replace("%2e", ".").replace("%2E", ".");
    let plain = plain.replace("%2f", "/").replace("%2F", "/").replace("%5c", "/").replace("%5C", "/");
    // A parameter (`..;x`) is part of the segment to some servers, and not to others.
    let is_dots = |segment: &str| matches!(segment.split(';').next(), Some("." | ".."));
    plain.split(['/', '\\']).any(is_dots)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn plan(routes: &[(&str, Option<&str>, &str)]) -> Plan {
        let mut table = RouteTable::default();
        let route = |(name, host, path): &(&str, Option<&str>, &str)| Route {
            name: (*name).to_owned(),
            host: host.map(str::to_owned),
            path: (*path).to_owned(),
            ..Route::to("default")
        };
        table.routes = routes.iter().map(route).collect();
        table.check().expect("valid");
        Plan::new(table, 2, &[], &Meters::new(2))
    }

    fn find<'a>(plan: &'a Plan, host: &str, path: &str) -> &'a str {
        plan.find(Some(host), path).map_or("none", |route| &route.spec.name)
    }

    #[test]
    fn the_host_decides_first_and_then_the_longest_prefix() {
        let plan = plan(&[
            ("any", None, "/"),
            ("any-api", None, "/api"),
            ("shop", Some("Shop.example"), "/"),
            ("shop-api", Some("shop.example"), "/api/"),
            ("shop-api-v2", Some("shop.example"), "/api/v2"),
            ("wild", Some("*.example"), "/"),
            ("wilder", Some("*.eu.example"), "/only"),
            ("v6", Some("[::1]"), "/"),
        ]);
        for (host, path, route) in [
            ("shop.example", "/", "shop"),
            ("SHOP.example:8080", "/x", "shop"),
            ("shop.example.", "/api", "shop-api"),
            ("shop.example", "/api/v1", "shop-api"),
            ("shop.example", "/api/v2/x", "shop-api-v2"),
            ("shop.example", "/apis", "shop"),
            ("a.example", "/api", "wild"),
            ("a.b.example", "/api", "wild"),
            (".example", "/api", "any-api"),
            ("example", "/api", "any-api"),
            ("x.eu.example", "/only", "wilder"),
            ("x.eu.example", "/other", "wild"),
            ("[::1]:80", "/", "v6"),
            ("other", "*", "any"),
        ] {
            assert_eq!(find(&plan, host, path), route, "{host} {path}");
        }
        assert_eq!(plan.find(None, "/").map(|route| route.spec.name.as_str()), Some("any"));
    }

    #[test]
    fn without_a_catch_all_there_may_be_no_route() {
        let plan = plan(&[("a", Some("a"), "/x")]);
        assert_eq!(find(&plan, "a", "/y"), "none");
        assert_eq!(find(&plan, "b", "/x"), "none");
    }

    #[test]
    fn dot_segments_are_found_in_every_disguise() {
        let plan = plan(&[("a", None, "/a"), ("b", None, "/b")]);
        for path in [
            "/a/../b",
            "/..",
            "/a/.",
            "/a/%2e%2E/b",
            "/a/.%2e",
            "/a%2f..%2fb",
            "/a\\..\\b",
            "/a/..;x/b",
            "/a%5c..",
        ] {
            assert!(plan.is_ambiguous(path), "{path}");
        }
        for path in ["/", "/a.b", "/...", "/.well-known/x", "/a/..b", "/%20", "/a/b.%20"] {
            assert!(!plan.is_ambiguous(path), "{path}");
        }
        assert!(!super::tests::plan(&[("a", None, "/")]).is_ambiguous("/.."), "nothing depends on it");
    }

    #[test]
    fn every_fifth_request_may_be_repeated() {
        let spec = Route { retries: 1, ..Route::to("default") };
        let route = PlannedRoute::new(spec, 0, 0, None, Arc::new(Meter::new(2)), 2);
        let spent = (0..100).filter(|_| route.spend(0)).count();
        assert_eq!(spent, 10);
        for _ in 0..1_000 {
            route.save(0);
            route.spend(0);
        }
        (0..4).for_each(|_| route.save(0));
        assert!(!route.spend(0));
        assert!(route.spend(1), "another worker's savings are its own");
        assert!(!route.spend(2));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(host in ".{0,40}", path in ".{0,40}") {
            let plan = plan(&[("a", Some("*.a"), "/a"), ("b", Some("b"), "/b")]);
            let _ = plan.find(Some(&host), &path);
            let _ = plan.is_ambiguous(&path);
        }
    }
}
