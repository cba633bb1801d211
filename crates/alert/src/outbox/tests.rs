//! The outbox with a clock of its own: no test here waits.

use expect_test::{Expect, expect};
use freezeframe_model::IncidentId;

use super::*;

const MINUTE: u64 = 60_000;

struct Bench {
    dir: tempfile::TempDir,
    outbox: Outbox,
    now: Timestamp,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let outbox = Outbox::open(&dir.path().join("outbox.db")).expect("an outbox");
        Self { dir, outbox, now: Timestamp(1_700_000_000_000_000) }
    }

    fn restart(self) -> Self {
        let Self { dir, outbox, now } = self;
        drop(outbox);
        let outbox = Outbox::open(&dir.path().join("outbox.db")).expect("the same outbox");
        Self { dir, outbox, now }
    }

    fn pass(&mut self, ms: u64) {
        self.now = self.now.plus_ms(ms);
    }

    fn happens(&self, event: NoticeEvent, fingerprint: u8) {
        self.happens_with(event, fingerprint, 1);
    }

    fn happens_with(&self, event: NoticeEvent, fingerprint: u8, count: u64) {
        let notice = Notice {
            event,
            incident: IncidentId(u64::from(fingerprint)),
            service: "shop".to_owned(),
            sentence: "shop/1 panicked".to_owned(),
            state: "held".to_owned(),
            fingerprint: Fingerprint([fingerprint; 16]),
            count,
            link: "http://127.0.0.1/i".to_owned(),
            report: String::new(),
            at: self.now,
        };
        self.outbox.enqueue_at(&notice, &["it".to_owned()], self.now).expect("room");
    }

    fn next(&self) -> Option<Queued> {
        match self.outbox.next("it", self.now).expect("a readable outbox") {
            Next::Send(queued) => Some(*queued),
            Next::Wait(_) | Next::Nothing => None,
        }
    }

    fn deliver(&self) -> Queued {
        let queued = self.next().expect("something to send");
        self.outbox.delivered(&queued, self.now).expect("a writable outbox");
        queued
    }

    fn fail(&self) -> bool {
        let queued = self.next().expect("something to send");
        self.outbox.failed_attempt(&queued, "no luck", None, false, self.now).expect("a writable outbox")
    }

    /// Everything that waits, in the order of its time.
    fn check(&self, expected: Expect) {
        let line = |queued: Queued| {
            let (notice, wait) = (&queued.alert.notice, queued.due_at.since_ms(self.now) / 1000);
            format!("{} {} x{} in {wait} s\n", notice.incident, notice.event.as_str(), notice.count)
        };
        let lines: String = self.outbox.pending().expect("a readable outbox").into_iter().map(line).collect();
        expected.assert_eq(&lines);
    }
}

use NoticeEvent::{Opened, Repeated, Resolved};

