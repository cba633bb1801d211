//! What every thread was doing; its frames are read one thread at a time.

use freezeframe_model::Thread;

use super::{Known, Section, Wanted};
use crate::dto::{SectionItems, ThreadLine};

pub(super) const SECTION: Section =
    Section { name: "threads", title: "Threads", count: |known| threads(known).len(), page };

fn threads<'a>(known: &Known<'a>) -> &'a [Thread] {
    known.capture.map(|capture| capture.threads.as_slice()).unwrap_or_default()
}

fn page(known: &Known<'_>, wanted: &Wanted) -> (usize, SectionItems) {
    let fits = |thread: &&Thread| {
        let line = ThreadLine::from(*thread);
        wanted.fits(&[
            &line.name,
            &line.id.to_string(),
            &line.activity,
            &line.state,
            &line.function,
            &line.place,
        ])
    };
    let (total, threads) = wanted.page(threads(known), fits, ThreadLine::from);
    (total, SectionItems::Threads(threads))
}
