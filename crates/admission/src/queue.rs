//! The requests that wait, in two orders at once: by age within their lane, by claim within their tier.
//!
//! It knows who is oldest, youngest and last in claim; which of them goes first is not its business.

use crate::cohort::{COHORTS, Claims};
use crate::lane::Lane;
use crate::slab::{Link, NIL, Slab};

/// Puts a request that waits into both orders.
pub(crate) fn push(slab: &mut Slab, lane: &mut Lane, tier: &mut Claims, index: u32) {
    let oldest_and_youngest = (lane.oldest, lane.youngest);
    (lane.oldest, lane.youngest) = append(slab, oldest_and_youngest, index, |entry| &mut entry.in_lane);
    lane.queued += 1;
    let cohort = usize::from(slab.at(index).cohort) % COHORTS;
    tier.ends[cohort] = append(slab, tier.ends[cohort], index, |entry| &mut entry.in_cohort);
    tier.waiting |= 1 << cohort;
}

/// Takes a request out of both orders, wherever it is.
pub(crate) fn remove(slab: &mut Slab, lane: &mut Lane, tier: &mut Claims, index: u32) {
    (lane.oldest, lane.youngest) =
        unlink(slab, (lane.oldest, lane.youngest), index, |entry| &mut entry.in_lane);
    lane.queued -= 1;
    let cohort = usize::from(slab.at(index).cohort) % COHORTS;
    tier.ends[cohort] = unlink(slab, tier.ends[cohort], index, |entry| &mut entry.in_cohort);
    if tier.ends[cohort].0 == NIL {
        tier.waiting &= !(1 << cohort);
    }
}

type LinkOf = fn(&mut crate::slab::Entry) -> &mut Link;

fn append(slab: &mut Slab, (oldest, youngest): (u32, u32), index: u32, link: LinkOf) -> (u32, u32) {
    *link(slab.at_mut(index)) = Link { older: youngest, younger: NIL };
    if youngest == NIL {
        return (index, index);
    }
    link(slab.at_mut(youngest)).younger = index;
    (oldest, index)
}

fn unlink(slab: &mut Slab, (oldest, youngest): (u32, u32), index: u32, link: LinkOf) -> (u32, u32) {
    let Link { older, younger } = std::mem::replace(link(slab.at_mut(index)), Link::NONE);
    if older != NIL {
        link(slab.at_mut(older)).younger = younger;
    }
    if younger != NIL {
        link(slab.at_mut(younger)).older = older;
    }
    (if oldest == index { younger } else { oldest }, if youngest == index { older } else { youngest })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_orders_survive_removals_anywhere() {
        let mut slab = Slab::default();
        let (mut lane, mut tier) = (Lane::new(0, 0), Claims::new());
        let indices: Vec<u32> =
            [3, 9, 3, 40].iter().map(|&cohort| slab.insert(Slab::new_entry(0, cohort, 0, 0)).index).collect();
        for &index in &indices {
            push(&mut slab, &mut lane, &mut tier, index);
        }
        assert_eq!((lane.oldest, lane.youngest, lane.queued), (indices[0], indices[3], 4));
        assert_eq!((tier.last(), tier.ends[3]), (Some((40, indices[3])), (indices[0], indices[2])));
        remove(&mut slab, &mut lane, &mut tier, indices[3]);
        remove(&mut slab, &mut lane, &mut tier, indices[0]);
        assert_eq!(
            (lane.oldest, lane.youngest, tier.last()),
            (indices[1], indices[2], Some((9, indices[1])))
        );
        assert_eq!(tier.ends[3], (indices[2], indices[2]));
        remove(&mut slab, &mut lane, &mut tier, indices[1]);
        remove(&mut slab, &mut lane, &mut tier, indices[2]);
        assert_eq!((lane.oldest, lane.youngest, lane.queued, tier.last()), (NIL, NIL, 0, None));
    }
}
