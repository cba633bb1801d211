//! The pulse of the fleet: every two seconds what was counted is looked at, and what came since is what the fleet does now.
//!
//! Nothing here is on a request's way: the gate's workers count for themselves, and this only reads. What is kept is bounded: one hour of
//! columns with the filled buckets of the histogram, so that a heat map has every duration, and not a percentile of it.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use freezeframe_api::Events;
use freezeframe_api::dto::{FleetAnswer, FleetInstance, GateService, HistoryColumn, InstanceShape};
use freezeframe_api::words::rfc3339;
use freezeframe_gate::{Gate, ServiceState};
use freezeframe_histogram::{Histogram, Series, bucket};
use freezeframe_model::{BuildId, InstanceId, InstanceRole, InstanceView, Timestamp, chain};
use freezeframe_store::Store;
use tokio::sync::{oneshot, watch};
use tokio::time::MissedTickBehavior;

use super::actor::{Mailbox, Message};
use crate::config::Config;

/// How often it is looked.
const EVERY: Duration = Duration::from_secs(2);
/// Rates are those of so many of the last looks.
const WINDOW: usize = 5;
/// Seconds of a column, and how many are kept.
pub(crate) const COLUMN_S: u32 = 10;
const COLUMNS_MAX: usize = 360;
/// As far back as the history goes, in seconds.
pub(crate) const KEPT_S: i64 = COLUMN_S as i64 * COLUMNS_MAX as i64;

/// An instance as the actor knows it.
pub(crate) struct Standing {
    pub(crate) view: InstanceView,
    /// When its hold ends.
    pub(crate) lease_until: Option<Timestamp>,
}

/// Where the figures come from.
pub(crate) struct Sources {
    pub(crate) gate: Gate,
    pub(crate) mailbox: Mailbox,
    pub(crate) store: Store,
    pub(crate) events: Events,
    pub(crate) wanted: Wanted,
}

/// What was configured.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    service: String,
    instances: u32,
    spares: u32,
    held_max: u32,
    held_bytes_max: u64,
    revision: Option<String>,
}

impl Wanted {
    pub(crate) fn of(config: &Config) -> Self {
        Self {
            service: config.service.name.clone(),
            instances: config.service.instances,
            spares: config.service.spares,
            held_max: config.hold.held_max,
            held_bytes_max: config.hold.held_bytes_max,
            revision: config.source.revision.clone(),
        }
    }
}

/// The last hour.
#[derive(Default)]
pub(crate) struct Pulse {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The last looks, oldest first.
    looks: VecDeque<Counted>,
    /// What had been counted when the column that is being filled began.
    column_from: Option<Counted>,
    columns: VecDeque<Column>,
    fleet: FleetAnswer,
    processes: HashMap<InstanceId, Process>,
}

/// What is known of an instance's process.
struct Process {
    pid: i32,
    build: BuildId,
    started_at: Timestamp,
    has_served: bool,
}

/// What was counted up to a moment.
#[derive(Clone)]
struct Counted {
    at: Timestamp,
    all: Histogram,
    shed: u64,
    errors: u64,
    by_instance: BTreeMap<InstanceId, Histogram>,
}

/// What came within some seconds.
struct Column {
    at: Timestamp,
    shed: u64,
    errors: u64,
    /// Buckets of the histogram by index, filled ones only.
    buckets: Vec<(u16, u64)>,
}

