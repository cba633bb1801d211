//! The shim's loop: what the instance does and what the daemon says, one after the other, on the thread that traces.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use freezeframe_model::{ExitReason, IncidentId, Stream, chain};
use freezeframe_redact::Redactor;
use freezeframe_runtime::{Cgroup, DebugFiles, Event, Held, Launch, Native, ProcessId, Runtime};

use crate::files::{Directory, Fetcher, Lock, Spec, State};
use crate::inspect::Inspector;
use crate::link::Link;
use crate::output::Output;
use crate::protocol::{Captured, Command, HeldRecord, LOG_LINES, Phase, Report, Trapped, VERSION};
use crate::wake::{Bell, Wake};

/// How long freezing and letting go may take.
pub(crate) const HOLD_LIMIT: Duration = Duration::from_secs(5);
/// Traps stay out for so long after a trap that nobody answered.
pub(crate) const UNANSWERED_REARM: Duration = Duration::from_secs(1);
/// How long the shim of an ended instance waits for the daemon to take note.
const FAREWELL_LIMIT: Duration = Duration::from_secs(5);
/// Waiting for the last output of an ended instance: its children may keep the pipes open.
const OUTPUT_LIMIT: Duration = Duration::from_millis(300);

/// Why a shim could not begin.
#[derive(Debug, thiserror::Error)]
pub enum ShimError {
    /// Its directory is not usable.
    #[error("the instance directory {path} is not usable")]
    Directory {
        /// Which.
        path: String,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
    /// Another shim has this instance.
    #[error("another shim already has this instance")]
    Taken,
    /// A redaction rule is wrong.
    #[error("a redaction rule cannot be used")]
    Rule(#[source] freezeframe_redact::RuleError),
    /// Signals, sockets or threads could not be set up.
    #[error("the shim could not be set up")]
    SetUp(#[source] std::io::Error),
}

/// What reaches the main thread from others.
pub(crate) enum Input {
    Connected,
    Disconnected,
    Command(Command),
    Nearest { incident: IncidentId, nearest: Vec<String> },
    Captured(Box<Captured>),
}

/// A trap on its way to a hold.
pub(crate) struct Crash {
    pub(crate) incident: Option<IncidentId>,
    pub(crate) trapped: Trapped,
    pub(crate) pid: i32,
    pub(crate) tid: i32,
    pub(crate) begun: Instant,
    pub(crate) deadline: Instant,
}

pub(crate) struct Shim {
    pub(crate) directory: Directory,
    pub(crate) _lock: Lock,
    pub(crate) spec: Spec,
    pub(crate) debug: DebugFiles,
    pub(crate) redactor: Redactor,
    pub(crate) runtime: Native,
    pub(crate) state: State,
    pub(crate) phase: Phase,
    pub(crate) crash: Option<Crash>,
    pub(crate) held: Option<Held>,
    /// What was read of the held process since it stands as it does.
    pub(crate) inspector: Option<Inspector>,
    /// Ends with the held process, or with the one that a caretaker has released.
    pub(crate) watched: Option<OwnedFd>,
    /// Not the instance's parent: nobody tells when it ends.
    pub(crate) is_caretaker: bool,
    pub(crate) permitted: bool,
    /// What a trap needs has been read ahead.
    pub(crate) warm: bool,
    pub(crate) rearm_at: Option<Instant>,
    pub(crate) passed_over: u64,
    /// Traps so far.
    pub(crate) traps: u64,
    pub(crate) limits: Vec<String>,
    pub(crate) output: Output,
    pub(crate) captured: Option<Box<Captured>>,
    pub(crate) leave_at: Option<Instant>,
    pub(crate) link: Link,
    pub(crate) inputs: Sender<Input>,
    pub(crate) bell: Bell,
}

/// Runs the shim of the instance whose directory this is, until the instance has ended. With a hold on disk and no process
/// of its own it becomes the hold's caretaker instead of starting anything.
///
/// `fetcher` makes what asks servers for debug information.
pub fn run(path: &Path, fetcher: &Fetcher) -> Result<(), ShimError> {
    let directory = Directory::at(path);
    let unusable = |source| ShimError::Directory { path: path.display().to_string(), source };
    let spec = directory.spec().map_err(unusable)?;
    let lock = directory.lock().map_err(unusable)?.ok_or(ShimError::Taken)?;
    let redactor = Redactor::new(&spec.redaction()).map_err(ShimError::Rule)?;
    let debug = spec.debug_files(fetcher);
    let wake = Wake::new().map_err(ShimError::SetUp)?;
    adopt_orphans();
    let (inputs, received) = channel();
    let mut shim = Shim {
        state: directory.state().unwrap_or_default(),
        captured: directory.captured().map(Box::new),
        directory,
        _lock: lock,
        runtime: Native::with_debug_files(debug.clone()),
        spec,
        debug,
        redactor,
        phase: Phase::Running,
        crash: None,
        held: None,
        inspector: None,
        watched: None,
        is_caretaker: false,
        permitted: false,
        warm: false,
        rearm_at: None,
        passed_over: 0,
        traps: 0,
        limits: Vec::new(),
        output: Output::none(),
        leave_at: None,
        link: Link::default(),
        inputs,
        bell: wake.bell(),
    };
    match shim.state.held.take() {
        Some(record) => shim.take_care_of(record),
        None => shim.start(),
    }
    shim.link.listen(&shim.directory.socket(), &shim.inputs, &shim.bell).map_err(ShimError::SetUp)?;
    shim.main_loop(&wake, &received);
    Ok(())
}

/// Two data directories may have an instance of the same service and number, and a cgroup outlives its shim: only with what
/// makes this process unique does no other instance ever share it, to be frozen, cut off or killed with it.
fn cgroup_name(spec: &Spec) -> String {
    let own = i32::try_from(std::process::id()).ok().and_then(ProcessId::of);
    let (pid, start) = own.map_or((0, 0), |own| (own.pid, own.start));
    format!("{}-{}-{pid}.{start}", spec.service, spec.instance)
}

/// Written down before it is made: whoever kills us in between, the next life finds and removes it.
fn make_cgroup(directory: &Directory, spec: &Spec) -> Option<Cgroup> {
    let (parent, name) = (spec.cgroup_parent.as_ref()?, cgroup_name(spec));
    if let Err(error) = directory.set_state(&State { cgroup: Some(parent.join(&name)), ..State::default() }) {
        tracing::error!(%error, "the cgroup could not be written down");
    }
    Cgroup::create(parent, &name)
        .inspect_err(|error| tracing::warn!(%error, "no cgroup: holding by SIGSTOP, network not cut"))
        .ok()
}

/// Orphans of the instance become our children, so that their end is collected.
fn adopt_orphans() {
    // SAFETY: prctl with integers only.
    unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) };
}

impl Shim {
    fn start(&mut self) {
        let cgroup = make_cgroup(&self.directory, &self.spec);
        let launch = Launch {
            command: self.spec.command.clone(),
            environment: self.spec.environment.clone(),
            directory: self.spec.directory.clone(),
            cgroup: cgroup.clone(),
        };
        self.state = State { cgroup: cgroup.map(|cgroup| cgroup.path().to_owned()), ..State::default() };
        match self.runtime.start(&launch) {
            Ok(started) => {
                self.state.pid = started.process.pid;
                self.state.pid_start = started.process.start;
                let streams = [(started.stdout, Stream::Stdout), (started.stderr, Stream::Stderr)];
                match Output::read(streams, &self.link, &self.redactor) {
                    Ok(output) => self.output = output,
                    Err(error) => tracing::error!(%error, "the instance's output cannot be read"),
                }
            }
            Err(error) => self.end(ExitReason::Spawn(chain(error))),
        }
        self.write_state();
    }

