//! The page in a real browser: from the alert's link to the release of what was held. What is looked at is in `web/test/e2e.mjs`.

mod support;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use support::http::User;
use support::needs::{Need, has};
use support::repository;
use support::shop::{journey, start_shop};

/// A browser on a machine that compiles meanwhile.
const BROWSER_LIMIT: Duration = Duration::from_secs(300);

/// From the crash to the error line on the screen, in milliseconds. Values are decoded an order of magnitude slower without optimisation.
const SEEN_MS: u32 = if cfg!(debug_assertions) { 20_000 } else { 3_000 };

#[test]
fn from_the_alerts_link_to_the_release() {
    if !has(&[Need::Ptrace, Need::Freezer, Need::Node, Need::Chromium]) {
        return;
    }
    let web = repository().join("web");
    install(&web);
    let scene = start_shop("");
    let mut browser = Command::new("node")
        .arg("test/e2e.mjs")
        .current_dir(&web)
        .env("PAGE", format!("http://{}", scene.page()))
        .env("TOKEN", scene.must("token", &[]).trim())
        .env("LIMIT_MS", SEEN_MS.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("node starts");
    let output = BufReader::new(browser.stdout.take().expect("piped"));
    let (said, saying) = mpsc::channel();
    std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| said.send(line)));
    let ready = saying.recv_timeout(BROWSER_LIMIT).unwrap_or_default();
    if ready == "ready" {
        let mut grace = User::new(scene.gate());
        let answers: Vec<_> =
            journey().iter().map(|request| grace.send(request).expect("an answer")).collect();
        let id = answers.last().and_then(|answer| answer.header("x-incident-id")).expect("it broke");
        writeln!(browser.stdin.take().expect("piped"), "{id}").expect("it listens");
    }
    let succeeded = wait(&mut browser);
    let lines: Vec<String> = saying.iter().collect();
    assert!(ready == "ready" && succeeded, "the browser saw something else:\n{ready}\n{}", lines.join("\n"));
}

/// What the lock file names, once per checkout; git ignores it.
fn install(web: &Path) {
    if web.join("node_modules/playwright-core").is_dir() {
        return;
    }
    let words = ["ci", "--ignore-scripts", "--no-audit", "--no-fund"];
    let output = Command::new("npm").args(words).current_dir(web).output().expect("npm starts");
    assert!(output.status.success(), "npm ci: {}", String::from_utf8_lossy(&output.stderr));
}

/// Its end, or ours for it.
fn wait(browser: &mut Child) -> bool {
    let end = Instant::now() + BROWSER_LIMIT;
    loop {
        match browser.try_wait().expect("our child") {
            Some(status) => return status.success(),
            None if Instant::now() > end => {
                browser.kill().expect("our child");
                browser.wait().expect("our child");
                return false;
            }
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}