impl Pulse {
    /// Looks until the end.
    pub(crate) async fn run(self: Arc<Self>, sources: Sources, mut over: watch::Receiver<bool>) {
        let sources = Arc::new(sources);
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                _ = over.wait_for(|over| *over) => return,
            }
            let (answer, answered) = oneshot::channel();
            sources.mailbox.send(Message::Standing(answer)).await;
            let Ok(standing) = answered.await else { return };
            let (pulse, from) = (Arc::clone(&self), Arc::clone(&sources));
            // Adding up histograms and reading /proc takes a moment.
            let looked = tokio::task::spawn_blocking(move || pulse.look(&from, &standing)).await;
            if let Err(error) = looked {
                tracing::error!(%error, "looking at the fleet failed");
            }
        }
    }

    /// What runs, as of the last look.
    pub(crate) fn fleet(&self) -> FleetAnswer {
        self.lock().fleet.clone()
    }

    /// The columns that began between two moments.
    pub(crate) fn columns(&self, from: Timestamp, to: Timestamp) -> Vec<HistoryColumn> {
        let state = self.lock();
        state.columns.iter().filter(|column| (from..=to).contains(&column.at)).map(Column::shape).collect()
    }

    fn look(&self, from: &Sources, standing: &[Standing]) {
        let served = standing.iter().map(|one| (one.view.id, from.gate.served(one.view.id))).collect();
        let counted = Counted::new(Timestamp::now(), &from.gate.durations(), served);
        let memory: Vec<Option<u64>> =
            standing.iter().map(|one| freezeframe_runtime::resident_bytes_of_tree(one.view.pid)).collect();
        let mut state = self.lock();
        state.know(standing, from);
        state.count(counted);
        state.fleet = state.answer(standing, &memory, &from.gate.services(), &from.wanted);
        if from.events.is_watched() {
            from.events.fleet(&state.fleet);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Learns of processes that are new, and remembers builds that serve for the first time.
    fn know(&mut self, standing: &[Standing], from: &Sources) {
        self.processes
            .retain(|id, known| standing.iter().any(|one| one.view.id == *id && one.view.pid == known.pid));
        for Standing { view, .. } in standing.iter().filter(|one| one.view.pid > 0) {
            // Before it is ready, it may not be the program yet that it will be.
            if view.role == InstanceRole::Starting {
                continue;
            }
            let known = self.processes.entry(view.id).or_insert_with(|| Process {
                pid: view.pid,
                build: build_of(view.pid),
                started_at: started_at(view.pid).unwrap_or(view.since),
                has_served: false,
            });
            let serves = matches!(view.role, InstanceRole::Serving | InstanceRole::Held);
            if serves && !std::mem::replace(&mut known.has_served, true) {
                let since = known.started_at;
                let seen = from.store.build_seen(&known.build, since, from.wanted.revision.as_deref());
                if let Err(error) = seen {
                    tracing::warn!(error = chain(error), "when this build served first cannot be remembered");
                }
            }
        }
    }

    fn count(&mut self, counted: Counted) {
        let began = self.column_from.get_or_insert_with(|| counted.clone());
        if counted.at.since_ms(began.at) >= u64::from(COLUMN_S) * 1000 {
            self.columns.push_back(Column::between(began, &counted));
            *began = counted.clone();
            if self.columns.len() > COLUMNS_MAX {
                self.columns.pop_front();
            }
        }
        self.looks.push_back(counted);
        if self.looks.len() > WINDOW + 1 {
            self.looks.pop_front();
        }
    }

    fn answer(
        &self,
        standing: &[Standing],
        memory: &[Option<u64>],
        services: &[ServiceState],
        wanted: &Wanted,
    ) -> FleetAnswer {
        let (Some(first), Some(last)) = (self.looks.front(), self.looks.back()) else {
            return FleetAnswer::default();
        };
        let seconds = last.at.since_ms(first.at) as f64 / 1000.0;
        let per_s = |count: u64| if seconds > 0.0 { count as f64 / seconds } else { 0.0 };
        let ms = |histogram: &Histogram, part| histogram.percentile_us(part).map(|us| us / 1000.0);
        let new = last.all.since(&first.all);
        let share = |count: u64| if new.count() == 0 { 0.0 } else { count as f64 / new.count() as f64 };
        let roles = |roles: &[InstanceRole]| {
            let of_role = standing.iter().filter(|one| roles.contains(&one.view.role));
            u32::try_from(of_role.count()).unwrap_or(u32::MAX)
        };
        let is_held = |one: &Standing| matches!(one.view.role, InstanceRole::Held | InstanceRole::Draining);
        let instance = |(one, memory): (&Standing, &Option<u64>)| {
            let id = one.view.id;
            let empty = Histogram::new();
            let of = |counted: &'_ Counted| counted.by_instance.get(&id).cloned();
            let new = of(last).unwrap_or_default().since(&of(first).unwrap_or(empty));
            let process = self.processes.get(&id);
            FleetInstance {
                instance: InstanceShape::from(&one.view),
                name: format!("{}/{id}", wanted.service),
                build_id: process.map(|process| process.build.to_string()).unwrap_or_default(),
                rate_per_s: per_s(new.count()),
                p99_ms: ms(&new, 0.99),
                memory_bytes: *memory,
                started_at: rfc3339(process.map_or(one.view.since, |process| process.started_at)),
                lease_until: one.lease_until.map(rfc3339),
            }
        };
        let held = standing.iter().zip(memory).filter(|(one, _)| is_held(one));
        FleetAnswer {
            schema: "freezeframe-fleet/1".to_owned(),
            at: rfc3339(last.at),
            service: wanted.service.clone(),
            serving: roles(&[InstanceRole::Serving]),
            wanted: wanted.instances,
            held: roles(&[InstanceRole::Held, InstanceRole::Draining]),
            held_max: wanted.held_max,
            spares: roles(&[InstanceRole::Spare]),
            spares_wanted: wanted.spares,
            rate_per_s: per_s(new.count()),
            shed_share: share(last.shed.saturating_sub(first.shed)),
            error_share: share(last.errors.saturating_sub(first.errors)),
            p50_ms: ms(&new, 0.5),
            p99_ms: ms(&new, 0.99),
            held_bytes: held.filter_map(|(_, memory)| *memory).sum(),
            held_bytes_max: wanted.held_bytes_max,
            instances: standing.iter().zip(memory).map(instance).collect(),
            gate: services.iter().map(gate_service).collect(),
        }
    }
}

impl Counted {
    /// From the gate's histograms of whole durations.
    fn new(at: Timestamp, series: &[Series], by_instance: BTreeMap<InstanceId, Histogram>) -> Self {
        let (mut all, mut shed, mut errors) = (Histogram::new(), 0, 0);
        for Series { labels, histogram } in series {
            let label =
                |wanted| labels.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.as_str());
            if label("part") != Some("total") {
                continue;
            }
            all.merge(histogram);
            match label("outcome") {
                Some("shed") => shed += histogram.count(),
                Some("server_error") => errors += histogram.count(),
                _ => {}
            }
        }
        Self { at, all, shed, errors, by_instance }
    }
}

