//! What holds for every section: nothing of an empty incident, bounded pages of a huge one, hostile text as it is and no more.

use freezeframe_model::{
    AuditEntry, BuildId, Capture, Exchange, FailingRequest, Fingerprint, Frame, HoldFacts, InFlight,
    Incident, IncidentId, IncidentKind, IncidentState, InstanceId, LogLine, Loss, Module, Note, Outcome,
    Record, Site, Stream, Task, Thread, Timestamp, Timings, Value, Variable,
};

use super::*;
use crate::overview;

/// Attacker-controlled text: markup, terminal control, reordering, a lone NUL.
const HOSTILE: &str = "<script>alert(1)</script>\u{1b}]0;x\u{7}\u{202e}\0\n## heading";

fn empty() -> Incident {
    Incident {
        id: IncidentId(7),
        kind: IncidentKind::Panic,
        state: IncidentState::Recorded,
        message: String::new(),
        fingerprint: Fingerprint([0; 16]),
        site: Site::default(),
        service: String::new(),
        instance: InstanceId(1),
        build_id: BuildId::default(),
        captured_at: Timestamp(0),
        updated_at: Timestamp(0),
        count: 1,
        timings: Timings::default(),
        hold: HoldFacts::default(),
        request: FailingRequest::default(),
        logs: Vec::new(),
        requests_lost: 0,
        not_captured: Vec::new(),
    }
}

/// Thousands of everything, every text of which is hostile.
fn huge() -> (Incident, Capture, Record) {
    let text = |n: usize| format!("{n} {HOSTILE}");
    let request = |n: usize| InFlight {
        traceparent: text(n),
        method: text(n),
        path: text(n),
        started_at: Timestamp(i64::MIN + n as i64),
        session: None,
    };
    let incident = Incident {
        message: text(0).repeat(10_000),
        service: text(0),
        site: Site { function: text(0), file: text(0), line: u32::MAX },
        timings: Timings { stopped_us: Some(u64::MAX), stored_us: Some(1), ..Timings::default() },
        request: FailingRequest {
            request: Some(request(1)),
            others: (0..2_000).map(request).collect(),
            journey: (0..2_000)
                .map(|n| Exchange {
                    request: request(n),
                    instance: None,
                    status: 502,
                    duration_us: u64::MAX,
                    retried: true,
                    outcome: Outcome::UpstreamFailed(text(n)),
                })
                .collect(),
            ..FailingRequest::default()
        },
        logs: (0..10_000)
            .map(|n| LogLine { at: Timestamp(n), stream: Stream::Stdout, text: text(n as usize) })
            .collect(),
        not_captured: (0..2_000).map(|n| Loss { what: text(n), why: text(n) }).collect(),
        ..empty()
    };
    let leaf = |n| Variable { name: text(n), value: Value::Text(text(n)), ..Variable::default() };
    let branch = |n: usize| Variable {
        name: text(n),
        value: Value::Composite,
        children: (0..100).map(leaf).collect(),
        ..Variable::default()
    };
    let frame =
        |variables| Frame { function: text(0), file: text(0), line: 1, variables, ..Frame::default() };
    let tree = Variable {
        name: "tree".to_owned(),
        value: Value::Composite,
        children: (0..1_000).map(branch).collect(),
        ..Variable::default()
    };
    let thread = |id: i32| Thread {
        id,
        name: text(0),
        failing: id == 1,
        frames: vec![frame(if id == 1 { vec![tree.clone()] } else { vec![leaf(0)] }); 3],
        ..Thread::default()
    };
    let capture = Capture {
        threads: (1..=1_000).map(thread).collect(),
        tasks: vec![
            Task { name: text(0), frames: vec![frame(vec![leaf(0)]); 200], ..Task::default() };
            2_000
        ],
        modules: (0..2_000).map(|n| Module { path: text(n), ..Module::default() }).collect(),
        site: incident.site.clone(),
        source: (0..2_000)
            .map(|number| freezeframe_model::SourceLine { number, text: text(0).repeat(100) })
            .collect(),
        ..Capture::default()
    };
    let record = Record {
        owner: None,
        notes: (0..500).map(|id| Note { id, at: Timestamp(1), who: text(1), text: text(2) }).collect(),
        audit: (0..2_000)
            .map(|n| AuditEntry {
                at: Timestamp(n),
                who: text(1),
                what: text(2),
                incident: None,
                detail: text(3),
            })
            .collect(),
    };
    (incident, capture, record)
}

fn bytes(page: &impl serde::Serialize) -> usize {
    serde_json::to_string(page).expect("serialises").len()
}

#[test]
fn an_empty_incident_has_only_the_trap_in_its_timeline() {
    let (incident, record) = (empty(), Record::default());
    let known = Known { incident: &incident, capture: None, record: &record };
    let names: Vec<(String, usize)> = heads(&known).into_iter().map(|head| (head.name, head.count)).collect();
    assert_eq!(names, [("timeline".to_owned(), 1)]);
    for section in &SECTIONS {
        let page = page(section.name, &known, &Wanted::new(0, None, "")).expect("it is there");
        assert_eq!(page.total, (section.count)(&known), "{}", section.name);
    }
    assert_eq!(page("nothing", &known, &Wanted::default()), None);
}

