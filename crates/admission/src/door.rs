//! Admission for threads and tasks: the state machine behind a short lock, with a clock and wakers.
//!
//! It belongs to no runtime. A request that waits is a future ([`Enter`]), one in flight is a guard ([`Permit`]). The caller
//! calls [`Door::tick`] when [`Door::next_tick_us`] says so, from a timer of its own; every request may do that for all.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use crate::Admission;
use crate::request::{Answer, InstanceId, Outcome, Output, Request, Shed, Ticket};

/// An [`Admission`] for many threads. To be shared in an `Arc`.
#[derive(Debug)]
pub struct Door {
    inner: Mutex<Inner>,
    epoch: Instant,
}

#[derive(Debug)]
struct Inner {
    admission: Admission,
    /// The place of a ticket, by its index. A ticket's index is used again as soon as it has ended; a place only after its
    /// task has let go of it, and so has heard the news.
    place_of: Vec<usize>,
    places: Vec<Place>,
    free: Vec<usize>,
}

/// What a task has been told about its request, and how to tell it more.
#[derive(Debug, Default)]
struct Place {
    news: Option<News>,
    waker: Option<Waker>,
}

#[derive(Clone, Copy, Debug)]
enum News {
    Forward { instance: InstanceId, deadline_us: u64 },
    Shed(Shed),
    Late,
}

impl Door {
    /// Time begins now.
    pub fn new(admission: Admission) -> Arc<Self> {
        Arc::new(Self {
            inner: Mutex::new(Inner {
                admission,
                place_of: Vec::new(),
                places: Vec::new(),
                free: Vec::new(),
            }),
            epoch: Instant::now(),
        })
    }

    /// Microseconds since the door was made: the scale of all its times.
    pub fn now_us(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// The moment of a time of this door's scale.
    pub fn instant(&self, at_us: u64) -> Instant {
        self.epoch + std::time::Duration::from_micros(at_us)
    }

    /// A moment on this door's scale; one before the door was made is 0.
    pub fn at_us(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.epoch).as_micros()).unwrap_or(u64::MAX)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic under the lock could only have come from the state machine itself; its books are plain numbers.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the state machine something, and those whom it concerns what came of it.
    pub fn with<T>(&self, event: impl FnOnce(&mut Admission, u64) -> T) -> T {
        let now_us = self.now_us();
        let mut inner = self.lock();
        let told = event(&mut inner.admission, now_us);
        let woken = inner.deliver();
        drop(inner);
        woken.wake();
        told
    }

    /// See [`Admission::instance_up`].
    pub fn instance_up(&self, instance: InstanceId, in_flight_max: u32) -> bool {
        self.with(|admission, now_us| admission.instance_up(now_us, instance, in_flight_max))
    }

    /// See [`Admission::instance_down`].
    pub fn instance_down(&self, instance: InstanceId) {
        self.with(|admission, now_us| admission.instance_down(now_us, instance));
    }

    /// See [`Admission::tick`].
    pub fn tick(&self) {
        self.with(Admission::tick);
    }

    /// See [`Admission::next_tick_us`].
    pub fn next_tick_us(&self) -> Option<u64> {
        self.lock().admission.next_tick_us()
    }

    /// A request arrives. The decision is made here; the future is ready at once unless the request has to wait.
    pub fn enter(self: &Arc<Self>, request: &Request) -> Enter {
        let now_us = self.now_us();
        let mut inner = self.lock();
        let answer = inner.admission.arrive(now_us, request);
        // What happened to others first: the new ticket's index may have been one of theirs.
        let woken = inner.deliver();
        let state = match answer {
            Answer::Shed(shed) => State::Refused(shed),
            Answer::Queued { ticket } => State::Waiting { ticket, place: inner.open_place(ticket) },
            Answer::Forward { ticket, instance, deadline_us } => {
                let place = inner.open_place(ticket);
                drop(inner);
                State::Admitted(Permit::new(self, ticket, place, instance, deadline_us))
            }
        };
        woken.wake();
        Enter { door: Arc::clone(self), state }
    }
}

/// A request at the door: ready with a [`Permit`], or with a refusal. Dropped while it waits, it leaves the queue.
#[derive(Debug)]
#[must_use = "a request that nobody waits for leaves the queue"]
pub struct Enter {
    door: Arc<Door>,
    state: State,
}

#[derive(Debug)]
enum State {
    Refused(Shed),
    Admitted(Permit),
    Waiting { ticket: Ticket, place: usize },
    Done,
}

impl Enter {
    /// What was decided at the door; `Err` with itself where the request has to wait.
    ///
    /// # Errors
    /// It waits.
    pub fn decided(mut self) -> Result<Result<Permit, Shed>, Self> {
        match std::mem::replace(&mut self.state, State::Done) {
            State::Refused(shed) => Ok(Err(shed)),
            State::Admitted(permit) => Ok(Ok(permit)),
            state => {
                self.state = state;
                Err(self)
            }
        }
    }
}

