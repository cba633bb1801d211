//! How the time went after the trap.

use super::{Known, Section, Wanted};
use crate::dto::{MilestoneShape, SectionItems};
use crate::words;

pub(super) const SECTION: Section = Section {
    name: "timings",
    title: "Timings",
    count: |known| words::milestones(&known.incident.timings).count(),
    page,
};

fn page(known: &Known<'_>, wanted: &Wanted) -> (usize, SectionItems) {
    let shape = |(name, title, us): (&str, &str, u64)| MilestoneShape {
        name: name.to_owned(),
        title: title.to_owned(),
        after_ms: us as f64 / 1000.0,
    };
    let milestones = words::milestones(&known.incident.timings);
    let (total, milestones) = wanted.page(milestones, |(_, title, _)| wanted.fits(&[title]), shape);
    (total, SectionItems::Timings(milestones))
}
