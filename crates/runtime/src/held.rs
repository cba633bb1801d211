//! A process that is held. Everything here works from [`HoldFacts`] alone: for the shim that made the hold, and for one that
//! took it over after that shim, or the whole daemon, had died.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use freezeframe_model::{HoldFacts, HoldStrength, NetworkCut};

use crate::core_file::{self, CoreLimits, CoreSummary};
use crate::process::{self, ProcessId};
use crate::{Cgroup, DebugFiles, Examined, native, netcut};

/// Freezing and thawing take milliseconds; a machine under load gets this long.
const SETTLE: Duration = Duration::from_secs(2);

/// A held process.
#[derive(Clone, Debug)]
pub struct Held {
    facts: HoldFacts,
    /// Registers of the failing thread when it was handed over, to tell whether a debugger moved it.
    handed_over: Option<Option<Vec<u8>>>,
}

/// How a process came back from a debugger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reclaimed {
    /// The failing thread is not where it was.
    pub moved: bool,
}

impl Held {
    /// The facts of a hold.
    pub fn new(facts: HoldFacts) -> Self {
        Self { facts, handed_over: None }
    }

    /// What is known of it.
    pub fn facts(&self) -> &HoldFacts {
        &self.facts
    }

    /// Its identity.
    pub fn process(&self) -> ProcessId {
        ProcessId { pid: self.facts.pid, start: self.facts.pid_start }
    }

    /// Whether it is still there: not killed from outside, not another process of that number.
    pub fn is_alive(&self) -> bool {
        self.process().is_alive()
    }

    /// Whether it really does not run: frozen, or stopped.
    pub fn stands_still(&self) -> bool {
        self.cgroup().is_some_and(|cgroup| cgroup.is_frozen()) || process::is_stopped(self.facts.pid)
    }

    /// Whether it stands still in the way in which it is held, and not only for a debugger.
    pub fn is_held_firmly(&self) -> bool {
        match (self.facts.strength, self.cgroup()) {
            (HoldStrength::Frozen, Some(cgroup)) => cgroup.is_frozen(),
            _ => process::is_stopped(self.facts.pid),
        }
    }

    /// Whether somebody traces it at the moment.
    pub fn has_debugger(&self) -> bool {
        process::tracer_of(self.facts.pid).is_some()
    }

    fn cgroup(&self) -> Option<Cgroup> {
        self.facts.cgroup.as_deref().and_then(|path| Cgroup::existing(Path::new(path)))
    }

    /// Cuts it off its backends and records whether that worked.
    pub fn cut(&mut self) {
        self.facts.network = match self.cgroup() {
            Some(cgroup) => match netcut::cut(cgroup.path()) {
                Ok(()) => NetworkCut::Cut,
                Err(missing) => NetworkCut::Missing(missing),
            },
            None => NetworkCut::Missing("a cgroup v2 of its own".to_owned()),
        };
    }

    /// Lets it run on, its network restored, the signal that it stood at given back.
    pub fn resume(&mut self) -> io::Result<()> {
        self.alive()?;
        if self.facts.pending_signal != 0 {
            let sent =
                process::signal_thread(self.facts.pid, self.facts.failing_tid, self.facts.pending_signal);
            // A debugger may have let that thread end.
            sent.or_else(
                |error| if error.raw_os_error() == Some(libc::ESRCH) { Ok(()) } else { Err(error) },
            )?;
        }
        // Also what a debugger left stopped; harmless where nothing is.
        self.process().signal(libc::SIGCONT)?;
        self.handed_over = None;
        if let Some(cgroup) = self.cgroup() {
            let restored = netcut::restore(cgroup.path());
            if self.facts.network == NetworkCut::Cut {
                restored?;
            }
            if self.facts.strength == HoldStrength::Frozen {
                cgroup.thaw(SETTLE)?;
            }
        }
        self.facts.strength = HoldStrength::None;
        self.facts.network = NetworkCut::No;
        Ok(())
    }

