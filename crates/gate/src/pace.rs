//! The least rate at which a client must give or take a body.
//!
//! What counts is only the time in which the client is the one that is waited for: a slow instance, a quiet event stream or
//! back-pressure cost a client nothing. Once that time adds up to the window, there must have been so many bytes.
//! Bodies keep their own account; the worker looks at all accounts now and then, and ends what is too slow.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use crate::limits::Limits;
use crate::worker::{Link, Worker};

/// The account of one body.
pub(crate) struct Pace {
    /// Whom to end where a response is not taken; a request is ended by its own body.
    link: Option<Weak<Link>>,
    waiting_since: Cell<Option<Instant>>,
    waited: Cell<Duration>,
    bytes: Cell<u64>,
    too_slow: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

/// All accounts of a worker.
#[derive(Default)]
pub(crate) struct Paces {
    open: RefCell<Vec<Weak<Pace>>>,
}

impl Pace {
    /// For a request's body.
    pub(crate) fn of_request(worker: &Worker) -> Rc<Self> {
        Self::open(worker, None)
    }

    /// For a response's body: if it is not taken, the connection goes.
    pub(crate) fn of_response(link: &Rc<Link>) -> Rc<Self> {
        Self::open(&link.worker, Some(Rc::downgrade(link)))
    }

    fn open(worker: &Worker, link: Option<Weak<Link>>) -> Rc<Self> {
        let pace = Rc::new(Self {
            link,
            waiting_since: Cell::new(None),
            waited: Cell::new(Duration::ZERO),
            bytes: Cell::new(0),
            too_slow: Cell::new(false),
            waker: RefCell::new(None),
        });
        worker.paces.open.borrow_mut().push(Rc::downgrade(&pace));
        pace
    }

    /// From now on the client is waited for.
    pub(crate) fn waits(&self) {
        if self.waiting_since.get().is_none() {
            self.waiting_since.set(Some(Instant::now()));
        }
    }

    /// As [`Pace::waits`]; the task is woken if the client is found too slow.
    pub(crate) fn waits_with(&self, cx: &Context<'_>) {
        self.waits();
        let mut waker = self.waker.borrow_mut();
        match &mut *waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
    }

    /// The client gave or took so many bytes.
    pub(crate) fn passed(&self, bytes: usize) {
        if let Some(since) = self.waiting_since.take() {
            self.waited.set(self.waited.get().saturating_add(since.elapsed()));
        }
        self.bytes.set(self.bytes.get().saturating_add(bytes as u64));
    }

    pub(crate) fn is_too_slow(&self) -> bool {
        self.too_slow.get()
    }

    /// Whether the client is too slow; where a window is over, the next begins.
    fn judge(&self, now: Instant, window: Duration, bytes_min: u64) -> bool {
        let since = self.waiting_since.get();
        let waiting = since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        if self.waited.get().saturating_add(waiting) < window {
            return false;
        }
        self.waited.set(Duration::ZERO);
        self.waiting_since.set(since.map(|_| now));
        self.bytes.take() < bytes_min
    }
}

impl Paces {
    /// Looks at all accounts.
    pub(crate) fn sweep(&self, limits: &Limits) {
        let window = Duration::from_millis(limits.body_window_ms);
        let bytes_min = u64::from(limits.body_bytes_per_s_min).saturating_mul(limits.body_window_ms) / 1_000;
        let now = Instant::now();
        let mut slow = Vec::new();
        self.open.borrow_mut().retain(|pace| {
            let Some(pace) = pace.upgrade() else { return false };
            if pace.judge(now, window, bytes_min.max(1)) {
                slow.push(pace);
            }
            true
        });
        for pace in slow {
            pace.too_slow.set(true);
            if let Some(link) = pace.link.as_ref().and_then(Weak::upgrade) {
                link.doom("it takes its responses too slowly");
            }
            let waker = pace.waker.take();
            waker.into_iter().for_each(Waker::wake);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace() -> Pace {
        Pace {
            link: None,
            waiting_since: Cell::new(None),
            waited: Cell::new(Duration::ZERO),
            bytes: Cell::new(0),
            too_slow: Cell::new(false),
            waker: RefCell::new(None),
        }
    }

    #[test]
    fn only_the_time_in_which_the_client_is_waited_for_counts() {
        let (pace, window) = (pace(), Duration::from_secs(10));
        let start = Instant::now();
        let after = |s| start + Duration::from_secs(s);
        assert!(!pace.judge(after(1_000), window, 1), "nobody waits for it");
        pace.waiting_since.set(Some(start));
        assert!(!pace.judge(after(9), window, 1));
        assert!(pace.judge(after(11), window, 1), "not a byte in ten seconds");
        assert!(!pace.judge(after(12), window, 1), "the next window has begun");
        pace.bytes.set(1_280);
        assert!(!pace.judge(after(22), window, 1_280));
        pace.bytes.set(1_279);
        assert!(pace.judge(after(33), window, 1_280));
        // Time before a pause counts on.
        pace.waiting_since.set(None);
        pace.waited.set(Duration::from_secs(9));
        pace.waiting_since.set(Some(after(100)));
        assert!(!pace.judge(after(100), window, 1) && pace.judge(after(101), window, 1));
    }
}