    /// The shim that made this hold has died.
    fn take_care_of(&mut self, mut record: HeldRecord) {
        let mut held = Held::new(record.facts.clone());
        self.is_caretaker = true;
        if held.is_alive() && (held.stands_still() || held.has_debugger()) {
            self.watched = held.process().watch().ok();
            if !record.firm {
                // That shim died between holding and writing it down: whether it had cut the network nobody knows.
                held.cut();
                record.facts = held.facts().clone();
                record.firm = true;
            }
            self.held = Some(held);
            self.state.held = Some(record);
            self.phase = Phase::Held;
        } else {
            self.end(ExitReason::ShimDied);
        }
        self.write_state();
    }

    fn main_loop(&mut self, wake: &Wake, received: &Receiver<Input>) {
        loop {
            while let Some(event) = self.runtime.poll() {
                self.on_event(event);
            }
            let mut inputs: VecDeque<Input> = received.try_iter().collect();
            while let Some(input) = inputs.pop_front() {
                self.on_input(input);
            }
            self.on_time();
            if self.leave_at.is_some_and(|at| Instant::now() >= at) {
                self.link.flush(Duration::from_secs(1));
                return;
            }
            wake.wait(self.watched.as_ref(), self.next_time());
        }
    }

    fn next_time(&self) -> Option<Instant> {
        let crash = self.crash.as_ref().map(|crash| crash.deadline);
        [crash, self.rearm_at, self.leave_at].into_iter().flatten().min()
    }

