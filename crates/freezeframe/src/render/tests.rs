//! The page and the list over one incident with something in every field.

use expect_test::expect;
use freezeframe_model::{Capture, Incident, IncidentState, NetworkCut, Timestamp, Value, Variable};

use super::list::incidents_at;
use super::page::{clean, clean_but_colours, cut};
use super::{Style, incident_at};

#[path = "../../../api/tests/common/sample.rs"]
pub(crate) mod sample;
use sample::{AT, sample};

const PLAIN: Style = Style { color: false, width: 100, tasks: false };

/// 14 minutes after the trap.
fn now() -> Timestamp {
    AT.plus_ms(14 * 60_000)
}

fn page((incident, capture): &(Incident, Capture), style: Style) -> String {
    incident_at(incident, Some(capture), style, now())
}

#[test]
fn the_page_tells_the_story_in_the_order_of_need() {
    expect![[r#"
        INC-42  ● held  shop/2  pid 4121  build 3fa9c1e  2026-11-21 03:11:58 UTC (14 min ago)

        attempt to divide by zero
        shop/2 panicked in shop::pricing::total (src/pricing.rs:118)

          ✓ Users          replaced in 1.2 ms
          ✓ Requests lost  none besides the failing one
          ! Quarantine     out of routing, frozen, network not cut: missing CAP_NET_ADMIN
            Lease          ends in 3 h 46 min (07:11:58 UTC)
            Seen           3 times
            Fingerprint    abababababababababababababababab

        Site  shop::pricing::total (src/pricing.rs:118)
           115 │ pub fn total(order: &Order, rates: &Rates) -> i64 {
           116 │     let mut sum = 0;
           117 │     let rate = rates.of(order.currency);
        >  118 │     sum += order.cents() / rate;   rate = 0
           119 │     sum
           120 │ }

          order    &shop::Order
            id       1042  u64
            items    len 1  alloc::vec::Vec<shop::Item>
              [0]      shop::Item
                name     "Espresso beans"  alloc::string::String
                cents    1290  i64
            token    redacted: looks like a jwt  alloc::string::String
          rate     0  i64
          iter     ‹optimised out›  core::slice::Iter<shop::Item>

        Stack  thread 4123 tokio-3
             … 2 library frames
        >  2 shop::pricing::total  src/pricing.rs:118
           3 shop::checkout::{closure}  src/checkout.rs:64 (inlined)
               user     8812  u64
             … 1 library frame
             the stack ends here: no unwind information in libfoo.so

        Other threads  2
             4122 tokio-2          waits for a lock that thread 4123 probably owns  in shop::stock::reserve
             4121 shop             in epoll_wait

        Tasks  3: 1 running, 2 waiting
            1 × shop::checkout  running on thread 4123  src/pricing.rs:118
            2 × shop::mail::send  waiting for tokio::time::sleep::Sleep  src/mail.rs:22
             `--tasks` has their stacks

        Request
          POST /checkout
          its traceparent was found in the failing thread's memory
          traceparent 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
          03:11:40.042  GET /cart                        200    8.4 ms  answered
          03:11:54.042  PUT /cart/coupon                 502    8.4 ms  failed: connection reset, retried

        Log  last 4 lines
          03:11:40.042  out  INFO cart loaded items=1 user=8812
          03:11:54.042  out  WARN coupon service slow took_ms=1800
          03:11:58.041  err  thread 'tokio-3' panicked at src/pricing.rs:118:20:
          03:11:58.041  err  attempt to divide by zero

        Not captured
          network cut: missing CAP_NET_ADMIN
          locals of frame 4: stripped binary

        Next
          freezeframe attach INC-42      open a debugger on the held process
          freezeframe extend INC-42      hold it four hours longer
          freezeframe release INC-42     let it go on and end in good order
          freezeframe kill INC-42        end it; what was captured stays
          freezeframe export INC-42      everything in one file
    "#]]
    .assert_eq(&page(&sample(str::to_owned), PLAIN));
}

#[test]
fn without_a_capture_it_says_so() {
    let (mut incident, _) = sample(str::to_owned);
    incident.state = IncidentState::Recorded;
    incident.timings.replaced_us = None;
    incident.logs.clear();
    incident.not_captured.clear();
    incident.request = freezeframe_model::FailingRequest { in_flight: 2, ..Default::default() };
    expect![[r#"
        INC-42  ○ recorded  shop/2  build 3fa9c1e  2026-11-21 03:11:58 UTC (14 min ago)

        attempt to divide by zero
        shop/2 panicked in shop::pricing::total (src/pricing.rs:118)

            Users          nothing was taken out of routing to hold it
          ✓ Requests lost  none besides the failing one
            Quarantine     not held, only recorded
            Seen           3 times
            Fingerprint    abababababababababababababababab

        Site  shop::pricing::total (src/pricing.rs:118)
          nothing was captured of this incident

        Request
          one of 2 in flight

        Not captured
          stacks and values: nothing was captured of this incident

        Next
          freezeframe export INC-42      everything in one file
    "#]]
    .assert_eq(&incident_at(&incident, None, PLAIN, now()));
}

#[test]
fn no_line_is_wider_than_the_terminal() {
    let sample = sample(|text| format!("{text} {}", "long ".repeat(60)));
    for width in [0, 40, 61, 100, 200] {
        let style = Style { width, ..PLAIN };
        let list = incidents_at(&[(&sample.0).into()], style, now());
        for line in page(&sample, style).lines().chain(list.lines()) {
            assert!(line.chars().count() <= width.max(40), "{width}: {line}");
        }
    }
}

#[test]
fn nothing_from_the_process_reaches_the_terminal_as_a_command() {
    let evil = sample(|text| format!("{text}\u{1b}[2J\u{1b}]0;x\u{7}\r\u{9b}1m\u{202e}\u{8}"));
    for color in [false, true] {
        let style = Style { color, width: 80, tasks: true };
        let shown = page(&evil, style) + &incidents_at(&[(&evil.0).into()], style, now());
        let ours = shown.replace("\u{1b}[", "");
        assert!(!ours.contains(['\u{1b}', '\u{7}', '\r', '\u{9b}', '\u{202e}', '\u{8}']));
        let sequences: std::collections::BTreeSet<_> = shown
            .split("\u{1b}[")
            .skip(1)
            .filter_map(|rest| rest.split_once('m'))
            .map(|(code, _)| code)
            .collect();
        let known = ["0", "1", "1;31", "1;36", "2", "32", "33"];
        assert!(sequences.iter().all(|code| known.contains(code)), "{sequences:?}");
        assert_eq!(sequences.is_empty(), !color);
    }
}

#[test]
fn tasks_are_shown_with_their_stacks_when_asked_for() {
    let shown = page(&sample(str::to_owned), Style { tasks: true, ..PLAIN });
    let tasks = shown.split("\n\n").skip_while(|part| !part.starts_with("Tasks"));
    let tasks: Vec<&str> = tasks.take_while(|part| !part.starts_with("Request")).collect();
    expect![[r#"
        Tasks  3: 1 running, 2 waiting
            1 × shop::checkout  running on thread 4123
                1 task: 9
           0 shop::pricing::total  src/pricing.rs:118

            2 × shop::mail::send  waiting for tokio::time::sleep::Sleep
                2 tasks: 5, 6, spawned at src/checkout.rs:80
           0 tokio::time::sleep::Sleep
           1 shop::mail::send  src/mail.rs:22
               customer  "Ada"  &str"#]]
    .assert_eq(&tasks.join("\n\n"));
}

#[test]
fn big_values_are_bounded() {
    let (incident, mut capture) = sample(str::to_owned);
    let leaf = |at: usize| Variable {
        name: format!("[{at}]"),
        value: Value::Text("x".repeat(100_000)),
        ..Variable::default()
    };
    let many = Variable {
        name: "many".to_owned(),
        value: Value::Composite,
        children: (0..5_000).map(leaf).collect(),
        ..Variable::default()
    };
    capture.threads[0].frames[2].variables = vec![many];
    let shown = page(&(incident, capture), PLAIN);
    assert!(shown.contains("… 4941 values more; `--json` has them all"));
    assert!(shown.replace(['\n', ' '], "").contains("…98000morecharacters"));
    assert!(shown.len() < 400_000);
}

#[test]
fn colour_only_adds_control_sequences() {
    let sample = sample(str::to_owned);
    let coloured = page(&sample, Style { color: true, ..PLAIN });
    let mut bare = String::new();
    let mut rest = coloured.as_str();
    while let Some((before, after)) = rest.split_once("\u{1b}[") {
        bare.push_str(before);
        rest = after.split_once('m').map_or("", |(_, after)| after);
    }
    bare.push_str(rest);
    let trimmed: String = bare.lines().map(|line| format!("{}\n", line.trim_end())).collect();
    assert_eq!(trimmed, page(&sample, PLAIN));
}

#[test]
fn the_list_fits() {
    let (held, _) = sample(str::to_owned);
    let mut old = held.clone();
    old.id = freezeframe_model::IncidentId(7);
    old.state = IncidentState::Expired;
    old.count = 1204;
    old.message.clear();
    old.captured_at = Timestamp(AT.0 - 400_000_000_000);
    old.hold.network = NetworkCut::Cut;
    expect![[r#"
        INCIDENT  STATE      SEEN   WHEN          WHAT BROKE
        INC-42    ● held     3×     14 min ago    attempt to divide by zero · shop/2 panicked in shop::pric…
        INC-7     ◷ expired  1204×  4 d 15 h ago  shop/2 panicked in shop::pricing::total (src/pricing.rs:1…
    "#]]
    .assert_eq(&incidents_at(&[(&held).into(), (&old).into()], PLAIN, now()));
    expect![[r#"
        Nothing has broken.
    "#]]
    .assert_eq(&incidents_at(&[], PLAIN, now()));
}

#[test]
fn text_is_cleaned_and_cut_by_characters() {
    assert_eq!(clean("a\tb\u{1b}c"), "a    b\\u{1b}c");
    assert_eq!(clean("plain äöü"), "plain äöü");
    assert_eq!(
        clean_but_colours("\u{1b}[1;31mred\u{1b}[0m \u{1b}[2J\u{1b}]0;x\u{7}\u{9b}m\u{1b}[mend\u{1b}["),
        "\u{1b}[1;31mred\u{1b}[0m \\u{1b}[2J\\u{1b}]0;x\\u{7}\\u{9b}m\u{1b}[mend\\u{1b}["
    );
    assert_eq!(
        (cut("äöü", 3), cut("äöüß", 3), cut("", 0)),
        ("äöü".to_owned(), "äö…".to_owned(), String::new())
    );
}
