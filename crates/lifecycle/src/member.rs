//! One instance as the state machine sees it.

use freezeframe_model::{Fingerprint, InstanceRole};

/// An instance and its timers. A timer is `None` where it does not run.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) role: InstanceRole,
    /// It must be ready by then.
    pub(crate) ready_by: Option<u64>,
    /// It will have been started well by then.
    pub(crate) proven_at: Option<u64>,
    /// Its end says nothing (more) about starts: it was ready for `stable_ms`, was adopted, or is counted already.
    pub(crate) proven: bool,
    /// It was let go on at an error: the first to be replaced when there are enough others.
    pub(crate) suspect: bool,
    /// It stalled: its stacks are captured and it is replaced by then, or it counts as recovered from then on.
    pub(crate) stalled_by: Option<u64>,
    /// The capture is over, and the instance could not be done without.
    pub(crate) stall_captured: bool,
    /// It is asked to end then.
    pub(crate) terminate_at: Option<u64>,
    /// It is killed then (and again).
    pub(crate) kill_at: Option<u64>,
    /// The shim's traps are in, as far as it was told.
    pub(crate) permitted: Option<bool>,
    pub(crate) hold: Option<Hold>,
}

/// What is held there.
#[derive(Debug)]
pub(crate) struct Hold {
    pub(crate) fingerprint: Fingerprint,
    pub(crate) resident_bytes: u64,
    /// Order of the holds.
    pub(crate) granted_ms: u64,
    /// The drain ends then.
    pub(crate) freeze_at: Option<u64>,
    /// Given up then, unless a replacement serves; `None` once it does.
    pub(crate) replace_by: Option<u64>,
    /// The lease ends then; `None` once it has.
    pub(crate) lease_until: Option<u64>,
    /// The core file is being written; killed by then anyway.
    pub(crate) core_by: Option<u64>,
}

impl Member {
    pub(crate) fn new(role: InstanceRole) -> Self {
        Self {
            role,
            ready_by: None,
            proven_at: None,
            proven: false,
            suspect: false,
            stalled_by: None,
            stall_captured: false,
            terminate_at: None,
            kill_at: None,
            permitted: None,
            hold: None,
        }
    }

    /// Counts towards `instances` and `spares`.
    pub(crate) fn is_running(&self) -> bool {
        matches!(self.role, InstanceRole::Starting | InstanceRole::Spare | InstanceRole::Serving)
    }

    /// Can be routed at once.
    pub(crate) fn is_ready_spare(&self) -> bool {
        self.role == InstanceRole::Spare && self.stalled_by.is_none()
    }

    /// In routing, and not stalled.
    pub(crate) fn serves(&self) -> bool {
        self.role == InstanceRole::Serving && self.stalled_by.is_none()
    }

    /// Draining or held, not yet told to end.
    pub(crate) fn is_held(&self) -> bool {
        matches!(self.role, InstanceRole::Draining | InstanceRole::Held)
    }

    /// The hold may still be given up for want of a replacement.
    pub(crate) fn awaits_replacement(&self) -> bool {
        self.is_held() && self.hold.as_ref().is_some_and(|hold| hold.replace_by.is_some())
    }

    /// Forgets everything that belongs to a running instance; it only remains to end.
    pub(crate) fn stop(&mut self) {
        self.role = InstanceRole::Stopping;
        self.ready_by = None;
        self.proven_at = None;
        self.stalled_by = None;
        self.terminate_at = None;
        if let Some(hold) = &mut self.hold {
            hold.freeze_at = None;
            hold.replace_by = None;
            hold.lease_until = None;
            hold.core_by = None;
        }
    }

    /// The first moment at which something is due here.
    pub(crate) fn next_wake(&self) -> Option<u64> {
        let own = [self.ready_by, self.proven_at, self.stalled_by, self.terminate_at, self.kill_at];
        let held = self
            .hold
            .iter()
            .flat_map(|hold| [hold.freeze_at, hold.replace_by, hold.lease_until, hold.core_by]);
        own.into_iter().chain(held).flatten().min()
    }
}
