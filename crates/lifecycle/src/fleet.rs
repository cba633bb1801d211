//! The instances of one service, and what each event means for them.

use std::collections::BTreeMap;

use freezeframe_model::{ExitReason, Fingerprint, InstanceId, InstanceRole};

use crate::member::{Hold, Member};
use crate::restart::Restarts;
use crate::{Action, Event, Limits, Refusal};

/// How far the end of everything has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Instances are adopted; nothing is started yet.
    Adopting,
    Running,
    /// Asked to end.
    Stopping,
    /// Killed; given up waiting for them then.
    Killing {
        until: u64,
    },
    Done,
}

/// All instances of one service, and what is to be done about them.
#[derive(Debug)]
pub struct Fleet {
    pub(crate) limits: Limits,
    pub(crate) now: u64,
    pub(crate) phase: Phase,
    pub(crate) members: BTreeMap<InstanceId, Member>,
    /// `None` when the numbers are used up.
    pub(crate) next_id: Option<InstanceId>,
    pub(crate) restarts: Restarts,
    /// Instances that ended by themselves and are not started again.
    pub(crate) retired: u32,
    /// Refusals in a row, and when the last one was.
    pub(crate) refusals: u32,
    pub(crate) refused_at: u64,
    /// No trap comes back before this.
    pub(crate) rearm_at: u64,
    /// A hold was given up, and nothing has become ready since.
    pub(crate) replacement_failed: bool,
    pub(crate) exit_code: i32,
    pub(crate) out: Vec<Action>,
}

impl Fleet {
    /// An empty fleet. `first_free` is the first instance number that was never used; `seed` feeds the jitter.
    /// Tell it with [`Event::Adopted`] and [`Event::AdoptedHeld`] what is there already, then call [`Fleet::begin`].
    pub fn new(limits: Limits, first_free: InstanceId, seed: u64, now_ms: u64) -> Self {
        Self {
            limits: limits.sane(),
            now: now_ms.min(crate::limits::MS_MAX),
            phase: Phase::Adopting,
            members: BTreeMap::new(),
            next_id: Some(first_free),
            restarts: Restarts::new(seed),
            retired: 0,
            refusals: 0,
            refused_at: 0,
            rearm_at: 0,
            replacement_failed: false,
            exit_code: 0,
            out: Vec::new(),
        }
    }

    /// Ends the adoption: from now on what is missing is started.
    pub fn begin(&mut self, now_ms: u64) -> Vec<Action> {
        if self.phase == Phase::Adopting {
            self.phase = Phase::Running;
        }
        self.handle(now_ms, Event::Tick)
    }

    /// Takes an event and says what is to be done about it, in that order. Call it with [`Event::Tick`] at [`Fleet::next_wake`].
    pub fn handle(&mut self, now_ms: u64, event: Event) -> Vec<Action> {
        self.now = self.now.max(now_ms.min(crate::limits::MS_MAX));
        // After the end only one duty is left: nobody waits in a trap for an answer that never comes.
        if self.phase != Phase::Done || matches!(event, Event::Trapped { .. }) {
            self.apply(event);
            self.settle();
        }
        std::mem::take(&mut self.out)
    }

    /// When the next timer runs out; never in the past after a call of [`Fleet::handle`].
    pub fn next_wake(&self) -> Option<u64> {
        let killing = match self.phase {
            Phase::Killing { until } => Some(until),
            Phase::Done => return None,
            _ => None,
        };
        let members = self.members.values().filter_map(Member::next_wake);
        let start = self.restarts.next_wake(self.now).filter(|_| self.missing() > 0);
        let rearm = (self.rearm_at > self.now && self.phase == Phase::Running).then_some(self.rearm_at);
        members.chain(killing).chain(start).chain(rearm).min()
    }

    /// Every known instance and its role, by number.
    pub fn roles(&self) -> impl Iterator<Item = (InstanceId, InstanceRole)> {
        self.members.iter().map(|(&instance, member)| (instance, member.role))
    }

