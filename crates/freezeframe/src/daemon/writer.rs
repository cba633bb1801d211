//! Writing to the store and the alerts' outbox: in order, in a thread of its own, because both wait for the disk.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use freezeframe_alert::{Notice, NoticeEvent, Outbox};
use freezeframe_api::Events;
use freezeframe_api::words::Report;
use freezeframe_model::{Capture, Fingerprint, Incident, IncidentId, InstanceId, Record, Timestamp, chain};
use freezeframe_store::{Store, StoreError};

use super::actor::{Mailbox, Message};

/// Who acts in the audit log where no person does.
pub(crate) const OURSELVES: &str = "freezeframe";

/// What could not be written is tried again so often.
const RETRY_EVERY: Duration = Duration::from_secs(5);
/// Incidents that wait to be tried again; more are given up, the oldest first.
const RETRIES_MAX: usize = 64;

/// One thing to be made durable.
pub(crate) enum Job {
    /// A new incident, with what was captured where that is there already.
    Insert(Box<Incident>, Option<Box<Capture>>),
    /// Its capture. `Message::Stored` follows when it is durable.
    Capture(Box<Incident>, Box<Capture>),
    /// A change.
    Update(Box<Incident>),
    /// Occurrences that were only counted.
    Count(Fingerprint, u64),
    /// Tell people; comes after what it tells of.
    Notify(Box<Notice>),
    /// Everything before this is durable and told: `Message::Told` follows.
    Told(IncidentId),
    /// Reserve the next incident's number. `Message::NextId` follows in any case.
    NextId,
    /// Record who did what.
    Audit { who: String, what: String, incident: Option<IncidentId>, detail: String },
    /// An instance number was used.
    InstanceStarted,
    /// Move a core into the store. `Message::CoreKept` follows.
    KeepCore { instance: InstanceId, id: IncidentId, path: PathBuf, sizes: (u64, u64) },
    /// Answer when everything before this is done.
    Flush(tokio::sync::oneshot::Sender<()>),
}

/// Gives jobs to the thread. Their number is bounded by what makes them: incidents by budgets and by [`super::observed`],
/// counts by the actor, which adds them up for a second.
#[derive(Clone)]
pub(crate) struct Writer {
    jobs: Sender<Job>,
}

impl Writer {
    /// Starts the thread.
    pub(crate) fn start(
        store: Store,
        outbox: Arc<Outbox>,
        channels: Vec<String>,
        mailbox: Mailbox,
        events: Events,
    ) -> Self {
        let (jobs, received) = channel();
        let work = Work { store, outbox, channels, mailbox, events, retries: VecDeque::new() };
        std::thread::spawn(move || work.run(&received));
        Self { jobs }
    }

    /// Never waits.
    pub(crate) fn submit(&self, job: Job) {
        if self.jobs.send(job).is_err() {
            tracing::error!("the thread that writes to the store has ended");
        }
    }
}

struct Work {
    store: Store,
    outbox: Arc<Outbox>,
    channels: Vec<String>,
    mailbox: Mailbox,
    /// What is durable is told to those who watch.
    events: Events,
    /// Incidents and captures that could not be written: the disk may get room again.
    retries: VecDeque<Job>,
}

