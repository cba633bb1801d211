//! What the state machine is told, and what it answers.

use std::fmt;

use freezeframe_model::{ExitReason, Fingerprint, IncidentId, InstanceId};

/// Something that happened. Events for unknown instances, twice or in the wrong order are harmless.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Time has passed.
    Tick,
    /// Found running after a restart of the daemon.
    Adopted {
        /// Which.
        instance: InstanceId,
        /// Whether it answers.
        ready: bool,
    },
    /// Found held after a restart of the daemon, perhaps only when its shim was heard: it may have been adopted as running before.
    AdoptedHeld {
        /// Which.
        instance: InstanceId,
        /// The incident it is held for.
        incident: IncidentId,
        /// The error it is held for.
        fingerprint: Fingerprint,
        /// Its resident memory.
        resident_bytes: u64,
        /// When its lease ends, on the scale of `now_ms`; in the past where it has ended.
        lease_until_ms: u64,
    },
    /// It answers.
    Ready {
        /// Which.
        instance: InstanceId,
    },
    /// Its process has ended, in whatever role.
    Exited {
        /// Which.
        instance: InstanceId,
        /// How.
        reason: ExitReason,
    },
    /// All its threads stand still at an error and wait for an answer.
    Trapped {
        /// Which.
        instance: InstanceId,
        /// Which error.
        fingerprint: Fingerprint,
        /// What holding it would cost in memory.
        resident_bytes: u64,
    },
    /// Nothing is in flight there any more but the failing request.
    DrainDone {
        /// Which.
        instance: InstanceId,
    },
    /// It is held firmly.
    Frozen {
        /// Which.
        instance: InstanceId,
    },
    /// It got away: it died or ran on before it was held firmly.
    HoldFailed {
        /// Which.
        instance: InstanceId,
    },
    /// A person lets it go on.
    Release {
        /// Which.
        instance: InstanceId,
    },
    /// A person ends it.
    Kill {
        /// Which.
        instance: InstanceId,
    },
    /// A person wants to look longer.
    Extend {
        /// Which.
        instance: InstanceId,
        /// How much longer, in ms.
        by_ms: u64,
    },
    /// The core file is written, or could not be.
    CoreDone {
        /// Which.
        instance: InstanceId,
    },
    /// It answers no health checks or makes no progress.
    Stalled {
        /// Which.
        instance: InstanceId,
    },
    /// End everything in an orderly way.
    Stop,
    /// End everything at once.
    StopNow,
}

/// Something to be done, in the order given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Start a new instance under this number.
    Start {
        /// Its number.
        instance: InstanceId,
    },
    /// Send it requests.
    Route {
        /// Which.
        instance: InstanceId,
    },
    /// Send it no more requests.
    Unroute {
        /// Which.
        instance: InstanceId,
    },
    /// Whether a trap there would be answered with a hold. Where not, traps are taken out: they could only cost.
    Permit {
        /// Which.
        instance: InstanceId,
        /// Armed or not.
        permitted: bool,
        /// Why not.
        why: Option<Refusal>,
    },
    /// The answer to [`Event::Trapped`]: hold it.
    Confirm {
        /// Which.
        instance: InstanceId,
        /// For which error.
        fingerprint: Fingerprint,
        /// How long its other threads may run on, in ms.
        drain_ms: u64,
    },
    /// The answer to [`Event::Trapped`]: step over the trap and go on as without us, disarmed for a while.
    Refuse {
        /// Which.
        instance: InstanceId,
        /// For how long its traps stay out, in ms.
        rearm_ms: u64,
        /// Why.
        why: Refusal,
    },
    /// This error occurred once more and was only counted.
    Count {
        /// Which error.
        fingerprint: Fingerprint,
    },
    /// The drain is over: hold it firmly.
    Freeze {
        /// Which.
        instance: InstanceId,
    },
    /// A replacement serves: the hold will not be given up any more.
    Permanent {
        /// Which.
        instance: InstanceId,
    },
    /// Thaw it and let it go on.
    Resume {
        /// Which.
        instance: InstanceId,
        /// Why.
        why: ResumeWhy,
    },
    /// Stop it for as long as it takes to capture all stacks, then report [`Event::Trapped`].
    CaptureStall {
        /// Which.
        instance: InstanceId,
    },
    /// Its lease has ended: write a core file, then report [`Event::CoreDone`].
    WriteCore {
        /// Which.
        instance: InstanceId,
    },
    /// Kill it.
    Kill {
        /// Which.
        instance: InstanceId,
    },
    /// Ask it to end (SIGTERM). [`Action::Kill`] follows if it does not.
    Terminate {
        /// Which.
        instance: InstanceId,
    },
    /// Instances die as fast as they are started: nothing is started for a while.
    BreakerOpened {
        /// What happened last and where to look.
        message: String,
        /// When one more is tried.
        until_ms: u64,
    },
    /// An instance was started well again.
    BreakerClosed,
    /// Everything has ended; nothing follows.
    Done {
        /// Exit code for the whole.
        code: i32,
    },
}

/// Why a held process goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ResumeWhy {
    /// A person released it. It is asked to end soon: its state is suspect.
    Released,
    /// No replacement came in time: the service needs it more than we do.
    GivenUp,
}

/// Why an error is not held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// The same error is held already.
    SameError,
    /// `held_max` processes are held.
    HeldMax,
    /// It would hold more memory than `held_bytes_max`.
    HeldBytesMax,
    /// Fewer than `healthy_min` instances would be left.
    HealthyMin,
    /// No spare, and with one instance less there are never `healthy_min`: this service cannot hold at all.
    NeverEnough,
    /// No spare is ready, and none can be started while instances die as fast as they are started.
    NoReplacement,
    /// Errors were refused a moment ago; traps come back after a pause.
    Rearming,
    /// It is held, ending or unknown already.
    NotRunning,
    /// Everything is being stopped.
    Stopping,
}

impl fmt::Display for ResumeWhy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Released => "released by a person",
            Self::GivenUp => "no replacement was ready in time, so it serves again",
        })
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SameError => "the same error is held already",
            Self::HeldMax => "as many processes are held as allowed (held_max)",
            Self::HeldBytesMax => "held processes would take more memory than allowed (held_bytes_max)",
            Self::HealthyMin => "too few instances would be left in routing (healthy_min)",
            Self::NeverEnough => {
                "without a spare, too few instances would ever be left (healthy_min): add an instance or a spare"
            }
            Self::NoReplacement => "no spare is ready and none can be started at the moment",
            Self::Rearming => "errors were refused a moment ago; traps return after a pause",
            Self::NotRunning => "the instance is held or ending already",
            Self::Stopping => "everything is being stopped",
        })
    }
}
