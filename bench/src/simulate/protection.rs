//! What stands between the clients and the server: nothing, a plain bounded queue, or admission.

use std::collections::VecDeque;

use freezeframe_admission::{
    Admission, Answer, Config, InstanceId, Outcome, Output, Request, RouteId, Ticket, TierId,
};

/// What is to be done about a request.
pub(crate) enum Action {
    /// It goes to the server.
    Start(u32),
    /// Its client is answered.
    Answer(u32, u16),
}

/// Decides about requests, which it knows by number.
pub(crate) trait Protection {
    fn arrive(&mut self, now_us: u64, job: u32, what: (u16, u8, u64), actions: &mut Vec<Action>);
    fn done(&mut self, now_us: u64, job: u32, actions: &mut Vec<Action>);
    fn tick(&mut self, _now_us: u64, _actions: &mut Vec<Action>) {}
    fn next_tick_us(&self) -> Option<u64> {
        None
    }
}

/// Everything goes to the server at once.
pub(crate) struct Nothing;

impl Protection for Nothing {
    fn arrive(&mut self, _: u64, job: u32, _: (u16, u8, u64), actions: &mut Vec<Action>) {
        actions.push(Action::Start(job));
    }

    fn done(&mut self, _: u64, _: u32, _: &mut Vec<Action>) {}
}

/// So many at the server, so many in a queue, 429 to the others; no deadlines.
pub(crate) struct BoundedFifo {
    in_flight_max: u32,
    queue_max: usize,
    in_flight: u32,
    queue: VecDeque<u32>,
}

impl BoundedFifo {
    pub(crate) fn new(in_flight_max: u32, queue_max: u32) -> Self {
        Self { in_flight_max, queue_max: queue_max as usize, in_flight: 0, queue: VecDeque::new() }
    }
}

impl Protection for BoundedFifo {
    fn arrive(&mut self, _: u64, job: u32, _: (u16, u8, u64), actions: &mut Vec<Action>) {
        if self.in_flight < self.in_flight_max {
            self.in_flight += 1;
            actions.push(Action::Start(job));
        } else if self.queue.len() < self.queue_max {
            self.queue.push_back(job);
        } else {
            actions.push(Action::Answer(job, 429));
        }
    }

    fn done(&mut self, _: u64, _: u32, actions: &mut Vec<Action>) {
        match self.queue.pop_front() {
            Some(next) => actions.push(Action::Start(next)),
            None => self.in_flight -= 1,
        }
    }
}

/// The admission crate, as the gate uses it. The server goes on with what is late, and keeps the slot for so long.
pub(crate) struct Admitted {
    admission: Admission,
    tickets: Vec<Option<Ticket>>,
    /// By index of the ticket.
    jobs: Vec<u32>,
    /// Most that were in flight.
    pub(crate) in_flight_max: u32,
}

impl Admitted {
    pub(crate) fn new(
        config: Config,
        in_flight_max: u32,
    ) -> Result<Self, freezeframe_admission::ConfigError> {
        let mut admission = Admission::new(config)?;
        admission.instance_up(0, InstanceId(1), in_flight_max);
        Ok(Self { admission, tickets: Vec::new(), jobs: Vec::new(), in_flight_max: 0 })
    }

    fn remember(&mut self, job: u32, ticket: Ticket) {
        let (job_at, ticket_at) = (job as usize, ticket.index());
        self.tickets.resize(self.tickets.len().max(job_at + 1), None);
        self.jobs.resize(self.jobs.len().max(ticket_at + 1), 0);
        self.tickets[job_at] = Some(ticket);
        self.jobs[ticket_at] = job;
    }

    fn pass_on(&mut self, actions: &mut Vec<Action>) {
        let jobs = &self.jobs;
        actions.extend(self.admission.outputs().map(|output| match output {
            Output::Forward { ticket, .. } => Action::Start(jobs[ticket.index()]),
            Output::Shed { ticket, shed } => Action::Answer(jobs[ticket.index()], shed.reason.status()),
            Output::Late { ticket } => Action::Answer(jobs[ticket.index()], 503),
        }));
        self.in_flight_max = self.in_flight_max.max(self.admission.in_flight());
    }
}

impl Protection for Admitted {
    fn arrive(&mut self, now_us: u64, job: u32, what: (u16, u8, u64), actions: &mut Vec<Action>) {
        let (route, tier, user) = what;
        let tier = Some(TierId(tier));
        let request = Request { route: RouteId(route), tier, user: Some(user), deadline_us: None };
        let answer = self.admission.arrive(now_us, &request);
        self.pass_on(actions);
        match answer {
            Answer::Forward { ticket, .. } => {
                self.remember(job, ticket);
                actions.push(Action::Start(job));
            }
            Answer::Queued { ticket } => self.remember(job, ticket),
            Answer::Shed(shed) => actions.push(Action::Answer(job, shed.reason.status())),
        }
    }

    fn done(&mut self, now_us: u64, job: u32, actions: &mut Vec<Action>) {
        if let Some(ticket) = self.tickets.get(job as usize).copied().flatten() {
            self.admission.finished(now_us, ticket, Outcome::Answered);
        }
        self.pass_on(actions);
    }

    fn tick(&mut self, now_us: u64, actions: &mut Vec<Action>) {
        self.admission.tick(now_us);
        self.pass_on(actions);
    }

    fn next_tick_us(&self) -> Option<u64> {
        self.admission.next_tick_us()
    }
}
