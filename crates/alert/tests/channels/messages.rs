//! The exact bytes that leave the host, per channel.

use crate::receiver::{Behaviour, Protocol, Receiver};
use expect_test::{Expect, expect};
use freezeframe_alert::{Alert, Channel, ChannelConfig, Notice, NoticeEvent, SIGNATURE_HEADER, Trust, sign};
use freezeframe_model::{Fingerprint, IncidentId, Timestamp};

fn alert(event: NoticeEvent, count: u64) -> Alert {
    let notice = Notice {
        event,
        incident: IncidentId(42),
        service: "shop".to_owned(),
        sentence: "shop/3 panicked in Cart<\"a\" & b>::total (src/cart.rs:41)".to_owned(),
        state: "held".to_owned(),
        fingerprint: Fingerprint([0xab; 16]),
        count,
        link: "http://127.0.0.1:7777/i/INC-42".to_owned(),
        report: String::new(),
        at: Timestamp(1_700_000_000_000_000),
    };
    Alert { delivery: "5f-1".to_owned(), notice }
}

async fn sent(protocol: Protocol, config: impl Fn(u16) -> ChannelConfig, alert: &Alert) -> (String, String) {
    let mut receiver = Receiver::start(protocol, false, &[Behaviour::Accept]).await;
    let trust = Trust::system().expect("certificates");
    let channel = Channel::new(&config(receiver.port), &|_| None, &trust).expect("a channel");
    channel.send(alert).await.expect("accepted");
    receiver.next().await
}

fn check_json(body: &str, expected: &Expect) {
    let value: serde_json::Value = serde_json::from_str(body).expect("json");
    expected.assert_eq(&format!("{value:#}"));
}

