//! How many requests of a cost class an instance may have in flight, below its configured cap.
//!
//! Two limits, of which the lower holds:
//!
//! - *Refusals*: an instance that says itself that it has too much to do is believed: a tenth less at once, a little more after
//!   each service time without a refusal (AIMD). Where a tenth of its answers come too late for anybody, a fifth less.
//! - *Evidence*: an instance may be slow because it has too much to do, or because something behind it is slow. A gradient
//!   cannot tell these apart, and in the second case it cuts concurrency where concurrency was all that kept throughput up.
//!   So a cut is tried only where requests take several times as long as usual *and* a queue stands *and* every slot is in
//!   use; and it stays only if throughput did not fall with it. Each cut that had to be taken back makes the next
//!   attempt wait twice as long. The way up is the same with the opposite sign.

/// Completions by which a trial is judged: with fewer, noise decides.
const SAMPLES: u32 = 400;
/// Shortest time between two steps.
const STEP_MIN_US: u64 = 100_000;
/// So much slower than usual is suspicious.
const SUSPICIOUS: f64 = 2.0;
/// A trial's step; by how much throughput must rise with it (up), and by how much it may fall (down). With so many samples
/// a throughput that follows the whole step is mistaken for one that does not in one of fifty trials.
const STEP: f64 = 0.2;
const RISES: f64 = 1.1;
const FALLS: f64 = 0.95;
/// One of so many answers may be too late before concurrency is cut.
const LATE_PART: u32 = 10;
/// Rest after a trial that failed, in trials.
const REST_MIN: u32 = 4;
const REST_MAX: u32 = 256;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Up,
    Down,
}

#[derive(Clone, Copy, Debug)]
struct Trial {
    direction: Direction,
    from: u32,
    /// Completions per second before it.
    rate: f64,
    /// What is under way from before it is not counted.
    settles: u32,
}

#[derive(Debug)]
pub(crate) struct Limit {
    cap: u32,
    by_refusals: f64,
    by_evidence: u32,
    in_flight: u32,

    refused: bool,
    /// Departures since the last step, and how many of them were too late for their clients.
    left: u32,
    late: u32,
    was_full: bool,
    stepped_us: u64,
    mean_us: f64,

    done: u32,
    slowness: f64,
    began_us: u64,
    trial: Option<Trial>,
    resting: u32,
    rest: u32,
}

/// A request that left an instance.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Departure {
    pub(crate) service_us: u64,
    /// How much slower than usual its route is; `None` where its time says nothing.
    pub(crate) slowness: Option<f64>,
    /// The instance said that it has too much to do.
    pub(crate) refused: bool,
    /// It did answer, but too late.
    pub(crate) late: bool,
    /// A queue stands at the gate.
    pub(crate) queue_stands: bool,
}

impl Limit {
    pub(crate) fn new(cap: u32) -> Self {
        Self {
            cap,
            by_refusals: f64::from(cap),
            by_evidence: cap,
            in_flight: 0,
            refused: false,
            left: 0,
            late: 0,
            was_full: false,
            stepped_us: 0,
            mean_us: 0.0,
            done: 0,
            slowness: 0.0,
            began_us: 0,
            trial: None,
            resting: 0,
            rest: REST_MIN,
        }
    }

    pub(crate) fn set_cap(&mut self, cap: u32) {
        let in_flight = self.in_flight;
        *self = Self { in_flight, ..Self::new(cap) };
    }

    pub(crate) fn get(&self) -> u32 {
        (self.by_refusals as u32).min(self.by_evidence).clamp(1.min(self.cap), self.cap)
    }

    pub(crate) fn has_room(&self) -> bool {
        self.in_flight < self.get()
    }

    pub(crate) fn begin(&mut self) {
        self.in_flight += 1;
        self.was_full |= self.in_flight >= self.get();
    }

    /// True where the limit is another one now.
    pub(crate) fn end(&mut self, now_us: u64, departure: Option<Departure>) -> bool {
        self.in_flight = self.in_flight.saturating_sub(1);
        let Some(departure) = departure else { return false };
        let before = self.get();
        self.by_refusals(now_us, departure);
        self.by_evidence(now_us, departure);
        self.get() != before
    }

    fn by_refusals(&mut self, now_us: u64, departure: Departure) {
        let since_us = now_us.saturating_sub(self.stepped_us);
        let weight = if self.mean_us > 0.0 { 0.1 } else { 1.0 };
        self.mean_us += (departure.service_us as f64 - self.mean_us) * weight;
        let is_due = since_us >= STEP_MIN_US.max(self.mean_us as u64);
        self.left += 1;
        self.late += u32::from(departure.late);
        if departure.refused && (is_due || !self.refused) {
            // One cut per service time: the refusals that follow are about the same moment.
            self.by_refusals = (f64::from(self.get()) * 0.9).max(1.0);
            self.refused = true;
        } else if is_due && self.late * LATE_PART > self.left {
            self.by_refusals = (f64::from(self.get()) * 0.8).max(1.0);
        } else if is_due && !departure.refused {
            if !self.refused && self.late == 0 {
                let cap = f64::from(self.cap);
                self.by_refusals = (self.by_refusals + (cap / 50.0).max(1.0)).min(cap);
            }
            self.refused = false;
        } else {
            return;
        }
        (self.left, self.late) = (0, 0);
        self.stepped_us = now_us;
    }

