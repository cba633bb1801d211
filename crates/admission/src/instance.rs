//! The instances: their slots, by cost class; and by route how many of these may be used, and their breakers.

use crate::breaker::{Breaker, Leave};
use crate::config::{CAP_LIMIT, Config, INSTANCES_MAX, Route};
use crate::limit::{Departure, Limit};
use crate::request::InstanceId;

/// With more instances than this, two are looked at instead of all.
const LOOK_AT_ALL: usize = 8;

#[derive(Debug)]
pub(crate) struct Instance {
    pub(crate) id: InstanceId,
    up: bool,
    cap: u32,
    pub(crate) in_flight: u32,
    limits: Vec<Limit>,
    routes: Vec<OnRoute>,
}

/// What an instance has of one route.
#[derive(Clone, Debug)]
struct OnRoute {
    in_flight: u32,
    breaker: Breaker,
}

/// What holds for a route on every instance.
#[derive(Clone, Copy, Debug)]
struct Rule {
    class: u8,
    in_flight_max: u32,
}

impl Rule {
    const NONE: Self = Self { class: 0, in_flight_max: u32::MAX };
}

#[derive(Debug)]
pub(crate) struct Instances {
    all: Vec<Option<Instance>>,
    /// By route.
    rules: Vec<Rule>,
    class_count: usize,
    adaptive: bool,
    open_us: u64,
}

/// Why no instance takes a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unavailable {
    /// They are full, or there are none.
    Full,
    /// All that are up fail this route; the first probe is due then.
    Broken { until_us: u64 },
}

impl Instance {
    fn limit(&self) -> u32 {
        self.limits.iter().fold(0_u32, |sum, limit| sum.saturating_add(limit.get())).min(self.cap)
    }

    fn has_room(&self, rule: Rule, of_route: &OnRoute) -> bool {
        self.in_flight < self.cap
            && of_route.in_flight < rule.in_flight_max
            && self.limits.get(usize::from(rule.class)).is_some_and(Limit::has_room)
    }

    /// What a route may have of its slots; of one that is down, what it still has.
    fn most(&self, route: u16, rule: Rule) -> u32 {
        match self.routes.get(usize::from(route)) {
            Some(of_route) if !self.up => of_route.in_flight,
            _ => rule.in_flight_max.min(self.cap),
        }
    }
}

impl Instances {
    pub(crate) fn new(config: &Config) -> Self {
        let rule = |route: &Route| Rule {
            class: route.class,
            in_flight_max: route.in_flight_max.unwrap_or(u32::MAX),
        };
        let rules: Vec<Rule> = config.routes.iter().map(rule).collect();
        let class_count = rules.iter().map(|rule| usize::from(rule.class) + 1).max().unwrap_or(1);
        let (adaptive, open_us) = (config.adaptive, config.breaker_open_us);
        Self { all: Vec::new(), rules, class_count, adaptive, open_us }
    }

    fn rule(&self, route: u16) -> Rule {
        self.rules.get(usize::from(route)).copied().unwrap_or(Rule::NONE)
    }

    /// The routes that have a bound of their own, and what they may have in flight on all instances.
    pub(crate) fn most_of_bounded(&self) -> impl Iterator<Item = (u16, u32)> {
        let bounded = self.rules.iter().enumerate().filter(|(_, rule)| rule.in_flight_max < u32::MAX);
        bounded.map(|(route, rule)| {
            let route = route as u16;
            let most = |sum: u32, known: &Instance| sum.saturating_add(known.most(route, *rule));
            (route, self.all.iter().flatten().fold(0, most))
        })
    }

