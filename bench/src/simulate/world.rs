//! A world of clients, a gate and a server in virtual time: the same seed gives the same hours, in seconds.
//!
//! Clients are an open loop: they come when they come, however the last ones were treated. The server works on as many
//! requests as it has workers and lets the others wait without end, as a server without shedding does.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::protection::{Action, Protection};

/// One kind of request.
#[derive(Clone)]
pub(crate) struct Stream {
    pub(crate) name: &'static str,
    pub(crate) route: u16,
    pub(crate) tier: u8,
    /// So many different users send them.
    pub(crate) users: u64,
    /// Requests per second at a time in seconds.
    pub(crate) rate: fn(f64) -> f64,
    /// Mean seconds of work at a time in seconds.
    pub(crate) work: fn(f64) -> f64,
    /// Work is exponentially distributed, instead of always the same.
    pub(crate) random: bool,
}

/// Connections that a server takes on at one time where nobody limits them; more wait in the kernel's backlog.
const SHARED_MAX: usize = 512;

/// How the server shares itself out.
#[derive(Clone, Copy)]
pub(crate) enum Server {
    /// So many requests at a time, each at full speed: threads that wait for something.
    Workers(u32),
    /// All at once, each at its part of so many cores, and slower altogether when there are more than `thrash_above`.
    Shared { cores: f64, thrash_above: f64 },
}

/// What is played.
#[derive(Clone)]
pub(crate) struct Scene {
    pub(crate) seconds: f64,
    pub(crate) streams: Vec<Stream>,
    pub(crate) server: Server,
    pub(crate) seed: u64,
}

/// What became of one request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record {
    pub(crate) stream: u16,
    pub(crate) status: u16,
    pub(crate) user: u64,
    pub(crate) arrived_us: u64,
    pub(crate) answered_us: u64,
}

impl Record {
    pub(crate) fn response_us(&self) -> u64 {
        self.answered_us - self.arrived_us
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrival {
        stream: u16,
    },
    Done {
        job: u32,
    },
    /// The next of those that share the server is done, unless it has changed since.
    SharedDone {
        version: u64,
    },
    Tick,
}

struct World<'a> {
    scene: &'a Scene,
    now_us: u64,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    sequence: u64,
    records: Vec<Record>,
    /// Of each stream's clients: who comes when does not depend on how they are treated.
    clients: Vec<fastrand::Rng>,
    /// Of the server's work.
    rng: fastrand::Rng,
    running: u32,
    waiting: VecDeque<u32>,
    sharing: Sharing,
}

/// Jobs that share the server, with the work that is left of each, in microseconds.
#[derive(Default)]
struct Sharing {
    jobs: Vec<(u32, f64)>,
    since_us: u64,
    version: u64,
}

/// Plays a scene to its end, and until the last request has been answered.
pub(crate) fn play(scene: &Scene, protection: &mut dyn Protection) -> Vec<Record> {
    let mut world = World {
        scene,
        now_us: 0,
        events: BinaryHeap::new(),
        sequence: 0,
        records: Vec::new(),
        clients: (1..=scene.streams.len() as u64)
            .map(|stream| fastrand::Rng::with_seed(scene.seed + 1_000 * stream))
            .collect(),
        rng: fastrand::Rng::with_seed(scene.seed),
        running: 0,
        waiting: VecDeque::new(),
        sharing: Sharing::default(),
    };
    for stream in 0..scene.streams.len() {
        world.next_arrival(stream as u16);
    }
    let mut actions = Vec::new();
    let mut tick_us = u64::MAX;
    while let Some(Reverse((at_us, _, event))) = world.events.pop() {
        world.now_us = at_us;
        match event {
            Event::Arrival { stream } => {
                world.next_arrival(stream);
                let job = world.arrive(stream);
                let record = world.records[job as usize];
                let (route, tier) =
                    (scene.streams[usize::from(stream)].route, scene.streams[usize::from(stream)].tier);
                protection.arrive(at_us, job, (route, tier, record.user), &mut actions);
            }
            Event::Done { job } => {
                world.done(job);
                protection.done(at_us, job, &mut actions);
            }
            Event::SharedDone { version } if version == world.sharing.version => {
                if let Some(job) = world.shared_done() {
                    protection.done(at_us, job, &mut actions);
                }
            }
            Event::SharedDone { .. } => {}
            Event::Tick => {
                tick_us = u64::MAX;
                protection.tick(at_us, &mut actions);
            }
        }
        for action in actions.drain(..) {
            match action {
                Action::Start(job) => world.start(job),
                Action::Answer(job, status) => world.answer(job, status),
            }
        }
        if let Some(next_us) = protection.next_tick_us()
            && next_us < tick_us
        {
            tick_us = next_us.max(at_us);
            world.push(tick_us, Event::Tick);
        }
    }
    world.records
}

