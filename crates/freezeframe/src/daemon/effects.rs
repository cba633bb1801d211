//! Carrying out what the state machine says. Every action is one arm here; none decides anything.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use freezeframe_lifecycle::{Action, Event, Refusal, ResumeWhy};
use freezeframe_model::{ExitReason, IncidentState, InstanceId, Loss, Timestamp};
use freezeframe_shim::files::{DebugSpec, Directory, Spec};
use freezeframe_shim::protocol::Command;

use super::actor::{Daemon, Instance};
use super::shims;
use super::writer::Job;
use crate::config::Config;

impl Daemon {
    pub(super) fn carry_out(&mut self, actions: Vec<Action>) {
        for action in actions {
            tracing::debug!(?action);
            self.carry_out_one(action);
        }
    }

    fn carry_out_one(&mut self, action: Action) {
        match action {
            Action::Start { instance } => self.start_instance(instance),
            Action::Route { instance } => self.route(instance),
            Action::Unroute { instance } => {
                self.gate.unroute(instance);
                self.note_milestone(instance, |timings, at| timings.unrouted_us = Some(at));
            }
            Action::Permit { instance, permitted, why } => self.permit(instance, permitted, why),
            Action::Confirm { instance, drain_ms, .. } => self.confirm(instance, drain_ms),
            Action::Refuse { instance, rearm_ms, why } => {
                tracing::info!(%instance, %why, "an error passes without a hold");
                let trap = self.trapped.as_ref().map_or(0, |(_, trapped)| trapped.trap);
                self.tell(instance, Command::Refuse { trap, rearm_ms });
            }
            Action::Count { fingerprint } => self.count(fingerprint),
            Action::Freeze { instance } => {
                self.finish_drain(instance);
                self.tell(instance, Command::Freeze);
            }
            Action::Permanent { .. } => {}
            Action::Resume { instance, why } => self.resume(instance, why),
            Action::CaptureStall { instance } => self.tell(instance, Command::CaptureStall),
            Action::WriteCore { instance } => self.write_core(instance, None, None),
            Action::Kill { instance } => {
                self.will_end(instance);
                self.tell(instance, Command::Kill);
            }
            Action::Terminate { instance } => {
                self.will_end(instance);
                self.tell(instance, Command::Terminate);
            }
            Action::BreakerOpened { message, .. } => tracing::error!("{message}"),
            Action::BreakerClosed => tracing::info!("instances start again"),
            Action::Done { code } => self.exit_code = Some(code),
        }
    }

    pub(super) fn tell(&self, instance: InstanceId, command: Command) {
        if let Some(known) = self.instances.get(&instance) {
            known.shim.send(command);
        }
    }

    fn will_end(&mut self, instance: InstanceId) {
        if let Some(known) = self.instances.get_mut(&instance) {
            known.expected_to_end = true;
        }
    }

    fn start_instance(&mut self, instance: InstanceId) {
        self.writer.submit(Job::InstanceStarted);
        let directory = Directory::of(&self.data, instance);
        let created = self.free_port().and_then(|port| {
            directory.create(&self.spec(instance, port))?;
            Ok(port)
        });
        let port = match created {
            Ok(port) => port,
            Err(error) => {
                let reason = ExitReason::Spawn(format!("{}: {error}", directory.path().display()));
                let _ = std::fs::remove_dir_all(directory.path());
                return self.feed(Event::Exited { instance, reason });
            }
        };
        let (shim, commands) = shims::channel();
        shims::spawn(commands, directory.clone(), instance, self.mailbox.clone());
        self.instances.insert(instance, Instance::new(shim, directory, port));
    }

    /// A port that nobody listens on at this moment, and that no instance was given. Should somebody take it before the
    /// instance does, the instance fails to start and the next one gets another port.
    fn free_port(&self) -> std::io::Result<u16> {
        loop {
            let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
            if self.instances.values().all(|known| known.port != port) {
                return Ok(port);
            }
        }
    }

