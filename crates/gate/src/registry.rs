//! Every instance that is routed or still has requests under way, and the table made of those that are routed.
//!
//! It is changed under one lock, by those who steer the gate; requests read the published [`Table`].

use std::net::SocketAddr;
use std::sync::Arc;

use freezeframe_model::InstanceId;

use crate::UpstreamState;
use crate::gate::Shared;
use crate::matcher::Plan;
use crate::plan::{RouteTable, Upstreams};
use crate::route::{Instance, Members, Table};
use crate::upstream::Upstream;

/// Numbers of fixed upstreams begin here, far from those of supervised instances.
const FIXED_FIRST: u32 = 1 << 31;

/// What is known of instances.
pub(crate) struct Registry {
    known: Vec<Known>,
    plan: Arc<Plan>,
    next_serial: u64,
    next_fixed: u32,
}

struct Known {
    instance: Arc<Instance>,
    routed: bool,
}

impl Registry {
    pub(crate) fn new(plan: Arc<Plan>) -> Self {
        Self { known: Vec::new(), plan, next_serial: 0, next_fixed: FIXED_FIRST }
    }

    pub(crate) fn table(&self) -> &RouteTable {
        &self.plan.table
    }

    /// Every instance object under an id: at most one is routed, others may still have requests under way.
    pub(crate) fn of(&self, id: InstanceId) -> Vec<Arc<Instance>> {
        let of_id = self.known.iter().filter(|known| known.instance.id == id);
        of_id.map(|known| Arc::clone(&known.instance)).collect()
    }

    /// Routes a supervised instance.
    pub(crate) fn route(&mut self, shared: &Shared, id: InstanceId, addr: SocketAddr) {
        let addr = Upstream::Tcp(addr);
        let (service, h2c) = match self.plan.supervised() {
            Some((_, service)) => (Arc::from(service.name.as_str()), service.h2c),
            None => (Arc::from(""), false),
        };
        let mut found = false;
        for known in self.known.iter_mut().filter(|known| known.instance.id == id) {
            let is_same = known.instance.addr == addr && known.instance.h2c == h2c;
            known.routed = is_same && !found;
            if known.routed {
                found = true;
                known.instance.open();
            }
        }
        if !found {
            self.add(shared, id, addr, service, h2c, false);
        }
        self.publish(shared);
    }

    pub(crate) fn unroute(&mut self, shared: &Shared, id: InstanceId) {
        let of_id = self.known.iter_mut().filter(|known| known.instance.id == id);
        of_id.for_each(|known| known.routed = false);
        self.publish(shared);
    }

    /// Takes another plan. Upstreams that are in both stay as they are, with their connections.
    pub(crate) fn configure(&mut self, shared: &Shared, plan: Arc<Plan>) {
        self.plan = Arc::clone(&plan);
        self.known
            .iter_mut()
            .filter(|known| is_fixed(&known.instance))
            .for_each(|known| known.routed = false);
        for service in &plan.table.services {
            let name: Arc<str> = Arc::from(service.name.as_str());
            match &service.upstreams {
                Upstreams::Fixed(upstreams) => {
                    for addr in upstreams {
                        self.keep_or_add(shared, &name, addr, service.h2c);
                    }
                }
                Upstreams::Supervised => self.rename(shared, &name, service.h2c),
            }
        }
        self.publish(shared);
    }

    fn keep_or_add(&mut self, shared: &Shared, service: &Arc<str>, addr: &Upstream, h2c: bool) {
        let is_it = |known: &&mut Known| {
            let instance = &known.instance;
            is_fixed(instance)
                && instance.service == *service
                && instance.addr == *addr
                && instance.h2c == h2c
        };
        if let Some(known) = self.known.iter_mut().find(is_it) {
            known.routed = true;
            known.instance.open();
            return;
        }
        let id = InstanceId(self.next_fixed);
        // After two thousand million upstreams numbers come again; none of the first is left by then.
        self.next_fixed = self.next_fixed.checked_add(1).unwrap_or(FIXED_FIRST);
        self.add(shared, id, addr.clone(), Arc::clone(service), h2c, true);
    }

    /// Supervised instances follow the name and the protocol of their service.
    fn rename(&mut self, shared: &Shared, service: &Arc<str>, h2c: bool) {
        let mut others = Vec::new();
        for known in self.known.iter_mut().filter(|known| known.routed && !is_fixed(&known.instance)) {
            if known.instance.service != *service || known.instance.h2c != h2c {
                known.routed = false;
                others.push((known.instance.id, known.instance.addr.clone()));
            }
        }
        for (id, addr) in others {
            self.add(shared, id, addr, Arc::clone(service), h2c, false);
        }
    }

    fn add(
        &mut self,
        shared: &Shared,
        id: InstanceId,
        addr: Upstream,
        service: Arc<str>,
        h2c: bool,
        is_fixed: bool,
    ) {
        let serial = self.next_serial;
        self.next_serial += 1;
        let settled = Arc::clone(&shared.settled);
        let instance =
            Instance::new(id, addr, service, h2c, serial, shared.config.workers, settled, is_fixed);
        self.known.push(Known { instance: Arc::new(instance), routed: true });
    }

    /// Publishes the routed instances, closes the others, and forgets those that are not in use.
    pub(crate) fn publish(&mut self, shared: &Shared) {
        let members: Vec<Members> = self
            .plan
            .table
            .services
            .iter()
            .map(|service| {
                let is_its = |known: &&Known| match service.upstreams {
                    Upstreams::Supervised => !is_fixed(&known.instance),
                    Upstreams::Fixed(_) => {
                        is_fixed(&known.instance) && *known.instance.service == service.name
                    }
                };
                let routed = self.known.iter().filter(|known| known.routed).filter(is_its);
                Members {
                    service: Arc::from(service.name.as_str()),
                    instances: routed.map(|known| Arc::clone(&known.instance)).collect(),
                }
            })
            .collect();
        // First out of the table, then closed: a request that finds it closed must not find it in the table again.
        // Closed before it is counted: no request can begin after that.
        shared.table.store(Arc::new(Table { plan: Arc::clone(&self.plan), members }));
        self.known.iter().filter(|known| !known.routed).for_each(|known| known.instance.close());
        self.known.retain(|known| known.routed || known.instance.count() > 0);
        shared.doors.refresh(&shared.table);
        shared.changed.send_replace(());
    }

    /// The fixed upstreams that are routed.
    pub(crate) fn upstreams(&self) -> Vec<UpstreamState> {
        let routed = self.known.iter().filter(|known| known.routed && is_fixed(&known.instance));
        let state = |known: &Known| UpstreamState {
            id: known.instance.id,
            service: known.instance.service.to_string(),
            upstream: known.instance.addr.clone(),
            up: known.instance.is_up(),
        };
        routed.map(state).collect()
    }
}

fn is_fixed(instance: &Instance) -> bool {
    instance.health.is_some()
}
