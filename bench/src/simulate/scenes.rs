//! The experiments: who comes when, what the server can do, and how admission is configured for it.

use freezeframe_admission::{Config, Route, Tier};

use super::world::{Scene, Server, Stream};

/// A scene and the settings for it.
pub(crate) struct Experiment {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) scene: Scene,
    pub(crate) config: Config,
    pub(crate) in_flight_max: u32,
}

const WORKERS: u32 = 20;
pub(crate) const SECOND: u64 = 1_000_000;

fn stream(name: &'static str, rate: fn(f64) -> f64, work: fn(f64) -> f64) -> Stream {
    Stream { name, route: 0, tier: 0, users: 400, rate, work, random: false }
}

fn config(deadlines_us: &[u64], queue_max: u32) -> Config {
    let routes = deadlines_us.iter().map(|&deadline_us| Route { deadline_us, tier: 0, ..Route::default() });
    let one = vec![Tier { name: "all".to_owned(), share: 1.0 }];
    Config { queue_max, routes: routes.collect(), tiers: one, ..Config::default() }
}

pub(crate) const BURST: (f64, f64) = (60.0, 110.0);

/// Handlers of 3 seconds; five times as much as the server can do, for 50 seconds; before and after, what it can just do.
pub(crate) fn burst(seed: u64) -> Experiment {
    let rate = |at_s: f64| {
        let capacity = f64::from(WORKERS) / 3.0;
        if (BURST.0..BURST.1).contains(&at_s) { 5.0 * capacity } else { 0.8 * capacity }
    };
    let streams = vec![stream("all", rate, |_| 3.0)];
    let scene = Scene { seconds: 300.0, streams, server: Server::Workers(WORKERS), seed };
    Experiment {
        name: "burst",
        title: "Burst: 3 s handlers, five times the capacity from 60 s to 110 s",
        scene,
        config: config(&[6 * SECOND], WORKERS),
        in_flight_max: WORKERS,
    }
}

pub(crate) const DEGRADED: (f64, f64) = (120.0, 480.0);

/// A dependency takes 4 instead of 3 seconds for 6 minutes; a fast route does not need it.
pub(crate) fn degraded(seed: u64) -> Experiment {
    let slow = |_: f64| 0.8 * f64::from(WORKERS) / 3.0;
    let work = |at_s: f64| if (DEGRADED.0..DEGRADED.1).contains(&at_s) { 4.0 } else { 3.0 };
    let fast = Stream { route: 1, random: true, ..stream("fast", |_| 20.0, |_| 0.02) };
    let streams = vec![stream("slow", slow, work), fast];
    let scene = Scene { seconds: 720.0, streams, server: Server::Workers(WORKERS), seed };
    Experiment {
        name: "degraded",
        title: "Degraded: a dependency takes 4 s instead of 3 s from 120 s to 480 s",
        scene,
        config: config(&[6 * SECOND, SECOND], WORKERS),
        in_flight_max: WORKERS,
    }
}

pub(crate) const SURGE: (f64, f64) = (30.0, 150.0);

/// Sheddable requests come twelve times as often as usual, to the same route.
pub(crate) fn surge(seed: u64) -> Experiment {
    let low = |at_s: f64| if (SURGE.0..SURGE.1).contains(&at_s) { 12.0 * 100.0 } else { 100.0 };
    let critical = Stream { random: true, ..stream("critical", |_| 60.0, |_| 0.1) };
    let sheddable = Stream { tier: 1, random: true, ..stream("sheddable", low, |_| 0.1) };
    let tiers = [("critical", 0.6), ("sheddable", 0.1)];
    let tiers = tiers.map(|(name, share)| Tier { name: name.to_owned(), share }).to_vec();
    let streams = vec![critical, sheddable];
    let scene = Scene { seconds: 180.0, streams, server: Server::Workers(WORKERS), seed };
    Experiment {
        name: "surge",
        title: "Surge: twelve times the sheddable requests from 30 s to 150 s",
        scene,
        config: Config { tiers, ..config(&[2 * SECOND], 64) },
        in_flight_max: WORKERS,
    }
}

/// Ten times what the server can do, all the time.
pub(crate) fn overload(seed: u64) -> Experiment {
    Experiment {
        name: "overload",
        title: "Overload: ten times the capacity, all the time",
        ..steady(|_| 2_000.0, seed)
    }
}

/// A load at which the server does the most it can: what overload is compared with.
pub(crate) fn steady(rate: fn(f64) -> f64, seed: u64) -> Experiment {
    let streams = vec![Stream { random: true, ..stream("all", rate, |_| 0.1) }];
    let scene = Scene { seconds: 120.0, streams, server: Server::Workers(WORKERS), seed };
    Experiment {
        name: "steady",
        title: "Steady",
        scene,
        config: config(&[SECOND], 64),
        in_flight_max: WORKERS,
    }
}

pub(crate) const STEP: f64 = 10.0;

/// From 70 % to 140 % of the capacity, in one step.
pub(crate) fn step(seed: u64) -> Experiment {
    let rate = |at_s: f64| 20_000.0 * if at_s < STEP { 0.7 } else { 1.4 };
    let streams = vec![Stream { random: true, ..stream("all", rate, |_| 0.01) }];
    let scene = Scene { seconds: 20.0, streams, server: Server::Workers(200), seed };
    Experiment {
        name: "step",
        title: "Step: from 70 % to 140 % of the capacity at 10 s",
        scene,
        config: config(&[SECOND / 10], 400),
        in_flight_max: 200,
    }
}

/// The same step for real sockets: as many requests as two cores can make, forward and answer; work that is always the same, so
/// that what is longer has waited, and long beside the millisecond to which the server's timers tick.
pub(crate) fn small_step(seed: u64) -> Experiment {
    let rate = |at_s: f64| 2_000.0 * if at_s < STEP { 0.7 } else { 1.4 };
    let scene = Scene {
        seconds: 20.0,
        streams: vec![stream("all", rate, |_| 0.05)],
        server: Server::Workers(100),
        seed,
    };
    Experiment { scene, config: config(&[SECOND / 4], 200), in_flight_max: 100, ..step(seed) }
}

/// Four cores, a cap that is 16 times too high, and a server that loses its breath above 32 requests.
pub(crate) fn wrong_cap(seed: u64) -> Experiment {
    let rate = |at_s: f64| if at_s < 10.0 { 200.0 } else { 600.0 };
    let streams = vec![stream("all", rate, |_| 0.01)];
    let scene =
        Scene { seconds: 120.0, streams, server: Server::Shared { cores: 4.0, thrash_above: 32.0 }, seed };
    Experiment {
        name: "wrong-cap",
        title: "Wrong cap: 128 are allowed where 4 cores are; 150 % of the capacity from 10 s",
        scene,
        config: config(&[SECOND / 2], 64),
        in_flight_max: 128,
    }
}
