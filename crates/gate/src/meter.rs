//! How long requests take: one histogram per route, outcome and part of the way, recorded by each worker for itself and merged
//! when somebody looks.
//!
//! A recorder is made when its first duration comes: most routes end in one or two ways only.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock};

use freezeframe_histogram::{Histogram, Recorder, Series};
use freezeframe_model::Outcome;

use crate::report::Finished;
use crate::route::{Lonely, lock};

/// Routes with histograms of their own; those beyond share one set, so that memory is bounded.
const ROUTES_MAX: usize = 256;
const OTHERS: &str = "(others)";
const OUTCOMES: [&str; 5] = ["ok", "client_error", "server_error", "shed", "client_gone"];
const PARTS: [&str; 3] = ["queue", "processing", "total"];
const NS_PER_US: u64 = 1_000;

/// The histograms of one route.
#[derive(Debug)]
pub(crate) struct Meter {
    workers: Box<[Lonely<Cells>]>,
}

type Cells = [[OnceLock<Recorder>; PARTS.len()]; OUTCOMES.len()];

/// Those of all routes, by name, and of requests that found none.
pub(crate) struct Meters {
    workers: usize,
    by_route: Mutex<BTreeMap<String, Arc<Meter>>>,
    none: Meter,
}

impl Meter {
    pub(crate) fn new(workers: usize) -> Self {
        Self { workers: (0..workers).map(|_| Lonely(Cells::default())).collect() }
    }

    /// A request is over. Only the worker that it names may call this for it.
    pub(crate) fn record(&self, finished: &Finished<'_>, has_queue: bool) {
        let Some(cells) = self.workers.get(finished.worker) else { return };
        let Some([queue, processing, total]) = cells.0.get(outcome_of(finished)) else { return };
        let add = |cell: &OnceLock<Recorder>, us: u64| {
            cell.get_or_init(Recorder::new).record_ns(us.saturating_mul(NS_PER_US));
        };
        if has_queue {
            add(queue, finished.queue_us);
        }
        if let Some(us) = finished.service_us {
            add(processing, us);
        }
        add(total, finished.total_us);
    }

    fn series(&self, route: &str, all: &mut Vec<Series>) {
        for (outcome, outcome_name) in OUTCOMES.iter().enumerate() {
            for (part, part_name) in PARTS.iter().enumerate() {
                let recorders =
                    self.workers.iter().filter_map(|cells| cells.0.get(outcome)?.get(part)?.get());
                let mut histogram = Histogram::new();
                recorders.for_each(|recorder| histogram.merge(&recorder.snapshot()));
                if histogram.count() > 0 {
                    let labels = vec![
                        ("route", route.to_owned()),
                        ("outcome", (*outcome_name).to_owned()),
                        ("part", (*part_name).to_owned()),
                    ];
                    all.push(Series { labels, histogram });
                }
            }
        }
    }
}

/// Index of an outcome's name.
fn outcome_of(finished: &Finished<'_>) -> usize {
    match finished.outcome {
        _ if finished.shed.is_some() => 3,
        Outcome::ClientGone => 4,
        Outcome::UpstreamFailed(_) | Outcome::Refused(Some(_)) => 2,
        Outcome::Answered | Outcome::Refused(None) => match finished.status {
            500.. => 2,
            400..=499 => 1,
            _ => 0,
        },
    }
}

impl Meters {
    pub(crate) fn new(workers: usize) -> Self {
        Self { workers, by_route: Mutex::default(), none: Meter::new(workers) }
    }

    /// The meters of these routes, which are kept where a route of that name is known.
    pub(crate) fn of<'a>(&self, names: impl Iterator<Item = &'a str>) -> Vec<Arc<Meter>> {
        let mut by_route = lock(&self.by_route);
        let meters = names.map(|name| {
            let name = if by_route.len() < ROUTES_MAX || by_route.contains_key(name) { name } else { OTHERS };
            let meter = by_route.entry(name.to_owned()).or_insert_with(|| Arc::new(Meter::new(self.workers)));
            Arc::clone(meter)
        });
        let meters = meters.collect();
        // What no plan uses any more is not shown any more.
        by_route.retain(|_, meter| Arc::strong_count(meter) > 1);
        meters
    }

    /// For requests that found no route.
    pub(crate) fn none(&self) -> &Meter {
        &self.none
    }

    /// Everything with anything in it.
    pub(crate) fn series(&self) -> Vec<Series> {
        let mut all = Vec::new();
        self.none.series("", &mut all);
        let by_route = lock(&self.by_route).clone();
        by_route.iter().for_each(|(route, meter)| meter.series(route, &mut all));
        all
    }
}