    /// The role of one instance.
    pub fn role(&self, instance: InstanceId) -> Option<InstanceRole> {
        self.members.get(&instance).map(|member| member.role)
    }

    /// When the lease of a held instance ends; `None` where it is not held or the lease has ended.
    pub fn lease_until(&self, instance: InstanceId) -> Option<u64> {
        self.members.get(&instance)?.hold.as_ref()?.lease_until
    }

    /// How many instances are in routing.
    pub fn serving(&self) -> u32 {
        self.count(|member| member.role == InstanceRole::Serving)
    }

    /// Whether a trap there would be answered with a hold, as last told by [`Action::Permit`].
    pub fn is_permitted(&self, instance: InstanceId) -> bool {
        self.members.get(&instance).is_some_and(|member| member.permitted == Some(true))
    }

    pub(crate) fn count(&self, which: impl Fn(&Member) -> bool) -> u32 {
        u32::try_from(self.members.values().filter(|member| which(member)).count()).unwrap_or(u32::MAX)
    }

    /// Instances that should run but do not.
    pub(crate) fn missing(&self) -> u32 {
        if self.phase != Phase::Running {
            return 0;
        }
        self.wanted().saturating_sub(self.count(Member::is_running))
    }

    pub(crate) fn wanted(&self) -> u32 {
        self.limits.instances.saturating_add(self.limits.spares).saturating_sub(self.retired)
    }

    /// Places in routing that are to be taken.
    pub(crate) fn places(&self) -> u32 {
        self.limits.instances.min(self.wanted())
    }

    /// Whether everything is being stopped or has been.
    pub(crate) fn is_ending(&self) -> bool {
        !matches!(self.phase, Phase::Adopting | Phase::Running)
    }

    fn apply(&mut self, event: Event) {
        match event {
            Event::Tick => {}
            Event::Adopted { instance, ready } => self.adopt(instance, ready),
            Event::AdoptedHeld { instance, fingerprint, resident_bytes, lease_until_ms, .. } => {
                self.adopt_held(instance, fingerprint, resident_bytes, lease_until_ms);
            }
            Event::Ready { instance } => self.ready(instance),
            Event::Exited { instance, reason } => self.exited(instance, &reason),
            Event::Trapped { instance, fingerprint, resident_bytes } => {
                self.trapped(instance, fingerprint, resident_bytes);
            }
            Event::DrainDone { instance } => self.freeze(instance),
            Event::Frozen { instance } => self.frozen(instance),
            Event::HoldFailed { instance } => self.hold_failed(instance),
            Event::Release { instance } => self.release(instance),
            Event::Kill { instance } => self.kill_held(instance),
            Event::Extend { instance, by_ms } => self.extend(instance, by_ms),
            Event::CoreDone { instance } => self.core_done(instance),
            Event::Stalled { instance } => self.stalled(instance),
            Event::Stop => self.stop(),
            Event::StopNow => self.stop_now(),
        }
    }

    fn adopt(&mut self, instance: InstanceId, ready: bool) {
        let Some(member) =
            self.admit(instance, if ready { InstanceRole::Spare } else { InstanceRole::Starting })
        else {
            return;
        };
        // It was started by an earlier run: its end says nothing about starts.
        member.proven = true;
        if !ready {
            let ready_by = self.now.saturating_add(self.limits.ready_ms);
            self.edit(instance, |member| member.ready_by = Some(ready_by));
        }
        if self.is_ending() {
            self.terminate(instance);
        }
    }

    fn adopt_held(
        &mut self,
        instance: InstanceId,
        fingerprint: Fingerprint,
        resident_bytes: u64,
        lease_until: u64,
    ) {
        let granted_ms = self.now;
        let before = self.role(instance);
        let member = match self.members.get_mut(&instance) {
            None => self.admit(instance, InstanceRole::Held),
            // It was taken for running until its shim was heard.
            Some(member) => Some(member).filter(|member| member.is_running()),
        };
        let Some(member) = member else { return };
        member.stop();
        member.role = InstanceRole::Held;
        // It was started by an earlier run: its end says nothing about starts.
        member.proven = true;
        member.hold = Some(Hold {
            fingerprint,
            resident_bytes,
            granted_ms,
            freeze_at: None,
            replace_by: None,
            lease_until: Some(lease_until),
            core_by: None,
        });
        if before == Some(InstanceRole::Serving) {
            self.out.push(Action::Unroute { instance });
        }
    }

