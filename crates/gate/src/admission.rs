//! Load shedding: which requests of a service may proceed, when, and to which instance.
//!
//! A service that names an `in_flight_max`, or one of whose routes does, has a [`Door`] (see the crate `admission`, which decides everything); the requests of
//! the others pass without touching a lock. Instances are known there by their serial numbers. A door lives as long as what it
//! was made for is configured: where routes, tiers, deadlines or the queue change, a new one takes over, and the old one goes
//! on until those that it let in or made wait are done.
//!
//! It does not know what a request is, nor what a client is told.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use freezeframe_admission::{Admission, Config, Door, Enter, InstanceId, Outcome, Permit, Request, RouteId};
use tokio::sync::Notify;

use crate::plan::{Route, RouteTable, Service};
use crate::route::{Table, lock};

/// Time between two ticks while anything is under way.
const TICK: Duration = Duration::from_millis(10);
/// The deadline of routes that have none: the longest there is, a day.
const NO_DEADLINE_US: u64 = 86_400_000_000;
/// Requests on one instance where only routes have a bound.
const NO_MAX: u32 = 1_000_000;
/// Most routes and cost classes behind one door.
const ROUTES_MAX: usize = 1024;
const COSTS_MAX: usize = 8;
/// What of its slots and its queue a tier cannot lose to others while it needs it; later tiers have nothing of their own.
const SHARES: [f64; 3] = [0.5, 0.3, 0.1];

/// The doors of all services.
#[derive(Default)]
pub(crate) struct Doors {
    known: Mutex<Vec<Known>>,
    /// Nothing is under way behind any door, as far as the ticker knows.
    is_idle: AtomicBool,
    woken: Notify,
}

/// One door, and what it was made for.
struct Known {
    service: String,
    in_flight_max: u32,
    settings: Settings,
    door: Arc<Door>,
    /// Serial numbers of the instances that it was told of.
    up: Vec<u64>,
}

/// What cannot be changed in a door.
#[derive(Debug, PartialEq, Eq)]
struct Settings {
    queue_max: u32,
    /// With their names: who is who is known by that.
    routes: Vec<(String, freezeframe_admission::Route)>,
}

/// A request's way through its door.
#[derive(Clone, Debug)]
pub(crate) struct DoorOf {
    pub(crate) door: Arc<Door>,
    route: RouteId,
}

/// Names of the cost classes of a service's routes, in their order.
fn costs<'a>(routes: impl Iterator<Item = &'a Route>) -> Vec<&'a str> {
    let mut costs: Vec<&str> = Vec::new();
    for route in routes {
        if !costs.contains(&route.cost.as_str()) {
            costs.push(&route.cost);
        }
    }
    costs
}

/// What an instance of a service may have in flight, where anything of the service is bounded.
fn bound(service: &Service, table: &RouteTable) -> Option<u32> {
    let mut own = table.routes.iter().filter(|route| route.service == service.name);
    service.in_flight_max.or_else(|| own.any(|route| route.in_flight_max.is_some()).then_some(NO_MAX))
}

/// What is too much for one door, where anything is: a plural, and how many there may be.
pub(crate) fn excess(service: &Service, table: &RouteTable) -> Option<(&'static str, usize)> {
    let own = || table.routes.iter().filter(|route| route.service == service.name);
    match bound(service, table) {
        Some(_) if own().count() > ROUTES_MAX => {
            Some(("routes of a service with `in_flight_max`", ROUTES_MAX))
        }
        Some(_) if costs(own()).len() > COSTS_MAX => {
            Some(("different `cost`s of a service with `in_flight_max`", COSTS_MAX))
        }
        _ => None,
    }
}

impl Settings {
    fn of(service: &Service, table: &RouteTable) -> Self {
        let own = || table.routes.iter().filter(|route| route.service == service.name);
        let costs = costs(own());
        let route = |route: &Route| {
            let class = costs.iter().position(|cost| *cost == route.cost).unwrap_or(0);
            let deadline_us = route.deadline_ms.map_or(NO_DEADLINE_US, |ms| ms.saturating_mul(1000));
            let bounds = freezeframe_admission::Route {
                deadline_us,
                tier: route.tier,
                class: class as u8,
                in_flight_max: route.in_flight_max,
                queue_max: route.queue_max,
            };
            (route.name.clone(), bounds)
        };
        Self { queue_max: service.queue_max, routes: own().map(route).collect() }
    }

    fn config(&self) -> Config {
        let highest = self.routes.iter().map(|(_, route)| usize::from(route.tier)).max().unwrap_or(0);
        let share = |tier: usize| SHARES.get(tier).copied().unwrap_or(0.0);
        let tier = |tier| freezeframe_admission::Tier { name: format!("tier {tier}"), share: share(tier) };
        Config {
            queue_max: self.queue_max,
            routes: self.routes.iter().map(|(_, route)| *route).collect(),
            tiers: (0..SHARES.len().max(highest + 1)).map(tier).collect(),
            // Routes have a budget of their own, whether there is a door or not.
            retry_ratio: 1.0,
            seed: fastrand::u64(..),
            ..Config::default()
        }
    }
}

