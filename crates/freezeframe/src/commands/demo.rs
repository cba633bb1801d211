//! `freezeframe demo`: the main job, shown on a sample shop with real traffic, in half a minute.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use freezeframe_api::dto::IncidentView;
use freezeframe_model::{Incident, IncidentKind, IncidentState, InstanceRole, InstanceView};
use shop::{Breaks, STORIES, Story};
use tokio::sync::oneshot;

use super::StopSignals;
use super::demo_story::{User, honest_traffic};
use crate::config::{Config, Flags};
use crate::daemon::{self, Message, Running};
use crate::error::{CommandError, Kind};
use crate::{render, token};

/// Until both instances and the spare are ready.
const READY_LIMIT: Duration = Duration::from_secs(60);
/// From the failing request to the held process.
const HOLD_LIMIT: Duration = Duration::from_secs(60);
/// Ordinary traffic before and after.
const BEFORE: Duration = Duration::from_millis(1500);
const AFTER: Duration = Duration::from_millis(1000);
/// No progress for so long is a stall: the story of the deadlock must not take a minute.
const STALL_MS: u64 = 1500;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Exit after the incident is captured, and leave nothing behind.
    #[arg(long)]
    once: bool,
    /// One JSON object on standard output, nothing else.
    #[arg(long)]
    json: bool,
    /// Which bug [possible values are listed on a wrong one].
    #[arg(long, default_value = "divide-by-zero", value_parser = find_story)]
    story: &'static Story,
    /// Address of the page [default: a free port of 127.0.0.1].
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS")]
    admin: std::net::SocketAddr,
    /// Address of the gate [default: a free port of 127.0.0.1].
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS")]
    listen: std::net::SocketAddr,
}

fn find_story(name: &str) -> Result<&'static Story, String> {
    let found = STORIES.iter().find(|story| story.name == name);
    found.ok_or_else(|| {
        let known: Vec<String> =
            STORIES.iter().map(|story| format!("\n  {:16} {}", story.name, story.summary)).collect();
        format!("no story of that name; there are:{}", known.concat())
    })
}

/// Where the demo keeps everything; gone with it.
struct Scratch {
    path: std::path::PathBuf,
}