    /// Takes a new number into the books; `None` where it is there already.
    fn admit(&mut self, instance: InstanceId, role: InstanceRole) -> Option<&mut Member> {
        if self.members.contains_key(&instance) {
            return None;
        }
        if self.next_id.is_some_and(|next| next <= instance) {
            self.next_id = instance.0.checked_add(1).map(InstanceId);
        }
        Some(self.members.entry(instance).or_insert(Member::new(role)))
    }

    /// Changes one member, if it is known.
    pub(crate) fn edit(&mut self, instance: InstanceId, change: impl FnOnce(&mut Member)) {
        if let Some(member) = self.members.get_mut(&instance) {
            change(member);
        }
    }

    fn ready(&mut self, instance: InstanceId) {
        let proven_at = self.now.saturating_add(self.limits.stable_ms);
        let Some(member) = self.members.get_mut(&instance) else { return };
        match member.role {
            InstanceRole::Starting => {
                member.role = InstanceRole::Spare;
                member.ready_by = None;
                member.proven_at = (!member.proven).then_some(proven_at);
                self.replacement_failed = false;
            }
            InstanceRole::Spare | InstanceRole::Serving => member.stalled_by = None,
            InstanceRole::Draining | InstanceRole::Held | InstanceRole::Stopping => {}
        }
    }

    fn exited(&mut self, instance: InstanceId, reason: &ExitReason) {
        let Some(member) = self.members.remove(&instance) else { return };
        if member.role == InstanceRole::Serving {
            self.out.push(Action::Unroute { instance });
        }
        let single = self.limits.instances == 1 && self.limits.spares == 0;
        if single || !self.limits.restart {
            self.exit_code = exit_code(reason, member.kill_at.is_some()).unwrap_or(self.exit_code);
        }
        if member.role == InstanceRole::Stopping {
            return;
        }
        if member.is_running() {
            self.retire();
        }
        if !member.proven && !self.is_ending() {
            self.start_failed(&format!("ended with {reason}"));
        }
    }

    /// Where nothing is started again, one instance less is wanted.
    pub(crate) fn retire(&mut self) {
        if !self.limits.restart {
            self.retired = self.retired.saturating_add(1);
        }
    }

    /// A start came to nothing, or not to much: counted against further starts.
    pub(crate) fn start_failed(&mut self, how: &str) {
        let Some(until_ms) = self.restarts.failed(self.now, &self.limits) else { return };
        let (failures, stable) = (self.restarts.failures(), words_ms(self.limits.stable_ms));
        let pause = words_ms(self.limits.breaker_open_ms);
        let message = format!(
            "{failures} starts in a row ended before they had been ready for {stable}; the last one {how}. \
             Look at its last log lines and at what changed; one more is tried in {pause}"
        );
        self.out.push(Action::BreakerOpened { message, until_ms });
    }

    fn stalled(&mut self, instance: InstanceId) {
        let by = self.now.saturating_add(self.limits.stop_ms);
        let ending = self.is_ending();
        let Some(member) = self.members.get_mut(&instance) else { return };
        if ending || !matches!(member.role, InstanceRole::Spare | InstanceRole::Serving) {
            return;
        }
        if member.stalled_by.is_none() {
            member.stalled_by = Some(by);
            member.stall_captured = false;
            self.out.push(Action::CaptureStall { instance });
        } else if member.stall_captured {
            self.replace_stalled(instance);
        }
    }

