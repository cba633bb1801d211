//! Whether an error may be held, and the life of a hold from its grant to its end.

use freezeframe_model::{Fingerprint, InstanceId, InstanceRole};

use crate::fleet::{Fleet, Phase};
use crate::member::{Hold, Member};
use crate::{Action, Refusal, ResumeWhy};

/// A core file that is not written by then never will be, in ms.
const CORE_MS: u64 = 10 * 60_000;

impl Fleet {
    /// Whether this instance may be held for this error; for any error where none is given.
    pub(crate) fn decide(
        &self,
        instance: InstanceId,
        fingerprint: Option<Fingerprint>,
        resident_bytes: u64,
    ) -> Result<(), Refusal> {
        if self.is_ending() {
            return Err(Refusal::Stopping);
        }
        let member =
            self.members.get(&instance).filter(|member| member.is_running()).ok_or(Refusal::NotRunning)?;
        let holds = || self.members.values().filter_map(|member| member.hold.as_ref());
        if fingerprint.is_some_and(|error| holds().any(|hold| hold.fingerprint == error)) {
            return Err(Refusal::SameError);
        }
        if u32::try_from(holds().count()).unwrap_or(u32::MAX) >= self.limits.held_max {
            return Err(Refusal::HeldMax);
        }
        let held_bytes = holds().fold(resident_bytes, |sum, hold| sum.saturating_add(hold.resident_bytes));
        if held_bytes > self.limits.held_bytes_max {
            return Err(Refusal::HeldBytesMax);
        }
        self.enough_without(instance, member)
    }

    /// Whether the service can do without this instance, from this moment on.
    fn enough_without(&self, instance: InstanceId, member: &Member) -> Result<(), Refusal> {
        let limits = &self.limits;
        let is_serving = member.role == InstanceRole::Serving;
        let others =
            || self.members.iter().filter(|&(&other, _)| other != instance).map(|(_, member)| member);
        // An instance that has stalled serves nobody.
        let left = others().filter(|other| other.serves());
        let left = u32::try_from(left.count()).unwrap_or(u32::MAX);
        let spares = others().filter(|other| other.is_ready_spare());
        let spares = u32::try_from(spares.count()).unwrap_or(u32::MAX);
        let places = self.places().saturating_sub(self.serving() - u32::from(is_serving));
        let promoted = spares.min(places);
        if left.saturating_add(promoted) < limits.healthy_min {
            let ever = limits.spares > 0 || limits.instances > limits.healthy_min;
            return Err(if ever { Refusal::HealthyMin } else { Refusal::NeverEnough });
        }
        let none_comes = self.replacement_failed || self.restarts.is_open() || self.next_id.is_none();
        if is_serving && promoted == 0 && none_comes {
            return Err(Refusal::NoReplacement);
        }
        Ok(())
    }

    /// Somebody stands in a trap and is answered here, once, whatever the circumstances.
    pub(crate) fn trapped(&mut self, instance: InstanceId, fingerprint: Fingerprint, resident_bytes: u64) {
        match self.decide(instance, Some(fingerprint), resident_bytes) {
            Ok(()) => self.grant(instance, fingerprint, resident_bytes),
            Err(why) => {
                let rearm_ms = self.refused();
                self.out.push(Action::Refuse { instance, rearm_ms, why });
                self.out.push(Action::Count { fingerprint });
                if self.members.get(&instance).is_some_and(|member| member.stalled_by.is_some()) {
                    self.replace_stalled(instance);
                }
            }
        }
    }

    fn grant(&mut self, instance: InstanceId, fingerprint: Fingerprint, resident_bytes: u64) {
        let (now, drain_ms) = (self.now, self.limits.drain_ms);
        let hold = Hold {
            fingerprint,
            resident_bytes,
            granted_ms: now,
            freeze_at: Some(now.saturating_add(drain_ms)),
            replace_by: None,
            lease_until: Some(now.saturating_add(self.limits.lease_ms)),
            core_by: None,
        };
        let replace_by = now.saturating_add(self.limits.replace_ms);
        let Some(member) = self.members.get_mut(&instance) else { return };
        let before = member.role;
        member.stop();
        member.role = InstanceRole::Draining;
        let was_serving = before == InstanceRole::Serving;
        // Nobody misses what was not in routing.
        member.hold = Some(Hold { replace_by: was_serving.then_some(replace_by), ..hold });
        self.refusals = 0;
        self.out.push(Action::Confirm { instance, fingerprint, drain_ms });
        if was_serving {
            self.out.push(Action::Unroute { instance });
        } else {
            self.out.push(Action::Permanent { instance });
        }
        if before == InstanceRole::Starting {
            self.edit(instance, |member| member.proven = true);
            self.start_failed("broke before it was ready, and is held");
        }
    }

    /// Counts a refusal; for how long traps stay out.
    pub(crate) fn refused(&mut self) -> u64 {
        let quiet = self.limits.rearm_max_ms.saturating_mul(2);
        if self.now.saturating_sub(self.refused_at) >= quiet {
            self.refusals = 0;
        }
        let rearm_ms =
            self.limits.rearm_min_ms.saturating_mul(1 << self.refusals.min(63)).min(self.limits.rearm_max_ms);
        self.refusals = self.refusals.saturating_add(1);
        self.refused_at = self.now;
        self.rearm_at = self.rearm_at.max(self.now.saturating_add(rearm_ms));
        rearm_ms
    }