impl Future for Enter {
    type Output = Result<Permit, Shed>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match std::mem::replace(&mut self.state, State::Done) {
            State::Refused(shed) => Poll::Ready(Err(shed)),
            State::Admitted(permit) => Poll::Ready(Ok(permit)),
            State::Waiting { ticket, place } => {
                let news = self.door.lock().news(place, cx);
                match news {
                    Some(News::Forward { instance, deadline_us }) => {
                        Poll::Ready(Ok(Permit::new(&self.door, ticket, place, instance, deadline_us)))
                    }
                    Some(News::Shed(shed)) => {
                        self.door.lock().free.push(place);
                        Poll::Ready(Err(shed))
                    }
                    Some(News::Late) | None => {
                        self.state = State::Waiting { ticket, place };
                        Poll::Pending
                    }
                }
            }
            // Polled again after it was ready: there is nothing more to come.
            State::Done => Poll::Pending,
        }
    }
}

impl Drop for Enter {
    fn drop(&mut self) {
        if let State::Waiting { ticket, place } = self.state {
            // It may have been forwarded, and nobody has noticed yet: then its slot is free again.
            self.door.with(|admission, now_us| {
                admission.client_gone(now_us, ticket);
                admission.finished(now_us, ticket, Outcome::Abandoned);
            });
            self.door.lock().free.push(place);
        }
    }
}

/// A request in flight. Its slot is free when this is dropped.
#[derive(Debug)]
pub struct Permit {
    door: Arc<Door>,
    ticket: Ticket,
    place: usize,
    instance: InstanceId,
    deadline_us: u64,
    outcome: Outcome,
}

impl Permit {
    fn new(door: &Arc<Door>, ticket: Ticket, place: usize, instance: InstanceId, deadline_us: u64) -> Self {
        Self { door: Arc::clone(door), ticket, place, instance, deadline_us, outcome: Outcome::Abandoned }
    }

    /// Where the request goes.
    pub fn instance(&self) -> InstanceId {
        self.instance
    }

    /// When it must have been answered, on the scale of [`Door::now_us`].
    pub fn deadline_us(&self) -> u64 {
        self.deadline_us
    }

    /// What is left until then: what the instance should be told.
    pub fn remaining_us(&self) -> u64 {
        self.deadline_us.saturating_sub(self.door.now_us())
    }

    /// Ready once the deadline has passed: the client is to be answered 503.
    pub fn poll_late(&self, cx: &Context<'_>) -> Poll<()> {
        match self.door.lock().news(self.place, cx) {
            Some(News::Late) => Poll::Ready(()),
            _ => Poll::Pending,
        }
    }

    /// See [`Admission::started`].
    pub fn started(&self) {
        self.door.with(|admission, now_us| admission.started(now_us, self.ticket));
    }

    /// See [`Admission::answered`].
    pub fn answered(&self) {
        self.door.with(|admission, now_us| admission.answered(now_us, self.ticket));
    }

    /// What it will have come to when it is dropped, unless something else is said until then.
    pub fn set_outcome(&mut self, outcome: Outcome) {
        self.outcome = outcome;
    }

    /// See [`Admission::retry`]. True where it goes to another [instance](Permit::instance) now.
    pub fn retry(&mut self, outcome: Outcome) -> bool {
        let next = self.door.with(|admission, now_us| admission.retry(now_us, self.ticket, outcome));
        self.instance = next.unwrap_or(self.instance);
        next.is_some()
    }

    /// It is done. (A permit that is only dropped counts as abandoned.)
    pub fn finish(mut self, outcome: Outcome) {
        self.set_outcome(outcome);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.door.with(|admission, now_us| admission.finished(now_us, self.ticket, self.outcome));
        self.door.lock().free.push(self.place);
    }
}

/// Wakers to be woken after the lock has been let go; usually one, often none.
#[derive(Default)]
struct Woken {
    first: Option<Waker>,
    others: Vec<Waker>,
}

impl Woken {
    fn wake(self) {
        self.first.into_iter().chain(self.others).for_each(Waker::wake);
    }
}

impl Inner {
    fn deliver(&mut self) -> Woken {
        let mut woken = Woken::default();
        for output in self.admission.outputs() {
            let place = self.place_of.get(output.ticket().index());
            let Some(place) = place.and_then(|&place| self.places.get_mut(place)) else { continue };
            place.news = Some(match output {
                Output::Forward { instance, deadline_us, .. } => News::Forward { instance, deadline_us },
                Output::Shed { shed, .. } => News::Shed(shed),
                Output::Late { .. } => News::Late,
            });
            let Some(waker) = place.waker.take() else { continue };
            match woken.first {
                None => woken.first = Some(waker),
                Some(_) => woken.others.push(waker),
            }
        }
        woken
    }

    fn open_place(&mut self, ticket: Ticket) -> usize {
        let place = self.free.pop().unwrap_or(self.places.len());
        match self.places.get_mut(place) {
            Some(known) => *known = Place::default(),
            None => self.places.push(Place::default()),
        }
        if self.place_of.len() <= ticket.index() {
            self.place_of.resize(ticket.index() + 1, usize::MAX);
        }
        if let Some(known) = self.place_of.get_mut(ticket.index()) {
            *known = place;
        }
        place
    }

    fn news(&mut self, place: usize, cx: &Context<'_>) -> Option<News> {
        let place = self.places.get_mut(place)?;
        let news = place.news.take();
        if news.is_none() {
            place.waker = Some(cx.waker().clone());
        }
        news
    }
}
