//! The actor: one task that owns all supervision state and takes messages one after the other. No locks, no races: what
//! two instances report at the same moment is decided in some order.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use freezeframe_api::{Act, ActOutcome, ControlError};
use freezeframe_gate::Gate;
use freezeframe_lifecycle::{Event, Fleet};
use freezeframe_model::{
    Answer, Exchange, ExitReason, Fingerprint, Incident, IncidentId, InstanceId, InstanceRole, InstanceView,
    LogLine, Question, Timestamp,
};
use freezeframe_shim::files::Directory;
use freezeframe_shim::protocol::{Phase, Report, Trapped};
use tokio::sync::{mpsc, oneshot};

use super::inspect::{Questions, Unanswered};
use super::observed::Recent;
use super::output::PassThrough;
use super::people::{After, Pending};
use super::pulse::Standing;
use super::shims::{self, Connect, Shim, Unheard};
use super::writer::{Job, Writer};
use crate::config::Config;

/// Messages that wait for the actor.
pub(crate) const MESSAGES_MAX: usize = 16 * 1024;

/// Different errors that are counted at a time.
const COUNTS_MAX: usize = 1024;

/// What reaches the actor.
pub(crate) enum Message {
    /// A shim has something to say.
    Shim(InstanceId, Box<Report>),
    /// A shim's connection ended; with the commands for it, where it was never heard.
    ShimGone(InstanceId, Option<Unheard>),
    /// The instance answers.
    Ready(InstanceId),
    /// The instance does not answer any more, or nothing moves in it.
    Stalled(InstanceId),
    /// The gate has nothing in flight there but what failed.
    Drained(InstanceId),
    /// A request ended badly.
    Observed(Box<Exchange>),
    /// An incident is durable.
    Stored { incident: Box<Incident>, with_capture: bool },
    /// An incident is durable, and so is what people are told of it.
    Told(IncidentId),
    /// The next incident's number, reserved; `None` where the store could not.
    NextId(Option<IncidentId>),
    /// A core is in the store, or could not be kept.
    CoreKept(InstanceId, Result<String, String>),
    /// A person wants something.
    Act {
        who: String,
        incident: IncidentId,
        action: Act,
        answer: oneshot::Sender<Result<ActOutcome, ControlError>>,
    },
    /// What is the value of this in the held process?
    Inspect { incident: IncidentId, question: Question, reply: oneshot::Sender<Result<Answer, Unanswered>> },
    /// The client that a held process was handed to has ended.
    ClientGone(InstanceId, i32),
    /// What runs?
    Instances(oneshot::Sender<Vec<InstanceView>>),
    /// What runs, for the pulse?
    Standing(oneshot::Sender<Vec<Standing>>),
    /// What is known of an incident whose story is not over? Answered once what was to be written of it by now is.
    Accepted(IncidentId, oneshot::Sender<Option<Box<Incident>>>),
    /// Stop; the second time at once.
    Stop,
}

/// Where messages for the actor go.
#[derive(Clone)]
pub(crate) struct Mailbox(mpsc::Sender<Message>);

impl Mailbox {
    pub(crate) fn new() -> (Self, mpsc::Receiver<Message>) {
        let (sender, receiver) = mpsc::channel(MESSAGES_MAX);
        (Self(sender), receiver)
    }

    /// From a task: waits for room.
    pub(crate) async fn send(&self, message: Message) {
        let _ = self.0.send(message).await;
    }

    /// From a thread that may wait.
    pub(crate) fn post(&self, message: Message) {
        let _ = self.0.blocking_send(message);
    }

    /// From a thread that must not wait; false where there is no room.
    pub(crate) fn offer(&self, message: Message) -> bool {
        self.0.try_send(message).is_ok()
    }
}

/// One instance.
pub(crate) struct Instance {
    pub(crate) shim: Shim,
    pub(crate) directory: Directory,
    /// Version of the protocol that its shim speaks; 0 until it is heard.
    pub(crate) shim_version: u32,
    pub(crate) port: u16,
    pub(crate) pid: i32,
    pub(crate) since: Timestamp,
    pub(crate) role: Option<InstanceRole>,
    pub(crate) limits: Vec<String>,
    pub(crate) incident: Option<IncidentId>,
    /// Whether the readiness probe runs.
    pub(crate) probed: bool,
    /// Told to end by us: its exit is no error.
    pub(crate) expected_to_end: bool,
    /// Process of the client whose debugger has it; 0 where that is not known any more.
    pub(crate) debugged_by: Option<i32>,
}

