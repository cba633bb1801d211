//! What the state machine is told of a request, and what it answers.

/// Index of a route in [`Config::routes`](crate::Config::routes). An index beyond the last means the first route.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteId(pub u16);

/// Index of a tier in [`Config::tiers`](crate::Config::tiers); 0 is shed last. An index beyond the last means the last tier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TierId(pub u8);

/// An instance, as the caller numbers it; never used again for another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceId(pub u64);

/// A request that was not refused at once. One that has ended is known to nobody: events for it are harmless.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

impl Ticket {
    /// A small number that no other live ticket has, for tables beside this one.
    pub fn index(self) -> usize {
        self.index as usize
    }
}

/// A request at the door.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request {
    /// Where it goes.
    pub route: RouteId,
    /// Its tier, if it is not that of its route.
    pub tier: Option<TierId>,
    /// Who sends it: a hash of the session. The same user shares the same fate; without one, fate is chance.
    pub user: Option<u64>,
    /// When its client stops waiting, in microseconds on the caller's clock. The route's own deadline holds as well.
    pub deadline_us: Option<u64>,
}

/// What becomes of a request that arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It goes to this instance now.
    Forward {
        /// Its name from now on.
        ticket: Ticket,
        /// Where to.
        instance: InstanceId,
        /// When it must have been answered; the instance should be told how much of it is left.
        deadline_us: u64,
    },
    /// It waits; an [`Output`] will tell.
    Queued {
        /// Its name from now on.
        ticket: Ticket,
    },
    /// It is refused.
    Shed(Shed),
}

/// What becomes of a request later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// It goes to this instance now.
    Forward {
        /// Which.
        ticket: Ticket,
        /// Where to.
        instance: InstanceId,
        /// When it must have been answered.
        deadline_us: u64,
    },
    /// It waited in vain. The ticket has ended.
    Shed {
        /// Which.
        ticket: Ticket,
        /// Why.
        shed: Shed,
    },
    /// It is still being processed at its deadline: its client is to be answered 503 now. It keeps its slot until
    /// [`Admission::finished`](crate::Admission::finished), at most as long again as its route's deadline.
    Late {
        /// Which.
        ticket: Ticket,
    },
}

impl Output {
    /// Which request it is about.
    pub fn ticket(&self) -> Ticket {
        match *self {
            Self::Forward { ticket, .. } | Self::Shed { ticket, .. } | Self::Late { ticket } => ticket,
        }
    }
}

/// A refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shed {
    /// Which bound was reached.
    pub reason: Reason,
    /// When to try again, jittered so that those refused together do not come back together; in microseconds.
    pub retry_after_us: u64,
}

impl Shed {
    /// For `Retry-After`: whole seconds, at least one.
    pub fn retry_after_s(self) -> u32 {
        u32::try_from(self.retry_after_us.div_ceil(1_000_000).max(1)).unwrap_or(u32::MAX)
    }
}

/// Which bound a refused request ran into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// `queue_max` others wait, and none of them has less claim.
    QueueFull,
    /// As many of its route wait as may, and none of them has less claim.
    RouteQueueFull,
    /// It waited, the queue was full, and another with more claim arrived.
    Displaced,
    /// Its users' cohort is being shed at the moment.
    Cohort,
    /// It waited too long: it could not be answered in time any more, or the queue stands and younger ones go first.
    WaitedTooLong,
    /// Every instance fails this route.
    Broken,
}

impl Reason {
    /// The HTTP status to answer: 429 where the client should come back, 503 where the service failed it.
    pub fn status(self) -> u16 {
        match self {
            Self::QueueFull | Self::RouteQueueFull | Self::Displaced | Self::Cohort => 429,
            Self::WaitedTooLong | Self::Broken => 503,
        }
    }

    /// In a few words, for logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::QueueFull => "queue full",
            Self::RouteQueueFull => "queue of its route full",
            Self::Displaced => "displaced",
            Self::Cohort => "cohort",
            Self::WaitedTooLong => "waited too long",
            Self::Broken => "breaker open",
        }
    }
}

/// How the processing of a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was answered; also where the answer is that the client is wrong.
    Answered,
    /// The instance failed it: a 5xx, a broken connection.
    Failed,
    /// The instance said that it has too much to do, or did not even take the connection.
    Refused,
    /// The caller broke it off, for reasons that say nothing about the instance.
    Abandoned,
}