    /// False where there are too many already.
    pub(crate) fn up(&mut self, id: InstanceId, cap: u32) -> bool {
        let cap = cap.min(CAP_LIMIT);
        if let Some(known) = self.all.iter_mut().flatten().find(|known| known.id == id) {
            known.up = true;
            known.cap = cap;
            known.limits.iter_mut().for_each(|limit| limit.set_cap(cap));
            return true;
        }
        let limits = (0..self.class_count).map(|_| Limit::new(cap)).collect();
        let routes = vec![OnRoute { in_flight: 0, breaker: Breaker::new() }; self.rules.len()];
        let instance = Some(Instance { id, up: true, cap, in_flight: 0, limits, routes });
        if let Some(place) = self.all.iter_mut().find(|place| place.is_none()) {
            *place = instance;
            return true;
        }
        let fits = self.all.len() < INSTANCES_MAX;
        if fits {
            self.all.push(instance);
        }
        fits
    }

    /// It gets nothing more; what it has goes on.
    pub(crate) fn down(&mut self, id: InstanceId) {
        for place in &mut self.all {
            match place {
                Some(known) if known.id == id && known.in_flight == 0 => *place = None,
                Some(known) if known.id == id => known.up = false,
                _ => {}
            }
        }
    }

    pub(crate) fn id(&self, index: u16) -> Option<InstanceId> {
        Some(self.all.get(usize::from(index))?.as_ref()?.id)
    }

    fn up_ones(&self) -> impl Iterator<Item = (u16, &Instance)> {
        let known = self.all.iter().enumerate().filter_map(|(index, place)| Some((index, place.as_ref()?)));
        known.filter(|(_, instance)| instance.up).map(|(index, instance)| (index as u16, instance))
    }

    /// Slots of all that are up, and what is still in use on others: those count until they are free.
    pub(crate) fn slots(&self) -> u32 {
        self.all.iter().flatten().fold(0_u32, |sum, instance| {
            let slots = if instance.up { instance.limit() } else { instance.in_flight };
            sum.saturating_add(slots)
        })
    }

    pub(crate) fn limit(&self, id: InstanceId) -> Option<u32> {
        self.all.iter().flatten().find(|known| known.id == id).map(Instance::limit)
    }

    /// The least loaded instance that may take a request of this route; of many, the less loaded of two.
    pub(crate) fn pick(
        &self,
        now_us: u64,
        route: u16,
        except: Option<u16>,
        rng: &mut fastrand::Rng,
    ) -> Result<u16, Unavailable> {
        let rule = self.rule(route);
        if self.all.len() > LOOK_AT_ALL {
            let two = [rng.usize(..self.all.len()), rng.usize(..self.all.len())].map(|index| index as u16);
            let takes = |&index: &u16| {
                let instance = self.all.get(usize::from(index)).and_then(Option::as_ref);
                let instance = instance.filter(|known| known.up && Some(index) != except);
                instance.is_some_and(|known| {
                    known.routes.get(usize::from(route)).is_some_and(|of_route| {
                        known.has_room(rule, of_route) && of_route.breaker.leave(now_us) == Leave::Go
                    })
                })
            };
            let load = |&index: &u16| {
                self.all.get(usize::from(index)).and_then(Option::as_ref).map(|known| known.in_flight)
            };
            if let Some(index) = two.into_iter().filter(takes).min_by_key(load) {
                return Ok(index);
            }
        }
        self.pick_of_all(now_us, route, rule, except)
    }

    fn pick_of_all(
        &self,
        now_us: u64,
        route: u16,
        rule: Rule,
        except: Option<u16>,
    ) -> Result<u16, Unavailable> {
        let mut best: Option<(u16, u64)> = None;
        let (mut works, mut first_probe_us) = (false, u64::MAX);
        for (index, instance) in self.up_ones().filter(|(index, _)| Some(*index) != except) {
            let Some(of_route) = instance.routes.get(usize::from(route)) else { continue };
            let leave = of_route.breaker.leave(now_us);
            match leave {
                Leave::No { until_us } => first_probe_us = first_probe_us.min(until_us),
                _ => works = true,
            }
            if matches!(leave, Leave::No { .. }) || !instance.has_room(rule, of_route) {
                continue;
            }
            // A probe is due: it goes first, or a broken route would never be found to work again.
            if leave == Leave::Probe {
                return Ok(index);
            }
            let load = (u64::from(instance.in_flight) << 32) / u64::from(instance.cap.max(1));
            if best.is_none_or(|(_, least)| load < least) {
                best = Some((index, load));
            }
        }
        match best {
            Some((index, _)) => Ok(index),
            None if works || first_probe_us == u64::MAX => Err(Unavailable::Full),
            None => Err(Unavailable::Broken { until_us: first_probe_us }),
        }
    }

