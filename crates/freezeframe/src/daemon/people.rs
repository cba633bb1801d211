//! What people do to held processes: release, kill, extend, hand over to a debugger, write a core.

use freezeframe_api::{Act, ActOutcome, ControlError};
use freezeframe_lifecycle::Event;
use freezeframe_model::{HoldFacts, IncidentId, IncidentState, InstanceId, Loss, chain};
use freezeframe_runtime::{Held, ProcessId};
use freezeframe_shim::protocol::Command;
use tokio::sync::oneshot;

use super::actor::{Daemon, Message};
use super::writer::Job;

/// In place of a client that an earlier daemon knew, or that has ended.
const UNKNOWN_CLIENT: i32 = 0;
/// How often it is tried to take a process back from a debugger whose client has gone.
const RECLAIM_EVERY: std::time::Duration = std::time::Duration::from_millis(500);

type Answer = oneshot::Sender<Result<ActOutcome, ControlError>>;

/// Somebody waits for a shim's word.
pub(crate) enum Pending {
    Resumed(IncidentId, Answer),
    Killed(IncidentId, Answer),
    HandedOver {
        incident: IncidentId,
        client_pid: i32,
        answer: Answer,
    },
    Reclaimed(IncidentId, Option<Answer>),
    /// The lease's own core has nobody who waits.
    Core {
        id: IncidentId,
        path: std::path::PathBuf,
        /// The shim has written it; the store is taking it in.
        written: bool,
        answer: Option<Answer>,
    },
}

/// Why a shim's word will not come.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    LostConnection,
    Exit,
}

fn outcome(pid: Option<i32>, message: impl Into<String>) -> Result<ActOutcome, ControlError> {
    Ok(ActOutcome { pid, message: message.into() })
}

impl Daemon {
    pub(super) fn on_act(&mut self, who: &str, id: IncidentId, action: Act, answer: Answer) {
        let instance = match self.held_instance(id) {
            Ok(instance) => instance,
            Err(error) => return drop(answer.send(Err(error))),
        };
        self.audit(who, action.name(), id, &format!("instance {instance}"));
        match action {
            Act::Release => {
                self.wait_for(instance, Pending::Resumed(id, answer));
                self.feed(Event::Release { instance });
            }
            Act::Kill => {
                self.set_state(id, IncidentState::Killed);
                self.wait_for(instance, Pending::Killed(id, answer));
                self.feed(Event::Kill { instance });
            }
            Act::Extend { by_ms } => {
                self.feed(Event::Extend { instance, by_ms });
                let _ = answer.send(self.extended(id, instance));
            }
            Act::HandOver { client_pid } => {
                self.wait_for(instance, Pending::HandedOver { incident: id, client_pid, answer });
                self.tell(instance, Command::HandOver);
            }
            Act::Reclaim => {
                self.wait_for(instance, Pending::Reclaimed(id, Some(answer)));
                self.tell(instance, Command::Reclaim);
            }
            Act::WriteCore { filter } => self.write_core(instance, Some((id, answer)), filter),
        }
    }

    /// The instance of an incident that is held; the error says what became of it otherwise.
    pub(super) fn held_instance(&self, id: IncidentId) -> Result<InstanceId, ControlError> {
        if let Some(open) = self.open.get(&id) {
            return match open.incident.state {
                IncidentState::Held => Ok(open.incident.instance),
                IncidentState::Draining => {
                    Err(ControlError::Conflict(format!("{id} is still draining; it is held in a moment")))
                }
                state => Err(ControlError::Conflict(format!("{id} is not held any more: it is {state}"))),
            };
        }
        match self.store.incident(id) {
            Ok(Some(incident)) => {
                Err(ControlError::Conflict(format!("{id} is not held: it is {}", incident.state)))
            }
            Ok(None) => Err(ControlError::NotFound),
            Err(error) => Err(ControlError::Failed(chain(error))),
        }
    }

    fn wait_for(&mut self, instance: InstanceId, pending: Pending) {
        self.pending.entry(instance).or_default().push(pending);
    }

    fn take_pending(&mut self, instance: InstanceId, wanted: impl Fn(&Pending) -> bool) -> Option<Pending> {
        let waiting = self.pending.get_mut(&instance)?;
        let at = waiting.iter().position(wanted)?;
        Some(waiting.remove(at))
    }

    fn extended(&mut self, id: IncidentId, instance: InstanceId) -> Result<ActOutcome, ControlError> {
        let minutes = self.note_lease(id, instance) / 60_000;
        outcome(None, format!("the lease of {id} ends in {} h {} min", minutes / 60, minutes % 60))
    }