#[tokio::test]
async fn webhook() {
    let config = |port| ChannelConfig::Webhook {
        url: format!("http://127.0.0.1:{port}/hook"),
        secret: "whsec".to_owned(),
    };
    let (head, body) = sent(Protocol::Http, config, &alert(NoticeEvent::Repeated, 7)).await;
    check_json(
        &body,
        &expect![[r#"
        {
          "at": "2023-11-14T22:13:20Z",
          "count": 7,
          "delivery": "5f-1",
          "event": "repeated",
          "fingerprint": "abababababababababababababababab",
          "incident": "INC-42",
          "link": "http://127.0.0.1:7777/i/INC-42",
          "schema": "freezeframe-alert/1",
          "sentence": "shop/3 panicked in Cart<\"a\" & b>::total (src/cart.rs:41)",
          "service": "shop",
          "state": "held"
        }"#]],
    );
    let header = |name: &str| {
        let found = head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        found.unwrap_or_else(|| panic!("{name} is missing in {head}")).to_owned()
    };
    let signature = header(SIGNATURE_HEADER);
    let seconds = signature.strip_prefix("t=").and_then(|rest| rest.split(',').next()?.parse().ok());
    let seconds: i64 = seconds.expect("a time");
    assert_eq!(signature, sign(b"whsec", seconds, body.as_bytes()));
    assert!((Timestamp::now().0 / 1_000_000 - seconds).abs() < 60);
    assert_eq!(header("x-freezeframe-delivery"), "5f-1");
    assert_eq!(header("content-type"), "application/json");
    assert!(head.starts_with("POST /hook HTTP/1.1\r\n"), "{head}");
}

#[tokio::test]
async fn pagerduty() {
    let config = |port| ChannelConfig::Pagerduty {
        routing_key: "R0UT1NG".to_owned(),
        url: format!("http://127.0.0.1:{port}/v2/enqueue"),
    };
    let (_, body) = sent(Protocol::Http, config, &alert(NoticeEvent::Opened, 1)).await;
    check_json(
        &body,
        &expect![[r#"
        {
          "client": "Freezeframe",
          "client_url": "http://127.0.0.1:7777/i/INC-42",
          "dedup_key": "abababababababababababababababab",
          "event_action": "trigger",
          "links": [
            {
              "href": "http://127.0.0.1:7777/i/INC-42",
              "text": "INC-42 in Freezeframe"
            }
          ],
          "payload": {
            "component": "shop",
            "custom_details": {
              "count": 1,
              "incident": "INC-42",
              "state": "held"
            },
            "severity": "critical",
            "source": "shop",
            "summary": "shop/3 panicked in Cart<\"a\" & b>::total (src/cart.rs:41)",
            "timestamp": "2023-11-14T22:13:20Z"
          },
          "routing_key": "R0UT1NG"
        }"#]],
    );
    let (_, body) = sent(Protocol::Http, config, &alert(NoticeEvent::Resolved, 7)).await;
    let value: serde_json::Value = serde_json::from_str(&body).expect("json");
    assert_eq!(value["event_action"], "resolve");
    assert_eq!(value["dedup_key"], "abababababababababababababababab");
}

#[tokio::test]
async fn slack() {
    let config = |port| ChannelConfig::Slack { url: format!("http://127.0.0.1:{port}/services/T/B/x") };
    let (_, body) = sent(Protocol::Http, config, &alert(NoticeEvent::Resolved, 7)).await;
    check_json(
        &body,
        &expect![[r#"
        {
          "text": ":white_check_mark: Resolved: shop/3 panicked in Cart&lt;\"a\" &amp; b&gt;::total (src/cart.rs:41)\n<http://127.0.0.1:7777/i/INC-42|INC-42> (held)"
        }"#]],
    );
}

#[tokio::test]
async fn a_mail_carries_the_report_and_other_channels_do_not() {
    let mut long = alert(NoticeEvent::Opened, 1);
    long.notice.report = "# INC-42\n\n## Impact\n\n- Users: replaced in 1.2 ms\n".to_owned();
    let mail = |port| ChannelConfig::Smtp {
        url: format!("smtp://127.0.0.1:{port}"),
        from: "alerts@example.com".to_owned(),
        to: vec!["oncall@example.com".to_owned()],
    };
    let (_, body) = sent(Protocol::Smtp, mail, &long).await;
    let end = "INC-42 (held), 2023-11-14T22:13:20Z\n\n# INC-42\n\n## Impact\n\n- Users: replaced in 1.2 ms\n";
    assert!(body.replace('\r', "").contains(end), "{body}");
    let hook = |port| ChannelConfig::Webhook {
        url: format!("http://127.0.0.1:{port}/hook"),
        secret: "whsec".to_owned(),
    };
    let (_, body) = sent(Protocol::Http, hook, &long).await;
    assert!(!body.contains("Impact"), "{body}");
}

#[tokio::test]
async fn smtp() {
    let config = |port| ChannelConfig::Smtp {
        url: format!("smtp://127.0.0.1:{port}"),
        from: "Freezeframe <alerts@example.com>".to_owned(),
        to: vec!["oncall@example.com".to_owned(), "Second <second@example.com>".to_owned()],
    };
    let (dialogue, body) = sent(Protocol::Smtp, config, &alert(NoticeEvent::Opened, 10_000)).await;
    assert!(dialogue.contains("RCPT TO:<second@example.com>"), "{dialogue}");
    // The boundary and the date differ every time.
    let boundary =
        body.split("boundary=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a boundary");
    let body = body.replace(boundary, "BOUNDARY").replace('\r', "");
    let lines: Vec<_> = body.lines().filter(|line| !line.starts_with("Date: ")).collect();
    expect![[r#"
        From: Freezeframe <alerts@example.com>
        Subject: [Freezeframe] shop/3 panicked in Cart<"a" & b>::total
         (src/cart.rs:41) (10000 times)
        Message-ID: <abababababababababababababababab.5f-1@example.com>
        In-Reply-To: <abababababababababababababababab@example.com>
        References: <abababababababababababababababab@example.com>
        To: oncall@example.com, Second <second@example.com>
        MIME-Version: 1.0
        Content-Type: multipart/alternative;
         boundary="BOUNDARY"

        --BOUNDARY
        Content-Type: text/plain; charset=utf-8
        Content-Transfer-Encoding: 7bit

        shop/3 panicked in Cart<"a" & b>::total (src/cart.rs:41) (10000 times)

        http://127.0.0.1:7777/i/INC-42

        INC-42 (held), 2023-11-14T22:13:20Z

        --BOUNDARY
        Content-Type: text/html; charset=utf-8
        Content-Transfer-Encoding: quoted-printable

        <p>shop/3 panicked in Cart&lt;&quot;a&quot; &amp; b&gt;::total (src/cart.rs=
        :41) (10000 times)</p>
        <p><a href=3D"http://127.0.0.1:7777/i/INC-42">INC-42</a> (held), 2023-11-14=
        T22:13:20Z</p>

        --BOUNDARY--

        ."#]]
    .assert_eq(&lines.join("\n"));
}

#[test]
fn configuration_is_read_strictly_and_never_shown() {
    let read = |text: &str| serde_json::from_str::<ChannelConfig>(text);
    let pagerduty = read(r#"{"type":"pagerduty","routing_key":"hunter2"}"#).expect("defaults");
    assert!(
        matches!(&pagerduty, ChannelConfig::Pagerduty { url, .. } if url.starts_with("https://events.pagerduty.com/"))
    );
    assert!(!format!("{pagerduty:?}").contains("hunter2"));
    let unknown = read(r#"{"type":"slack","url":"https://x/","chanel":"ops"}"#).expect_err("an unknown key");
    assert!(unknown.to_string().contains("chanel"), "{unknown}");

    let trust = Trust::system().expect("certificates");
    let error = |text: &str| {
        let config = read(text).expect("a configuration");
        Channel::new(&config, &|_| None, &trust).expect_err(text).to_string()
    };
    expect!["secret: the environment variable HOOK is not set"]
        .assert_eq(&error(r#"{"type":"webhook","url":"https://x/","secret":"env:HOOK"}"#));
    expect!["secret: is empty"].assert_eq(&error(r#"{"type":"webhook","url":"https://x/","secret":""}"#));
    expect!["url: must begin with https:// or http://"].assert_eq(&error(r#"{"type":"slack","url":"x"}"#));
    expect!["to: names nobody"]
        .assert_eq(&error(r#"{"type":"smtp","url":"smtp://x","from":"a@b.c","to":[]}"#));
    expect!["url: is not like smtps://user:password@host:465 or smtp://host:25"]
        .assert_eq(&error(r#"{"type":"smtp","url":"mailto:x","from":"a@b.c","to":["a@b.c"]}"#));
}
