//! Composition: opens the store, starts the gate, adopts what is left, serves the API, runs the actor.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use freezeframe_alert::{Channel, Outbox, Trust};
use freezeframe_api::{Access, Accounts, Door, Events, PageFile, RegisterError};
use freezeframe_gate::Gate;
use freezeframe_lifecycle::{Fleet, Limits};
use freezeframe_model::{IncidentId, InstanceId, chain};
use freezeframe_shim::files::Directory;
use freezeframe_store::Store;
use tokio::sync::{mpsc, watch};

use super::actor::{Daemon, Mailbox, Message};
use super::control::Desk;
use super::observed::{Recent, Watch};
use super::output::PassThrough;
use super::pulse::{Pulse, Sources, Wanted};
use super::writer::{Job, OURSELVES, Writer};
use crate::config::{Config, Service};
use crate::register::Kept;
use crate::reload::{Load, Reloader};
use crate::token;

/// Alerts that are due get this long at the end.
const LAST_ALERTS: std::time::Duration = std::time::Duration::from_secs(3);

/// Why the daemon could not begin.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DaemonError {
    /// The data directory.
    #[error("the data directory {} cannot be used", path.display())]
    Data {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// The incidents' store.
    #[error("the store cannot be opened")]
    Store(#[source] freezeframe_store::StoreError),
    /// Who may sign in.
    #[error("the accounts cannot be read")]
    Accounts(#[source] RegisterError),
    /// The alerts' outbox or a channel.
    #[error("alerts cannot be set up: {0}")]
    Alert(String),
    /// What was set for the gate cannot be.
    #[error("{0}")]
    Settings(String),
    /// The gate.
    #[error("the gate cannot be started")]
    Gate(#[source] freezeframe_gate::GateError),
    /// The admin address.
    #[error("the admin address {address} cannot be listened on")]
    Admin {
        address: SocketAddr,
        #[source]
        source: std::io::Error,
    },
}

/// A daemon that has begun.
pub(crate) struct Running {
    /// Where the gate listens.
    pub(crate) gate: SocketAddr,
    /// Where the page and the API are.
    pub(crate) admin: SocketAddr,
    /// How people come in for the first time.
    pub(crate) entrance: Entrance,
    /// For messages to it.
    pub(crate) mailbox: Mailbox,
    /// Its store, for reading.
    pub(crate) store: Store,
    /// Reads the configuration again.
    pub(crate) reloader: Arc<Reloader>,
    daemon: Daemon,
    messages: mpsc::Receiver<Message>,
    over: watch::Sender<bool>,
    outbox: Arc<Outbox>,
}

/// How people come in for the first time.
#[derive(Clone)]
pub(crate) struct Entrance {
    door: Arc<Door>,
    admin: SocketAddr,
    /// Whether only people on this machine come.
    is_private: bool,
}

impl Entrance {
    /// An address that signs in once, soon, and leads to `path`. Only where nobody has an account yet, and nobody comes
    /// through a proxy.
    pub(crate) fn first_login(&self, path: &str) -> Option<String> {
        let is_first = self.door.accounts().is_some_and(|accounts| accounts.known_accounts().is_empty());
        let secret = (is_first && self.is_private).then(|| self.door.issue_link())??;
        let next = if path == "/" { String::new() } else { format!("?next={path}") };
        Some(format!("http://{}/login{next}#once={secret}", self.admin))
    }
}

impl Running {
    /// Runs until everything has ended; the exit code.
    pub(crate) async fn run(self) -> i32 {
        let gate = self.daemon.gate.clone();
        let code = self.daemon.run(self.messages).await;
        deliver_the_rest(&self.outbox).await;
        let _ = self.over.send(true);
        // Its worker threads finish what they have; blocking is theirs, not this task's.
        let _ = tokio::task::spawn_blocking(move || gate.stop(std::time::Duration::from_millis(500))).await;
        code
    }
}

/// Starts everything. `load` reads the configuration again; `quiet` keeps the instances' output from ours.
pub(crate) async fn start(mut config: Config, load: Load, quiet: bool) -> Result<Running, DaemonError> {
    let data = absolute(&config.store.dir)?;
    let (mailbox, messages) = Mailbox::new();
    let store = Store::open(&data, config.quota()).map_err(DaemonError::Store)?;
    let outbox = Outbox::open(&data.join("outbox.db")).map_err(|error| DaemonError::Alert(chain(error)))?;
    let outbox = Arc::new(outbox);
    let observer = Arc::new(Watch { mailbox: mailbox.clone(), server_errors: config.hold.server_errors });
    let settings = config.gate().map_err(|error| DaemonError::Settings(error.message))?;
    let gate = Gate::start(settings, observer).map_err(DaemonError::Gate)?;
    crate::export::start(&config, &gate).map_err(|error| DaemonError::Settings(error.message))?;
    let routes = |config: &Config| config.gate.supervised_routes();
    let reloader = Arc::new(Reloader::new(gate.clone(), config.clone(), routes, load));
    let admin = tokio::net::TcpListener::bind(config.service.admin)
        .await
        .map_err(|source| DaemonError::Admin { address: config.service.admin, source })?;
    let admin_address = admin.local_addr().unwrap_or(config.service.admin);
    config.service.admin = admin_address;
    let (over, is_over) = watch::channel(false);
    let events = Events::default();
    start_alerts(&config, &outbox, is_over.clone())?;
    let door = serve_api(&config, &data, admin, &store, (&mailbox, &gate, &events), &reloader, is_over)?;
    let is_private = config.service.public_url.is_none();
    let entrance = Entrance { door, admin: admin_address, is_private };
    let last_alerts = outbox.clone();
    let writer = {
        let channels = config.alert.keys().cloned().collect();
        Writer::start(store.clone(), outbox, channels, mailbox.clone(), events)
    };
    record_deliveries(&last_alerts, &writer);
    let host = freezeframe_runtime::host::probe();
    let host_limits = [host.ptrace.clone(), host.freeze.clone(), host.network_cut.clone()];
    let first_free = Directory::all(&data).last().map_or(1, |(id, _)| id.0 + 1);
    let reserved = store.next_instance_id().map_err(DaemonError::Store)?;
    let fleet = Fleet::new(config.limits(), InstanceId(first_free.max(reserved.0)), fastrand::u64(..), 0);
    let mut daemon = Daemon {
        pass_through: PassThrough::new(&config.service.name, quiet),
        data,
        cgroup_parent: host.freeze.is_ok().then_some(host.cgroup_root).flatten(),
        host_limits: host_limits
            .into_iter()
            .filter_map(Result::err)
            .map(|what| format!("missing: {what}"))
            .collect(),
        fleet,
        begun: Instant::now(),
        instances: BTreeMap::new(),
        open: HashMap::new(),
        trapped: None,
        next_id: store.next_id().ok(),
        id_wanted: false,
        recent: Recent::default(),
        pending: HashMap::new(),
        questions: super::inspect::Questions::default(),
        logs_wanted: HashMap::new(),
        gate: gate.clone(),
        store: store.clone(),
        writer,
        mailbox: mailbox.clone(),
        cores: 0,
        counts: HashMap::new(),
        chores_at: Instant::now(),
        clearing: tokio::task::JoinSet::new(),
        stops: 0,
        exit_code: None,
        config,
    };
    daemon.adopt_all();
    Ok(Running {
        gate: gate.local_addr(),
        admin: admin_address,
        entrance,
        mailbox,
        store,
        reloader,
        daemon,
        messages,
        over,
        outbox: last_alerts,
    })
}

fn absolute(path: &Path) -> Result<PathBuf, DaemonError> {
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    let absolute = made.and_then(|()| std::fs::canonicalize(path));
    absolute.map_err(|source| DaemonError::Data { path: path.to_owned(), source })
}

fn start_alerts(
    config: &Config,
    outbox: &Arc<Outbox>,
    over: watch::Receiver<bool>,
) -> Result<(), DaemonError> {
    let channels = channels(config)?;
    let outbox = outbox.clone();
    tokio::spawn(async move {
        outbox.run(channels, until(over)).await;
    });
    Ok(())
}

/// That people were told of an incident is part of its story.
fn record_deliveries(outbox: &Outbox, writer: &Writer) {
    let writer = writer.clone();
    outbox.on_delivery(Box::new(move |channel, notice| {
        writer.submit(Job::Audit {
            who: OURSELVES.to_owned(),
            what: "alert".to_owned(),
            incident: Some(notice.incident),
            detail: format!("{} alert accepted by {channel}", notice.event.as_str()),
        });
    }));
}

/// The same API twice: for people with a token over TCP, and for the command line over a socket that only we can open.
fn serve_api(
    config: &Config,
    data: &Path,
    admin: tokio::net::TcpListener,
    store: &Store,
    (mailbox, gate, events): (&Mailbox, &Gate, &Events),
    reloader: &Arc<Reloader>,
    over: watch::Receiver<bool>,
) -> Result<Arc<Door>, DaemonError> {
    let unusable = |source| DaemonError::Data { path: data.to_owned(), source };
    let token = token::read_or_create(data).map_err(unusable)?;
    let durations = {
        let gate = gate.clone();
        Box::new(move || gate.durations())
    };
    let reload = {
        let reloader = Arc::clone(reloader);
        Box::new(move |who: &str, dry_run| reloader.reload_for(who, dry_run))
    };
    let accounts = Accounts::load(Box::new(Kept(store.clone()))).map_err(DaemonError::Accounts)?;
    let (store, mailbox) = (store.clone(), mailbox.clone());
    let service = config.service.clone();
    let pulse = Arc::new(Pulse::default());
    let sources = Sources {
        gate: gate.clone(),
        mailbox: mailbox.clone(),
        store: store.clone(),
        events: events.clone(),
        wanted: Wanted::of(config),
    };
    tokio::spawn(Arc::clone(&pulse).run(sources, over.clone()));
    let desk = Arc::new(Desk {
        store,
        mailbox,
        captures: Arc::default(),
        pulse,
        places: config.source.places(),
        events: events.clone(),
        link: Box::new(move |id| link(&service, id)),
        durations,
        reload,
    });
    let page = page();
    let door = Door::new(&token, config.service.public_url.iter().cloned().collect());
    let door = Arc::new(door.with_accounts(Arc::new(accounts)));
    let remote = freezeframe_api::router(desk.clone(), Access::remote(&door), page.clone());
    let local = freezeframe_api::router(desk, Access::local_of(&door), page);
    let socket = crate::client::bind(data).map_err(unusable)?;
    tokio::spawn(freezeframe_api::serve_tcp(admin, remote, over.clone()));
    tokio::spawn(freezeframe_api::serve_unix(socket, local, over));
    Ok(door)
}

/// The workbench as it was built into this binary.
fn page() -> freezeframe_api::Page {
    let files = freezeframe_ui::files().iter();
    files.map(|file| PageFile { path: file.path, body: file.body, gzip: file.gzip }).collect()
}

fn channels(config: &Config) -> Result<BTreeMap<String, Channel>, DaemonError> {
    let lookup = |name: &str| std::env::var(name).ok();
    let trust = Trust::system().map_err(|error| DaemonError::Alert(chain(error)))?;
    let made = config.alert.iter().map(|(name, channel)| {
        let channel = Channel::new(channel, &lookup, &trust)
            .map_err(|error| DaemonError::Alert(format!("[alert.{name}]: {}", chain(error))))?;
        Ok((name.clone(), channel))
    });
    made.collect()
}

/// The alert of what ended us should not wait for the next start; what cannot be delivered at once does.
async fn deliver_the_rest(outbox: &Outbox) {
    let end = Instant::now() + LAST_ALERTS;
    let due = || {
        let pending = outbox.pending().unwrap_or_default();
        pending.iter().any(|queued| queued.due_at <= freezeframe_model::Timestamp::now())
    };
    while due() && Instant::now() < end {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

async fn until(mut over: watch::Receiver<bool>) {
    let _ = over.wait_for(|over| *over).await;
}

fn link(service: &Service, incident: IncidentId) -> String {
    match &service.public_url {
        Some(url) => format!("{}/i/{incident}", url.trim_end_matches('/')),
        None => format!("http://{}/i/{incident}", service.admin),
    }
}

impl Daemon {
    /// The page of an incident.
    pub(super) fn link(&self, incident: IncidentId) -> String {
        link(&self.config.service, incident)
    }
}

impl Config {
    fn quota(&self) -> freezeframe_store::Quota {
        freezeframe_store::Quota {
            bytes: self.store.bytes,
            files: self.store.files,
            ..freezeframe_store::Quota::default()
        }
    }

    fn gate(&self) -> Result<freezeframe_gate::Config, crate::config::ConfigError> {
        self.gate.config(freezeframe_gate::Config {
            drain_ms: self.service.stop_ms,
            routes: self.gate.supervised_routes()?,
            ..freezeframe_gate::Config::new(self.service.listen)
        })
    }

    fn limits(&self) -> Limits {
        let (service, hold) = (&self.service, &self.hold);
        Limits {
            instances: service.instances,
            spares: service.spares,
            held_max: if hold.enabled { hold.held_max } else { 0 },
            held_bytes_max: hold.held_bytes_max,
            healthy_min: hold.healthy_min,
            drain_ms: hold.drain_ms,
            lease_ms: hold.lease_ms,
            ready_ms: service.ready.timeout_ms,
            stop_ms: service.stop_ms,
            // The only instance's own exit code is ours.
            restart: !(service.instances == 1 && service.spares == 0),
            ..Limits::default()
        }
    }
}
