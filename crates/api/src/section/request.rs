//! The failing request, what else was in flight, and what the same user did before.

use super::{Known, Section, Wanted};
use crate::dto::{RequestLine, SectionItems};

pub(super) const SECTION: Section =
    Section { name: "request", title: "Requests", count: |known| lines(known).count(), page };

fn lines<'a>(known: &Known<'a>) -> impl Iterator<Item = RequestLine> + use<'a> {
    let failing = &known.incident.request;
    let matched = failing.matched_by;
    let of_failing =
        failing.request.iter().map(move |request| RequestLine::under_way(request, Some(matched)));
    let others = failing.others.iter().map(|request| RequestLine::under_way(request, None));
    of_failing.chain(others).chain(failing.journey.iter().map(RequestLine::of_journey))
}

fn page(known: &Known<'_>, wanted: &Wanted) -> (usize, SectionItems) {
    let fits = |line: &RequestLine| {
        let exchange = &line.exchange;
        wanted.fits(&[&exchange.method, &exchange.path, &exchange.traceparent, &line.role])
    };
    let (total, lines) = wanted.page(lines(known), fits, |line| line);
    (total, SectionItems::Request(lines))
}
