//! What a decision costs, the lock included: a request that is admitted and finished, one that is refused, one that waits.

use std::hint::black_box;
use std::sync::Mutex;

use criterion::{Criterion, criterion_group, criterion_main};
use freezeframe_admission::{Admission, Answer, Config, InstanceId, Outcome, Request, Route, RouteId};

const ROUTES: u16 = 50;

fn admission(instances: u64, queue_max: u32) -> Mutex<Admission> {
    let routes = vec![Route::default(); usize::from(ROUTES)];
    let mut admission =
        Admission::new(Config { queue_max, routes, ..Config::default() }).expect("a good configuration");
    for id in 0..instances {
        admission.instance_up(0, InstanceId(id), 64);
    }
    Mutex::new(admission)
}

/// 70,000 requests per second.
fn clock() -> impl FnMut() -> (u64, Request) {
    let mut step = 0_u64;
    move || {
        step += 1;
        let route = RouteId((step % u64::from(ROUTES)) as u16);
        (step * 14, Request { route, user: Some(step % 1_000), ..Request::default() })
    }
}

fn decision(c: &mut Criterion) {
    for instances in [1, 4, 64] {
        let shared = admission(instances, 128);
        let mut next = clock();
        c.bench_function(&format!("arrive and finish, {instances} instances"), |b| {
            b.iter(|| {
                let (now_us, request) = next();
                let answer = shared.lock().expect("no panic").arrive(now_us, black_box(&request));
                if let Answer::Forward { ticket, .. } = answer {
                    shared.lock().expect("no panic").finished(now_us + 10, ticket, Outcome::Answered);
                }
            });
        });
    }

    let full = admission(4, 128);
    let mut next = clock();
    while full.lock().expect("no panic").queued() < 128 {
        let (now_us, request) = next();
        full.lock().expect("no panic").arrive(now_us, &request);
    }
    let now_us = next().0;
    c.bench_function("refuse, everything full", |b| {
        b.iter(|| {
            let (_, request) = next();
            let mut admission = full.lock().expect("no panic");
            let answer = admission.arrive(now_us, black_box(&request));
            admission.outputs().for_each(drop);
            answer
        });
    });

    let waiting = admission(1, 1_000);
    let mut next = clock();
    let mut running = std::collections::VecDeque::new();
    c.bench_function("arrive, wait, be forwarded, finish", |b| {
        b.iter(|| {
            let (now_us, request) = next();
            let mut admission = waiting.lock().expect("no panic");
            if let Answer::Forward { ticket, .. } = admission.arrive(now_us, black_box(&request)) {
                running.push_back(ticket);
            }
            if running.len() >= 64
                && let Some(ticket) = running.pop_front()
            {
                admission.finished(now_us, ticket, Outcome::Answered);
            }
            running.extend(admission.outputs().filter_map(|output| match output {
                freezeframe_admission::Output::Forward { ticket, .. } => Some(ticket),
                _ => None,
            }));
        });
    });
}

criterion_group!(benches, decision);
criterion_main!(benches);
