//! Deadlines of requests, and the HTTP library's of their heads, on timers that are used again.
//!
//! Setting a timer costs a lock and a place in the runtime's wheel; moving one that is set to a later time costs neither. Nearly
//! every request has deadlines and none reaches them, so each thread keeps its timers set and hands them from request to request.
//! (A timer that was given back may wake the task of its last request once more, for nothing.)

use std::cell::RefCell;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hyper::rt;
use tokio::time::{Sleep, sleep_until};

/// Timers that a thread keeps: more than it has requests under way at most times.
const FREE_MAX: usize = 1024;

thread_local! {
    /// Timers that are not in use. They belong to the runtime of their thread.
    static FREE: RefCell<Vec<Pin<Box<Sleep>>>> = const { RefCell::new(Vec::new()) };
}

/// A timer that goes back to its thread's others.
struct Lent(Option<Pin<Box<Sleep>>>);

impl Lent {
    fn until(at: Instant) -> Self {
        let free = FREE.with_borrow_mut(Vec::pop);
        let sleep = match free {
            Some(mut sleep) => {
                sleep.as_mut().reset(at.into());
                sleep
            }
            None => Box::pin(sleep_until(at.into())),
        };
        Self(Some(sleep))
    }
}

impl Future for Lent {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().map_or(Poll::Pending, |sleep| sleep.as_mut().poll(cx))
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        // At the thread's end there may be nobody left to take it.
        let _ = FREE.try_with(|free| {
            let mut free = free.borrow_mut();
            if free.len() < FREE_MAX {
                free.extend(self.0.take());
            }
        });
    }
}

impl rt::Sleep for Lent {}

/// The timers of a thread, for the HTTP library.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LentTimers;

impl rt::Timer for LentTimers {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn rt::Sleep>> {
        self.sleep_until(self.now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn rt::Sleep>> {
        Box::pin(Lent::until(deadline))
    }

    fn reset(&self, sleep: &mut Pin<Box<dyn rt::Sleep>>, deadline: Instant) {
        match sleep.as_mut().downcast_mut_pin::<Lent>() {
            Some(mut lent) => {
                if let Some(sleep) = &mut lent.0 {
                    sleep.as_mut().reset(deadline.into());
                }
            }
            None => *sleep = self.sleep_until(deadline),
        }
    }

    fn now(&self) -> Instant {
        tokio::time::Instant::now().into()
    }
}

/// When a request must have been answered.
pub(crate) struct Deadline {
    at: Option<Instant>,
    timer: Option<Lent>,
}

impl Deadline {
    pub(crate) fn new(at: Option<Instant>) -> Self {
        Self { at, timer: None }
    }

    pub(crate) fn at(&self) -> Option<Instant> {
        self.at
    }

    /// Whether it has come.
    pub(crate) fn is_over(&self) -> bool {
        self.at.is_some_and(|at| at <= Instant::now())
    }

    /// Milliseconds that are left at `now`, rounded down; `None` without a deadline.
    pub(crate) fn left_ms(&self, now: Instant) -> Option<u64> {
        let left = self.at?.saturating_duration_since(now);
        Some(u64::try_from(left.as_millis()).unwrap_or(u64::MAX))
    }

    /// Ready once it has come.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(at) = self.at else { return Poll::Pending };
        Pin::new(self.timer.get_or_insert_with(|| Lent::until(at))).poll(cx)
    }
}
