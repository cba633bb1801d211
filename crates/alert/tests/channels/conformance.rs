//! What every channel promises, held against receivers on loopback. A new channel adds one line to [`CHANNELS`].

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::receiver::{Behaviour, Protocol, Receiver, certificate};
use freezeframe_alert::{Channel, ChannelConfig, Notice, NoticeEvent, Outbox, Timing, Trust};
use freezeframe_model::{Fingerprint, IncidentId, Timestamp};
use tokio::sync::oneshot;

struct Kind {
    name: &'static str,
    protocol: Protocol,
    config: fn(u16) -> ChannelConfig,
}

const CHANNELS: &[Kind] = &[
    Kind { name: "webhook", protocol: Protocol::Http, config: webhook },
    Kind { name: "pagerduty", protocol: Protocol::Http, config: pagerduty },
    Kind { name: "slack", protocol: Protocol::Http, config: slack },
    Kind { name: "smtp", protocol: Protocol::Smtp, config: smtp },
];

fn webhook(port: u16) -> ChannelConfig {
    ChannelConfig::Webhook {
        url: format!("http://127.0.0.1:{port}/hook"),
        secret: "env:HOOK_SECRET".to_owned(),
    }
}

fn pagerduty(port: u16) -> ChannelConfig {
    ChannelConfig::Pagerduty {
        routing_key: "key".to_owned(),
        url: format!("http://127.0.0.1:{port}/v2/enqueue"),
    }
}

fn slack(port: u16) -> ChannelConfig {
    ChannelConfig::Slack { url: format!("http://127.0.0.1:{port}/services/T/B/x") }
}

fn smtp(port: u16) -> ChannelConfig {
    ChannelConfig::Smtp {
        url: format!("smtp://127.0.0.1:{port}"),
        from: "Freezeframe <alerts@example.com>".to_owned(),
        to: vec!["oncall@example.com".to_owned()],
    }
}

fn lookup(name: &str) -> Option<String> {
    (name == "HOOK_SECRET").then(|| "whsec\n".to_owned())
}

fn channel(config: &ChannelConfig) -> Channel {
    Channel::new(config, &lookup, &Trust::system().expect("certificates")).expect("a channel")
}

fn notice(event: NoticeEvent) -> Notice {
    Notice {
        event,
        incident: IncidentId(42),
        service: "shop".to_owned(),
        sentence: "shop/3 panicked in cart::total (src/cart.rs:41)".to_owned(),
        state: "held".to_owned(),
        fingerprint: Fingerprint([0xab; 16]),
        count: 1,
        link: "http://127.0.0.1:7777/i/INC-42".to_owned(),
        report: String::new(),
        at: Timestamp(1_700_000_000_000_000),
    }
}

/// Short pauses; the limit of an attempt leaves room for a busy machine.
fn quick() -> Timing {
    Timing {
        first_retry: Duration::from_millis(10),
        longest_retry: Duration::from_millis(50),
        attempt: Duration::from_secs(5),
        ..Timing::default()
    }
}

struct Running {
    outbox: Arc<Outbox>,
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    fn start(path: &Path, timing: Timing, channel: Channel) -> Self {
        let outbox = Arc::new(Outbox::open_with(path, timing).expect("an outbox"));
        let (stop, stopped) = oneshot::channel::<()>();
        let shutdown = async {
            let _ = stopped.await;
        };
        let task = tokio::spawn(outbox.clone().run(BTreeMap::from([("it".to_owned(), channel)]), shutdown));
        Self { outbox, stop, task }
    }

    fn enqueue(&self, notice: &Notice) {
        self.outbox.enqueue(notice, &["it".to_owned()]).expect("room in the outbox");
    }

    /// Ends after the attempt under way was noted, so that the outbox can be looked at.
    async fn stop(self) -> Arc<Outbox> {
        self.stop.send(()).expect("a running outbox");
        self.task.await.expect("an orderly end");
        self.outbox
    }
}

#[tokio::test]
async fn an_alert_is_one_sentence_and_a_link() {
    for kind in CHANNELS {
        let mut receiver = Receiver::start(kind.protocol, false, &[Behaviour::Accept]).await;
        let dir = tempfile::tempdir().expect("a directory");
        let running =
            Running::start(&dir.path().join("o.db"), quick(), channel(&(kind.config)(receiver.port)));
        running.enqueue(&notice(NoticeEvent::Opened));
        let (_, body) = receiver.next().await;
        for part in ["shop/3 panicked in cart::total (src/cart.rs:41)", "http://127.0.0.1:7777/i/INC-42"] {
            assert!(body.contains(part), "{}: {part} is missing in {body}", kind.name);
        }
        let outbox = running.stop().await;
        assert!(outbox.pending().expect("rows").is_empty(), "{}", kind.name);
    }
}