    fn by_evidence(&mut self, now_us: u64, departure: Departure) {
        if let Some(Trial { settles: settles @ 1.., .. }) = &mut self.trial {
            *settles -= 1;
            self.began_us = now_us;
            return;
        }
        self.done += 1;
        self.slowness += departure.slowness.unwrap_or(1.0);
        if self.done < SAMPLES || now_us.saturating_sub(self.began_us) < STEP_MIN_US {
            return;
        }
        let rate = f64::from(self.done) / (now_us.saturating_sub(self.began_us).max(1) as f64 / 1e6);
        let is_slow = self.slowness / f64::from(self.done) > SUSPICIOUS;
        let is_full = std::mem::take(&mut self.was_full);
        let presses = departure.queue_stands && is_full;
        match self.trial.take() {
            Some(trial) => self.judge(trial, rate, presses),
            None if self.resting > 0 => self.resting -= 1,
            None if presses && is_slow => self.try_out(Direction::Down, rate),
            None if presses && self.by_evidence < self.cap => self.try_out(Direction::Up, rate),
            // Nothing presses: nothing is known against the cap.
            None if !departure.queue_stands && !is_full => self.rise(),
            None => {}
        }
        self.done = 0;
        self.slowness = 0.0;
        self.began_us = now_us;
    }

    fn try_out(&mut self, direction: Direction, rate: f64) {
        let from = self.get();
        let step = (f64::from(from) * STEP).ceil() as u32;
        let to = match direction {
            Direction::Down => from.saturating_sub(step).max(1),
            Direction::Up => from.saturating_add(step).min(self.cap),
        };
        if to != from {
            self.by_evidence = to;
            self.trial = Some(Trial { direction, from, rate, settles: from.max(to) });
        }
    }

    fn judge(&mut self, trial: Trial, rate: f64, presses: bool) {
        let keep = match trial.direction {
            Direction::Down => presses && rate >= trial.rate * FALLS,
            Direction::Up => !presses || rate >= trial.rate * RISES,
        };
        if keep {
            self.rest = REST_MIN;
        } else {
            self.by_evidence = trial.from;
            self.resting = self.rest;
            self.rest = (self.rest * 2).min(REST_MAX);
        }
    }

    fn rise(&mut self) {
        self.by_evidence = self.by_evidence.saturating_add(1 + self.by_evidence / 20).min(self.cap);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that is kept full: after each departure comes the next arrival. Its service time depends on concurrency.
    fn keep_full(limit: &mut Limit, departures: u32, now_us: &mut u64, service: impl Fn(u32) -> f64) {
        while limit.has_room() {
            limit.begin();
        }
        for _ in 0..departures {
            let concurrency = limit.in_flight;
            let service_us = service(concurrency);
            *now_us += (service_us / f64::from(concurrency)) as u64;
            let slowness = Some(service_us / 10_000.0);
            let departure = Departure {
                service_us: service_us as u64,
                slowness,
                refused: false,
                late: false,
                queue_stands: true,
            };
            limit.end(*now_us, Some(departure));
            while limit.has_room() {
                limit.begin();
            }
        }
    }

    #[test]
    fn a_server_that_only_shares_itself_out_gets_fewer() {
        let mut limit = Limit::new(200);
        let mut now_us = 0;
        // Four cores, 10 ms each: whatever is above four makes everything slower and nothing more.
        keep_full(&mut limit, 20_000, &mut now_us, |n| 10_000.0 * (f64::from(n) / 4.0).max(1.0));
        assert!((4..=16).contains(&limit.get()), "{}", limit.get());
    }

    #[test]
    fn a_slow_dependency_is_no_reason_for_fewer() {
        let mut limit = Limit::new(50);
        let mut now_us = 0;
        let (mut full, mut total) = (0_u64, 0_u64);
        for _ in 0..400 {
            // Five times as slow as usual, however many there are.
            keep_full(&mut limit, 100, &mut now_us, |_| 50_000.0);
            full += u64::from(limit.get());
            total += 50;
        }
        assert!(full * 100 / total >= 95, "{full} of {total}");
    }

    #[test]
    fn a_limit_that_was_cut_finds_its_way_up_when_concurrency_pays_again() {
        let mut limit = Limit::new(100);
        let mut now_us = 0;
        keep_full(&mut limit, 20_000, &mut now_us, |n| 10_000.0 * (f64::from(n) / 4.0).max(1.0));
        assert!(limit.get() <= 16);
        keep_full(&mut limit, 40_000, &mut now_us, |_| 10_000.0);
        assert!(limit.get() >= 90, "{}", limit.get());
    }

    #[test]
    fn refusals_are_believed_at_once_and_forgotten_slowly() {
        let mut limit = Limit::new(100);
        (0..100).for_each(|_| limit.begin());
        let departure = Departure {
            service_us: 1_000_000,
            slowness: None,
            refused: true,
            late: false,
            queue_stands: false,
        };
        assert!(limit.end(1, Some(departure)));
        assert_eq!(limit.get(), 90);
        limit.end(2, Some(departure));
        assert_eq!(limit.get(), 90, "the same moment");
        limit.end(1_500_000, Some(departure));
        assert_eq!(limit.get(), 81);
        for i in 0..100 {
            let fine = Departure { refused: false, ..departure };
            limit.begin();
            limit.end(3_000_000 + i * 1_100_000, Some(fine));
        }
        assert_eq!(limit.get(), 100);
    }

    #[test]
    fn one_is_always_allowed_unless_the_cap_says_none() {
        let mut limit = Limit::new(1);
        limit.begin();
        limit.end(
            1,
            Some(Departure { service_us: 1, slowness: None, refused: true, late: false, queue_stands: true }),
        );
        assert_eq!(limit.get(), 1);
        assert_eq!(Limit::new(0).get(), 0);
    }
}
