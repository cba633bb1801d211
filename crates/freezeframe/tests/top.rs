//! `freezeframe top` in a real terminal: what it shows of a held process, its keys, another size, and the terminal afterwards.

mod support;

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use support::needs::{Need, has};
use support::process::{self, Process};
use support::scene::{Scene, Setup};
use support::{programs, wait_for};

/// A tmux server of its own with one window, in which a shell runs.
struct Tmux {
    socket: PathBuf,
}

impl Tmux {
    fn start(scene: &Scene, width: u16, height: u16) -> Self {
        let tmux = Self { socket: scene.scratch.path().join("tmux.sock") };
        let size = [width.to_string(), height.to_string()];
        let shell = "env -u TMUX PS1='ready> ' TERM=screen-256color sh";
        tmux.run(&["-f", "/dev/null", "new-session", "-d", "-x", &size[0], "-y", &size[1], shell]);
        tmux.wait("ready>");
        tmux
    }

    fn run(&self, arguments: &[&str]) -> String {
        let output = Command::new("tmux").arg("-S").arg(&self.socket).args(arguments).output().expect("tmux");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn keys(&self, keys: &[&str]) {
        self.run(&[&["send-keys"], keys].concat());
    }

    /// A line for the shell.
    fn enter(&self, line: &str) {
        self.run(&["send-keys", "-l", line]);
        self.keys(&["Enter"]);
    }

    fn screen(&self) -> String {
        self.run(&["capture-pane", "-p"])
    }

    fn wait(&self, text: &str) -> String {
        wait_for(&format!("{text:?} on the screen"), || {
            let screen = self.screen();
            if screen.contains(text) { Ok(screen) } else { Err(screen) }
        })
    }

    /// The shell has the terminal, with echo and lines as before, and the screen is the one from before.
    fn wait_given_back(&self, before: &str) {
        self.wait("ready>");
        // What is typed stands on the screen, too: what is waited for must only come of it.
        self.enter("stty -a | grep -q ' icanon' && stty -a | grep -q ' echo ' && echo \"lines: $((1 + 1))\"");
        let screen = self.wait("lines: 2");
        assert!(screen.contains(before), "the screen from before is gone: {screen}");
        assert!(!screen.contains("serving"), "{screen}");
        let flag = self.run(&["display-message", "-p", "#{alternate_on} #{cursor_flag}"]);
        assert_eq!(flag.trim(), "0 1", "the alternate screen is left, the cursor is shown");
        self.enter("clear");
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        let _ = Command::new("tmux").arg("-S").arg(&self.socket).arg("kill-server").output();
    }
}

#[test]
fn the_fleet_in_a_terminal() {
    if !has(&[Need::Ptrace, Need::Tmux]) {
        return;
    }
    let scene = Scene::start(Setup::of(&programs::panics(&[])).config("[hold]\nserver_errors = false\n"));
    let incident = scene.break_it("/panic");
    let id = incident["id"].as_str().expect("an id");
    scene.wait_roles(2, 1);
    let lease = || scene.show(id)["hold"]["lease_until"].clone();
    let before = lease();

    let tmux = Tmux::start(&scene, 80, 24);
    let program = env!("CARGO_BIN_EXE_freezeframe");
    let line = format!("{program} top --data-dir {}", scene.data.display());
    tmux.enter("echo written before");
    tmux.enter(&line);
    let screen = tmux.wait("2/2 serving");
    assert!(screen.contains("1 held") && screen.contains("q quit"), "{screen}");
    assert!(screen.lines().any(|line| line.starts_with(&format!("> {id}"))), "{screen}");

    tmux.keys(&["?"]);
    tmux.wait("any key: back");
    tmux.keys(&["x"]);
    tmux.keys(&["Enter"]);
    let page = tmux.wait("Quarantine");
    assert!(page.contains(id) && page.contains("index out of bounds"), "{page}");
    tmux.keys(&["G"]);
    tmux.wait("freezeframe release");
    tmux.keys(&["Escape"]);
    tmux.wait("2/2 serving");

    // A question, a no, a yes.
    tmux.keys(&["e"]);
    tmux.wait("four hours longer?");
    tmux.keys(&["n"]);
    tmux.wait("q quit");
    assert_eq!(lease(), before);
    tmux.keys(&["e"]);
    tmux.wait("four hours longer?");
    tmux.keys(&["y"]);
    wait_for("a longer lease", || if lease() != before { Ok(()) } else { Err(tmux.screen()) });

    // Another size.
    tmux.run(&["resize-window", "-x", "120", "-y", "40"]);
    tmux.wait("BUILD");
    tmux.run(&["resize-window", "-x", "40", "-y", "10"]);
    wait_for("a small screen", || {
        let screen = tmux.screen();
        if screen.contains("2/2 serving") && !screen.contains("BUILD") { Ok(()) } else { Err(screen) }
    });
    tmux.run(&["resize-window", "-x", "80", "-y", "24"]);

    // The terminal is given back at the end, and on a signal.
    tmux.keys(&["q"]);
    tmux.wait_given_back("written before");
    tmux.enter("echo written before");
    for (signal, code) in [(libc::SIGTERM, 143), (libc::SIGHUP, 129)] {
        tmux.enter("echo written before");
        tmux.enter(&format!("{line}; echo \"code $?\""));
        tmux.wait("2/2 serving");
        let data = scene.data.display().to_string();
        let running: Vec<Process> = process::find(&["top", &data]);
        assert_eq!(running.len(), 1, "{running:?}");
        process::signal(running[0], signal);
        tmux.wait(&format!("code {code}"));
        tmux.wait_given_back("written before");
    }

    // Without a terminal.
    let text = scene.must("top", &["--once"]);
    assert!(text.contains("2/2 serving") && text.contains(id) && !text.contains('\u{1b}'), "{text}");
    let json: Value = serde_json::from_str(&scene.must("top", &["--json"])).expect("JSON");
    assert_eq!((&json["schema"], &json["held"]), (&"freezeframe-fleet/1".into(), &1.into()));
    let piped = scene.command("top", &[]);
    assert_eq!(piped.status.code(), Some(2), "{piped:?}");
    assert!(String::from_utf8_lossy(&piped.stderr).contains("--once"), "{piped:?}");
}
