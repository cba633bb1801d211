//! The kinds of evidence of an incident, one file each: what there is of it, and a page of it.
//!
//! To add one: a file here with a `SECTION`, a line in [`SECTIONS`], and a variant of
//! [`SectionItems`](crate::dto::SectionItems) with its items. The conformance test below runs over every section.
//!
//! Sections show and search what is already known. They do not read files, ask processes, or know HTTP.

mod logs;
mod modules;
mod not_captured;
mod request;
mod tasks;
#[cfg(test)]
mod tests;
mod threads;
mod timeline;
mod timings;

pub(crate) use timeline::moments;

use freezeframe_model::{Capture, Incident, Record};

use crate::dto::{SectionHead, SectionItems, SectionPage};

/// Every section, in the order of the page.
const SECTIONS: [Section; 8] = [
    timeline::SECTION,
    logs::SECTION,
    request::SECTION,
    threads::SECTION,
    tasks::SECTION,
    not_captured::SECTION,
    timings::SECTION,
    modules::SECTION,
];

/// Items of a page where nothing is said, and at most.
pub(crate) const LIMIT: (usize, usize) = (200, 1000);
/// Longest filter, in bytes.
pub(crate) const MAX_FILTER: usize = 256;

/// One kind of evidence.
struct Section {
    /// Name in its path.
    name: &'static str,
    /// For people.
    title: &'static str,
    /// Items of it; a section without any does not exist for an incident.
    count: fn(&Known<'_>) -> usize,
    /// One page of it.
    page: fn(&Known<'_>, &Wanted) -> (usize, SectionItems),
}

/// All that is known of an incident.
#[derive(Clone, Copy)]
pub(crate) struct Known<'a> {
    pub(crate) incident: &'a Incident,
    pub(crate) capture: Option<&'a Capture>,
    pub(crate) record: &'a Record,
}

/// Which items are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    offset: usize,
    limit: usize,
    /// Each must be in an item, in lower case.
    words: Vec<String>,
}

impl Wanted {
    /// A page of what has all words of `filter` in it, whatever their case.
    pub(crate) fn new(offset: usize, limit: Option<usize>, filter: &str) -> Self {
        let (default, max) = LIMIT;
        let words = filter.split_whitespace().map(str::to_lowercase).collect();
        Self { offset, limit: limit.unwrap_or(default).min(max), words }
    }

    /// Whether everything is wanted.
    fn is_everything(&self) -> bool {
        self.words.is_empty()
    }

    /// Whether every word is in one of the texts.
    fn fits(&self, texts: &[&str]) -> bool {
        self.words.iter().all(|word| texts.iter().any(|text| text.to_lowercase().contains(word.as_str())))
    }

    /// How many of the items fit, and the shapes of those on the page.
    fn page<T, S>(
        &self,
        items: impl IntoIterator<Item = T>,
        fits: impl Fn(&T) -> bool,
        shape: impl Fn(T) -> S,
    ) -> (usize, Vec<S>) {
        let (mut total, mut shapes) = (0, Vec::new());
        for item in items {
            if !self.is_everything() && !fits(&item) {
                continue;
            }
            if total >= self.offset && shapes.len() < self.limit {
                shapes.push(shape(item));
            }
            total += 1;
        }
        (total, shapes)
    }
}

/// The sections that exist for an incident, in the order of the page.
pub(crate) fn heads(known: &Known<'_>) -> Vec<SectionHead> {
    let head = |section: &Section| SectionHead {
        name: section.name.to_owned(),
        title: section.title.to_owned(),
        count: (section.count)(known),
    };
    SECTIONS.iter().map(head).filter(|head| head.count > 0).collect()
}

/// A page of a section; `None` where there is none of that name. One that does not exist for the incident is empty.
pub(crate) fn page(name: &str, known: &Known<'_>, wanted: &Wanted) -> Option<SectionPage> {
    let section = SECTIONS.iter().find(|section| section.name == name)?;
    let (total, items) = (section.page)(known, wanted);
    Some(SectionPage {
        schema: "freezeframe-section/1".to_owned(),
        incident: known.incident.id.to_string(),
        title: section.title.to_owned(),
        total,
        offset: wanted.offset,
        limit: wanted.limit,
        items,
    })
}
