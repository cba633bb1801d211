//! Instances that are killed, held, stalled and replaced under load: no request is lost that could be sent again, and none is
//! worked on twice that must not be. The service's own journal is held against what the clients saw.

mod support;

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Instant;

use support::load::{Kind, Load, Sent, journal};
use support::needs::{Need, has};
use support::scene::{Scene, Setup};
use support::{http, programs, wait_for};

/// A scene with the journalling service, and its journal. A route without retries answers 502 for what died with an instance.
fn start(config: &str) -> (Scene, PathBuf) {
    let program = programs::journal();
    let mut scene =
        Scene::prepare(Setup { command: vec![program.display().to_string()], ..Setup::default() });
    let path = scene.scratch.path().join("journal");
    let config = format!("[service]\nready.path = \"/ready\"\nenv = {{ JOURNAL = {path:?} }}\n{config}");
    std::fs::write(scene.scratch.path().join("freezeframe.toml"), config).expect("written");
    scene.run();
    scene.wait_ready();
    (scene, path)
}

/// An instance that serves, other than the last one chosen.
fn serving(scene: &Scene) -> support::scene::Instance {
    let instances = scene.instances();
    instances.into_iter().find(|instance| instance.role == "serving").expect("one that serves")
}

/// What happened, and when.
#[derive(Default)]
struct Story(Vec<(Instant, &'static str)>);

impl Story {
    fn now(&mut self, what: &'static str) {
        self.0.push((Instant::now(), what));
    }

    fn before(&self, at: Instant) -> &'static str {
        self.0.iter().rev().find(|(since, _)| *since <= at).map_or("the beginning", |(_, what)| *what)
    }
}

/// What every request must have come to, whatever happened. `stall` is the incident in which nobody can say which request was the
/// culprit: those that were there are suspects, and what may break the next instance is not sent to it.
fn judge(sent: &[Sent], counts: &HashMap<String, (u32, u32)>, story: &Story, stall: &str) -> Tally {
    let mut tally = Tally::default();
    for Sent { kind, id, result, words, at } in sent {
        let after = story.before(*at);
        let (begun, ended) = counts.get(id).copied().unwrap_or_default();
        match kind {
            Kind::Get | Kind::KeyedPost if *result == Ok(502) && words.contains(stall) => {
                assert!(begun <= 1, "the suspect {id} was begun {begun} times");
                tally.suspects += 1;
            }
            Kind::Get | Kind::KeyedPost => {
                assert_eq!(result, &Ok(200), "{kind:?} {id} after {after:?}, begun {begun} times: {words}");
                assert!(ended >= 1, "{id} was answered, but not worked on");
                tally.repeated += begun - 1;
            }
            Kind::Post => {
                assert!(
                    begun <= 1,
                    "{id} after {after:?} was worked on {begun} times; its client saw {result:?}"
                );
                match result {
                    Ok(200) => assert_eq!((begun, ended), (1, 1), "{id}"),
                    // With the instance that had it.
                    Ok(502) => tally.lost_posts += 1,
                    other => panic!("{id} after {after:?}: {other:?} {words}"),
                }
            }
        }
    }
    tally
}

#[derive(Debug, Default)]
struct Tally {
    /// Of those that must not be repeated: they went with the instance that had them.
    lost_posts: usize,
    suspects: usize,
    /// How often an instance began a request that another one had begun before.
    repeated: u32,
}

#[test]
fn under_chaos_nothing_is_lost_that_can_be_repeated_and_nothing_is_repeated_that_must_not_be() {
    if !has(&[Need::Ptrace, Need::Compilers]) {
        return;
    }
    let config = "[gate]\nretries = 3\n[hold]\ndrain_ms = 300\nstall_ms = 700\nserver_errors = false\n";
    let (scene, path) = start(config);
    let load = Load::start(scene.gate());
    let mut story = Story::default();
    let break_it = |path: &str| {
        let answer = http::request(scene.gate(), "POST", path, &[], "hi").expect("answered");
        assert_eq!(answer.status, 502, "{answer:?} {}", scene.said());
        let id = answer.header("x-incident-id").expect("an incident").to_owned();
        scene.wait_state(&id, "held");
        id
    };
    load.wait_answered(200);
    // Killed from outside, and with its parent.
    story.now("one is killed");
    serving(&scene).process.expect("it lives").kill();
    load.wait_answered(200);
    scene.wait_ready();
    story.now("one is killed with its parent");
    scene.shim(serving(&scene).id).kill();
    load.wait_answered(200);
    scene.wait_ready();
    // Held by an error, and ended.
    story.now("one panics");
    let first = break_it("/panic/1");
    load.wait_answered(200);
    story.now("the held one is killed");
    scene.must("kill", &[&first]);
    scene.wait_ready();
    // Held because nothing moves in it any more.
    let before = scene.incidents().len();
    story.now("one stalls");
    let stalled = http::request(scene.gate(), "POST", "/stall", &[], "hi").expect("answered");
    assert_eq!(stalled.status, 502, "{stalled:?}");
    let incident = wait_for("the stall's incident", || {
        let incidents = scene.incidents();
        let newest = incidents.get(before..).and_then(<[_]>::first).ok_or("none")?;
        Ok(newest["id"].as_str().expect("an id").to_owned())
    });
    scene.wait_state(&incident, "held");
    load.wait_answered(200);
    story.now("the stalled one is killed");
    scene.must("kill", &[&incident]);
    scene.wait_ready();
    // Held, and let go: it gets nothing more.
    story.now("one panics again");
    let second = break_it("/panic/2");
    story.now("the held one is released");
    scene.must("release", &[&second]);
    load.wait_answered(200);
    scene.wait_ready();
    load.wait_answered(200);

    let (sent, reopened) = load.stop();
    let Tally { lost_posts, suspects, repeated } = judge(&sent, &journal(&path), &story, &incident);
    assert_eq!(reopened, 0, "no client's connection was closed");
    // A client has one request at a time: each of the five took at most eight with it.
    assert!(
        lost_posts <= 5 * 8 && suspects <= 8 && repeated <= 5 * 8,
        "{lost_posts}, {suspects}, {repeated}"
    );
    let answered = sent.iter().filter(|sent| sent.result == Ok(200)).count();
    assert!(
        answered > 1_000 && answered + lost_posts + suspects == sent.len(),
        "{answered} of {}",
        sent.len()
    );
}