/// An incident whose story is not over.
pub(crate) struct Open {
    pub(crate) incident: Incident,
    /// The capture came; it is being or has been stored.
    pub(crate) captured: bool,
    /// `traceparent`s that were in flight at the trap.
    pub(crate) in_flight: Vec<freezeframe_model::InFlight>,
    /// Answered 502 by name already.
    pub(crate) failing_answered: bool,
    pub(crate) notified: bool,
}

impl Open {
    /// One whose requests are over, and whose capture and telling are yet to come.
    pub(crate) fn new(incident: Incident) -> Self {
        Self { incident, captured: false, in_flight: Vec::new(), failing_answered: true, notified: false }
    }

    /// Microseconds since the trap was noticed; what went before the shim's report is in its timings.
    pub(crate) fn since_trap_us(&self) -> u64 {
        let since_report = Timestamp::now().0.saturating_sub(self.incident.captured_at.0);
        let before = self.incident.timings.fingerprinted_us.unwrap_or(0);
        before.saturating_add(u64::try_from(since_report).unwrap_or(0))
    }
}

/// All state of supervision.
pub(crate) struct Daemon {
    pub(crate) config: Config,
    pub(crate) data: std::path::PathBuf,
    pub(crate) cgroup_parent: Option<std::path::PathBuf>,
    pub(crate) host_limits: Vec<String>,
    pub(crate) fleet: Fleet,
    pub(crate) begun: Instant,
    pub(crate) instances: BTreeMap<InstanceId, Instance>,
    pub(crate) open: HashMap<IncidentId, Open>,
    /// The trap that the state machine is being asked about.
    pub(crate) trapped: Option<(Open, Trapped)>,
    pub(crate) next_id: Option<IncidentId>,
    pub(crate) id_wanted: bool,
    pub(crate) recent: Recent,
    pub(crate) pending: HashMap<InstanceId, Vec<Pending>>,
    pub(crate) questions: Questions,
    /// Asked for their last lines for an incident of the gate's.
    pub(crate) logs_wanted: HashMap<InstanceId, Vec<IncidentId>>,
    pub(crate) gate: Gate,
    pub(crate) store: freezeframe_store::Store,
    pub(crate) writer: Writer,
    pub(crate) mailbox: Mailbox,
    pub(crate) pass_through: PassThrough,
    /// Cores asked for so far: each has a file of its own.
    pub(crate) cores: u64,
    /// Occurrences that were only counted, since the last second.
    pub(crate) counts: HashMap<Fingerprint, u64>,
    pub(crate) chores_at: Instant,
    /// Removal of what ended instances left.
    pub(crate) clearing: tokio::task::JoinSet<()>,
    pub(crate) stops: u32,
    pub(crate) exit_code: Option<i32>,
}