impl Scratch {
    fn new() -> std::io::Result<Self> {
        let path = std::env::temp_dir().join(format!("freezeframe-demo-{}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        Ok(Self { path })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// Progress for people; silent with `--json`.
struct Teller {
    silent: bool,
    begun: Instant,
}

impl Teller {
    fn tell(&self, text: &str) {
        if !self.silent {
            super::say(&format!("{:>7.2} s  {text}", self.begun.elapsed().as_secs_f64()));
        }
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<i32, CommandError> {
    super::log_to_stderr(if arguments.json { "off" } else { "error" });
    let scratch = Scratch::new()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let result = runtime.block_on(perform(arguments, &scratch));
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

async fn perform(arguments: &Arguments, scratch: &Scratch) -> Result<i32, CommandError> {
    let teller = Teller { silent: arguments.json, begun: Instant::now() };
    let config = configure(arguments, scratch)?;
    let same = config.clone();
    let running = daemon::start(config, Box::new(move || Ok(same.clone())), true)
        .await
        .map_err(|error| super::run::explain(&error))?;
    let stage = Stage::of(&running);
    let mut stop = StopSignals::listen()?;
    let over = tokio::spawn(running.run());
    let played = tokio::select! {
        played = play(arguments, scratch, &teller, &stage) => played,
        () = stop.next() => Err(CommandError::new(Kind::Failed, "stopped before the story was over")),
    };
    if played.is_ok() && !arguments.once {
        super::say(
            "\nThe demo goes on until Ctrl-C: open the page, attach a debugger, or send requests of your own.",
        );
        stop.next().await;
    }
    stage.end().await;
    let _ = over.await;
    played
}

fn configure(arguments: &Arguments, scratch: &Scratch) -> Result<Config, CommandError> {
    let shop = std::env::current_exe()?.display().to_string();
    let flags = Flags {
        data_dir: Some(scratch.path.join("data")),
        listen: Some(arguments.listen),
        admin: Some(arguments.admin),
        command: vec![shop, "shop".to_owned()],
        ..Flags::default()
    };
    let mut config =
        Config::resolve(None, [], flags).map_err(|error| CommandError::caused(Kind::Usage, &error))?;
    config.service.name = "shop".to_owned();
    config.service.ready.path = Some("/health".to_owned());
    config.hold.stall_ms = Some(STALL_MS);
    config.hold.health_path = Some("/health".to_owned());
    // All instances share one database, as instances of a real shop would.
    let database = scratch.path.join("shop.db").display().to_string();
    config.service.env.insert("SHOP_DB".to_owned(), database);
    Ok(config)
}

/// The daemon, as far as the demo needs it.
struct Stage {
    gate: std::net::SocketAddr,
    admin: std::net::SocketAddr,
    entrance: daemon::Entrance,
    mailbox: daemon::Mailbox,
    store: freezeframe_store::Store,
}

impl Stage {
    fn of(running: &Running) -> Self {
        let (mailbox, store) = (running.mailbox.clone(), running.store.clone());
        let entrance = running.entrance.clone();
        Self { gate: running.gate, admin: running.admin, entrance, mailbox, store }
    }

    async fn instances(&self) -> Vec<InstanceView> {
        let (answer, answered) = oneshot::channel();
        self.mailbox.send(Message::Instances(answer)).await;
        answered.await.unwrap_or_default()
    }

    async fn wait_ready(&self) -> Result<(), CommandError> {
        let end = Instant::now() + READY_LIMIT;
        loop {
            let instances = self.instances().await;
            let count = |role| instances.iter().filter(|instance| instance.role == role).count();
            if count(InstanceRole::Serving) >= 2 && count(InstanceRole::Spare) >= 1 {
                return Ok(());
            }
            if Instant::now() > end {
                return Err(CommandError::new(Kind::TimedOut, "the shop did not start"));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The incident of this story, when its capture is there and it is held (or never will be).
    async fn wait_incident(&self, story: &Story) -> Result<Incident, CommandError> {
        let end = Instant::now() + HOLD_LIMIT;
        while Instant::now() < end {
            let mut incidents = self.store.list(10)?;
            incidents.reverse();
            for incident in incidents.into_iter().filter(|incident| belongs(incident, story)) {
                let settled = incident.state != IncidentState::Draining
                    && (incident.state == IncidentState::Recorded || incident.timings.stored_us.is_some());
                if settled {
                    return Ok(incident);
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Err(CommandError::new(Kind::TimedOut, "no incident was held"))
    }

    /// Ends everything, what is held included: the demo leaves nothing behind.
    async fn end(&self) {
        for incident in self.store.live().unwrap_or_default() {
            let (answer, answered) = oneshot::channel();
            let (who, action) = ("demo".to_owned(), freezeframe_api::Act::Kill);
            self.mailbox.send(Message::Act { who, incident: incident.id, action, answer }).await;
            let _ = tokio::time::timeout(Duration::from_secs(5), answered).await;
        }
        self.mailbox.send(Message::Stop).await;
        self.mailbox.send(Message::Stop).await;
    }
}

/// Whether an incident is what the story promises: some stories log an error on their way.
fn belongs(incident: &Incident, story: &Story) -> bool {
    match story.breaks {
        Breaks::Panic(_) => incident.kind == IncidentKind::Panic,
        Breaks::Status(status) => {
            matches!(incident.kind, IncidentKind::ErrorEvent)
                || incident.kind == IncidentKind::ServerError(status)
        }
        Breaks::Hang => incident.kind == IncidentKind::Stall,
        Breaks::Assertion(_) => incident.kind == IncidentKind::Assertion,
        Breaks::Signal(name) => {
            incident.kind == IncidentKind::Signal(name.to_owned()) || incident.kind == IncidentKind::Panic
        }
    }
}

async fn play(
    arguments: &Arguments,
    scratch: &Scratch,
    teller: &Teller,
    stage: &Stage,
) -> Result<i32, CommandError> {
    let story = arguments.story;
    teller.tell("starting the shop: 2 instances and a spare");
    stage.wait_ready().await?;
    teller.tell(&format!("ready; the gate is http://{}", stage.gate));
    let tally = honest_traffic(stage.gate);
    tokio::time::sleep(BEFORE).await;
    teller.tell(&format!("honest traffic: {} requests answered", tally.answered.load(Ordering::Relaxed)));
    teller.tell(&format!("a user meets the bug: {}", story.summary));
    let before = tally.answered.load(Ordering::Relaxed);
    let gate = stage.gate;
    let user = tokio::spawn(async move { User::default().live_through(gate, story).await });
    let incident = stage.wait_incident(story).await?;
    tell_incident(teller, &incident);
    tokio::time::sleep(AFTER).await;
    let (status, incident_header) = user.await.unwrap_or((None, None));
    tally.stop();
    let answered = tally.answered.load(Ordering::Relaxed);
    let failed = tally.failed.load(Ordering::Relaxed);
    teller
        .tell(&format!("honest traffic since then: {} requests answered, {failed} lost", answered - before));
    let incident = stage.store.incident(incident.id)?.unwrap_or(incident);
    let capture = stage.store.capture(incident.id)?;
    let path = format!("/i/{}", incident.id);
    let link = format!("http://{}{path}", stage.admin);
    let token = token::read(&scratch.path.join("data"))?;
    if arguments.json {
        return super::print_json(&serde_json::json!({
            "schema": "freezeframe-demo/1",
            "story": story.name,
            "link": link,
            "honest": { "answered": answered, "failed": failed },
            "failing_request": { "status": status, "incident": incident_header },
            "incident": IncidentView::from((&incident, capture.as_ref())),
        }));
    }
    super::print(&format!("\n{}", render::incident(&incident, capture.as_ref(), super::style())))?;
    let commands = if arguments.once { String::new() } else { commands(scratch, &incident) };
    let open = match stage.entrance.first_login(&path).filter(|_| !arguments.once) {
        Some(once) => format!("{once}\n      which signs in once and soon; later {link}"),
        None => link,
    };
    super::print(&format!("\nOpen  {open}\ntoken {token}\n{commands}"))
}

fn tell_incident(teller: &Teller, incident: &Incident) {
    let ms =
        |us: Option<u64>| us.map_or_else(|| "not".to_owned(), |us| format!("{:.1} ms", us as f64 / 1000.0));
    let t = &incident.timings;
    teller.tell(&format!("{} {}", incident.id, incident.sentence()));
    teller.tell(&format!(
        "after the trap: all threads stopped {}, out of routing {}, a spare serving {}",
        ms(t.stopped_us),
        ms(t.unrouted_us),
        ms(t.replaced_us)
    ));
    teller.tell(&format!(
        "                captured {}, held {} ({}), durable {}",
        ms(t.captured_us),
        ms(t.held_us),
        incident.hold.describe(),
        ms(t.stored_us)
    ));
}

fn commands(scratch: &Scratch, incident: &Incident) -> String {
    let data = scratch.path.join("data");
    let line = |command: &str| {
        format!("      freezeframe {command} {} --data-dir {}\n", incident.id, data.display())
    };
    format!("or\n{}{}{}", line("show"), line("attach"), line("release"))
}
