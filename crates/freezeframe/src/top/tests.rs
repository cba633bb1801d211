//! The screen over a made-up fleet: what it shows at every size, and what keys do.

use expect_test::expect;
use freezeframe_api::dto::{
    FleetAnswer, FleetInstance, GateService, HistoryAnswer, HistoryColumn, HistoryMarker, HoldShape,
    IncidentSummary, InstanceShape,
};
use freezeframe_api::words::{is_deceptive, parse_rfc3339};
use freezeframe_model::{IncidentId, Timestamp};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyModifiers};
use ratatui::style::Color;

use super::screen::{Mode, Next, Screen};
use super::source::{Fleet, Told};
use super::{once, plain, view};
use crate::render::Tone;

fn now() -> Timestamp {
    parse_rfc3339("2026-11-21T03:25:00Z").expect("a moment")
}

/// A fleet whose every text passes through `t`.
fn fleet(t: impl Fn(&str) -> String) -> Fleet {
    let instance = |id: u32, role: &str, incident: Option<&str>| FleetInstance {
        instance: InstanceShape {
            id,
            role: role.to_owned(),
            pid: Some(4000),
            in_flight: id * 3,
            incident: incident.map(str::to_owned),
            ..InstanceShape::default()
        },
        name: t(&format!("shop/{id}")),
        build_id: "3fa9c1e055aa".to_owned(),
        rate_per_s: f64::from(id) * 700.5,
        p99_ms: (role == "serving").then_some(31.4),
        memory_bytes: Some(83_000_000 * u64::from(id)),
        started_at: "2026-11-21T02:47:00.000Z".to_owned(),
        lease_until: incident.map(|_| "2026-11-21T07:11:58.000Z".to_owned()),
    };
    let incident = |id: u32, state: &str, message: &str| IncidentSummary {
        id: format!("INC-{id}"),
        state: state.to_owned(),
        sentence: t(&format!("shop/{id} panicked in shop::pricing::total (src/pricing.rs:118)")),
        message: t(message),
        captured_at: "2026-11-21T03:11:58.000Z".to_owned(),
        count: 3,
        hold: HoldShape {
            lease_until: (state == "held").then(|| "2026-11-21T07:11:58.000Z".to_owned()),
            ..HoldShape::default()
        },
        ..IncidentSummary::default()
    };
    let column = |at: u64| HistoryColumn {
        at: format!("2026-11-21T03:{:02}:{:02}.000Z", at / 6, at % 6 * 10),
        requests: 100 + at * 10,
        shed: at.saturating_sub(40),
        errors: u64::from(at == 12),
        buckets: vec![
            (400.0, 50),
            (2_000.0, 30 + at * 10),
            (64_000.0, 15),
            (12_000_000.0, u64::from(at.is_multiple_of(9))),
        ],
    };
    let marker = |at: &str, kind: &str| HistoryMarker {
        at: at.to_owned(),
        kind: kind.to_owned(),
        ..HistoryMarker::default()
    };
    Fleet {
        answer: FleetAnswer {
            service: t("shop"),
            serving: 2,
            wanted: 2,
            held: 1,
            held_max: 4,
            spares: 1,
            spares_wanted: 1,
            rate_per_s: 4_123.0,
            shed_share: 0.002,
            error_share: 0.0,
            p50_ms: Some(9.04),
            p99_ms: Some(310.0),
            held_bytes: 249_000_000,
            held_bytes_max: 4 << 30,
            instances: vec![
                instance(1, "serving", None),
                instance(3, "held", Some("INC-42")),
                instance(4, "serving", None),
                instance(5, "spare", None),
            ],
            gate: vec![GateService {
                name: t("shop"),
                instances: 2,
                in_flight: 12,
                in_flight_max: Some(64),
                queued: 3,
                queue_max: 128,
            }],
            ..FleetAnswer::default()
        },
        history: HistoryAnswer {
            column_s: 10,
            columns: (0..48).map(column).collect(),
            markers: vec![
                marker("2026-11-21T03:01:05.000Z", "deploy"),
                marker("2026-11-21T03:02:00.000Z", "incident"),
            ],
            ..HistoryAnswer::default()
        },
        incidents: vec![
            incident(42, "held", "attempt to divide by zero"),
            incident(41, "released", "index out of bounds: the len is 2 but the index is 2"),
            incident(7, "expired", ""),
        ],
    }
}

