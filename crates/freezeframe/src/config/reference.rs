//! The reference page `docs/configuration.md`, made from the table of settings so that it cannot drift.

use std::fmt::Write;

use super::keys::{KEYS, SECTIONS};

const HEAD: &str = "\
<!-- Made from crates/freezeframe/src/config/keys.rs by its test; change it there and run the tests with UPDATE_EXPECT=1. -->

# Configuration

Freezeframe reads `freezeframe.toml` in the present directory, or the file given by `--config`. All of it is optional.
A flag goes before the environment, the environment before the file, and the file before the default. A key that does
not exist is an error. Relative paths start at the present directory.

In the environment, a list is written as in the file (`[\"a\", \"b\"]`) or with commas (`a,b`).
`FREEZEFRAME_DATA_DIR`, `FREEZEFRAME_LISTEN`, `FREEZEFRAME_ADMIN`, `FREEZEFRAME_INSTANCES` and `FREEZEFRAME_SPARES` stand for
the flags `--data-dir`, `--listen`, `--admin`, `--instances` and `--spares`. `FREEZEFRAME_CONFIG` stands for `--config`.
Durations are written like `\"4h\"`, `\"1h30min\"` or `\"90s\"`, sizes like `\"4GiB\"` or `\"800MB\"`.

```toml
[service]
command = [\"./target/release/shop\", \"--verbose\"]
instances = 2

[hold]
lease = \"4h\"

[alert.oncall]
type = \"slack\"
url = \"env:SLACK_WEBHOOK_URL\"
```
";

const ALERT: &str = "
## [alert.NAME]

Who is told, any number of times with a name of your choice. `type` decides on the other keys. A value that starts
with `env:` is read from that environment variable, so that no secret needs to be in the file.

| `type` | keys |
|---|---|
| `webhook` | `url`, `secret`: a JSON document is posted, signed with the secret |
| `pagerduty` | `routing_key`, and `url` where it is not PagerDuty's own |
| `slack` | `url` of an incoming webhook |
| `smtp` | `url` like `smtps://user:password@mail.example.org`, `from`, `to` (a list) |
";

const GATE: &str = "
## [[gate.service]]

A further service behind the gate, any number of times.

| key | value |
|---|---|
| `name` | what routes call it |
| `upstreams` | list of addresses like `\"127.0.0.1:9000\"` or `\"unix:/run/shop.sock\"` |
| `h2c` | `true` to speak HTTP/2 with prior knowledge to them, as gRPC needs it |
| `in_flight_max`, `queue_max`, `deadline_ms` | as in `[gate]`, for this service; `deadline_ms` for those of its routes that name none |

## [[gate.route]]

Which service answers what, any number of times. The host decides first (an exact one, then the longest wildcard, then
none), then the longest path. What is left out is as in `[gate]`; without `service`, it is `default`: the supervised instances
of `freezeframe run`, the `upstreams` of `freezeframe gate`.

| key | value |
|---|---|
| `name` | in logs and metrics; `route-1` and so on where it is left out |
| `host` | `\"shop.example\"` or `\"*.example\"`, without a port; every host where it is left out |
| `path` | `\"/api\"` is that path and everything below it; `\"/\"` where it is left out |
| `service` | name of a service |
| `tier` | importance when there is too much to do, 0 to 7; 0 is shed last, 1 is usual |
| `cost` | name of a class of routes that use the same resource of an instance, and share what is learnt of its limits; at most 8 per service |
| `deadline_ms`, `retries` | as in `[gate]`, for this route |
| `in_flight_max` | this route's requests under way per instance, within what the service may have; no other bound where it is left out |
| `queue_max` | this route's requests that wait, within the service's queue; no other bound where it is left out |
| `request_streams` | `true` where bodies of requests may pause for any time, as those of bidirectional gRPC streams do |

## [[gate.certificate]]

A further certificate, any number of times: `cert` and `key` are PEM files. Clients are shown the one for the server name
that they ask for.
";

/// The reference page.
#[allow(dead_code, reason = "the tests write the page")]
pub(crate) fn reference() -> String {
    let mut page = HEAD.to_owned();
    for section in SECTIONS {
        // Writing to a string does not fail.
        let _ = write!(page, "\n## [{}]\n\n{}\n\n", section.name, section.doc);
        page.push_str("| key | value | default | environment |\n|---|---|---|---|\n");
        let keys = || KEYS.iter().filter(|key| key.section() == section.name);
        for key in keys() {
            let default = key.default().map_or_else(|| "none".to_owned(), |default| format!("`{default}`"));
            let variable = key.variable();
            let (name, kind) = (key.name(), key.kind.describe());
            let variable = if kind.starts_with("table") { "–".to_owned() } else { format!("`{variable}`") };
            let _ = writeln!(page, "| `{name}` | {kind} | {default} | {variable} |");
        }
        page.push('\n');
        for key in keys() {
            let _ = writeln!(page, "- `{}`: {}", key.name(), key.doc);
        }
        if section.name == "gate" {
            page.push_str(GATE);
        }
    }
    page.push_str(ALERT);
    page
}