impl Work {
    fn run(mut self, jobs: &Receiver<Job>) {
        loop {
            match jobs.recv_timeout(RETRY_EVERY) {
                Ok(job) => self.perform(job),
                Err(RecvTimeoutError::Timeout) => {
                    for job in std::mem::take(&mut self.retries) {
                        self.perform(job);
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn perform(&mut self, job: Job) {
        let store = &self.store;
        let done: Result<(), String> = match job {
            Job::Insert(mut incident, capture) => match store.insert(&mut incident, capture.as_deref()) {
                Ok(()) => {
                    self.tell(&incident);
                    self.mailbox.post(Message::Stored { incident, with_capture: capture.is_some() });
                    Ok(())
                }
                Err(error) => self.again(Job::Insert(incident, capture), error),
            },
            Job::Capture(mut incident, capture) => match store_capture(store, &mut incident, &capture) {
                Ok(()) => {
                    self.tell(&incident);
                    self.mailbox.post(Message::Stored { incident, with_capture: true });
                    Ok(())
                }
                Err(error) => self.again(Job::Capture(incident, capture), error),
            },
            Job::Update(mut incident) => {
                let updated = match store.update(&incident) {
                    // Its row could not be written before: a full disk, or a daemon that died too early.
                    Err(StoreError::NoIncident(_)) => store.insert(&mut incident, None),
                    other => other,
                };
                updated.map(|()| self.tell(&incident)).map_err(chain)
            }
            Job::Count(fingerprint, by) => store.count(fingerprint, by, Timestamp::now()).map_err(chain),
            Job::Notify(mut notice) => {
                if notice.event == NoticeEvent::Opened {
                    notice.report = report(store, &notice).unwrap_or_default();
                }
                self.outbox.enqueue(&notice, &self.channels).map_err(chain)
            }
            Job::Told(id) => {
                self.mailbox.post(Message::Told(id));
                Ok(())
            }
            Job::NextId => {
                let id = store.next_id();
                self.mailbox.post(Message::NextId(id.as_ref().ok().copied()));
                id.map(drop).map_err(chain)
            }
            Job::InstanceStarted => store.next_instance_id().map(drop).map_err(chain),
            Job::Audit { who, what, incident, detail } => {
                let recorded = store.audit(&who, &what, incident, &detail);
                recorded.map(|entry| self.events.audit(&entry)).map_err(chain)
            }
            Job::KeepCore { instance, id, path, sizes } => {
                // Gigabytes take minutes, and nothing else may wait for them.
                let (store, mailbox) = (store.clone(), self.mailbox.clone());
                std::thread::spawn(move || {
                    let kept = keep_core(&store, id, &path, sizes);
                    let _ = std::fs::remove_file(&path);
                    mailbox.post(Message::CoreKept(instance, kept));
                });
                Ok(())
            }
            Job::Flush(done) => {
                let _ = done.send(());
                Ok(())
            }
        };
        if let Err(error) = done {
            tracing::error!(%error, "the store could not be written to");
        }
    }

    fn tell(&self, incident: &Incident) {
        if self.events.is_watched() {
            let owner = self.store.owner(incident.id).ok().flatten();
            self.events.incident(incident, owner.as_ref());
        }
    }

    fn again(&mut self, job: Job, error: StoreError) -> Result<(), String> {
        if self.retries.len() >= RETRIES_MAX {
            self.retries.pop_front();
        }
        self.retries.push_back(job);
        Err(chain(error))
    }
}

/// What is known by now, without anything that was read of the process.
fn report(store: &Store, notice: &Notice) -> Option<String> {
    let incident = store.incident(notice.incident).ok()??;
    let capture = store.capture(notice.incident).ok().flatten();
    let sightings = store.sightings(&incident).ok()?;
    let report = Report {
        incident: &incident,
        capture: capture.as_ref(),
        record: &Record::default(),
        sightings: &sightings,
        link: Some(&notice.link),
        with_values: false,
    };
    Some(report.markdown(Timestamp::now()))
}

fn store_capture(store: &Store, incident: &mut Incident, capture: &Capture) -> Result<(), StoreError> {
    match store.set_capture(incident, capture) {
        Err(StoreError::NoIncident(_)) => store.insert(incident, Some(capture)),
        other => other,
    }
}

fn keep_core(
    store: &Store,
    id: IncidentId,
    path: &Path,
    (memory, left_out): (u64, u64),
) -> Result<String, String> {
    let mut from = std::fs::File::open(path).map_err(chain)?;
    let mut to = store.core_writer(id, u64::MAX).map_err(chain)?;
    // The shim compresses lightly, to lose no time and little room; the store compresses for keeping.
    zstd::stream::copy_decode(&mut from, &mut to).map_err(chain)?;
    let bytes = to.commit().map_err(chain)?;
    let rest = match left_out {
        0 => String::new(),
        left_out => format!(", {left_out} bytes left out by store.core_bytes_max"),
    };
    Ok(format!("core of {id}: {memory} bytes of memory in {bytes}{rest}"))
}