    fn spec(&self, instance: InstanceId, port: u16) -> Spec {
        let Config { service, hold, store, .. } = &self.config;
        let port_text = port.to_string();
        let command = service.command.iter().map(|word| word.replace("{port}", &port_text)).collect();
        let own = [
            ("PORT".to_owned(), port_text),
            ("FREEZEFRAME_INSTANCE".to_owned(), format!("{}/{instance}", service.name)),
        ];
        Spec {
            instance,
            service: service.name.clone(),
            port,
            command,
            environment: service.env.clone().into_iter().chain(own).collect(),
            directory: service.directory.clone(),
            cgroup_parent: self.cgroup_parent.clone(),
            redact: [
                hold.redact.names.clone(),
                hold.redact.patterns.clone(),
                hold.redact.allow_names.clone(),
            ],
            redact_further: [
                hold.redact.types.clone(),
                hold.redact.allow_types.clone(),
                hold.redact.allow_patterns.clone(),
            ],
            capture_ms: hold.capture_ms,
            user_code: [hold.user_code.include.clone(), hold.user_code.exclude.clone()],
            indexes: (store.index_bytes > 0).then(|| {
                let own = || self.data.join("index");
                (store.index_dir.clone().unwrap_or_else(own), store.index_bytes)
            }),
            debug: self.debug_spec(),
        }
    }

    fn debug_spec(&self) -> DebugSpec {
        let debuginfo = &self.config.debuginfo;
        DebugSpec {
            directories: debuginfo.directories.iter().map(Into::into).collect(),
            servers: debuginfo.servers(),
            cache: self.data.join("debuginfo"),
            file_bytes_max: debuginfo.file_bytes_max,
            cache_bytes_max: debuginfo.cache_bytes,
        }
    }

    fn route(&mut self, instance: InstanceId) {
        let Some(known) = self.instances.get(&instance) else { return };
        self.gate.route(instance, SocketAddr::from((Ipv4Addr::LOCALHOST, known.port)));
        tracing::info!(%instance, port = known.port, "serving");
        // The spare that takes the place of one that is being held.
        let replaced = self.open.values().filter(|open| {
            open.incident.state == IncidentState::Draining && open.incident.timings.replaced_us.is_none()
        });
        let instances: Vec<InstanceId> =
            replaced.map(|open| open.incident.instance).filter(|held| *held != instance).collect();
        for held in instances {
            self.note_milestone(held, |timings, at| timings.replaced_us = Some(at));
        }
    }

    fn permit(&self, instance: InstanceId, permitted: bool, why: Option<Refusal>) {
        if let Some(why) = why {
            tracing::debug!(%instance, %why, "errors are not held at the moment");
        }
        self.tell(instance, Command::Permit { permitted });
    }

    fn resume(&mut self, instance: InstanceId, why: ResumeWhy) {
        let take_back = why == ResumeWhy::GivenUp;
        if take_back && let Some(incident) = self.instances.get(&instance).and_then(|known| known.incident) {
            if let Some(open) = self.open.get_mut(&incident) {
                let why = "no replacement came to serve in its place: the hold was given up".to_owned();
                open.incident.not_captured.push(Loss { what: "the held process".to_owned(), why });
            }
            self.set_state(incident, IncidentState::Released);
            if let Some(known) = self.instances.get_mut(&instance) {
                known.incident = None;
            }
        }
        self.tell(instance, Command::Resume { take_back });
    }
}

impl Instance {
    pub(super) fn new(shim: shims::Shim, directory: Directory, port: u16) -> Self {
        Self {
            shim,
            directory,
            shim_version: 0,
            port,
            pid: 0,
            since: Timestamp::now(),
            role: None,
            limits: Vec::new(),
            incident: None,
            probed: false,
            expected_to_end: false,
            debugged_by: None,
        }
    }
}