impl Daemon {
    /// Milliseconds on the clock that the state machine knows.
    pub(crate) fn now_ms(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Runs until everything has ended; the exit code of `freezeframe run`.
    pub(crate) async fn run(mut self, mut messages: mpsc::Receiver<Message>) -> i32 {
        let actions = self.fleet.begin(self.now_ms());
        self.carry_out(actions);
        while self.exit_code.is_none() {
            let wake = self.fleet.next_wake().map(|at| at.saturating_sub(self.now_ms()));
            let sleep = tokio::time::sleep(std::time::Duration::from_millis(wake.unwrap_or(1000).min(1000)));
            tokio::select! {
                message = messages.recv() => match message {
                    Some(message) => self.handle(message),
                    None => break,
                },
                () = sleep => self.feed(Event::Tick),
            }
            self.each_second();
        }
        for open in self.open.values().filter(|open| open.incident.state.is_live()) {
            let (id, pid) = (open.incident.id, open.incident.hold.pid);
            tracing::warn!(
                "{id} (process {pid}) stays held: the next run with this data directory adopts it"
            );
        }
        self.finish_writing(&mut messages).await;
        let cleared = async { while self.clearing.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(std::time::Duration::from_secs(5), cleared).await;
        self.exit_code.unwrap_or(0)
    }

    /// What is under way to the store gets there, and what follows from it (the alert of the last exit) too.
    async fn finish_writing(&mut self, messages: &mut mpsc::Receiver<Message>) {
        self.write_counts();
        for _ in 0..3 {
            let (done, flushed) = oneshot::channel();
            self.writer.submit(Job::Flush(done));
            let _ = tokio::time::timeout(std::time::Duration::from_secs(10), flushed).await;
            let mut more = false;
            while let Ok(message) = messages.try_recv() {
                if matches!(message, Message::Stored { .. } | Message::Told(_) | Message::CoreKept(..)) {
                    more = true;
                    self.handle(message);
                }
            }
            if !more {
                return;
            }
        }
    }

    /// Chores that need no message.
    fn each_second(&mut self) {
        if self.chores_at.elapsed() < std::time::Duration::from_secs(1) {
            return;
        }
        self.chores_at = Instant::now();
        self.write_counts();
        if self.next_id.is_none() {
            self.want_id();
        }
    }

    fn write_counts(&mut self) {
        for (fingerprint, by) in self.counts.drain() {
            self.writer.submit(Job::Count(fingerprint, by));
        }
    }

    /// Gives the state machine an event and does what it says.
    pub(crate) fn feed(&mut self, event: Event) {
        let actions = self.fleet.handle(self.now_ms(), event);
        self.carry_out(actions);
        self.note_roles();
    }

    fn handle(&mut self, message: Message) {
        match message {
            Message::Shim(instance, report) => self.on_report(instance, *report),
            Message::ShimGone(instance, unheard) => self.on_shim_gone(instance, unheard),
            Message::Ready(instance) => self.feed(Event::Ready { instance }),
            Message::Stalled(instance) => self.feed(Event::Stalled { instance }),
            Message::Drained(instance) => self.on_drained(instance),
            Message::Observed(exchange) => self.on_observed(*exchange),
            Message::Stored { incident, with_capture } => self.on_stored(*incident, with_capture),
            Message::CoreKept(instance, kept) => self.on_core_kept(instance, kept),
            Message::Told(id) => self.on_told(id),
            Message::NextId(id) => {
                self.next_id = id.or(self.next_id);
                self.id_wanted = false;
            }
            Message::Act { who, incident, action, answer } => self.on_act(&who, incident, action, answer),
            Message::Inspect { incident, question, reply } => self.on_inspect(incident, question, reply),
            Message::ClientGone(instance, client_pid) => self.on_client_gone(instance, client_pid),
            Message::Instances(answer) => {
                let _ = answer.send(self.views());
            }
            Message::Standing(answer) => {
                let _ = answer.send(self.standing());
            }
            Message::Accepted(id, answer) => self.on_accepted(id, answer),
            Message::Stop => self.on_stop(),
        }
    }

    fn on_accepted(&self, id: IncidentId, answer: oneshot::Sender<Option<Box<Incident>>>) {
        let Some(open) = self.open.get(&id) else { return drop(answer.send(None)) };
        let incident = Box::new(open.incident.clone());
        let (done, flushed) = oneshot::channel();
        self.writer.submit(Job::Flush(done));
        tokio::spawn(async move {
            let _ = flushed.await;
            let _ = answer.send(Some(incident));
        });
    }

    fn on_report(&mut self, instance: InstanceId, report: Report) {
        if !self.instances.contains_key(&instance) {
            return;
        }
        match report {
            Report::Hello { version, pid, port, phase, held, limits, .. } => {
                if let Some(known) = self.instances.get_mut(&instance) {
                    known.shim_version = version;
                    known.pid = pid;
                    known.port = port;
                }
                self.on_limits(instance, limits);
                self.on_hello(instance, phase, held);
            }
            Report::Lines(lines) => self.pass_through.lines(instance, &lines),
            Report::LinesDropped(count) => self.pass_through.dropped(instance, count),
            Report::Limits(limits) => self.on_limits(instance, limits),
            Report::Trapped(trapped) => self.on_trapped(instance, *trapped),
            Report::PassedOver { count } => {
                tracing::info!(%instance, count, "errors passed through without a hold")
            }
            Report::FailingRequest { incident, nearest } => self.on_nearest(instance, incident, &nearest),
            Report::Captured(captured) => self.on_captured(instance, *captured),
            Report::Held { incident, facts, timings } => self.on_held(instance, incident, facts, timings),
            Report::HoldFailed { incident, why } => self.on_hold_failed(instance, incident, &why),
            Report::Resumed(result) => self.on_resumed(instance, result),
            Report::CoreWritten(result) => self.on_core_written(instance, result),
            Report::HandedOver(result) => self.on_handed_over(instance, result),
            Report::Reclaimed(result) => self.on_reclaimed(instance, result),
            Report::Logs(lines) => self.on_logs(instance, lines),
            Report::Inspected { number, result } => self.on_inspected(number, *result),
            Report::Exited { reason, logs } => self.on_exited(instance, reason, logs),
        }
    }

    /// A shim says where its instance stands: after its start, or after ours.
    fn on_hello(
        &mut self,
        instance: InstanceId,
        phase: Phase,
        held: Option<freezeframe_shim::protocol::HeldRecord>,
    ) {
        let role = self.fleet.role(instance);
        if let Some(record) = &held
            && matches!(phase, Phase::Draining | Phase::Held)
            && matches!(role, Some(InstanceRole::Starting | InstanceRole::Spare | InstanceRole::Serving))
        {
            self.adopt_held(instance, record);
        }
        match held {
            None if phase == Phase::Running => {
                self.hold_is_gone(instance);
                self.probe_readiness(instance);
            }
            None if phase == Phase::Released => self.hold_is_gone(instance),
            // It became firm while nobody listened, after its state was read from disk.
            Some(record) if phase == Phase::Held && record.firm => {
                self.reclaim_leftover(instance, &record.facts);
                self.catch_up(instance, record);
            }
            _ => {}
        }
        if let Some(known) = self.instances.get(&instance) {
            let permitted = self.fleet.is_permitted(instance);
            known.shim.send(freezeframe_shim::protocol::Command::Permit { permitted });
        }
    }

    /// The shim knows of no hold any more: our word, or its own, was lost with a connection.
    fn hold_is_gone(&mut self, instance: InstanceId) {
        let Some(id) = self.instances.get(&instance).and_then(|known| known.incident) else { return };
        if self.open.get(&id).is_none_or(|open| open.incident.state.is_live()) {
            self.on_hold_failed(instance, id, "it had gone on while its shim was not connected");
        }
    }

    fn on_limits(&mut self, instance: InstanceId, limits: Vec<String>) {
        let Some(known) = self.instances.get_mut(&instance) else { return };
        if known.limits != limits {
            for why in &limits {
                tracing::warn!(%instance, "not every error is noticed: {why}");
            }
            known.limits = limits;
        }
    }

    fn on_exited(&mut self, instance: InstanceId, reason: ExitReason, logs: Vec<LogLine>) {
        if let Some(known) = self.instances.get(&instance) {
            known.shim.send(freezeframe_shim::protocol::Command::Farewell);
        }
        self.instance_ended(instance, reason, logs);
    }

    /// The connection ended: the shim has died, or has said farewell.
    fn on_shim_gone(&mut self, instance: InstanceId, unheard: Option<Unheard>) {
        let Some(known) = self.instances.get(&instance) else { return };
        let directory = known.directory.clone();
        if directory.has_shim() {
            // It lives: the connection broke, or one that is ending had taken it. Connect again.
            return self.ask_again(instance, unheard, shims::adopt);
        }
        let state = directory.state().unwrap_or_default();
        let spooled = directory.captured();
        if let Some(captured) = spooled {
            self.on_captured(instance, captured);
        }
        let held = state.held.filter(|_| state.exited.is_none());
        if held.is_some_and(|record| super::adopt::still_stands(&record.facts)) {
            tracing::warn!(%instance, "the shim of a held process died; another one takes care of it");
            return self.ask_again(instance, unheard, shims::spawn);
        }
        self.instance_ended(instance, state.exited.unwrap_or(ExitReason::ShimDied), Vec::new());
    }

    /// Another connection for an instance. What the last one was asked may never have arrived, unless it was never asked.
    fn ask_again(&mut self, instance: InstanceId, unheard: Option<Unheard>, connect: Connect) {
        let Some(known) = self.instances.get_mut(&instance) else { return };
        let directory = known.directory.clone();
        known.shim_version = 0;
        let commands = match unheard {
            Some(commands) => commands,
            None => {
                let (shim, commands) = shims::channel();
                known.shim = shim;
                self.answer_all_pending(instance, After::LostConnection);
                self.take_over_questions(instance, &directory);
                commands
            }
        };
        connect(commands, directory, instance, self.mailbox.clone());
    }

    /// An instance is gone for good: tell the state machine, keep what is to be kept, remove what it left.
    fn instance_ended(&mut self, instance: InstanceId, reason: ExitReason, logs: Vec<LogLine>) {
        let Some(known) = self.instances.remove(&instance) else { return };
        self.gate.unroute(instance);
        self.answer_all_pending(instance, After::Exit);
        self.drop_questions(instance, "the process has ended");
        // For incidents of the gate's that wait for them.
        self.on_logs(instance, logs.clone());
        match known.incident {
            Some(incident) => self.held_process_ended(incident, &reason),
            None if !known.expected_to_end => self.unexpected_exit(instance, &reason, logs),
            None => {}
        }
        self.gate.evict(instance, known.incident);
        let directory = known.directory;
        self.clear(directory);
        self.feed(Event::Exited { instance, reason });
    }

    /// Removes what an instance left, once its capture is durable. Killing leftovers and removing a cgroup take a moment.
    pub(crate) fn clear(&mut self, directory: Directory) {
        let (done, flushed) = oneshot::channel();
        self.writer.submit(Job::Flush(done));
        let store = self.store.clone();
        self.clearing.spawn(async move {
            let _ = flushed.await;
            let cleared = tokio::task::spawn_blocking(move || clear_stored(&directory, &store));
            let _ = cleared.await;
        });
    }

    fn on_stop(&mut self) {
        self.stops += 1;
        let event = if self.stops == 1 { Event::Stop } else { Event::StopNow };
        if self.stops == 1 {
            tracing::info!("stopping: no new requests, those in flight may finish; once more to hurry");
        }
        self.feed(event);
    }

    fn views(&self) -> Vec<InstanceView> {
        let view = |(id, known): (&InstanceId, &Instance)| InstanceView {
            id: *id,
            role: known.role.unwrap_or(InstanceRole::Starting),
            pid: known.pid,
            port: known.port,
            since: known.since,
            in_flight: self.gate.in_flight_count(*id),
            armed: if known.limits.is_empty() { Ok(()) } else { Err(known.limits.join("; ")) },
            incident: known.incident,
        };
        self.instances.iter().map(view).collect()
    }

    fn standing(&self) -> Vec<Standing> {
        let lease = |id| self.open.get(&id).map(|open| open.incident.hold.lease_until);
        let known = |until: &Timestamp| *until != Timestamp::default();
        let views = self.views().into_iter();
        views
            .map(|view| Standing { lease_until: view.incident.and_then(lease).filter(known), view })
            .collect()
    }

    fn note_roles(&mut self) {
        for (instance, role) in self.fleet.roles() {
            if let Some(known) = self.instances.get_mut(&instance)
                && known.role != Some(role)
            {
                known.role = Some(role);
                known.since = Timestamp::now();
            }
        }
    }

    /// The incident's number for a trap. It was reserved before: a trap does not wait for the disk.
    pub(crate) fn take_id(&mut self) -> Option<IncidentId> {
        let id = self.next_id.take();
        self.want_id();
        id
    }

    pub(crate) fn want_id(&mut self) {
        if !self.id_wanted {
            self.id_wanted = true;
            self.writer.submit(Job::NextId);
        }
    }

    /// The live incident of an instance.
    pub(crate) fn open_of(&mut self, instance: InstanceId) -> Option<&mut Open> {
        let incident = self.instances.get(&instance)?.incident?;
        self.open.get_mut(&incident)
    }

    /// Counts an occurrence without an incident of its own.
    pub(crate) fn count(&mut self, fingerprint: Fingerprint) {
        if self.counts.len() < COUNTS_MAX || self.counts.contains_key(&fingerprint) {
            *self.counts.entry(fingerprint).or_default() += 1;
        }
    }
}

/// A capture that is not in the store yet is not removed: the next life tries again.
fn clear_stored(directory: &Directory, store: &freezeframe_store::Store) {
    let path = directory.path().display();
    if let Some(captured) = directory.captured()
        && !matches!(store.capture(captured.incident), Ok(Some(_)))
    {
        return tracing::warn!(%path, "a capture that could not be stored is kept");
    }
    if let Err(error) = directory.clear() {
        tracing::warn!(%error, %path, "leftovers of an instance");
    }
}
