//! What follows by itself after every event: timers that have run out, routing, starts, traps, the end.

use freezeframe_model::{InstanceId, InstanceRole};

use crate::fleet::{Fleet, Phase};
use crate::member::Member;
use crate::restart::Starts;
use crate::{Action, Refusal};

/// Processes that were told to end and do not: with more than this (and twice the fleet), nothing new is started.
const LINGERING_MAX: u32 = 8;

/// A timer that has run out.
enum Due {
    NotReady,
    Proven,
    Stalled,
    Terminate,
    Kill,
    GiveUp,
    Freeze,
    LeaseEnd,
    CoreOverdue,
}

impl Fleet {
    pub(crate) fn settle(&mut self) {
        if self.phase == Phase::Done {
            return;
        }
        self.run_timers();
        self.route();
        self.settle_permanence();
        self.start();
        self.permit();
        self.finish();
    }

    fn run_timers(&mut self) {
        let ids: Vec<InstanceId> = self.members.keys().copied().collect();
        for instance in ids {
            while let Some(due) = self.members.get(&instance).and_then(|member| self.due(member)) {
                self.run_out(instance, due);
            }
        }
    }

    /// The first timer of an instance that has run out. Every one is cleared or set to later when it runs out.
    fn due(&self, member: &Member) -> Option<Due> {
        let is_due = |at: Option<u64>| at.is_some_and(|at| at <= self.now);
        let hold = member.hold.as_ref();
        let held = |at: fn(&crate::member::Hold) -> Option<u64>| is_due(hold.and_then(at));
        [
            (is_due(member.ready_by), Due::NotReady),
            (is_due(member.proven_at), Due::Proven),
            (is_due(member.stalled_by), Due::Stalled),
            (is_due(member.terminate_at), Due::Terminate),
            (is_due(member.kill_at), Due::Kill),
            (held(|hold| hold.replace_by), Due::GiveUp),
            (held(|hold| hold.freeze_at), Due::Freeze),
            (held(|hold| hold.lease_until), Due::LeaseEnd),
            (held(|hold| hold.core_by), Due::CoreOverdue),
        ]
        .into_iter()
        .find_map(|(is_due, due)| is_due.then_some(due))
    }

    fn run_out(&mut self, instance: InstanceId, due: Due) {
        match due {
            Due::NotReady => {
                let proven = self.members.get(&instance).is_some_and(|member| member.proven);
                self.kill(instance);
                self.exit_code = 1;
                self.retire();
                if !proven {
                    self.start_failed(&format!("was not ready after {} ms", self.limits.ready_ms));
                }
            }
            Due::Proven => {
                self.edit(instance, |member| {
                    member.proven_at = None;
                    member.proven = true;
                });
                if self.restarts.succeeded() {
                    self.out.push(Action::BreakerClosed);
                }
            }
            Due::Stalled => self.stall_timer(instance),
            Due::Terminate => self.terminate(instance),
            Due::Kill | Due::CoreOverdue => self.kill(instance),
            Due::GiveUp => self.give_up_or_keep(instance),
            Due::Freeze => self.freeze(instance),
            Due::LeaseEnd => self.lease_ended(instance),
        }
    }

    /// A spare that became ready in this very moment still counts as the replacement.
    fn give_up_or_keep(&mut self, instance: InstanceId) {
        self.route();
        self.settle_permanence();
        if self.members.get(&instance).is_some_and(Member::awaits_replacement) {
            self.give_up(instance);
        }
    }

    /// Spares take empty places. Where there are more instances than wanted, those that were let go on at an error go first.
    fn route(&mut self) {
        if self.is_ending() {
            return;
        }
        while self.serving() < self.places()
            && let Some(instance) = self.first(Member::is_ready_spare)
        {
            self.promote(instance);
        }
        while self.count(Member::is_running) > self.wanted()
            && let Some(fresh) = self.last(Member::is_ready_spare)
        {
            match self.first(|member| member.role == InstanceRole::Serving && member.suspect) {
                Some(suspect) => {
                    self.promote(fresh);
                    self.terminate(suspect);
                }
                None if self.count(Member::is_ready_spare) > self.limits.spares => self.terminate(fresh),
                None => break,
            }
        }
    }

    fn promote(&mut self, instance: InstanceId) {
        self.edit(instance, |member| member.role = InstanceRole::Serving);
        self.out.push(Action::Route { instance });
    }

    fn first(&self, which: impl Fn(&Member) -> bool) -> Option<InstanceId> {
        self.members.iter().find(|(_, member)| which(member)).map(|(&instance, _)| instance)
    }

    fn last(&self, which: impl Fn(&Member) -> bool) -> Option<InstanceId> {
        self.members.iter().rev().find(|(_, member)| which(member)).map(|(&instance, _)| instance)
    }

    fn start(&mut self) {
        let lingering = self.count(|member| member.role == InstanceRole::Stopping);
        let lingering_max = LINGERING_MAX.saturating_add(self.wanted().saturating_mul(2));
        for _ in 0..self.missing() {
            match self.restarts.starts(self.now) {
                _ if lingering >= lingering_max => return,
                Starts::NotBefore(_) => return,
                Starts::OneUnless(Some(probe))
                    if self.members.get(&probe).is_some_and(Member::is_running) =>
                {
                    return;
                }
                Starts::OneUnless(_) => {
                    if let Some(probe) = self.start_one() {
                        self.restarts.probing(probe, self.now, &self.limits);
                    }
                    return;
                }
                Starts::Any => {
                    if self.start_one().is_none() {
                        return;
                    }
                }
            }
        }
    }

    fn start_one(&mut self) -> Option<InstanceId> {
        let instance = self.next_id?;
        self.next_id = instance.0.checked_add(1).map(InstanceId);
        let mut member = Member::new(InstanceRole::Starting);
        member.ready_by = Some(self.now.saturating_add(self.limits.ready_ms));
        self.members.insert(instance, member);
        self.out.push(Action::Start { instance });
        Some(instance)
    }

    /// Traps are in where a hold would be granted. They come out at once, and back only after the pause that refusals cost.
    fn permit(&mut self) {
        let ids: Vec<InstanceId> = self.members.keys().copied().collect();
        for instance in ids {
            let mut why = self.refusal(instance);
            let Some(member) = self.members.get_mut(&instance) else { continue };
            // What is held stands still: its traps matter to nobody.
            if member.role == InstanceRole::Held {
                continue;
            }
            if why.is_none() && member.permitted != Some(true) && self.now < self.rearm_at {
                why = Some(Refusal::Rearming);
            }
            if member.permitted != Some(why.is_none()) {
                member.permitted = Some(why.is_none());
                self.out.push(Action::Permit { instance, permitted: why.is_none(), why });
            }
        }
    }

    fn finish(&mut self) {
        let living = self.count(|member| member.role != InstanceRole::Held);
        let over = match self.phase {
            Phase::Stopping => living == 0,
            Phase::Killing { until } => living == 0 || self.now >= until,
            Phase::Running => !self.limits.restart && self.wanted() == 0 && living == 0,
            Phase::Adopting | Phase::Done => false,
        };
        if over {
            self.phase = Phase::Done;
            let code = if living > 0 { 1 } else { self.exit_code };
            self.out.push(Action::Done { code });
        }
    }
}