#[tokio::test]
async fn a_failure_is_tried_again_until_it_is_accepted() {
    for kind in CHANNELS {
        let script = [Behaviour::Fail(""), Behaviour::Fail(""), Behaviour::Accept];
        let mut receiver = Receiver::start(kind.protocol, false, &script).await;
        let dir = tempfile::tempdir().expect("a directory");
        let running =
            Running::start(&dir.path().join("o.db"), quick(), channel(&(kind.config)(receiver.port)));
        running.enqueue(&notice(NoticeEvent::Opened));
        for _ in 0..3 {
            receiver.next().await;
        }
        let outbox = running.stop().await;
        assert!(outbox.pending().expect("rows").is_empty(), "{}", kind.name);
        assert!(receiver.seen.try_recv().is_err(), "{}: accepted once, sent again", kind.name);
    }
}

#[tokio::test]
async fn a_silent_receiver_costs_one_attempt_and_no_more_time_than_that() {
    for kind in CHANNELS {
        let mut receiver = Receiver::start(kind.protocol, false, &[Behaviour::Hang]).await;
        let dir = tempfile::tempdir().expect("a directory");
        let timing = Timing { attempt: Duration::from_millis(50), ..quick() };
        let started = Instant::now();
        let running =
            Running::start(&dir.path().join("o.db"), timing, channel(&(kind.config)(receiver.port)));
        running.enqueue(&notice(NoticeEvent::Opened));
        receiver.next().await;
        // A second connection means that the first attempt was given up.
        receiver.next().await;
        let outbox = running.stop().await;
        assert!(started.elapsed() < Duration::from_secs(20), "{}", kind.name);
        let pending = outbox.pending().expect("rows");
        assert_eq!(pending.len(), 1, "{}", kind.name);
        assert_eq!(pending[0].error, "no answer within 50 ms", "{}", kind.name);
    }
}

#[tokio::test]
async fn a_restart_in_between_loses_nothing() {
    for kind in CHANNELS {
        let script = [Behaviour::Fail(""), Behaviour::Accept];
        let mut receiver = Receiver::start(kind.protocol, false, &script).await;
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("o.db");
        // So long a pause that the second attempt can only come from the second run.
        let slow = Timing {
            first_retry: Duration::from_secs(86_400),
            longest_retry: Duration::from_secs(86_400),
            ..quick()
        };
        let running = Running::start(&path, slow, channel(&(kind.config)(receiver.port)));
        running.enqueue(&notice(NoticeEvent::Opened));
        receiver.next().await;
        let outbox = running.stop().await;
        assert_eq!(outbox.pending().expect("rows").len(), 1, "{}", kind.name);
        drop(outbox);

        // The next run has a shorter idea of the longest pause, which makes what waits longer than that due.
        let running = Running::start(&path, quick(), channel(&(kind.config)(receiver.port)));
        let (_, body) = receiver.next().await;
        assert!(body.contains("INC-42"), "{}: {body}", kind.name);
        let outbox = running.stop().await;
        assert!(outbox.pending().expect("rows").is_empty(), "{}", kind.name);
    }
}

#[tokio::test]
async fn a_storm_is_one_alert_with_a_count() {
    for kind in CHANNELS {
        let mut receiver = Receiver::start(kind.protocol, false, &[Behaviour::Accept]).await;
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("o.db");
        let outbox = Outbox::open(&path).expect("an outbox");
        outbox.enqueue(&notice(NoticeEvent::Opened), &["it".to_owned()]).expect("room");
        for _ in 1..10_000 {
            outbox.enqueue(&notice(NoticeEvent::Repeated), &["it".to_owned()]).expect("room");
        }
        drop(outbox);
        let running = Running::start(&path, quick(), channel(&(kind.config)(receiver.port)));
        let (_, body) = receiver.next().await;
        assert!(body.contains("10000"), "{}: {body}", kind.name);
        let outbox = running.stop().await;
        assert!(outbox.pending().expect("rows").is_empty(), "{}", kind.name);
        assert!(receiver.seen.try_recv().is_err(), "{}", kind.name);
    }
}

#[tokio::test]
async fn a_refusal_for_good_is_kept_as_failed_and_not_repeated() {
    for kind in CHANNELS {
        let mut receiver = Receiver::start(kind.protocol, false, &[Behaviour::Reject]).await;
        let dir = tempfile::tempdir().expect("a directory");
        let running =
            Running::start(&dir.path().join("o.db"), quick(), channel(&(kind.config)(receiver.port)));
        running.enqueue(&notice(NoticeEvent::Opened));
        receiver.next().await;
        let outbox = running.stop().await;
        assert!(outbox.pending().expect("rows").is_empty(), "{}", kind.name);
        let failed = outbox.failed().expect("rows");
        assert_eq!(failed.len(), 1, "{}", kind.name);
        assert!(failed[0].error.contains("40") || failed[0].error.contains("550"), "{}", failed[0].error);
    }
}

