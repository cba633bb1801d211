//! The instances: their slots, by cost class, and their breakers, by route.

use crate::breaker::{Breaker, Leave};
use crate::config::{CAP_LIMIT, Config, INSTANCES_MAX};
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
    breakers: Vec<Breaker>,
}

#[derive(Debug)]
pub(crate) struct Instances {
    all: Vec<Option<Instance>>,
    classes: Vec<u8>,
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

    fn has_room(&self, class: u8) -> bool {
        self.in_flight < self.cap && self.limits.get(usize::from(class)).is_some_and(Limit::has_room)
    }
}

impl Instances {
    pub(crate) fn new(config: &Config) -> Self {
        let classes: Vec<u8> = config.routes.iter().map(|route| route.class).collect();
        let class_count = classes.iter().max().map_or(1, |&highest| usize::from(highest) + 1);
        let (adaptive, open_us) = (config.adaptive, config.breaker_open_us);
        Self { all: Vec::new(), classes, class_count, adaptive, open_us }
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
        let breakers = vec![Breaker::new(); self.classes.len()];
        let instance = Some(Instance { id, up: true, cap, in_flight: 0, limits, breakers });
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
        let class = self.classes.get(usize::from(route)).copied().unwrap_or(0);
        if self.all.len() > LOOK_AT_ALL {
            let two = [rng.usize(..self.all.len()), rng.usize(..self.all.len())].map(|index| index as u16);
            let takes = |&index: &u16| {
                let instance = self.all.get(usize::from(index)).and_then(Option::as_ref);
                let instance = instance.filter(|known| known.up && Some(index) != except);
                instance.filter(|known| known.has_room(class)).is_some_and(|known| {
                    known.breakers.get(usize::from(route)).is_some_and(|b| b.leave(now_us) == Leave::Go)
                })
            };
            let load = |&index: &u16| {
                self.all.get(usize::from(index)).and_then(Option::as_ref).map(|known| known.in_flight)
            };
            if let Some(index) = two.into_iter().filter(takes).min_by_key(load) {
                return Ok(index);
            }
        }
        self.pick_of_all(now_us, route, class, except)
    }

    fn pick_of_all(
        &self,
        now_us: u64,
        route: u16,
        class: u8,
        except: Option<u16>,
    ) -> Result<u16, Unavailable> {
        let mut best: Option<(u16, u64)> = None;
        let (mut works, mut first_probe_us) = (false, u64::MAX);
        for (index, instance) in self.up_ones().filter(|(index, _)| Some(*index) != except) {
            let leave = instance.breakers.get(usize::from(route)).map(|breaker| breaker.leave(now_us));
            match leave {
                Some(Leave::No { until_us }) => first_probe_us = first_probe_us.min(until_us),
                _ => works = true,
            }
            if matches!(leave, Some(Leave::No { .. })) || !instance.has_room(class) {
                continue;
            }
            // A probe is due: it goes first, or a broken route would never be found to work again.
            if leave == Some(Leave::Probe) {
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
        let class = self.classes.get(usize::from(route)).copied().unwrap_or(0);
        let Some(Some(instance)) = self.all.get_mut(usize::from(index)) else { return false };
        instance.in_flight += 1;
        if let Some(limit) = instance.limits.get_mut(usize::from(class)) {
            limit.begin();
        }
        instance.breakers.get_mut(usize::from(route)).is_some_and(|breaker| breaker.begin(now_us))
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
        let class = self.classes.get(usize::from(route)).copied().unwrap_or(0);
        let Some(place) = self.all.get_mut(usize::from(index)) else { return false };
        let Some(instance) = place else { return false };
        instance.in_flight = instance.in_flight.saturating_sub(1);
        if let Some(breaker) = instance.breakers.get_mut(usize::from(route)) {
            breaker.end(now_us, ok, probe, self.open_us, jitter);
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
