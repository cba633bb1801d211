//! A shell asks for completions, as its script does: commands, options, and numbers of incidents.

mod support;

use std::process::Command;

use support::needs::{Need, has};
use support::programs;
use support::scene::{Scene, Setup};

#[test]
fn a_shell_completes_commands_and_incidents() {
    if !has(&[Need::Ptrace]) {
        return;
    }
    let scene = Scene::start(Setup::of(&programs::panics(&[])).config("[hold]\nserver_errors = false\n"));
    let id = scene.named_by("/panic");
    scene.wait_state(&id, "held");

    // The real thing: bash sources the script, and its completion function is called as readline calls it.
    let script = "source <(\"$0\" completions bash)\n\
                  COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); COMP_TYPE=9\n\
                  spec=$(complete -p freezeframe); function=${spec#*-F }; function=${function%% *}\n\
                  \"$function\" freezeframe \"${COMP_WORDS[COMP_CWORD]}\"\n\
                  printf '%s\\n' \"${COMPREPLY[@]}\"";
    let complete = |words: &[&str]| {
        let program = env!("CARGO_BIN_EXE_freezeframe");
        let mut bash = Command::new("bash");
        bash.args(["-c", script, program]).args(words);
        bash.env("FREEZEFRAME_DATA_DIR", &scene.data);
        bash.env("PATH", path_with(program));
        let output = bash.output().expect("bash starts");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{words:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
        text.lines().map(str::trim).map(str::to_owned).collect::<Vec<_>>()
    };
    let commands = complete(&["freezeframe", "inc"]);
    assert_eq!(commands, ["incidents"]);
    let options = complete(&["freezeframe", "show", "--exp"]);
    assert_eq!(options, ["--expand"]);
    for command in ["show", "kill", "eval", "export", "attach"] {
        assert_eq!(complete(&["freezeframe", command, "INC"]), [id.as_str()], "{command}");
        assert_eq!(complete(&["freezeframe", command, "inc-"]), [id.as_str()], "{command}");
    }
    assert!(complete(&["freezeframe", ""]).iter().all(|name| name != "shim"));
}

/// The script calls the program by its name.
fn path_with(program: &str) -> std::ffi::OsString {
    let directory = std::path::Path::new(program).parent().expect("a directory").to_owned();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let all = std::iter::once(directory).chain(std::env::split_paths(&path));
    std::env::join_paths(all).expect("a path")
}
