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
    }
    page.push_str(ALERT);
    page
}