    pub(super) fn on_resumed(&mut self, instance: InstanceId, result: Result<(), String>) {
        let Some(Pending::Resumed(id, answer)) =
            self.take_pending(instance, |pending| matches!(pending, Pending::Resumed(..)))
        else {
            return;
        };
        let answered = match result {
            Ok(()) => {
                self.set_state(id, IncidentState::Released);
                outcome(None, format!("{id} runs on; it gets no new requests and is ended in good order"))
            }
            Err(why) => Err(ControlError::Failed(why)),
        };
        let _ = answer.send(answered);
    }

    pub(super) fn on_handed_over(&mut self, instance: InstanceId, result: Result<i32, String>) {
        let Some(Pending::HandedOver { incident, client_pid, answer }) =
            self.take_pending(instance, |pending| matches!(pending, Pending::HandedOver { .. }))
        else {
            return;
        };
        let answered = match result {
            Ok(pid) => {
                self.set_debugged_by(instance, Some(client_pid));
                self.watch_client(instance, client_pid);
                outcome(
                    Some(pid),
                    format!("{incident} is process {pid}, stopped and cut off; it is taken back afterwards"),
                )
            }
            Err(why) => Err(ControlError::Conflict(why)),
        };
        let _ = answer.send(answered);
    }

    /// A client that is killed must not leave the process thawed.
    fn watch_client(&self, instance: InstanceId, client_pid: i32) {
        let client = ProcessId::of(client_pid);
        let mailbox = self.mailbox.clone();
        tokio::spawn(async move {
            while client.is_some_and(ProcessId::is_alive) {
                tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            }
            mailbox.send(Message::ClientGone(instance, client_pid)).await;
        });
    }

    fn set_debugged_by(&mut self, instance: InstanceId, client_pid: Option<i32>) {
        if let Some(known) = self.instances.get_mut(&instance) {
            known.debugged_by = client_pid;
        }
    }

    /// Takes the process back, unless that has happened already: another client may have it by now.
    pub(super) fn on_client_gone(&mut self, instance: InstanceId, client_pid: i32) {
        let known = self.instances.get(&instance).filter(|known| known.debugged_by == Some(client_pid));
        let Some(id) = known.and_then(|known| known.incident) else { return };
        if self.open.get(&id).is_some_and(|open| open.incident.state == IncidentState::Held) {
            self.wait_for(instance, Pending::Reclaimed(id, None));
            self.tell(instance, Command::Reclaim);
        }
    }

    /// A process that an earlier daemon handed over, and that is not held as it should be.
    pub(super) fn reclaim_leftover(&mut self, instance: InstanceId, facts: &HoldFacts) {
        let unknown = self.instances.get(&instance).is_some_and(|known| known.debugged_by.is_none());
        if unknown && !Held::new(facts.clone()).is_held_firmly() {
            self.set_debugged_by(instance, Some(UNKNOWN_CLIENT));
            self.on_client_gone(instance, UNKNOWN_CLIENT);
        }
    }

    /// Its client has gone but its debugger has not: it is taken back as soon as that one leaves.
    fn reclaim_later(&mut self, instance: InstanceId, id: IncidentId, error: &ControlError) {
        let Some(known) = self.instances.get_mut(&instance) else { return };
        match known.debugged_by.replace(UNKNOWN_CLIENT) {
            Some(UNKNOWN_CLIENT) => tracing::debug!(incident = %id, %error, "not taken back yet"),
            _ => {
                tracing::warn!(incident = %id, %error, "it is taken back from its debugger as soon as that is possible")
            }
        }
        let mailbox = self.mailbox.clone();
        tokio::spawn(async move {
            tokio::time::sleep(RECLAIM_EVERY).await;
            mailbox.send(Message::ClientGone(instance, UNKNOWN_CLIENT)).await;
        });
    }

    pub(super) fn on_reclaimed(&mut self, instance: InstanceId, result: Result<bool, String>) {
        let Some(Pending::Reclaimed(id, answer)) =
            self.take_pending(instance, |pending| matches!(pending, Pending::Reclaimed(..)))
        else {
            return;
        };
        let answered = match result {
            Ok(false) => outcome(None, format!("{id} is held again, exactly as before")),
            Ok(true) => {
                self.audit("debugger", "moved", id, "the failing thread is not where it was");
                outcome(None, format!("{id} is held again; the debugger moved its failing thread"))
            }
            Err(why) => Err(ControlError::Failed(why)),
        };
        match (&answered, &answer) {
            (Ok(_), _) => self.set_debugged_by(instance, None),
            (Err(error), None) => self.reclaim_later(instance, id, error),
            // Its client ends with this error: then it is tried again.
            (Err(_), Some(_)) => {}
        }
        if let Some(answer) = answer {
            let _ = answer.send(answered);
        }
    }