fn screen() -> Screen {
    let mut screen = Screen::new(true);
    screen.told(Told::Fleet(Box::new(fleet(str::to_owned))));
    screen
}

/// What a terminal of this size shows.
fn shown(screen: &Screen, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal");
    let drawn = terminal.draw(|frame| view::draw(screen, frame.area(), frame.buffer_mut(), now()));
    plain(drawn.expect("drawn").buffer)
}

fn press(screen: &mut Screen, code: KeyCode) -> Next {
    screen.key(code, KeyModifiers::NONE, 24)
}

#[test]
fn a_usual_terminal_shows_everything() {
    expect![[r#"
        shop  ● 2/2 serving  1 held  1/1 spare  4.1k/s  shed 0.2 %  5xx 0 %  p50 9.0 ms  p99 310 ms
        gate shop: 12 in flight  ≤ 64 each  3/128 waiting  held 237.4 MiB of 4.0 GiB

        Incidents  1 open, 3 in all
          INCIDENT  STATE       LEASE       SEEN  WHAT BROKE
        > INC-42    ● held      3:46:58     3×    attempt to divide by zero · shop/42 panicked in shop::pri…
          INC-41    ○ released  13 min ago  3×    index out of bounds: the len is 2 but the index is 2 · sh…
          INC-7     ○ expired   13 min ago  3×    shop/7 panicked in shop::pricing::total (src/pricing.rs:1…

        Instances  4
          INSTANCE  STATE                RATE    P99    IN FLIGHT  MEMORY     AGE     BUILD
          shop/1    serving              700/s   31 ms  3          79.1 MiB   38 min  3fa9c1e
          shop/3    held INC-42 3:46:58  2.1k/s  –      9          237.4 MiB  38 min  3fa9c1e
          shop/4    serving              2.8k/s  31 ms  12         316.6 MiB  38 min  3fa9c1e
          shop/5    spare                3.5k/s  –      15         395.7 MiB  38 min  3fa9c1e

        Latency  the last 8 min, 10.0 s a column; ! incident, ^ deploy
            ≥ 10 s ░        ·        ·        ·        ·        ·
             ≥ 1 s
          ≥ 100 ms
           ≥ 10 ms ▒▒▒▒▒▒░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░
            ≥ 1 ms ▒▒▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓█████████████████████████
            < 1 ms ▓▓▓▓▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒░░░░░░░
          requests ▂▂▂▂▂▃▃▃▃▃▃▃▄▄▄▄▄▄▄▅▅▅▅▅▅▅▆▆▆▆▆▆▆▇▇▇▇▇▇▇████████
         shed, 5xx             ▂                            ▂▃▄▅▆▇█
                         ^     !





        j/k choose  Enter show  e extend  ? help  q quit
    "#]]
    .assert_eq(&shown(&screen(), 100, 32));
}

#[test]
fn a_small_terminal_shows_what_is_needed_first() {
    expect![[r#"
        shop  ● 2/2 serving  1 held  1/1 spare  4.1k/s  shed 0.2 %  5xx 0 %  p50 9.0 ms
          p99 310 ms
        gate shop: 12 in flight  ≤ 64 each  3/128 waiting  held 237.4 MiB of 4.0 GiB

        Incidents  1 open, 3 in all
          INCIDENT  STATE       LEASE       SEEN  WHAT BROKE
        > INC-42    ● held      3:46:58     3×    attempt to divide by zero · shop/42 p…
          INC-41    ○ released  13 min ago  3×    index out of bounds: the len is 2 but…
          INC-7     ○ expired   13 min ago  3×    shop/7 panicked in shop::pricing::tot…

        Instances  4
          INSTANCE  STATE                RATE    P99    IN FLIGHT  MEMORY     AGE
          shop/1    serving              700/s   31 ms  3          79.1 MiB   38 min
          shop/3    held INC-42 3:46:58  2.1k/s  –      9          237.4 MiB  38 min
          … 2 more

        Latency  the last 8 min, 10.0 s a column; ! incident, ^ deploy
             ≥ 1 s ░        ·        ·        ·        ·        ·
          ≥ 100 ms
          < 100 ms ████████████████████████████████████████████████
          requests ▂▂▂▂▂▃▃▃▃▃▃▃▄▄▄▄▄▄▄▅▅▅▅▅▅▅▆▆▆▆▆▆▆▇▇▇▇▇▇▇████████
         shed, 5xx             ▂                            ▂▃▄▅▆▇█
                         ^     !
        j/k choose  Enter show  e extend  ? help  q quit
    "#]]
    .assert_eq(&shown(&screen(), 80, 24));
    expect![[r#"
        shop  ● 2/2 serving  1 held  1/1 spare
          4.1k/s  shed 0.2 %  5xx 0 %

        Incidents  1 open, 3 in all
          INCIDENT  STATE       LEASE       SEE…
        > INC-42    ● held      3:46:58     3× …

        Instances  4
          INSTANCE  STATE                RATE
          shop/1    serving              700/s
          … 3 more
        j/k choose  Enter show  e extend  ? help
    "#]]
    .assert_eq(&shown(&screen(), 40, 12));
}

#[test]
fn no_size_is_too_small() {
    let mut screen = screen();
    for (width, height) in [(1, 1), (2, 30), (200, 1), (7, 3), (39, 9), (300, 90)] {
        screen.mode = Mode::Fleet;
        let text = shown(&screen, width, height);
        assert!(text.lines().count() <= usize::from(height));
        screen.mode = Mode::Help;
        shown(&screen, width, height);
    }
}

#[test]
fn on_paper_it_is_whole_and_has_no_keys() {
    let text = once(fleet(str::to_owned), 100);
    for part in ["shop", "2/2 serving", "INC-42", "INC-7", "shop/5", "Latency", "≥ 10 s"] {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
    assert!(!text.contains("q quit"), "{text}");
}

#[test]
fn nothing_is_shown_before_there_is_anything() {
    assert!(shown(&Screen::new(true), 80, 24).starts_with("asking the daemon"));
    let mut screen = Screen::new(true);
    screen.told(Told::Fleet(Box::new(Fleet {
        answer: FleetAnswer::default(),
        history: HistoryAnswer::default(),
        incidents: Vec::new(),
    })));
    assert!(shown(&screen, 80, 24).contains("nothing has broken"));
    assert_eq!(press(&mut screen, KeyCode::Enter), Next::Nothing);
    assert_eq!(press(&mut screen, KeyCode::Char('e')), Next::Nothing);
    assert!(shown(&screen, 80, 24).contains("nothing is held"));
}

#[test]
fn an_incident_is_chosen_and_stays_chosen() {
    let mut screen = screen();
    press(&mut screen, KeyCode::Char('j'));
    assert_eq!(press(&mut screen, KeyCode::Enter), Next::Show(IncidentId(41)));
    // A new one above it does not move the choice to another.
    let mut news = fleet(str::to_owned);
    news.incidents.insert(0, IncidentSummary { id: "INC-43".to_owned(), ..IncidentSummary::default() });
    screen.told(Told::Fleet(Box::new(news)));
    assert_eq!(press(&mut screen, KeyCode::Enter), Next::Show(IncidentId(41)));
    assert!(shown(&screen, 80, 24).lines().any(|line| line.starts_with("> INC-41")));
    press(&mut screen, KeyCode::Char('G'));
    press(&mut screen, KeyCode::Char('j'));
    assert_eq!(press(&mut screen, KeyCode::Enter), Next::Show(IncidentId(7)));
    press(&mut screen, KeyCode::Char('g'));
    press(&mut screen, KeyCode::Char('k'));
    assert_eq!(press(&mut screen, KeyCode::Enter), Next::Show(IncidentId(43)));
}

#[test]
fn a_hold_is_extended_only_after_a_question() {
    let mut screen = screen();
    assert_eq!(press(&mut screen, KeyCode::Char('e')), Next::Nothing);
    assert!(shown(&screen, 80, 24).ends_with("hold INC-42 four hours longer? y: yes, any other key: no\n"));
    assert_eq!(press(&mut screen, KeyCode::Enter), Next::Nothing);
    assert_eq!(press(&mut screen, KeyCode::Char('y')), Next::Nothing, "the question is over");
    press(&mut screen, KeyCode::Char('e'));
    assert_eq!(press(&mut screen, KeyCode::Char('y')), Next::Extend(IncidentId(42)));
    screen.told(Told::Done("INC-42 is held until 11:11:58".to_owned()));
    assert!(shown(&screen, 80, 24).contains("held until 11:11:58"));
    press(&mut screen, KeyCode::Char('j'));
    press(&mut screen, KeyCode::Char('e'));
    assert!(shown(&screen, 80, 24).contains("INC-41 is not held"));
}

#[test]
fn the_page_of_an_incident_scrolls_and_keeps_its_place() {
    let mut screen = screen();
    let lines = || (0..60).map(|at| vec![(Tone::Plain, format!("line {at}"))]).collect::<Vec<_>>();
    screen.told(Told::Page(IncidentId(42), lines()));
    assert!(shown(&screen, 80, 24).starts_with("line 0\n"));
    press(&mut screen, KeyCode::Char('j'));
    press(&mut screen, KeyCode::PageDown);
    assert!(shown(&screen, 80, 24).starts_with("line 22\n"));
    screen.told(Told::Page(IncidentId(42), lines()));
    assert!(shown(&screen, 80, 24).starts_with("line 22\n"));
    press(&mut screen, KeyCode::Char('G'));
    press(&mut screen, KeyCode::PageDown);
    assert!(shown(&screen, 80, 24).starts_with("line 37\n"));
    press(&mut screen, KeyCode::Esc);
    assert!(shown(&screen, 80, 24).starts_with("shop"));
    assert_eq!(press(&mut screen, KeyCode::Char('q')), Next::Quit);
    assert_eq!(screen.key(KeyCode::Char('c'), KeyModifiers::CONTROL, 24), Next::Quit);
}

#[test]
fn hostile_text_is_text() {
    let evil = "\u{1b}[2J\u{1b}]52;c;eA==\u{7}\u{9b}1m\u{202e}\u{200b}\u{e0041}\r\n\u{8}";
    let mut screen = Screen::new(true);
    screen.told(Told::Fleet(Box::new(fleet(|text| format!("{evil}{text}")))));
    screen.told(Told::Trouble(format!("no{evil}")));
    for text in [shown(&screen, 100, 40), once(fleet(|text| format!("{evil}{text}")), 100)] {
        let found = text.chars().find(|c| *c != '\n' && is_deceptive(*c));
        assert_eq!(found, None, "{text}");
        assert!(text.contains("\\u{1b}[2J"), "{text}");
    }
}

#[test]
fn without_colour_there_is_none() {
    let mut screen = screen();
    screen.color = false;
    let mut terminal = Terminal::new(TestBackend::new(100, 32)).expect("a terminal");
    let drawn = terminal.draw(|frame| view::draw(&screen, frame.area(), frame.buffer_mut(), now()));
    let cells = &drawn.expect("drawn").buffer.content;
    assert!(cells.iter().all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset));
}

#[test]
fn trouble_is_said_and_what_is_known_stays() {
    let mut screen = screen();
    screen.told(Told::Trouble("no daemon answers".to_owned()));
    let text = shown(&screen, 80, 24);
    assert!(text.ends_with("! no daemon answers\n") && text.contains("INC-42"), "{text}");
    screen.told(Told::Fleet(Box::new(fleet(str::to_owned))));
    assert!(!shown(&screen, 80, 24).contains("no daemon answers"));
}
