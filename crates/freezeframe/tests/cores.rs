//! `open` on ELF cores: the page, the JSON and expressions, out of a program that was never supervised.

mod support;

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use support::needs::{Need, has};
use support::programs;

fn open(file: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_freezeframe"));
    command.arg("open").arg(file).args(arguments).env("NO_COLOR", "1");
    command.output().expect("freezeframe starts")
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_core_is_shown_like_an_incident() {
    if !has(&[Need::Compilers, Need::Gdb]) {
        return;
    }
    let program = programs::crash();
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let core = scratch.path().join("core");
    let write = format!("generate-core-file {}", core.display());
    let gdb = ["-nx", "-batch", "-ex", "run", "-ex", write.as_str(), "-ex", "kill"];
    let written = Command::new("gdb").args(gdb).arg(&program).output().expect("gdb starts");
    assert!(core.exists(), "{}", String::from_utf8_lossy(&written.stdout));

    let page = text(&open(&core, &[]));
    for part in ["core  ", "SIGSEGV: address 0x0 is not mapped", "Site  ship", "amount", "redacted: password"]
    {
        assert!(page.contains(part), "{part:?} in {page}");
    }
    let view: Value = serde_json::from_str(&text(&open(&core, &["--json"]))).expect("JSON");
    assert_eq!((&view["id"], &view["kind"]), (&Value::from("core"), &Value::from("SIGSEGV")));
    assert_eq!(view["site"]["function"], "ship");

    let value = |expression: &str| {
        text(&open(&core, &["--eval", expression])).split_whitespace().nth(1).map(str::to_owned)
    };
    assert_eq!(value("order->amounts[2]").as_deref(), Some("30"));
    let page: Value =
        serde_json::from_str(&text(&open(&core, &["--eval", "order->amounts", "--offset", "98", "--json"])))
            .expect("JSON");
    assert_eq!(page["children"].as_array().map(Vec::len), Some(2));

    let wrong = open(&core, &["--eval", "order->amount"]);
    let said = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert_eq!(wrong.status.code(), Some(3), "{said}");
    assert!(said.contains("there is: amounts") && said.contains("^^^^^"), "{said}");
    let secret = open(&core, &["--eval", "order->password[0]"]);
    assert_eq!(secret.status.code(), Some(4), "{}", String::from_utf8_lossy(&secret.stderr));

    let packed = scratch.path().join("core.zst");
    let bytes = std::fs::read(&core).expect("a core");
    std::fs::write(&packed, zstd::encode_all(bytes.as_slice(), 1).expect("packs")).expect("written");
    assert_eq!(
        text(&open(&packed, &["--eval", "order->amounts[2]"])),
        text(&open(&core, &["--eval", "order->amounts[2]"]))
    );

    let neither = open(&program, &[]);
    assert!(!neither.status.success(), "a program is neither core nor capsule");
}