/// With mean 1.
fn exponential(rng: &mut fastrand::Rng) -> f64 {
    -(1.0 - rng.f64()).ln()
}

impl World<'_> {
    fn push(&mut self, at_us: u64, event: Event) {
        self.sequence += 1;
        self.events.push(Reverse((at_us, self.sequence, event)));
    }

    fn next_arrival(&mut self, stream: u16) {
        let rate_of = self.scene.streams[usize::from(stream)].rate;
        // Where nobody comes, it is asked again a little later whether somebody does.
        let mut at_s = self.now_us as f64 / 1e6;
        while rate_of(at_s) <= 0.0 && at_s < self.scene.seconds {
            at_s += 0.1;
        }
        let next_s = at_s + exponential(&mut self.clients[usize::from(stream)]) / rate_of(at_s);
        if next_s < self.scene.seconds {
            self.push((next_s * 1e6) as u64, Event::Arrival { stream });
        }
    }

    fn arrive(&mut self, stream: u16) -> u32 {
        let users = self.scene.streams[usize::from(stream)].users;
        let user = self.clients[usize::from(stream)].u64(..users);
        let (arrived_us, answered_us) = (self.now_us, 0);
        self.records.push(Record { stream, status: 0, user, arrived_us, answered_us });
        self.records.len() as u32 - 1
    }

    fn work_us(&mut self, job: u32) -> f64 {
        let stream = &self.scene.streams[usize::from(self.records[job as usize].stream)];
        let mean_us = (stream.work)(self.now_us as f64 / 1e6) * 1e6;
        let factor = if stream.random { exponential(&mut self.rng) } else { 1.0 };
        (mean_us * factor).max(1.0)
    }

    fn start(&mut self, job: u32) {
        match self.scene.server {
            Server::Workers(workers) if self.running >= workers => self.waiting.push_back(job),
            Server::Workers(_) => {
                self.running += 1;
                let ends_us = self.now_us + self.work_us(job) as u64;
                self.push(ends_us, Event::Done { job });
            }
            Server::Shared { .. } if self.sharing.jobs.len() >= SHARED_MAX => self.waiting.push_back(job),
            Server::Shared { .. } => {
                self.advance();
                let work_us = self.work_us(job);
                self.sharing.jobs.push((job, work_us));
                self.plan();
            }
        }
    }

    fn done(&mut self, job: u32) {
        self.running -= 1;
        self.answer(job, 200);
        if let Some(next) = self.waiting.pop_front() {
            self.start(next);
        }
    }

    fn answer(&mut self, job: u32, status: u16) {
        let record = &mut self.records[job as usize];
        if record.status == 0 {
            record.status = status;
            record.answered_us = self.now_us;
        }
    }

    fn speed(&self) -> f64 {
        let Server::Shared { cores, thrash_above } = self.scene.server else { return 1.0 };
        let n = self.sharing.jobs.len().max(1) as f64;
        (cores / n).min(1.0) * (thrash_above / n).min(1.0)
    }

    fn advance(&mut self) {
        let done_us = (self.now_us - self.sharing.since_us) as f64 * self.speed();
        self.sharing.jobs.iter_mut().for_each(|(_, left_us)| *left_us -= done_us);
        self.sharing.since_us = self.now_us;
    }

    fn plan(&mut self) {
        self.sharing.version += 1;
        let Some(least_us) = self.sharing.jobs.iter().map(|&(_, left_us)| left_us).reduce(f64::min) else {
            return;
        };
        let in_us = (least_us.max(0.0) / self.speed()).ceil() as u64;
        let version = self.sharing.version;
        self.push(self.now_us + in_us, Event::SharedDone { version });
    }

    fn shared_done(&mut self) -> Option<u32> {
        self.advance();
        let jobs = &self.sharing.jobs;
        let first = (0..jobs.len()).min_by(|&a, &b| jobs[a].1.total_cmp(&jobs[b].1));
        let done = first.map(|at| self.sharing.jobs.swap_remove(at).0);
        if let Some(job) = done {
            self.answer(job, 200);
        }
        self.plan();
        if let Some(next) = self.waiting.pop_front() {
            self.start(next);
        }
        done
    }
}
