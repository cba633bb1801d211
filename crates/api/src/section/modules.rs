//! Which files the code of the stacks is from, and what debug information they have.

use freezeframe_model::Module;

use super::{Known, Section, Wanted};
use crate::dto::{ModuleShape, SectionItems};

pub(super) const SECTION: Section =
    Section { name: "modules", title: "Modules", count: |known| modules(known).len(), page };

fn modules<'a>(known: &Known<'a>) -> &'a [Module] {
    known.capture.map(|capture| capture.modules.as_slice()).unwrap_or_default()
}

fn page(known: &Known<'_>, wanted: &Wanted) -> (usize, SectionItems) {
    let (total, modules) =
        wanted.page(modules(known), |module| wanted.fits(&[&module.path]), ModuleShape::from);
    (total, SectionItems::Modules(modules))
}
