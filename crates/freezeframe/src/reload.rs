//! The configuration read again while everything runs: checked first, compared, and put into effect as far as that is possible.
//!
//! Services, routes, their limits and certificates change at once; everything else waits for the next start, and is named until
//! then. It does not know who asks, or how: a signal, the API or a command.

use std::sync::{Arc, Mutex, PoisonError};

use freezeframe_api::{Change, ControlError};
use freezeframe_gate::{Gate, RouteTable};

use crate::config::{Config, ConfigError};

/// Settings that are in effect at once, because routes are made of them.
const LIVE: [&str; 6] = [
    "gate.upstreams",
    "gate.h2c",
    "gate.deadline_ms",
    "gate.in_flight_max",
    "gate.queue_max",
    "gate.retries",
];
/// The same, where TLS is spoken before and after.
const LIVE_WITH_TLS: [&str; 2] = ["gate.tls_cert", "gate.tls_key"];

/// Reads the configuration as it was read at the start: the same file, with the same flags over it.
pub(crate) type Load = Box<dyn Fn() -> Result<Config, ConfigError> + Send + Sync>;
/// What of a configuration is the gate's routes.
pub(crate) type Routes = fn(&Config) -> Result<RouteTable, ConfigError>;

/// A gate and the configuration that it runs by.
pub(crate) struct Reloader {
    gate: Gate,
    load: Load,
    routes: Routes,
    /// That of the start.
    begun: Config,
    /// What was read last.
    read: Mutex<Config>,
}

impl Reloader {
    pub(crate) fn new(gate: Gate, begun: Config, routes: Routes, load: Load) -> Self {
        Self { gate, load, routes, read: Mutex::new(begun.clone()), begun }
    }

    /// Reads the configuration again, and unless it is a dry run puts it into effect. Blocks as long as the file system does.
    ///
    /// # Errors
    /// Why it cannot be used; then nothing was changed.
    pub(crate) fn reload(&self, dry_run: bool) -> Result<Vec<Change>, ConfigError> {
        // One after the other; what a panic left is a whole configuration all the same.
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let new = (self.load)()?;
        let routes = (self.routes)(&new)?;
        let settings = new.gate.config(freezeframe_gate::Config::new(new.service.listen))?;
        let wrong = |error: &dyn std::error::Error| {
            ConfigError::new(format!("[gate]: {}", freezeframe_model::chain(error)))
        };
        if let Some(tls) = &settings.tls {
            tls.check().map_err(|error| wrong(&error))?;
        }
        let changes = self.compare(&read, &new, &routes, settings.tls.is_some());
        if dry_run {
            return Ok(changes);
        }
        // First what can fail still: nothing is changed by halves.
        if let Some(tls) = &settings.tls {
            self.gate.use_certificates(&tls.certificates).map_err(|error| wrong(&error))?;
        }
        self.gate.configure(routes).map_err(|error| wrong(&error))?;
        self.gate.reopen_log();
        *read = new;
        Ok(changes)
    }

    fn compare(&self, read: &Config, new: &Config, routes: &RouteTable, has_tls: bool) -> Vec<Change> {
        let keeps_tls = has_tls && self.gate.speaks_tls();
        let is_live = |path: &&str| LIVE.contains(path) || (keeps_tls && LIVE_WITH_TLS.contains(path));
        let now = |what| Change { what, at_next_start: false };
        let later = |what| Change { what, at_next_start: true };
        let mut changes: Vec<Change> = self.gate.routes().diff(routes).into_iter().map(now).collect();
        let live = read.diff(new).into_iter().filter(|(path, _)| is_live(path));
        changes.extend(live.map(|(_, what)| now(what)));
        if read.gate.certificates != new.gate.certificates && keeps_tls {
            changes.push(now("[[gate.certificate]] changes".to_owned()));
        }
        // What waits for the next start is named until it comes.
        let waiting = self.begun.diff(new).into_iter().filter(|(path, _)| !is_live(path));
        changes.extend(waiting.map(|(_, what)| later(what)));
        if self.begun.gate.certificates != new.gate.certificates && !keeps_tls {
            changes.push(later("[[gate.certificate]] changes".to_owned()));
        }
        if self.begun.alert != new.alert {
            changes.push(later("[alert] changes".to_owned()));
        }
        changes
    }

    /// The same, with what came of it in the log.
    ///
    /// # Errors
    /// As [`Reloader::reload`].
    pub(crate) fn reload_for(&self, who: &str, dry_run: bool) -> Result<Vec<Change>, ControlError> {
        let changes = match self.reload(dry_run) {
            Ok(changes) => changes,
            Err(error) => {
                tracing::error!(who, "the configuration stays as it was: {error}");
                return Err(ControlError::Invalid(error.to_string()));
            }
        };
        if dry_run {
            return Ok(changes);
        }
        for change in &changes {
            if change.at_next_start {
                tracing::warn!("{}: takes effect at the next start", change.what);
            } else {
                tracing::info!("{}", change.what);
            }
        }
        let what = if changes.is_empty() { "read again and the same" } else { "read again" };
        tracing::info!(who, "the configuration is {what}");
        Ok(changes)
    }
}

/// What SIGHUP asks for; what comes of it is in the log.
pub(crate) async fn on_signal(reloader: &Arc<Reloader>) {
    let reloader = Arc::clone(reloader);
    // Files are read by a thread that may wait for them.
    let reloaded = tokio::task::spawn_blocking(move || reloader.reload_for("SIGHUP", false).map(drop));
    if let Err(error) = reloaded.await {
        tracing::error!(%error, "reading the configuration failed");
    }
}