    /// Ends it, and everything in its cgroup.
    pub fn kill(&self) -> io::Result<()> {
        match self.cgroup() {
            Some(cgroup) => cgroup.kill(SETTLE),
            None if self.is_alive() => self.process().signal(libc::SIGKILL),
            None => Ok(()),
        }
    }

    /// Writes an ELF core of it.
    pub fn write_core(&self, to: &mut dyn io::Write, limits: CoreLimits) -> io::Result<CoreSummary> {
        self.alive()?;
        let threads = native::examine_held(self.facts.pid, SETTLE)?;
        core_file::write(
            self.facts.pid,
            self.facts.failing_tid,
            // Of a hold that was made before the signal was noted, the one that is to be given back is known.
            if self.facts.signal == 0 { self.facts.pending_signal } else { self.facts.signal },
            &threads,
            to,
            limits,
        )
    }

    /// Reads its threads anew, so that it can be asked; its debug information is looked for here, too.
    ///
    /// # Errors
    /// Where it has ended, or where somebody traces it.
    pub fn examine(&self, debug: &DebugFiles) -> io::Result<Examined> {
        self.alive()?;
        if let Some(tracer) = process::tracer_of(self.facts.pid) {
            return Err(io::Error::other(format!("process {tracer} is attached to it")));
        }
        let threads = native::examine_held(self.facts.pid, SETTLE)?;
        Examined::new(self.facts.pid, self.facts.failing_tid, &threads, debug)
    }

    /// Makes it ready for a debugger, which cannot attach to a frozen process: stopped by SIGSTOP instead of frozen. The
    /// network stays cut.
    pub fn hand_over(&mut self) -> io::Result<i32> {
        self.alive()?;
        if let Some(tracer) = process::tracer_of(self.facts.pid) {
            return Err(io::Error::other(format!("process {tracer} is already attached to it")));
        }
        if self.is_handed_over() {
            return Err(io::Error::other("it is already handed over to a debugger"));
        }
        self.handed_over = Some(self.failing_registers());
        if self.facts.strength == HoldStrength::Frozen {
            // Queued while frozen, it takes effect before the program runs a single instruction.
            self.process().signal(libc::SIGSTOP)?;
            if let Some(cgroup) = self.cgroup() {
                cgroup.thaw(SETTLE)?;
            }
        }
        Ok(self.facts.pid)
    }

    /// Takes it back from a debugger that has left, held as before.
    pub fn reclaim(&mut self) -> io::Result<Reclaimed> {
        self.alive()?;
        let end = Instant::now() + SETTLE;
        while process::tracer_of(self.facts.pid).is_some() {
            if Instant::now() > end {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "a debugger is still attached to it"));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        match (self.facts.strength, self.cgroup()) {
            (HoldStrength::Frozen, Some(cgroup)) => {
                cgroup.freeze(SETTLE)?;
                // Frozen it stays; this only takes back the SIGSTOP of the handing over.
                self.process().signal(libc::SIGCONT)?;
            }
            _ => self.process().signal(libc::SIGSTOP)?,
        }
        let before = self.handed_over.take().flatten();
        Ok(Reclaimed { moved: before.is_some() && before != self.failing_registers() })
    }

    /// Whether a debugger has it at the moment.
    pub fn is_handed_over(&self) -> bool {
        self.handed_over.is_some()
    }

    fn failing_registers(&self) -> Option<Vec<u8>> {
        let threads = native::examine_held(self.facts.pid, SETTLE).ok()?;
        threads.into_iter().find(|thread| thread.tid == self.facts.failing_tid).map(|thread| thread.general)
    }

    fn alive(&self) -> io::Result<()> {
        if self.is_alive() {
            Ok(())
        } else {
            Err(io::Error::new(io::ErrorKind::NotFound, "the held process has ended"))
        }
    }
}
