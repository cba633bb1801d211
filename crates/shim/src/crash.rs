//! A trap on its way to a hold: ask, copy, drain, hold. Each step leaves on disk what the next life needs.

use std::path::Path;
use std::time::{Duration, Instant};

use freezeframe_debuginfo::{Options, UserCode};
use freezeframe_model::{HoldFacts, HoldStrength, IncidentId, IncidentKind, Timestamp, Timings};
use freezeframe_runtime::{Held, ProcessId, Runtime};

use crate::captured::{self, micros};
use crate::instance::{Crash, HOLD_LIMIT, Shim, UNANSWERED_REARM};
use crate::protocol::{Captured, HeldRecord, LOG_LINES, Phase, Report, Trapped};

/// How long a trap waits for the daemon's word before the program goes on as without us.
const ANSWER_LIMIT: Duration = Duration::from_millis(500);

impl Shim {
    /// Everything stands still. Without a daemon, or its permission, the program goes on.
    pub(crate) fn on_trap(&mut self) {
        if !self.permitted || self.phase != Phase::Running || !self.link.is_connected() {
            return self.pass(UNANSWERED_REARM);
        }
        let Some(sighting) = self.runtime.sighting(&self.redactor) else {
            return self.pass(UNANSWERED_REARM);
        };
        let begun = sighting.noticed;
        let stopped_us = |at: Option<Instant>| u64::try_from(at?.duration_since(begun).as_micros()).ok();
        let timings = Timings {
            stopped_us: stopped_us(sighting.stopped),
            fingerprinted_us: Some(micros(begun)),
            ..Timings::default()
        };
        self.traps += 1;
        let trapped = Trapped {
            trap: self.traps,
            kind: sighting.kind,
            message: sighting.message,
            fingerprint: sighting.fingerprint,
            resident_bytes: sighting.resident_bytes,
            traceparent: sighting.traceparent,
            at: Timestamp::now(),
            timings,
            diagnostics: sighting.diagnostics,
        };
        self.link.send(Report::Trapped(Box::new(trapped.clone())));
        self.phase = Phase::Asking;
        // From now on, not from the trap: on a busy machine our own looking takes its time too.
        let deadline = Instant::now() + ANSWER_LIMIT;
        self.crash =
            Some(Crash { incident: None, trapped, pid: sighting.pid, tid: sighting.tid, begun, deadline });
        // The daemon has been told; a straggler does not keep it from unrouting.
        let settled = stopped_us(self.runtime.settle());
        if let Some(crash) = &mut self.crash {
            crash.trapped.timings.stopped_us = settled;
        }
    }

    /// Step over the trap: exactly as without us.
    pub(crate) fn pass(&mut self, rearm: Duration) {
        self.runtime.pass();
        self.crash = None;
        self.passed_over += 1;
        self.rearm_at = Some(Instant::now() + rearm);
        if self.phase == Phase::Asking {
            self.phase = Phase::Running;
        }
    }

    /// Whether this trap waits for its answer. A late answer must not be taken for that of the next trap.
    pub(crate) fn is_asking(&self, trap: u64) -> bool {
        self.phase == Phase::Asking && self.crash.as_ref().is_some_and(|crash| crash.trapped.trap == trap)
    }