    fn on_time(&mut self) {
        let now = Instant::now();
        if self.rearm_at.is_some_and(|at| now >= at) {
            self.rearm_at = None;
            self.arm_as_permitted();
            if self.passed_over > 0 {
                self.link.send(Report::PassedOver { count: std::mem::take(&mut self.passed_over) });
            }
        }
        if self.crash.as_ref().is_some_and(|crash| now >= crash.deadline) {
            match self.phase {
                Phase::Asking => self.pass(UNANSWERED_REARM),
                Phase::Draining => self.hold(),
                _ => self.crash = None,
            }
        }
        if self.phase == Phase::Held && self.held.as_ref().is_some_and(|held| !held.is_alive()) {
            self.end(ExitReason::Signal(libc::SIGKILL));
        }
        if self.phase == Phase::Released && self.is_caretaker && !self.process().is_alive() {
            self.end(ExitReason::ShimDied);
        }
        let limits = self.runtime.limits();
        if self.phase != Phase::Ended && limits != self.limits && self.held.is_none() {
            self.limits.clone_from(&limits);
            self.link.send(Report::Limits(limits));
        }
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Trapped => self.on_trap(),
            Event::DrainBroken if self.phase == Phase::Draining => self.hold(),
            Event::DrainBroken => {}
            Event::Exited(reason) => self.end(reason),
        }
    }

    fn on_input(&mut self, input: Input) {
        match input {
            Input::Connected => self.greet(),
            Input::Disconnected => {
                self.permitted = false;
                if self.phase == Phase::Asking {
                    self.pass(UNANSWERED_REARM);
                }
                self.arm_as_permitted();
            }
            Input::Nearest { incident, nearest } => {
                self.link.send(Report::FailingRequest { incident, nearest })
            }
            Input::Captured(captured) => self.keep_captured(captured),
            Input::Command(command) => self.on_command(command),
        }
    }

    fn greet(&mut self) {
        self.link.send(Report::Hello {
            version: VERSION,
            instance: self.spec.instance,
            port: self.spec.port,
            pid: self.state.pid,
            phase: self.phase,
            held: self.state.held.clone(),
            limits: self.limits.clone(),
        });
        if let Some(captured) = &self.captured {
            self.link.send(Report::Captured(captured.clone()));
        }
        if let Some(reason) = self.state.exited.clone() {
            self.link.send(Report::Exited { reason, logs: self.output.tail(LOG_LINES) });
        }
    }

    pub(crate) fn end(&mut self, reason: ExitReason) {
        if self.phase == Phase::Ended {
            return;
        }
        self.crash = None;
        let until = Instant::now() + OUTPUT_LIMIT;
        while !self.output.is_finished() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(2));
        }
        self.phase = Phase::Ended;
        if self.state.cgroup.is_none() {
            // Without a cgroup what is held, or the first process, may be left of it.
            let _ = self.held.as_ref().map(Held::kill);
            let _ = self.process().signal(libc::SIGKILL);
        }
        self.held = None;
        self.inspector = None;
        self.watched = None;
        self.state.held = None;
        self.state.exited = Some(reason.clone());
        self.write_state();
        if let Some(cgroup) = self.state.cgroup.as_deref().and_then(Cgroup::existing) {
            // Children that it left behind belong to the instance.
            let _ = cgroup.kill(HOLD_LIMIT);
            let _ = cgroup.remove();
        }
        self.link.send(Report::Exited { reason, logs: self.output.tail(LOG_LINES) });
        self.leave_at = Some(Instant::now() + FAREWELL_LIMIT);
    }

    pub(crate) fn write_state(&self) {
        if let Err(error) = self.directory.set_state(&self.state) {
            tracing::error!(%error, "the state could not be written");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cgroup_is_written_down_before_it_is_made() {
        let data = tempfile::tempdir().expect("a temporary directory");
        // No cgroup can be made there: as if the shim had got no further.
        let parent = data.path().join("no-cgroups-here");
        let spec = Spec {
            instance: freezeframe_model::InstanceId(3),
            service: "shop".to_owned(),
            port: 0,
            command: Vec::new(),
            environment: Vec::new(),
            directory: None,
            cgroup_parent: Some(parent.clone()),
            redact: Default::default(),
            redact_further: Default::default(),
            capture_ms: 2_000,
            user_code: Default::default(),
            indexes: None,
            debug: Default::default(),
        };
        let directory = Directory::of(data.path(), spec.instance);
        directory.create(&spec).expect("made");
        assert_eq!(make_cgroup(&directory, &spec), None);
        let written = directory.state().expect("written down").cgroup.expect("with its cgroup");
        assert_eq!(written, parent.join(cgroup_name(&spec)));
    }
}