#[test]
fn every_section_pages_and_filters_within_bounds() {
    let (incident, capture, record) = huge();
    let known = Known { incident: &incident, capture: Some(&capture), record: &record };
    assert_eq!(heads(&known).len(), SECTIONS.len(), "the sample has something in every section");
    for section in &SECTIONS {
        let name = section.name;
        let get = |offset, limit, filter: &str| {
            let page = page(name, &known, &Wanted::new(offset, limit, filter)).expect("it is there");
            let shape = serde_json::to_value(&page).expect("serialises");
            assert_eq!(shape["name"], name, "an item's kind is the section's name");
            let items = shape["items"].as_array().expect("a list").clone();
            assert!(bytes(&page) < 8 << 20, "{name}: {}", bytes(&page));
            (page.total, items)
        };
        let (total, first) = get(0, None, "");
        assert_eq!((total, first.len()), ((section.count)(&known), total.min(LIMIT.0)), "{name}");
        let (_, most) = get(0, Some(usize::MAX), "");
        assert_eq!(most.len(), total.min(LIMIT.1), "{name}");
        let (_, second) = get(1, Some(1), "");
        assert_eq!(second.first(), most.get(1), "{name}");
        assert_eq!(get(usize::MAX, None, "").1.len(), 0, "{name}");
        assert_eq!(get(0, None, "no-item-has-this-in-it").0, 0, "{name}");
        assert_eq!(get(0, None, "<SCRIPT>").0 > 0, name != "timings", "{name}");
    }
}

#[test]
fn the_first_screen_of_a_huge_incident_is_small() {
    let (incident, capture, record) = huge();
    let known = Known { incident: &incident, capture: Some(&capture), record: &record };
    let began = std::time::Instant::now();
    let overview = overview::overview(&known, &freezeframe_model::Sightings::default());
    let took = began.elapsed();
    assert!(bytes(&overview) < 256 << 10, "{} bytes", bytes(&overview));
    // Some milliseconds; the bound is for a busy machine and an unoptimised build.
    assert!(took < std::time::Duration::from_secs(2), "{took:?}");
    let failing = overview.failing.expect("the failing thread");
    assert_eq!((overview.site_frame, failing.frames.len()), (Some(0), 3));
    let tree = &failing.frames[0].variables[0];
    assert_eq!(tree.children.len(), 20 + 1, "the first ones, and the word that there are more");
    assert_eq!(tree.children[20].unavailable.as_deref(), Some("left out: 980 more"));
    assert!(tree.children[20].expandable);
}

#[test]
fn the_timeline_is_in_the_order_of_time_and_finds_every_line() {
    let line = |at, stream, text: &str| LogLine { at: Timestamp(at), stream, text: text.to_owned() };
    let at = 1_000_000_000;
    let incident = Incident {
        captured_at: Timestamp(at),
        service: "shop".to_owned(),
        timings: Timings { held_us: Some(2_000), unrouted_us: Some(900), ..Timings::default() },
        logs: vec![
            line(at - 30, Stream::Stdout, "INFO cart loaded"),
            line(at - 20, Stream::Stdout, "WARN slow"),
            line(at - 10, Stream::Stderr, "thread panicked"),
        ],
        ..empty()
    };
    let entry = |after, who: &str, what: &str, detail: &str| AuditEntry {
        at: Timestamp(at + after),
        who: who.to_owned(),
        what: what.to_owned(),
        incident: None,
        detail: detail.to_owned(),
    };
    let record = Record {
        notes: vec![Note {
            id: 1,
            at: Timestamp(at + 9_000),
            who: "ada".to_owned(),
            text: "mine".to_owned(),
        }],
        audit: vec![
            entry(2_500, "freezeframe", "alert", "delivered to pager"),
            entry(9_500, "ada", "release", ""),
            entry(9_900, "freezeframe", "released", ""),
        ],
        ..Record::default()
    };
    let known = Known { incident: &incident, capture: None, record: &record };
    let shown = |filter: &str| -> Vec<String> {
        let page = page("timeline", &known, &Wanted::new(0, None, filter)).expect("it is there");
        let SectionItems::Timeline(moments) = page.items else { panic!("not a timeline") };
        moments.into_iter().map(|moment| format!("{}: {}", moment.kind, moment.text)).collect()
    };
    expect_test::expect![[r#"
        log: WARN slow
        log: thread panicked
        trap: shop/1 panicked
        unrouted: out of routing, 900 µs after the trap
        held: held, 2.0 ms after the trap
        alert: delivered to pager
        note: mine
        action: release
        state: released"#]]
    .assert_eq(&shown("").join("\n"));
    assert_eq!(shown("kind:log").len(), 3);
    assert_eq!(shown("cart"), ["log: INFO cart loaded"]);
    assert_eq!(shown("ada kind:action"), ["action: release"]);
}
