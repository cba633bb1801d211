//! Whatever a process, its users and its logs say: no command lets it reach the terminal as anything but text.

mod support;

use std::process::Output;

use support::needs::{Need, has};
use support::programs;
use support::scene::{Scene, Setup};

/// Control characters but the line's end, what reorders text, and what cannot be seen.
fn obeyed(text: &str) -> Option<char> {
    text.chars().find(|c| {
        (c.is_control() && *c != '\n')
            || matches!(c, '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
            || matches!(c, '\u{feff}' | '\u{e0000}'..='\u{e007f}')
    })
}

fn assert_harmless(what: &str, output: &Output) -> String {
    let text = |bytes: &[u8]| match String::from_utf8(bytes.to_vec()) {
        Ok(text) => text,
        Err(_) => panic!("{what} writes what is no text"),
    };
    let all = text(&output.stdout) + &text(&output.stderr);
    if let Some(c) = obeyed(&all) {
        let line = all.lines().find(|line| line.contains(c)).unwrap_or_default();
        panic!("{what} lets {:?} through: {:?}", c, line.chars().take(300).collect::<String>());
    }
    all
}

#[test]
fn hostile_text_reaches_no_terminal() {
    if !has(&[Need::Ptrace]) {
        return;
    }
    let scene = Scene::start(Setup::of(&programs::hostile()).config("[hold]\nserver_errors = false\n"));
    let incident = scene.break_it("/greet?name=%1b%5b2J%c2%9b31m");
    let id = incident["id"].as_str().expect("an id").to_owned();
    assert!(incident["message"].as_str().is_some_and(|message| message.contains('\u{9b}')), "{incident}");
    let logs = incident["logs"].as_array().expect("logs");
    assert!(
        logs.iter().any(|line| line["text"].as_str().is_some_and(|text| text.contains("PLANTED"))),
        "{logs:?}"
    );

    let capsule = scene.data.join("exported.capsule").display().to_string();
    scene.must("export", &[&id, "--output", &capsule]);
    let commands: &[(&str, &[&str])] = &[
        ("show", &[&id]),
        ("show", &[&id, "--tasks"]),
        ("show", &[&id, "--json"]),
        ("show", &[&id, "--markdown"]),
        ("show", &[&id, "--expand", "user"]),
        ("show", &[&id, "--expand", "user.address", "--json"]),
        ("incidents", &[]),
        ("incidents", &["--json"]),
        ("eval", &[&id, "user.name"]),
        ("eval", &[&id, "user.name", "--json"]),
        ("eval", &[&id, "\u{1b}[2J\u{9b} nothing"]),
        ("eval", &[&id, "user.nothing"]),
        ("top", &["--once"]),
        ("top", &["--json"]),
        ("extend", &[&id]),
    ];
    for (command, arguments) in commands {
        let output = scene.command(command, arguments);
        let all = assert_harmless(&format!("{command} {arguments:?}"), &output);
        assert!(!all.is_empty(), "{command} {arguments:?} says nothing");
    }
    // It is there to be seen, harmless.
    let page = scene.must("show", &[&id]);
    assert!(page.contains("Mallory \\u{1b}[2J") && page.contains("\\u{9b}31m\\u{202e}"), "{page}");
    let report = scene.must("show", &[&id, "--markdown"]);
    assert!(report.starts_with(&format!("# {id}: ")) && report.contains("Mallory"), "{report}");
    assert!(report.contains(&format!("/i/{id}>")), "its page is named: {report}");
    let table = scene.must("top", &["--once"]);
    assert!(table.contains("Mallory") && table.contains(&id), "{table}");

    let opened = |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_freezeframe"));
        let output = command.arg("open").arg(&capsule).args(arguments).output().expect("freezeframe starts");
        assert!(output.status.success(), "{output:?}");
        assert_harmless(&format!("open {arguments:?}"), &output)
    };
    assert!(opened(&[]).contains("Mallory"));
    assert!(opened(&["--json"]).contains("Mallory"));
    assert!(opened(&["--eval", "user.name"]).contains("Mallory"));
}