    /// For a person, or for the end of the lease.
    pub(super) fn write_core(
        &mut self,
        instance: InstanceId,
        person: Option<(IncidentId, Answer)>,
        filter: Option<u32>,
    ) {
        let (id, answer) = match person {
            Some((id, answer)) => (Some(id), Some(answer)),
            None => (self.instances.get(&instance).and_then(|known| known.incident), None),
        };
        let Some(id) = id else { return };
        let Some(known) = self.instances.get(&instance) else { return };
        // Written beside the instance's other files, then moved into the store, which knows how much room there is.
        self.cores += 1;
        let path = known.directory.path().join(format!("core-{}.zst", self.cores));
        self.wait_for(instance, Pending::Core { id, path: path.clone(), written: false, answer });
        let memory_bytes_max = self.config.store.core_bytes_max;
        let filter = Some(filter.unwrap_or_else(|| self.config.store.core_filter()));
        self.tell(instance, Command::WriteCore { path, memory_bytes_max, filter });
    }

    pub(super) fn on_core_written(&mut self, instance: InstanceId, result: Result<(u64, u64), String>) {
        // Cores are written, and kept, in the order in which they were asked for.
        let oldest =
            self.pending.get_mut(&instance).into_iter().flatten().find_map(|pending| match pending {
                Pending::Core { id, path, written, .. } if !*written => {
                    *written = true;
                    Some((*id, path.clone()))
                }
                _ => None,
            });
        match (oldest, result) {
            (Some((id, path)), Ok(sizes)) => self.writer.submit(Job::KeepCore { instance, id, path, sizes }),
            (_, Err(error)) => self.on_core_kept(instance, Err(error)),
            (None, Ok(_)) => {}
        }
    }

    pub(super) fn on_core_kept(&mut self, instance: InstanceId, kept: Result<String, String>) {
        let Some(Pending::Core { id, answer, .. }) =
            self.take_pending(instance, |pending| matches!(pending, Pending::Core { written: true, .. }))
        else {
            return;
        };
        if let Err(error) = &kept {
            tracing::error!(incident = %id, error, "the core could not be kept");
        }
        match answer {
            Some(answer) => {
                let answered = match kept {
                    Ok(message) => outcome(None, message),
                    Err(error) => Err(ControlError::Failed(error)),
                };
                let _ = answer.send(answered);
            }
            None => {
                if let (Err(why), Some(open)) = (kept, self.open.get_mut(&id)) {
                    open.incident.not_captured.push(Loss { what: "core file".to_owned(), why });
                }
                self.core_done(instance, id);
            }
        }
    }

    /// The lease has ended, and the core is kept as far as there was room.
    fn core_done(&mut self, instance: InstanceId, id: IncidentId) {
        self.set_state(id, IncidentState::Expired);
        self.feed(Event::CoreDone { instance });
    }

    /// The shim's word will not come: whoever waits for it gets an answer.
    pub(super) fn answer_all_pending(&mut self, instance: InstanceId, after: After) {
        let why = match after {
            After::LostConnection => "the connection to the instance's shim was lost; try again",
            After::Exit => "the process has ended",
        };
        for pending in self.pending.remove(&instance).unwrap_or_default() {
            match pending {
                Pending::Killed(id, answer) if after == After::Exit => {
                    drop(answer.send(outcome(None, format!("{id} was ended"))))
                }
                Pending::Killed(_, answer)
                | Pending::Resumed(_, answer)
                | Pending::HandedOver { answer, .. }
                | Pending::Reclaimed(_, Some(answer))
                | Pending::Core { answer: Some(answer), .. } => {
                    drop(answer.send(Err(ControlError::Failed(why.to_owned()))))
                }
                Pending::Reclaimed(_, None) | Pending::Core { answer: None, .. } => {}
            }
        }
    }

    pub(super) fn audit(&self, who: &str, what: &str, incident: IncidentId, detail: &str) {
        let (who, what, detail) = (who.to_owned(), what.to_owned(), detail.to_owned());
        self.writer.submit(Job::Audit { who, what, incident: Some(incident), detail });
    }
}
