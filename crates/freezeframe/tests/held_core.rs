//! A core of a held process: gdb, lldb and `open` find in it what `show` has, and it leaves out what it should.

mod support;

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use support::needs::{Need, has};
use support::programs;
use support::scene::{Scene, Setup};

fn output(command: &mut Command) -> String {
    let output = command.output().expect("it starts");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn gdb(program: &Path, core: &Path, commands: &[&str]) -> String {
    let mut gdb = Command::new("gdb");
    gdb.args(["-nx", "-batch"]).args(commands.iter().flat_map(|command| ["-ex", command]));
    output(gdb.arg(program).arg(core))
}

fn lldb(program: &Path, core: &Path, commands: &[&str]) -> String {
    let mut lldb = Command::new("lldb");
    lldb.args(["--no-lldbinit", "--batch"]).args(commands.iter().flat_map(|command| ["-o", command]));
    output(lldb.arg("--core").arg(core).arg(program))
}

/// The functions of the last stack in a debugger's words: `first_byte` of `#0  first_byte (text=0x0) at …` (gdb) and of
/// ``frame #0: 0x… stuck`first_byte(text=…) at …`` (lldb).
fn functions(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    for line in text.lines() {
        let Some((_, rest)) = line.split_once('#') else { continue };
        let (number, rest) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(0));
        if number == "0" {
            names.clear();
        }
        let rest = rest.trim_start_matches(':').trim_start();
        let rest = rest.split_once('`').map_or(rest, |(_, rest)| rest);
        let rest = rest.split_once("[inlined] ").map_or(rest, |(_, rest)| rest);
        let in_code = rest.split_once(" in ").filter(|(address, _)| address.starts_with("0x"));
        let rest = in_code.map_or(rest, |(_, rest)| rest);
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        let name = rest.get(..end).unwrap_or_default().trim_start_matches("__");
        names.extend(Some(name.to_owned()).filter(|name| !name.is_empty()));
    }
    names
}

#[test]
fn debuggers_and_open_find_what_show_has() {
    if !has(&[Need::Ptrace, Need::Freezer, Need::Compilers, Need::Gdb, Need::Lldb]) {
        return;
    }
    let program = programs::stuck();
    let scene = Scene::start(Setup::of(&program).config("[hold]\nserver_errors = false\n"));
    let incident = scene.break_it("/null");
    let id = incident["id"].as_str().expect("an id");
    let core = scene.scratch.path().join("core");
    scene.must("core", &[id, "--output", &core.display().to_string()]);

    // The same stack, by all of us.
    let frames = |view: &Value| view["threads"][0]["frames"].as_array().expect("frames").clone();
    let shown: Vec<String> = frames(&incident)
        .iter()
        .map(|frame| frame["function"].as_str().unwrap_or_default().to_owned())
        .collect();
    let own =
        |all: Vec<String>| -> Vec<String> { all.into_iter().filter(|name| shown.contains(name)).collect() };
    let by_gdb = gdb(&program, &core, &["bt"]);
    let by_lldb = lldb(&program, &core, &["bt"]);
    let stack = own(functions(&by_gdb));
    assert!(stack.len() >= 3 && stack[0] == "first_byte", "{by_gdb}");
    assert_eq!(own(functions(&by_lldb)), stack, "{by_lldb}\n{by_gdb}");
    assert!(by_gdb.contains("terminated with signal SIGSEGV"), "{by_gdb}");
    assert!(by_lldb.contains("SIGSEGV"), "{by_lldb}");
    let opened: Value = serde_json::from_str(&output(
        Command::new(env!("CARGO_BIN_EXE_freezeframe")).arg("open").arg(&core).arg("--json"),
    ))
    .expect("open writes JSON");
    for (ours, theirs) in frames(&incident).iter().zip(frames(&opened)) {
        for what in ["function", "file", "line", "variables", "address"] {
            assert_eq!(ours[what], theirs[what], "{what} of {}", ours["function"]);
        }
    }
    assert_eq!(frames(&incident).len(), frames(&opened).len());
    assert_eq!(opened["site"], incident["site"]);
    assert_eq!(opened["kind"], incident["kind"]);

    // All threads, registers, the auxiliary vector, mapped files.
    let count = incident["threads"].as_array().expect("threads").len();
    assert_eq!(opened["threads"].as_array().map(Vec::len), Some(count));
    let facts = gdb(
        &program,
        &core,
        &["info threads", "info auxv", "info proc mappings", "p $mxcsr", "p $xmm0.uint128"],
    );
    assert_eq!(
        facts.matches("LWP ").count()
            - facts.matches("[New LWP ").count()
            - facts.matches("Current thread").count(),
        count,
        "{facts}"
    );
    for part in ["AT_ENTRY", "AT_PHDR", "libc.so.6"] {
        assert!(facts.contains(part), "no {part}: {facts}");
    }
    assert!(facts.contains("$1 = [") && facts.contains("$2 = "), "floating-point registers: {facts}");
    let threads = lldb(&program, &core, &["thread list"]);
    assert_eq!(threads.matches("tid = ").count(), count, "{threads}");

    // What was never used takes no room, and what is not wanted is not there.
    let facts = core.metadata().expect("there");
    assert!(facts.blocks() * 512 < facts.len(), "{} of {}", facts.blocks() * 512, facts.len());
    let headers = scene.scratch.path().join("headers");
    scene.must("core", &[id, "--filter", "0x10", "--output", &headers.display().to_string()]);
    assert!(headers.metadata().expect("there").len() < facts.len() / 2);
    let wrong = scene.command("core", &[id, "--filter", "all"]);
    assert_eq!(wrong.status.code(), Some(2), "{wrong:?}");
}
