//! What one client address may take: so many connections at a time, so many requests per second.
//!
//! A connection looks its address up once, under a lock that it shares with a sixteenth of the others; its requests then
//! touch two numbers. It does not know about HTTP.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use crate::limits::Limits;
use crate::route::lock;

const SHARDS: usize = 16;
/// Addresses that are remembered per shard; a new one beyond that is turned away.
const SHARD_MAX: usize = 8_192;
const SECOND_NS: u64 = 1_000_000_000;

/// All addresses that have connections, or asked too recently to be forgotten.
pub(crate) struct Addresses {
    shards: [Mutex<HashMap<u128, Arc<Address>>>; SHARDS],
    hasher: RandomState,
    epoch: Instant,
    connections_max: u32,
    /// Time between two requests at the highest rate, in nanoseconds.
    interval_ns: Option<u64>,
}

#[derive(Debug, Default)]
struct Address {
    connections: AtomicU32,
    /// When the next request would come at exactly the rate that is allowed, in nanoseconds after the epoch (the generic cell
    /// rate algorithm): it may be a second ahead of now, so that a second's worth may come at once.
    next_ns: AtomicU64,
}

/// One connection of an address.
pub(crate) struct Visit {
    addresses: Arc<Addresses>,
    address: Arc<Address>,
    key: u128,
}

impl Addresses {
    pub(crate) fn new(limits: &Limits) -> Self {
        let interval_ns =
            limits.requests_per_s_per_address_max.map(|rate| SECOND_NS / u64::from(rate.max(1)));
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            hasher: RandomState::new(),
            epoch: Instant::now(),
            connections_max: limits.connections_per_address_max,
            interval_ns,
        }
    }

    /// A connection, unless its address has too many.
    pub(crate) fn enter(self: &Arc<Self>, ip: IpAddr) -> Option<Visit> {
        let key = key(ip);
        let mut shard = self.shard(key);
        if shard.len() >= SHARD_MAX && !shard.contains_key(&key) {
            self.forget(&mut shard);
            if shard.len() >= SHARD_MAX {
                return None;
            }
        }
        let address = Arc::clone(shard.entry(key).or_default());
        if address.connections.load(Ordering::Relaxed) >= self.connections_max {
            return None;
        }
        address.connections.fetch_add(1, Ordering::Relaxed);
        Some(Visit { addresses: Arc::clone(self), address, key })
    }

    /// Forgets who is gone.
    pub(crate) fn sweep(&self) {
        if self.interval_ns.is_some() {
            self.shards.iter().for_each(|shard| self.forget(&mut lock(shard)));
        }
    }

    fn forget(&self, shard: &mut HashMap<u128, Arc<Address>>) {
        let now = self.now_ns();
        shard.retain(|_, address| {
            address.connections.load(Ordering::Relaxed) > 0 || address.next_ns.load(Ordering::Relaxed) > now
        });
    }

    fn shard(&self, key: u128) -> MutexGuard<'_, HashMap<u128, Arc<Address>>> {
        let at = usize::try_from(self.hasher.hash_one(key) % SHARDS as u64).unwrap_or(0);
        lock(self.shards.get(at).unwrap_or(&self.shards[0]))
    }

    fn now_ns(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

impl Visit {
    /// Whether a request is within its address's rate; else after how many seconds one would be.
    pub(crate) fn request(&self) -> Result<(), u32> {
        let Some(interval) = self.addresses.interval_ns else { return Ok(()) };
        self.request_at(self.addresses.now_ns(), interval)
    }

    fn request_at(&self, now: u64, interval: u64) -> Result<(), u32> {
        let next = &self.address.next_ns;
        let mut before = next.load(Ordering::Relaxed);
        loop {
            let at = before.max(now);
            if at.saturating_add(interval) > now.saturating_add(SECOND_NS.max(interval)) {
                return Err(u32::try_from((at - now).div_ceil(SECOND_NS)).unwrap_or(u32::MAX).max(1));
            }
            let after = at.saturating_add(interval);
            match next.compare_exchange_weak(before, after, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Ok(()),
                Err(other) => before = other,
            }
        }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let mut shard = self.addresses.shard(self.key);
        let left = self.address.connections.fetch_sub(1, Ordering::Relaxed).saturating_sub(1);
        if left == 0 && self.addresses.interval_ns.is_none() {
            shard.remove(&self.key);
        }
    }
}

/// An IPv4 address, or the network of an IPv6 address: whoever has one of its addresses has all 2^64.
fn key(ip: IpAddr) -> u128 {
    match ip.to_canonical() {
        IpAddr::V4(ip) => u128::from(u32::from(ip)),
        // No network ends in the bits of an IPv4 address but ::/64, which nobody has.
        IpAddr::V6(ip) => u128::from(ip) >> 64 << 64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(connections: u32, rate: Option<u32>) -> Arc<Addresses> {
        Arc::new(Addresses::new(&Limits {
            connections_per_address_max: connections,
            requests_per_s_per_address_max: rate,
            ..Limits::default()
        }))
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn connections_are_counted_per_address_and_network() {
        let addresses = addresses(2, None);
        let visits = ["10.0.0.1", "::ffff:10.0.0.1", "10.0.0.2", "2001:db8::1", "2001:db8::2"];
        let visits: Vec<_> = visits.iter().map(|text| addresses.enter(ip(text))).collect();
        assert!(visits.iter().all(Option::is_some));
        assert!(addresses.enter(ip("10.0.0.1")).is_none() && addresses.enter(ip("2001:db8::3")).is_none());
        assert!(addresses.enter(ip("2001:db8:0:1::1")).is_some());
        drop(visits);
        assert!(addresses.enter(ip("10.0.0.1")).is_some());
        assert!(addresses.shards.iter().all(|shard| lock(shard).is_empty()), "nobody is remembered");
    }

    #[test]
    fn a_second_may_come_at_once_and_then_the_rate_holds() {
        let addresses = addresses(9, Some(10));
        let visit = addresses.enter(ip("10.0.0.1")).expect("free");
        let interval = SECOND_NS / 10;
        let count = |now| (0..100).filter(|_| visit.request_at(now, interval).is_ok()).count();
        assert_eq!(
            [count(0), count(0), count(interval), count(10 * interval), count(100 * interval)],
            [10, 0, 1, 9, 10]
        );
        assert_eq!(visit.request_at(100 * interval, interval), Err(1));
        let other = addresses.enter(ip("10.0.0.1")).expect("free");
        assert!(
            other.request_at(100 * interval, interval).is_err(),
            "another connection is the same address"
        );
    }

    #[test]
    fn who_asked_too_much_is_not_forgotten_by_reconnecting() {
        let addresses = addresses(9, Some(1));
        for expected in [true, false] {
            let visit = addresses.enter(ip("10.0.0.1")).expect("free");
            assert_eq!(visit.request().is_ok(), expected);
            drop(visit);
            addresses.sweep();
        }
        assert_eq!(addresses.shards.iter().map(|shard| lock(shard).len()).sum::<usize>(), 1);
    }
}