#[test]
fn what_waits_takes_in_what_follows() {
    let bench = Bench::new();
    bench.happens(Opened, 1);
    bench.happens(Repeated, 1);
    bench.happens(Opened, 2);
    bench.happens(Opened, 1);
    bench.check(expect![[r#"
        INC-1 opened x3 in 0 s
        INC-2 opened x1 in 0 s
    "#]]);
}

#[test]
fn a_count_that_is_known_better_wins() {
    let bench = Bench::new();
    bench.happens_with(Opened, 1, 5);
    bench.happens_with(Repeated, 1, 900);
    bench.happens_with(Repeated, 1, 0);
    bench.happens_with(Repeated, 1, u64::MAX);
    bench.happens_with(Repeated, 1, u64::MAX);
    bench.check(expect![[r#"
        INC-1 opened x9223372036854775807 in 0 s
    "#]]);
}

#[test]
fn after_a_delivery_the_rest_of_the_window_is_one_alert() {
    let mut bench = Bench::new();
    bench.happens(Opened, 1);
    bench.deliver();
    bench.pass(MINUTE);
    for _ in 0..100 {
        bench.happens(Repeated, 1);
    }
    bench.check(expect![[r#"
        INC-1 repeated x101 in 240 s
    "#]]);
    assert!(bench.next().is_none());
    bench.pass(4 * MINUTE);
    assert_eq!(bench.deliver().alert.notice.count, 101);
    bench.pass(6 * MINUTE);
    bench.happens(Opened, 1);
    bench.check(expect![[r#"
        INC-1 opened x1 in 0 s
    "#]]);
}

#[test]
fn what_comes_while_an_alert_is_under_way_is_not_lost() {
    let bench = Bench::new();
    bench.happens(Opened, 1);
    let sent = bench.next().expect("something to send");
    bench.happens(Repeated, 1);
    bench.outbox.delivered(&sent, bench.now).expect("a writable outbox");
    bench.check(expect![[r#"
        INC-1 repeated x2 in 300 s
    "#]]);
}

#[test]
fn a_resolution_never_overtakes_and_makes_follow_ups_needless() {
    let mut bench = Bench::new();
    bench.happens(Opened, 1);
    bench.happens(Resolved, 1);
    assert!(!bench.fail());
    assert!(bench.next().is_none(), "the resolution waits behind the alert that failed");
    bench.pass(MINUTE);
    assert_eq!(bench.deliver().alert.notice.event, Opened);
    assert_eq!(bench.deliver().alert.notice.event, Resolved);

    bench.happens(Opened, 2);
    bench.deliver();
    bench.happens_with(Repeated, 2, 41);
    bench.happens(Resolved, 2);
    bench.happens(Resolved, 2);
    bench.check(expect![[r#"
        INC-2 resolved x41 in 0 s
    "#]]);
    bench.deliver();
    bench.happens(Opened, 2);
    bench.check(expect![[r#"
        INC-2 opened x1 in 0 s
    "#]]);
}

#[test]
fn pauses_double_and_have_a_limit() {
    let mut bench = Bench::new();
    bench.happens(Opened, 1);
    let mut nominal = 1000;
    for attempt in 0..20 {
        assert!(!bench.fail(), "attempt {attempt}");
        let wait = bench.outbox.pending().expect("rows")[0].due_at.since_ms(bench.now);
        assert!(
            (nominal / 2..=nominal).contains(&wait),
            "attempt {attempt}: {wait} ms, nominal {nominal} ms"
        );
        bench.pass(wait + 1);
        nominal = (nominal * 2).min(15 * MINUTE);
    }
}

#[test]
fn after_a_day_it_is_given_up_and_kept_as_failed() {
    let mut bench = Bench::new();
    bench.happens(Opened, 1);
    bench.pass(24 * 60 * MINUTE - 1);
    assert!(!bench.fail());
    bench.pass(15 * MINUTE);
    assert!(bench.fail());
    bench.check(expect![[""]]);
    let failed = bench.outbox.failed().expect("rows");
    assert_eq!((failed.len(), failed[0].attempts, failed[0].error.as_str()), (1, 2, "no luck"));
    // A storm does not turn every occurrence into an attempt at a channel that does not work.
    bench.happens(Repeated, 1);
    bench.happens(Repeated, 1);
    bench.check(expect![[r#"
        INC-1 repeated x3 in 300 s
    "#]]);
}

#[test]
fn a_restart_changes_nothing() {
    let bench = Bench::new();
    bench.happens(Opened, 1);
    assert!(!bench.fail());
    bench.happens(Opened, 2);
    let mut bench = bench.restart();
    bench.pass(1001);
    assert_eq!(bench.deliver().alert.notice.incident, IncidentId(2));
    let again = bench.deliver();
    assert_eq!((again.attempts, again.alert.notice.incident), (1, IncidentId(1)));
}

#[test]
fn a_clock_that_is_set_back_does_not_silence_anybody() {
    let mut bench = Bench::new();
    bench.happens(Opened, 1);
    assert!(!bench.fail());
    bench.now = Timestamp(1_600_000_000_000_000);
    assert!(bench.next().is_some());
}

#[test]
fn the_outbox_is_bounded() {
    let bench = Bench::new();
    let values = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000)
                  INSERT INTO alerts SELECT i, 'it', hex(i), 'pending', 0, 0, 1, 0, 0, 0, 0, '', '{}' FROM n";
    bench.outbox.lock().execute(values, []).expect("rows");
    bench.happens(Opened, 1);
    let count = |state: &str| {
        let sql = "SELECT count(*) FROM alerts WHERE state = ?1";
        bench.outbox.lock().query_row(sql, [state], |row| row.get::<_, i64>(0)).expect("a number")
    };
    assert_eq!((count("pending"), count("failed")), (MAX_PENDING, 1));
}

#[test]
fn what_waits_for_a_channel_that_is_gone_is_given_up_after_a_day() {
    let mut bench = Bench::new();
    bench.happens(Opened, 1);
    let tidy =
        |bench: &Bench, channels: &[String]| bench.outbox.tidy(channels, bench.now).expect("rows").len();
    assert_eq!(tidy(&bench, &[]), 0);
    bench.pass(25 * 60 * MINUTE);
    assert_eq!(tidy(&bench, &["it".to_owned()]), 0);
    assert_eq!(tidy(&bench, &[]), 1);
    assert_eq!(bench.outbox.failed().expect("rows").len(), 1);
}

#[test]
fn an_outbox_from_the_future_is_refused() {
    let bench = Bench::new();
    bench.outbox.lock().pragma_update(None, "user_version", 7).expect("a version");
    let error = Outbox::open(&bench.dir.path().join("outbox.db")).expect_err("a newer format");
    expect!["the outbox has format version 7, but only versions up to 1 are understood: upgrade freezeframe"]
        .assert_eq(&error.to_string());
}

#[test]
fn texts_are_one_bounded_line() {
    let bench = Bench::new();
    let notice = Notice {
        event: Opened,
        incident: IncidentId(1),
        service: "a\r\nBcc: everybody".to_owned(),
        sentence: "é".repeat(5000),
        state: String::new(),
        fingerprint: Fingerprint([0; 16]),
        count: 1,
        link: String::new(),
        report: String::new(),
        at: Timestamp(i64::MAX),
    };
    bench.outbox.enqueue_at(&notice, &["it".to_owned()], bench.now).expect("room");
    let alert = bench.next().expect("something to send").alert;
    assert_eq!(alert.notice.service, "a  Bcc: everybody");
    assert_eq!(alert.notice.sentence.chars().count(), 1000);
    assert_eq!(alert.time(), "1970-01-01T00:00:00Z");
}
