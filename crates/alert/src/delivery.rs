//! Emptying the outbox: one worker per channel, so that a slow one holds up nobody else.
//!
//! Within a channel alerts go out one after the other. The outbox decides what is next; this file decides nothing but
//! how to wait.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use freezeframe_model::{Timestamp, chain};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::outbox::{Next, Queued};
use crate::{Channel, Outbox, OutboxError, SendError};

/// Workers look again at least this often, in case the clock was set.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);
/// Pause when the outbox itself fails, for example on a full disk.
const AFTER_TROUBLE: Duration = Duration::from_secs(5);
/// At the end, attempts under way get this long.
const GRACE: Duration = Duration::from_secs(2);
/// How often what is over is forgotten.
const TIDY_EVERY: Duration = Duration::from_secs(3600);

impl Outbox {
    /// Delivers until `shutdown` is ready. What is not delivered by then stays in the outbox for the next run.
    pub async fn run(
        self: Arc<Self>,
        channels: BTreeMap<String, Channel>,
        shutdown: impl Future<Output = ()> + Send,
    ) {
        let (stop, stopped) = watch::channel(false);
        let names: Vec<String> = channels.keys().cloned().collect();
        let mut workers = JoinSet::new();
        for (name, channel) in channels {
            let worker = Worker { outbox: Arc::clone(&self), name, channel };
            workers.spawn(worker.work(stopped.clone()));
        }
        tokio::pin!(shutdown);
        loop {
            self.clone().tidy_and_tell(names.clone()).await;
            tokio::select! {
                () = &mut shutdown => break,
                () = sleep(TIDY_EVERY) => {}
            }
        }
        stop.send_replace(true);
        let all_ended = async { while workers.join_next().await.is_some() {} };
        if timeout(GRACE, all_ended).await.is_err() {
            tracing::info!("an attempt was cut short; it will be repeated");
        }
        workers.shutdown().await;
    }

    async fn tidy_and_tell(self: Arc<Self>, names: Vec<String>) {
        match blocking(self, move |outbox| outbox.tidy(&names, Timestamp::now())).await {
            Ok(given_up) => given_up.iter().for_each(|queued| {
                tracing::error!(channel = queued.channel, incident = %queued.alert.notice.incident,
                    "gave up an alert: its channel is no longer configured");
            }),
            Err(error) => tracing::warn!(error = chain(&error), "cannot tidy the outbox"),
        }
    }
}

struct Worker {
    outbox: Arc<Outbox>,
    name: String,
    channel: Channel,
}

impl Worker {
    async fn work(self, mut stopped: watch::Receiver<bool>) {
        let mut changed = self.outbox.changed.subscribe();
        while !*stopped.borrow() {
            // Before looking: what is added afterwards wakes us up.
            changed.borrow_and_update();
            let name = self.name.clone();
            let next =
                blocking(self.outbox.clone(), move |outbox| outbox.next(&name, Timestamp::now())).await;
            let pause = match next {
                Ok(Next::Send(queued)) => {
                    self.attempt(*queued, &mut stopped).await;
                    continue;
                }
                Ok(Next::Wait(pause)) => pause.min(LONGEST_SLEEP),
                Ok(Next::Nothing) => LONGEST_SLEEP,
                Err(error) => {
                    let error = chain(&error);
                    tracing::error!(error, channel = self.name, "cannot read the outbox");
                    wait(AFTER_TROUBLE, &mut stopped).await;
                    continue;
                }
            };
            tokio::select! {
                () = wait(pause, &mut stopped) => {}
                _ = changed.changed() => {}
            }
        }
    }

    async fn attempt(&self, queued: Queued, stopped: &mut watch::Receiver<bool>) {
        let limit = self.outbox.timing.attempt;
        let result = match timeout(limit, self.channel.send(&queued.alert)).await {
            Ok(result) => result,
            Err(_) => {
                let why = format!("no answer within {} ms", limit.as_millis());
                Err(SendError::Retry { why, after: None })
            }
        };
        self.tell(&queued, &result);
        let (queued, result) = (Arc::new(queued), Arc::new(result));
        loop {
            let (sent, outcome) = (Arc::clone(&queued), Arc::clone(&result));
            let noted = blocking(self.outbox.clone(), move |outbox| note(outbox, &sent, &outcome)).await;
            match noted {
                Ok(false) => {
                    if result.is_ok()
                        && let Some(told) = self.outbox.on_delivery.get()
                    {
                        told(&self.name, &queued.alert.notice);
                    }
                    return;
                }
                Ok(true) => {
                    let notice = &queued.alert.notice;
                    tracing::error!(channel = self.name, incident = %notice.incident, "gave up an alert");
                    return;
                }
                // To go on without the note would send the same alert again and again.
                Err(error) => {
                    let error = chain(&error);
                    tracing::error!(error, channel = self.name, "cannot note an attempt in the outbox");
                    wait(AFTER_TROUBLE, stopped).await;
                    if *stopped.borrow() {
                        return;
                    }
                }
            }
        }
    }

    fn tell(&self, queued: &Queued, result: &Result<(), SendError>) {
        let (channel, incident) = (&self.name, queued.alert.notice.incident);
        match result {
            Ok(()) => tracing::info!(channel, %incident, "alert delivered"),
            Err(error) => {
                tracing::warn!(channel, %incident, %error, attempts = queued.attempts, "alert failed")
            }
        }
    }
}

/// Returns whether the alert was given up.
fn note(outbox: &Outbox, queued: &Queued, result: &Result<(), SendError>) -> Result<bool, OutboxError> {
    let now = Timestamp::now();
    match result {
        Ok(()) => outbox.delivered(queued, now).map(|()| false),
        Err(SendError::Retry { why, after }) => outbox.failed_attempt(queued, why, *after, false, now),
        Err(SendError::Rejected(why)) => outbox.failed_attempt(queued, why, None, true, now),
    }
}

/// Sleeps, or returns early when it is time to stop.
async fn wait(pause: Duration, stopped: &mut watch::Receiver<bool>) {
    let stop = async {
        // An error means that the sender is gone, which is a stop as well.
        let _ = stopped.wait_for(|stopped| *stopped).await;
    };
    // Out of time or told to stop: the caller looks which.
    let _ = timeout(pause, stop).await;
}

/// SQLite blocks, and so must not run on a thread of the runtime.
async fn blocking<T: Send + 'static>(
    outbox: Arc<Outbox>,
    work: impl FnOnce(&Outbox) -> Result<T, OutboxError> + Send + 'static,
) -> Result<T, OutboxError> {
    match tokio::task::spawn_blocking(move || work(&outbox)).await {
        Ok(result) => result,
        Err(error) => Err(OutboxError::Worker(error)),
    }
}
