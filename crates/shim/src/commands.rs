//! What the daemon tells the shim to do.

use std::path::Path;
use std::time::{Duration, Instant};

use freezeframe_model::{ExitReason, IncidentId, Question};
use freezeframe_runtime::{Cgroup, CoreFilter, CoreLimits, Held, ProcessId, Runtime};

use crate::indexing;
use crate::inspect::Inspector;
use crate::instance::{HOLD_LIMIT, Shim};
use crate::protocol::{Command, NoAnswer, Phase, Report, VERSION};

impl Shim {
    pub(crate) fn on_command(&mut self, command: Command) {
        match command {
            Command::Hello { version } if version != VERSION => {
                tracing::warn!(version, "the daemon speaks another version of the protocol");
            }
            Command::Hello { .. } => {}
            Command::Permit { permitted } => {
                self.permitted = permitted;
                self.arm_as_permitted();
            }
            Command::Confirm { trap, incident, drain_ms, in_flight } => {
                self.confirm(trap, incident, drain_ms, in_flight);
            }
            Command::Refuse { trap, rearm_ms } if self.is_asking(trap) => {
                self.pass(Duration::from_millis(rearm_ms));
            }
            Command::Refuse { .. } => {}
            Command::Freeze if self.phase == Phase::Draining => self.hold(),
            Command::Freeze => {}
            Command::Resume { take_back } => self.resume(take_back),
            Command::Terminate => self.terminate(),
            Command::Kill => self.kill(),
            Command::WriteCore { path, memory_bytes_max, filter } => {
                let filter = filter.map_or_else(CoreFilter::default, CoreFilter);
                let result = self.write_core(&path, CoreLimits { memory_bytes_max, filter });
                self.link.send(Report::CoreWritten(result.map_err(|error| error.to_string())));
            }
            Command::HandOver => {
                self.inspector = None;
                let result = self.with_held(Held::hand_over);
                self.link.send(Report::HandedOver(result));
            }
            Command::Reclaim => {
                self.inspector = None;
                let result = self.with_held(Held::reclaim).map(|reclaimed| reclaimed.moved);
                self.link.send(Report::Reclaimed(result));
            }
            Command::CaptureStall => self.capture_stall(),
            Command::Stored { incident } => {
                if self.captured.as_ref().is_some_and(|captured| captured.incident == incident) {
                    self.captured = None;
                    self.directory.forget_captured();
                }
            }
            Command::Logs { lines } => self.link.send(Report::Logs(self.output.tail(lines))),
            Command::Farewell if self.phase == Phase::Ended => self.leave_at = Some(Instant::now()),
            Command::Farewell => {}
            Command::Inspect { incident, number, question } => {
                if let Err(why) = self.inspect(incident, number, question) {
                    self.link.send(Report::Inspected { number, result: Box::new(Err(why)) });
                }
            }
        }
    }

    /// Its registers are read here, where every other tracing is done, too; the answers come from a thread of their own.
    fn inspect(&mut self, incident: IncidentId, number: u64, question: Question) -> Result<(), NoAnswer> {
        let record = self.state.held.as_ref().filter(|record| record.incident == incident && record.firm);
        let (Some(held), Some(_)) = (&self.held, record) else {
            return Err(NoAnswer::Failed(format!("{incident} is not held here")));
        };
        if held.is_handed_over() {
            return Err(NoAnswer::Failed("a debugger has it at the moment".to_owned()));
        }
        let inspector = match self.inspector.take() {
            Some(inspector) => inspector,
            None => {
                let examined = held.examine(&self.debug);
                examined
                    .and_then(|examined| Inspector::begin(examined, self.redactor.clone(), self.link.clone()))
                    .map_err(|error| NoAnswer::Failed(format!("it cannot be read: {error}")))?
            }
        };
        let asked = inspector.ask(number, question);
        // One that nobody answers in any more is made anew for the next question.
        if !matches!(asked, Err(NoAnswer::Failed(_))) {
            self.inspector = Some(inspector);
        }
        asked
    }

    fn with_held<T>(&mut self, act: impl FnOnce(&mut Held) -> std::io::Result<T>) -> Result<T, String> {
        let held = self.held.as_mut().ok_or("nothing is held")?;
        act(held).map_err(|error| error.to_string())
    }

    pub(crate) fn arm_as_permitted(&mut self) {
        if self.phase != Phase::Running || self.rearm_at.is_some() {
            return;
        }
        if !self.permitted {
            return self.runtime.disarm();
        }
        self.runtime.arm();
        if !std::mem::replace(&mut self.warm, true) {
            self.runtime.warm_up();
            // The first look at a text compiles the built-in patterns (1.4 ms): a trap must not wait for that either.
            let _ = self.redactor.text("Bearer of no secret");
            if let Some(indexing) = self.runtime.indexing() {
                indexing::begin(indexing);
            }
        }
    }

    fn resume(&mut self, take_back: bool) {
        if self.phase == Phase::Draining {
            self.crash = None;
            self.runtime.pass();
            self.phase = Phase::Running;
            self.state.held = None;
            self.write_state();
            self.passed_over += 1;
            self.arm_as_permitted();
            return self.link.send(Report::Resumed(Ok(())));
        }
        self.inspector = None;
        let result = self.with_held(Held::resume);
        if result.is_ok() {
            self.held = None;
            self.watched = if self.is_caretaker { self.process().watch().ok() } else { None };
            self.state.held = None;
            self.write_state();
            self.phase = Phase::Released;
            if take_back && self.runtime.take_back().is_ok() {
                self.phase = Phase::Running;
                self.arm_as_permitted();
            }
        }
        self.link.send(Report::Resumed(result));
    }

    fn capture_stall(&mut self) {
        if self.phase != Phase::Running {
            return;
        }
        match self.runtime.stop_all() {
            Ok(()) => self.on_trap(),
            Err(error) => tracing::warn!(%error, "a stall cannot be captured"),
        }
    }

    pub(crate) fn process(&self) -> ProcessId {
        ProcessId { pid: self.state.pid, start: self.state.pid_start }
    }

    fn terminate(&mut self) {
        if let Err(error) = self.process().signal(libc::SIGTERM) {
            tracing::warn!(%error, "SIGTERM could not be sent");
        }
    }

    fn kill(&mut self) {
        let cgroup = self.state.cgroup.as_deref().and_then(Cgroup::existing);
        let killed = match (cgroup, &self.held) {
            (Some(cgroup), _) => cgroup.kill(HOLD_LIMIT),
            (None, Some(held)) => held.kill(),
            (None, None) => self.process().signal(libc::SIGKILL),
        };
        if let Err(error) = killed {
            tracing::warn!(%error, "the instance could not be killed");
        }
        // A caretaker is not the parent: nobody will tell it.
        if self.held.as_ref().is_some_and(|held| !held.is_alive()) {
            self.end(ExitReason::Signal(libc::SIGKILL));
        }
    }

    fn write_core(&mut self, path: &Path, limits: CoreLimits) -> std::io::Result<(u64, u64)> {
        let held = self.held.as_ref().ok_or_else(|| std::io::Error::other("nothing is held"))?;
        freezeframe_runtime::write_compressed_core(held, path, limits)
            .map(|summary| (summary.memory_bytes, summary.omitted_bytes))
    }
}