impl Doors {
    /// The door of each service of a table, where it has one; doors that fit are kept.
    pub(crate) fn plan(&self, table: &RouteTable) -> Vec<Option<Arc<Door>>> {
        let mut known = lock(&self.known);
        let of = |service: &Service| {
            let in_flight_max = bound(service, table)?;
            let settings = Settings::of(service, table);
            if settings.routes.is_empty() {
                return None;
            }
            let is_it = |known: &&mut Known| known.service == service.name && known.settings == settings;
            if let Some(known) = known.iter_mut().find(is_it) {
                known.in_flight_max = in_flight_max;
                return Some(Arc::clone(&known.door));
            }
            let door = match Admission::new(settings.config()) {
                Ok(admission) => Door::new(admission),
                Err(error) => {
                    // A table that was checked gives no such configuration.
                    tracing::error!(service = service.name, %error, "requests are not bounded");
                    return None;
                }
            };
            let own = Arc::clone(&door);
            known.push(Known {
                service: service.name.clone(),
                in_flight_max,
                settings,
                door,
                up: Vec::new(),
            });
            Some(own)
        };
        table.services.iter().map(of).collect()
    }

    /// Tells every door which instances there are now: those of the table that take connections; all where none does.
    pub(crate) fn refresh(&self, table: &ArcSwap<Table>) {
        let mut known = lock(&self.known);
        // Loaded under the lock: of two that refresh at once, the later one has the later table.
        let table = table.load();
        for known in known.iter_mut() {
            let members = table.members.iter().find(|members| *members.service == *known.service);
            let instances = members.map_or(&[][..], |members| &members.instances);
            let any_is_up = instances.iter().any(|instance| instance.is_up());
            let usable = instances.iter().filter(|instance| instance.is_up() || !any_is_up);
            let up: Vec<u64> = usable.map(|instance| instance.serial).collect();
            for gone in known.up.iter().filter(|serial| !up.contains(serial)) {
                known.door.instance_down(InstanceId(*gone));
            }
            for serial in &up {
                known.door.instance_up(InstanceId(*serial), known.in_flight_max);
            }
            known.up = up;
        }
        // Nobody holds a door that is in no plan and behind which nothing is under way.
        known.retain(|known| Arc::strong_count(&known.door) > 1);
    }

    /// Requests that wait at a service's doors.
    pub(crate) fn queued(&self, service: &str) -> u32 {
        let known = lock(&self.known);
        let own = known.iter().filter(|known| known.service == service);
        own.map(|known| known.door.with(|admission, _| admission.queued())).sum()
    }

    /// A request arrives.
    pub(crate) fn enter(
        &self,
        way: &DoorOf,
        user: Option<u64>,
        deadline: Option<std::time::Instant>,
    ) -> Enter {
        let deadline_us = deadline.map(|at| way.door.at_us(at));
        let enter = way.door.enter(&Request { route: way.route, tier: None, user, deadline_us });
        if self.is_idle.load(Ordering::SeqCst) && self.is_idle.swap(false, Ordering::SeqCst) {
            self.woken.notify_one();
        }
        enter
    }

    /// Lets time pass behind all doors, for ever; sleeps while nothing is under way.
    pub(crate) async fn tick_all(&self) {
        loop {
            if self.tick() {
                tokio::time::sleep(TICK).await;
                continue;
            }
            self.is_idle.store(true, Ordering::SeqCst);
            // Looked at once more: what came in between has found nobody to wake.
            if !self.tick() {
                self.woken.notified().await;
            }
            self.is_idle.store(false, Ordering::SeqCst);
        }
    }

    /// Whether anything is under way.
    fn tick(&self) -> bool {
        let doors: Vec<Arc<Door>> = lock(&self.known).iter().map(|known| Arc::clone(&known.door)).collect();
        let busy = doors.iter().filter(|door| {
            let is_busy = door.next_tick_us().is_some();
            if is_busy {
                door.tick();
            }
            is_busy
        });
        busy.count() > 0
    }
}

impl DoorOf {
    /// The way of each route of a table, where its service has a door.
    pub(crate) fn all(table: &RouteTable, doors: &[Option<Arc<Door>>]) -> Vec<Option<Self>> {
        let mut counts = vec![0_u16; table.services.len()];
        let of = |route: &Route| {
            let service = table.services.iter().position(|service| service.name == route.service)?;
            let door = doors.get(service)?.as_ref()?;
            let count = counts.get_mut(service)?;
            let own = RouteId(*count);
            *count = count.saturating_add(1);
            Some(Self { door: Arc::clone(door), route: own })
        };
        table.routes.iter().map(of).collect()
    }
}

/// What an instance's answer says about it.
pub(crate) fn outcome_of(status: u16) -> Outcome {
    match status {
        429 | 503 => Outcome::Refused,
        500.. => Outcome::Failed,
        _ => Outcome::Answered,
    }
}

/// Where a permit lies that is to be given back when a connection is closed: until then the instance may be working on it.
#[derive(Default)]
pub(crate) struct Pocket(std::cell::Cell<Option<Permit>>);

impl Pocket {
    pub(crate) fn put(&self, permit: Permit) {
        self.0.set(Some(permit));
    }

    /// Gives back what is in it.
    pub(crate) fn empty(&self) {
        self.0.set(None);
    }
}