    /// Takes a stalled instance out, if the others suffice without it. Where everything stalls at once (a database is
    /// gone), replacing everything would only add a cold start to the outage: it keeps its place, and counts as stalled
    /// for as long as it is said to be.
    pub(crate) fn replace_stalled(&mut self, instance: InstanceId) {
        let others = self.members.iter().filter(|&(&other, _)| other != instance).map(|(_, member)| member);
        let others = others.filter(|other| other.is_ready_spare() || other.serves());
        let others = u32::try_from(others.count()).unwrap_or(u32::MAX);
        let Some(member) = self.members.get_mut(&instance) else { return };
        let suffice = member.role == InstanceRole::Spare || others >= self.limits.healthy_min.max(1);
        if !suffice {
            member.stall_captured = true;
            member.stalled_by = Some(self.now.saturating_add(self.limits.stop_ms));
            return;
        }
        if !member.proven {
            self.start_failed("stalled");
        }
        self.terminate(instance);
    }

    /// A stall that is not reported any more is over.
    pub(crate) fn stall_timer(&mut self, instance: InstanceId) {
        if self.members.get(&instance).is_some_and(|member| member.stall_captured) {
            self.edit(instance, |member| member.stalled_by = None);
        } else {
            self.replace_stalled(instance);
        }
    }

    /// Asks an instance to end; kills it if it does not.
    pub(crate) fn terminate(&mut self, instance: InstanceId) {
        self.end(instance, Action::Terminate { instance });
    }

    /// Kills an instance, again and again until it is gone.
    pub(crate) fn kill(&mut self, instance: InstanceId) {
        self.end(instance, Action::Kill { instance });
    }

    /// Out of routing first; killed (again) if it has not ended in time.
    fn end(&mut self, instance: InstanceId, how: Action) {
        let kill_at = self.now.saturating_add(self.limits.stop_ms);
        let Some(member) = self.members.get_mut(&instance) else { return };
        if member.role == InstanceRole::Serving {
            self.out.push(Action::Unroute { instance });
        }
        member.stop();
        member.kill_at = Some(kill_at);
        self.out.push(how);
    }

    fn ids(&self, which: impl Fn(&Member) -> bool) -> Vec<InstanceId> {
        self.members.iter().filter(|(_, member)| which(member)).map(|(&instance, _)| instance).collect()
    }

    fn stop(&mut self) {
        if self.is_ending() {
            return;
        }
        self.phase = Phase::Stopping;
        for instance in self.ids(Member::is_running) {
            self.terminate(instance);
        }
        if self.limits.stop_kills_held {
            self.ids(Member::is_held).into_iter().for_each(|instance| self.kill(instance));
            return;
        }
        // What is on its way to be held gets there now, or ends: it must not be left in between.
        let kill_at = self.now.saturating_add(self.limits.stop_ms);
        for instance in self.ids(|member| member.role == InstanceRole::Draining) {
            self.freeze(instance);
            self.edit(instance, |member| member.kill_at = Some(kill_at));
        }
    }

    fn stop_now(&mut self) {
        if self.phase == Phase::Done {
            return;
        }
        self.phase = Phase::Killing { until: self.now.saturating_add(self.limits.stop_ms) };
        let held = self.limits.stop_kills_held;
        for instance in self.ids(|member| member.role != InstanceRole::Held || held) {
            self.kill(instance);
        }
    }

    /// Why this instance would not be held now for an error that is not held yet; `None` where it would be.
    pub fn refusal(&self, instance: InstanceId) -> Option<Refusal> {
        self.decide(instance, None, 0).err()
    }
}

/// The code a shell would show for it; `None` for the signal that we sent ourselves.
fn exit_code(reason: &ExitReason, by_us: bool) -> Option<i32> {
    match reason {
        ExitReason::Code(code) => Some(*code),
        ExitReason::Signal(_) if by_us => None,
        ExitReason::Signal(signal) => Some(signal.saturating_add(128)),
        ExitReason::ShimDied | ExitReason::Spawn(_) => Some(1),
    }
}

fn words_ms(ms: u64) -> String {
    if ms >= 1000 && ms.is_multiple_of(1000) { format!("{} s", ms / 1000) } else { format!("{ms} ms") }
}