    pub(crate) fn confirm(&mut self, trap: u64, incident: IncidentId, drain_ms: u64, in_flight: Vec<String>) {
        let asking = self.is_asking(trap);
        let Some(crash) = self.crash.as_mut().filter(|_| asking) else {
            let why = "the answer came too late: the program had gone on".to_owned();
            return self.link.send(Report::HoldFailed { incident, why });
        };
        let snapshot = self.runtime.snapshot();
        self.runtime.drain();
        crash.incident = Some(incident);
        crash.deadline = Instant::now() + Duration::from_millis(drain_ms);
        let resumed_us = micros(crash.begun);
        self.phase = Phase::Draining;
        self.state.held = Some(expected_hold(crash, incident, self.state.cgroup.as_deref()));
        match snapshot {
            Ok(snapshot) => {
                if snapshot.all_stopped() {
                    // A straggler was not waited for, and has come to stand since: by now at the latest.
                    crash.trapped.timings.stopped_us.get_or_insert(resumed_us);
                }
                let work = captured::Work {
                    incident,
                    trapped: crash.trapped.clone(),
                    snapshot,
                    in_flight,
                    logs: self.output.tail(LOG_LINES),
                    begun: crash.begun,
                    resumed_us,
                };
                let [include, exclude] = self.spec.user_code.clone();
                let time = Duration::from_millis(self.spec.capture_ms);
                let options =
                    Options { user_code: UserCode { include, exclude }, time, ..Options::default() };
                let started = captured::decode(
                    work,
                    options,
                    self.redactor.clone(),
                    self.inputs.clone(),
                    self.bell.clone(),
                );
                if let Err(error) = started {
                    self.capture_failed(incident, &format!("no thread for decoding: {error}"));
                }
            }
            Err(error) => self.capture_failed(incident, &error.to_string()),
        }
        self.write_state();
    }

    /// The incident is kept all the same, with the reason for what is missing.
    fn capture_failed(&mut self, incident: IncidentId, why: &str) {
        let Some(crash) = &self.crash else { return };
        let mut capture = freezeframe_model::Capture::default();
        capture.lose("threads, frames and variables", why);
        let captured = Captured {
            incident,
            trapped: crash.trapped.clone(),
            build_id: freezeframe_model::BuildId::default(),
            capture,
            logs: self.output.tail(LOG_LINES),
            timings: crash.trapped.timings,
        };
        self.keep_captured(Box::new(captured));
    }

    /// On disk before it is told: whoever dies now, it is not lost.
    pub(crate) fn keep_captured(&mut self, captured: Box<Captured>) {
        if let Err(error) = self.directory.set_captured(&captured) {
            tracing::error!(%error, "the capture could not be kept on disk");
        }
        self.link.send(Report::Captured(captured.clone()));
        self.captured = Some(captured);
    }

    /// The end of the drain.
    pub(crate) fn hold(&mut self) {
        let Some(crash) = self.crash.take() else { return };
        let Some(incident) = crash.incident else { return };
        match self.runtime.hold(HOLD_LIMIT) {
            Ok(facts) => {
                let mut held = Held::new(facts);
                held.cut();
                self.watched = held.process().watch().ok();
                let facts = held.facts().clone();
                self.state.held = Some(HeldRecord {
                    incident,
                    fingerprint: crash.trapped.fingerprint,
                    facts: facts.clone(),
                    firm: true,
                });
                self.write_state();
                self.held = Some(held);
                self.phase = Phase::Held;
                let timings = Timings { held_us: Some(micros(crash.begun)), ..Timings::default() };
                self.link.send(Report::Held { incident, facts, timings });
            }
            Err(error) => {
                self.phase = Phase::Released;
                self.state.held = None;
                self.write_state();
                self.link.send(Report::HoldFailed { incident, why: error.to_string() });
            }
        }
    }
}

/// On disk before the hold is made: should the shim die between making and recording it, it is found all the same.
fn expected_hold(crash: &Crash, incident: IncidentId, cgroup: Option<&Path>) -> HeldRecord {
    let pending_signal = match &crash.trapped.kind {
        IncidentKind::Signal(name) if name == "SIGABRT" => libc::SIGABRT,
        IncidentKind::Signal(name) if name == "SIGSYS" => libc::SIGSYS,
        _ => 0,
    };
    let facts = HoldFacts {
        strength: if cgroup.is_some() { HoldStrength::Frozen } else { HoldStrength::Stopped },
        pid: crash.pid,
        pid_start: ProcessId::of(crash.pid).map_or(0, |process| process.start),
        failing_tid: crash.tid,
        pending_signal,
        cgroup: cgroup.map(|path| path.display().to_string()),
        resident_bytes: crash.trapped.resident_bytes,
        ..HoldFacts::default()
    };
    HeldRecord { incident, fingerprint: crash.trapped.fingerprint, facts, firm: false }
}
