//! Deadlines of requests, on timers that are used again.
//!
//! Setting a timer costs a lock and a place in the runtime's wheel; moving one that is set to a later time costs neither. Nearly
//! every request has a deadline and none reaches it, so a worker keeps its timers set and hands them from request to request.
//! (A timer that was given back may wake the task of its last request once more, for nothing.)

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::time::{Sleep, sleep_until};

use crate::worker::Worker;

/// Timers that a worker keeps: more than it has requests under way at most times.
const FREE_MAX: usize = 1024;

/// Timers that are not in use.
#[derive(Default)]
pub(crate) struct Timers {
    free: RefCell<Vec<Pin<Box<Sleep>>>>,
}

/// When a request must have been answered.
pub(crate) struct Deadline {
    worker: Rc<Worker>,
    at: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Deadline {
    pub(crate) fn new(worker: &Rc<Worker>, at: Option<Instant>) -> Self {
        Self { worker: Rc::clone(worker), at, sleep: None }
    }

    pub(crate) fn at(&self) -> Option<Instant> {
        self.at
    }

    /// Whether it has come.
    pub(crate) fn is_over(&self) -> bool {
        self.at.is_some_and(|at| at <= Instant::now())
    }

    /// Milliseconds that are left, rounded down; `None` without a deadline.
    pub(crate) fn left_ms(&self) -> Option<u64> {
        let left = self.at?.saturating_duration_since(Instant::now());
        Some(u64::try_from(left.as_millis()).unwrap_or(u64::MAX))
    }

    /// Ready once it has come.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(at) = self.at else { return Poll::Pending };
        let (sleep, timers) = (&mut self.sleep, &self.worker.timers);
        sleep.get_or_insert_with(|| match timers.free.borrow_mut().pop() {
            Some(mut sleep) => {
                sleep.as_mut().reset(at.into());
                sleep
            }
            None => Box::pin(sleep_until(at.into())),
        });
        sleep.as_mut().map_or(Poll::Pending, |sleep| sleep.as_mut().poll(cx))
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        let mut free = self.worker.timers.free.borrow_mut();
        if free.len() < FREE_MAX {
            free.extend(self.sleep.take());
        }
    }
}
