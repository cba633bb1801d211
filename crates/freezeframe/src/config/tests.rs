//! Files, environments and flags, and what becomes of them.

use std::path::Path;

use expect_test::{Expect, expect, expect_file};

use super::keys::{KEYS, SECTIONS};
use super::reference::reference;
use super::{Config, Flags, parse};

fn fails(text: &str, expected: Expect) {
    let error = match parse(text, Path::new("freezeframe.toml")) {
        Err(error) => error.to_string(),
        Ok(file) => {
            Config::resolve(Some(file), [], Flags::default()).map(|_| ()).expect_err("an error").to_string()
        }
    };
    expected.assert_eq(&error);
}

fn resolve(text: &str, environment: &[(&str, &str)], flags: Flags) -> Result<Config, String> {
    let file = parse(text, Path::new("freezeframe.toml")).map_err(|error| error.to_string())?;
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Config::resolve(Some(file), environment, flags).map_err(|error| error.to_string())
}

#[test]
fn a_whole_file_is_read() {
    let text = r#"
        [service]
        command = ["./target/release/shop", "--port=env"]
        listen = "0.0.0.0:80"
        public_url = "https://freeze.example.org"
        instances = 3
        env = { RUST_LOG = "info" }
        ready = { path = "/ready", timeout_ms = 5_000 }

        [hold]
        lease = "1h30min"
        held_bytes_max = "2GiB"
        stall_ms = 30_000
        redact.names = ["iban"]
        user_code.exclude = ["shop::generated"]

        [alert.oncall]
        type = "slack"
        url = "env:SLACK"

        [store]
        dir = "/var/lib/freezeframe"
    "#;
    let config = resolve(text, &[], Flags::default()).unwrap();
    expect![[r#"
        Service {
            name: "shop",
            command: [
                "./target/release/shop",
                "--port=env",
            ],
            listen: 0.0.0.0:80,
            admin: 127.0.0.1:9800,
            public_url: Some(
                "https://freeze.example.org",
            ),
            instances: 3,
            spares: 1,
            env: {
                "RUST_LOG": "info",
            },
            directory: None,
            ready: Ready {
                path: Some(
                    "/ready",
                ),
                timeout_ms: 5000,
            },
            stop_ms: 10000,
        }
    "#]]
    .assert_debug_eq(&config.service);
    assert_eq!((config.hold.lease_ms, config.hold.held_bytes_max), (5_400_000, 2 << 30));
    assert_eq!((config.hold.stall_ms, config.hold.drain_ms), (Some(30_000), 2_000));
    assert_eq!(config.hold.redact.names, ["iban"]);
    assert_eq!(config.hold.user_code.exclude, ["shop::generated"]);
    assert!(
        matches!(&config.alert["oncall"], freezeframe_alert::ChannelConfig::Slack { url } if url == "env:SLACK")
    );
    assert_eq!(config.store.dir, Path::new("/var/lib/freezeframe"));
}

#[test]
fn a_flag_goes_before_the_environment_and_that_before_the_file() {
    let flags = |spares| Flags { spares: Some(spares), ..Flags::default() };
    let file = "[service]\nspares = 2\nstop_ms = 2\n";
    let variable = [("FREEZEFRAME_SERVICE_SPARES", "3"), ("FREEZEFRAME_SERVICE_PORT", "tcp://10.0.0.1:80")];
    let spares = |variables: &[_], flags| resolve(file, variables, flags).unwrap().service.spares;
    let none = Flags::default;
    assert_eq!((spares(&[], none()), spares(&variable, none()), spares(&variable, flags(4))), (2, 3, 4));
    let all = Flags {
        data_dir: Some("/data".into()),
        listen: Some(([0, 0, 0, 0], 80).into()),
        admin: Some(([127, 0, 0, 1], 81).into()),
        instances: Some(5),
        spares: None,
        command: vec!["/bin/true".to_owned(), "x".to_owned()],
        ..Flags::default()
    };
    let config = resolve("[service]\ncommand = [\"a\"]\n", &[], all).unwrap();
    expect![[r#"Service { name: "true", command: ["/bin/true", "x"], listen: 0.0.0.0:80, admin: 127.0.0.1:81, public_url: None, instances: 5, spares: 1, env: {}, directory: None, ready: Ready { path: None, timeout_ms: 60000 }, stop_ms: 10000 } /data"#]].assert_eq(&format!("{:?} {}", config.service, config.store.dir.display()));

    expect![[r#"--spares is "99": expected a whole number from 0 to 16"#]]
        .assert_eq(&resolve(file, &[], flags(99)).map(|_| ()).unwrap_err());
    let lease = [("FREEZEFRAME_HOLD_LEASE", "4")];
    expect![[r#"FREEZEFRAME_HOLD_LEASE is "4": expected a duration like "4h", "1h30min", "90s" or "500ms""#]]
        .assert_eq(&resolve(file, &lease, none()).map(|_| ()).unwrap_err());
}

#[test]
fn lists_and_truth_values_are_read_from_the_environment() {
    let variables = [
        ("FREEZEFRAME_SERVICE_COMMAND", r#"["sh", "-c", "a, b"]"#),
        ("FREEZEFRAME_HOLD_REDACT_NAMES", "iban, tax ,"),
        ("FREEZEFRAME_HOLD_ENABLED", "off"),
        ("FREEZEFRAME_STORE_BYTES", "2GiB"),
    ];
    let config = resolve("", &variables, Flags::default()).unwrap();
    assert_eq!(config.service.command, ["sh", "-c", "a, b"]);
    assert_eq!(config.hold.redact.names, ["iban", "tax"]);
    assert_eq!((config.hold.enabled, config.store.bytes), (false, 2 << 30));
    let broken = [("FREEZEFRAME_SERVICE_COMMAND", "[\"a\"]\n[hold]\nenabled=false")];
    assert!(resolve("", &broken, Flags::default()).is_err(), "a value is a value, not a piece of a file");
}

#[test]
fn unknown_names_are_errors_that_name_the_nearest() {
    fails(
        "[hold]\n\ndrain_sm = 2000\n",
        expect![[r#"
        unknown key `drain_sm` in [hold], did you mean `drain_ms`?
         --> freezeframe.toml:3:1
          |
        3 | drain_sm = 2000
          | ^^^^^^^^"#]],
    );
    fails(
        "[hodl]\n",
        expect![[r#"
        unknown section [hodl], did you mean `hold`?
         --> freezeframe.toml:1:2
          |
        1 | [hodl]
          |  ^^^^"#]],
    );
    fails(
        "[service]\ndrain_ms = 1\n",
        expect![[r#"
        unknown key `drain_ms` in [service], did you mean `drain_ms` in [hold]?
         --> freezeframe.toml:2:1
          |
        2 | drain_ms = 1
          | ^^^^^^^^"#]],
    );
    fails(
        "lease = \"4h\"\n",
        expect![[r#"
        unknown key `lease` outside of any section, did you mean `lease` in [hold]?
         --> freezeframe.toml:1:1
          |
        1 | lease = "4h"
          | ^^^^^"#]],
    );
    fails(
        "[service.redy]\n",
        expect![[r#"
        unknown section [service.redy], did you mean `ready`?
         --> freezeframe.toml:1:10
          |
        1 | [service.redy]
          |          ^^^^"#]],
    );
    fails(
        "[service]\nstop_ms = 1\nzzzzzz = 1\n",
        expect![[r#"
        unknown key `zzzzzz` in [service]
         --> freezeframe.toml:3:1
          |
        3 | zzzzzz = 1
          | ^^^^^^"#]],
    );
    fails(
        "[service]\n\tname = \"x\"\n\tinstancse = 3 # äöü\n",
        expect![[r#"
        unknown key `instancse` in [service], did you mean `instances`?
         --> freezeframe.toml:3:2
          |
        3 |  instancse = 3 # äöü
          |  ^^^^^^^^^"#]],
    );
    fails(
        "[alert.oncall]\ntype = \"slack\"\nulr = \"x\"\n",
        expect![[r#"
            unknown key `ulr` in [alert.oncall], did you mean `url`?
             --> freezeframe.toml:3:1
              |
            3 | ulr = …
              | ^^^"#]],
    );
    fails(
        "[alert.oncall]\ntype = \"slak\"\nurl = \"x\"\n",
        expect![[r#"
        [alert.oncall]: there is no channel of type `slak`, did you mean `slack`?
         --> freezeframe.toml:2:8
          |
        2 | type = "slak"
          |        ^^^^^^"#]],
    );
}

#[test]
fn values_that_cannot_be_are_errors_with_their_place() {
    fails(
        "[service]\ninstances = \"two\"\n",
        expect![[r#"
        `instances` in [service]: expected a whole number, found a string
         --> freezeframe.toml:2:13
          |
        2 | instances = "two"
          |             ^^^^^"#]],
    );
    fails(
        "[service]\ninstances = 0\n",
        expect![[r#"
        `instances` in [service]: expected a whole number from 1 to 64
         --> freezeframe.toml:2:13
          |
        2 | instances = 0
          |             ^"#]],
    );
    fails(
        "[service]\ninstances = 99999999999999999999\n",
        expect![[r#"
        `instances` in [service]: expected a whole number, found a number that is too large
         --> freezeframe.toml:2:13
          |
        2 | instances = 99999999999999999999
          |             ^^^^^^^^^^^^^^^^^^^^"#]],
    );
    fails(
        "[service]\nlisten = \"localhost\"\n",
        expect![[r#"
        `listen` in [service]: expected an address and a port like "127.0.0.1:8080" or "[::1]:8080"
         --> freezeframe.toml:2:10
          |
        2 | listen = "localhost"
          |          ^^^^^^^^^^^"#]],
    );
    fails(
        "[hold]\nlease = 4\n",
        expect![[r#"
        `lease` in [hold]: expected a string, found a whole number
         --> freezeframe.toml:2:9
          |
        2 | lease = 4
          |         ^"#]],
    );
    fails(
        "[hold]\nlease = \"4 weeks\"\n",
        expect![[r#"
        `lease` in [hold]: expected a duration like "4h", "1h30min", "90s" or "500ms"
         --> freezeframe.toml:2:9
          |
        2 | lease = "4 weeks"
          |         ^^^^^^^^^"#]],
    );
    fails(
        "[hold]\nlease = \"48h\"\n",
        expect![[r#"
            `lease` in [hold]: expected "1s" to "1d"
             --> freezeframe.toml:2:9
              |
            2 | lease = "48h"
              |         ^^^^^"#]],
    );
    fails(
        "[hold]\nredact.names = [1]\n",
        expect![[r#"
        `names` in [hold.redact]: expected an array of strings, found an array with something else
         --> freezeframe.toml:2:16
          |
        2 | redact.names = [1]
          |                ^^^"#]],
    );
    fails(
        "[hold]\nredact.patterns = [\"(\"]\n",
        expect!["[hold.redact]: redaction pattern 1 is not a usable regular expression: ("],
    );
    fails(
        "service = 1\n",
        expect![[r#"
        [service] is a section: expected a table, found a whole number
         --> freezeframe.toml:1:11
          |
        1 | service = 1
          |           ^"#]],
    );
    fails(
        "alert = 1\n",
        expect![[r#"
        alert channels are written as [alert.NAME], each with a `type`
         --> freezeframe.toml:1:9
          |
        1 | alert = 1
          |         ^"#]],
    );
    fails(
        "[alert.oncall]\ntype = \"slack\"\n",
        expect![[r#"
        [alert.oncall]: missing field `url`
         --> freezeframe.toml:1:8
          |
        1 | [alert.oncall]
          |        ^^^^^^"#]],
    );
    fails(
        "[service\n",
        expect![[r#"
        unclosed table, expected `]`
         --> freezeframe.toml:1:9
          |
        1 | [service
          |         ^"#]],
    );
    fails(
        "[hold]\nheld_max = 1\nheld_max = 2\n",
        expect![[r#"
        duplicate key
         --> freezeframe.toml:3:1
          |
        3 | held_max = 2
          | ^^^^^^^^"#]],
    );
}

#[test]
fn settings_that_do_not_fit_together_are_errors() {
    fails(
        "[service]\nadmin = \"0.0.0.0:9800\"\n",
        expect![
            "`admin` in [service] is 0.0.0.0:9800, which others can reach without encryption: use a loopback address, and a proxy with TLS in front of it, whose address goes into `public_url`"
        ],
    );
    fails(
        "[service]\nlisten = \"127.0.0.1:9800\"\n",
        expect!["`listen` and `admin` in [service] both use port 9800"],
    );
    fails(
        "[hold]\nhealthy_min = 3\n",
        expect![
            "`healthy_min` in [hold] is 3, but `instances` in [service] is 2: nothing could ever be held"
        ],
    );
}

#[test]
fn gates_routes_take_from_the_gate_what_they_leave_out() {
    let file = r#"
        [gate]
        deadline_ms = 3000
        in_flight_max = 8
        upstreams = ["127.0.0.1:9000"]

        [[gate.service]]
        name = "pay"
        upstreams = ["unix:/run/pay.sock", "[::1]:9100"]
        in_flight_max = 2
        queue_max = 5
        deadline_ms = 700

        [[gate.route]]
        path = "/slow"
        service = "pay"

        [[gate.route]]
        host = "*.example"
        path = "/pay"
        service = "pay"
        deadline_ms = 0
        tier = 0
    "#;
    let config = resolve(file, &[], Flags::default()).unwrap();
    let table = config.gate.fixed_routes().unwrap();
    let show = |route: &freezeframe_gate::Route| {
        let (host, deadline) = (route.host.as_deref().unwrap_or("-"), route.deadline_ms);
        format!(
            "{} {host} {} -> {} {deadline:?} {} tier {}",
            route.name, route.path, route.service, route.retries, route.tier
        )
    };
    expect![[r#"
        route-1 - /slow -> pay Some(700) 1 tier 1
        route-2 *.example /pay -> pay None 1 tier 0
        default - / -> default Some(3000) 1 tier 1"#]]
    .assert_eq(&table.routes.iter().map(show).collect::<Vec<_>>().join("\n"));
    let limits = |service: &freezeframe_gate::Service| (service.in_flight_max, service.queue_max);
    assert_eq!(table.services.iter().map(limits).collect::<Vec<_>>(), [(Some(2), 5), (Some(8), 128)]);
    let supervised = resolve("", &[], Flags::default()).unwrap().gate.supervised_routes().unwrap();
    let default = freezeframe_gate::RouteTable::default();
    assert_eq!(supervised, default, "nothing set is nothing limited");
    let fixed = Flags { upstreams: vec!["127.0.0.1:1".to_owned()], ..Flags::default() };
    let fixed = resolve("", &[], fixed).unwrap().gate.fixed_routes().unwrap();
    assert_eq!(fixed.routes[0].deadline_ms, Some(60_000));
}

#[test]
fn gates_lists_are_checked_where_they_stand() {
    fails(
        "[[gate.route]]\npath = \"/\"\n\n[[gate.route]]\npaht = \"/x\"\n",
        expect![[r#"
            unknown key `paht` in [[gate.route]], did you mean `path`?
             --> freezeframe.toml:5:1
              |
            5 | paht = "/x"
              | ^^^^"#]],
    );
    fails(
        "[[gate.service]]\nname = \"pay\"\n",
        expect![[r#"
            [[gate.service]]: missing field `upstreams`
             --> freezeframe.toml:1:1
              |
            1 | [[gate.service]]
              | ^^^^^^^^^^^^^^^^"#]],
    );
    fails(
        "[gate.route]\npath = \"/\"\n",
        expect![[r#"
            each route is written as [[gate.route]]
             --> freezeframe.toml:1:1
              |
            1 | [gate.route]
              | ^^^^^^^^^^^^"#]],
    );
    fails(
        "[[gate.rout]]\npath = \"/\"\n",
        expect![[r#"
            unknown key `rout` in [gate], did you mean `route`?
             --> freezeframe.toml:1:8
              |
            1 | [[gate.rout]]
              |        ^^^^"#]],
    );
    for (file, wrong) in [
        ("[[gate.service]]\nname = \"a\"\nupstreams = [\"nonsense\"]\n", "upstream \"nonsense\" of \"a\""),
        ("[[gate.route]]\nservice = \"b\"\n", "leads to the service \"b\", which does not exist"),
    ] {
        let error =
            resolve(file, &[], Flags::default()).unwrap().gate.fixed_routes().unwrap_err().to_string();
        assert!(error.contains(wrong), "{error}");
    }
}

#[test]
fn hostile_files_are_errors_and_nothing_worse() {
    let path = Path::new("freezeframe.toml");
    let deep = format!("[service]\nenv = {}{}", "{a=".repeat(10_000), "}".repeat(10_000));
    let dotted = format!("{}=1", vec!["a"; 10_000].join("."));
    for text in
        [&deep, &dotted, "\u{feff}[hold", "a=\u{0}", "[hold]\nlease=\"\u{1b}[31m\"", &"#".repeat(2 << 20)]
    {
        let error = parse(text, path).map(|_| ()).expect_err("an error").to_string();
        assert!(!error.contains(['\u{1b}', '\u{0}']), "{error:.300}");
        assert!(error.len() < 2_000);
    }
}

#[test]
fn every_key_is_in_a_section_and_its_default_can_be_read() {
    for key in KEYS {
        assert!(SECTIONS.iter().any(|section| section.name == key.section()), "{}", key.path);
        assert_eq!(KEYS.iter().filter(|other| other.variable() == key.variable()).count(), 1, "{}", key.path);
        if let Some(default) = key.default() {
            let file = format!("[{}]\n{} = {default}\n", key.section(), key.name());
            assert!(parse(&file, Path::new("x")).is_ok(), "{file}");
        }
    }
}

#[test]
fn the_reference_page_is_up_to_date() {
    expect_file!["../../../../docs/configuration.md"].assert_eq(&reference());
}

#[test]
fn damaged_files_are_errors_with_a_place() {
    const SOUND: &str = r#"
        [service]
        command = ["./shop", "--port=env"]
        listen = "0.0.0.0:80"
        env = { RUST_LOG = "info" }
        ready = { path = "/ready", timeout_ms = 5_000 }
        [hold]
        lease = "1h30min"
        held_bytes_max = "2GiB"
        redact.names = ["iban", "ü"]
        [alert.oncall]
        type = "slack"
        url = "env:SLACK"
        [[gate.route]]
        prefix = "/a"
    "#;
    const PIECES: [&str; 16] = [
        "[",
        "]",
        "[[",
        "=",
        ".",
        "\"",
        "'",
        "{",
        "}",
        "-1",
        "1e400",
        "nan",
        "99999999999999999999",
        "\n",
        "ü",
        "\0",
    ];
    let mut random = fastrand::Rng::with_seed(7);
    let mut refused = 0;
    for _ in 0..3000 {
        let mut text: Vec<char> = SOUND.chars().collect();
        for _ in 0..random.usize(1..6) {
            let at = random.usize(..text.len());
            let end = (at + random.usize(..8)).min(text.len());
            text.splice(at..end, PIECES[random.usize(..PIECES.len())].chars());
        }
        let text: String = text.into_iter().collect();
        // Neither panics; what is wrong is said in at least a word.
        if let Err(error) = resolve(&text, &[], Flags::default()) {
            refused += 1;
            assert!(error.contains(char::is_alphabetic), "{error:?} of {text}");
        }
    }
    assert!(refused > 1000, "{refused}");
}