    /// A request of this route goes there. True where it is a probe.
    pub(crate) fn begin(&mut self, now_us: u64, index: u16, route: u16) -> bool {
        let class = self.rule(route).class;
        let Some(Some(instance)) = self.all.get_mut(usize::from(index)) else { return false };
        instance.in_flight += 1;
        if let Some(limit) = instance.limits.get_mut(usize::from(class)) {
            limit.begin();
        }
        let Some(of_route) = instance.routes.get_mut(usize::from(route)) else { return false };
        of_route.in_flight += 1;
        of_route.breaker.begin(now_us)
    }

    /// A request came back; `ok` is `None` where it says nothing. True where slots were gained or lost by that.
    pub(crate) fn end(
        &mut self,
        now_us: u64,
        (index, route, probe): (u16, u16, bool),
        ok: Option<bool>,
        departure: Option<Departure>,
        jitter: f64,
    ) -> bool {
        let class = self.rule(route).class;
        let Some(place) = self.all.get_mut(usize::from(index)) else { return false };
        let Some(instance) = place else { return false };
        instance.in_flight = instance.in_flight.saturating_sub(1);
        if let Some(of_route) = instance.routes.get_mut(usize::from(route)) {
            of_route.in_flight = of_route.in_flight.saturating_sub(1);
            of_route.breaker.end(now_us, ok, probe, self.open_us, jitter);
        }
        let departure = departure.filter(|_| self.adaptive);
        let limit = instance.limits.get_mut(usize::from(class));
        let changed = limit.is_some_and(|limit| limit.end(now_us, departure));
        if instance.up {
            return changed;
        }
        if instance.in_flight == 0 {
            *place = None;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instances(caps: &[u32]) -> Instances {
        let mut instances = Instances::new(&Config::default());
        for (id, &cap) in caps.iter().enumerate() {
            assert!(instances.up(InstanceId(id as u64), cap));
        }
        instances
    }

    fn pick(instances: &Instances) -> Result<u16, Unavailable> {
        instances.pick(0, 0, None, &mut fastrand::Rng::with_seed(1))
    }

    #[test]
    fn the_least_loaded_takes_it_relative_to_its_cap() {
        let mut instances = instances(&[2, 4]);
        let picked: Vec<_> = std::iter::from_fn(|| {
            let index = pick(&instances).ok()?;
            instances.begin(0, index, 0);
            Some(index)
        })
        .collect();
        assert_eq!(picked, [0, 1, 1, 0, 1, 1]);
        assert_eq!(pick(&instances), Err(Unavailable::Full));
    }

    #[test]
    fn what_is_down_keeps_its_slots_until_they_are_free() {
        let mut instances = instances(&[2]);
        instances.begin(0, 0, 0);
        instances.down(InstanceId(0));
        assert_eq!((pick(&instances), instances.slots()), (Err(Unavailable::Full), 1));
        assert!(instances.end(0, (0, 0, false), None, None, 0.0));
        assert_eq!((instances.slots(), instances.id(0)), (0, None));
    }

    #[test]
    fn of_many_two_are_looked_at_and_all_if_need_be() {
        let mut instances = instances(&[1; 20]);
        for taken in 0..20 {
            let index = pick(&instances).unwrap_or_else(|_| panic!("{taken} of 20 are taken"));
            instances.begin(0, index, 0);
        }
        assert_eq!(pick(&instances), Err(Unavailable::Full));
    }
}