#[tokio::test]
async fn an_endless_answer_is_cut_off() {
    for kind in CHANNELS {
        let script = [Behaviour::Flood, Behaviour::Accept];
        let mut receiver = Receiver::start(kind.protocol, false, &script).await;
        let dir = tempfile::tempdir().expect("a directory");
        let timing = Timing { attempt: Duration::from_secs(1), ..quick() };
        let running =
            Running::start(&dir.path().join("o.db"), timing, channel(&(kind.config)(receiver.port)));
        running.enqueue(&notice(NoticeEvent::Opened));
        receiver.next().await;
        let (_, body) = receiver.next().await;
        assert!(body.contains("INC-42"), "{}: {body}", kind.name);
        running.stop().await;
    }
}

#[tokio::test]
async fn the_wish_of_the_receiver_is_honoured() {
    for kind in CHANNELS.iter().filter(|kind| kind.protocol == Protocol::Http) {
        let script = [Behaviour::Fail("retry-after: 1800\r\n")];
        let mut receiver = Receiver::start(kind.protocol, false, &script).await;
        let dir = tempfile::tempdir().expect("a directory");
        let running =
            Running::start(&dir.path().join("o.db"), quick(), channel(&(kind.config)(receiver.port)));
        running.enqueue(&notice(NoticeEvent::Opened));
        receiver.next().await;
        let outbox = running.stop().await;
        let pending = outbox.pending().expect("rows");
        let wait = pending[0].due_at.since_ms(Timestamp::now());
        assert!((1_700_000..=1_800_000).contains(&wait), "{}: {wait} ms", kind.name);
        assert_eq!(pending[0].error, "status 500: oops ", "{}", kind.name);
    }
}

fn over_tls(config: ChannelConfig) -> ChannelConfig {
    let secure = |url: String| url.replace("http://", "https://").replace("smtp://", "smtps://");
    match config {
        ChannelConfig::Webhook { url, secret } => ChannelConfig::Webhook { url: secure(url), secret },
        ChannelConfig::Pagerduty { routing_key, url } => {
            ChannelConfig::Pagerduty { routing_key, url: secure(url) }
        }
        ChannelConfig::Slack { url } => ChannelConfig::Slack { url: secure(url) },
        ChannelConfig::Smtp { url, from, to } => ChannelConfig::Smtp { url: secure(url), from, to },
    }
}

#[tokio::test]
async fn tls_works_with_a_trusted_certificate_and_with_no_other() {
    for kind in CHANNELS {
        let mut receiver = Receiver::start(kind.protocol, true, &[Behaviour::Accept]).await;
        let config = over_tls((kind.config)(receiver.port));
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("o.db");

        let running = Running::start(&path, quick(), channel(&config));
        running.enqueue(&notice(NoticeEvent::Opened));
        // One attempt is over when the next begins.
        assert_eq!(receiver.next().await, Default::default(), "{}", kind.name);
        assert_eq!(receiver.next().await, Default::default(), "{}", kind.name);
        let outbox = running.stop().await;
        let error = outbox.pending().expect("rows")[0].error.to_lowercase();
        assert!(error.contains("certificate"), "{}: {error}", kind.name);
        drop(outbox);

        let trust = Trust::with_extra_ca(&certificate("ca.pem")).expect("the authority");
        let trusting = Channel::new(&config, &lookup, &trust).expect("a channel");
        while receiver.seen.try_recv().is_ok() {}
        let running = Running::start(&path, quick(), trusting);
        let (_, body) = receiver.next().await;
        assert!(body.contains("INC-42"), "{}: {body}", kind.name);
        running.stop().await;
    }
}

#[tokio::test]
async fn a_slow_channel_does_not_hold_up_another() {
    let mut slow = Receiver::start(Protocol::Http, false, &[Behaviour::Hang]).await;
    let mut fast = Receiver::start(Protocol::Http, false, &[Behaviour::Accept]).await;
    let dir = tempfile::tempdir().expect("a directory");
    let outbox = Arc::new(Outbox::open(&dir.path().join("o.db")).expect("an outbox"));
    let channels = BTreeMap::from([
        ("a".to_owned(), channel(&webhook(slow.port))),
        ("b".to_owned(), channel(&webhook(fast.port))),
    ]);
    let (stop, stopped) = oneshot::channel::<()>();
    let task = tokio::spawn(outbox.clone().run(channels, async {
        let _ = stopped.await;
    }));
    outbox.enqueue(&notice(NoticeEvent::Opened), &["a".to_owned(), "b".to_owned()]).expect("room");
    slow.next().await;
    let (_, body) = fast.next().await;
    assert!(body.contains("INC-42"), "{body}");
    let ending = Instant::now();
    stop.send(()).expect("a running outbox");
    task.await.expect("an orderly end");
    assert!(ending.elapsed() < Duration::from_secs(8), "an attempt of ten seconds held up the end");
    assert_eq!(outbox.pending().expect("rows").len(), 1);
}