    /// Ends the drain.
    pub(crate) fn freeze(&mut self, instance: InstanceId) {
        let Some(member) =
            self.members.get_mut(&instance).filter(|member| member.role == InstanceRole::Draining)
        else {
            return;
        };
        if member.hold.as_mut().and_then(|hold| hold.freeze_at.take()).is_some() {
            self.out.push(Action::Freeze { instance });
        }
    }

    pub(crate) fn frozen(&mut self, instance: InstanceId) {
        self.edit(instance, |member| {
            if member.role == InstanceRole::Draining {
                member.role = InstanceRole::Held;
                member.kill_at = None;
                if let Some(hold) = &mut member.hold {
                    hold.freeze_at = None;
                }
            }
        });
    }

    /// It was not held in the end. If it still runs, it serves where it is needed and ends where it is not.
    pub(crate) fn hold_failed(&mut self, instance: InstanceId) {
        let Some(member) = self.members.get_mut(&instance).filter(|member| member.is_held()) else { return };
        let needed = member.awaits_replacement() && self.phase == Phase::Running;
        let proven = member.proven;
        member.hold = None;
        if needed {
            self.serve_again(instance);
            return;
        }
        if !proven && !self.is_ending() {
            self.start_failed("got away while it was to be held");
        }
        self.terminate(instance);
    }

    /// Puts an instance back into routing that stood at an error.
    fn serve_again(&mut self, instance: InstanceId) {
        let proven_at = self.now.saturating_add(self.limits.stable_ms);
        self.edit(instance, |member| {
            member.role = InstanceRole::Serving;
            member.suspect = true;
            member.kill_at = None;
            member.proven_at = (!member.proven).then_some(proven_at);
        });
        self.out.push(Action::Route { instance });
    }

    /// No replacement came: the service needs it more than we do.
    pub(crate) fn give_up(&mut self, instance: InstanceId) {
        self.edit(instance, |member| member.hold = None);
        // Until something becomes ready there is no point in trying again.
        self.replacement_failed = true;
        self.out.push(Action::Resume { instance, why: ResumeWhy::GivenUp });
        self.refused();
        self.serve_again(instance);
    }

    /// As many of the oldest holds become permanent as others serve in their place; all of them where nothing serves any more.
    pub(crate) fn settle_permanence(&mut self) {
        let mut waiting: Vec<(u64, InstanceId)> = Vec::new();
        for (&instance, member) in self.members.iter().filter(|(_, member)| member.awaits_replacement()) {
            waiting.push((member.hold.as_ref().map_or(0, |hold| hold.granted_ms), instance));
        }
        waiting.sort_unstable();
        let lacking = match self.is_ending() {
            true => 0,
            false => self.places().saturating_sub(self.serving()),
        };
        let replaced = waiting.len().saturating_sub(usize::try_from(lacking).unwrap_or(usize::MAX));
        for (_, instance) in waiting.into_iter().take(replaced) {
            self.edit(instance, |member| {
                if let Some(hold) = &mut member.hold {
                    hold.replace_by = None;
                }
            });
            self.out.push(Action::Permanent { instance });
        }
    }

    pub(crate) fn release(&mut self, instance: InstanceId) {
        let terminate_at = self.now.saturating_add(self.limits.drain_ms.max(1));
        let Some(member) = self.members.get_mut(&instance).filter(|member| member.is_held()) else { return };
        member.stop();
        member.hold = None;
        member.kill_at = None;
        // It gets the time of a drain to finish what it was doing, then it is asked to end.
        member.terminate_at = Some(terminate_at);
        self.out.push(Action::Resume { instance, why: ResumeWhy::Released });
    }

    pub(crate) fn kill_held(&mut self, instance: InstanceId) {
        if self.members.get(&instance).is_some_and(Member::is_held) {
            self.kill(instance);
        }
    }

    pub(crate) fn extend(&mut self, instance: InstanceId, by_ms: u64) {
        let (now, latest) = (self.now, self.now.saturating_add(self.limits.lease_max_ms));
        self.edit(instance, |member| {
            if let Some(until) = member.hold.as_mut().and_then(|hold| hold.lease_until.as_mut()) {
                *until = (*until).max((*until).max(now).saturating_add(by_ms).min(latest));
            }
        });
    }

    /// The lease has ended: what can be kept is kept, then the process goes.
    pub(crate) fn lease_ended(&mut self, instance: InstanceId) {
        let core_by = self.now.saturating_add(CORE_MS);
        let Some(member) = self.members.get_mut(&instance).filter(|member| member.is_held()) else { return };
        if let Some(hold) = &mut member.hold {
            hold.lease_until = None;
            hold.replace_by = None;
            hold.core_by = Some(core_by);
        }
        self.out.push(Action::WriteCore { instance });
    }

    pub(crate) fn core_done(&mut self, instance: InstanceId) {
        let writing = |member: &Member| {
            member.is_held() && member.hold.as_ref().is_some_and(|hold| hold.core_by.is_some())
        };
        if self.members.get(&instance).is_some_and(writing) {
            self.kill(instance);
        }
    }
}
