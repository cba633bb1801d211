//! What is read off the records of a scene.

use std::collections::HashMap;

use super::world::Record;

/// A part of the records, with the questions that are asked of it.
pub(crate) struct Slice<'a>(Vec<&'a Record>);

impl<'a> Slice<'a> {
    /// All records.
    pub(crate) fn of(records: &'a [Record]) -> Self {
        Self(records.iter().collect())
    }

    pub(crate) fn stream(&self, stream: u16) -> Self {
        self.only(|record| record.stream == stream)
    }

    /// Those that arrived between two times, in seconds.
    pub(crate) fn between(&self, from_s: f64, to_s: f64) -> Self {
        let range = (from_s * 1e6) as u64..(to_s * 1e6) as u64;
        self.only(|record| range.contains(&record.arrived_us))
    }

    pub(crate) fn with_status(&self, status: u16) -> Self {
        self.only(|record| record.status == status)
    }

    /// Those that were answered 200 within a deadline.
    pub(crate) fn good(&self, deadline_us: u64) -> Self {
        self.only(|record| record.status == 200 && record.response_us() <= deadline_us)
    }

    fn only(&self, keep: impl Fn(&Record) -> bool) -> Self {
        Self(self.0.iter().copied().filter(|record| keep(record)).collect())
    }

    /// Those that were answered between two times, in seconds.
    pub(crate) fn answered_in(&self, from_s: f64, to_s: f64) -> Self {
        let range = (from_s * 1e6) as u64..(to_s * 1e6) as u64;
        self.only(|record| range.contains(&record.answered_us))
    }

    pub(crate) fn records(&self) -> impl Iterator<Item = &'a Record> {
        self.0.iter().copied()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// How many were answered between two times, in seconds.
    pub(crate) fn answered_between(&self, from_s: f64, to_s: f64) -> usize {
        self.answered_in(from_s, to_s).len()
    }

    /// Response time in seconds at a part of the distribution: 0.5 is the median, 1.0 the longest.
    pub(crate) fn response_s(&self, part: f64) -> f64 {
        let mut all: Vec<u64> = self.0.iter().map(|record| record.response_us()).collect();
        all.sort_unstable();
        let at = ((all.len() as f64 * part).ceil() as usize).saturating_sub(1);
        all.get(at).map_or(0.0, |&us| us as f64 / 1e6)
    }

    /// Part of the users for whom at least nine tenths of their requests had the same fate, among those with at least five.
    pub(crate) fn same_fate(&self, deadline_us: u64) -> f64 {
        let mut users: HashMap<u64, (u32, u32)> = HashMap::new();
        for record in &self.0 {
            let (all, good) = users.entry(record.user).or_default();
            *all += 1;
            *good += u32::from(record.status == 200 && record.response_us() <= deadline_us);
        }
        let counted: Vec<_> = users.values().filter(|(all, _)| *all >= 5).collect();
        let same = counted.iter().filter(|(all, good)| good.max(&(all - good)) * 10 >= all * 9);
        same.count() as f64 / counted.len().max(1) as f64
    }
}

/// A promise and what came of it.
pub(crate) struct Figure {
    pub(crate) what: String,
    pub(crate) measured: f64,
    pub(crate) unit: &'static str,
    pub(crate) goal: Goal,
}

#[derive(Clone, Copy)]
pub(crate) enum Goal {
    AtLeast(f64),
    AtMost(f64),
    /// Nothing was promised.
    None,
}

impl Figure {
    pub(crate) fn new(what: impl Into<String>, measured: f64, unit: &'static str, goal: Goal) -> Self {
        Self { what: what.into(), measured, unit, goal }
    }

    pub(crate) fn is_met(&self) -> bool {
        match self.goal {
            Goal::AtLeast(least) => self.measured >= least,
            Goal::AtMost(most) => self.measured <= most,
            Goal::None => true,
        }
    }
}

impl std::fmt::Display for Figure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let verdict = if self.is_met() { "met" } else { "MISSED" };
        let goal = match self.goal {
            Goal::AtLeast(least) => format!("at least {least} {}, {verdict}", self.unit),
            Goal::AtMost(most) => format!("at most {most} {}, {verdict}", self.unit),
            Goal::None => String::new(),
        };
        let measured = format!("{:.3} {}", self.measured, self.unit);
        write!(f, "  {:<74} {measured:>14}   {goal}", self.what)
    }
}
