//! What is missing and why.

use super::{Known, Section, Wanted};
use crate::dto::{LossShape, SectionItems};
use crate::words;

pub(super) const SECTION: Section = Section {
    name: "not_captured",
    title: "Not captured",
    count: |known| words::losses(known.incident, known.capture).count(),
    page,
};

fn page(known: &Known<'_>, wanted: &Wanted) -> (usize, SectionItems) {
    let losses = words::losses(known.incident, known.capture);
    let (total, losses) = wanted.page(losses, |loss| wanted.fits(&[&loss.what, &loss.why]), LossShape::from);
    (total, SectionItems::NotCaptured(losses))
}
