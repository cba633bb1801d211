//! The last lines that the instance wrote.

use super::{Known, Section, Wanted};
use crate::dto::{LogShape, SectionItems};

pub(super) const SECTION: Section =
    Section { name: "logs", title: "Logs", count: |known| known.incident.logs.len(), page };

fn page(known: &Known<'_>, wanted: &Wanted) -> (usize, SectionItems) {
    let (total, lines) = wanted.page(&known.incident.logs, |line| wanted.fits(&[&line.text]), LogShape::from);
    (total, SectionItems::Logs(lines))
}