impl Column {
    fn between(earlier: &Counted, later: &Counted) -> Self {
        let filled = later.all.since(&earlier.all);
        Self {
            at: earlier.at,
            shed: later.shed.saturating_sub(earlier.shed),
            errors: later.errors.saturating_sub(earlier.errors),
            buckets: filled
                .filled()
                .filter_map(|(at, count)| Some((u16::try_from(at).ok()?, count)))
                .collect(),
        }
    }

    fn shape(&self) -> HistoryColumn {
        let upper = |&(at, count): &(u16, u64)| (bucket::upper_us(usize::from(at)), count);
        HistoryColumn {
            at: rfc3339(self.at),
            requests: self.buckets.iter().map(|(_, count)| count).sum(),
            shed: self.shed,
            errors: self.errors,
            buckets: self.buckets.iter().map(upper).collect(),
        }
    }
}

fn gate_service(state: &ServiceState) -> GateService {
    GateService {
        name: state.name.clone(),
        instances: state.instances,
        in_flight: state.in_flight,
        in_flight_max: state.in_flight_max,
        queued: state.queued,
        queue_max: state.queue_max,
    }
}

/// Build of a process's program, as captures name it; empty where it cannot be read.
fn build_of(pid: i32) -> BuildId {
    let file = std::fs::File::open(format!("/proc/{pid}/exe"));
    file.and_then(|file| freezeframe_debuginfo::build_of(&file)).unwrap_or_default()
}

/// When a process began: what field 22 of `/proc/PID/stat` counts in hundredths of a second since the machine's start (proc(5)).
fn started_at(pid: i32) -> Option<Timestamp> {
    let ticks = freezeframe_runtime::ProcessId::of(pid)?.start;
    let stat = std::fs::read_to_string("/proc/stat").ok()?;
    let booted: u64 = stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    let ms = booted.checked_mul(1000)?.checked_add(ticks.checked_mul(10)?)?;
    Some(Timestamp(0).plus_ms(ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(at_s: u64, ok: u64, shed: u64, of_instance: u64) -> Counted {
        let histogram = |count: u64, ns| {
            let mut histogram = Histogram::new();
            (0..count).for_each(|_| histogram.record_ns(ns));
            histogram
        };
        let series = |outcome: &str, part: &str, histogram| {
            let labels = [("route", "shop"), ("outcome", outcome), ("part", part)];
            Series { labels: labels.map(|(name, value)| (name, value.to_owned())).to_vec(), histogram }
        };
        let all = [
            series("ok", "total", histogram(ok, 2_000_000)),
            series("ok", "queue", histogram(ok, 1_000)),
            series("shed", "total", histogram(shed, 100_000)),
        ];
        let by_instance = BTreeMap::from([(InstanceId(1), histogram(of_instance, 2_000_000))]);
        Counted::new(Timestamp(0).plus_ms(at_s * 1000), &all, by_instance)
    }

    fn standing(role: InstanceRole) -> Standing {
        let view = InstanceView {
            id: InstanceId(1),
            role,
            pid: 7,
            port: 1,
            since: Timestamp(0),
            in_flight: 3,
            armed: Ok(()),
            incident: None,
        };
        Standing { view, lease_until: None }
    }

    #[test]
    fn rates_are_those_of_the_last_seconds() {
        let mut state = State::default();
        // Nothing was counted before the daemon began: what is there at the first look is not a rate.
        for look in 0..10 {
            state.count(counted(look * 2, 1000 + look * 90, look * 10, look * 50));
        }
        let wanted = Wanted { service: "shop".to_owned(), instances: 2, ..Wanted::default() };
        let answer = state.answer(&[standing(InstanceRole::Serving)], &[Some(4096)], &[], &wanted);
        assert_eq!((answer.rate_per_s, answer.shed_share, answer.error_share), (50.0, 0.1, 0.0));
        assert_eq!((answer.serving, answer.wanted, answer.held, answer.held_bytes), (1, 2, 0, 0));
        let p99 = answer.p99_ms.expect("requests");
        assert!((1.9..2.1).contains(&p99), "{p99}");
        let instance = &answer.instances[0];
        assert_eq!((instance.rate_per_s, instance.memory_bytes), (25.0, Some(4096)));
        assert_eq!(instance.name, "shop/1");
        let held = state.answer(&[standing(InstanceRole::Held)], &[Some(4096)], &[], &wanted);
        assert_eq!((held.serving, held.held, held.held_bytes), (0, 1, 4096));
    }

    #[test]
    fn the_history_is_bounded_and_keeps_the_whole_histogram() {
        let pulse = Pulse::default();
        for look in 0..2_500 {
            pulse.lock().count(counted(look * 2, look, look / 5, 0));
        }
        let all = pulse.columns(Timestamp(i64::MIN), Timestamp(i64::MAX));
        assert_eq!(all.len(), COLUMNS_MAX);
        let last = all.last().expect("a column");
        assert_eq!((last.requests, last.shed, last.errors, last.buckets.len()), (6, 1, 0, 2));
        assert_eq!(last.buckets.iter().map(|(_, count)| count).sum::<u64>(), last.requests);
        let first = &pulse.columns(Timestamp(0).plus_ms(4_000_000), Timestamp(0).plus_ms(4_010_000))[..];
        assert_eq!(first.len(), 2);
    }

    #[test]
    fn a_process_has_a_build_and_an_age() {
        let pid = i32::try_from(std::process::id()).expect("a pid");
        let started = started_at(pid).expect("a start");
        assert!(Timestamp::now().since_ms(started) < 24 * 3_600_000);
        assert_eq!(build_of(i32::MAX), BuildId::default());
        assert_eq!(started_at(i32::MAX), None);
    }
}
